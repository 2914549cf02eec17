"""What is a repair made of? The float model may be prepared, weights are rounded, what is left is corrected.

Every stage works on a draft: what would be changed in the model so far. The model itself stays as it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qanalysis.arrays import Doubles, Floats
from qanalysis.checkpoints.source import TensorInfo
from qanalysis.models.repairs.moments import Watcher
from qanalysis.models.running.runnable import Change, Layer, Runnable, Turn
from qanalysis.notation import shorten
from qanalysis.quantizers.quantizer import LevelQuantizer
from qanalysis.quantizers.scheme import Scheme

_MOST_NAMES = 3


@dataclass(frozen=True, slots=True, eq=False)
class Repaired:
    """A quantized model, as a change of the float one.

    `change.weights` holds the quantized weights, each on the grid of its quantizer in `quantizers` and equal, bit for
    bit, to what its codes decode to; and whatever else changes, biases and norms. `change.inputs` are turns that belong
    to the repair, a division by factors; the quantization of inputs comes after them. `touched` names the tensors that
    differ from those of the same model rounded to the nearest level. `notes` say what was assumed or left out, a
    sentence each. `output_scales` are, by layer, the factors by which the channels of its output are larger than the
    float model's, (rows,); layers that are not named have none.
    """

    change: Change
    quantizers: Mapping[str, LevelQuantizer]
    notes: tuple[str, ...] = ()
    touched: Sequence[str] = ()
    output_scales: Mapping[str, Doubles] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """What is asked for: a model whose `layers`, in the order of a run, are quantized by `scheme`, their inputs by
    `activation_scheme` unless it is None.

    `is_sequential` tells that each layer is rounded and corrected for the inputs that it gets from the layers quantized
    before it, not for those of the float model.
    """

    model: Runnable
    watcher: Watcher
    layers: Sequence[Layer]
    scheme: Scheme
    activation_scheme: Scheme | None
    seed: int
    is_sequential: bool


@dataclass(slots=True, eq=False)
class Draft:
    """What would be changed so far, by name of tensor and of layer.

    `floats` are tensors that were prepared, so that the float model's outputs stay what they are; `weights` all that
    changes, prepared or quantized; `inputs` what becomes of layers' inputs.
    """

    floats: dict[str, Floats] = field(default_factory=dict)
    float_inputs: dict[str, Turn] = field(default_factory=dict)
    weights: dict[str, Floats] = field(default_factory=dict)
    inputs: dict[str, Turn] = field(default_factory=dict)
    quantizers: dict[str, LevelQuantizer] = field(default_factory=dict)
    output_scales: dict[str, Doubles] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)
    reasons: dict[str, list[str]] = field(default_factory=dict)

    @property
    def float_change(self) -> Change:
        """The prepared float model."""
        return Change(dict(self.floats), dict(self.float_inputs))

    @property
    def change(self) -> Change:
        """The quantized model."""
        return Change(dict(self.weights), dict(self.inputs))

    def read(self, model: Runnable, info: TensorInfo) -> Floats:
        """The float values of a tensor, as prepared."""
        found = self.floats.get(info.name)
        return np.array(model.read(info), np.float32) if found is None else found

    def prepare(self, name: str, values: Floats) -> None:
        """A tensor gets other float values."""
        self.floats[name] = values
        self.weights[name] = values
        self.touched.add(name)

    def clear(self) -> None:
        """Forget what was prepared."""
        for held in (self.floats, self.float_inputs, self.weights, self.output_scales, self.touched):
            held.clear()

    def note(self, reason: str, name: str = "") -> None:
        """What is to know, and of which layer."""
        self.reasons.setdefault(reason, []).append(name)

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence for each reason, with the first few layers that it is about."""
        return tuple(_join(reason, list(dict.fromkeys(filter(None, names)))) for reason, names in self.reasons.items())


def _join(reason: str, names: Sequence[str]) -> str:
    if not names:
        return reason
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"{', '.join(shorten(name) for name in names[:_MOST_NAMES])}{more}: {reason}"


class Preparation(ABC):
    """Changes float tensors so that they quantize better and outputs stay what they are."""

    @abstractmethod
    def prepare(self, task: Task, draft: Draft) -> None:
        """Put prepared tensors into the draft."""


class Rounder(ABC):
    """Chooses the level of every weight of a layer."""

    @abstractmethod
    def round(self, values: Floats, quantizer: LevelQuantizer, matrix: Doubles, check: Callable[[], None]) -> Rounding:
        """The values of a tensor on its grid, given C of its layer's input, (groups, width, width).

        Raises ValueError, a half sentence, for what it can not do.
        """


@dataclass(frozen=True, slots=True, eq=False)
class Rounding:
    """The rounded values of a tensor, in its shape, and what is to know of it."""

    values: Floats
    note: str = ""


class Correction(ABC):
    """Changes what is not quantized, so that outputs come nearer to the float model's."""

    @abstractmethod
    def correct(self, task: Task, draft: Draft) -> None:
        """Put corrected tensors into the draft."""


def ignore(_value: Any = None) -> None:
    """Do nothing."""
