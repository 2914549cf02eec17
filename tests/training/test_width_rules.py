"""Width growth (A13) and the adaptive interval (A14): the worked numbers, on the real grid and in a replay of statistics."""

from __future__ import annotations

import numpy as np
import pytest

from qanalysis.quantizers.passing import pass_through
from qanalysis.quantizers.scheme import Scheme
from qanalysis.quantizers.statistics import Range
from qanalysis.results.table import Table
from qanalysis.training.adapting import adapt, widen
from qanalysis.training.recipe import Recipe
from qanalysis.training.row import TrackRow
from qanalysis.training.state import Observation, QuantizerState
from qanalysis.training.statistics.arranging import arrange_log
from qanalysis.training.tracker import replay
from qanalysis.training.width_rules import Average, WidthGrowth, find_distortion

SPARSE = np.array([1.0] + [0.003] * 9)
EXACT = np.array([0.5, -0.25, 0.125, 1.0, -0.75])


def observe(x: np.ndarray) -> Observation:
    magnitude = np.abs(x)
    return Observation.of([magnitude.max()], mean=[magnitude.mean()], std=[magnitude.std()], count=[x.size])


def quantized_mean(x: np.ndarray, s: float, bits: int) -> np.ndarray:
    """Mean |Q(x)| on the real grid of step 2^s; above 16 bits, which float32 does not hold, by its definition."""
    if bits > 16:
        return np.array([np.abs(np.rint(x / 2.0**s) * 2.0**s).mean()])
    scheme = Scheme.parse(f"int{bits}")
    high = np.float32([(2 ** (bits - 1) - 1) * 2.0**s])
    passed = pass_through(np.float32(x), scheme.lay_grid(Range(-high, high)), scheme.lay_out(x.shape))
    return np.array([np.abs(passed.y).mean(dtype=np.float64)])


def replay_columns(rule: str, *, epoch: int | None = None, **columns) -> Table[TrackRow]:
    count = len(columns["absmax"])
    texts = {"layer": ["fc"] * count, "kind": ["input"] * count}
    return replay(arrange_log({"step": np.arange(count), **texts, **columns}), [Recipe.parse(rule)], epoch=epoch)


@pytest.mark.parametrize(
    ("bits", "s", "diff_bit", "rel"),
    [
        pytest.param(8, -6, 0.03743869, 1e-6, id="row-38 8 bits"),
        # float32 holds 0.003 to 2^-24 of it; the difference of the means is 8e-5 of them.
        pytest.param(16, -14, 0.00011729, 1e-4, id="row-38 16 bits"),
        pytest.param(24, -22, 2.65e-7, 2e-3, id="row-38 24 bits"),
    ],
)
def test_the_distortion_of_the_example(bits: int, s: int, diff_bit: float, rel: float) -> None:
    found = find_distortion(np.array([0.1027]), quantized_mean(SPARSE, s, bits))
    assert found[0] == pytest.approx(diff_bit, rel=rel)


@pytest.mark.parametrize(
    ("x", "widths"), [pytest.param(SPARSE, [16], id="row-38 grows once"), pytest.param(EXACT, [8], id="row-38 stays")]
)
def test_widths_grow_until_the_mean_is_kept(x: np.ndarray, widths: list[int]) -> None:
    recipe = Recipe.parse("up-step + width-growth")
    adapted = adapt(recipe, QuantizerState.blank(1, 8), observe(x), step=0, epoch=100)
    for _ in range(3):
        step = float(np.log2(recipe.reach.step(adapted.state.low, adapted.state.high, adapted.state.bits)[0]))
        mean = quantized_mean(x, round(step), int(adapted.state.bits[0]))
        adapted = widen(recipe, adapted, observe(x).mean, mean)
    assert adapted.state.bits.tolist() == widths


