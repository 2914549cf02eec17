"""Which numbers can a code stand for? Number formats as values, and the catalogue: all that is known of a format stands
there once.

A format is composed: its element (the numbers of one code), the length of its blocks, the types of its scales, and the
rule that lays them. Sizes, what a scheme can not choose, and who packs whom follow. A new format of a known kind is one
line of `_CATALOGUE`.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field

from qanalysis.quantizers import laying
from qanalysis.quantizers.coders import BiasedCoder, Coder, FixedCoder, IntegerCoder, SignCoder, TableCoder
from qanalysis.quantizers.float_coders import FloatCoder
from qanalysis.quantizers.grids import Grid
from qanalysis.quantizers.laying import Laying
from qanalysis.quantizers.ranges import RangeRule
from qanalysis.quantizers.rounding import Rounding
from qanalysis.quantizers.scales import (
    DOUBLE,
    E8M0,
    FLOAT16,
    FLOAT32,
    FP8,
    LARGEST_BFLOAT16,
    LARGEST_E4M3,
    LARGEST_HALF,
    NO_SCALE,
    NORMAL_FP8,
    STORED_FLOATS,
    ScaleType,
)
from qanalysis.quantizers.statistics import Range, Statistic
from qanalysis.quantizers.symmetries import SYMMETRIES, Symmetry

FEWEST_BITS, MOST_BITS = 2, 16
#: Widest integers that tools were compared with, bit for bit.
MOST_CHECKED_BITS = 8
NF4_BITS = 4
_INTEGER_PEERS = "torch fake_quantize (sym, asym), torchao (sym-full, sym-noclip, asym)"


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """A format: its text form, its element, and what is known of it. Two formats of one name are equal.

    `laying` is the rule that makes its scales, None where the scheme's symmetry does (integers). `block` is a fixed
    group length along the row; `scales` are the types that scales may be stored in, the default first; `outer` is the
    type of one more scale over the whole tensor; `rounding` is one that the format fixes. `block_bits` hold all codes
    of a block where not every code has its own bits. `packs` is the format of free groups with the same numbers;
    `wider` and `other` name formats to try instead, with more bits and with other levels. `formula` says in words how
    scales are made, `peer` whose values these are, bit for bit;
    `find_peer` knows under which conventions.
    """

    name: str
    _: KW_ONLY
    element: Coder = field(compare=False)
    laying: Laying | None = field(default=None, compare=False)
    block: int | None = field(default=None, compare=False)
    scales: tuple[ScaleType, ...] = field(default=STORED_FLOATS, compare=False)
    outer: ScaleType | None = field(default=None, compare=False)
    rounding: Rounding | None = field(default=None, compare=False)
    block_bits: int | None = field(default=None, compare=False)
    packs: NumberFormat | None = field(default=None, compare=False)
    wider: str = field(default="", compare=False)
    other: str = field(default="", compare=False)
    formula: str = field(default="", compare=False)
    peer: str = field(default="", compare=False)

    def __str__(self) -> str:
        return self.name

    @property
    def bits(self) -> int:
        """Bits of one code."""
        return self.element.bits

    @property
    def largest_code(self) -> int:
        """The largest number as a code: q = 2^(bits-1) - 1 of integers."""
        return int(self.element.high)

    @property
    def is_integer(self) -> bool:
        """Whether its codes are integers of free convention, laid as the scheme says."""
        return self.laying is None

    @property
    def has_equal_steps(self) -> bool:
        """Whether neighbouring numbers stand at equal distances."""
        return self.element.is_uniform

    @property
    def is_scaled(self) -> bool:
        """Whether its groups have scales at all."""
        return self.scales[0].bits > 0

    @property
    def statistic(self) -> type[Statistic]:
        """What must be known of a group: `Range` where the scheme's range rule finds it."""
        return Range if self.laying is None else self.laying.statistic

    @property
    def fixed(self) -> frozenset[str]:
        """The parts of a scheme that can not be chosen, by their names in `Scheme`."""
        has_own_groups = self.block is not None or not self.is_scaled
        found = {
            "symmetry": not self.is_integer,
            "grouping": has_own_groups,
            "range": has_own_groups or self.statistic is not Range,
            "scale": len(self.scales) == 1,
            "rounding": self.rounding is not None or bool(self.element.own_rounding),
        }
        return frozenset(part for part, is_fixed in found.items() if is_fixed)

    @property
    def symmetry(self) -> Symmetry:
        """The symmetry of a scheme that names none."""
        return SYMMETRIES["asym" if self.laying is not None and self.laying.offset else "sym"]

    @property
    def twin(self) -> NumberFormat | None:
        """The format of free groups whose elements these are, number by number and code by code."""
        return self.packs if self.packs is not None and self.packs.element == self.element else None

    def takes(self, rule: RangeRule) -> bool:
        """Whether a range rule can be used with these numbers."""
        return self.has_equal_steps or not rule.needs_equal_steps

    def find_coder(self, symmetry: Symmetry) -> Coder:
        """The numbers that grids use under a symmetry: not all codes of an integer serve every convention."""
        return symmetry.find_coder(self.largest_code) if self.is_integer else self.element

    def lay_grid(self, found: Statistic, symmetry: Symmetry, scale: ScaleType) -> Grid:
        """The grids over the statistics of all groups, under the conventions of a scheme."""
        if self.laying is not None:
            return self.laying.lay(self.element, found, scale)
        if not isinstance(found, Range):
            raise TypeError(f"{self} is laid over ranges, and {type(found).__name__} is none")
        return symmetry.lay_grid(found, self.largest_code, scale=scale)

    def stored_bits(self, symmetry: Symmetry) -> tuple[int, int]:
        """Bits per value, and bits per group beside its scale: a zero point of the code's width, a low end, codes that
        are packed together.
        """
        if self.laying is None:
            return self.bits, 0 if symmetry.signed else self.bits
        offset_bits = self.laying.offset.bits if self.laying.offset else 0
        return (self.bits, offset_bits) if self.block_bits is None else (0, self.block_bits + offset_bits)

    def find_peer(self, symmetry: Symmetry, scale: ScaleType) -> str:
        """Whose values these are under range=minmax and the default rounding; empty where no tool was checked."""
        if self.laying is None:
            return symmetry.peers if scale.is_exact and self.bits <= MOST_CHECKED_BITS else ""
        return self.peer if scale == self.scales[0] or scale not in STORED_FLOATS else ""


