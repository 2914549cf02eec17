"""Where does each tensor lie, and how much fits there? Pools such as a GPU and a CPU, each with its own schemes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from qanalysis.notation import quote
from qanalysis.patterns import Pattern
from qanalysis.plans.budgets import choose_budget, parse_bytes
from qanalysis.plans.candidates import Options
from qanalysis.plans.pins import find_matches, name_schemes
from qanalysis.plans.tensors import PlanTensor


@dataclass(frozen=True, slots=True)
class Pool:
    """Tensors whose names have a match lie in it, those of earlier pools not; they take at most so many bytes.

    `schemes` are what it may hold: expressions searched in the text of a scheme; empty for any.
    """

    name: str
    bytes: int
    pattern: Pattern
    schemes: tuple[Pattern, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """NAME=BYTES:REGEX. Raises ValueError for anything else.

        >>> pool = Pool.parse("gpu=8GiB:layers=1|:")
        >>> pool.name, pool.bytes, pool.pattern.text
        ('gpu', 8589934592, 'layers=1|:')
        """
        name, equals, rest = text.partition("=")
        size, colon, expression = rest.partition(":")
        if not (name.strip() and equals and colon and expression):
            raise ValueError(rf"pool {quote(text)}: NAME=BYTES:REGEX is expected, such as 'gpu=8GiB:layers\.[0-9]\.'")
        return cls.of(name.strip(), size, expression)

    @classmethod
    def of(cls, name: str, size: float | str, expression: str) -> Self:
        """A pool of a name, bytes (a number, or a text such as "8GiB"), and an expression."""
        if isinstance(size, str):
            parse_bytes(size, f"pool {quote(name)}: bytes")
        try:
            budget = choose_budget(budget_bytes=size)
        except ValueError as error:
            raise ValueError(f"pool {quote(name)}: {error}") from None
        return cls(name, 0 if budget is None else int(budget.amount), Pattern.parse(expression, f"pool {name}"))

    def allows(self, schemes: Sequence[str]) -> list[int]:
        """The places of the schemes that it may hold."""
        found = set(schemes) if not self.schemes else set().union(*(one.select(schemes) for one in self.schemes))
        return [place for place, scheme in enumerate(schemes) if scheme in found]


PoolTexts = Mapping[str, tuple[float | str, str]] | Iterable[str]


def read_pools(pools: PoolTexts, schemes: Mapping[str, str | Sequence[str]] | Iterable[str] = ()) -> tuple[Pool, ...]:
    """Pools from texts NAME=BYTES:REGEX or a mapping of names to bytes and expression, and what each may hold, from
    texts NAME=REGEX or a mapping.

    Raises ValueError for two pools of one name, and for schemes of one that there is not.
    """
    if isinstance(pools, str):
        pools = [pools]
    found = (
        [Pool.of(name, *rest) for name, rest in pools.items()]
        if isinstance(pools, Mapping)
        else list(map(Pool.parse, pools))
    )
    names = [pool.name for pool in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"pool {quote(twice)}: is given twice; give each pool its own name")
    allowed = _read_schemes(schemes)
    unknown = next((name for name in allowed if name not in names), None)
    if unknown is not None:
        raise ValueError(f"schemes of the pool {quote(unknown)}: there is no such pool; give --pool of that name too")
    return tuple(
        Pool(pool.name, pool.bytes, pool.pattern, tuple(_compile(one, pool.name) for one in allowed.get(pool.name, ())))
        for pool in found
    )


def _read_schemes(schemes: Mapping[str, str | Sequence[str]] | Iterable[str]) -> dict[str, list[str]]:
    if isinstance(schemes, str):
        schemes = [schemes]
    if isinstance(schemes, Mapping):
        return {name: [one] if isinstance(one, str) else list(one) for name, one in schemes.items()}
    found = dict[str, list[str]]()
    for text in schemes:
        name, equals, expression = text.partition("=")
        if not (name.strip() and equals and expression):
            raise ValueError(f"schemes of a pool {quote(text)}: NAME=REGEX is expected, such as 'cpu=^gguf:'")
        found.setdefault(name.strip(), []).append(expression)
    return found


def _compile(expression: str, name: str) -> Pattern:
    return Pattern.parse(expression, f"schemes of the pool {name}")


def assign_pools(tensors: Sequence[PlanTensor], pools: Sequence[Pool]) -> dict[str, str]:
    """The pool of each tensor that lies in one: the first whose expression has a match.

    Raises ValueError for an expression that has none.
    """
    found = dict[str, str]()
    for pool in pools:
        matches = find_matches(pool.pattern, tensors)
        if not matches:
            told = f"{quote(pool.pattern.text)} matches none of the {len(tensors):,} tensors"
            raise ValueError(f"pool {quote(pool.name)}: {told}; write an expression that does")
        for name in matches:
            found.setdefault(name, pool.name)
    return found


def keep_pool_schemes(
    options: Sequence[Options], pools: Sequence[Pool], places: Mapping[str, str], *, alone: bool
) -> tuple[Options, ...]:
    """The candidates that the pool of each tensor may hold.

    Raises ValueError where a pool may hold none of a tensor's, and, where pools are the only budget (`alone`), for a
    tensor that lies in none.
    """
    by_name = {pool.name: pool for pool in pools}
    lost = [one.tensor.name for one in options if one.tensor.name not in places]
    if pools and alone and lost:
        more = f" and {len(lost) - 1:,} others lie" if len(lost) > 1 else " lies"
        raise ValueError(
            f"{quote(lost[0])}{more} in no pool, and there is no budget for all; add a pool that matches, such as "
            "'rest=8GiB:.', or a budget"
        )
    return tuple(_keep(one, by_name[places[one.tensor.name]]) if one.tensor.name in places else one for one in options)


def _keep(options: Options, pool: Pool) -> Options:
    kept = pool.allows(options.schemes)
    if not kept:
        raise ValueError(
            f"pool {quote(pool.name)}: may hold none of the schemes of {quote(options.tensor.name)}, which has "
            f"{name_schemes(options.schemes)}; allow one of these, or make rows of others"
        )
    return options.take(kept)
