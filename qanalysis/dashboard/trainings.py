"""How does an experiment train beside the pages? As a job whose rows can be read while they are made.

A run is known by the text of its experiment: the same text is the same run, at work or ended. Training loads torch, on
the job's own thread.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import streamlit as st

from qanalysis.checkpoints.path_policy import resolve_inside
from qanalysis.checkpoints.source import CheckpointError
from qanalysis.dashboard.jobs import ENGINE_VERSION, Job, JobManager, Snapshot
from qanalysis.dashboard.sources import read_root
from qanalysis.notation import duration, quote
from qanalysis.results.table import Frame, Table
from qanalysis.training.configuration import Experiment
from qanalysis.training.presets import PRESETS
from qanalysis.training.row import HistoryRow

MOST_PARTS = 32
"""Pieces of a history that are held before they are joined."""


_OWN_DATA = {preset.experiment.data for preset in PRESETS.values()}


class CancelledError(Exception):
    """Ends a training between two of its steps."""


def read_experiment(text: str, *, place: str) -> Experiment:
    """An experiment that a page may train: samples, and data of samples, of presets or of files below the root folder.

    Functions are left to the command line: a link can name any that the server finds, such as one that ends it. Raises
    ValueError, which begins with `place`.
    """
    experiment = Experiment.from_toml(text, place=place)
    way_out = "train it with `qanalysis train FILE`, and turn its history into a page with `qanalysis report`"
    if not experiment.model.startswith("sample:"):
        raise ValueError(f"{place}: model = {quote(experiment.model)} is a function, and a page calls none; {way_out}")
    try:
        locate_data(experiment)
    except ValueError as error:
        raise ValueError(f"{place}: data = {quote(experiment.data)}: {error}; {way_out}") from None
    return experiment


def locate_data(experiment: Experiment) -> Experiment:
    """The same with the path of its file below the root folder. Raises ValueError for a function that is no preset's,
    and for a path outside.
    """
    data = experiment.data
    if data is None or data == "sample" or data.startswith("sample:") or data in _OWN_DATA:
        return experiment
    if not data.endswith(".npz"):
        raise ValueError("it is a function, and a page calls none")
    try:
        return replace(experiment, data=str(resolve_inside(read_root(), data)))
    except CheckpointError as error:
        raise ValueError(str(error)) from None


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """What to train: an experiment in canonical TOML. Equal texts are one run."""

    text: str

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits over the text and the engine's version."""
        return hashlib.sha256(repr((ENGINE_VERSION, self.text)).encode()).hexdigest()[:16]

    @property
    def experiment(self) -> Experiment:
        """What the text says. Raises ValueError for what a page does not train."""
        return read_experiment(self.text, place="the experiment")

    @property
    def subject(self) -> str:
        """The training by its model, the last part of its name."""
        return f"the training of {self.experiment.model.rpartition(':')[2]}"

    @property
    def steps(self) -> int:
        """Steps of all configurations together."""
        return sum(one.steps for one in self.experiment.configurations)


@dataclass(frozen=True)
class TrainingProgress:
    """How far a run is: the configuration at work, its place among `total`, its steps; and all rows so far, in pieces.

    `share_done` counts the steps of all configurations.
    """

    configuration: str
    place: int
    total: int
    done: int
    steps: int
    share_done: float
    parts: tuple[Frame[HistoryRow], ...] = ()

    @cached_property
    def rows(self) -> Frame[HistoryRow]:
        """All rows so far."""
        return Frame.concat(HistoryRow, self.parts)


TrainingJob = Job[TrainingRequest, TrainingProgress, Table[HistoryRow]]


@st.cache_resource
def get_trainings() -> JobManager[TrainingRequest, TrainingProgress, Table[HistoryRow]]:
    """The server's trainings, one at a time, since each takes all processors; the last twelve are kept."""
    return JobManager(run_training, turns=1)


def run_training(
    request: TrainingRequest, on_progress: Callable[[TrainingProgress], None], cancel: threading.Event
) -> Table[HistoryRow]:
    """What a job does: train, tell every row as it is made, and end early with the rows so far where it is cancelled.

    Raises ValueError for a model or data that do not fit.
    """
    from qanalysis.training.loop import Trainer  # loads torch, which a page without a run does not need

    trainer, book = Trainer(locate_data(request.experiment)), _Book(request)

    def check() -> None:
        if cancel.is_set():
            raise CancelledError

    def note(progress: Any) -> None:
        on_progress(book.add(progress.configuration, progress.done, progress.steps, progress.rows))

    try:
        table = trainer.train(note, check)
    except CancelledError:
        table = trainer.history(complete=False)
    return replace(table, settings={**table.settings, "experiment": request.text})


class _Book:
    """The rows of a run as they are made."""

    def __init__(self, request: TrainingRequest) -> None:
        self._steps = {one.name: one.steps for one in request.experiment.configurations}
        self._done = dict.fromkeys(self._steps, 0)
        self._parts: list[Frame[HistoryRow]] = []

    def add(self, configuration: str, done: int, steps: int, rows: Frame[HistoryRow]) -> TrainingProgress:
        """How far the run is with these rows."""
        self._parts.append(rows)
        if len(self._parts) > MOST_PARTS:
            self._parts = [self.join()]
        self._done[configuration] = done
        share = sum(self._done.values()) / sum(self._steps.values())
        place = list(self._steps).index(configuration)
        return TrainingProgress(configuration, place, len(self._steps), done, steps, share, tuple(self._parts))

    def join(self) -> Frame[HistoryRow]:
        """All rows so far."""
        return Frame.concat(HistoryRow, self._parts)


def read_rows(snapshot: Snapshot[TrainingProgress, Table[HistoryRow]]) -> Frame[HistoryRow] | None:
    """The rows of a run as far as it is; None before the first."""
    if snapshot.rows is not None:
        return snapshot.rows.rows
    rows = snapshot.progress.rows if snapshot.progress else None
    return rows if rows is not None and len(rows) else None


def tell_run(snapshot: Snapshot[TrainingProgress, Table[HistoryRow]]) -> str:
    """Where a run stands in one line, plain text.

    >>> tell_run(Snapshot("running"))
    'Loading the model and its data'
    """
    progress = snapshot.progress
    if snapshot.state == "queued":
        return "Waiting for another training to end"
    if progress is None:
        return {"running": "Loading the model and its data", "failed": "The training failed"}.get(
            snapshot.state, "Cancelled before the first step"
        )
    counted = f"{progress.configuration}: step {progress.done:,} of {progress.steps:,}"
    if progress.total > 1:
        counted += f", configuration {progress.place + 1} of {progress.total}"
    if snapshot.is_active:
        return counted
    if snapshot.state == "done":
        return f"Complete: {progress.total} configurations in {duration(snapshot.seconds)}"
    return f"Incomplete, {'cancelled' if snapshot.state == 'cancelled' else 'stopped'}: {counted}"
