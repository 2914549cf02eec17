"""The slow, obvious truth: one element at a time, in plain Python, written from the definitions and not from the package.

Float32 arithmetic goes through numpy scalars, sums through math.fsum. `x` may have any shape; groups are found by index
arithmetic. A figure that is not defined is None. Beside each sum stands the sum of magnitudes that a tolerance needs.
"""

from __future__ import annotations

import itertools
import math
import re
import struct
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pytest

from qanalysis.sweeps.row import Row

F = np.float32
MASK = 2**64 - 1
LARGEST = float(np.finfo(np.float32).max)
# Float32 lanes add at most this many values before they are carried over into float64.
LANE = 1024
SCALE_BITS = {"float32": 32, "float16": 16, "bfloat16": 16, "pow2": 8, "pow2:source": 8, "pow2:library": 8}
SYMMETRIES = ("sym", "sym-full", "sym-noclip", "sym-clip", "asym")
MODES = ("nearest-even", "nearest-away", "half-up", "floor", "ceil", "to-zero", "stochastic:7")


@dataclass(frozen=True)
class Words:
    """A scheme's words; `text` writes them all out, defaults too."""

    bits: int
    symmetry: str = "sym"
    grouping: str = "tensor"
    scale: str = "float32"
    mode: str = "nearest-even"

    @property
    def text(self) -> str:
        return f"int{self.bits} {self.symmetry} {self.grouping} scale={self.scale} round={self.mode}"


@dataclass(frozen=True)
class Grid:
    """Step and zero point of one group; `idle` where the data gave no usable step."""

    step: np.float32
    zero_point: int
    code_min: int
    code_max: int
    idle: bool

    @property
    def span(self) -> Span:
        low, high = ((code - self.zero_point) * float(self.step) for code in (self.code_min, self.code_max))
        return Span(float(self.step), low, high, self.idle)


@dataclass(frozen=True)
class Span:
    """What the figures need of one group's levels: the widest gap, the ends, and whether the data gave no usable scale."""

    step: float
    low: float
    high: float
    idle: bool


@dataclass
class Coded:
    """A tensor and its reconstruction in the order of the matrix view, the groups as (places, span), and per element whether its code was clipped."""

    x: list[np.float32]
    y: list[np.float32]
    groups: list[tuple[list[int], Span]]
    outside: list[bool]
    storage_bits: int


@dataclass
class Group:
    """Places (flat, in the order of the matrix view) of the elements that share a grid, and that grid."""

    places: list[int]
    grid: Grid | None = None


@dataclass
class Truth:
    """Everything known about one tensor under one scheme: y per element and the columns, with tolerance material beside them."""

    y: list[np.float32]
    columns: dict[str, object]
    sums: dict[str, float] = field(default_factory=dict)


def lay_grid(low: np.float32, high: np.float32, words: Words) -> Grid:
    """The grid over low..high: low and high are float32 and widened to hold 0."""
    lo, hi = min(F(low), F(0)), max(F(high), F(0))
    q = 2 ** (words.bits - 1) - 1
    absmax = max(-lo, hi)
    with np.errstate(over="ignore"):
        step, code_min, code_max = {
            "sym": lambda: (absmax / F(q), -q, q),
            "sym-full": lambda: (absmax / F((2**words.bits - 1) / 2), -q - 1, q),
            "sym-noclip": lambda: (max(hi / F(q), -lo / F(q + 1)), -q - 1, q),
            "sym-clip": lambda: (absmax / F(q + 1), -q - 1, q),
            "asym": lambda: (F(hi - lo) / F(2**words.bits - 1), 0, 2**words.bits - 1),
        }[words.symmetry]()
    idle = not _inverts(step)
    step = F(1) if idle else step
    if not idle and words.scale != "float32":
        reach = absmax if words.symmetry != "asym" else hi / F(2) - lo / F(2)
        step = round_scale(step, reach, words.bits, words.scale)
        step = step if _inverts(step) else F(1)
    zero_point = _find_zero_point(lo, step, words)
    farthest = max(zero_point - code_min, code_max - zero_point)
    if float(step) * farthest > LARGEST:
        # The largest step of a bfloat16's digits, or the largest power of two, whose end levels are float32 numbers.
        (word,) = struct.unpack("<I", struct.pack("<f", F(LARGEST / farthest)))
        step = min(
            step,
            F(
                struct.unpack(
                    "<f", struct.pack("<I", word & (0xFF800000 if words.scale.startswith("pow2") else 0xFFFF0000))
                )[0]
            ),
        )
        zero_point = _find_zero_point(lo, step, words)
    return Grid(F(step), zero_point, code_min, code_max, idle)


