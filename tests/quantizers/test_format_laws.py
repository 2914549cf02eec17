"""Laws of every format's round trip and rows, and the tabulated errors of independent Gaussian values."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from qanalysis.quantizers.scheme import Scheme
from qanalysis.sweeps.row import Row
from qanalysis.sweeps.sweep import sweep
from tests.reference_formats import ALL_FORMATS, BLOCKS, MX, SCALED_FLOATS

Floats = NDArray[np.float32]
TAILS = np.random.default_rng(25).standard_t(4, size=(6, 512)).astype(np.float32)
# 256 values, which every block divides: eight rows of the same 32 at sizes that float16 scales hold.
FACTORS = np.float32([[1], [0.5], [-2], [0.25], [1], [-1], [4], [0.125]])
BLOCKFULS = hnp.arrays(np.float32, 32, elements=st.floats(-64, 64, width=16), fill=st.nothing()).map(
    lambda x: (x * FACTORS).reshape(1, 256)
)
SYMMETRIC = [name for name in ALL_FORMATS if name not in ("binary", "mxint8", "nf4", "gguf:q4_1", "gguf:q5_1")]
OFFSET = ("gguf:q4_1", "gguf:q5_1")
ROUNDED = (*SCALED_FLOATS, *MX, "nvfp4", "nvfp4:one-level", "bfloat16", "float16")


def give_row(x: NDArray, text: str) -> Row:
    return sweep({"x": x}, [text], workers=1)[0]


def round_trip(x: Floats, text: str) -> Floats:
    y: Floats = Scheme.parse(text).fit(x).round_trip(x)
    return y


def with_grouping(name: str, grouping: str) -> str:
    return name if name in BLOCKS or name in ("bfloat16", "float16") else f"{name} {grouping}"


FREE_TEXTS = [with_grouping(name, grouping) for name in ALL_FORMATS for grouping in ("tensor", "group=64")]
TEXTS = list(dict.fromkeys(FREE_TEXTS))


# --- one tensor ---------------------------------------------------------------------------------------------------


# Codes count from the block's smallest element, but decode from what float16 holds of it: an offset may move them.
@pytest.mark.parametrize("text", [text for text in TEXTS if text not in OFFSET])
@given(x=BLOCKFULS)
@settings(max_examples=8, deadline=None, derandomize=True)
def test_a_second_round_trip_on_the_same_grid_changes_nothing(text: str, x: Floats) -> None:
    fitted = Scheme.parse(text).fit(x)
    once = fitted.round_trip(x)
    np.testing.assert_array_equal(fitted.round_trip(once), once)


@pytest.mark.parametrize("name", SYMMETRIC)
@given(x=BLOCKFULS)
@settings(max_examples=8, deadline=None, derandomize=True)
def test_symmetric_levels_treat_both_signs_alike(name: str, x: Floats) -> None:
    np.testing.assert_array_equal(round_trip(-x, name), -round_trip(x, name))


@given(x=BLOCKFULS)
@settings(max_examples=30, deadline=None, derandomize=True)
def test_binary_treats_both_signs_alike_but_for_zero(x: Floats) -> None:
    signed = x != 0
    np.testing.assert_array_equal(round_trip(-x, "binary")[signed], -round_trip(x, "binary")[signed])


@pytest.mark.parametrize("name", ROUNDED)
def test_rounding_up_mirrors_rounding_down(name: str) -> None:
    # MXINT8 has one more number below zero than above.
    x = np.clip(TAILS, -1.9, 1.9) if name == "mxint8" else TAILS
    np.testing.assert_array_equal(round_trip(-x, f"{name} round=ceil"), -round_trip(x, f"{name} round=floor"))


@pytest.mark.parametrize("name", ROUNDED)
def test_directed_rounding_never_crosses_the_value(name: str) -> None:
    x = np.float32(0.7) * np.random.default_rng(26).uniform(-1, 1, size=(4, 256)).astype(np.float32)
    # One product and two roundings of it: 2^-22 relative, unless the value saturates.
    slack = 2.0**-22 * np.abs(x)
    down, up, in_ = (round_trip(x, f"{name} round={mode}") for mode in ("floor", "ceil", "to-zero"))
    nearest = round_trip(x, name)
    unclipped = np.abs(x) < 0.5 * np.abs(x).max(axis=1, keepdims=True)
    assert (down <= x + slack)[unclipped].all()
    assert (up >= x - slack)[unclipped].all()
    assert (np.abs(in_) <= np.abs(x) + slack)[unclipped].all()
    assert (np.minimum(np.abs(down - nearest), np.abs(up - nearest)) == 0).all()


@pytest.mark.parametrize("name", ["fp8_e4m3", "fp6_e3m2", "mxfp4", "nvfp4"])
def test_stochastic_rounding_is_right_on_average_and_repeats(name: str) -> None:
    x = np.full((1, 65536), 0.3, np.float32)
    x[0, ::16] = 1
    y = round_trip(x, f"{name} round=stochastic:5")
    np.testing.assert_array_equal(y, round_trip(x, f"{name} round=stochastic:5"))
    small = y[x < 1]
    low, high = np.unique(small)
    # A coin over a gap: its mean has a standard error of half a gap over the root of the count at most; 4.5 of them.
    assert small.mean(dtype=np.float64) == pytest.approx(0.3, abs=4.5 * float(high - low) / 2 / math.sqrt(small.size))


@pytest.mark.parametrize("exponent", [-6, 1, 7])
@pytest.mark.parametrize("text", [text for text in TEXTS if text not in ("float16", "nvfp4:one-level")])
def test_multiplying_by_a_power_of_two_multiplies_the_round_trip(text: str, exponent: int) -> None:
    # 2^-6 keeps GGUF's float16 scales normal.
    np.testing.assert_array_equal(
        round_trip(np.ldexp(TAILS, exponent), text), np.ldexp(round_trip(TAILS, text), exponent)
    )


@pytest.mark.parametrize("text", [text for text in TEXTS if not text.startswith(("gguf", "binary", "ternary"))])
@given(x=BLOCKFULS)
@settings(max_examples=8, deadline=None, derandomize=True)
def test_no_error_exceeds_half_the_widest_gap_where_nothing_clips(text: str, x: Floats) -> None:
    row = give_row(x, text)
    if row.status == "ok" and not row.clipped_fraction:
        # x beyond the last level but nearer to it than half a gap is not clipped either; scaling and decoding round thrice.
        assert row.max_abs_error <= row.half_step_bound * (1 + 2.0**-20) + 2.0**-22 * np.abs(x).max()


@pytest.mark.parametrize("name", ["gguf:q4_0", "gguf:q4_1", "gguf:q5_0", "gguf:q5_1", "gguf:q8_0"])
@given(x=BLOCKFULS)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_errors_of_gguf_blocks_are_half_a_step_and_what_float16_does_to_scales(name: str, x: Floats) -> None:
    row = give_row(x, name)
    if row.status == "ok" and row.step_max:
        # Scale and offset are off by 2^-11 of themselves, or by float16's smallest number at up to 127 steps; codes -8 and 7 leave one step at one end.
        scales = 2.0**-10 * np.abs(x).max() + 128 * 2.0**-25
        assert (
            row.max_abs_error
            <= row.half_step_bound * (2 if name in ("gguf:q4_0", "gguf:q5_0") else 1) * (1 + 2.0**-10) + scales
        )


@pytest.mark.parametrize("text", [text for text in TEXTS if text not in ("ternary tensor", "binary tensor")])
def test_round_trips_never_turn_two_values_round(text: str) -> None:
    # Within one block, which all values of a row of 16 share.
    x = np.sort(TAILS[:, :256], axis=1)
    y = round_trip(x, text)
    length = BLOCKS.get(text, 64)
    assert (np.diff(y.reshape(-1, min(length, 64)), axis=1) >= 0).all()


# --- rows ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("free", "fixed"),
    [
        ("fp4_e2m1", "mxfp4"),
        ("fp6_e2m3", "mxfp6_e2m3"),
        ("fp6_e3m2", "mxfp6_e3m2"),
        ("fp8_e4m3", "mxfp8_e4m3"),
        ("fp8_e5m2", "mxfp8_e5m2"),
    ],
)
def test_an_mx_format_is_its_element_under_the_librarys_power_of_two(free: str, fixed: str) -> None:
    loose, packed = sweep({"x": TAILS}, [f"{free} group=32 scale=pow2:library", fixed])
    names = ("scheme", "format", "scale")
    assert replace(packed, **{name: getattr(loose, name) for name in names}) == loose


@pytest.mark.parametrize("workers", [2, 3])
def test_the_number_of_workers_does_not_matter(workers: int) -> None:
    tensors = {str(seed): np.random.default_rng(seed).normal(size=(16, 2048)).astype(np.float32) for seed in range(3)}
    plan = [*TEXTS, "nf4 group=64 scale=double", "mxfp4 round=stochastic:3", "fp8_e4m3 channel range=mse:20"]
    assert sweep(tensors, plan, workers=workers).rows == sweep(tensors, plan, workers=1).rows


@pytest.mark.parametrize("text", [text for text in TEXTS if "tensor" not in text and text != "nvfp4"])
def test_rows_of_the_parts_pool_to_the_row_of_the_whole(text: str) -> None:
    whole = give_row(TAILS, text)
    parts = sweep({"top": TAILS[:2], "bottom": TAILS[2:]}, [text])
    sizes = (1 / 3, 2 / 3)
    # Lanes of at most 1024 float32 terms on both sides.
    assert sum(size * row.mse for size, row in zip(sizes, parts, strict=True)) == pytest.approx(
        whole.mse, rel=2 * 1028 * 2.0**-24
    )
    assert sum(size * row.clipped_fraction for size, row in zip(sizes, parts, strict=True)) == pytest.approx(
        whole.clipped_fraction, rel=1e-12
    )
    assert parts.totals[0].sqnr_db == pytest.approx(whole.sqnr_db, abs=9 * 1028 * 2.0**-24)
    assert parts.totals[0].bits_per_weight == whole.bits_per_weight


@pytest.mark.parametrize("rule", ["minmax", "percentile:95", "meanstd:1.5", "mse:30"])
@pytest.mark.parametrize("name", [*SCALED_FLOATS, "nf4"])
def test_rows_agree_with_the_fitted_quantizer_for_every_range_rule(name: str, rule: str) -> None:
    for grouping in ("tensor", "channel", "group=48", "block=2x100"):
        scheme = Scheme.parse(f"{name} {grouping} range={rule}")
        row, fitted = sweep({"x": TAILS}, [scheme])[0], scheme.fit(TAILS)
        e = fitted.round_trip(TAILS).astype(np.float64) - TAILS
        # e is rounded to float32 once; lanes add at most 1024 terms.
        assert (row.step_min, row.step_max, row.max_abs_error) == (
            fitted.step.min(),
            fitted.step.max(),
            pytest.approx(np.abs(e).max(), rel=2**-24),
        )
        assert row.mse == pytest.approx(np.mean(e**2), rel=1028 * 2.0**-24)


@given(
    x=hnp.arrays(np.float32, (2, 40), elements=st.floats(-8, 8, width=16)),
    name=st.sampled_from([*SCALED_FLOATS, "nf4"]),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_mse_search_is_never_worse_than_minmax(x: Floats, name: str) -> None:
    plain, searched = sweep({"x": x}, [f"{name} channel", f"{name} channel range=mse:20"], workers=1)
    if plain.status == "ok":
        # Both sums of at most 80 squares are float32: 84 * 2^-24 of the larger.
        assert searched.mse <= plain.mse * (1 + 2 * 84 * 2.0**-24)


@pytest.mark.parametrize("name", [*SCALED_FLOATS, "nf4"])
def test_percentile_100_is_minmax(name: str) -> None:
    plain, ranked = sweep({"x": TAILS}, [f"{name} group=64", f"{name} group=64 range=percentile:100"])
    names = [field.name for field in dataclasses.fields(Row) if field.name not in ("scheme", "range", "theory_sqnr_db")]
    assert [getattr(plain, name) for name in names] == [getattr(ranked, name) for name in names]


# --- Gaussian values ----------------------------------------------------------------------------------------------


# Independent N(0, 1) values: bits per weight, SQNR in dB (mean of three runs of 2^20, printed to 0.001), gap to Shannon in dB.
TABLE = [
    ("gguf:q4_0", 4.5, 21.313, 5.78),
    ("gguf:q4_1", 5.0, 22.133, 7.97),
    ("gguf:q5_0", 5.5, 27.393, 5.72),
    ("gguf:q5_1", 6.0, 28.439, 7.68),
    ("gguf:q8_0", 8.5, 45.429, 5.75),
    ("mxfp4", 4.25, 18.782, 6.81),
    ("gguf:mxfp4", 4.25, 18.782, 6.81),
    ("nvfp4", 4.5, 20.432, 6.66),
    ("nf4 group=64", 4.5, 20.728, 6.36),
    ("nf4 group=128", 4.25, 20.386, 5.20),
    ("mxfp6_e2m3", 6.25, 30.940, 6.69),
    ("mxfp6_e3m2", 6.25, 25.351, 12.28),
    ("mxfp8_e4m3", 8.25, 30.636, 19.0),
    ("mxint8", 8.25, 41.667, 8.00),
    ("fp8_e4m3", 8.0, 31.545, 16.6),
    ("fp8_e5m2", 8.0, 25.561, 22.6),
    ("bfloat16", 16.0, 55.58, 40.8),
    ("float16", 16.0, 73.65, 22.7),
    ("int4 group=32 scale=float16", 4.5, 20.263, 6.83),
    ("int4 group=64 scale=float16", 4.25, 19.356, 6.23),
    ("int4 group=128 scale=float16", 4.125, 18.606, 6.23),
    ("int4 asym group=128 scale=float16", 4.156, 19.944, 5.08),
    ("int3 group=128 scale=float16", 3.125, 11.244, 7.57),
    ("int2 asym group=64 scale=float16", 2.28125, 6.801, 6.93),
    ("int8 channel scale=float16", 8.004, 41.208, 6.98),
]


@pytest.fixture(scope="module")
def gaussian_rows() -> dict[str, list[Row]]:
    tensors = {
        str(seed): np.random.default_rng(seed).normal(size=(256, 4096)).astype(np.float32) for seed in (27, 28, 29)
    }
    texts = [text for text, *_figures in TABLE]
    rows = list(sweep(tensors, texts))
    return {text: rows[place :: len(texts)] for place, text in enumerate(texts)}


@pytest.mark.parametrize(("text", "bits_per_weight", "sqnr_db", "gap_db"), TABLE)
def test_gaussian_values_reach_their_tabulated_sqnr(
    text: str, bits_per_weight: float, sqnr_db: float, gap_db: float, gaussian_rows: dict[str, list[Row]]
) -> None:
    rows = gaussian_rows[text]
    found = [row.sqnr_db for row in rows]
    # One run scatters by about 0.01 dB; with only 256 groups, whose largest squares vary by 16 %, by 0.16/16 or 0.043 dB.
    # The difference of two means of three runs: sqrt(2/3) of that, 4.5 of which are allowed, and the printed digit.
    sigma = 0.043 if "channel" in text else 0.01
    allowed = 4.5 * sigma * math.sqrt(2 / 3)
    assert sum(found) / 3 == pytest.approx(
        sqnr_db, abs=allowed + (5e-3 if text.endswith("float16") and "int" not in text else 5e-4)
    )
    assert max(found) - min(found) < 6 * sigma
    # Tensor scales add 32 bits to a million values.
    assert rows[0].bits_per_weight == pytest.approx(bits_per_weight, abs=5e-4)
    assert rows[0].shannon_gap_db == pytest.approx(
        gap_db, abs=2 * allowed + 0.05 if gap_db > 12.5 else 2 * allowed + 0.01
    )
    assert rows[0].wasted_bits == pytest.approx(rows[0].shannon_gap_db / 6.0206, abs=1e-4)


def test_binary_and_ternary_of_gaussian_values_lose_what_theory_says() -> None:
    x = np.random.default_rng(30).normal(size=(8, 1 << 17)).astype(np.float32)
    binary, ternary = sweep({"x": x}, ["binary", "ternary"])
    # Binary: 1 - 2/pi. The squared error of one value has a standard deviation of 0.47 around its mean: 4.5 of a thousandth of that.
    assert binary.mse == pytest.approx(
        (1 - 2 / math.pi) * np.mean(np.square(x, dtype=np.float64)), abs=4.5 * 0.5 / 1024
    )
    # Ternary at t = 0.7 sqrt(2/pi): 1 - level^2 P(|x| > t), level = phi(t)/Q(t); within a thousandth of the best threshold's 0.19017.
    t = 0.7 * math.sqrt(2 / math.pi)
    tail = math.erfc(t / math.sqrt(2)) / 2
    level = math.exp(-t * t / 2) / math.sqrt(2 * math.pi) / tail
    assert ternary.mse == pytest.approx(1 - 2 * level**2 * tail, abs=4.5 * 0.4 / 1024)
    assert 1 - 2 * level**2 * tail == pytest.approx(0.19017, abs=2e-3)
