"""The scalar truth of every format that is not intN: one block at a time, one element at a time.

Written from the OCP MX v1.0 specification, the QLoRA and ternary-weight papers and the GGUF block layouts; the package is
not asked. A block becomes `Levels`; an element becomes its unit level before clipping and its value after.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tests.reference import SCALE_BITS, Coded, F, Truth, describe_coded, find_groups, round_scale
from tests.reference_levels import FLOATS, NF4, Levels, list_dynamic_code_book, list_levels, on_ladder, round_to_ladder

MX = {
    "mxfp4": "fp4_e2m1",
    "mxfp6_e2m3": "fp6_e2m3",
    "mxfp6_e3m2": "fp6_e3m2",
    "mxfp8_e4m3": "fp8_e4m3",
    "mxfp8_e5m2": "fp8_e5m2",
    "mxint8": "int8/64",
}
SCALED_FLOATS = tuple(name for name in FLOATS if name.startswith("fp"))
# name: (elements in a block, bytes of a block)
GGUF = {
    "gguf:q4_0": (32, 2 + 16),
    "gguf:q4_1": (32, 2 + 2 + 16),
    "gguf:q5_0": (32, 2 + 4 + 16),
    "gguf:q5_1": (32, 2 + 2 + 4 + 16),
    "gguf:q8_0": (32, 2 + 32),
    "gguf:tq1_0": (256, 48 + 4 + 2),
    "gguf:tq2_0": (256, 64 + 2),
    "gguf:mxfp4": (32, 1 + 16),
}
BLOCKS = (
    dict.fromkeys(MX, 32)
    | {"nvfp4": 16, "nvfp4:one-level": 16}
    | {name: block for name, (block, _size) in GGUF.items()}
)
BITS = {
    "fp8": 8,
    "fp6": 6,
    "fp4": 4,
    "mxfp8": 8,
    "mxfp6": 6,
    "mxfp4": 4,
    "mxint8": 8,
    "nvfp4": 4,
    "nf4": 4,
    "binary": 1,
    "ternary": 2,
    "bfloat16": 16,
    "float16": 16,
}
GGUF_BITS = {"q4_0": 4, "q4_1": 4, "q5_0": 5, "q5_1": 5, "q8_0": 8, "tq1_0": 2, "tq2_0": 2, "mxfp4": 4}
ALL_FORMATS = (
    "binary",
    "ternary",
    *SCALED_FLOATS,
    *MX,
    "nvfp4",
    "nvfp4:one-level",
    "nf4",
    "bfloat16",
    "float16",
    *GGUF,
)
SMALLEST_E4M3 = F(2.0**-6)


@dataclass(frozen=True)
class FormatWords:
    """A scheme of one of these formats; `text` leaves out what the format fixes."""

    format: str
    grouping: str = "tensor"
    scale: str = "float32"
    mode: str = "nearest-even"

    @property
    def text(self) -> str:
        words = [self.format]
        # nf4 alone has the groups of 64 of its tools.
        usual = "group=64" if self.format == "nf4" else "tensor"
        words += [self.grouping] if self.grouping != usual else []
        words += [f"scale={self.scale}"] if self.scale != "float32" else []
        words += [f"round={self.mode}"] if self.mode != "nearest-even" else []
        return " ".join(words)

    @property
    def bits(self) -> int:
        return (
            GGUF_BITS[self.format[5:]]
            if self.format.startswith("gguf:")
            else BITS[self.format.partition("_")[0].partition(":")[0]]
        )


def _inverts(scale: np.float32) -> bool:
    # 1/scale overflows float32 below about 2^-128; the package states 2^-127 as its limit.
    return 2.0**-127 <= float(scale) < math.inf


def _store(step: np.float32, reach: np.float32, largest: float, scale: str) -> tuple[np.float32, bool]:
    """(scale as its type holds it, idle): the ideal step, 1 where it can not be inverted."""
    if not _inverts(step):
        return F(1), True
    stored = _round_to_type(step, reach, largest, scale)
    return (stored if _inverts(stored) else F(1)), False


def _round_to_type(step: np.float32, reach: np.float32, largest: float, scale: str) -> np.float32:
    if scale in ("float32", "double"):
        return step
    # The powers of two ask for the exponent of the end of the levels, about 2^(bits - 1) for an integer of `bits` bits; 1 is 2^0.
    top = math.ceil(math.log2(largest))
    return round_scale(step, reach, top + 1, scale)


def _fit_scaled(name: str, values: list[np.float32], words: FormatWords) -> Levels:
    largest = list_levels(name).high
    absmax = max(map(abs, values), default=F(0))
    scale, idle = _store(F(absmax / F(largest)), absmax, largest, words.scale)
    return on_ladder(name, scale, F(1) / scale, words.mode, idle=idle)


def _fit_mx(name: str, values: list[np.float32], words: FormatWords) -> Levels:
    element = MX[name]
    absmax = float(max(map(abs, values), default=F(0)))
    if not absmax:
        return on_ladder(element, F(1), F(1), words.mode, idle=True)
    top = math.frexp(list_levels(element).high)[1] - 1
    exponent = min(max(math.frexp(absmax)[1] - 1 - top, -127), 127)
    return on_ladder(element, F(2.0**exponent), F(2.0**-exponent), words.mode)


def _fit_nvfp4(values: list[np.float32], words: FormatWords, tensor_absmax: np.float32) -> Levels:
    """Two levels of scales: block scales in E4M3's normal numbers under a float32 scale of the tensor; one level: E4M3 alone."""
    absmax = max(map(abs, values), default=F(0))
    e4m3 = list_levels("fp8_e4m3")
    if words.format == "nvfp4:one-level":
        block = F(round_to_ladder(min(F(absmax / F(6)), F(448)), e4m3, "nearest-even", 0))
        block = max(block, SMALLEST_E4M3) if words.scale == "fp8_e4m3:normal" else block
        scale = block if _inverts(block) and _inverts(absmax) else F(1)
        return on_ladder("fp4_e2m1", scale, F(1) / scale, words.mode, idle=not _inverts(absmax))
    tensor = F(tensor_absmax / F(448 * 6))
    idle = not (_inverts(absmax) and _inverts(tensor))
    tensor = tensor if _inverts(tensor) else F(1)
    ideal = min(F(F(absmax / F(6)) / tensor), F(448))
    block = max(F(round_to_ladder(ideal, e4m3, "nearest-even", 0)), SMALLEST_E4M3)
    return on_ladder("fp4_e2m1", F(tensor * block), F(F(F(1) / tensor) / block), words.mode, idle=idle)


