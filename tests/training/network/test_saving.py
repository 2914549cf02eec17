"""Trainings that were killed go on to the same last digit; a file that is none is refused in one line."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from qanalysis.results.document import to_json
from qanalysis.results.table import Table
from qanalysis.training.configuration import Configuration, Experiment
from qanalysis.training.loop import Progress, Trainer
from qanalysis.training.network.saving import read_state
from qanalysis.training.row import HistoryRow
from tests.training.small_models import configure

ROOT = Path(__file__).parents[3]


def experiment_of(*configurations: Configuration, model: str = "make_restless") -> Experiment:
    return Experiment(f"tests.training.small_models:{model}", "tests.training.small_models:make_arrays", configurations)


def tell(table: Table[HistoryRow]) -> str:
    return to_json(table, created=datetime(2026, 1, 1, tzinfo=UTC))


class Stopped(Exception):
    """What a person's cancel raises."""


def stop_at(step: int) -> Callable[[], None]:
    calls = iter(range(10**6))

    def check() -> None:
        if next(calls) == step:
            raise Stopped

    return check


def resume(experiment: Experiment, saved: Path, *, after: int) -> str:
    """The history of a training that was ended at a check and begun again from its file."""
    first = Trainer(experiment, saved=saved)
    with pytest.raises(Stopped):
        first.train(check=stop_at(after))
    second = Trainer(experiment, saved=saved)
    second.resume()
    return tell(second.train())


WAYS = [
    {"weight": "int4 channel + ema + policy window=3 dwell=1", "input": "int8 + counts count=3", "optimizer": "adam"},
    {"weight": "lsq bits=4", "input": "pact bits=4", "output": "lsq+ bits=6", "momentum": 0.9},
    {"weight": "int4 + minmax trigger=every:7 + freezing threshold=0.02 momentum=0.02 start=0.1", "rate": 0.3},
    {"weight": "up-step trigger=doubling:8 + down", "output_gradient": "up-step + width-growth + average"},
    {"weight": "up-step scope=all", "input": "int8 round=stochastic:3 + ema trigger=every:5"},
    {"weight": "int4", "rungs": "rungs steps=9", "pruning": "magnitude"},
    {"weight": "ternary + minmax trigger=every:9", "distillation": "distillation"},
    {"weight": "nf4 channel + ema trigger=every:4 + ewgs", "learning": "incremental"},
]


@pytest.mark.parametrize("words", WAYS, ids=[one["weight"] for one in WAYS])
@pytest.mark.parametrize("record_every", [1, 4])
def test_a_training_goes_on_to_the_same_last_digit(words: dict[str, str], record_every: int, tmp_path: Path) -> None:
    told = configure(**{"steps": 24, "evaluate_every": 6, "record_every": record_every, **words})
    experiment = experiment_of(told)
    whole = tell(Trainer(experiment).train())
    # Four batches of calibration, then a check before each step: the file was last written after step 12.
    assert resume(experiment, tmp_path / "state", after=5 + 15) == whole


def test_a_second_configuration_goes_on_and_the_first_is_not_trained_again(tmp_path: Path) -> None:
    experiment = experiment_of(configure("a", steps=6, evaluate_every=2), configure("b", steps=6, evaluate_every=2))
    whole = tell(Trainer(experiment).train())
    told: list[Progress] = []
    first = Trainer(experiment, saved=tmp_path / "state")
    with pytest.raises(Stopped):
        first.train(check=stop_at(5 + 6 + 5 + 3))
    second = Trainer(experiment, saved=tmp_path / "state")
    second.resume()
    assert tell(second.train(told.append)) == whole
    assert {one.configuration for one in told if one.done < 2} == set()


def test_a_process_that_is_killed_goes_on_where_it_last_saved(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    saved = tmp_path / "state"
    experiment = experiment_of(configure("a", steps=4000, evaluate_every=10, record_every=1000, weight="int4 + ema"))
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom qanalysis.training.configuration import Experiment\n"
        "from qanalysis.training.loop import Trainer\n"
        f"experiment = Experiment.from_toml({experiment.to_toml()!r})\n"
        f"Trainer(experiment, saved=Path({str(saved)!r})).train()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, str(script)], cwd=ROOT, env=environment)
    until = time.monotonic() + 60
    while not saved.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    reached = read_state(saved, experiment)[0]["step"]
    assert 0 < reached < 4000
    # A training of that many steps takes too long here: the steps behind the kill are held against one without it.
    more, ahead = Trainer(experiment, saved=saved), Trainer(experiment)
    more.resume()
    for trainer in (more, ahead):
        with pytest.raises(Stopped):
            trainer.train(check=stop_until(trainer, reached + 5))
    first, second = (trainer.runs[0] for trainer in (more, ahead))
    assert first.step == second.step == reached + 5
    assert all(torch.equal(*pair) for pair in zip(first.model.parameters(), second.model.parameters(), strict=True))
    assert [one["loss"] for one in first.recorder.lines] == [one["loss"] for one in second.recorder.lines]


def stop_until(trainer: Trainer, step: int) -> Callable[[], None]:
    def check() -> None:
        if trainer.runs[0].step == step:
            raise Stopped

    return check


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04 nearly a zip", b"\x80\x02garbage"])
def test_a_file_that_is_none_is_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    path = write(tmp_path / "state", content)
    with pytest.raises(ValueError, match="holds no state of a training") as told:
        read_state(path, experiment_of(configure()))
    assert "\n" not in str(told.value)


def test_a_file_that_was_cut_is_refused(tmp_path: Path) -> None:
    experiment = experiment_of(configure(steps=2, evaluate_every=1))
    path = tmp_path / "state"
    Trainer(experiment, saved=path).train()
    whole = path.read_bytes()
    for length in (len(whole) // 3, len(whole) - 40):
        with pytest.raises(ValueError, match="holds no state of a training"):
            read_state(write(path, whole[:length]), experiment)


def test_the_file_of_another_experiment_is_refused(tmp_path: Path) -> None:
    experiment = experiment_of(configure(steps=2, evaluate_every=1))
    path = tmp_path / "state"
    Trainer(experiment, saved=path).train()
    with pytest.raises(ValueError, match="was saved by another experiment"):
        read_state(path, experiment_of(configure(steps=3, evaluate_every=1)))


def test_a_missing_file_and_no_file_at_all_are_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no such file"):
        read_state(tmp_path / "none", experiment_of(configure()))
    with pytest.raises(ValueError, match="there is no file to resume from"):
        Trainer(experiment_of(configure())).resume()


class Harmful:
    """Runs code where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("by_torch", [False, True])
def test_a_file_runs_no_code(tmp_path: Path, *, by_torch: bool) -> None:
    path, mark = tmp_path / "state", tmp_path / "mark"
    if by_torch:
        torch.save({"format": "qanalysis training state 1", "runs": Harmful(mark)}, path)
    else:
        path.write_bytes(pickle.dumps(Harmful(mark)))
    with pytest.raises(ValueError, match="holds no state of a training"):
        read_state(path, experiment_of(configure()))
    assert not mark.exists()


@pytest.mark.parametrize("content", [{}, [], {"format": "qanalysis training state 1"}, torch.zeros(2)])
def test_a_file_of_another_kind_is_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "state")
    with pytest.raises(ValueError, match=r"holds no state of a training that this program knows|another experiment"):
        read_state(tmp_path / "state", experiment_of(configure()))
