"""The fused path against the scalar reference: every column, over the catalogue of schemes and of awkward tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest

from qanalysis.checkpoints.source import ArraySource, TensorInfo
from qanalysis.quantizers.matrix_view import MatrixView
from qanalysis.quantizers.scheme import Scheme
from qanalysis.sweeps import jobs
from qanalysis.sweeps.chunks import cut_chunks
from qanalysis.sweeps.row import Row
from qanalysis.sweeps.sweep import sweep
from tests.reference import MODES, SCALE_BITS, SYMMETRIES, Words, check_row, describe

GROUPINGS = ("tensor", "channel", "group=7", "group=32", "block=3x5")
CATALOGUE = [
    Words(bits, symmetry, grouping, scale, mode)
    for bits in (2, 3, 4, 8, 16)
    for symmetry in SYMMETRIES
    for grouping in GROUPINGS
    for scale in SCALE_BITS
    for mode in MODES
]
PLAIN = [words for words in CATALOGUE if words.scale == "float32" and words.mode == "nearest-even"]


def make_tensors() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    tensors = {
        "gaussian": normal(7, 11),
        "outlier column": normal(3, 40) * np.where(np.arange(40) == 5, 50, 1).astype(np.float32),
        "zeros": np.zeros((3, 8), np.float32),
        "constant": np.full((4, 9), 0.3, np.float32),
        "one element": normal(1),
        "one by one": normal(1, 1),
        "one dimension": normal(37),
        "three dimensions": normal(4, 3, 5),
        "holes": normal(5, 8),
        "nothing finite": np.full((2, 3), np.nan, np.float32),
        "a row of zeros": normal(4, 8),
        "all positive": np.abs(normal(6, 8)),
        "all negative": -np.abs(normal(6, 8)) - 1,
        "ties": np.arange(-14, 15, dtype=np.float32) / 2,
        "negative zeros": -np.zeros((2, 8), np.float32) + np.eye(2, 8, dtype=np.float32),
        "subnormal": normal(5, 9) * np.float32(1e-41),
        "nearly subnormal": normal(5, 9) * np.float32(1e-36),
        "1e-30": normal(5, 9) * np.float32(1e-30),
        "1e30": normal(5, 9) * np.float32(1e30),
        "close to the largest float": normal(5, 9) * np.float32(5e37),
        "many magnitudes": normal(4, 7) * np.float32(10) ** np.arange(-30, 40, 20, dtype=np.float32)[:, None],
        "near one": 1 + normal(4, 40) * np.float32(1e-4),
    }
    tensors["holes"][1, 2:5] = [np.nan, np.inf, -np.inf]
    tensors["a row of zeros"][2] = 0
    return tensors


TENSORS = make_tensors()


def check(name: str, x: np.ndarray, plan: Sequence[Words]) -> None:
    for words, row in zip(plan, sweep({name: x}, [words.text for words in plan], workers=1), strict=True):
        check_row(row, describe(x, words))


@pytest.mark.parametrize("name", TENSORS)
def test_rows_equal_the_reference_over_conventions_widths_and_groupings(name: str) -> None:
    check(name, TENSORS[name], PLAIN)


@pytest.mark.parametrize("name", TENSORS)
def test_rows_equal_the_reference_over_scale_types_and_rounding_modes(name: str) -> None:
    # A 31st of the catalogue each: 31 is coprime to the number of words of every kind, so words meet in all pairs.
    check(name, TENSORS[name], CATALOGUE[list(TENSORS).index(name) % 31 :: 31])


LONG = np.random.default_rng(6).standard_t(4, size=(2, 1500)).astype(np.float32)


@pytest.mark.parametrize(
    "words",
    [
        Words(4),
        Words(3, "asym", "channel"),
        Words(8, grouping="group=700"),
        Words(2, "sym-clip", "group=32"),
        Words(4, mode="floor"),
        Words(5, "sym-full", "block=2x300"),
    ],
    ids=lambda words: words.text,
)
def test_rows_that_fill_several_tiles_equal_the_reference(words: Words) -> None:
    check("long", LONG, [words])


@pytest.mark.parametrize("values", [1, 40, 64, 200])
def test_pieces_of_any_size_give_the_same_rows(values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "cut_chunks", partial(cut_chunks, values=values))
    plan = [words for words in PLAIN if words.bits in (3, 8)] + [
        Words(4, "asym", grouping, mode="stochastic:7") for grouping in GROUPINGS
    ]
    for name in ("gaussian", "outlier column", "holes", "one dimension", "three dimensions", "many magnitudes"):
        check(name, TENSORS[name], plan)


@pytest.mark.parametrize("rule", ["percentile:90", "meanstd:2", "mse:20", "kl:64"])
def test_pieces_of_any_size_see_the_range_of_the_whole_group(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(7).standard_t(3, size=(6, 130)).astype(np.float32)
    schemes = [f"int4 {symmetry} {grouping} range={rule}" for symmetry in ("sym", "asym") for grouping in GROUPINGS]
    whole = sweep({"x": x}, schemes)
    monkeypatch.setattr(jobs, "cut_chunks", partial(cut_chunks, values=64))
    for small, large in zip(sweep({"x": x}, schemes), whole, strict=True):
        assert (small.step_min, small.step_max, small.clipped_fraction, small.zeroed_fraction) == (
            large.step_min,
            large.step_max,
            large.clipped_fraction,
            large.zeroed_fraction,
        )
        # Lanes of at most 780 values, cut elsewhere: 784 * 2^-24 of the sum on both sides.
        assert small.mse == pytest.approx(large.mse, rel=2 * 784 * 2.0**-24)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_channel_axis_of_the_scheme_and_of_the_tensor_give_the_references_rows(axis: int) -> None:
    class Turned(ArraySource):
        @property
        def tensors(self) -> tuple[TensorInfo, ...]:
            return (TensorInfo("x", (4, 3, 5), "float32", 240, view=MatrixView((axis,))),)

    x = TENSORS["three dimensions"]
    for grouping in GROUPINGS:
        words = Words(4, "asym", grouping, mode="stochastic:7")
        check_row(sweep(Turned({"x": x}), [words.text])[0], describe(x, words, axis=axis))
    named = Words(4, grouping=f"channel={axis}")
    check_row(sweep({"x": x}, [named.text])[0], describe(x, named))


@pytest.mark.parametrize("rule", ["minmax", "percentile:95", "meanstd:1.5", "mse", "kl:64"])
@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_rows_agree_with_the_fitted_quantizer_for_every_range_rule(rule: str, symmetry: str) -> None:
    x = np.random.default_rng(8).standard_t(3, size=(5, 64)).astype(np.float32)
    scheme = Scheme.parse(f"int4 {symmetry} group=20 range={rule}")
    row = sweep({"x": x}, [scheme])[0]
    quantizer = scheme.fit(x)
    e = quantizer.round_trip(x).astype(np.float64) - x
    assert (row.step_min, row.step_max, row.max_abs_error) == (
        quantizer.step.min(),
        quantizer.step.max(),
        pytest.approx(np.abs(e).max(), rel=2**-24),
    )
    assert row.mse == pytest.approx(np.mean(e**2), rel=324 * 2.0**-24)  # lanes of at most 320 terms


def test_ledger_of_clipping_and_rounding_worked_by_hand() -> None:
    # This percentile of |x| is 0.875, so the step is 1/8 and the end level 0.875; clipping 0.825^2 + 0.025^2, rounding 0.0042.
    x = np.float32([0.30, -1.70, 0.04, 0.90, -0.26])
    row = sweep({"x": x}, [f"int4 range=percentile:{100 * (2 + 0.575 / 0.6) / 4:.10f}"])[0]
    assert row.step_max == pytest.approx(0.125, rel=1e-6)
    # e moves by 7 steps' worth of that 1e-6, squares of 0.8 by 1.5e-6.
    assert 5 * row.mse == pytest.approx(0.68545, abs=2e-6)
    assert 5 * row.mse * row.clipping_share == pytest.approx(0.68125, abs=2e-6)
    assert 5 * row.mse * row.rounding_share == pytest.approx(0.00420, abs=2e-6)
    # -1.7 and 0.9 * 8 = 7.2: only the first rounds beyond code 7.
    assert row.clipped_fraction == 1 / 5


def test_an_error_too_small_to_square_is_still_an_error() -> None:
    row = sweep({"x": np.float32([1, 1e-30, -1])}, ["int8"])[0]
    assert row.sqnr_db == pytest.approx(10 * math.log10(2) + 600, abs=1e-4)
    assert row.max_abs_error == np.float32(1e-30)


def test_relative_error_of_tiny_values_that_round_up_a_whole_step() -> None:
    x = np.float32([1, 1e-40, -1])
    row = sweep({"x": x}, ["int8 round=ceil"])[0]
    check_row(row, describe(x, Words(8, mode="ceil")))
    assert row.mean_relative_error > 1e37


@pytest.mark.parametrize("spread", [1e-2, 1e-3, 1e-4, 1e-5])
def test_norm_weights_near_one_keep_their_sqnr_about_the_mean(spread: float) -> None:
    x = (1 + spread * np.random.default_rng(9).normal(size=768)).astype(np.float32)
    row = sweep({"x": x}, ["int8"])[0]
    e = Scheme.parse("int8").fit(x).round_trip(x).astype(np.float64) - x
    # float64 sums of 768 squares near 1 lose 768 * 2^-53 of 768, which is 1e-3 of a variance of 1e-10 at the worst.
    true = 10 * math.log10(x.astype(np.float64).var() / np.mean(e**2))
    assert row.sqnr_ac_db == pytest.approx(true, abs=0.01)


# --- what can not be measured -------------------------------------------------------------------------------------


def give_row(x: np.ndarray, text: str = "int4 group=4") -> Row:
    return sweep({"x": x}, [text])[0]


FIGURES = [name for name in Row.__dataclass_fields__ if Row.__dataclass_fields__[name].default is None]


@pytest.mark.parametrize(
    ("x", "status", "reason"),
    [
        (np.arange(6).reshape(2, 3), "unsupported", "dtype int64 does not hold real numbers that can be measured"),
        (np.array([True, False]), "unsupported", "dtype bool does not hold real numbers"),
        (np.array([1j]), "unsupported", "dtype complex128 does not hold real numbers"),
        (np.array(1.5, np.float32), "unsupported", "a 0-d tensor is one number; there is nothing to group"),
        (np.zeros((0, 3), np.float32), "empty", "the tensor has no elements"),
        (np.float32([[np.nan, np.inf]]), "non-finite", "no element is finite"),
        (np.zeros((2, 3), np.float32), "zero", "every element is 0"),
        (np.float32([[0, np.nan]]), "zero", "every finite element is 0"),
    ],
)
def test_what_can_not_be_measured_says_why_and_has_no_error_figures(x: np.ndarray, status: str, reason: str) -> None:
    row = give_row(x)
    assert row.status == status
    assert row.reason.startswith(reason)
    assert (row.numel, row.shape, row.dtype) == (x.size, "x".join(map(str, x.shape)), x.dtype.name)
    known = {"bits_per_weight", "size_bytes", "non_finite"}
    assert {name for name in FIGURES if getattr(row, name) is not None} <= known


def test_axis_that_a_tensor_lacks_makes_an_unsupported_row_beside_good_ones() -> None:
    rows = sweep({"x": np.ones((2, 3), np.float32)}, ["int4 channel=2", "int4 channel=1"])
    assert [(row.status, row.reason) for row in rows] == [
        ("unsupported", "channel=2: axis 2 of a tensor with 2 dimensions; axes are 0 to 1"),
        ("ok", ""),
    ]


def test_group_longer_than_the_row_is_one_ragged_group_and_says_so() -> None:
    row, other = sweep({"x": np.ones((2, 3), np.float32)}, ["int4 group=4", "int4 group=3"])
    assert (row.status, row.reason) == ("ok", "group=4 is longer than the row of 3: one ragged group per row")
    assert (row.bits_per_weight, other.bits_per_weight, other.reason) == (4 + 2 * 32 / 6, 4 + 2 * 32 / 6, "")


def test_float64_is_rounded_and_what_overflows_is_not_finite() -> None:
    x = np.array([1.0, 1e300, 0.1])
    assert (give_row(x).status, give_row(x).non_finite, give_row(x).dtype) == ("ok", 1, "float64")
    assert give_row(x).sqnr_db == give_row(np.float32([1.0, np.nan, 0.1])).sqnr_db


def test_narrow_floats_are_measured_as_the_numbers_they_stand_for() -> None:
    x = np.random.default_rng(10).normal(size=(3, 20)).astype(np.float16)
    assert give_row(x).mse == give_row(x.astype(np.float32)).mse