def integer_format(bits: int) -> NumberFormat:
    """Integers of `bits` bits, 2 to 16, whose conventions a scheme chooses; text form "int4". ValueError for other
    widths.
    """
    if not FEWEST_BITS <= bits <= MOST_BITS:
        raise ValueError(f"int{bits}: integer formats have {FEWEST_BITS} to {MOST_BITS} bits")
    half, wider = 1 << (bits - 1), f"int{bits + 1}" if bits < MOST_BITS else ""
    other = "nf4" if bits == NF4_BITS else ""
    return NumberFormat(
        f"int{bits}", element=IntegerCoder(-half, half - 1), wider=wider, other=other, peer=_INTEGER_PEERS
    )


def _float(name: str, element: FloatCoder, *, wider: str = "", other: str = "") -> NumberFormat:
    casts = "ml-dtypes and gfloat casts" if element.bits < 8 else "ml-dtypes, torch and gfloat casts"
    peer = f"{casts}, saturating"
    return NumberFormat(name, element=element, laying=laying.ABSMAX, wider=wider, other=other, peer=peer)


def _cast(name: str, element: FloatCoder, *, other: str, caster: str) -> NumberFormat:
    return NumberFormat(
        name,
        element=element,
        laying=laying.UNSCALED,
        scales=(NO_SCALE,),
        other=other,
        peer=f"{caster} and torch casts, saturating",
    )


def mx_format(
    name: str,
    packs: NumberFormat,
    *,
    element: Coder | None = None,
    block: int = 32,
    wider: str = "",
    other: str = "",
    note: str = "",
    peer: str = "torchao MXTensor (floor), gfloat",
) -> NumberFormat:
    """Numbers of `packs` (or an `element` of its own) in blocks under one power of two, as OCP MX has them."""
    own = element or packs.element
    formula = f"scale = 2^(floor(log2 absmax) − {own.top_exponent}), stored in 8 bits{note}"
    return NumberFormat(
        name,
        element=own,
        laying=laying.POWER_OF_TWO,
        block=block,
        scales=(E8M0,),
        packs=packs,
        wider=wider,
        other=other,
        formula=formula,
        peer=peer,
    )


