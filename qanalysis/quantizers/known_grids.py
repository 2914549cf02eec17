"""Do the values of a matrix already lie on a quantizer's grid, so that quantizing them again changes nothing?

A group fits a grid where each of its values is a step times an integer (plus an offset), or a scale times a small
float, within the rounding of the type that carries the values. By chance that happens too, so it must be unlikely: a
value that may lie anywhere hits the grid within a tolerance t with probability 2 t / step, and fitting the step costs
as many bits as steps were tried. A grid is told where four groups or more (or 256 values of one) fit, each with three
values or more, and chance would have done it once in 2^64. Repeated values and zeros count as nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from qanalysis.arrays import Doubles, Floats

_GROUPS = (256, 128, 64, 32, 16)
_FINEST = _GROUPS[-1]
_MOST_ROWS, _MOST_COLUMNS, _MOST_GROUPS = 16, 1024, 32
_LEAST_BITS, _LEAST_GROUPS, _LEAST_VALUES = 64, 4, 256
_FP4 = np.array([0, 1, 2, 3, 4, 6, 8, 12])  # magnitudes of E2M1 in halves
_FP4_LARGEST = np.array([12.0, 8.0, 6.0, 4.0])
#: Bits of the fraction, and the power of two that is the smallest unit: bfloat16, float16, float32.
_BFLOAT16, _FLOAT16, _FLOAT32 = (7, -133), (10, -24), (23, -149)
_LEAST_FP4 = 6  # magnitudes that tell E2M1 from integers of 3 bits
_BINADES = 18  # E4M3 reaches from 448 down to 2^-9


@dataclass(frozen=True, slots=True)
class KnownGrid:
    """The grid that values lie on: its `levels`, and the `grouping` that shares a step.

    `kind` is "int", "fp4", "mxfp4" (scales are powers of two) or "fp8".
    """

    kind: str
    levels: int
    grouping: str

    @property
    def text(self) -> str:
        """The finding in words.

        >>> KnownGrid("int", 15, "group 128").text, KnownGrid("mxfp4", 15, "group 32").text
        ('already on a grid of 15 levels, group 128', 'already on a grid of mxfp4 numbers, group 32')
        """
        what = f"{self.levels} levels" if self.kind == "int" else f"{self.kind} numbers"
        return f"already on a grid of {what}, {self.grouping}"


@dataclass(frozen=True, slots=True)
class Fit:
    """How one group lies on a grid: the codes of its distinct values, the step, the bits of evidence."""

    codes: Doubles
    step: float
    bits: float


#: Types that hold all values, which therefore lie at least a unit of each apart.
Carriers = tuple[tuple[int, int], ...]
#: Of the distinct values of a group in rising order.
Fitting = Callable[[Doubles, Carriers], Fit | None]


def find_grid(matrix: Floats) -> KnownGrid | None:
    """The grid with the fewest levels that the values lie on, the widest groups first; None for ordinary values.

    Parameters
    ----------
    matrix : (rows, columns): a sample will do; 16 rows and 1024 columns of it are looked at. Groups begin with a row
        and lie along it, and what is left at the end of a row is not looked at. A matrix with NaN or infinity has no
        grid.

    A cast to bfloat16 or float16 is no grid, and one behind the grid is allowed for: the values themselves tell it.
    Constant rows, masks of one magnitude and matrices of few values lie on no grid that could be told.
    """
    if matrix.ndim != 2 or not matrix.size:
        return None
    stretch = _pick_stretch(matrix)
    widths = {screen: _find_widest(stretch, screen) for screen in {screen for _kind, _fit, screen in _KINDS}}
    if not any(widths.values()):
        return None
    rows = np.unique(np.linspace(0, len(matrix) - 1, _MOST_ROWS).astype(np.int64))
    sample = np.ascontiguousarray(matrix[rows, :_MOST_COLUMNS])
    if not np.isfinite(sample).all() or len(np.unique(sample)) < 3:
        return None
    carriers = _find_carriers(sample)
    groupings = list(_cut(sample))
    for kind, fitting, screen in _KINDS:
        width = min(widths[screen], _find_widest(stretch, fitting)) if widths[screen] else 0
        for grouping in groupings:
            found = _judge(grouping, fitting, carriers) if grouping.length <= width else []
            if found and (kind != "fp4" or max(_count_magnitudes(fit.codes) for fit in found) >= _LEAST_FP4):
                return _describe(kind, grouping.name, found)
    return None


def _pick_stretch(matrix: Floats) -> Floats:
    """The beginning of a row, of three the one whose first values differ most."""
    rows = [matrix[row, : _GROUPS[0]] for row in {0, len(matrix) // 2, len(matrix) - 1}]
    return max(rows, key=lambda row: len(set(row[:_FINEST].tolist())))


def _find_widest(stretch: Floats, fitting: Fitting) -> int:
    """The longest beginning of the stretch that fits, 0 where the shortest does not: no wider group can fit then."""
    width = 0
    for length in reversed(_GROUPS):
        if width and length > len(stretch):
            break
        part = stretch[:length]
        values = np.unique(part).astype(np.float64)
        if not np.isfinite(values[-1]) or (len(values) > 2 and fitting(values, _find_carriers(part)) is None):
            break
        width = length
    return width


def _find_carriers(sample: Floats) -> Carriers:
    """The types that hold all values; small multiples of float16's smallest unit are bfloat16 too."""
    found = [_FLOAT32]
    if not (np.ascontiguousarray(sample).view(np.uint32) & np.uint32(0xFFFF)).any():
        found.append(_BFLOAT16)
    with np.errstate(over="ignore"):
        if (sample.astype(np.float16).astype(np.float32) == sample).all():
            found.append(_FLOAT16)
    return tuple(found)


