"""Page Training lab: what Run trains, a run to its end and one that is cancelled, and every number that of a row."""

from __future__ import annotations

import base64
import time
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from qanalysis.dashboard.export import name_file
from qanalysis.dashboard.training.view import MOST_IN_LINK, LabView, keep_text
from qanalysis.dashboard.trainings import TrainingRequest, get_trainings
from qanalysis.training.configuration import Experiment
from qanalysis.training.loop import train
from qanalysis.training.presets import PRESETS
from qanalysis.training.row import MODEL
from tests.dashboard.scenes import ask, read_charts, read_components, read_heads, read_scene, read_table

TEXT = """model = "sample:digits-mlp"

[[configuration]]
name = "plain"
weight = "int3 channel + minmax + ste"
steps = {steps}

[[configuration]]
name = "policy"
weight = "int3 channel + minmax + policy dwell=1 window=2"
input = "up-step"
steps = {steps}
"""


def _show_page() -> None:
    from qanalysis.dashboard.main import PAGES, show_page

    show_page(next(page for page in PAGES if page.path == "lab"))


def write(steps: int) -> str:
    """The experiment in its canonical text."""
    return Experiment.from_toml(TEXT.format(steps=steps)).to_toml()


def open_lab(**parameters: str) -> AppTest:
    page = AppTest.from_function(_show_page, default_timeout=60)
    for key, value in parameters.items():
        page.query_params[key] = value
    page.run()
    assert not page.exception
    return page


def keys(page: AppTest) -> set[str]:
    return {button.key for button in page.button}


def settle(page: AppTest, *, seconds: float = 90) -> AppTest:
    end = time.monotonic() + seconds
    while "cancel" in keys(page):
        assert time.monotonic() < end, "the training did not end"
        time.sleep(0.05)
        page.run()
        assert not page.exception
    return page


def run(page: AppTest) -> AppTest:
    return settle(page.button(key="run").click().run())


def job_of(text: str) -> Any:
    job = get_trainings().find(TrainingRequest(text).digest)
    assert job is not None
    return job


def told(page: AppTest) -> str:
    return " ".join(
        element.value.replace("\\", "") for kind in ("caption", "markdown", "error") for element in page.get(kind)
    )


def unpack_array(held: dict[str, str]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(held["bdata"]), held["dtype"])


@pytest.fixture(scope="module")
def text() -> str:
    return write(12)


@pytest.fixture(scope="module")
def ended(text: str) -> AppTest:
    """The page with a short run that is through; tests only look at it."""
    return run(open_lab(experiment=text))


