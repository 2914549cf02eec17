"""Do ml-dtypes and gfloat agree on small floats, bare and in MX blocks? Both know the element; the block scale is
2^(floor(log2 absmax) - emax).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from qanalysis.arrays import Floats
from qanalysis.quantizers.formats import FORMATS, list_packers
from qanalysis.quantizers.laying import POWER_OF_TWO
from qanalysis.quantizers.number_format import NumberFormat
from qanalysis.validation.check import Agreement, Comparison, count_differing
from qanalysis.validation.tensors import (
    draw_bit_patterns,
    make_tensors,
    map_groups,
    probe_levels,
    round_trip,
    whole_tensors,
)

#: Word, ml-dtypes type, gfloat name; what else is asked of an element, its format knows.
ELEMENTS = (
    ("fp8_e4m3", "float8_e4m3fn", "ocp_e4m3"),
    ("fp8_e5m2", "float8_e5m2", "ocp_e5m2"),
    ("fp6_e2m3", "float6_e2m3fn", "ocp_e2m3"),
    ("fp6_e3m2", "float6_e3m2fn", "ocp_e3m2"),
    ("fp4_e2m1", "float4_e2m1fn", "ocp_e2m1"),
)
BLOCK = 32
BEYOND_REASON = (
    "its cast makes NaN or inf of values beyond the largest finite; MX elements saturate here, as OCP recommends"
)
HALF_REASON = (
    "values beyond the largest finite become inf there, the largest finite here, so that one outlier can not hide "
    "a layer's error"
)

Cast = Callable[[Floats], Floats]


def compare_ml_dtypes() -> Iterator[Comparison]:
    """Casts to each type, over whole code books and over tensors."""
    import ml_dtypes

    types = {word: getattr(ml_dtypes, name) for word, name, _ in ELEMENTS}
    for word, dtype in types.items():
        cast = partial(_cast, dtype=dtype)
        levels = np.arange(2 ** FORMATS[word].bits, dtype=np.uint8).view(dtype).astype(np.float32)
        name = f"{word}: every level, midpoint and neighbour: {dtype.__name__}"
        yield Comparison(name, "bit-exact", 0, partial(compare_levels, word, levels, cast))
        name = f"{word} tensor, channel, group=32: {dtype.__name__}"
        yield Comparison(name, "bit-exact", 0, partial(compare_scaled, word, cast, _find_largest(dtype)))
    for word, dtype in types.items():
        yield from _compare_casts_in_blocks(word, partial(_cast, dtype=dtype), _find_largest(dtype))
    for word, dtype in (("bfloat16", ml_dtypes.bfloat16), ("float16", np.float16)):
        cast = partial(_cast, dtype=dtype)
        yield Comparison(f"{word}: all exponents and subnormals", "bit-exact", 0, partial(compare_halves, word, cast))
        beyond = partial(compare_halves, word, cast, beyond=True)
        yield Comparison(f"{word} beyond the largest finite", "bit-exact", None, beyond, HALF_REASON)


def _compare_casts_in_blocks(element: str, cast: Cast, largest: float) -> Iterator[Comparison]:
    """The MX formats of an element; casts of 8 bits, which know NaN or inf, also without clipping first."""
    for block in _list_blocks(element):
        clipped = partial(_compare_blocks, block, partial(_clip_and_cast, cast=cast, largest=largest), largest)
        yield Comparison(f"{block}: scaled blocks, clipped, cast", "bit-exact", 0, clipped)
        if block.bits == 8:
            bare = partial(_compare_blocks, block, cast, largest)
            yield Comparison(f"{block}: scaled blocks, cast only", "bit-exact", None, bare, BEYOND_REASON)


def _list_blocks(element: str) -> list[NumberFormat]:
    """The formats that put this element in blocks as MX does."""
    return [fmt for fmt in list_packers(FORMATS[element], BLOCK) if fmt.laying == POWER_OF_TWO]


def compare_gfloat() -> Iterator[Comparison]:
    """Its rounding of arrays for the elements, its own blocks for MX."""
    from gfloat import formats

    for word, _, name in ELEMENTS:
        yield Comparison(
            f"{word} tensor, channel, group=32: round_ndarray",
            "bit-exact",
            0,
            partial(compare_scaled, word, partial(_round_like, name), getattr(formats, f"format_info_{name}").max),
        )
    for word in (*(fmt.name for element, *_ in ELEMENTS for fmt in _list_blocks(element)), "mxint8"):
        info = getattr(formats, "format_info_mxfp4_e2m1" if word == "mxfp4" else f"format_info_{word}")
        yield Comparison(f"{word}: quantize_block", "bit-exact", 0, partial(_compare_quantized_blocks, word, info))


def compare_levels(word: str, levels: Floats, cast: Cast) -> Agreement:
    """A format at scale 1 against a cast: `levels` (non-finite ones left out), their midpoints, and the neighbours of
    both.
    """
    probes = probe_levels(levels[np.isfinite(levels)])
    return count_differing([(round_trip(probes, word), cast(probes))])


def compare_scaled(word: str, cast: Cast, largest: float) -> Agreement:
    """A format scaled by absmax / largest, against a cast between that multiplication and its inverse."""

    def restore(groups: Floats) -> Floats:
        scale: Floats = np.abs(groups).max(axis=1, keepdims=True) / np.float32(largest)
        scale[scale == 0] = 1
        return cast(groups * (np.float32(1) / scale)) * scale

    lengths = {"tensor": None, "group=32": 32}
    return count_differing(
        (round_trip(x, f"{word} {grouping}"), map_groups(x, lengths.get(grouping, x.shape[1]), restore))
        for x in make_tensors().values()
        for grouping in ("tensor", "channel", "group=32")
    )


def compare_halves(word: str, cast: Cast, *, beyond: bool = False) -> Agreement:
    """A 16-bit float against a cast where that gives finite numbers, or only `beyond` them."""
    x = draw_bit_patterns(2**17)
    chosen = np.isinf(cast(x)) == beyond
    return count_differing([(round_trip(x[chosen], word), cast(x[chosen]))])


def _find_largest(dtype: Any) -> float:
    """The largest finite number, by the peer's own word."""
    import ml_dtypes

    limits: Any = ml_dtypes.finfo  # untyped there
    return float(limits(dtype).max)