def _find_zero_point(lo: np.float32, step: np.float32, words: Words) -> int:
    return min(max(-round(float(lo / step)), 0), 2**words.bits - 1) if words.symmetry == "asym" else 0


def _inverts(step: np.float32) -> bool:
    # 1/step overflows float32 below about 2^-128; the package states 2^-127 as its limit.
    return 2.0**-127 <= float(step) < math.inf


def round_scale(step: np.float32, reach: np.float32, bits: int, scale: str) -> np.float32:
    """The step as its stored type holds it. Powers of two: covering, the source's rule, the library's rule."""
    if scale == "float16":
        return F(np.float16(min(step, F(65504))))
    if scale == "bfloat16":
        (word,) = struct.unpack("<I", struct.pack("<f", min(float(step), 2.0**127 * (2 - 2**-7))))
        word += 0x7FFF + ((word >> 16) & 1)
        return F(struct.unpack("<f", struct.pack("<I", word & 0xFFFF0000))[0])
    exponent = {
        "pow2": lambda: _ceil_log2(step),
        "pow2:source": lambda: _ceil_log2(reach) - bits + 1,
        "pow2:library": lambda: _floor_log2(reach) - (bits - 2),
    }[scale]()
    return F(2.0 ** min(max(exponent, -127), 127))


def _floor_log2(value: np.float32) -> int:
    return math.frexp(float(value))[1] - 1


def _ceil_log2(value: np.float32) -> int:
    floor = _floor_log2(value)
    return floor if float(value) == 2.0**floor else floor + 1


def round_code(scaled: np.float32, mode: str, place: int) -> float:
    """A scaled value as a whole number; `place`, the element's number in the matrix view, picks the random draw."""
    s = float(scaled)
    if not math.isfinite(s):
        return s
    if mode.startswith("stochastic"):
        return math.floor(s) + (draw(place, int(mode.partition(":")[2])) < float(F(s - math.floor(s))))
    return ROUND[mode](s)


ROUND = {
    "nearest-even": round,
    "nearest-away": lambda s: math.copysign(math.floor(abs(s) + 0.5), s),
    "half-up": lambda s: math.floor(s + 0.5),
    "floor": math.floor,
    "ceil": math.ceil,
    "to-zero": math.trunc,
}


def draw(index: int, seed: int) -> float:
    """SplitMix64's output function at `index`, its top 24 bits as a fraction of 1."""
    z = ((index + 1) * 0x9E3779B97F4A7C15 + seed * 0xD1B54A32D192ED03) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return ((z ^ (z >> 31)) >> 40) / 2**24


