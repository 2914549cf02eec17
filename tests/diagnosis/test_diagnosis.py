"""Causes on layers built with one known fault each, and cures against round trips made here."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qanalysis.decibels import DB_PER_BIT
from qanalysis.diagnosis import trials
from qanalysis.diagnosis.causes import NOTABLE_SHARE, Cause
from qanalysis.diagnosis.cures import KEPT_PERCENTS, Cure
from qanalysis.diagnosis.findings import Diagnosis, diagnose
from qanalysis.diagnosis.levels import draw_reference
from qanalysis.diagnosis.trials import (
    LayerView,
    find_outliers,
    sample_rows,
    transform,
    try_keeping,
    try_rotation,
    try_schemes,
    view_layer,
)
from qanalysis.quantizers.formats import FORMATS
from qanalysis.quantizers.scheme import Scheme
from qanalysis.sums import measure

Matrix = NDArray[np.float32]
# Sweeps add errors in float32 lanes of 1024 values, round trips here in float64: at most 1024 * 2^-24 apart, as a rule far less.
LANES = 1024 * 2.0**-24
LANES_DB = 10 * math.log10(1 + 2 * LANES)
ROWS, COLUMNS = 64, 512


def draw(rows: int = ROWS, columns: int = COLUMNS, *, seed: int = 0) -> Matrix:
    return np.random.default_rng(seed).standard_normal((rows, columns), dtype=np.float32)


def examine(x: Matrix, text: str, *, axis: int = 0) -> Diagnosis:
    return diagnose(x, Scheme.parse(text), axis=axis, name="w")


def find(diagnosis: Diagnosis, code: str) -> Cause:
    return next(cause for cause in diagnosis.causes if cause.code == code)


def codes(diagnosis: Diagnosis) -> set[str]:
    return {cause.code for cause in diagnosis.causes}


def cure(diagnosis: Diagnosis, text: str) -> Cure:
    return next(found for found in diagnosis.cures if text in (found.scheme, found.text) or found.text.startswith(text))


def sqnr_db(x: Matrix, text: str) -> float:
    return float(measure(x, Scheme.parse(text).fit(x).round_trip(x)).sqnr_db or math.nan)


@pytest.mark.parametrize(
    "grouping", ["", " channel", " group=128", " group=32"], ids=["tensor", "channel", "group=128", "group=32"]
)
@pytest.mark.parametrize("bits", [4, 6, 8])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_gaussian_layer_has_no_cause(bits: int, grouping: str, seed: int) -> None:
    diagnosis = examine(draw(seed=seed), f"int{bits}{grouping}")
    assert diagnosis.causes == ()
    assert diagnosis.summary.startswith("Nothing stands out: ")


@pytest.mark.parametrize("text", [name for name in FORMATS if FORMATS[name].bits > 2 and not name.startswith("int")])
def test_a_gaussian_layer_has_no_cause_but_the_format_s_own(text: str) -> None:
    assert codes(examine(draw(), text)) <= {"scale-rounding"}


@pytest.mark.parametrize("text", ["binary channel", "ternary channel"])
def test_two_and_three_levels_clip_by_their_nature(text: str) -> None:
    diagnosis = examine(draw(), text)
    assert (diagnosis.clipping_share or 0) > 1 / 3
    assert diagnosis.causes == ()


@pytest.mark.parametrize("ratio", [4, 10, 30])
def test_an_outlier_channel_with_its_own_scale_carries_its_part_of_the_error(ratio: int) -> None:
    x = np.tile(draw(1), (ROWS, 1))
    x[7] *= ratio
    cause = find(examine(x, "int4 channel"), "outlier-channels")
    # Every row is a multiple of one row, so errors are as their squares, but for the float32 rounding of x/step on each.
    assert cause.share == pytest.approx(ratio**2 / (ratio**2 + ROWS - 1), rel=1e-4)
    assert cause.value == pytest.approx(ratio, rel=1e-6)
    assert "channel 7 " in cause.text


def test_an_outlier_channel_that_shares_its_scale_answers_for_the_coarse_step_of_all() -> None:
    x = draw()
    x[7] *= 10
    cause = find(examine(x, "int8"), "outlier-channels")
    rest = np.delete(x, 7, axis=0)
    alone = measure(rest, Scheme.parse("int8").fit(rest).round_trip(rest)).sum_e2
    assert cause.share == pytest.approx(1 - alone / measure(x, _trip(x, "int8")).sum_e2, rel=LANES)
    assert cause.share > 0.9


def test_an_outlier_column_is_told_from_an_outlier_channel() -> None:
    x = draw()
    x[:, 17] *= 8
    diagnosis = examine(x, "int4 group=128")
    assert "outlier-channels" not in codes(diagnosis)
    cause = find(diagnosis, "outlier-columns")
    assert "column 17 " in cause.text
    rest = x.copy()
    rest[:, 17] = 0  # no error on any grid, and no part in a range
    share = (
        1
        - measure(rest, Scheme.parse("int4 group=128").fit(rest).round_trip(rest)).sum_e2
        / measure(x, _trip(x, "int4 group=128")).sum_e2
    )
    assert cause.share == pytest.approx(share, rel=LANES)


def _trip(x: Matrix, text: str) -> Matrix:
    return np.asarray(Scheme.parse(text).fit(x).round_trip(x))


def test_a_column_of_an_outlier_channel_is_no_outlier_column() -> None:
    x = draw(8)
    x[3] *= 50
    assert find_outliers(view_layer(x, Scheme.parse("int4")))[1].places.size == 0


def test_the_worst_hundredth_of_the_groups_is_named() -> None:
    x = draw(32, 512)
    x[9, 128:160] *= 12  # one group of 512: 144 / (144 + 511) of the signal, and of the error as the groups look alike
    cause = find(examine(x, "int4 group=32"), "outlier-groups")
    assert "channel 9, columns 128 to 159" in cause.text
    errors = np.square(_trip(x, "int4 group=32").astype(np.float64) - x).reshape(-1, 32).sum(axis=1)
    assert cause.value == 6 / 512
    assert cause.share == pytest.approx(np.sort(errors)[-6:].sum() / errors.sum(), rel=1e-12)


def test_the_crest_counts_from_a_gaussian_s() -> None:
    x = np.full((4, 1024), 1.0, np.float32) * np.where(np.arange(1024) % 2, 1, -1).astype(np.float32)
    x[:, 0] = 100
    diagnosis = examine(x, "int8 channel")
    reference = draw_reference(Scheme.parse("int8 channel"), 4, 1024)
    assert reference is not None
    crest_db = 10 * math.log10(100**2 / ((100**2 + 1023) / 1024))
    assert find(diagnosis, "crest").value == pytest.approx(crest_db - reference.levels.crest_db, abs=1e-9)


def test_the_reference_s_crest_is_what_theory_expects_of_gaussian_groups() -> None:
    reference = draw_reference(Scheme.parse("int4 group=128"), 4096, 1024)
    assert reference is not None
    # E[max^2] of 128 values is 8.148 (tabulated); 8192 groups, each with a relative standard deviation of about 0.35 of max^2: 0.02 dB.
    assert reference.levels.crest_db == pytest.approx(10 * math.log10(8.148), abs=3 * 0.02)


def test_a_heavy_tail_is_a_crest_and_a_rotation_is_its_cure() -> None:
    x = np.random.default_rng(5).standard_t(3, (ROWS, COLUMNS)).astype(np.float32)
    diagnosis = examine(x, "int4 channel")
    assert diagnosis.causes[0].code == "crest"
    assert "asymmetry" not in codes(diagnosis)
    assert cure(diagnosis, "Hadamard").gain_db > 3


def test_a_range_that_clips_too_much_is_named_and_a_wider_one_is_its_cure() -> None:
    x = draw()
    diagnosis = examine(x, "int6 range=percentile:90")
    cause = find(diagnosis, "clipping")
    quantizer = Scheme.parse("int6 range=percentile:90").fit(x)
    limited = np.clip(x.astype(np.float64), quantizer.low, quantizer.high)
    share = np.square(x - limited).sum() / np.square(x.astype(np.float64) - quantizer.round_trip(x)).sum()
    assert cause.share == pytest.approx(share, rel=LANES)
    searched = examine(draw(1, 64, seed=838), "int4 range=mse")
    assert (searched.clipping_share or 0) > 0.45  # few values: the best range happens to clip that much
    assert "clipping" not in codes(searched)
    assert cure(diagnosis, "int6").gain_db > 3


def test_one_sided_values_waste_half_of_a_symmetric_grid() -> None:
    x = np.abs(draw())
    diagnosis = examine(x, "int8 channel")
    cause = find(diagnosis, "asymmetry")
    # Half the span is half the largest magnitude: 6.02 dB, less what signs drawn anew leave unused by chance (below 1 dB in groups of 512).
    assert 20 * math.log10(2) - 1 < cause.value < 20 * math.log10(2)
    assert "50 % of the codes" in cause.text
    assert cure(diagnosis, "int8 asym channel").gain_db == pytest.approx(20 * math.log10(255 / 127), abs=0.1)
    assert codes(examine(x, "int8 asym channel")) == set()


def test_more_than_half_of_the_weights_zeroed_is_a_cause() -> None:
    x = draw()
    cause = find(examine(x, "int2 channel"), "zeroed")
    y = _trip(x, "int2 channel")
    assert cause.value == np.count_nonzero(y == 0) / x.size
    assert cause.share == pytest.approx(np.square(x[y == 0].astype(np.float64)).sum() / measure(x, y).sum_e2, rel=LANES)


def test_zeros_of_a_pruned_layer_are_not_zeroed() -> None:
    x = draw()
    x[:, : COLUMNS * 3 // 4] = 0
    assert "zeroed" not in codes(examine(x, "int8 channel"))


def test_what_the_scale_s_type_costs_is_measured_against_float32() -> None:
    x = draw()
    diagnosis = examine(x, "int4 channel scale=pow2")
    cost = sqnr_db(x, "int4 channel") - sqnr_db(x, "int4 channel scale=pow2")
    assert find(diagnosis, "scale-rounding").value == pytest.approx(cost, abs=LANES_DB)
    assert cure(diagnosis, "Scales in float32").gain_db == pytest.approx(cost, abs=LANES_DB)
    assert "scale-rounding" not in codes(examine(x, "int4 channel scale=float16"))
    assert find(examine(x, "mxfp4"), "scale-rounding").value == pytest.approx(
        sqnr_db(x, "fp4_e2m1 group=32") - sqnr_db(x, "mxfp4"), abs=LANES_DB
    )


@pytest.mark.parametrize("mode", ["floor", "to-zero", "stochastic:3"])
def test_what_the_rounding_mode_costs_is_measured_against_nearest(mode: str) -> None:
    x = draw()
    diagnosis = examine(x, f"int6 channel round={mode}")
    cost = sqnr_db(x, "int6 channel") - sqnr_db(x, f"int6 channel round={mode}")
    assert find(diagnosis, "rounding-mode").value == pytest.approx(cost, abs=2 * LANES_DB)
    assert f"Rounding by {mode} costs {cost:.1f} dB" in find(diagnosis, "rounding-mode").text
    assert cure(diagnosis, "Rounding to nearest").gain_db == pytest.approx(cost, abs=2 * LANES_DB)
    assert examine(x, "int6 channel round=half-up").causes == ()


def test_a_ragged_tail_costs_scales() -> None:
    x = draw(64, 130)
    cause = find(examine(x, "int4 group=128"), "ragged-tail")
    assert cause.value == 2 / 130
    # Two scales of 32 bits for 130 values, against one for 128.
    assert f"{64 / 130 - 32 / 128:.2g} bits per weight more" in cause.text
    errors = np.square(_trip(x, "int4 group=128").astype(np.float64) - x)
    assert cause.share == pytest.approx(errors[:, 128:].sum() / errors.sum(), rel=LANES)
    assert "ragged-tail" not in codes(examine(draw(64, 1984), "int4 group=128"))


def test_a_layer_that_is_quantized_already_is_known() -> None:
    y = _trip(draw(), "int4 channel")
    assert "on-grid" in codes(examine(y, "int4 channel"))
    y[0, 0] += np.abs(y).max() / 50
    cause = find(examine(y, "int4 channel"), "on-grid")
    assert cause.value > 0.9
    assert cause.share == 0


def test_a_layer_without_an_error_has_nothing_to_cure() -> None:
    diagnosis = examine(np.float32([[1, -1], [0, 1]]), "int4")
    assert diagnosis.summary == "No error at 12 bits per weight."  # 4 a value, and a scale of 32 for four of them
    assert (codes(diagnosis), diagnosis.cures, diagnosis.advice) == ({"on-grid"}, (), "")


@pytest.mark.parametrize("factor", [2.0**-20, 3.7, 2.0**30])
def test_scaling_the_layer_changes_no_finding(factor: float) -> None:
    x = np.random.default_rng(2).standard_t(4, (32, 256)).astype(np.float32)
    x[5] *= 8
    before, after = examine(x, "int4 group=64"), examine(x * np.float32(factor), "int4 group=64")
    assert [cause.code for cause in before.causes] == [cause.code for cause in after.causes]
    for one, other in zip(before.causes, after.causes, strict=True):
        # x/step is rounded to float32 anew: 2^-23 of it, of steps 2^-23 * 7 that move single codes at a border.
        assert one.share == pytest.approx(other.share, abs=1e-3)


def _list_schemes() -> list[str]:
    integers = [f"int4 {grouping}" for grouping in ("tensor", "channel", "group=64", "block=4x32")]
    others = [
        "int3 asym group=32 scale=float16",
        "nf4 group=64",
        "fp8_e4m3",
        "mxfp4",
        "nvfp4",
        "gguf:q4_0",
        "ternary channel",
        "bfloat16",
    ]
    return [*integers, "int8 range=mse", *others]


@pytest.mark.parametrize("text", _list_schemes())
def test_every_cure_s_gain_is_the_difference_of_two_round_trips(text: str) -> None:
    x = np.random.default_rng(8).standard_t(4, (16, 256)).astype(np.float32)
    diagnosis = examine(x, text)
    before = sqnr_db(x, text)
    schemes = [found for found in diagnosis.cures if found.scheme is not None]
    assert diagnosis.sqnr_db == pytest.approx(before, abs=LANES_DB)
    for found in schemes:
        assert found.gain_db == pytest.approx(sqnr_db(x, str(found.scheme)) - before, abs=2 * LANES_DB), found.scheme
        assert found.sqnr_db == pytest.approx(diagnosis.sqnr_db + found.gain_db, abs=1e-9)
    assert len({found.scheme for found in schemes} | {text}) == len(schemes) + 1
    assert [found.net_bits for found in diagnosis.cures] == sorted(
        (found.net_bits for found in diagnosis.cures), reverse=True
    )


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 6),
    columns=st.integers(2, 70),
    bits=st.integers(2, 8),
    grouping=st.sampled_from(["tensor", "channel", "group=16"]),
)
def test_gains_and_prices_hold_for_any_layer(seed: int, rows: int, columns: int, bits: int, grouping: str) -> None:
    x = np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)
    diagnosis = examine(x, f"int{bits} {grouping}")
    for found in diagnosis.cures:
        assert found.sqnr_db == pytest.approx(diagnosis.sqnr_db + found.gain_db, abs=1e-9)
        assert found.bits_per_weight == pytest.approx(diagnosis.bits_per_weight + found.extra_bits, abs=1e-9)
        if found.scheme is not None:
            assert found.gain_db == pytest.approx(
                sqnr_db(x, found.scheme) - sqnr_db(x, diagnosis.scheme), abs=2 * LANES_DB
            )
    assert all(0 <= cause.share <= 1 for cause in diagnosis.causes)


def test_finer_groups_cost_their_scales() -> None:
    diagnosis = examine(draw(), "int4 group=128")
    assert [
        found.scheme for found in sorted(diagnosis.cures, key=lambda found: found.extra_bits) if found.code == "group"
    ] == [
        "int4 group=64",
        "int4 group=32",
        "int4 group=16",
    ]
    assert cure(diagnosis, "int4 group=64").extra_bits == 32 / 64 - 32 / 128
    assert cure(diagnosis, "int5 group=128").extra_bits == 1


def test_a_format_that_fixes_its_conventions_has_fewer_cures() -> None:
    assert {found.code for found in examine(draw(), "gguf:q4_0").cures} == {"wider", "keep", "rotate"}
    assert {found.code for found in examine(draw(), "nf4 group=64").cures} == {
        "group",
        "range",
        "wider",
        "keep",
        "rotate",
    }


def test_keeping_the_largest_values_by_hand() -> None:
    x = np.zeros((1, 1000), np.float32)
    x[0, :4] = [7, -3.25, 100, 0.4]
    # Without 100 the step is 1: errors 0, 0.25, 0.4 (-3.25 -> -3, 0.4 -> 0); 100 is kept exactly in float16.
    trial = try_keeping(LayerView(x, Scheme.parse("int4")), [0.1])[0]
    assert trial is not None
    assert trial.error == pytest.approx(0.25**2 + 0.4**2, rel=1e-6)  # 0.4 is rounded to float32
    # 4 bits a value, one step of 32; one value of 16 bits with a place among 1000: 10 bits.
    assert trial.bits_per_weight == pytest.approx((4 * 1000 + 32 + 26) / 1000, abs=1e-12)


def test_kept_values_take_the_closer_of_two_16_bit_types() -> None:
    x = np.ones((1, 1000), np.float32)
    x[0, 0] = 100_001  # beyond float16; bfloat16 has 99,840 and 100,352
    trial = try_keeping(LayerView(x, Scheme.parse("int4")), [0.1])[0]
    assert trial is not None
    assert trial.error == 161**2
    x[0, 0] = 2049 + 1  # float16 has 2050, bfloat16 2048
    trial = try_keeping(LayerView(x, Scheme.parse("int4")), [0.1])[0]
    assert trial is not None
    assert trial.error == 0


def test_keeping_an_outlier_column_takes_it_out_of_every_range() -> None:
    x = draw()
    x[:, 17] *= 8
    x[2, 17] = np.nan
    diagnosis = examine(x, "int4 group=128")
    found = cure(diagnosis, "Keep column 17 in 16 bits")
    rest = np.where(np.arange(COLUMNS) == 17, np.float32(0), x)
    kept = x[:, 17].astype(np.float64)
    error = measure(rest, _trip(rest, "int4 group=128")).sum_e2 + np.nansum(np.square(kept - kept.astype(np.float16)))
    assert found.gain_db == pytest.approx(
        10 * math.log10(measure(x, _trip(x, "int4 group=128")).sum_e2 / error), abs=2 * LANES_DB
    )
    assert found.extra_bits == pytest.approx(
        16 * (ROWS - 1) / x.size, abs=1e-12
    )  # the value that is not finite is not kept
    assert "column" not in "".join(found.text for found in examine(draw(), "int4").cures)
    assert "column" not in "".join(found.text for found in examine(draw(1, 300)[0], "int4").cures)


def test_too_few_values_to_keep_one_give_no_such_cure() -> None:
    kept = [found.text for found in examine(draw(2, 64), "int4").cures if found.code == "keep"]
    assert [text.split()[3] for text in sorted(kept)] == ["0.5", "1"]  # 0.1 % of 128 values is none
    assert try_keeping(LayerView(draw(1, 4), Scheme.parse("int4")), KEPT_PERCENTS) == [None] * 3


@pytest.mark.parametrize("columns", [2, 12, 64, 96, 256, 1024, 3 * 4096])
def test_the_rotation_is_orthonormal_and_its_own_inverse(columns: int) -> None:
    x = draw(3, columns)
    rotated = transform(x)
    # Each of at most 14 butterflies' worth of sums rounds to 2^-24 of values of about 1; generous by the square root of the length.
    assert np.abs(transform(rotated) - x).max() < 14 * 2**-22
    block = columns & -columns
    assert np.square(rotated.astype(np.float64)).reshape(3, -1, block).sum(axis=2) == pytest.approx(
        np.square(x.astype(np.float64)).reshape(3, -1, block).sum(axis=2), rel=1e-5
    )


@pytest.mark.parametrize("columns", [8, 256, 24])
def test_the_rotation_equals_its_definition(columns: int) -> None:
    block = columns & -columns
    signs = np.array([[(-1) ** (row & column).bit_count() for column in range(block)] for row in range(block)])
    x = draw(2, columns)
    expected = (x.reshape(-1, block).astype(np.float64) @ signs / math.sqrt(block)).reshape(x.shape)
    assert np.abs(transform(x) - expected).max() < 1e-5  # 256 float32 terms of about 1, over sqrt(256)


def test_the_rotation_s_gain_is_that_of_a_round_trip_in_the_rotated_layer() -> None:
    x = np.random.default_rng(5).standard_t(3, (16, 128)).astype(np.float32)
    found = cure(examine(x, "int4 channel"), "Hadamard")
    signs = np.random.default_rng(trials.SEED).choice(np.array([-1, 1], np.float32), 128)
    rotated = transform(x * signs)
    # The rotation keeps lengths, so the error may be taken on either side of it; float32 rounding moves values by 2^-24.
    assert found.sqnr_db == pytest.approx(sqnr_db(rotated, "int4 channel"), abs=1e-3)
    assert found.bits_per_weight == examine(x, "int4 channel").bits_per_weight


def test_rows_of_odd_length_are_not_rotated() -> None:
    assert try_rotation(LayerView(draw(4, 27), Scheme.parse("int4"))) is None
    assert "rotate" not in {found.code for found in examine(draw(4, 27), "int4").cures}


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "SAMPLE_VALUES", 4096)


@pytest.mark.usefixtures("small_limit")
def test_a_large_layer_is_tried_out_on_rows_that_hold_what_stands_out() -> None:
    x = draw(256, 64)
    x[33] *= 40
    x[200, 5] = -600
    diagnosis = examine(x, "int4")
    assert (diagnosis.count, diagnosis.tried) == (256 * 64, 4096)
    assert diagnosis.notes == (
        "Tried out on 4,096 of 16,384 values: whole channels drawn at random, and those that stand out.",
    )
    assert diagnosis.sqnr_db == pytest.approx(sqnr_db(x, "int4"), abs=LANES_DB)
    rows = sample_rows(view_layer(x, Scheme.parse("int4")), np.array([33]))
    assert {33, 200} <= set(rows.tolist())
    assert rows.size == 64
    assert np.array_equal(rows, sample_rows(view_layer(x, Scheme.parse("int4")), np.array([33])))


@pytest.mark.usefixtures("small_limit")
def test_a_sample_keeps_blocks_whole() -> None:
    rows = sample_rows(view_layer(draw(256, 64), Scheme.parse("int4 block=8x16")), np.array([], np.intp))
    assert rows.size == 64
    assert np.array_equal(rows, (np.unique(rows // 8)[:, np.newaxis] * 8 + np.arange(8)).reshape(-1))


@pytest.mark.usefixtures("small_limit")
def test_where_drawn_rows_have_no_error_the_whole_layer_is_tried_out() -> None:
    x = np.tile(np.float32([7, -7, 1, 0]), (512, 16))
    x[300:303, 5] = 0.5  # few rows of many; none of them among the 64 drawn
    rows = sample_rows(view_layer(x, Scheme.parse("int4")), np.array([], np.intp))
    assert not {300, 301, 302} & set(rows.tolist())
    diagnosis = examine(x, "int4")
    assert diagnosis.tried == diagnosis.count == x.size
    assert cure(diagnosis, "int5").gain_db == pytest.approx(sqnr_db(x, "int5") - sqnr_db(x, "int4"), abs=2 * LANES_DB)


@pytest.mark.usefixtures("small_limit")
def test_gains_on_a_sample_are_near_those_of_the_whole_layer() -> None:
    x = draw(512, 64)
    diagnosis = examine(x, "int4 channel")
    # 64 rows; the error of a row varies by a relative 0.3 or so with its largest value, cure and base together: below 0.3 dB.
    assert cure(diagnosis, "int5 channel").gain_db == pytest.approx(
        sqnr_db(x, "int5 channel") - sqnr_db(x, "int4 channel"), abs=0.3
    )


def test_values_that_are_not_finite_are_left_out_and_counted() -> None:
    x = draw()
    spoilt = x.copy()
    spoilt[3, 5], spoilt[9, 9] = np.nan, np.inf
    diagnosis = examine(spoilt, "int4 channel")
    assert (diagnosis.non_finite, diagnosis.count) == (2, x.size - 2)
    assert diagnosis.notes == ("2 values are NaN or infinite and left out.",)
    zeroed = np.where(np.isfinite(spoilt), spoilt, np.float32(0))
    assert cure(diagnosis, "int5 channel").gain_db == pytest.approx(
        sqnr_db(zeroed, "int5 channel") - sqnr_db(zeroed, "int4 channel"), abs=2 * LANES_DB
    )
    assert all(math.isfinite(found.gain_db) for found in diagnosis.cures)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_channels_lie_along_the_axis_of_the_layer_or_of_the_scheme(axis: int) -> None:
    x = draw(6 * 8, 10).reshape(6, 8, 10)
    np.moveaxis(x, axis, 0)[4] *= 30
    for diagnosis in (examine(x, "int4 channel", axis=axis), examine(x, f"int4 channel={axis}")):
        cause = find(diagnosis, "outlier-channels")
        assert "channel 4 " in cause.text
        moved = np.moveaxis(x, axis, 0).reshape(x.shape[axis], -1)
        assert diagnosis.sqnr_db == pytest.approx(sqnr_db(np.ascontiguousarray(moved), "int4 channel"), abs=LANES_DB)
    assert "group" not in {found.code for found in examine(x, f"int4 channel={axis}").cures}


def test_a_vector_is_one_row() -> None:
    diagnosis = examine(draw(1, 300)[0], "int4")
    assert codes(diagnosis) == set()
    assert {found.scheme for found in diagnosis.cures if found.code == "group"} == {
        "int4 group=256",
        "int4 group=128",
        "int4 group=64",
    }


def test_wider_floats_than_float32_can_hold_are_not_finite() -> None:
    x = draw().astype(np.float64)
    x[0, 0] = 1e300
    assert diagnose(x, Scheme.parse("int4 channel")).non_finite == 1


@pytest.mark.parametrize(
    ("x", "text", "error", "message"),
    [
        (np.zeros((4, 4), np.float32), "int4", ValueError, "tensor 'w': every value is zero"),
        (np.zeros((0, 4), np.float32), "int4", ValueError, "at least one dimension and one finite element"),
        (np.full((2, 2), np.nan, np.float32), "int4", ValueError, "one finite element"),
        (np.float32(3), "int4", ValueError, "at least one dimension"),
        (np.arange(8), "int4", TypeError, "needs float values"),
        (draw(4, 48), "mxfp8_e4m3", ValueError, "blocks of 32"),
        (draw(4, 4), "int4 channel=5", ValueError, "axis 5"),
    ],
    ids=[
        "zeros",
        "empty",
        "nothing finite",
        "a single number",
        "integers",
        "blocks that do not divide",
        "no such axis",
    ],
)
def test_what_can_not_be_diagnosed_is_refused_with_a_reason(
    x: Matrix, text: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        examine(x, text)


def test_the_profile_at_hand_gives_the_same_diagnosis() -> None:
    from qanalysis.diagnosis.profile import profile_layer

    x = np.random.default_rng(5).standard_t(3, (16, 128)).astype(np.float32)
    scheme = Scheme.parse("int4 channel")
    assert diagnose(x, scheme, name="w", profile=profile_layer(x, scheme, name="w")) == diagnose(x, scheme, name="w")


def test_the_words_hold_the_numbers() -> None:
    x = np.random.default_rng(5).standard_t(3, (ROWS, COLUMNS)).astype(np.float32)
    diagnosis = examine(x, "int4 channel")
    best = diagnosis.cures[0]
    assert diagnosis.summary.startswith(
        f"{diagnosis.sqnr_db:.1f} dB at 4.062 bits per weight; Gaussian values of this shape give {diagnosis.gaussian_db:.1f} dB."
    )
    assert f"{diagnosis.wasted_bits:.2f} bits per weight fewer" in diagnosis.summary
    assert diagnosis.advice.startswith(f"Best for its bits: {best.text}, {best.gain_db:+.1f} dB ")
    assert ("It needs run-time support" in diagnosis.advice) == best.needs_support == (best.code in {"keep", "rotate"})
    plain = next(found for found in diagnosis.cures if found.scheme is not None and found.code != "wider")
    assert f"without: {plain.text}, {plain.gain_db:+.1f} dB " in diagnosis.advice
    assert best.worth_bits == best.gain_db / DB_PER_BIT
    assert best.net_bits == best.worth_bits - best.extra_bits
    assert all(cause.share >= NOTABLE_SHARE for cause in diagnosis.causes)
    assert [cause.share for cause in diagnosis.causes] == sorted(
        (cause.share for cause in diagnosis.causes), reverse=True
    )


def test_no_cure_is_praised_that_longer_codes_beat() -> None:
    diagnosis = examine(draw(), "nvfp4")
    assert diagnosis.advice == "No cure tried here buys more than longer codes of the same size would."


def test_a_diagnosis_is_plain_json() -> None:
    x = np.tile(np.float32([0, 1, 3, 3]), (4, 16))
    diagnosis = examine(x, "int2")
    record = diagnosis.to_dict()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert math.isinf(cure(diagnosis, "int3").gain_db)  # whole steps of 1
    exact = next(found for found in record["cures"] if found["scheme"] == "int3")
    assert (exact["gain_db"], exact["worth_bits"], exact["extra_bits"]) == (None, None, 1.0)
    assert [found["code"] for found in record["causes"]] == [found.code for found in diagnosis.causes]
    assert (record["summary"], record["advice"]) == (diagnosis.summary, diagnosis.advice)


def test_schemes_that_do_not_fit_are_no_trials() -> None:
    fitting, other = try_schemes(draw(4, 48), [Scheme.parse("int4"), Scheme.parse("mxfp4")])
    assert fitting is not None
    assert other is None
    assert try_schemes(draw(4, 48), []) == []
