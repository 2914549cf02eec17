"""What do the formats of one family have in common? A function for each family, which makes a format of it from what is
its own, so that the catalogue says no more than that.
"""

from __future__ import annotations

from qanalysis.quantizers import laying
from qanalysis.quantizers.coders import BiasedCoder, Coder, IntegerCoder
from qanalysis.quantizers.float_coders import FloatCoder
from qanalysis.quantizers.laying import Laying
from qanalysis.quantizers.number_format import NumberFormat
from qanalysis.quantizers.rounding import Rounding
from qanalysis.quantizers.scales import E8M0, FLOAT16, NO_SCALE, ScaleType

FEWEST_BITS, MOST_BITS = 2, 16
# What tools do with rows of 100 in groups of 64 or fewer: tried with compressed-tensors 0.20, torchao 0.18 and gguf;
# ONNX Runtime 1.32 decodes such blocks in the tests of graphs; the kernels by their own checks.
_RAGGED_INTEGERS = (
    "refused by compressed-tensors and torchao, and by GPTQ and AWQ kernels; ONNX Runtime (blocked DequantizeLinear, "
    "MatMulNBits) takes them, with a shorter last group"
)
_RAGGED_FLOATS = "refused by compressed-tensors and torchao"
_RAGGED_MX = "refused by torchao, and not measured here"
_RAGGED_GGUF = "refused by gguf and llama.cpp, which keep such a tensor in another type; not measured here"
NF4_BITS = 4
_INTEGER_PEERS = "torch fake_quantize (sym, asym), torchao (sym-full, sym-noclip, asym)"
#: Quantiles of N(0, 1), scaled to -1..1 with an exact 0 (Dettmers et al. 2023, QLoRA, appendix E).
NORMAL_QUANTILES = (
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


def integer_format(bits: int) -> NumberFormat:
    """Integers of `bits` bits, 2 to 16, whose conventions a scheme chooses; text form "int4". ValueError for other
    widths.
    """
    if not FEWEST_BITS <= bits <= MOST_BITS:
        raise ValueError(f"int{bits}: integer formats have {FEWEST_BITS} to {MOST_BITS} bits")
    half, wider = 1 << (bits - 1), f"int{bits + 1}" if bits < MOST_BITS else ""
    other = "nf4" if bits == NF4_BITS else ""
    return NumberFormat(
        f"int{bits}",
        element=IntegerCoder(-half, half - 1),
        wider=wider,
        other=other,
        peer=_INTEGER_PEERS,
        ragged=_RAGGED_INTEGERS,
    )


def float_format(name: str, element: FloatCoder, *, wider: str = "", other: str = "") -> NumberFormat:
    """Small floats under one scale per group, absmax over the largest number; codes beyond it saturate."""
    casts = "ml-dtypes and gfloat casts" if element.bits < 8 else "ml-dtypes, torch and gfloat casts"
    peer = f"{casts}, saturating"
    return NumberFormat(
        name, element=element, laying=laying.ABSMAX, wider=wider, other=other, peer=peer, ragged=_RAGGED_FLOATS
    )


def cast_format(name: str, element: FloatCoder, *, other: str, caster: str) -> NumberFormat:
    """Floats stored as they are, without a scale; what is beyond the largest finite number saturates. `caster` names
    the tools whose casts these are, beside torch.
    """
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
        ragged=_RAGGED_MX,
    )


def gguf_format(
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
    """A type of GGUF files, "gguf:NAME": `element` in blocks of `block` values, laid by `rule`, with the `scale` that
    each block stores. `packs` is the format of free groups nearest to it; `block_bits` are all code bits of a block
    where not every code has its own.
    """
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
        ragged=_RAGGED_GGUF,
    )


HALF_UP, AWAY = Rounding("half-up"), Rounding("nearest-away")


def gguf_signed(name: str, packs: NumberFormat, half: int, *, wider: str) -> NumberFormat:
    """GGUF codes -`half` to `half` - 1 without an offset: the value of largest magnitude gets the lowest code."""
    formula = f"float16 step = the value of largest |x| / −{half}, codes −{half} to {half - 1}"
    element = BiasedCoder(-half, half - 1, half + 0.5)
    return gguf_format(name, packs, element, laying.GGUF_SIGNED, formula, rounding=HALF_UP, wider=wider)


def gguf_offset(name: str, packs: NumberFormat, codes: int, *, wider: str) -> NumberFormat:
    """GGUF codes 0 to `codes` above a minimum that each block stores."""
    formula = f"float16 step = (max − min) / {codes} and a float16 minimum, codes 0 to {codes}"
    element = BiasedCoder(0, codes, 0.5)
    return gguf_format(name, packs, element, laying.GGUF_OFFSET, formula, rounding=HALF_UP, wider=wider)
