"""Do the parts of training hold what they say when they stand together? Each is held against what it was made of."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from qanalysis.models.data import load_data
from qanalysis.models.model import load_model
from qanalysis.reports.report import write_report
from qanalysis.training.adapting import adapt
from qanalysis.training.configuration import Experiment
from qanalysis.training.loop import train
from qanalysis.training.network.run import Run
from qanalysis.training.network.saving import restore_site, save_site
from qanalysis.training.network.site import Clock, Site
from qanalysis.training.recipe import Recipe
from qanalysis.training.state import KindOfData, Observation, QuantizerState
from qanalysis.training.statistics.arranging import arrange_log
from qanalysis.training.statistics.catalogue import read_statistics
from qanalysis.training.tracker import replay
from sample_models.evaluate import evaluate
from tests.training.small_models import configure, rows_of, run_small

TOLD = ("step", "layer", "kind", "absmax", "absmin", "mean", "std", "numel")


def test_row_34_the_columns_tell_the_smallest_magnitude_and_the_dead_zone() -> None:
    run = Site("fc", "input", Recipe.parse("up-step precision=f bits=3"), Clock(records=True))
    run.quantize(np.float32([0.3, -0.01, 0.04, 0, -0.2, 0.02]))
    assert run.steps[0] == pytest.approx(0.1, rel=1e-6)
    assert run.seen is not None
    assert run.seen.absmin[0] == pytest.approx(0.01, rel=1e-6)
    assert run.measured["dead_zone"] == 0.5


def test_row_34_each_channel_has_a_dead_zone_of_its_own_and_unequal_levels_have_none() -> None:
    x = np.float32([[0.7, 0.04, 0.0, np.nan], [7.0, 0.04, 0.6, -0.4]])  # steps of 0.1 and 1
    site = Site("fc", "weight", Recipe.parse("int4 channel"), Clock(records=True))
    site.quantize(x)
    assert site.measured["dead_zone"] == 3 / 7
    residuals = np.array([0, 0.4, 0, 0, 0.04, -0.4, -0.4])
    assert site.measured["error"] == pytest.approx(np.sqrt(np.mean(residuals**2)), rel=1e-5)
    levels = Site("fc", "weight", Recipe.parse("fp8_e4m3"), Clock(records=True))
    levels.quantize(x)
    assert "dead_zone" not in levels.measured


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        pytest.param("weight", "up-step bits=6 + down", id="row-26 row-30 weight"),
        pytest.param("input", "up-gradual bits=4 + down", id="row-27 row-30 input"),
        pytest.param("output", "up-distribution n=2 trigger=doubling:4", id="row-28 row-37 output"),
        pytest.param("output-gradient", "up-step precision=f + down", id="row-25 output-gradient"),
        pytest.param("weight-gradient", "up-distribution-gradual n=4 + down", id="row-29 weight-gradient"),
    ],
)  # fmt: skip
def test_a_replay_of_what_was_recorded_is_what_happened(kind: KindOfData, text: str) -> None:
    """One batch calibrates, that of step 0, so that training and log begin with the same range."""
    run = run_small(steps=25, rate=0.3, start="random", calibration=1, **{kind.replace("-", "_"): text})
    rows = rows_of(run, kind=kind)
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in TOLD}
    recipe = Recipe.parse(text)
    first = {row["layer"]: row for row in rows if row["step"] == 0}
    told = replay(arrange_log(columns), [recipe], epoch=run.plan.epoch)
    found = {(row.step, row.layer): row for row in told}
    moved = 0
    for row in rows:
        its = found[row["step"], row["layer"]]
        moved += row["high"] != first[row["layer"]]["high"]
        assert (its.bits, its.s, its.checked) == (row["bits"], row["s"], row["checked"])
        # Statistics of a log are those of the rows; a step f is kept in float32 by the grid.
        assert its.high == pytest.approx(row["high"], rel=1e-6)
        assert its.step_size == pytest.approx(row["step_size"], rel=1e-6)
    assert moved > 0


def test_float_and_post_training_results_are_those_of_the_shipped_weights() -> None:
    """Over all held-out digits, and of the weights as they were: rounded here by hand, to 7 steps per channel."""
    (total,) = train(
        Experiment("sample:digits-mlp", None, (configure(weight="int4 channel", steps=2, rate=0.5),))
    ).totals
    assert total.float_accuracy == evaluate("digits-mlp")["accuracy"]
    weights = load_model("sample:digits-mlp").state_dict()
    rounded = dict(weights)
    for name, w in weights.items():
        if w.ndim == 2:
            step = w.abs().amax(1, keepdim=True) / 7
            rounded[name] = torch.round(w / step).clamp(-7, 7) * step
    assert total.post_training_accuracy == evaluate("digits-mlp", rounded)["accuracy"]


def test_row_15_activations_of_another_width_keep_theirs_on_the_way_to_the_target() -> None:
    words = {"weight": "int4", "input": "int8 asym + ema", "output": "int4 + ema", "output_gradient": "up-step"}
    run = run_small(rungs="rungs steps=3 rise=0", steps=6, start="random", **words)
    widths = {kind: [row["bits"] for row in rows_of(run, "0", kind)] for kind in ("weight", "input", "output")}
    assert widths == {"weight": [8] * 3 + [4] * 3, "input": [8] * 6, "output": [8] * 3 + [4] * 3}
    assert {row["bits"] for row in rows_of(run, "2", "output-gradient")} == {8}


def test_row_15_the_post_training_result_is_that_of_the_target() -> None:
    plain, climbing = (run_small(weight="int2", steps=1, **more).total() for more in ({}, {"rungs": "rungs"}))
    assert climbing.post_training_loss == plain.post_training_loss
    assert climbing.final_loss != plain.final_loss


@pytest.mark.parametrize("text", ["up-step + width-growth threshold=0.0001", "up-step + width-growth shrink=yes"])
def test_a_width_that_grew_goes_on_after_a_resume(text: str) -> None:
    first, second = (Site("fc", "output-gradient", Recipe.parse(text), Clock()) for _ in range(2))
    first.quantize(np.float32([1.0] + [0.003] * 9))
    assert first.bits > 8
    restore_site(second, save_site(first))
    for step in range(1, 6):
        for one in (first, second):
            one.clock.step = step
            one.quantize(np.float32([0.5, -0.25, 0.125, 1.0, -0.75]))
        assert second.bits == first.bits
        assert second.steps == first.steps


def test_row_12_a_coefficient_moves_no_end_at_zero_and_tells_nothing() -> None:
    recipe = Recipe.parse("int8 asym + counts update=coefficient start=6 start-low=0 count=2")
    state, reasons = QuantizerState.blank(1, 8), []
    for step in range(5):
        adapted = adapt(recipe, state, Observation.of([6.0], low=[-1.0]), step=step, epoch=100)
        state = adapted.state
        reasons += list(adapted.reasons.values())
    assert (state.low[0], state.high[0], reasons) == (0, 6, [])


@pytest.mark.parametrize("window", [1, 3, 20])
def test_row_3_the_scalar_measure_looks_back_over_the_window_of_the_policy(window: int) -> None:
    text = f"int3 + minmax + policy measure=scalar window={window}"
    rows = rows_of(run_small(weight=text, steps=8, rate=0.3, start="random"), "0", "weight")
    errors = [row["error"] for row in rows]
    for place, row in enumerate(rows[1:], start=1):
        last = np.array(errors[: place + 1][-max(window, 2) :])
        assert row["v_scalar"] == pytest.approx(last.std() / last.mean(), rel=1e-9)


def test_row_3_a_reset_of_the_memories_is_an_event() -> None:
    rows = rows_of(run_small(weight="int3 + up-step + down", steps=40, rate=0.5, start="random"), "0", "weight")
    moved = [row for last, row in pairwise(rows) if row["s"] != last["s"]]
    assert moved
    assert all("errors of elements begin anew" in row["event"] for row in moved)
    assert all(row["v_elem"] == pytest.approx(0, abs=1e-6) for row in moved), "one value has no spread"


def test_a_replay_over_a_history_has_the_ends_of_the_data(tmp_path: Path) -> None:
    text = 'model = "sample:digits-mlp"\n[[configuration]]\nname = "a"\nsteps = 6\ninput = "int8 asym + minmax"\n'
    history = train(Experiment.from_toml(text))
    write_report(history, tmp_path / "history.csv")
    again = replay(read_statistics(tmp_path / "history.csv"), [Recipe.parse("int8 asym + minmax")])
    had = {(row.layer, row.step): (row.low, row.high, row.step_size) for row in history if row.kind == "input"}
    found = {(row.layer, row.step): (row.low, row.high, row.step_size) for row in again if row.kind == "input"}
    assert had.keys() == found.keys()
    assert any(low == 0 for low, _high, _step in had.values())
    for at, ends in had.items():
        assert found[at] == pytest.approx(ends, rel=2**-22)  # the loop's grid is float32


def test_rows_of_the_training_have_the_accuracy_of_their_batch() -> None:
    text = 'model = "sample:digits-mlp"\n[[configuration]]\nname = "a"\nsteps = 3\nrate = 1e-9\nbatch = 500\n'
    experiment = Experiment.from_toml(text)
    run = Run.begin(
        lambda: load_model("sample:digits-mlp"),
        load_data(None, "sample:digits-mlp", seed=0),
        *experiment.configurations,
    )
    for _ in run.proceed(lambda: None):
        pass
    scores = [row["accuracy"] for row in rows_of(run, "(model)", "training")]
    model = load_model("sample:digits-mlp")  # at this rate no weight moves by as much as decides a digit
    for step, score in enumerate(scores):
        inputs, targets = run.plan.draw(step)
        assert score == float((model(inputs).argmax(1) == targets).double().mean())
    assert len(scores) == 3
