"""Counts over the iterations move a range (A2): the worked examples, strictness, resets, the guard."""

from __future__ import annotations

import numpy as np
import pytest

from qanalysis.training.adapting import adapt
from qanalysis.training.network.site import Clock, Site
from qanalysis.training.recipe import Recipe
from qanalysis.training.state import Observation, QuantizerState
from qanalysis.training.statistics.catalogue import read_statistics
from qanalysis.training.tracker import replay

BASE = "int8 asym + counts first=0.6 second=0.6 when=window count=5 start=6"


def run(text: str, highs: list[float], lows: list[float] | None = None):
    recipe = Recipe.parse(text)
    state, reasons = QuantizerState.blank(1, 8), []
    for step, high in enumerate(highs):
        low = 0.0 if lows is None else lows[step]
        adapted = adapt(recipe, state, Observation.of([max(high, -low)], low=[low], high=[high]), step=step, epoch=9)
        state = adapted.state
        reasons += adapted.reasons.values()
    return state, reasons


@pytest.mark.parametrize(
    ("keys", "values", "wanted"),
    [
        pytest.param("", [6.5, 7.0, 5.5, 6.8, 7.2], 6.3, id="row-08 row-11 raised by the mean"),
        pytest.param("update=coefficient", [6.5, 7.0, 5.5, 6.8, 7.2], 6.6, id="row-12 raised by a coefficient"),
        pytest.param("", [4, 5, 6.2, 3.5, 4.3], 5.3, id="row-11 lowered by the mean"),
        pytest.param("update=coefficient", [4, 5, 6.2, 3.5, 4.3], 5.4, id="row-12 lowered by a coefficient"),
        pytest.param("mean=literal", [6.1, 6.1, 6.1, 6.1, 1.0], 5.54, id="a literal mean can lower on a raise"),
        pytest.param("", [6.1, 6.1, 6.1, 6.1, 1.0], 6.05, id="the guarded mean raises"),
        pytest.param("", [6, 6, 6, 7, 5], 6.0, id="row-10 equal values count for neither"),
        pytest.param("", [7, 7, 7, 5, 5], 6.0, id="row-09 3 of 5 is not above 0.6"),
    ],
)
def test_the_upper_end(keys: str, values: list[float], wanted: float) -> None:
    state, _reasons = run(f"{BASE} {keys}", values)
    assert state.high[0] == pytest.approx(wanted, rel=1e-12)


def test_the_lower_end_mirrors_the_upper_one() -> None:
    state, reasons = run(f"{BASE} start-low=-1", [6.0] * 5, [-1.2, -1.5, -0.8, -1.4, -1.3])
    assert state.low[0] == pytest.approx(-1.12, rel=1e-12)
    assert reasons == ["4 of 5 below −1.00 > 0.6: low −1 → −1.12"]


def test_a_lowering_never_raises() -> None:
    # 4 of 5 slightly inside, one far beyond: the mean of all is 7.28, that of the four 5.9
    state, _ = run(BASE, [5.9, 5.9, 5.9, 5.9, 12.8])
    assert state.high[0] == pytest.approx(5.95, rel=1e-12)
    assert run(f"{BASE} mean=literal", [5.9, 5.9, 5.9, 5.9, 12.8])[0].high[0] > 6


def test_row_13_counts_begin_anew_after_an_update_and_are_kept_otherwise() -> None:
    moved, reasons = run(BASE, [6.5, 7.0, 5.5, 6.8, 7.2])
    assert [float(moved.recall(f"high_{name}")[0]) for name in ("n", "up", "down")] == [0, 0, 0]
    assert reasons == ["4 of 5 above 6.00 > 0.6: high 6 → 6.3"]
    stays, reasons = run(BASE, [6, 6, 6, 7, 5])
    assert [float(stays.recall(f"high_{name}")[0]) for name in ("n", "up", "down")] == [5, 1, 1]
    assert reasons == []


def test_running_waits_for_the_least_count() -> None:
    text = "int8 asym + counts start=6"
    assert run(text, [9.0] * 9)[0].high[0] == 6
    assert run(text, [9.0] * 10)[0].high[0] == 7.5


def test_the_larger_excess_wins_where_both_pass() -> None:
    text = "int8 asym + counts first=0.1 second=0.5 when=window count=5 start=6"
    _state, reasons = run(text, [7, 5, 5, 5, 5])
    assert "below" in reasons[0]
    assert "above" in run(text, [7, 7, 5, 5, 5])[1][0]


def test_what_is_not_finite_is_not_counted() -> None:
    state, _ = run("int8 asym + counts start=6", [float("nan")] * 20)
    assert not state.has_range.any()


def test_a_percentile_keeps_single_elements_out_of_the_counts() -> None:
    rng = np.random.default_rng(0)
    ends = {}
    for percentile in (100, 99.9):
        clock = Clock(epoch=100)
        site = Site("fc", "input", Recipe.parse(f"int8 asym + counts start=4 percentile={percentile}"), clock)
        for step in range(10):
            clock.step = step
            batch = rng.uniform(0, 3, 20_000).astype(np.float32)
            batch[step] = 50.0  # one element in each batch
            site.quantize(batch)
        ends[percentile] = float(site.state.high[0])
    assert ends[100] == pytest.approx((4 + 50) / 2)
    # ten of ten below 4: half way to the percentile of a uniform law, 3 · 0.999, within its deviation of 3·sqrt(0.001/20000)
    assert ends[99.9] == pytest.approx((4 + 2.997) / 2, abs=4 * 3 * (0.001 / 20_000) ** 0.5)


def test_a_percentile_can_not_be_replayed() -> None:
    log = read_statistics("sample:digits-mlp-training")
    with pytest.raises(ValueError, match="a percentile needs the elements"):
        replay(log, [Recipe.parse("counts percentile=99")])