def find_groups(shape: tuple[int, ...], grouping: str, *, axis: int = 0) -> tuple[list[tuple[int, ...]], list[Group]]:
    """Every element's index in the order of the matrix view, and the groups in the order of their numbers."""
    word, _, argument = grouping.partition("=")
    axis = int(argument) if word == "channel" and argument else axis
    order: list[tuple[int, ...]] = []
    groups: dict[tuple[int, int], Group] = {}
    rest = [size for place, size in enumerate(shape) if place != axis] if len(shape) > 1 else [shape[0]]
    for row in range(shape[axis] if len(shape) > 1 else 1):
        for column, others in enumerate(itertools.product(*map(range, rest))):
            order.append((*others[:axis], row, *others[axis:]) if len(shape) > 1 else others)
            if word == "tensor":
                key = (0, 0)
            elif word == "channel":
                key = (row, 0)
            elif word == "group":
                key = (row, column // int(argument))
            else:
                height, width = map(int, re.fullmatch(r"(\d+)x(\d+)", argument).groups())
                key = (row // height, column // width)
            groups.setdefault(key, Group([])).places.append(len(order) - 1)
    return order, [groups[key] for key in sorted(groups)]


@cache
def expected_max_square(length: int) -> float:
    """E[max x^2] of `length` standard normal values: trapezoids of 1e-3 under 2x P(max |x| > x), good to 1e-7."""
    points = (k * 1e-3 for k in range(1, 10_000))
    return 1e-3 * math.fsum(2 * x * -math.expm1(length * math.log1p(-math.erfc(x / math.sqrt(2)))) for x in points)


def quantize(
    x: np.ndarray, words: Words, *, axis: int = 0
) -> tuple[list[np.float32], list[np.float32], list[Group], list[float]]:
    """(x, y, groups, unclipped codes), all in the order of the matrix view, under minmax ranges."""
    order, groups = find_groups(x.shape, words.grouping, axis=axis)
    values = [F(x[index]) for index in order]
    y: list[np.float32] = [F(0)] * len(values)
    raw = [0.0] * len(values)
    for group in groups:
        finite = [values[place] for place in group.places if math.isfinite(values[place])]
        grid = group.grid = lay_grid(min(finite, default=F(0)), max(finite, default=F(0)), words)
        inverse = F(1) / grid.step
        with np.errstate(over="ignore", invalid="ignore"):
            for place in group.places:
                raw[place] = round_code(values[place] * inverse, words.mode, place) + grid.zero_point
                code = raw[place] if math.isnan(raw[place]) else min(max(raw[place], grid.code_min), grid.code_max)
                y[place] = F(F(code) - F(grid.zero_point)) * grid.step
    return values, y, groups, raw


def describe(x: np.ndarray, words: Words, *, axis: int = 0) -> Truth:
    """The columns of one tensor (not empty, not 0-d) under one scheme."""
    values, y, groups, raw = quantize(x, words, axis=axis)
    outside = [False] * len(values)
    for group in groups:
        for place in group.places:
            outside[place] = not group.grid.code_min <= raw[place] <= group.grid.code_max
    zero_bits = words.bits if words.symmetry == "asym" else 0
    storage = words.bits * len(values) + len(groups) * (SCALE_BITS[words.scale] + zero_bits)
    truth = describe_coded(Coded(values, y, [(group.places, group.grid.span) for group in groups], outside, storage))
    if truth.sums and _has_prediction(words):
        truth.columns["theory_sqnr_db"] = _predict(words, groups)
    return truth


def describe_coded(coded: Coded) -> Truth:
    """The columns that follow from x, y and the groups' grids, whatever the format."""
    values, y, storage = coded.x, coded.y, coded.storage_bits
    span_of = {place: span for places, span in coded.groups for place in places}
    kept = [place for place, value in enumerate(values) if math.isfinite(value)]
    columns: dict[str, object] = {"non_finite": len(values) - len(kept)}
    if not kept:
        return Truth(y, {**columns, "status": "non-finite"})
    columns |= {"bits_per_weight": storage / len(values), "size_bytes": math.ceil(storage / 8)}
    nonzero = [place for place in kept if values[place] != 0]
    if not nonzero:
        return Truth(y, {**columns, "status": "zero"})
    pairs = {place: (float(values[place]), float(y[place]) - float(values[place])) for place in kept}
    beyond, border = [], []
    for place, (value, e) in pairs.items():
        span = span_of[place]
        beyond += [e * e] if value < span.low or value > span.high else []
        # Within 2^-21 of an end level, float32 may see x on its other side.
        border += [e * e] if any(abs(value - end) <= 2**-21 * abs(value) for end in (span.low, span.high)) else []
    x_, e_ = [pair[0] for pair in pairs.values()], [pair[1] for pair in pairs.values()]
    sums = _add_up(x_, e_) | {
        "beyond": math.fsum(beyond),
        "border": math.fsum(border),
        "relative": math.fsum(abs(pairs[place][1]) / abs(pairs[place][0]) for place in nonzero),
        "in_steps": math.fsum((e / span_of[place].step) ** 2 for place, (_value, e) in pairs.items()),
    }
    steps = [span.step for _places, span in coded.groups if not span.idle]
    columns |= _describe_steps(steps, sums, clipped=sum(coded.outside[place] for place in kept) / len(kept))
    columns |= _describe_sums(sums, columns["bits_per_weight"], len(nonzero))
    columns |= {
        "status": "ok",
        "max_abs_error": max(map(abs, e_)),
        "cosine": _ratio(sums["xy"], math.sqrt(sums["x2"] * sums["y2"])),
        "error_signal_correlation": _ratio(sums["cov"], math.sqrt(sums["var_x"]) * math.sqrt(sums["var_e"])),
        "zeroed_fraction": sum(y[place] == 0 for place in nonzero) / len(kept),
    }
    return Truth(y, columns, sums)


def _add_up(x: list[float], e: list[float]) -> dict[str, float]:
    mean_x, mean_e = math.fsum(x) / len(x), math.fsum(e) / len(e)
    pairs = list(zip(x, e, strict=True))
    return {
        "count": len(x),
        "x": math.fsum(x),
        "abs_x": math.fsum(map(abs, x)),
        "x2": math.fsum(v * v for v in x),
        "var_x": math.fsum((v - mean_x) ** 2 for v in x),
        "e": math.fsum(e),
        "abs_e": math.fsum(map(abs, e)),
        "e2": math.fsum(d * d for d in e),
        "var_e": math.fsum((d - mean_e) ** 2 for d in e),
        "abs_xe": math.fsum(abs(v * d) for v, d in pairs),
        "cov": math.fsum((v - mean_x) * (d - mean_e) for v, d in pairs),
        "xy": math.fsum(v * (v + d) for v, d in pairs),
        "y2": math.fsum((v + d) ** 2 for v, d in pairs),
    }


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _describe_steps(steps: list[float], sums: dict[str, float], *, clipped: float) -> dict[str, object]:
    share = sums["beyond"] / sums["e2"] if sums["e2"] else None
    names = (
        "step_min",
        "step_mean",
        "step_max",
        "half_step_bound",
        "clipped_fraction",
        "rmse_in_steps",
        "clipping_share",
        "rounding_share",
    )
    if not steps:
        return dict.fromkeys(names)
    shares = share, None if share is None else 1 - share
    figures = (
        min(steps),
        math.fsum(steps) / len(steps),
        max(steps),
        max(steps) / 2,
        clipped,
        math.sqrt(sums["in_steps"] / sums["count"]),
        *shares,
    )
    return dict(zip(names, figures, strict=True))


def _describe_sums(s: dict[str, float], bits_per_weight: float, relative_count: int) -> dict[str, object]:
    n = s["count"]
    sqnr_db = 10 * math.log10(s["x2"] / s["e2"]) if s["e2"] else math.inf
    ac_db = (10 * math.log10(s["var_x"] / s["e2"]) if s["e2"] else math.inf) if s["var_x"] else None
    return {
        "mean_abs_error": s["abs_e"] / n,
        "bias": s["e"] / n,
        "mse": s["e2"] / n,
        "sqnr_db": sqnr_db,
        "sqnr_ac_db": ac_db,
        "enob": (sqnr_db - 1.7609) / 6.0206,
        "relative_l2": math.sqrt(s["e2"] / s["x2"]),
        "mean_relative_error": s["relative"] / relative_count,
        "relative_count": relative_count,
        "shannon_gap_db": None if ac_db is None else 6.0206 * bits_per_weight - ac_db,
        "wasted_bits": None if ac_db is None else bits_per_weight - ac_db / 6.0206,
    }


def _has_prediction(words: Words) -> bool:
    return (
        words.symmetry == "sym"
        and not words.scale.startswith("pow2")
        and words.mode.partition(":")[0] in ("nearest-even", "nearest-away", "half-up")
    )


def _predict(words: Words, groups: list[Group]) -> float:
    noise = count = 0.0
    for length in (len(group.places) for group in groups):
        noise += length * expected_max_square(length) / (12 * (2 ** (words.bits - 1) - 1) ** 2) * (length - 1) / length
        count += length
    return 10 * math.log10(count / noise) if noise else math.inf


def check_row(row: Row, truth: Truth) -> None:
    """Assert every column of a row: exact where it is a count, an order statistic or a step, else within `find_tolerances`."""
    place = f"{row.tensor}: {row.scheme}"
    assert row.status == truth.columns["status"], place
    tolerances = find_tolerances(truth) if truth.sums else {}
    for name, true in truth.columns.items():
        found, tolerance = getattr(row, name), tolerances.get(name, 0.0)
        if tolerance is None:
            continue
        if true is None or isinstance(true, str) or math.isinf(true):
            assert found == true, f"{place}: {name}"
        else:
            assert found == pytest.approx(true, rel=1e-12, abs=tolerance), f"{place}: {name}"


def find_tolerances(truth: Truth) -> dict[str, float | None]:
    """Absolute tolerance of each column that rests on float32 lanes; None where lanes can not determine the figure.

    A sum of n float32 terms in any order is off by (n - 1) 2^-24 of its magnitudes, a term by 4 roundings of 2^-24 more.
    """
    s, columns = truth.sums, truth.columns
    n = s["count"]
    g = (min(n, LANE) + 4) * 2.0**-24
    decibel = 10 / math.log(10)
    relative = {
        name: g * abs(columns[name] or 0)
        for name in ("mse", "mean_abs_error", "mean_relative_error", "rmse_in_steps", "relative_l2")
    }
    e2_db = decibel * 2.1 * g
    var_x, var_e = g * (s["x2"] + 2 * abs(s["x"]) * s["abs_x"] / n), g * (s["e2"] + 2 * abs(s["e"]) * s["abs_e"] / n)
    cov = g * (s["abs_xe"] + (abs(s["x"]) * s["abs_e"] + abs(s["e"]) * s["abs_x"]) / n)
    ac_db = decibel * (1.2 * var_x / s["var_x"] + 1.1 * g) if s["var_x"] > 8 * var_x else None
    correlation = None
    if s["var_x"] > 8 * var_x and s["var_e"] > 8 * var_e:
        correlation = cov / math.sqrt(s["var_x"] * s["var_e"]) + 0.6 * (var_x / s["var_x"] + var_e / s["var_e"])
    y2 = s["x2"] + 2 * s["abs_xe"] + s["e2"]
    cosine = g * (y2 / math.sqrt(s["x2"] * s["y2"]) + 0.6 * y2 / s["y2"]) if s["y2"] > 8 * g * y2 else None
    # A border element may count on either side of the ledger.
    share = 2.1 * g + s["border"] / s["e2"] if s["e2"] else 0.0
    return relative | {
        "max_abs_error": 2.0**-24 * columns["max_abs_error"],
        "bias": g * s["abs_e"] / n,
        "sqnr_db": e2_db,
        # 1.7609 and 6.0206 are printed to four decimals: 5e-5 of up to 200 dB.
        "enob": e2_db / 6 + 5e-4,
        "sqnr_ac_db": ac_db,
        "shannon_gap_db": None if ac_db is None else ac_db + 1e-4 * columns["bits_per_weight"],
        "wasted_bits": None if ac_db is None else ac_db / 6 + 5e-4,
        "cosine": cosine,
        "error_signal_correlation": correlation,
        "clipping_share": share,
        "rounding_share": share,
        # The trapezoids of `expected_max_square` are good to 1e-7.
        "theory_sqnr_db": 1e-6,
    }
