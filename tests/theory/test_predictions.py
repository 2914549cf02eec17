"""Predicted SQNR of Gaussian values: printed figures, experiments through the schemes themselves, and laws."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qanalysis.quantizers.formats import FORMATS
from qanalysis.quantizers.scheme import Scheme
from qanalysis.sweeps.sweep import sweep
from qanalysis.theory import lines
from qanalysis.theory.predictions import _find_mse, integrate_sqnr_db, predict_sqnr_db

# What 3 tensors of 2^20 values gave. A tensor's figure has a standard deviation of about 0.01 dB, where it has thousands of groups.
MEASURED = {
    ("int4 group=32 scale=float16", 32): 20.263,
    ("int4 group=64 scale=float16", 64): 19.356,
    ("int4 group=128 scale=float16", 128): 18.606,
    ("int4 asym group=32 scale=float16", 32): 21.852,
    ("int4 asym group=128 scale=float16", 128): 19.944,
    ("int3 group=128 scale=float16", 128): 11.244,
    ("int2 asym group=64 scale=float16", 64): 6.801,
    ("int8 channel scale=float16", 4096): 41.208,
    ("mxfp6_e2m3", 32): 30.940,
    ("mxfp6_e3m2", 32): 25.351,
    ("mxfp8_e4m3", 32): 30.636,
    ("mxint8", 32): 41.667,
    ("mxfp4", 32): 18.782,
    ("gguf:q4_0", 32): 21.313,
    ("gguf:q4_1", 32): 22.133,
    ("gguf:q5_0", 32): 27.393,
    ("gguf:q5_1", 32): 28.439,
    ("gguf:q8_0", 32): 45.429,
    ("nvfp4", 16): 20.432,
    ("nf4 group=64", 64): 20.728,
    ("nf4 group=128", 128): 20.386,
    ("fp8_e4m3", 2**20): 31.545,
    ("fp8_e5m2", 2**20): 25.561,
    ("bfloat16", 2**20): 55.58,
    ("float16", 2**20): 73.65,
}
CONVENTIONS = (
    "int2 group=16",
    "int4 asym group=32 scale=float16",
    "int8 asym group=64 scale=pow2:library",
    "int5 asym group=3",
    "int4 sym-full group=32",
    "int4 sym-clip group=32 scale=bfloat16",
    "int3 sym-noclip group=32",
    "int4 sym-noclip group=4 scale=pow2",
    "int4 group=32 scale=pow2:source",
    "int12 group=32 scale=float16",
    "int16 group=64",
    "int4 group=32 round=stochastic:3",
    "int8 asym group=64 round=stochastic:4",
    "mxfp4 round=stochastic:5",
    "float16 round=stochastic:6",
    "nvfp4:one-level scale=fp8_e4m3:normal",
    "nf4 group=64 scale=double",
    "nf4 group=32 scale=pow2",
    "fp6_e3m2 group=128 scale=pow2",
    "binary group=64 scale=pow2",
    "int4 block=2x16",
)


def write_scheme(name: str) -> Scheme:
    """The format in groups of 32 where it leaves them free."""
    return Scheme.parse(name if {"grouping"} & FORMATS[name].fixed else f"{name} group=32")


def measure_groups(scheme: Scheme, *, sigma: float, seed: int = 11) -> tuple[np.ndarray, dict[int, int]]:
    """Mean squared error of each group over sigma^2, for 2^17 Gaussian values through the scheme, and the groups' lengths."""
    length = scheme.grouping.columns or 1
    x = (sigma * np.random.default_rng(seed).standard_normal((256, 512 // length * length))).astype(np.float32)
    error = np.square(np.float64(x) - scheme.fit(x).round_trip(x)) / sigma**2
    rows = scheme.grouping.rows if scheme.grouping.rows and scheme.grouping.columns else 1
    return error.reshape(256 // rows, rows, -1, length).mean(axis=(1, 3)).ravel(), scheme.lay_out(x.shape).length_counts


@pytest.mark.parametrize(
    ("words", "printed"), MEASURED.items(), ids=lambda part: part[0] if isinstance(part, tuple) else ""
)
def test_printed_experiments_are_met(words: tuple[str, int], printed: float) -> None:
    text, length = words
    groups = 2**20 // length
    # Three standard deviations of 0.01 dB. Where M^2 spreads by 18 % about its mean, 3 x 256 groups of 4096 leave 0.18 / sqrt(768), 0.028 dB.
    tolerance = 0.083 if length == 4096 else 0.03
    for predict in (predict_sqnr_db, integrate_sqnr_db):
        assert predict(Scheme.parse(text), {length: groups}) == pytest.approx(printed, abs=tolerance)


@pytest.mark.parametrize("sigma", [1.0, 0.023])
@pytest.mark.parametrize("scheme", [*map(write_scheme, FORMATS), *map(Scheme.parse, CONVENTIONS)], ids=str)
def test_experiments_through_the_scheme_are_met(scheme: Scheme, sigma: float) -> None:
    errors, lengths = measure_groups(scheme, sigma=sigma)
    # Groups are independent: 3.5 standard deviations of their mean leave one in 2000 to chance, and 0.005 dB to the integration.
    spread = 3.5 * errors.std() / math.sqrt(errors.size) + 1.2e-3 * errors.mean()
    assert 10 ** (-integrate_sqnr_db(scheme, lengths, sigma=sigma) / 10) == pytest.approx(errors.mean(), abs=spread)


@pytest.mark.parametrize("length", [16, 64])
def test_ternary_groups_are_met_to_second_order(length: int) -> None:
    errors, lengths = measure_groups(Scheme.parse(f"ternary group={length}"), sigma=1.0)
    spread = (
        3 * errors.std() / math.sqrt(errors.size) + errors.mean() * 0.5 / length**2
    )  # 2/length^2 dB is 0.46/length^2
    assert 10 ** (-integrate_sqnr_db(Scheme.parse("ternary"), lengths) / 10) == pytest.approx(errors.mean(), abs=spread)


def test_long_groups_of_signs_reach_the_lines_of_theory() -> None:
    assert predict_sqnr_db(Scheme.parse("binary"), {10**9: 1}) == pytest.approx(
        lines.binary_sqnr_db("gaussian"), abs=1e-8
    )
    # Threshold 0.7 E|x|, level E[|x|; beyond]/share: D = 1 - moment^2 / share, by hand from the tails.
    threshold = 0.7 * math.sqrt(2 / math.pi)
    share, moment = math.erfc(threshold / math.sqrt(2)), 2 * math.exp(-(threshold**2) / 2) / math.sqrt(2 * math.pi)
    assert predict_sqnr_db(Scheme.parse("ternary"), {10**9: 1}) == pytest.approx(
        -10 * math.log10(1 - moment**2 / share), abs=1e-7
    )


def test_binary_groups_have_their_exact_error() -> None:
    # y = +-m: sum (|x| - m)^2 is a sum of squares about its mean, (1 - 1/g)(1 - 2/pi).
    for length in (1, 2, 16):
        expected = -10 * math.log10((1 - 1 / length) * (1 - 2 / math.pi)) if length > 1 else math.inf
        found = predict_sqnr_db(Scheme.parse("binary"), {length: 5})
        assert found == pytest.approx(expected, abs=1e-9) or found > 140  # what float32 leaves of an exact mean


@pytest.mark.parametrize(
    "scheme",
    [Scheme.parse(f"int{bits} scale={scale}") for bits in (3, 4, 8, 16) for scale in ("float32", "bfloat16")],
    ids=str,
)
def test_symmetric_integers_have_the_fine_step_formula(scheme: Scheme) -> None:
    lengths = {128: 3, 16: 1}
    assert predict_sqnr_db(scheme, lengths) == lines.absmax_groups_sqnr_db(scheme.format.bits, lengths)


def test_integration_agrees_with_the_fine_step_formula_except_at_two_bits() -> None:
    for bits in range(3, 17):
        # A fine step errs by about 0.01 dB at 3 bits and a fifth of that with each further bit.
        expected = predict_sqnr_db(Scheme.parse(f"int{bits}"), {64: 1})
        assert integrate_sqnr_db(Scheme.parse(f"int{bits}"), {64: 1}) == pytest.approx(expected, abs=0.01)
    gains = [
        integrate_sqnr_db(Scheme.parse("int2"), {n: 1}) - predict_sqnr_db(Scheme.parse("int2"), {n: 1})
        for n in (8, 128, 1024)
    ]
    assert gains == pytest.approx([0.1, 0.6, 1.2], abs=0.1)


def test_lengths_pool_by_error_power() -> None:
    scheme = Scheme.parse("nf4 group=64")
    noise = [10 ** (-integrate_sqnr_db(scheme, {length: 1}) / 10) for length in (64, 10)]
    pooled = -10 * math.log10((3 * 64 * noise[0] + 2 * 10 * noise[1]) / 212)
    assert integrate_sqnr_db(scheme, {64: 3, 10: 2}) == pytest.approx(pooled, rel=1e-12)
    assert integrate_sqnr_db(scheme, {10: 2, 64: 3, 9: 0}) == pytest.approx(pooled, rel=1e-12)


@pytest.mark.parametrize(
    "text",
    ["int4 asym scale=bfloat16", "nf4", "nvfp4", "fp8_e4m3", "gguf:q4_0", "int4 sym-full scale=float16", "binary"],
)
def test_ratios_alone_count_where_scales_follow_the_data(text: str) -> None:
    found = {integrate_sqnr_db(Scheme.parse(text), {32: 4}, sigma=sigma) for sigma in (1.0, 0.25, 0.013)}
    assert len(found) == 1


def test_scales_coarser_than_the_grid_know_where_in_the_octave_they_are() -> None:
    found = [
        integrate_sqnr_db(Scheme.parse("int8 asym scale=bfloat16"), {32: 4}, sigma=sigma)
        for sigma in (1.0, 0.25, 0.013)
    ]
    assert found[0] == found[1] != found[2]
    # A scale off by 2^-9 moves the end codes, 127 from the middle, by a quarter of a step: 12/16/3 of the noise for the outermost values, 2 of 32.
    assert found[2] == pytest.approx(found[0], abs=10 * math.log10(1 + 0.25 * 2 / 32))


@pytest.mark.parametrize(
    "text", ["mxfp4", "mxint8", "int4 scale=pow2", "bfloat16", "gguf:mxfp4", "fp6_e3m2 scale=pow2"]
)
def test_powers_of_two_repeat_by_the_octave_and_join_smoothly(text: str) -> None:
    found = [integrate_sqnr_db(Scheme.parse(text), {32: 4}, sigma=0.02 * 2 ** (step / 64)) for step in range(65)]
    assert found[0] == found[-1]
    assert 0.02 < max(found) - min(found) < 1.5
    # A 64th of an octave moves a rounded-up scale for 1.1 % of the groups at the most, each by a factor of 4 or so: 0.1 dB.
    assert np.abs(np.diff(found)).max() < 0.1


def test_scales_of_narrow_range_fail_where_they_end() -> None:
    for text in ("gguf:q8_0", "nvfp4:one-level", "int8 asym scale=float16", "fp8_e5m2 scale=float16"):
        in_range, below = (integrate_sqnr_db(Scheme.parse(text), {32: 4}, sigma=sigma) for sigma in (1.0, 1e-12))
        assert below == pytest.approx(0, abs=1e-3)  # the rules' own error
        assert in_range > 19


@pytest.mark.parametrize("sigma", [1e-45, 1e-30, 1e30, 3.4e38])
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_a_figure_at_extreme_sigmas(name: str, sigma: float) -> None:
    assert -1 < integrate_sqnr_db(write_scheme(name), {FORMATS[name].block or 32: 2}, sigma=sigma) < 160


@pytest.mark.parametrize(
    "text",
    [
        "int4 range=mse",
        "int4 asym range=percentile:99",
        "nf4 range=meanstd",
        "int4 round=floor",
        "mxfp4 round=to-zero",
        "ternary scale=pow2",
    ],
)
def test_what_can_not_be_predicted_is_none(text: str) -> None:
    assert predict_sqnr_db(Scheme.parse(text), {32: 1}) is None


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.inf, math.nan])
def test_what_is_no_deviation_is_refused(sigma: float) -> None:
    with pytest.raises(ValueError, match=r"sigma=.* is no standard deviation: use a finite number above 0"):
        predict_sqnr_db(Scheme.parse("mxfp4"), {32: 1}, sigma=sigma)


@pytest.mark.parametrize("lengths", [{}, {32: 0}, {0: 3}, {32: 2, 16: -1}], ids=str)
def test_groups_without_values_are_refused(lengths: dict[int, int]) -> None:
    with pytest.raises(ValueError, match=r"length_counts=.* has no values: give lengths of 1 or more"):
        predict_sqnr_db(Scheme.parse("mxfp4"), lengths)


def test_rows_carry_the_prediction_for_their_own_power() -> None:
    x = (0.0137 * np.random.default_rng(8).standard_normal((512, 512))).astype(np.float32)
    texts = [
        "mxfp4",
        "nvfp4",
        "int4 asym group=64",
        "gguf:q4_1",
        "int4 group=32 scale=pow2",
        "bfloat16",
        "int4 group=32 range=mse",
    ]
    rows = sweep({"w": x}, texts, workers=1)
    sigma = math.sqrt(np.square(np.float64(x)).mean())
    for row, text in zip(rows, texts, strict=True):
        scheme = Scheme.parse(text)
        predicted = predict_sqnr_db(scheme, scheme.lay_out(x.shape).length_counts, sigma=sigma)
        # Sums of squares in float32 lanes move sigma by 1e-7, interpolation moves the figure by less than 2 dB per octave of it.
        assert row.theory_sqnr_db == (None if predicted is None else pytest.approx(predicted, abs=1e-5))
        # 2^18 values in thousands of groups, as the printed experiments with twice the spread.
        assert predicted is None or row.sqnr_db == pytest.approx(predicted, abs=0.06)


@pytest.mark.parametrize("text", ["mxfp4", "int4 asym channel", "int2 channel", "fp8_e4m3 channel"])
@pytest.mark.parametrize("length", [300, 777, 90_000])
def test_long_groups_between_half_octaves_are_interpolated(text: str, length: int) -> None:
    scheme = Scheme.parse(text)
    # SQNR over log2 length bends like that of E[max^2], about 2 ln(2 length): by 4.3/t^2 dB per octave squared, t = log2 length >= 8.
    # A straight line over half an octave is then off by at most 4.3/64/8/4 = 0.002 dB; min and max grids are good to 0.002 themselves.
    assert integrate_sqnr_db(scheme, {length: 3}) == pytest.approx(
        -10 * math.log10(_find_mse(scheme, length, 0, 0.0)), abs=0.004
    )
