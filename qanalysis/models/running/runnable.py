"""What is a model that runs, to the rest of the program? Tensors by name, and outputs, as it is and with changes.

A model is held once. A change is put in place for one run and taken back bit for bit, whatever happens in between.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from torch import Tensor

from qanalysis.arrays import Floats
from qanalysis.checkpoints.source import TensorInfo, TensorSource
from qanalysis.models.calibration.samples import Batch, Calibration
from qanalysis.models.running.convolutions import Convolution
from qanalysis.models.running.model_folder import ModelFolder
from qanalysis.results.identity import SourceIdentity

#: What becomes of a layer's input on its way in.
Turn = Callable[[Tensor], Tensor]
Side = Literal["input", "output"]
Receive = Callable[[str, Tensor], None]


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """What is different for a run: values of tensors by name, and what becomes of layers' first inputs by layer.

    Tied tensors change together, under their first name; values have the tensor's shape.
    """

    weights: Mapping[str, Floats] = field(default_factory=lambda: MappingProxyType({}))
    inputs: Mapping[str, Turn] = field(default_factory=lambda: MappingProxyType({}))


NO_CHANGE = Change()


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A place where a tensor works: the layer's name (path of the module, name of the node), the tensor's name, and
    whether its first input holds real numbers, so that it can be quantized.

    `is_linear` says that outputs are the matrix of the tensor's view times the input's last axis, so that
    the error of the output follows from the second moment of the input.
    """

    name: str
    tensor: TensorInfo
    is_linear: bool = False
    has_real_input: bool = True


class Recording:
    """A run of the unchanged model on one batch: its outputs, and whatever a model keeps to run again faster."""

    def __init__(self, batch: Batch, outputs: Tensor) -> None:
        self.batch, self.outputs = batch, outputs


class Runnable(TensorSource):
    """A model with its weights. As a source it yields all its tensors, with roles and views; close it when done.

    `folder` is where its tokenizer and its settings lie, `brought` the data that came with it, `input_names` what its
    inputs are called, empty where it does not say.

    Not safe to run from several threads at once: a run may change weights in place.
    """

    folder: ModelFolder | None = None
    brought: Calibration | None = None

    @property
    def input_names(self) -> Sequence[str]:
        return ()

    @property
    def identity(self) -> SourceIdentity:
        """Which input results come from: the file that the values came from, else the model as it is."""
        return SourceIdentity(self.name, self.size_bytes, lambda: self.digest)

    @property
    @abstractmethod
    def layers(self) -> Sequence[Layer]:
        """Where tensors work, in the order of the model; a tensor that several layers share stands once, with the
        first.
        """

    def order(self, batch: Batch) -> Sequence[Layer]:  # noqa: ARG002
        """The layers in the order in which a run on this batch first uses them; those that it does not use last."""
        return self.layers

    def is_used(self, layer: Layer) -> bool:  # noqa: ARG002
        """Whether a run uses the layer's tensor at all, as far as `order` found out."""
        return True

    @property
    def convolutions(self) -> Mapping[str, Convolution]:
        """How layers convolve their input with their tensor, by the layer's name, as far as a model knows it."""
        return {}

    def weigh(self, batch: Batch) -> int:
        """How many bytes a recording keeps of each sample of this batch, its outputs counted."""
        return int(self.record(batch.cut(0, 1)).outputs.nbytes)

    @abstractmethod
    def record(self, batch: Batch, *, keep_bytes: int = 0) -> Recording:
        """Run the unchanged model; keep up to `keep_bytes` of what its parts return, so that `rerun` need not compute
        it again.

        Raises ValueError on one line where the model does not run on the batch, MemoryError where there is no room.
        """

    @abstractmethod
    def rerun(self, recording: Recording, change: Change) -> Tensor:
        """The outputs for the recording's batch under a change; what lies before the change comes from the recording.

        The model is as before afterwards, also where the run fails. Raises as `record`.
        """

    @abstractmethod
    def watch(
        self,
        batch: Batch,
        layers: Sequence[str],
        receive: Receive,
        *,
        side: Side = "input",
        change: Change = NO_CHANGE,
    ) -> Tensor:
        """Run the model, unchanged or under a change, and hand every first input (or output) of these layers to
        `receive`, as it passes, in the order of the run; returns the outputs. A layer that runs several times is told
        of several times. The model is as before afterwards. Raises as `record`.
        """
