"""Which axes of an operand of an Einsum does the result keep?"""

from __future__ import annotations

from collections import Counter

_DOTS = "..."


def find_kept_axes(equation: str, operand: int, rank: int) -> tuple[int, ...] | None:
    """Axes of the operand of that rank whose letters appear in the result; None where the equation does not say.

    "..." stands for the axes that have no letter; without "->" the result has the letters that occur once.

    >>> find_kept_axes("bik,ekn->bien", 1, 3)
    (0, 2)
    """
    sides = equation.replace(" ", "").split("->")
    terms = sides[0].split(",")
    if len(sides) > 2 or operand >= len(terms):
        return None
    letters = _expand(terms[operand], rank)
    result = sides[1] if len(sides) == 2 else _imply_result(sides[0])
    if letters is None or len(set(letters) - {_DOTS}) < len([letter for letter in letters if letter != _DOTS]):
        return None
    kept = set(result.replace(_DOTS, "")) | ({_DOTS} if _DOTS in result else set())
    return tuple(axis for axis, letter in enumerate(letters) if letter in kept)


def _expand(term: str, rank: int) -> list[str] | None:
    """One letter for each axis, "..." for those that the dots stand for."""
    before, dots, after = term.partition(_DOTS)
    hidden = rank - len(before) - len(after)
    if hidden < 0 or (hidden and not dots):
        return None
    return [*before, *[_DOTS] * hidden, *after]


def _imply_result(terms: str) -> str:
    counts = Counter(terms.replace(_DOTS, "").replace(",", ""))
    once = "".join(sorted(letter for letter, count in counts.items() if count == 1))
    return (_DOTS if _DOTS in terms else "") + once
