"""Why does no choice keep all limits, and what is the nearest that one does?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from qanalysis.notation import shorten
from qanalysis.plans.problem import InfeasibleError, Limit, Problem, Solution

#: The optimum, None where there is none.
Find = Callable[[Problem], Solution | None]


def explain(problem: Problem, find: Find) -> InfeasibleError:
    """The error of a problem without a choice.

    Formats and chains come first, then a limit that is out of reach by itself, then one that is out of reach where
    the others are kept, in the order of the limits.
    """
    if problem.most_formats is not None or problem.chains:
        error = _explain_structure(problem, find)
        if error is not None:
            return error
    for limit in problem.limits:
        least = find(problem.minimise(limit.figures))
        if least is not None and least.cost > limit.allowed:
            return _describe(limit, least, "")
    for limit in problem.limits:
        others = [one for one in problem.limits if one is not limit]
        least_beside = find(problem.minimise(limit.figures, others))
        if least_beside is not None and least_beside.cost > limit.allowed:
            return _describe(limit, least_beside, _name(others))
    return _explain_first(problem, find)


def _explain_first(problem: Problem, find: Find) -> InfeasibleError:
    """The first limit that those before it leave no room for."""
    for count, limit in enumerate(problem.limits):
        before = problem.limits[:count]
        least = find(problem.minimise(limit.figures, before))
        if least is not None and least.cost > limit.allowed:
            return _describe(limit, least, _name(before))
    return InfeasibleError("no choice keeps all limits together, by less than rounding")


def _explain_structure(problem: Problem, find: Find) -> InfeasibleError | None:
    """The error where formats and chains alone leave no choice, None where they leave one."""
    bare = replace(problem, limits=())
    if find(bare) is not None:
        return None
    least = _count_formats(bare, find)
    if least is None:
        return InfeasibleError(
            "no choice keeps the order along the chains: an earlier unit's least is above a later's most"
        )
    return InfeasibleError(
        f"no choice has at most {problem.most_formats} different formats: at least {least} are needed", nearest=least
    )


def _count_formats(problem: Problem, find: Find) -> int | None:
    """The least number of formats that leaves a choice, None where none does."""
    if problem.most_formats is None or find(replace(problem, most_formats=None)) is None:
        return None
    low, high = problem.most_formats, len({int(one) for formats in problem.formats for one in formats})
    while high - low > 1:
        middle = (low + high) // 2
        if find(replace(problem, most_formats=middle)) is None:
            low = middle
        else:
            high = middle
    return high


def _name(limits: tuple[Limit, ...] | list[Limit]) -> str:
    names = ", ".join(shorten(one.name, 40) for one in limits[:3])
    return f" while {names} {'is' if len(limits) == 1 else 'are'} kept" if limits else ""


def _describe(limit: Limit, least: Solution, others: str) -> InfeasibleError:
    return InfeasibleError(
        f"no choice keeps {shorten(limit.name, 60)} at most {limit.most:.10g}: the nearest that is possible{others} is "
        f"{least.cost:.10g}",
        limit=limit,
        nearest=least.cost,
        choice=least.choice,
    )
