"""Which numbers can a code stand for? Number formats as values: the catalogue, what each fixes, how its scales are made.

An integer format leaves every convention to the scheme. The others fix some: `fixed` names the parts of a scheme that
can not be chosen. `lay` turns a group's statistic (its range, unless `statistic` says otherwise) into a grid.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Floats
from qanalysis.quantizers.coders import BiasedCoder, Coder, FixedCoder, FloatCoder, IntegerCoder, SignCoder, TableCoder
from qanalysis.quantizers.grids import (
    BLOCK_FP8_SCALE,
    DOUBLE,
    E8M0,
    FP8_SCALE,
    LARGEST_E4M3,
    NO_SCALE,
    NORMAL_FP8_SCALE,
    SCALE_TYPES,
    Grid,
    ScaleType,
    find_unused,
    is_invertible,
    lay_scaled,
)

#: The parts of a scheme that a format may fix.
PARTS = ("symmetry", "grouping", "range", "scale", "rounding")
STORED_FLOATS = tuple(SCALE_TYPES.values())


class NumberFormat(Protocol):
    """What a scheme asks of a format; frozen, compared by value, printed as its text form."""

    def __hash__(self) -> int: ...
    @property
    def bits(self) -> int: ...
    @property
    def coder(self) -> Coder: ...
    @property
    def block(self) -> int | None: ...
    @property
    def fixed(self) -> frozenset[str]: ...
    @property
    def symmetry(self) -> str: ...
    @property
    def scales(self) -> tuple[ScaleType, ...]: ...
    @property
    def rounding(self) -> str: ...
    @property
    def statistic(self) -> str: ...
    @property
    def is_tensor_scaled(self) -> bool: ...
    @property
    def peer(self) -> str: ...


@dataclass(frozen=True, slots=True)
class IntegerFormat:
    """Integers of `bits` bits, 2 to 16; text form "int4"."""

    bits: int

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 16:
            raise ValueError(f"int{self.bits}: integer formats have 2 to 16 bits")

    def __str__(self) -> str:
        return f"int{self.bits}"

    @property
    def max_code(self) -> int:
        """The largest signed code, q = 2^(bits-1) - 1."""
        return (1 << (self.bits - 1)) - 1

    @property
    def coder(self) -> Coder:
        """All signed codes; which of them a scheme uses is its symmetry's choice."""
        return IntegerCoder(self.min_code, self.max_code)

    @property
    def block(self) -> None:
        """None: groups are the scheme's choice."""

    @property
    def fixed(self) -> frozenset[str]:
        """Nothing is fixed."""
        return frozenset()

    @property
    def symmetry(self) -> str:
        """The symmetry of a scheme that names none."""
        return "sym"

    @property
    def scales(self) -> tuple[ScaleType, ...]:
        """The types that steps may be stored in, the default first."""
        return STORED_FLOATS

    @property
    def rounding(self) -> str:
        """The rounding of a scheme that names none."""
        return "nearest-even"

    @property
    def statistic(self) -> str:
        """A grid is laid over a range."""
        return "range"

    @property
    def is_tensor_scaled(self) -> bool:
        """Each group's scale is its own."""
        return False

    @property
    def peer(self) -> str:
        """Which tool's values these are, bit for bit."""
        return "torch fake_quantize (sym, asym), torchao (sym-full, sym-noclip, asym)"

    @property
    def min_code(self) -> int:
        """-2^(bits-1), the smallest signed code."""
        return -(1 << (self.bits - 1))