def test_row_38_in_a_replay_with_the_mean_as_it_was_measured() -> None:
    seen = observe(SPARSE)
    table = replay_columns(
        "up-step + width-growth",
        absmax=[1.0] * 3,
        mean=[seen.mean[0]] * 3,
        std=[seen.std[0]] * 3,
        mean_quantized=[0.1] * 3,
    )
    assert [row.bits for row in table] == [16] * 3
    assert [row.s for row in table] == [-14] * 3
    assert table[0].event == "diff_bit 0.0374 > 0.03: 8 → 16 bits"
    assert [row.event for row in table[1:]] == ["", ""]  # the log's mean is that of 8 bits and is not asked again


def test_row_38_in_a_replay_the_exact_one_stays() -> None:
    seen = observe(EXACT)
    measured = replay_columns(
        "up-step + width-growth", absmax=[1.0], mean=[seen.mean[0]], std=[seen.std[0]], mean_quantized=[seen.mean[0]]
    )
    estimated = replay_columns("up-step + width-growth", absmax=[1.0], mean=[seen.mean[0]], std=[seen.std[0]])
    assert [measured[0].bits, measured[0].diff_bit, estimated[0].bits] == [8, 0.0, 8]


def test_rare_large_values_widen_where_the_mean_is_estimated() -> None:
    # k = 0.01: nearly all of the law lies below half a step of 8 bits, as of the tensor it stands for.
    table = replay_columns("up-step + width-growth", absmax=[1.0], mean=[1e-3], std=[1e-2], numel=[1e6])
    assert table[0].bits > 8
    assert replay_columns("up-step + width-growth", absmax=[0.0], mean=[0.0], std=[0.0])[0].bits == 8


@pytest.mark.parametrize(
    ("distortion", "distance", "interval"),
    [(0.03, 0, 1), (0.01, 0, 8), (0.001, 0.1, 23), (0, 0, 313), (0.005, 1, 1)],
    ids=lambda value: f"row-39 {value}",
)
def test_intervals_of_the_example(distortion: float, distance: float, interval: int) -> None:
    assert Average().interval(np.array([distortion]), np.array([distance], float), 313).tolist() == [interval]


def test_row_39_the_average_exponent() -> None:
    rule, mean, found = Average(), np.array([-7.0]), []
    for _ in range(3):
        found.append((float(rule.average(np.array([-6.0]), mean)[0]), float(rule.alpha * abs(-6.0 - mean[0]))))
        mean = rule.average(np.array([-6.0]), mean)
    assert np.array(found) == pytest.approx(
        np.array([[-6.96, 0.04], [-6.9216, 0.0384], [-6.884736, 0.036864]]), rel=1e-6
    )


@pytest.mark.parametrize(
    ("distortion", "interval"), [(0.03, 1), (0.01, 8), (0.0, 40)], ids=lambda value: f"row-39 {value}"
)
def test_checks_of_a_replay_stand_as_far_apart_as_the_interval(distortion: float, interval: int) -> None:
    quantized = 2 - 2.0**distortion  # of a mean of 1
    table = replay_columns(
        "up-step + average",
        epoch=40,
        absmax=[3.0] * 81,
        mean=[1.0] * 81,
        std=[0.5] * 81,
        mean_quantized=[quantized] * 81,
    )
    checks = [row.step for row in table if row.checked]
    assert checks == list(range(0, 81, interval))
    assert table.totals[0].checks == len(checks)


def test_an_interval_without_moments_follows_the_exponent_alone() -> None:
    table = replay_columns("up-step + average", epoch=10, absmax=[3.0] * 21)
    assert [row.step for row in table if row.checked] == [0, 10, 20]


def test_shrinking_waits_for_three_calm_checks() -> None:
    rule = WidthGrowth(shrink=True)
    state, calm = QuantizerState.blank(1, 16), np.array([0.0])
    widths = []
    for _ in range(4):
        state = rule.relax(state, calm, 8).state
        widths.append(int(state.bits[0]))
    assert widths == [16, 16, 8, 8]