def _gguf(
    name: str,
    packs: NumberFormat,
    element: Coder,
    rule: Laying,
    formula: str,
    *,
    block: int = 32,
    scale: ScaleType = FLOAT16,
    rounding: Rounding | None = None,
    block_bits: int | None = None,
    wider: str = "",
    other: str = "",
) -> NumberFormat:
    return NumberFormat(
        f"gguf:{name}",
        element=element,
        laying=rule,
        block=block,
        scales=(scale,),
        rounding=rounding,
        block_bits=block_bits,
        packs=packs,
        wider=wider,
        other=other,
        formula=formula,
        peer="gguf (Python) quantize, then dequantize",
    )


_HALF_UP, _AWAY = Rounding("half-up"), Rounding("nearest-away")


def _gguf_signed(name: str, packs: NumberFormat, half: int, *, wider: str) -> NumberFormat:
    formula = f"float16 step = the value of largest |x| / −{half}, codes −{half} to {half - 1}"
    element = BiasedCoder(-half, half - 1, half + 0.5)
    return _gguf(name, packs, element, laying.GGUF_SIGNED, formula, rounding=_HALF_UP, wider=wider)


def _gguf_offset(name: str, packs: NumberFormat, codes: int, *, wider: str) -> NumberFormat:
    formula = f"float16 step = (max − min) / {codes} and a float16 minimum, codes 0 to {codes}"
    element = BiasedCoder(0, codes, 0.5)
    return _gguf(name, packs, element, laying.GGUF_OFFSET, formula, rounding=_HALF_UP, wider=wider)