@dataclass(frozen=True, slots=True)
class CodedFormat:
    """Any format but the integers: its numbers, what it fixes, and how a group's statistic becomes a grid.

    `block` is a fixed group length along the row; `symmetry`, `scales` (default first) and `rounding` are what a scheme that
    names none gets. `statistic` is what `lay` takes for each group: "range" (low, high); "extremes" (the same, not widened
    to 0); "signed" (the element of largest magnitude, twice); "mean" (mean |x|, twice); "threshold" (0.7 mean |x|, mean of
    |x| above it). `is_tensor_scaled`: scales depend on the whole tensor's. `code_bits` and `group_bits` are stored per value
    and, beside the scale, per group. `peer` says whose values these are. Two formats of one name are equal.
    """

    name: str
    bits: int = field(compare=False)
    coder: Coder = field(compare=False)
    lay: Callable[[Coder, Floats, Floats, ScaleType], Grid] = field(compare=False)
    fixed: frozenset[str] = field(compare=False)
    block: int | None = field(default=None, compare=False)
    symmetry: str = field(default="sym", compare=False)
    scales: tuple[ScaleType, ...] = field(default=STORED_FLOATS, compare=False)
    rounding: str = field(default="nearest-even", compare=False)
    statistic: str = field(default="range", compare=False)
    is_tensor_scaled: bool = field(default=False, compare=False)
    code_bits: int | None = field(default=None, compare=False)
    group_bits: int = field(default=0, compare=False)
    peer: str = field(default="", compare=False)

    def __str__(self) -> str:
        return self.name


def _lay_absmax(coder: Coder, low: Floats, high: Floats, scale: ScaleType) -> Grid:
    """Scale = max|x| / largest number, stored as the scheme says."""
    absmax = np.maximum(-low, high)
    step: NDArray[Any] = absmax / np.float32(coder.high)
    unused = find_unused(step)
    step = step if unused is None else np.where(unused, np.float32(1), step)
    if scale.name != "float32":
        fitted = scale.fit(step, absmax, int(np.frexp(coder.high)[1]) - (coder.high == 1))
        step = np.where(is_invertible(fitted) if unused is None else is_invertible(fitted) & ~unused, fitted, np.float32(1))
    return lay_scaled(coder, step, stored=scale, unused=unused)


def _lay_nf4(coder: Coder, low: Floats, high: Floats, scale: ScaleType) -> Grid:
    """As absmax; doubly quantized scales come as (-true, stored) pairs: values are coded with the true one."""
    if scale is not DOUBLE:
        return _lay_absmax(coder, low, high, scale)
    unused = find_unused(-low)
    true: Floats = -low if unused is None else np.where(unused, np.float32(1), -low)
    return lay_scaled(coder, high, unused=unused, encode=np.float32(1) / true)


def _lay_power_of_two(coder: Coder, low: Floats, high: Floats, _scale: ScaleType) -> Grid:
    """Scale = 2^(floor(log2 max|x|) - exponent of the largest number) (OCP MX v1.0, 6.3)."""
    absmax = np.maximum(-low, high)
    unused = absmax == 0
    scale = np.where(unused, np.float32(1), E8M0.fit(absmax, absmax, int(np.frexp(coder.high)[1])))
    return lay_scaled(coder, scale, unused=unused if unused.any() else None)


def _lay_one_level(coder: Coder, low: Floats, high: Floats, scale: ScaleType) -> Grid:
    """Block scale max|x|/6 in E4M3 alone."""
    absmax = np.maximum(-low, high)
    unused = find_unused(absmax)
    step: NDArray[Any] = absmax / np.float32(coder.high)
    fitted = scale.fit(step, absmax, 0)
    usable = is_invertible(fitted) if unused is None else is_invertible(fitted) & ~unused
    return lay_scaled(coder, np.where(usable, fitted, np.float32(1)), unused=unused)


def _lay_two_levels(coder: Coder, block: Floats, tensor: Floats, scale: ScaleType) -> Grid:
    """Block scales in E4M3 times one float32 scale that lets the tensor's largest block reach 448; statistics are (-max of block, max of tensor)."""
    # The tensor's largest magnitude is the same in all places.
    absmax, outer = -block, tensor[:1] / np.float32(LARGEST_E4M3 * coder.high)
    unused = find_unused(absmax)
    if not is_invertible(outer).all():
        outer, unused = np.ones_like(outer), np.ones(absmax.shape, np.bool_)
    step: NDArray[Any] = absmax / np.float32(coder.high) / outer
    inner = scale.fit(step, absmax, 0)
    return lay_scaled(coder, outer * inner, unused=unused, encode=np.float32(1) / outer / inner)


