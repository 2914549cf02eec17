"""Do ml-dtypes and gfloat agree on small floats, bare and in MX blocks? Both know the element; the block scale is 2^(floor(log2 absmax) - emax)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from qanalysis.validation.check import Agreement, Comparison, count_differing
from qanalysis.validation.tensors import Floats, draw_bit_patterns, make_tensors, map_groups, probe_levels, round_trip, whole_tensors

#: Word, ml-dtypes type, gfloat name, largest finite.
ELEMENTS = (
    ("fp8_e4m3", "float8_e4m3fn", "ocp_e4m3", 448.0),
    ("fp8_e5m2", "float8_e5m2", "ocp_e5m2", 57344.0),
    ("fp6_e2m3", "float6_e2m3fn", "ocp_e2m3", 7.5),
    ("fp6_e3m2", "float6_e3m2fn", "ocp_e3m2", 28.0),
    ("fp4_e2m1", "float4_e2m1fn", "ocp_e2m1", 6.0),
)
#: Word and name of the element above.
BLOCKS = {"mxfp8_e4m3": "fp8_e4m3", "mxfp8_e5m2": "fp8_e5m2", "mxfp6_e2m3": "fp6_e2m3", "mxfp6_e3m2": "fp6_e3m2", "mxfp4": "fp4_e2m1"}
BEYOND_REASON = "its cast makes NaN or inf of values beyond the largest finite; MX elements saturate here, as OCP recommends"
HALF_REASON = "values beyond the largest finite become inf there, the largest finite here, so that one outlier can not hide a layer's error"

Cast = Callable[[Floats], Floats]


def compare_ml_dtypes() -> Iterator[Comparison]:
    """Casts to each type, over whole code books and over tensors."""
    import ml_dtypes

    for word, name, _, largest in ELEMENTS:
        dtype = getattr(ml_dtypes, name)
        yield Comparison(f"{word}: every level, midpoint and neighbour: {name}", "bit-exact", 0, lambda w=word, d=dtype: _compare_levels(w, d))
        yield Comparison(
            f"{word} tensor, channel, group=32: {name}", "bit-exact", 0, lambda w=word, d=dtype, m=largest: _compare_scaled(w, lambda x: _cast(x, d), m)
        )
    for word, element in BLOCKS.items():
        dtype, largest = next((getattr(ml_dtypes, name), largest) for key, name, _, largest in ELEMENTS if key == element)
        yield Comparison(f"{word}: scaled blocks, clipped, cast", "bit-exact", 0, lambda w=word, d=dtype, m=largest: _compare_blocks(w, d, m))
        if element.startswith("fp8"):
            yield Comparison(f"{word}: scaled blocks, cast only", "bit-exact", None, lambda w=word, d=dtype: _compare_blocks(w, d, np.inf), BEYOND_REASON)
    for word, dtype in (("bfloat16", ml_dtypes.bfloat16), ("float16", np.float16)):
        yield Comparison(f"{word}: all exponents and subnormals", "bit-exact", 0, lambda w=word, d=dtype: _compare_halves(w, d, beyond=False))
        yield Comparison(f"{word} beyond the largest finite", "bit-exact", None, lambda w=word, d=dtype: _compare_halves(w, d, beyond=True), HALF_REASON)


def compare_gfloat() -> Iterator[Comparison]:
    """Its rounding of arrays for the elements, its own blocks for MX."""
    from gfloat import RoundMode, formats, round_ndarray

    def make_rounding(name: str) -> Cast:
        info = getattr(formats, f"format_info_{name}")
        return lambda x: round_ndarray(info, x, RoundMode.TiesToEven, sat=True).astype(np.float32)

    for word, _, name, largest in ELEMENTS:
        yield Comparison(
            f"{word} tensor, channel, group=32: round_ndarray", "bit-exact", 0, lambda w=word, n=name, m=largest: _compare_scaled(w, make_rounding(n), m)
        )
    names = {word: "mxfp4_e2m1" if word == "mxfp4" else word for word in (*BLOCKS, "mxint8")}
    for word, name in names.items():
        info = getattr(formats, f"format_info_{name}")
        yield Comparison(f"{word}: quantize_block", "bit-exact", 0, lambda w=word, i=info: _compare_quantized_blocks(w, i))


def _cast(x: Floats, dtype: Any) -> Floats:
    with np.errstate(over="ignore", invalid="ignore"):
        restored: Floats = x.astype(dtype).astype(np.float32)
    return restored


def _compare_levels(word: str, dtype: Any) -> Agreement:
    import ml_dtypes

    codes = np.arange(2 ** ml_dtypes.finfo(dtype).bits, dtype=np.uint8).view(dtype).astype(np.float32)
    probes = probe_levels(codes[np.isfinite(codes)])
    return count_differing([(round_trip(probes, word), _cast(probes, dtype))])


def _compare_scaled(word: str, cast: Cast, largest: float) -> Agreement:
    def restore(groups: Floats) -> Floats:
        scale = np.abs(groups).max(axis=1, keepdims=True) / np.float32(largest)
        scale[scale == 0] = 1
        return cast(groups * (np.float32(1) / scale)) * scale

    lengths = {"tensor": None, "group=32": 32}
    return count_differing(
        (round_trip(x, f"{word} {grouping}"), map_groups(x, lengths.get(grouping, x.shape[1]), restore))
        for x in make_tensors().values()
        for grouping in ("tensor", "channel", "group=32")
    )


def _compare_blocks(word: str, dtype: Any, largest: float) -> Agreement:
    exponent = int(np.log2(float(_largest_of(dtype))))

    def restore(groups: Floats) -> Floats:
        _, top = np.frexp(np.abs(groups).max(axis=1, keepdims=True))
        scale = np.ldexp(np.float32(1), np.clip(top - 1 - exponent, -127, 127)).astype(np.float32)
        return _cast(np.clip(groups / scale, -largest, largest).astype(np.float32), dtype) * scale

    return count_differing((round_trip(x, word), map_groups(x, 32, restore)) for x in whole_tensors().values())


def _largest_of(dtype: Any) -> Any:
    import ml_dtypes

    return ml_dtypes.finfo(dtype).max


def _compare_halves(word: str, dtype: Any, *, beyond: bool) -> Agreement:
    x = draw_bit_patterns(2**17)
    cast = _cast(x, dtype)
    chosen = np.isinf(cast) == beyond
    return count_differing([(round_trip(x[chosen], word), cast[chosen])])


def _compare_quantized_blocks(word: str, info: Any) -> Agreement:
    """A few blocks of each tensor, because it codes value by value; in float64, where its floor(log2 absmax) is exact."""
    from gfloat import compute_scale_amax, quantize_block

    def restore(x: Floats) -> Floats:
        return np.stack([np.float32(quantize_block(info, block.astype(np.float64), compute_scale_amax)) for block in x.reshape(-1, 32)]).reshape(x.shape)

    samples = [np.ascontiguousarray(x[:: max(len(x) // 6, 1), :32]) for x in whole_tensors().values()]
    return count_differing((round_trip(x, word), restore(x)) for x in samples)
