"""How many dB lie between two tools that both say "int4 group=128"? One tensor, one row per convention, and what each
costs.

Beside the scheme asked for stand those that differ from it in one convention: the grid's ends, the scale's type, the
range rule, the rounding, or a packaged block format of the same bits and block length. Every figure is a sweep's row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from qanalysis.checkpoints.source import ArraySource, TensorInfo
from qanalysis.quantizers.formats import list_packers
from qanalysis.quantizers.matrix_view import Axes, view_by
from qanalysis.quantizers.ranges import RANGE_RULES, parse_range
from qanalysis.quantizers.rounding import Rounding
from qanalysis.quantizers.scheme import Scheme
from qanalysis.quantizers.symmetries import SYMMETRIES
from qanalysis.sweeps.row import Row
from qanalysis.sweeps.sweep import sweep

Aspect = Literal["grid", "scale", "range", "rounding", "block format"]


@dataclass(frozen=True, slots=True)
class Convention:
    """One reading of a scheme's words: what it does, who reads them so, and the row it gives.

    `cost_db` is what its SQNR lacks to the best of the comparison (0 for the best), `delta_db` what it gains over the
    scheme asked for; None where a row has no SQNR. `is_asked` marks that scheme.
    """

    aspect: Aspect
    name: str
    formula: str
    peers: str
    row: Row
    is_asked: bool = False
    cost_db: float | None = None
    delta_db: float | None = None

    @property
    def scheme(self) -> str:
        """Canonical text of the convention's scheme."""
        return self.row.scheme

    @property
    def sqnr_db(self) -> float | None:
        """The row's SQNR, infinite without any error; None where its status is not ok."""
        return self.row.sqnr_db

    @property
    def bits_per_weight(self) -> float | None:
        """The row's bits per weight, scales and zero points counted."""
        return self.row.bits_per_weight


def compare_conventions(
    x: ArrayLike, scheme: Scheme | str, *, axis: Axes = 0, name: str = "tensor"
) -> tuple[Convention, ...]:
    """The conventions beside `scheme` on the tensor `x`: best SQNR first, those without a figure last.

    `x` is a real array of any shape, measured as float32; `axis` is its channel axis, `name` the rows' tensor. A tensor
    or a scheme that can not be measured gives rows whose status says why. Raises ValueError for a scheme that does not
    parse.

    >>> best, *others = compare_conventions(np.float32([[0.9, 0.5, 0.1, -0.1]]), "int4")
    >>> best.scheme, best.cost_db, len(others)
    ('int4 range=mse', 0.0, 13)
    """
    asked = scheme if isinstance(scheme, Scheme) else Scheme.parse(scheme)
    readings: dict[Scheme, _Reading] = {}
    for reading in _list_readings(asked):
        readings.setdefault(reading.scheme, reading)
    rows = sweep(_OneTensor(name, np.asarray(x), axis), list(readings))
    best = max((row.sqnr_db for row in rows if row.sqnr_db is not None), default=None)
    base = next(row.sqnr_db for row, found in zip(rows, readings, strict=True) if found == asked)
    compared = [
        Convention(
            aspect=reading.aspect,
            name=reading.name,
            formula=reading.formula,
            peers=reading.peers,
            row=row,
            is_asked=reading.scheme == asked,
            cost_db=_subtract(best, row.sqnr_db),
            delta_db=_subtract(row.sqnr_db, base),
        )
        for row, reading in zip(rows, readings.values(), strict=True)
    ]
    return tuple(
        sorted(compared, key=lambda convention: math.inf if convention.cost_db is None else convention.cost_db)
    )