def _cast(x: Floats, dtype: Any) -> Floats:
    with np.errstate(over="ignore", invalid="ignore"):
        restored: Floats = x.astype(dtype).astype(np.float32)
    return restored


def _clip_and_cast(x: Floats, cast: Cast, largest: float) -> Floats:
    clipped: Floats = np.clip(x, -np.float32(largest), np.float32(largest))
    return cast(clipped)


def _round_like(name: str, x: Floats) -> Floats:
    from gfloat import RoundMode, formats, round_ndarray

    restored: Floats = round_ndarray(getattr(formats, f"format_info_{name}"), x, RoundMode.TiesToEven, sat=True).astype(
        np.float32
    )
    return restored


def _compare_blocks(block: NumberFormat, cast: Cast, largest: float) -> Agreement:
    def restore(groups: Floats) -> Floats:
        _, top = np.frexp(np.abs(groups).max(axis=1, keepdims=True))
        exponent = np.clip(top - 1 - math.floor(math.log2(largest)), -127, 127)
        scale: Floats = np.ldexp(np.float32(1), exponent).astype(np.float32)
        return cast(groups / scale) * scale

    return count_differing((round_trip(x, block.name), map_groups(x, BLOCK, restore)) for x in whole_tensors().values())


def _compare_quantized_blocks(word: str, info: Any) -> Agreement:
    """A few blocks of each tensor, because it codes value by value; in float64, where its floor(log2 absmax) is
    exact.
    """
    from gfloat import compute_scale_amax, quantize_block

    def restore(x: Floats) -> Floats:
        return np.stack(
            [
                np.float32(quantize_block(info, block.astype(np.float64), compute_scale_amax))
                for block in x.reshape(-1, 32)
            ]
        ).reshape(x.shape)

    samples = [np.ascontiguousarray(x[:: max(len(x) // 6, 1), :32]) for x in whole_tensors().values()]
    return count_differing((round_trip(x, word), restore(x)) for x in samples)
