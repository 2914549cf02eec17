"""Laws between rows of different schemes or tensors, and the tabulated errors of Gaussian groups."""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from qanalysis.sweeps import jobs
from qanalysis.sweeps.chunks import cut_chunks
from qanalysis.sweeps.row import METRICS, Row
from qanalysis.sweeps.sweep import sweep
from tests.reference import SYMMETRIES

RNG = np.random.default_rng(11)
WEIGHTS = RNG.standard_t(4, size=(12, 96)).astype(np.float32)
GAUSSIAN = RNG.normal(size=(16, 512)).astype(np.float32)
WITH_UNIT = ("step_min", "step_mean", "step_max", "half_step_bound", "max_abs_error", "mean_abs_error", "bias", "mse")
# These do not change when all values are multiplied by a power of two.
DIMENSIONLESS = [name for name in METRICS if name not in WITH_UNIT]


def give_row(x: NDArray, text: str) -> Row:
    return sweep({"x": x}, [text], workers=1)[0]


TENSORS = hnp.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 20)), elements=st.floats(-8, 8, width=16))


@pytest.mark.parametrize("grouping", ["tensor", "channel", "group=32"])
@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_each_bit_more_lowers_the_error_of_a_generic_tensor(symmetry: str, grouping: str) -> None:
    # Halving the step need not help a single value, but does for thousands: about 6 dB, 1 dB at 2 bits.
    rows = sweep({"x": GAUSSIAN}, [f"int{bits} {symmetry} {grouping}" for bits in range(2, 17)])
    sqnr = [row.sqnr_db for row in rows]
    assert all(more - less > 1 for less, more in pairwise(sqnr))