def _fit_nf4(values: list[np.float32], words: FormatWords, stored: np.float32 | None) -> Levels:
    absmax = max(map(abs, values), default=F(0))
    scale, idle = _store(absmax, absmax, 1.0, words.scale)
    inverse = F(1) / scale
    # The borders are float32 numbers themselves, and belong to the level below.
    borders = [F(F(F(low) + F(high)) / F(2)) for low, high in itertools.pairwise(NF4)]

    def round_one(x: np.float32, _place: int) -> float:
        with np.errstate(over="ignore", invalid="ignore"):
            s = F(x * inverse)
        return float(s) if math.isnan(s) else NF4[bisect_left(borders, s)]

    gap = max(high - low for low, high in itertools.pairwise(NF4))
    return Levels(
        round_one,
        -1.0,
        1.0,
        gap,
        scale if stored is None or idle else stored,
        idle=idle,
        slack=((NF4[1] + 1) / 2, (1 - NF4[-2]) / 2),
    )


def _fit_signs(values: list[np.float32], words: FormatWords) -> Levels:
    """Binary: the sign times mean |x|, 0 being positive. Ternary: 0 up to 0.7 mean |x|, else the sign times the mean above it."""
    has_zero = words.format == "ternary"
    mean = F(math.fsum(map(abs, values)) / len(values)) if values else F(0)
    threshold = F(0.7 * math.fsum(map(abs, values)) / len(values)) if has_zero and values else F(-1)
    above = [abs(value) for value in values if abs(value) > threshold]
    level = F(math.fsum(above) / len(above)) if above and has_zero else mean
    scale = _round_to_type(level, level, 1.0, words.scale) if _inverts(level) else F(0)

    def round_one(x: np.float32, _place: int) -> float:
        return 0.0 if not scale or abs(x) <= threshold else -1.0 if x < 0 else 1.0

    return Levels(
        round_one,
        -1.0,
        1.0,
        1.0 if has_zero else 2.0,
        scale,
        idle=not scale,
        slack=(0.5, 0.5) if has_zero else (1.0, 1.0),
    )


