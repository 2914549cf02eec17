"""Which formats are there? The catalogue: all that is known of a format stands here once.

A new format of a known family is one line of `_CATALOGUE`.
"""

from __future__ import annotations

from qanalysis.quantizers import laying
from qanalysis.quantizers.coders import FixedCoder, IntegerCoder, SignCoder, TableCoder
from qanalysis.quantizers.families import (
    AWAY,
    FEWEST_BITS,
    MOST_BITS,
    NORMAL_QUANTILES,
    cast_format,
    float_format,
    gguf_format,
    gguf_offset,
    gguf_signed,
    integer_format,
    mx_format,
)
from qanalysis.quantizers.float_coders import FloatCoder
from qanalysis.quantizers.number_format import NumberFormat
from qanalysis.quantizers.scales import (
    DOUBLE,
    E8M0,
    FLOAT32,
    FP8,
    LARGEST_BFLOAT16,
    LARGEST_E4M3,
    LARGEST_HALF,
    NORMAL_FP8,
    STORED_FLOATS,
)

_INTEGERS = {bits: integer_format(bits) for bits in range(FEWEST_BITS, MOST_BITS + 1)}
_SIGN, _THREE = SignCoder(has_zero=False), SignCoder(has_zero=True)
_BINARY = NumberFormat("binary", element=_SIGN, laying=laying.BINARY, wider="ternary", peer="XNOR-Net's formula")
_TERNARY = NumberFormat("ternary", element=_THREE, laying=laying.TERNARY, wider="int3", peer="TWN's formula")
_FP8_E4M3 = float_format("fp8_e4m3", FloatCoder(4, 3, LARGEST_E4M3), other="int8")
_FP8_E5M2 = float_format("fp8_e5m2", FloatCoder(5, 2, 57344.0), other="fp8_e4m3")
_FP6_E2M3 = float_format("fp6_e2m3", FloatCoder(2, 3, 7.5), wider="fp8_e4m3")
_FP6_E3M2 = float_format("fp6_e3m2", FloatCoder(3, 2, 28.0), wider="fp8_e4m3", other="fp6_e2m3")
_FP4 = float_format("fp4_e2m1", FloatCoder(2, 1, 6.0), wider="fp6_e2m3", other="nf4")
_NVFP4_ONE_LEVEL = "torchao NVFP4Tensor, one-level, with scale=fp8_e4m3:normal"
_RAGGED_NVFP4 = "refused by torchao, and not measured here"
_RAGGED_NF4 = "bitsandbytes takes them, with groups that run on from one row into the next: other figures than here"
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
        ragged=_RAGGED_NVFP4,
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
        ragged=_RAGGED_NVFP4,
    ),
    NumberFormat(
        "nf4",
        element=TableCoder(NORMAL_QUANTILES),
        laying=laying.TABLE,
        scales=(*STORED_FLOATS, DOUBLE),
        usual_group=64,
        wider="int5",
        peer=_NF4_PEER,
        ragged=_RAGGED_NF4,
    ),
    cast_format("bfloat16", FloatCoder(8, 7, LARGEST_BFLOAT16), other="float16", caster="ml-dtypes"),
    cast_format("float16", FloatCoder(5, 10, LARGEST_HALF), other="bfloat16", caster="numpy"),
    gguf_signed("q4_0", _INTEGERS[4], 8, wider="gguf:q5_0"),
    gguf_offset("q4_1", _INTEGERS[4], 15, wider="gguf:q5_1"),
    gguf_signed("q5_0", _INTEGERS[5], 16, wider="gguf:q8_0"),
    gguf_offset("q5_1", _INTEGERS[5], 31, wider="gguf:q8_0"),
    gguf_format(
        "q8_0",
        _INTEGERS[8],
        IntegerCoder(-127, 127),
        laying.GGUF_ABSMAX,
        "float16 step = largest |x| / 127, ties away from zero",
        rounding=AWAY,
    ),
    gguf_format(
        "tq1_0",
        _TERNARY,
        IntegerCoder(-1, 1),
        laying.GGUF_ABSMAX,
        "float16 scale = largest |x|, five ternary digits to a byte",
        block=256,
        rounding=AWAY,
        block_bits=52 * 8,  # 48 bytes of five digits for 240 values, 4 bytes for the other 16
        wider="gguf:q4_0",
    ),
    gguf_format(
        "tq2_0",
        _TERNARY,
        IntegerCoder(-1, 1),
        laying.GGUF_ABSMAX,
        "float16 scale = largest |x|, two bits to a value",
        block=256,
        rounding=AWAY,
        wider="gguf:q4_0",
    ),
    gguf_format(
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
