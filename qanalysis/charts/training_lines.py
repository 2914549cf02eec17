"""Which lines does a history hold? One for each configuration, layer and kind, read from the columns of its rows.

Charts take whole columns: a history of 300 steps has ten thousand rows and more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Codes, Doubles
from qanalysis.results.table import NO_INTEGER, Frame
from qanalysis.training.row import MODEL, HistoryRow

MOST_POINTS = 50_000
"""Points of a chart before its lines are thinned: a browser draws more of them slowly."""
Line = tuple[str, str, str]
"""Configuration, layer and kind."""


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """The rows of a run by line; `places` are the rows of each line in the order of its steps.

    Lines stand in the order in which they begin. Rows of a line may lack any figure.
    """

    rows: Frame[HistoryRow]
    places: Mapping[Line, NDArray[np.intp]]

    @classmethod
    def of(cls, rows: Frame[HistoryRow]) -> Self:
        """A history of these rows, in any order."""
        found: dict[Line, list[int]] = {}
        names = (rows.cells[name].tolist() for name in ("configuration", "layer", "kind"))
        for place, line in enumerate(zip(*names, strict=True)):
            found.setdefault(line, []).append(place)
        steps = rows.cells["step"]
        places = {line: np.array(held, np.intp) for line, held in found.items()}
        return cls(rows, {line: held[np.argsort(steps[held], kind="stable")] for line, held in places.items()})

    @property
    def configurations(self) -> tuple[str, ...]:
        """Names of the configurations, each once, as they were run."""
        return tuple(dict.fromkeys(configuration for configuration, _layer, _kind in self.places))

    @property
    def tensors(self) -> tuple[Line, ...]:
        """Lines of tensors that are quantized, or where none is, of all that are told of."""
        lines = [line for line in self.places if line[1] != MODEL]
        bits = self.rows.cells["bits"]
        return tuple(line for line in lines if (bits[self.places[line]] != NO_INTEGER).any()) or tuple(lines)

    @property
    def layers(self) -> tuple[str, ...]:
        """Layers with a quantized tensor, each once."""
        return tuple(dict.fromkeys(layer for _configuration, layer, _kind in self.tensors))

    def kinds_of(self, layer: str) -> tuple[str, ...]:
        """Which data of a layer are quantized, in any of the configurations."""
        return tuple(dict.fromkeys(kind for _configuration, other, kind in self.tensors if other == layer))

    @property
    def steps(self) -> tuple[int, ...]:
        """Every step that has a row of a quantized tensor, or of the training's own batch."""
        held = [
            self.rows.cells["step"][places]
            for (_configuration, layer, kind), places in self.places.items()
            if layer != MODEL or kind == "training"
        ]
        return tuple(np.unique(np.concatenate(held)).tolist()) if held else ()

    @property
    def last_step(self) -> int:
        """The last step of any row; 0 without one."""
        return int(self.rows.cells["step"].max()) if len(self.rows) else 0

    def read(self, line: Line, name: str) -> NDArray[Any]:
        """The cells of a column along a line, NaN for null; empty for a line that is not there."""
        places = self.places.get(line)
        if places is None:
            return np.empty(0)
        return self.rows.column(name)[places]

    def steps_of(self, line: Line) -> Codes:
        """The steps of a line, ascending."""
        places = self.places.get(line)
        return self.rows.cells["step"][places] if places is not None else np.empty(0, np.int64)

    def rank(self, configuration: str) -> int:
        """The place of a configuration among all, which gives it colour and dash."""
        return self.configurations.index(configuration)


def thin(steps: Codes, values: Doubles, most: int) -> tuple[Codes, Doubles]:
    """At most `most` points of a line with its extremes: of each run of steps the least and the largest value.

    Both arrays of shape (n,) come back as they are where n <= most; NaN stays where a run holds nothing else.

    >>> thin(np.arange(6), np.array([0.0, 5.0, 1.0, 2.0, -3.0, 2.5]), 4)[1].tolist()
    [0.0, 5.0, -3.0, 2.5]
    """
    if len(steps) <= most:
        return steps, values
    runs = np.array_split(np.arange(len(steps)), max(most // 2, 1))
    kept = sorted({place for run in runs for place in _find_ends(run, values)})
    return steps[kept], values[kept]


def _find_ends(run: NDArray[np.intp], values: Doubles) -> tuple[int, int]:
    """The places of the least and the largest value of a run."""
    held = values[run]
    if np.isnan(held).all():
        return int(run[0]), int(run[0])
    return int(run[np.nanargmin(held)]), int(run[np.nanargmax(held)])


def find_runs(words: Iterable[Any]) -> list[tuple[str, int, int]]:
    """Runs of one word: the word with its first place and the place behind its last; None makes no run.

    >>> find_runs(["a", "a", None, "b"])
    [('a', 0, 2), ('b', 3, 4)]
    """
    runs: list[tuple[str, int, int]] = []
    for place, word in enumerate(words):
        if word is None:
            continue
        if runs and runs[-1][0] == word and runs[-1][2] == place:
            runs[-1] = (word, runs[-1][1], place + 1)
        else:
            runs.append((word, place, place + 1))
    return runs