@dataclass(frozen=True)
class Grouping:
    """One way to cut the sample: groups as they lie, those with the fewest zeros first, as ordinary ones fail at once.

    `length` is how far values must fit for one of its groups to fit.
    """

    name: str
    length: int
    groups: Floats

    @cached_property
    def values(self) -> list[Doubles]:
        """Distinct values of each group that differs from the others and could tell a grid."""
        order = np.argsort(-np.count_nonzero(self.groups, axis=1), kind="stable")
        different = {group.tobytes(): group for group in self.groups[order]}
        distinct = [np.unique(group).astype(np.float64) for group in different.values()]
        return [values for values in distinct if len(values) > 2 and (0 in values or _count_magnitudes(values) > 2)]

    @property
    def is_large_enough(self) -> bool:
        """Whether enough groups tell something, or enough values where there is one."""
        if self.name == "tensor":
            return self.groups.size >= _LEAST_VALUES and len(self.values) == 1
        return len(self.values) >= _LEAST_GROUPS


def _cut(sample: Floats) -> Iterator[Grouping]:
    """The groupings from the whole to the finest."""
    columns = sample.shape[1]
    widest = min(_GROUPS[0], max(_FINEST, columns // _FINEST * _FINEST))
    yield Grouping("tensor", widest, sample.reshape(1, -1))
    if columns >= _FINEST:
        yield Grouping("channel", widest, sample)
    for length in _GROUPS:
        whole = columns // length
        if whole > 1:
            groups = sample[:, : whole * length].reshape(-1, length)
            yield Grouping(f"group {length}", length, groups[:: max(1, len(groups) // _MOST_GROUPS)])


def _judge(grouping: Grouping, fitting: Fitting, carriers: Carriers) -> list[Fit]:
    """How the groups fit, empty where one does not or all together could be chance."""
    if not grouping.is_large_enough:
        return []
    fits: list[Fit] = []
    for values in grouping.values:
        found = fitting(values, carriers)
        if found is None or (len(fits) == _LEAST_GROUPS and sum(fit.bits for fit in fits) <= 0):
            return []
        fits.append(found)
    return fits if sum(fit.bits for fit in fits) >= _LEAST_BITS else []


def _count_magnitudes(values: Doubles) -> int:
    return len(np.unique(np.abs(values)))


def _describe(kind: str, name: str, fits: list[Fit]) -> KnownGrid:
    if kind == "fp8":
        return KnownGrid("fp8", 253, name)
    if kind == "fp4":
        scales_are_powers = all(math.frexp(fit.step)[0] == 0.5 for fit in fits)
        return KnownGrid("mxfp4" if scales_are_powers else "fp4", 15, name)
    widest = max(int(fit.codes[-1] - fit.codes[0]) for fit in fits) + 1
    span = int(max(fit.codes[-1] for fit in fits) - min(fit.codes[0] for fit in fits)) + 1
    # Groups with zero points of their own span more together than any of them.
    return KnownGrid("int", span if span <= 1 << math.ceil(math.log2(widest)) else widest, name)


def _fit_integers(values: Doubles, carriers: Carriers, *, most: int) -> Fit | None:
    """The largest step of which all values are multiples, at most `most` of them apart."""
    if len(values) > most + 1:
        return None
    # Half a unit in the last place of the value, as much of the largest one in the step, and a product rounded before.
    found = _fit_steps(values, 2 * _measure_units(values, carriers), np.arange(1.0, most + 1))
    return found if found and found.codes[-1] - found.codes[0] <= most else None


def _fit_shifted(values: Doubles, carriers: Carriers, *, most: int) -> Fit | None:
    """The largest step of which all distances from the least value are multiples, at most `most` of them."""
    if len(values) > most + 1:
        return None
    # A product and a sum are rounded in the value, in the least one and in the largest one, which set the step.
    tolerance = np.broadcast_to(4 * _measure_units(values, carriers).max(), values.shape)
    return _fit_steps(values - values[0], tolerance, np.arange(1.0, most + 1))


def _fit_fp4(values: Doubles, carriers: Carriers) -> Fit | None:
    """The step of E2M1: half its 1."""
    if len(values) > 2 * len(_FP4) - 1:
        return None
    tolerance = 2 * _measure_units(values, carriers)
    for largest in _FP4_LARGEST:
        found = _fit_steps(values, tolerance, np.array([largest]))
        if found and np.isin(np.abs(found.codes), _FP4).all():
            return found
    return None


def _fit_steps(values: Doubles, tolerance: Doubles, counts: Doubles) -> Fit | None:
    magnitudes = np.abs(values)
    steps = (magnitudes.max() / counts)[:, np.newaxis]
    codes = np.rint(values / steps)
    # Values that differ have codes that differ: else a tolerance as wide as the step would fit anything.
    close = (np.abs(codes * steps - values) <= tolerance).all(axis=1) & (np.diff(codes, axis=1) > 0).all(axis=1)
    place = int(close.argmax())
    if not close[place]:
        return None
    bits = _count_bits(magnitudes, tolerance, float(steps[place, 0])) - math.log2(place + 1)
    if bits < 0 and len(values) > _FINEST // 2:
        return None
    return Fit(codes[place], float(steps[place, 0]), bits)


def _count_bits(magnitudes: Doubles, tolerance: Doubles, step: float) -> float:
    """What chance would have needed, for each distinct magnitude but 0 and the largest, which set the step."""
    distinct, places = np.unique(magnitudes, return_index=True)
    kept = places[(distinct > 0) & (distinct < distinct[-1])]
    return float(np.maximum(0, np.log2(step / (2 * tolerance[kept]))).sum())


def _fit_small_floats(values: Doubles, carriers: Carriers) -> Fit | None:
    """The scale by which all values have three bits of fraction, and lie in the range of E4M3."""
    magnitudes = np.unique(np.abs(values[values != 0]))
    if not magnitudes.size or magnitudes[-1] > 2.0**_BINADES * magnitudes[0] or len(magnitudes) > 8 * _BINADES:
        return None
    fractions, powers = np.frexp(magnitudes)
    # The largest magnitude has 8 to 15 eighths; the others are brought to the same binade.
    ratios = (fractions / fractions[-1])[:, np.newaxis] * np.arange(8, 16)
    ratios = np.where(ratios < 8, 2 * ratios, np.where(ratios >= 16, ratios / 2, ratios))
    # Half a unit in the last place of either, where 16 eighths are one more than the fraction.
    tolerance = 16 * (_measure_units(magnitudes, carriers) / magnitudes)[:, np.newaxis]
    fitting = (np.abs(np.rint(ratios) - ratios) <= tolerance).all(axis=0)
    place = int(fitting.argmax())
    if not fitting[place]:
        return None
    # An eighth of the binade against twice the tolerance, which subnormals raise.
    room = np.log2(magnitudes[:-1] / _measure_units(magnitudes[:-1], carriers)) - 5
    bits = float(np.maximum(0, np.floor(room)).sum()) - math.log2(place + 1)
    return Fit(values, 2.0 ** float(powers[-1]), bits)


def _measure_units(values: Doubles, carriers: Carriers) -> Doubles:
    """Units in the last place of the carrying type at these values."""
    exponents = np.frexp(values)[1] - 1
    powers = [np.maximum(exponents - digits, smallest) for digits, smallest in carriers]
    units: Doubles = np.ldexp(1.0, np.maximum.reduce(powers))
    return units


_WHOLE, _SHIFTED = partial(_fit_integers, most=255), partial(_fit_shifted, most=255)
#: What is looked for, those with few levels first, and beside each a wider question that ordinary values fail.
_KINDS: tuple[tuple[str, Fitting, Fitting], ...] = (
    ("fp4", _fit_fp4, _WHOLE),
    ("int", partial(_fit_integers, most=15), _WHOLE),
    ("int", partial(_fit_shifted, most=15), _SHIFTED),
    ("fp8", _fit_small_floats, _fit_small_floats),
    ("int", _WHOLE, _WHOLE),
    ("int", _SHIFTED, _SHIFTED),
)
