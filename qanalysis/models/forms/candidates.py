"""What is in place when a model runs in a form? Its change, how large the model then is, and what stayed float."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from qanalysis.arrays import Doubles, Floats
from qanalysis.checkpoints.source import TensorInfo
from qanalysis.models.activations.input_statistics import Averaging
from qanalysis.models.activations.turns import InputGrid, InputGrids, calibrate_inputs
from qanalysis.models.calibration.samples import Calibration
from qanalysis.models.forms.form import Form
from qanalysis.models.running.runnable import NO_CHANGE, Change, Layer, Runnable, Turn
from qanalysis.models.sensitivity.changes import Changes
from qanalysis.models.sensitivity.tabulating import describe_size
from qanalysis.notation import shorten
from qanalysis.quantizers.quantizer import LevelQuantizer
from qanalysis.quantizers.scheme import Scheme

_NAMED = 3


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A form before or after a repair: `make` gives the change of the model, `size_bytes` is that of all its tensors,
    `notes` say what stayed float or was assumed. `refusal` says why it can not be measured at all; empty where it can.

    `fit` gives the quantizers of the weights by tensor, on whose grids those of the change lie, `quantized` names these
    tensors, and `inputs` say how the inputs of layers are quantized. `output_scales` are those of a repair, by layer:
    factors by which the channels of an output are larger than the float model's. `unsavable` says why it can not be
    written to a file; empty where it can.
    """

    form: Form
    repair: str
    make: Callable[[], Change]
    fit: Callable[[], Mapping[str, LevelQuantizer]]
    inputs: Mapping[str, InputGrid]
    size_bytes: int
    notes: tuple[str, ...] = ()
    refusal: str = ""
    output_scales: Mapping[str, Doubles] = field(default_factory=lambda: MappingProxyType({}))
    unsavable: str = ""
    quantized: frozenset[str] = frozenset()


class FormMaker:
    """Makes the forms of one model: `layers` are those that are quantized, in the order of a run. The ranges of their
    inputs come from `calibration`; with averaging="moving" the ends of range=minmax are averaged over batches.
    """

    def __init__(
        self, model: Runnable, calibration: Calibration, layers: Sequence[Layer], *, averaging: Averaging = "none"
    ) -> None:
        self.model, self.calibration, self.layers = model, calibration, layers
        self._averaging = averaging
        self._grids: InputGrids | None = None
        self._changes = Changes(model)

    def calibrate(self, schemes: Sequence[Scheme]) -> None:
        """Learn of the inputs of layers what forms with these schemes of activations ask."""
        self._grids = self.observe(schemes) if schemes else None

    def observe(self, schemes: Sequence[Scheme], change: Change = NO_CHANGE) -> InputGrids:
        """What calibration learns of the layers' inputs, the model as it is or under a change."""
        return calibrate_inputs(
            self.model, self.calibration, self.layers, schemes, averaging=self._averaging, change=change
        )

    def make(self, form: Form) -> Candidate:
        """The form without a repair; weights are quantized when the change is asked for."""
        weights, float_weights = self._split_weights(form.weights)
        inputs, float_inputs = self.find_inputs(form.activations, self._grids)
        notes = [*_tell(float_weights, "weight stays float", "weights stay float")]
        notes += _tell(float_inputs, "input stays float", "inputs stay float")
        turns = self.turn_inputs(inputs)
        is_empty = not weights and not turns
        refusal = "; ".join(notes) or "no layer has anything to quantize"
        return Candidate(
            form,
            "",
            lambda: Change(self._quantize(weights, form.weights), turns),
            lambda: self._fit(weights, form.weights),
            inputs,
            self.measure_size(form, [info for info, _reason in float_weights]),
            () if is_empty else tuple(notes),
            refusal if is_empty else "",
            quantized=frozenset(layer.tensor.name for layer in weights),
        )

    def find_inputs(
        self, scheme: Scheme | None, grids: InputGrids | None
    ) -> tuple[dict[str, InputGrid], list[tuple[TensorInfo, str]]]:
        """How layers' inputs are quantized, by layer, and the tensors of the layers whose inputs stay float with the
        reason.
        """
        inputs, left = dict[str, InputGrid](), list[tuple[TensorInfo, str]]()
        if scheme is None or grids is None:
            return inputs, left
        for layer in self.layers:
            if layer.has_real_input and layer.name not in inputs:
                try:
                    inputs[layer.name] = grids.find(layer, scheme)
                except ValueError as error:
                    left.append((layer.tensor, str(error)))
        return inputs, left

    def turn_inputs(self, inputs: Mapping[str, InputGrid]) -> dict[str, Turn]:
        """What becomes of the inputs of layers, by layer."""
        layers = {layer.name: layer for layer in reversed(self.layers)}
        return {name: grid.turn(self.model, layers[name]) for name, grid in inputs.items()}

    def measure_size(self, form: Form, kept: Iterable[TensorInfo] = ()) -> int:
        """Bytes of all tensors: those of layers as the form stores them but for the `kept` ones, others as they are."""
        names = {layer.tensor.name for layer in self.layers} - {info.name for info in kept}
        total = 0
        for info in self.model.tensors:
            stored = describe_size(info, form.weights) if form.weights is not None and info.name in names else {}
            total += stored.get("size_bytes", info.size_bytes)
        return total

    def _split_weights(self, scheme: Scheme | None) -> tuple[list[Layer], list[tuple[TensorInfo, str]]]:
        """The layers whose tensors the scheme fits, and the tensors that it does not fit with the reason."""
        fitting, left = list[Layer](), list[tuple[TensorInfo, str]]()
        if scheme is None:
            return fitting, left
        for layer in self.layers:
            try:
                scheme.lay_out(layer.tensor.shape, axis=layer.tensor.view)
                fitting.append(layer)
            except ValueError as error:
                left.append((layer.tensor, str(error)))
        return fitting, left

    def _fit(self, layers: Sequence[Layer], scheme: Scheme | None) -> dict[str, LevelQuantizer]:
        if scheme is None:
            return {}
        infos = [layer.tensor for layer in layers]
        return {info.name: scheme.fit(self.model.read(info), axis=info.view) for info in infos}

    def _quantize(self, layers: Sequence[Layer], scheme: Scheme | None) -> dict[str, Floats]:
        if scheme is None:
            return {}
        infos = [layer.tensor for layer in layers]
        # what a file decodes to has no negative zeros
        return {info.name: self._changes.quantize(info, scheme) + np.float32(0) for info in infos}


def _tell(left: Sequence[tuple[TensorInfo, str]], one: str, several: str) -> list[str]:
    """A sentence for each reason, with the first few tensors that it is about."""
    by_reason = dict[str, list[str]]()
    for info, reason in left:
        by_reason.setdefault(reason, []).append(shorten(info.name, 80))
    told = []
    for reason, names in by_reason.items():
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        what = one if len(names) == 1 else several
        told.append(f"{len(names)} {what} ({', '.join(names[:_NAMED])}{more}): {shorten(reason, 200)}")
    return told
