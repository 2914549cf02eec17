"""How is an experiment trained? Its configurations one after the other; everything that moves is told as rows.

The same experiment gives the same history to the last digit on one machine, also where it was killed and resumed. A
step whose loss or gradient is not finite moves nothing and is told as an event.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from qanalysis.models.data import load_data
from qanalysis.models.model import load_model
from qanalysis.results.table import Frame, Table
from qanalysis.training.configuration import Experiment
from qanalysis.training.network.run import Run
from qanalysis.training.network.saving import read_state, write_state
from qanalysis.training.row import HistoryRow, HistoryTotal


@dataclass(frozen=True, slots=True, eq=False)
class Progress:
    """A configuration at work: `done` of `steps`, and the rows made since the last time."""

    configuration: str
    done: int
    steps: int
    rows: Frame[HistoryRow]


class Trainer:
    """An experiment at work; `history` gives what is there at any time, also after a cancel."""

    def __init__(self, experiment: Experiment, *, saved: Path | None = None) -> None:
        self.experiment, self.saved = experiment, saved
        self.runs: list[Run] = []
        self._states: Sequence[dict[str, object]] = ()

    def resume(self) -> None:
        """Go on from the file of an earlier try. Raises ValueError where it is none of this experiment."""
        if self.saved is None:
            raise ValueError("there is no file to resume from; name the one that was saved to")
        self._states = read_state(self.saved, self.experiment)

    def train(
        self,
        on_step: Callable[[Progress], None] = lambda _progress: None,
        check: Callable[[], None] = lambda: None,
    ) -> Table[HistoryRow]:
        """Train to the end. `on_step` is told after each step with rows; `check` is called before each step and may
        raise to end the training. Raises ValueError for a model, data or layers that do not fit.
        """
        for place, configuration in enumerate(self.experiment.configurations):
            data = load_data(self.experiment.data, self.experiment.model, seed=configuration.seed)
            run = Run.begin(lambda: load_model(self.experiment.model), data, configuration)
            self.runs.append(run)
            if place < len(self._states):
                run.restore(self._states[place])
            for _ in run.proceed(check):
                if run.has_news:
                    on_step(Progress(configuration.name, run.step, configuration.steps, run.recorder.take()))
                if run.may_be_saved and self.saved is not None:
                    write_state(self.saved, self.experiment, [one.state() for one in self.runs])
        return self.history()

    def history(self, *, complete: bool = True) -> Table[HistoryRow]:
        """What was trained so far."""
        return Table(
            Frame.concat(HistoryRow, [run.recorder.to_frame() for run in self.runs]),
            Frame.from_rows(HistoryTotal, [run.total() for run in self.runs]),
            settings={"experiment": self.experiment.to_toml(), "torch": torch.__version__},
            complete=complete,
            more={"paths": [path for run in self.runs for path in run.paths.to_plain(run.configuration.name)]},
        )


def train(
    experiment: Experiment,
    *,
    on_step: Callable[[Progress], None] = lambda _progress: None,
    check: Callable[[], None] = lambda: None,
) -> Table[HistoryRow]:
    """Train every configuration of an experiment; the history of all, as `Trainer.train`."""
    return Trainer(experiment).train(on_step, check)