class TestBefore:
    def test_a_link_runs_nothing_and_the_page_says_what_run_would_do(self) -> None:
        text = write(9)
        page = open_lab(experiment=text)
        assert get_trainings().find(TrainingRequest(text).digest) is None
        assert (
            "Run trains plain (9 steps, seed 0), policy (9 steps, seed 0) on sample:digits-mlp, 18 steps in all"
            in told(page)
        )
        plan = read_table(page, "lab-plan")
        assert plan["row"] == ["plain", "policy"]
        assert plan["weight"][0] == "int3 channel + minmax + ste"
        assert plan["steps"] == [9, 9]

    @pytest.mark.parametrize("name", PRESETS)
    def test_every_preset_shows_its_lesson(self, name: str) -> None:
        page = open_lab(preset=name)
        assert PRESETS[name].lesson in told(page)
        assert page.text_area(key="lab-toml").value == PRESETS[name].experiment.to_toml()

    def test_another_preset_lets_go_of_edits(self) -> None:
        page = open_lab(experiment=write(9))
        page.selectbox(key="preset").set_value("learned-step").run()
        assert "experiment" not in page.query_params
        assert page.text_input(key="lab-0-name").value == "largest"

    def test_wrong_words_are_told_beside_their_box_and_nothing_runs(self, text: str) -> None:
        page = open_lab(experiment=text)
        page.text_input(key="lab-0-weight").set_value("int4 + sometimes").run()
        assert not page.exception
        (fault,) = page.error
        assert "rule 'sometimes' is unknown" in fault.value.replace("\\", "")
        assert page.button(key="again" if "again" in keys(page) else "run").disabled
        assert page.text_input(key="lab-0-weight").value == "int4 + sometimes"
        page.text_input(key="lab-0-weight").set_value("int4 channel").run()
        assert not page.error
        assert 'weight = "int4 channel + minmax"' in page.text_area(key="lab-toml").value

    def test_boxes_change_the_experiment_and_its_address(self) -> None:
        page = open_lab(experiment=write(9))
        page.number_input(key="lab-1-steps").set_value(33).run()
        experiment = Experiment.from_toml(page.query_params["experiment"])
        assert [one.steps for one in experiment.configurations] == [9, 33]
        page.button(key="lab-0-remove").click().run()
        assert [one.name for one in Experiment.from_toml(page.query_params["experiment"]).configurations] == ["policy"]
        page.button(key="lab-add").click().run()
        names = [one.name for one in Experiment.from_toml(page.query_params["experiment"]).configurations]
        assert names == ["policy", "policy 2"]

    def test_toml_that_is_none_is_told_and_stays_to_be_mended(self) -> None:
        page = open_lab()
        page.text_area(key="lab-toml").set_value("model = 3").run()
        assert any("the TOML" in fault.value.replace("\\", "") for fault in page.error)
        assert page.text_area(key="lab-toml").value == "model = 3"
        page.text_area(key="lab-toml").set_value(write(9)).run()
        assert not page.error
        assert page.text_input(key="lab-1-name").value == "policy"

    def test_a_link_with_a_wrong_experiment_is_told(self) -> None:
        page = open_lab(experiment="model = 3")
        assert "model = 3 must be a text in quotes" in told(page)

    def test_a_long_experiment_stands_in_the_link_by_a_name(self) -> None:
        text = write(9) + "#" * MOST_IN_LINK
        word = keep_text(text)
        assert len(word) < 32
        assert LabView(experiment=word).text == text
        page = open_lab(experiment="kept:0123456789abcdef")
        assert "this server no longer keeps them" in told(page)


class TestReadings:
    def test_readings_change_what_the_next_run_takes(self) -> None:
        text = write(9)
        page = open_lab(experiment=text, exponent="source", measure="scalar")
        code = next(block.value for block in page.code if "model" in block.value)
        experiment = Experiment.from_toml(code)
        policy = experiment.configurations[1]
        assert str(policy.recipes["input"]) == "up-step exponent=source"
        assert "measure=scalar" in str(policy.recipes["weight"])
        assert experiment.configurations[0] == Experiment.from_toml(text).configurations[0]

    def test_the_ratio_and_the_measure_change_the_charts(self, text: str, ended: AppTest) -> None:
        assert ended is not None
        page = open_lab(experiment=text, ratio="variance")
        assert job_of(text).snapshot.state == "done"
        shown = read_charts(page)["ratio"]
        limits = [trace["name"] for trace in shown["figure"]["data"] if "below" in trace["name"]]
        assert limits[0] == "good below 0.1225"