def _lay_unscaled(coder: Coder, low: Floats, high: Floats, _scale: ScaleType) -> Grid:
    absmax = np.maximum(-low, high)
    unused = absmax == 0
    gap = coder.gap_at(np.minimum(absmax, np.float32(coder.high))).astype(np.float32) if isinstance(coder, FloatCoder) else None
    return lay_scaled(coder, np.ones_like(absmax), unused=unused if unused.any() else None, gap=gap)


def _lay_signs(coder: Coder, threshold: Floats, level: Floats, scale: ScaleType) -> Grid:
    """Levels +-`level`; binary signs have no threshold. A group of zeros has level 0 and stays 0."""
    stored = level if scale.name == "float32" else scale.fit(level, level, 0)
    unused = ~(is_invertible(level) & is_invertible(stored))
    return lay_scaled(
        coder,
        np.where(unused, np.float32(0), stored),
        unused=unused if unused.any() else None,
        encode=threshold if 0 in coder.levels else np.full_like(level, -1),
    )


def _to_half(value: Floats) -> Floats:
    return SCALE_TYPES["float16"].fit(np.abs(value), value, 0) * np.sign(value)


def _lay_gguf(coder: Coder, scale: Floats, *, centre: tuple[Floats, Floats] | None = None) -> Grid:
    """GGUF codes with the inverse of the scale as computed, and decodes with the scale as stored, float16; it may be negative."""
    usable = is_invertible(np.abs(scale))
    stored = np.where(usable, _to_half(scale), np.float32(0))
    # Where there is no scale every code stands for the same value, so the inverse only has to keep an infinity from becoming NaN.
    encode = np.where(usable, np.float32(1) / np.where(usable, scale, np.float32(1)), np.float32(1))
    unused = stored == 0
    return lay_scaled(coder, stored, unused=unused if unused.any() else None, encode=encode, centre=centre)


def _lay_gguf_signed(coder: Coder, extreme: Floats, _same: Floats, _scale: ScaleType) -> Grid:
    """The element of largest magnitude gets the lowest code exactly."""
    return _lay_gguf(coder, extreme / np.float32(coder.low))


def _lay_gguf_offset(coder: Coder, low: Floats, high: Floats, _scale: ScaleType) -> Grid:
    """Codes from 0 over low..high, the low end stored in float16 too."""
    with np.errstate(over="ignore"):
        step: NDArray[Any] = (high - low) / np.float32(coder.high)
    return _lay_gguf(coder, step, centre=(low, _to_half(low)))


def _lay_gguf_absmax(coder: Coder, low: Floats, high: Floats, _scale: ScaleType) -> Grid:
    step: NDArray[Any] = np.maximum(-low, high) / np.float32(coder.high)
    return _lay_gguf(coder, step)


def _lay_gguf_mxfp4(coder: Coder, low: Floats, high: Floats, _scale: ScaleType) -> Grid:
    """As MXFP4, with the logarithm taken in float32: just below a power of two the scale is twice as large."""
    absmax = np.maximum(-low, high)
    unused = absmax == 0
    with np.errstate(divide="ignore"):
        exponent = np.floor(np.log2(absmax)) - np.float32(2)
    scale = np.ldexp(np.float32(1), np.clip(np.where(unused, 0, exponent), -127, 127).astype(np.int32)).astype(np.float32)
    return lay_scaled(coder, scale, unused=unused if unused.any() else None)