#: Quantiles of N(0, 1), scaled to -1..1 with an exact 0 (Dettmers et al. 2023, QLoRA, appendix E).
_NORMAL_QUANTILES = (
    *(
        -1.0,
        -0.6961928009986877,
        -0.5250730514526367,
        -0.39491748809814453,
        -0.28444138169288635,
        -0.18477343022823334,
        -0.09105003625154495,
        0.0,
    ),
    *(
        0.07958029955625534,
        0.16093020141124725,
        0.24611230194568634,
        0.33791524171829224,
        0.44070982933044434,
        0.5626170039176941,
        0.7229568362236023,
    ),
    1.0,
)
_INTEGERS = {bits: integer_format(bits) for bits in range(FEWEST_BITS, MOST_BITS + 1)}
_SIGN, _THREE = SignCoder(has_zero=False), SignCoder(has_zero=True)
_BINARY = NumberFormat("binary", element=_SIGN, laying=laying.BINARY, wider="ternary", peer="XNOR-Net's formula")
_TERNARY = NumberFormat("ternary", element=_THREE, laying=laying.TERNARY, wider="int3", peer="TWN's formula")
_FP8_E4M3 = _float("fp8_e4m3", FloatCoder(4, 3, LARGEST_E4M3), other="int8")
_FP8_E5M2 = _float("fp8_e5m2", FloatCoder(5, 2, 57344.0), other="fp8_e4m3")
_FP6_E2M3 = _float("fp6_e2m3", FloatCoder(2, 3, 7.5), wider="fp8_e4m3")
_FP6_E3M2 = _float("fp6_e3m2", FloatCoder(3, 2, 28.0), wider="fp8_e4m3", other="fp6_e2m3")
_FP4 = _float("fp4_e2m1", FloatCoder(2, 1, 6.0), wider="fp6_e2m3", other="nf4")
_NVFP4_ONE_LEVEL = "torchao NVFP4Tensor, one-level, with scale=fp8_e4m3:normal"
_NF4_PEER = "bitsandbytes quantize_4bit, where rows divide into groups"
_CATALOGUE: tuple[NumberFormat, ...] = (
    *_INTEGERS.values(),
    _BINARY,
    _TERNARY,
    _FP8_E4M3,
    _FP8_E5M2,
    _FP6_E2M3,
    _FP6_E3M2,
    _FP4,
    mx_format("mxfp4", _FP4, wider="mxfp6_e2m3", other="nvfp4"),
    mx_format("mxfp6_e2m3", _FP6_E2M3, wider="mxfp8_e4m3"),
    mx_format("mxfp6_e3m2", _FP6_E3M2, wider="mxfp8_e4m3", other="mxfp6_e2m3"),
    mx_format("mxfp8_e4m3", _FP8_E4M3, other="mxint8"),
    mx_format("mxfp8_e5m2", _FP8_E5M2, other="mxfp8_e4m3"),
    mx_format(
        "mxint8",
        _INTEGERS[8],
        element=FixedCoder(-128, 127, 6),
        note="; numbers k / 64, k = −128 to 127",
        peer="gfloat",
    ),
    NumberFormat(
        "nvfp4",
        element=_FP4.element,
        laying=laying.TWO_LEVELS,
        block=16,
        scales=(FP8,),
        outer=FLOAT32,
        packs=_FP4,
        wider="mxfp6_e2m3",
        formula="E4M3 scale of a block, times one float32 scale of the tensor",
        peer="torchao NVFP4Tensor, two-level",
    ),
    NumberFormat(
        "nvfp4:one-level",
        element=_FP4.element,
        laying=laying.ONE_LEVEL,
        block=16,
        scales=(FP8, NORMAL_FP8),
        packs=_FP4,
        wider="mxfp6_e2m3",
        formula="E4M3 scale = absmax / 6",
        peer=_NVFP4_ONE_LEVEL,
    ),
    NumberFormat(
        "nf4",
        element=TableCoder(_NORMAL_QUANTILES),
        laying=laying.TABLE,
        scales=(*STORED_FLOATS, DOUBLE),
        wider="int5",
        peer=_NF4_PEER,
    ),
    _cast("bfloat16", FloatCoder(8, 7, LARGEST_BFLOAT16), other="float16", caster="ml-dtypes"),
    _cast("float16", FloatCoder(5, 10, LARGEST_HALF), other="bfloat16", caster="numpy"),
    _gguf_signed("q4_0", _INTEGERS[4], 8, wider="gguf:q5_0"),
    _gguf_offset("q4_1", _INTEGERS[4], 15, wider="gguf:q5_1"),
    _gguf_signed("q5_0", _INTEGERS[5], 16, wider="gguf:q8_0"),
    _gguf_offset("q5_1", _INTEGERS[5], 31, wider="gguf:q8_0"),
    _gguf(
        "q8_0",
        _INTEGERS[8],
        IntegerCoder(-127, 127),
        laying.GGUF_ABSMAX,
        "float16 step = largest |x| / 127, ties away from zero",
        rounding=_AWAY,
    ),
    _gguf(
        "tq1_0",
        _TERNARY,
        IntegerCoder(-1, 1),
        laying.GGUF_ABSMAX,
        "float16 scale = largest |x|, five ternary digits to a byte",
        block=256,
        rounding=_AWAY,
        block_bits=52 * 8,  # 48 bytes of five digits for 240 values, 4 bytes for the other 16
        wider="gguf:q4_0",
    ),
    _gguf(
        "tq2_0",
        _TERNARY,
        IntegerCoder(-1, 1),
        laying.GGUF_ABSMAX,
        "float16 scale = largest |x|, two bits to a value",
        block=256,
        rounding=_AWAY,
        wider="gguf:q4_0",
    ),
    _gguf(
        "mxfp4",
        _FP4,
        TableCoder(tuple(_FP4.element.levels.tolist()), ties_to_zero=True),
        laying.GGUF_POWER,
        "scale = 2^(floor(log2 absmax) − 2), stored in 8 bits; the logarithm in float32, ties toward zero",
        scale=E8M0,
        wider="gguf:q5_0",
        other="gguf:q4_0",
    ),
)
FORMATS: dict[str, NumberFormat] = {fmt.name: fmt for fmt in _CATALOGUE}


def list_packers(free: NumberFormat, block: int | None) -> list[NumberFormat]:
    """The formats that pack the numbers of `free` in blocks of this length, in the order of the catalogue.

    >>> [str(fmt) for fmt in list_packers(FORMATS["fp4_e2m1"], 16)]
    ['nvfp4', 'nvfp4:one-level']
    """
    return [fmt for fmt in FORMATS.values() if fmt.packs == free and fmt.block == block]
