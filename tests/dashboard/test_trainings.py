"""A training as a job: its rows while they are made, how far it is in words, and how a page of another kind tells of it."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from qanalysis.dashboard.jobs import Snapshot
from qanalysis.dashboard.progress import describe_job
from qanalysis.dashboard.training.runs import Readings, find_thresholds
from qanalysis.dashboard.trainings import (
    TrainingProgress,
    TrainingRequest,
    read_experiment,
    read_rows,
    run_training,
    tell_run,
)
from qanalysis.results.document import to_json
from qanalysis.training.configuration import Experiment
from qanalysis.training.presets import PRESETS

TEXT = Experiment.from_toml(
    """model = "sample:digits-mlp"
[[configuration]]
name = "a"
weight = "int4 + up-step + policy"
input = "int8 asym + counts"
steps = 4
[[configuration]]
name = "b"
weight = "int4"
steps = 2
"""
).to_toml()
REQUEST = TrainingRequest(TEXT)


def test_progress_holds_all_rows_so_far_and_ends_with_all() -> None:
    seen: list[TrainingProgress] = []
    table = run_training(REQUEST, seen.append, threading.Event())
    shares = [progress.share_done for progress in seen]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    counts = [len(progress.rows) for progress in seen]
    assert counts == sorted(counts)
    assert set(seen[-1].rows.cells["configuration"]) == {"a", "b"}
    assert table.complete
    assert len(table) >= counts[-1]


def test_a_cancelled_training_keeps_the_rows_that_were_made() -> None:
    cancel = threading.Event()

    def stop(progress: TrainingProgress) -> None:
        if progress.done >= 2:
            cancel.set()

    table = run_training(REQUEST, stop, cancel)
    assert not table.complete
    assert set(table.column("configuration")) == {"a"}
    whole = run_training(REQUEST, lambda _progress: None, threading.Event())
    assert table.rows == whole.rows[: len(table)]


def test_the_same_text_is_the_same_run() -> None:
    assert TrainingRequest(TEXT).digest == REQUEST.digest
    assert TrainingRequest(TEXT.replace("steps = 4", "steps = 5")).digest != REQUEST.digest
    assert REQUEST.steps == 6


@pytest.mark.parametrize(
    ("snapshot", "told"),
    [
        (Snapshot(), "Waiting for another training to end"),
        (Snapshot("running"), "Loading the model and its data"),
        (Snapshot("failed"), "The training failed"),
        (Snapshot("cancelled"), "Cancelled before the first step"),
        (Snapshot("running", TrainingProgress("b", 1, 2, 1, 2, 0.8)), "b: step 1 of 2, configuration 2 of 2"),
        (
            Snapshot("cancelled", TrainingProgress("b", 1, 2, 1, 2, 0.8)),
            "Incomplete, cancelled: b: step 1 of 2, configuration 2 of 2",
        ),
        (Snapshot("failed", TrainingProgress("a", 0, 1, 1, 2, 0.5)), "Incomplete, stopped: a: step 1 of 2"),
        (Snapshot("done", TrainingProgress("a", 0, 2, 2, 2, 1), seconds=3.21), "Complete: 2 configurations in 3.2 s"),
    ],
)
def test_where_a_run_stands_is_told_in_one_line(snapshot: Snapshot, told: str) -> None:
    assert tell_run(snapshot) == told
    assert describe_job(REQUEST, snapshot).replace("\\", "") == f"the training of digits-mlp, {told}"


def test_there_are_no_rows_before_the_first() -> None:
    assert read_rows(Snapshot("running")) is None
    assert read_rows(Snapshot("running", TrainingProgress("a", 0, 1, 0, 2, 0.0))) is None


class TestReadings:
    def test_each_reading_changes_the_rules_that_have_it(self) -> None:
        experiment = Readings("library", "literal", "scalar").apply(REQUEST.experiment)
        recipes = experiment.configurations[0].recipes
        assert str(recipes["weight"]) == "up-step exponent=library bits=4 + policy measure=scalar"
        assert str(recipes["input"]) == "int8 asym + counts mean=literal"
        assert experiment.configurations[1] == REQUEST.experiment.configurations[1]

    def test_without_readings_the_experiment_is_as_written(self) -> None:
        assert Readings().apply(REQUEST.experiment) == REQUEST.experiment

    def test_thresholds_are_those_of_the_policy(self) -> None:
        assert find_thresholds(REQUEST.experiment, "a", "weight") == (0.1, 0.8)
        scalar = Readings(measure="scalar").apply(REQUEST.experiment)
        assert find_thresholds(scalar, "a", "weight") == (0.05, 0.25)
        assert find_thresholds(REQUEST.experiment, "b", "weight") is None
        assert find_thresholds(REQUEST.experiment, "c", "weight") is None


class TestWhatAPageTrains:
    """A link may name any function that the server finds, and any file: neither is taken."""

    @pytest.mark.parametrize(
        ("model", "data", "told"),
        [
            ("os:abort", "sample", "is a function, and a page calls none"),
            ("sample:digits-mlp", "os:abort", "is a function, and a page calls none"),
            ("sample:digits-mlp", "../../etc/secret.npz", "lies outside the root folder"),
            ("sample:digits-mlp", "missing.npz", "does not exist in the root folder"),
        ],
    )
    def test_functions_and_foreign_files_are_refused(
        self, model: str, data: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("QANALYSIS_ROOT", str(tmp_path))
        text = f'model = "{model}"\ndata = "{data}"\n[[configuration]]\nname = "a"\n'
        with pytest.raises(ValueError, match=r"^the link: ") as caught:
            read_experiment(text, place="the link")
        assert told in str(caught.value)
        assert "qanalysis train" in str(caught.value)

    def test_a_file_below_the_root_is_trained_on_and_its_place_stays_out_of_the_history(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("QANALYSIS_ROOT", str(tmp_path))
        rng = np.random.default_rng(0)
        np.savez(tmp_path / "mine.npz", x=rng.random((40, 1, 8, 8), np.float32), y=rng.integers(0, 10, 40))
        text = 'model = "sample:digits-mlp"\ndata = "mine.npz"\n[[configuration]]\nname = "a"\nsteps = 2\nbatch = 8\n'
        request = TrainingRequest(Experiment.from_toml(text).to_toml())
        table = run_training(request, lambda _progress: None, threading.Event())
        assert table.settings["experiment"] == request.text
        assert str(tmp_path) not in to_json(table)

    @pytest.mark.parametrize("name", PRESETS)
    def test_every_preset_may_be_trained(self, name: str) -> None:
        text = PRESETS[name].experiment.to_toml()
        assert read_experiment(text, place="it") == PRESETS[name].experiment