E2M1, E2M3, E3M2 = FloatCoder(2, 1, 6.0), FloatCoder(2, 3, 7.5), FloatCoder(3, 2, 28.0)
E4M3, E5M2 = FloatCoder(4, 3, 448.0), FloatCoder(5, 2, 57344.0)
BFLOAT16, FLOAT16 = FloatCoder(8, 7, 2.0**127 * (2 - 2.0**-7)), FloatCoder(5, 10, 65504.0)
#: Quantiles of N(0, 1), scaled to -1..1 with an exact 0 (Dettmers et al. 2023, QLoRA, appendix E).
NF4 = TableCoder(
    (
        *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
        *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023),
        1.0,
    )
)
_BLOCK_SCALED, _EVERYTHING = frozenset(PARTS) - {"rounding"}, frozenset(PARTS)


def _float(name: str, coder: FloatCoder, bits: int) -> CodedFormat:
    peer = "ml-dtypes and gfloat casts" if bits < 8 else "ml-dtypes, torch and gfloat casts"
    return CodedFormat(name, bits, coder, _lay_absmax, frozenset({"symmetry"}), peer=f"{peer}, saturating")


def _mx(name: str, coder: Coder, bits: int, peer: str = "torchao MXTensor (floor), gfloat") -> CodedFormat:
    return CodedFormat(name, bits, coder, _lay_power_of_two, _BLOCK_SCALED, block=32, scales=(E8M0,), peer=peer)


def _gguf(
    name: str,
    coder: Coder,
    bits: int,
    lay: Callable[[Coder, Floats, Floats, ScaleType], Grid],
    *,
    block: int = 32,
    symmetry: str = "sym",
    rounding: str = "half-up",
    statistic: str = "range",
    code_bits: int | None = None,
    group_bits: int = 0,
    scale: ScaleType = SCALE_TYPES["float16"],
) -> CodedFormat:
    return CodedFormat(
        f"gguf:{name}",
        bits,
        coder,
        lay,
        _EVERYTHING,
        block=block,
        symmetry=symmetry,
        scales=(scale,),
        rounding=rounding,
        statistic=statistic,
        code_bits=code_bits,
        group_bits=group_bits,
        peer="gguf (Python) quantize, then dequantize",
    )


_CATALOGUE: tuple[NumberFormat, ...] = (
    *map(IntegerFormat, range(2, 17)),
    CodedFormat("binary", 1, SignCoder(has_zero=False), _lay_signs, frozenset({"symmetry", "range", "rounding"}), statistic="mean", peer="XNOR-Net's formula"),
    CodedFormat("ternary", 2, SignCoder(has_zero=True), _lay_signs, frozenset({"symmetry", "range", "rounding"}), statistic="threshold", peer="TWN's formula"),
    _float("fp8_e4m3", E4M3, 8),
    _float("fp8_e5m2", E5M2, 8),
    _float("fp6_e2m3", E2M3, 6),
    _float("fp6_e3m2", E3M2, 6),
    _float("fp4_e2m1", E2M1, 4),
    _mx("mxfp4", E2M1, 4),
    _mx("mxfp6_e2m3", E2M3, 6),
    _mx("mxfp6_e3m2", E3M2, 6),
    _mx("mxfp8_e4m3", E4M3, 8),
    _mx("mxfp8_e5m2", E5M2, 8),
    _mx("mxint8", FixedCoder(-128, 127, 6), 8, peer="gfloat"),
    CodedFormat(
        "nvfp4", 4, E2M1, _lay_two_levels, _BLOCK_SCALED, block=16, scales=(BLOCK_FP8_SCALE,), is_tensor_scaled=True, peer="torchao NVFP4Tensor, two-level"
    ),
    CodedFormat(
        "nvfp4:one-level",
        4,
        E2M1,
        _lay_one_level,
        _BLOCK_SCALED - {"scale"},
        block=16,
        scales=(FP8_SCALE, NORMAL_FP8_SCALE),
        peer="torchao NVFP4Tensor, one-level, with scale=fp8_e4m3:normal",
    ),
    CodedFormat(
        "nf4",
        4,
        NF4,
        _lay_nf4,
        frozenset({"symmetry", "rounding"}),
        scales=(*STORED_FLOATS, DOUBLE),
        peer="bitsandbytes quantize_4bit, where rows divide into groups",
    ),
    CodedFormat("bfloat16", 16, BFLOAT16, _lay_unscaled, _BLOCK_SCALED, scales=(NO_SCALE,), peer="ml-dtypes and torch casts, saturating"),
    CodedFormat("float16", 16, FLOAT16, _lay_unscaled, _BLOCK_SCALED, scales=(NO_SCALE,), peer="numpy and torch casts, saturating"),
    _gguf("q4_0", BiasedCoder(-8, 7, 8.5), 4, _lay_gguf_signed, statistic="signed"),
    _gguf("q4_1", BiasedCoder(0, 15, 0.5), 4, _lay_gguf_offset, symmetry="asym", statistic="extremes", group_bits=16),
    _gguf("q5_0", BiasedCoder(-16, 15, 16.5), 5, _lay_gguf_signed, statistic="signed"),
    _gguf("q5_1", BiasedCoder(0, 31, 0.5), 5, _lay_gguf_offset, symmetry="asym", statistic="extremes", group_bits=16),
    _gguf("q8_0", IntegerCoder(-127, 127), 8, _lay_gguf_absmax, rounding="nearest-away"),
    # Five ternary digits to a byte: 48 bytes for 240 values, 4 for the other 16.
    _gguf("tq1_0", IntegerCoder(-1, 1), 2, _lay_gguf_absmax, block=256, rounding="nearest-away", code_bits=0, group_bits=52 * 8),
    _gguf("tq2_0", IntegerCoder(-1, 1), 2, _lay_gguf_absmax, block=256, rounding="nearest-away"),
    _gguf("mxfp4", TableCoder(tuple(E2M1.levels.tolist()), ties_to_zero=True), 4, _lay_gguf_mxfp4, rounding="nearest-even", scale=E8M0),
)
FORMATS: dict[str, NumberFormat] = {str(fmt): fmt for fmt in _CATALOGUE}