# --- GGUF blocks --------------------------------------------------------------------------------------------------


def _halve(value: np.float32) -> np.float32:
    """As float16 holds it, up to its largest number."""
    return F(np.float16(min(max(value, F(-65504)), F(65504))))


def _scales(d: np.float32) -> tuple[np.float32, np.float32]:
    """(scale for coding, scale for decoding): the inverse, and what float16 holds; 0 both where d can not be inverted, and then every code is 0."""
    return (F(1) / d, _halve(d)) if _inverts(abs(d)) else (F(0), F(0))


def _away(s: np.float32) -> float:
    if not math.isfinite(s):
        return float(s)
    magnitude = abs(s)
    whole = np.floor(magnitude)
    return math.copysign(float(whole + np.floor(F(2) * F(magnitude - whole))), s)


def _fit_signed_block(values: list[np.float32], half: int) -> Levels:
    """Q4_0, Q5_0: the element of largest magnitude, the first of them, becomes code -half."""
    peak = max(values, key=abs, default=F(0))
    d = F(peak / F(-half))
    inverse, stored = _scales(d)

    def round_one(x: np.float32, _place: int) -> float:
        return float(np.floor(F(F(x * inverse) + F(half + 0.5)))) - half if inverse else 0.0

    return Levels(round_one, -half, half - 1, 1.0, stored, idle=not stored)


def _fit_offset_block(values: list[np.float32], codes: int) -> Levels:
    """Q4_1, Q5_1: codes 0..codes from the smallest element to the largest."""
    low, high = min(values, default=F(0)), max(values, default=F(0))
    with np.errstate(over="ignore"):
        d = F(F(high - low) / F(codes))
    inverse, stored = _scales(d)

    def round_one(x: np.float32, _place: int) -> float:
        return float(np.floor(F(F(F(x - low) * inverse) + F(0.5)))) if inverse else 0.0

    return Levels(round_one, 0, codes, 1.0, stored, _halve(low), idle=not stored)


def _fit_even_block(values: list[np.float32], top: int) -> Levels:
    """Q8_0, TQ1_0, TQ2_0: absmax becomes code top, halves round away from zero."""
    d = F(max(map(abs, values), default=F(0)) / F(top))
    inverse, stored = _scales(d)
    return Levels(lambda x, _: _away(F(x * inverse)) if inverse else 0.0, -top, top, 1.0, stored, idle=not stored)


def _fit_mxfp4_block(values: list[np.float32]) -> Levels:
    """The shared exponent by a float32 logarithm, ties toward zero."""
    absmax = max(map(abs, values), default=F(0))
    if not absmax:
        return on_ladder("fp4_e2m1", F(1), F(1), "to-middle", idle=True)
    exponent = min(max(math.floor(F(math.log2(absmax))) - 2, -127), 127)
    return on_ladder("fp4_e2m1", F(2.0**exponent), F(2.0**-exponent), "to-middle")


GGUF_FITS: dict[str, Callable[[list[np.float32]], Levels]] = {
    "gguf:q4_0": lambda values: _fit_signed_block(values, 8),
    "gguf:q4_1": lambda values: _fit_offset_block(values, 15),
    "gguf:q5_0": lambda values: _fit_signed_block(values, 16),
    "gguf:q5_1": lambda values: _fit_offset_block(values, 31),
    "gguf:q8_0": lambda values: _fit_even_block(values, 127),
    "gguf:tq1_0": lambda values: _fit_even_block(values, 1),
    "gguf:tq2_0": lambda values: _fit_even_block(values, 1),
    "gguf:mxfp4": _fit_mxfp4_block,
}


# --- double quantization ------------------------------------------------------------------------------------------


def store_twice(absmax: list[np.float32]) -> list[np.float32]:
    """absmax values as kept by double quantization: less their mean, in blocks of 256, each as a book value times the block's absmax."""
    mean = F(math.fsum(absmax) / len(absmax))
    stored = []
    for start in range(0, len(absmax), 256):
        block = [F(value - mean) for value in absmax[start : start + 256]]
        peak = max(map(abs, block))
        inverse = F(1) / peak if _inverts(peak) else F(0)
        stored += [F(F(_look_up(F(value * inverse)) * peak) + mean) for value in block]
    return stored