def describe_spread(conventions: Sequence[Convention]) -> str:
    """One sentence: how far the readings of the same words lie apart, and what the scheme asked for costs against the
    best of all.

    >>> describe_spread(compare_conventions(np.float32([[0.9, 0.5, 0.1, -0.1]]), "int4"))
    'int4 spans 18.4 to 27.7 dB over 5 grids; as written it costs 0.5 dB against the best, int4 range=mse'
    """
    asked = next(convention for convention in conventions if convention.is_asked)
    known = [convention for convention in conventions if convention.cost_db is not None]
    if asked.cost_db is None or not known:
        return f"{asked.scheme}: nothing to compare, the tensor is {asked.row.status}"
    alike = [convention for convention in known if convention.aspect == asked.aspect]
    low, high, kinds = f"{alike[-1].sqnr_db:.1f}", f"{alike[0].sqnr_db:.1f}", f"{len(alike)} {_PLURALS[asked.aspect]}"
    spread = f"spans {low} to {high} dB over {kinds}" if low != high else f"gives {low} dB in {kinds}"
    cost = f"costs {asked.cost_db:.1f} dB against" if asked.cost_db >= 0.05 else "is within 0.05 dB of"
    verdict = f"{cost} the best, {known[0].scheme}" if asked.cost_db else "is the best"
    return f"{asked.scheme} {spread}; as written it {verdict}"


_PLURALS: dict[Aspect, str] = {
    "grid": "grids",
    "scale": "scale types",
    "range": "range rules",
    "rounding": "roundings",
    "block format": "block formats",
}


class _OneTensor(ArraySource):
    """An array under a name with the channel axis that its owner knows."""

    def __init__(self, name: str, values: np.ndarray, axis: Axes) -> None:
        super().__init__({name: values})
        self._axis = axis

    @property
    def tensors(self) -> tuple[TensorInfo, ...]:
        return tuple(replace(info, view=view_by(self._axis)) for info in super().tensors)


def _subtract(left: float | None, right: float | None) -> float | None:
    if left is None or right is None:
        return None
    return 0.0 if left == right else left - right  # two rows without any error are equals, where inf - inf is NaN


class _Reading(NamedTuple):
    aspect: Aspect
    name: str
    formula: str
    peers: str
    scheme: Scheme


def _list_readings(scheme: Scheme) -> Iterator[_Reading]:
    """Every reading beside the scheme, in the order of the catalogue, those of its own aspect first."""
    free = scheme
    if scheme.format.packs is not None and scheme.rounding == Scheme(scheme.format).rounding:
        free = Scheme(scheme.format.packs, grouping=scheme.grouping)
        yield from _list_blocks(free)
    if free.format.is_integer:
        yield from _list_grids(free)
    fixed = free.format.fixed
    if "scale" not in fixed:
        for scale in free.format.scales:
            yield _Reading("scale", f"scale {scale}", scale.formula, scale.peers, replace(free, scale=scale))
    if "range" not in fixed:
        for kind in RANGE_RULES.values():
            rule = parse_range((not free.format.has_equal_steps and kind.quick_example) or kind.example)
            if rule.peers:
                yield _Reading("range", f"range {rule}", rule.formula, rule.peers, replace(free, range=rule))
    if "rounding" not in fixed:
        for word, formula, peers in _ROUNDINGS:
            yield _Reading("rounding", f"round {word}", formula, peers, replace(free, rounding=Rounding(word)))
    yield from _list_blocks(free)


def _list_blocks(free: Scheme) -> Iterator[_Reading]:
    """The block formats that pack the numbers of a scheme in groups of the same length, each with every type of scale
    that it has.
    """
    for fmt in list_packers(free.format, free.grouping.columns) if free.grouping.rows == 1 else ():
        for scale in fmt.scales:
            scheme, has_choice = Scheme(fmt, scale=scale), len(fmt.scales) > 1
            formula, peers = (f"{fmt.formula}, {scale.formula}", scale.peers) if has_choice else (fmt.formula, fmt.peer)
            yield _Reading("block format", str(scheme), formula, peers, scheme)


def _list_grids(scheme: Scheme) -> Iterator[_Reading]:
    q = scheme.format.largest_code
    for symmetry in dict.fromkeys((scheme.symmetry, *SYMMETRIES.values())):
        divisor, formula, users = symmetry.describe(q)
        yield _Reading("grid", f"{symmetry}: {divisor}", formula, users, replace(scheme, symmetry=symmetry))


_ROUNDINGS = (
    ("nearest-even", "to the nearest code, ties to the even one", "torch, numpy, IEEE 754"),
    ("nearest-away", "to the nearest code, ties away from zero", "round() of C, GGUF"),
    ("floor", "down to the next code: truncation", "shifts in fixed-point hardware"),
)