@given(
    x=TENSORS,
    symmetry=st.sampled_from(SYMMETRIES),
    grouping=st.sampled_from(["tensor", "channel", "group=7"]),
    bits=st.sampled_from([2, 3, 4, 8]),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_mse_search_is_never_worse_than_minmax(x: np.ndarray, symmetry: str, grouping: str, bits: int) -> None:
    plain, searched = sweep(
        {"x": x}, [f"int{bits} {symmetry} {grouping}", f"int{bits} {symmetry} {grouping} range=mse"], workers=1
    )
    if plain.status == "ok":
        # Both sums of at most 80 squares are float32: 84 * 2^-24 of the larger.
        assert searched.mse <= plain.mse * (1 + 2 * 84 * 2.0**-24)


@given(x=TENSORS, symmetry=st.sampled_from(SYMMETRIES), mode=st.sampled_from(["floor", "ceil", "to-zero"]))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_mse_search_is_never_worse_than_minmax_under_other_roundings(x: np.ndarray, symmetry: str, mode: str) -> None:
    plain, searched = sweep(
        {"x": x}, [f"int3 {symmetry} round={mode}", f"int3 {symmetry} range=mse round={mode}"], workers=1
    )
    if plain.status == "ok":
        assert searched.mse <= plain.mse * (1 + 2 * 84 * 2.0**-24)


# A percentile of |x| has one value for both ends, so sym-noclip, which looks at each end, is left out.
@given(
    x=TENSORS,
    symmetry=st.sampled_from([name for name in SYMMETRIES if name != "sym-noclip"]),
    grouping=st.sampled_from(["tensor", "channel", "group=7"]),
)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_percentile_100_is_minmax(x: np.ndarray, symmetry: str, grouping: str) -> None:
    plain, ranked = sweep(
        {"x": x}, [f"int4 {symmetry} {grouping}", f"int4 {symmetry} {grouping} range=percentile:100"], workers=1
    )
    columns = [
        *(name for name in DIMENSIONLESS if name != "theory_sqnr_db"),
        "mse",
        "bias",
        "step_min",
        "step_max",
        "max_abs_error",
    ]
    assert [getattr(plain, name) for name in columns] == [getattr(ranked, name) for name in columns]


@pytest.mark.parametrize("rule", ["minmax", "percentile:95", "meanstd", "mse:30", "kl:64"])
@pytest.mark.parametrize("exponent", [-10, 1, 12])
def test_multiplying_by_a_power_of_two_changes_no_ratio(exponent: int, rule: str) -> None:
    for words in ("int4", "int3 asym channel", "int4 group=32 scale=pow2", "int8 round=stochastic:5"):
        plain, scaled = (give_row(x, f"{words} range={rule}") for x in (WEIGHTS, np.ldexp(WEIGHTS, exponent)))
        assert {name: getattr(plain, name) for name in DIMENSIONLESS} == {
            name: getattr(scaled, name) for name in DIMENSIONLESS
        }
        assert (scaled.step_max, scaled.mse) == (plain.step_max * 2.0**exponent, plain.mse * 4.0**exponent)


@pytest.mark.parametrize("rule", ["minmax", "mse:30", "percentile:95", "meanstd", "kl:64"])
@pytest.mark.parametrize("exponent", [-100, 100])
def test_multiplying_by_a_huge_power_of_two_changes_ratios_by_no_more_than_lanes_do(exponent: int, rule: str) -> None:
    plain, scaled = (give_row(x, f"int3 group=32 range={rule}") for x in (WEIGHTS, np.ldexp(WEIGHTS, exponent)))
    assert (scaled.clipped_fraction, scaled.zeroed_fraction, scaled.step_max) == (
        plain.clipped_fraction,
        plain.zeroed_fraction,
        plain.step_max * 2.0**exponent,
    )
    # Such magnitudes may be added in float64 throughout, the others in float32 lanes: 1028 * 2^-24, 4.4 times twice that in dB.
    assert scaled.sqnr_db == pytest.approx(plain.sqnr_db, abs=9 * 1028 * 2.0**-24)


@pytest.mark.parametrize("grouping", ["tensor", "channel", "group=32", "block=3x5"])
def test_symmetric_grids_treat_both_signs_alike(grouping: str) -> None:
    plain, negated = (give_row(x, f"int4 {grouping}") for x in (WEIGHTS, -WEIGHTS))
    assert negated.bias == -plain.bias
    names = [field.name for field in dataclasses.fields(Row) if field.name != "bias"]
    assert [getattr(plain, name) for name in names] == [getattr(negated, name) for name in names]


@given(
    x=TENSORS,
    symmetry=st.sampled_from(SYMMETRIES),
    rule=st.sampled_from(["minmax", "percentile:80", "meanstd:1", "mse:9"]),
    bits=st.sampled_from([2, 4, 8]),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_rounding_and_clipping_share_the_error_between_them(x: np.ndarray, symmetry: str, rule: str, bits: int) -> None:
    row = give_row(x, f"int{bits} {symmetry} range={rule}")
    if row.status == "ok" and row.mse:
        # 1 - a + a rounds once.
        assert row.rounding_share + row.clipping_share == pytest.approx(1, abs=2.0**-52)
        assert 0 <= row.clipping_share <= 1 + 2.0**-20
    elif row.status == "ok":
        assert (row.rounding_share, row.clipping_share) == (None, None)


@given(x=TENSORS, grouping=st.sampled_from(["tensor", "channel", "group=7", "block=3x5"]), bits=st.integers(2, 16))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_no_error_exceeds_half_a_step_where_nothing_clips(x: np.ndarray, grouping: str, bits: int) -> None:
    row = give_row(x, f"int{bits} {grouping}")
    if row.status == "ok":
        # Scaled values, codes and levels of up to 2^b steps round three times.
        assert row.max_abs_error <= row.half_step_bound * (1 + 6 * 2.0 ** (bits - 24))
        assert row.clipped_fraction == 0


def test_pieces_of_a_real_size_do_not_change_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(12).normal(size=(300, 2048)).astype(np.float32)
    schemes = ["int4", "int8 channel", "int4 asym group=128"]
    cut = sweep({"x": x}, schemes)
    monkeypatch.setattr(jobs, "cut_chunks", lambda layouts: cut_chunks(layouts, values=x.size))
    for small, whole in zip(cut, sweep({"x": x}, schemes), strict=True):
        assert (small.clipped_fraction, small.zeroed_fraction, small.step_mean, small.max_abs_error) == (
            whole.clipped_fraction,
            whole.zeroed_fraction,
            pytest.approx(whole.step_mean, rel=1e-12),
            whole.max_abs_error,
        )
        # Lanes of at most 1024 values, cut elsewhere.
        assert small.mse == pytest.approx(whole.mse, rel=2 * 1028 * 2.0**-24)


# SQNR in dB of independent N(0, 1) values, mean of three runs of 2^20, printed to 0.001.
@pytest.mark.parametrize(
    ("text", "sqnr_db"),
    [
        ("int4 group=32 scale=float16", 20.263),
        ("int4 group=64 scale=float16", 19.356),
        ("int4 group=128 scale=float16", 18.606),
        ("int4 asym group=32 scale=float16", 21.852),
        ("int4 asym group=128 scale=float16", 19.944),
        ("int3 group=128 scale=float16", 11.244),
        ("int2 asym group=64 scale=float16", 6.801),
        ("int8 channel scale=float16", 41.208),
    ],
)
def test_gaussian_groups_reach_their_tabulated_sqnr(
    text: str, sqnr_db: float, gaussian_parts: dict[str, NDArray[np.float32]]
) -> None:
    rows = sweep(gaussian_parts, [text])
    parts = np.array([row.sqnr_db for row in rows])
    # Our standard error comes from the spread of the 32 parts; the table's is a third of its variance; 3 sigma and the printed digit.
    sigma = parts.std(ddof=1) / math.sqrt(parts.size)
    assert rows.totals[0].sqnr_db == pytest.approx(sqnr_db, abs=3 * sigma * math.sqrt(4 / 3) + 5e-4)
    assert sigma < 0.05


@pytest.fixture(scope="module")
def gaussian_parts() -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(13)
    return {f"part {number}": rng.normal(size=(8, 4096)).astype(np.float32) for number in range(32)}


@pytest.mark.parametrize("grouping", ["channel", "group=128", "group=32"])
@pytest.mark.parametrize("bits", [3, 4, 8])
def test_prediction_for_gaussian_groups_is_met(
    bits: int, grouping: str, gaussian_parts: dict[str, NDArray[np.float32]]
) -> None:
    rows = sweep(gaussian_parts, [f"int{bits} {grouping}"])
    parts = np.array([row.sqnr_db for row in rows])
    # 3 standard errors of 32 parts, and 0.03 dB of the fine-step assumption at 3 bits.
    assert parts.mean() == pytest.approx(
        rows[0].theory_sqnr_db, abs=3 * parts.std(ddof=1) / math.sqrt(parts.size) + 0.03
    )