class TestRun:
    def test_the_rows_are_those_of_the_loop(self, text: str, ended: AppTest) -> None:
        rows = job_of(text).snapshot.rows
        assert rows.rows == train(Experiment.from_toml(text)).rows
        assert rows.complete
        assert "Complete: 2 configurations" in told(ended)

    def test_tables_show_values_of_rows(self, text: str, ended: AppTest) -> None:
        totals = job_of(text).snapshot.rows.totals
        panels = read_charts(ended)
        columns = {column["name"]: column for column in panels["results"]["table"]["columns"]}
        assert columns["float_accuracy"]["values"] == [one.float_accuracy for one in totals]
        assert columns["post-training_accuracy"]["values"] == [one.post_training_accuracy for one in totals]
        assert columns["held-out_accuracy"]["values"] == [one.final_accuracy for one in totals]
        assert columns["flips"]["values"] == [one.flips for one in totals]

    def test_charts_show_columns_of_rows(self, text: str, ended: AppTest) -> None:
        frame = job_of(text).snapshot.rows.to_pandas()
        own = frame[(frame["configuration"] == "plain") & (frame["layer"] == "fc1") & (frame["kind"] == "weight")]
        for name, column, place in (("error", "error", 0), ("fluctuation", "v_elem", 0), ("gradient", "grad_rms", 0)):
            trace = read_charts(ended)[name]["figure"]["data"][place]
            assert trace["name"] == "plain"
            known = own[column].notna()
            values = unpack_array(trace["y"])
            assert values[np.isfinite(values)] == pytest.approx(own[column][known].to_numpy(), rel=1e-6)  # as float32
            assert unpack_array(trace["x"]).tolist() == own["step"].tolist()

    def test_the_headline_is_the_accuracy_of_the_last_row(self, text: str, ended: AppTest) -> None:
        (head,) = read_heads(ended)
        frame = job_of(text).snapshot.rows.to_pandas()
        line = frame[(frame["configuration"] == "plain") & (frame["layer"] == MODEL) & (frame["kind"] == "held-out")]
        assert head.startswith(f"plain: {100 * line['accuracy'].iloc[-1]:.3g} %, float ")

    def test_the_slider_replays_every_step_with_its_states(self, text: str, ended: AppTest) -> None:
        scene = read_scene(ended, "lab-charts")
        assert scene["control"]["steps"] == list(range(12))
        assert read_components(ended)["lab-charts"]["at"]["step"] == 11
        assert text

    def test_choices_in_the_charts_move_the_view_and_never_train(self, text: str, ended: AppTest) -> None:
        assert ended is not None
        page = open_lab(experiment=text)
        job = job_of(text)
        ask(page, "lab-charts", {"step": 5, "row": "policy · fc2 · input", "seq": 1})
        assert {key: page.query_params[key] for key in ("focus", "layer", "kind", "step")} == {
            "focus": "policy",
            "layer": "fc2",
            "kind": "input",
            "step": "5",
        }
        page.selectbox(key="layer").set_value("fc1").run()
        assert job_of(text) is job
        assert read_components(page)["lab-charts"]["at"]["row"][1] == "policy · fc1 · input"

    def test_what_a_browser_sends_may_be_anything(self, text: str, ended: AppTest) -> None:
        assert ended is not None
        page = open_lab(experiment=text)
        for asked in ({"step": 99}, {"step": "5"}, {"row": 7}, {"row": "nothing"}, {"row": ["a"]}, {}):
            ask(page, "lab-charts", {**asked, "seq": 1})
            assert not page.exception
        assert "step" not in page.query_params

    def test_a_link_shows_the_run_again(self, text: str, ended: AppTest) -> None:
        page = open_lab(experiment=text, focus="policy", layer="fc2", step="3")
        at = read_components(page)["lab-charts"]["at"]
        assert at["step"] == 3
        assert at["row"][1:] == ["policy · fc2 · weight", "policy"]
        assert ended is not None

    def test_a_run_is_cancelled_and_its_rows_stay(self) -> None:
        text = write(5000)
        page = open_lab(experiment=text)
        page.button(key="run").click().run()
        job, end = job_of(text), time.monotonic() + 60
        while job.snapshot.progress is None or len(job.snapshot.progress.rows) < 20:
            assert time.monotonic() < end
            time.sleep(0.02)
        page.run()
        assert "cancel" in keys(page)
        page.button(key="cancel").click().run()
        settle(page)
        rows = job.snapshot.rows
        assert job.snapshot.state == "cancelled"
        assert not rows.complete
        assert len(rows) >= 20
        assert "Incomplete, cancelled: plain: step" in told(page)
        assert name_file(rows, ".csv") == "train-partial.csv"
        assert read_charts(page)["results"]["table"]["rows"] == ["plain"]

    def test_a_run_that_can_not_be_is_told(self) -> None:
        text = Experiment.from_toml(write(9).replace("sample:digits-mlp", "sample:nothing")).to_toml()
        page = run(open_lab(experiment=text))
        assert "nothing" in " ".join(error.value for error in page.error)
        assert "save-csv" not in keys(page)
