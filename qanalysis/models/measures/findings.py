"""What did measures in closed form find? Figures by tensor and scheme, and why there is none."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from qanalysis.models.running.runnable import Layer

Column = Literal["layer_output_error", "imatrix_mse", "fisher", "hawq"]
COLUMNS: tuple[Column, ...] = get_args(Column)


@dataclass(frozen=True, slots=True)
class Trace:
    """The trace of one tensor's block of the Hessian of the mean loss, and its standard error over samples and signs
    (NaN for a single sample), estimated with `vectors` vectors of random signs over the outputs.

    `rest` is what the Gauss-Newton part leaves out, measured with `rest_vectors` vectors over the tensor, with its
    standard error; `has_rest` tells that it differs from 0 at 95 % and is part of the trace. `numel` counts elements.
    """

    trace: float
    standard_error: float
    vectors: int
    numel: int
    rest: float = 0.0
    rest_error: float = math.nan
    rest_vectors: int = 0
    has_rest: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class ClosedMeasures:
    """`figures` by (tensor, text of the scheme) and column; `notes` by tensor and column say why a figure is missing,
    `cautions` what to know of one that is there; `assumptions` hold for all, a sentence each.

    `complete` is false where it was cancelled: figures that are there are whole.
    """

    figures: Mapping[tuple[str, str], Mapping[str, float]]
    notes: Mapping[str, Mapping[str, str]]
    cautions: Mapping[str, Mapping[str, str]]
    assumptions: tuple[str, ...] = ()
    traces: Mapping[str, Trace] = field(default_factory=dict)
    complete: bool = True

    def describe(self) -> dict[str, Any]:
        """As a document holds it: notes and cautions by tensor and column, assumptions, traces by tensor; null for an
        error that a single sample leaves open.
        """
        return {
            "notes": {tensor: dict(notes) for tensor, notes in self.notes.items()},
            "cautions": {tensor: dict(cautions) for tensor, cautions in self.cautions.items()},
            "assumptions": list(self.assumptions),
            "traces": {
                tensor: {name: None if math.isnan(value) else value for name, value in asdict(trace).items()}
                for tensor, trace in self.traces.items()
            },
        }


class Findings:
    """Figures and notes while they are gathered; `seed` is that of whatever is drawn for them."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.figures = defaultdict[tuple[str, str], dict[str, float]](dict)
        self.notes = defaultdict[str, dict[str, str]](dict)
        self.cautions = defaultdict[str, dict[str, str]](dict)
        self.assumptions = list[str]()
        self.traces = dict[str, Trace]()
        self.complete = True

    def put(self, tensor: str, scheme: object, column: Column, value: float) -> None:
        """A figure; a note in its place where it is not finite."""
        if math.isfinite(value):
            self.figures[tensor, str(scheme)][column] = value
        else:
            self.note(tensor, column, "the tensor, its quantized values or its inputs hold NaN or infinities")

    def note(self, tensor: str, column: Column, reason: str) -> None:
        """Why a figure is missing; the first word counts."""
        self.notes[tensor].setdefault(column, reason)

    def note_all(self, layers: Sequence[Layer], columns: Sequence[Column], reason: str) -> None:
        """Why figures of several layers are missing."""
        for layer in layers:
            for column in columns:
                self.note(layer.tensor.name, column, reason)

    def caution(self, tensor: str, column: Column, reason: str) -> None:
        """What to know of a figure that is there."""
        self.cautions[tensor][column] = reason

    def close(self) -> ClosedMeasures:
        """What was found."""
        return ClosedMeasures(
            figures=dict(self.figures),
            notes=dict(self.notes),
            cautions=dict(self.cautions),
            assumptions=tuple(self.assumptions),
            traces=self.traces,
            complete=self.complete,
        )