def parse_format(text: str) -> NumberFormat:
    """The format named `text`; ValueError lists what there is.

    >>> parse_format("int4").bits, str(parse_format("gguf:q4_0"))
    (4, 'gguf:q4_0')
    """
    if text in FORMATS:
        return FORMATS[text]
    if re.fullmatch(r"int\d+", text):
        raise ValueError(f"format {text!r}: integer formats have 2 to 16 bits")
    if re.fullmatch(r"gguf:(q\d_k\w*|iq\w+)", text, re.IGNORECASE):
        raise ValueError(f"format {text!r}: K- and I-quants are read from files, not written; the package that defines them has no public encoder for them")
    names = [name for name in FORMATS if not name.startswith("int")]
    close = _find_alike(text.lower(), names) if text else []
    hint = f" (did you mean {' or '.join(close)}?)" if close else ""
    raise ValueError(f"format {text!r} is unknown{hint}; formats are int2 to int16, {', '.join(names)}")


#: What people call formats that have another name here.
_ALSO_CALLED = {"bf16": "bfloat16", "fp16": "float16", "f16": "float16", "half": "float16", "fp8": "fp8_e4m3", "e4m3fn": "fp8_e4m3", "fp4": "fp4_e2m1"}


def _find_alike(text: str, names: list[str]) -> list[str]:
    """Names that `text`, in lower case, may have meant: the same, another name, a beginning, an end, alike letters."""
    if text in FORMATS or text in _ALSO_CALLED:
        return [_ALSO_CALLED.get(text, text)]
    beginnings = [name for name in names if name.startswith(text)]
    ends = [name for name in names if name.endswith((f":{text}", f"_{text}"))]
    return beginnings or ends or difflib.get_close_matches(text, names, cutoff=0.7)


def resembles_format(text: str) -> bool:
    """Whether a word that is no format may have been meant as one.

    >>> resembles_format("NVFP4"), resembles_format("q4_0"), resembles_format("sideways")
    (True, True, False)
    """
    return bool(re.match("int|uint", text)) or bool(_find_alike(text.lower(), list(FORMATS)))