def _look_up(s: np.float32) -> np.float32:
    # The peer does not look for the book value nearest to s, but to the nearest of 65536 places between -1 and 1.
    place = math.floor(F(F(F(F(min(max(s, F(-1)), F(1)) + F(1)) * F(0.5)) * F(65535)) + F(0.5)))
    value = F(F(F(F(place) / F(65535)) * F(2)) - F(1))
    book = list_dynamic_code_book()
    above = min(bisect_left(book, value), 255)
    return book[above - 1] if above and value <= F(F(book[above - 1] + book[above]) / F(2)) else book[above]


# --- a tensor -----------------------------------------------------------------------------------------------------


@dataclass
class Tensor:
    """What a block's levels may depend on beside its own elements."""

    absmax: np.float32
    stored: list[np.float32 | None] = field(default_factory=list)


def fit_levels(values: list[np.float32], words: FormatWords, *, tensor: Tensor, number: int) -> Levels:
    """The levels of one block from its finite elements."""
    name = words.format
    if name in GGUF_FITS:
        return GGUF_FITS[name](values)
    if name in ("bfloat16", "float16"):
        ladder = list_levels(name)
        place = min(max(bisect_right(ladder.magnitudes, float(tensor.absmax)) - 1, 0), ladder.top - 1)
        levels = on_ladder(name, F(1), F(1), words.mode)
        return Levels(
            levels.round, levels.low, levels.high, ladder.magnitudes[place + 1] - ladder.magnitudes[place], F(1)
        )
    if name.startswith("nvfp4"):
        return _fit_nvfp4(values, words, tensor.absmax)
    if name == "nf4":
        return _fit_nf4(values, words, tensor.stored[number])
    if name in ("binary", "ternary"):
        return _fit_signs(values, words)
    return _fit_mx(name, values, words) if name in MX else _fit_scaled(name, values, words)


def count_storage(words: FormatWords, *, elements: int, groups: int) -> int:
    """Bits of codes, scales and offsets."""
    if words.format in GGUF:
        return groups * GGUF[words.format][1] * 8
    if words.format in ("bfloat16", "float16"):
        return 16 * elements
    if words.format in BLOCKS:
        return words.bits * elements + 8 * groups + (32 if words.format == "nvfp4" else 0)
    if words.scale == "double":
        return words.bits * elements + 8 * groups + 32 * math.ceil(groups / 256) + 32
    return words.bits * elements + SCALE_BITS[words.scale] * groups


def code(x: np.ndarray, words: FormatWords, *, axis: int = 0) -> Coded:
    """Put a tensor through a format: every element, one at a time, under minmax ranges."""
    block = BLOCKS.get(words.format)
    order, groups = find_groups(x.shape, f"group={block}" if block else words.grouping, axis=axis)
    values = [F(x[index]) for index in order]
    kept = [[values[place] for place in group.places if math.isfinite(values[place])] for group in groups]
    tensor = Tensor(max((abs(value) for part in kept for value in part), default=F(0)), [None] * len(groups))
    if words.scale == "double":
        tensor.stored = list(store_twice([max(map(abs, part), default=F(0)) for part in kept]))
    y, outside, spans = [F(0)] * len(values), [False] * len(values), []
    for number, (group, part) in enumerate(zip(groups, kept, strict=True)):
        levels = fit_levels(part, words, tensor=tensor, number=number)
        spans.append((group.places, levels.span))
        for place in group.places:
            if math.isnan(values[place]):
                y[place] = values[place]
                continue
            unit = levels.round(values[place], place)
            y[place], outside[place] = levels.decode(unit), levels.is_outside(values[place], unit)
    return Coded(values, y, spans, outside, count_storage(words, elements=len(values), groups=len(groups)))


def describe_format(x: np.ndarray, words: FormatWords, *, axis: int = 0) -> Truth:
    """The columns of one tensor (not empty, not 0-d) under one of these formats."""
    return describe_coded(code(x, words, axis=axis))
