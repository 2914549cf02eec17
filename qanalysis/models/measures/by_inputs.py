"""How large is a layer's error in the directions of its inputs? The two measures that second moments tell, for every
scheme from one gathering.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from qanalysis.arrays import Doubles, Floats
from qanalysis.checkpoints.imatrix import Imatrix
from qanalysis.checkpoints.source import TensorInfo
from qanalysis.models.activations.second_moments import SecondMoments
from qanalysis.models.calibration.samples import Calibration
from qanalysis.models.measures.findings import Column, Findings
from qanalysis.models.measures.imatrix import ImportedWeights, Weights
from qanalysis.models.measures.input_moments import HOLD_BYTES, WIDEST, Inputs, gather_inputs
from qanalysis.models.measures.input_sums import LayerInputs, Limits
from qanalysis.models.measures.uses import Use, lay_out
from qanalysis.models.measures.weighted_errors import Values, sum_output_energy, sum_weighted_energy
from qanalysis.models.running.runnable import Layer, Runnable
from qanalysis.models.running.torch_model import TorchModel
from qanalysis.notation import percent, quote
from qanalysis.quantizers.scheme import Scheme

#: The values of a tensor under a scheme, its shape; ValueError where the scheme does not fit it.
Quantize = Callable[[TensorInfo, Scheme], Floats]
#: An energy of a tensor's values, or of their differences from the unchanged ones.
Energy = Callable[[Values], float]
_LOOKED_UP = "its rows are looked up, so that no input weighs its columns"


def measure_by_inputs(
    model: Runnable,
    calibration: Calibration,
    layers: Sequence[Layer],
    schemes: Sequence[Scheme],
    findings: Findings,
    *,
    quantized: Quantize,
    columns: Sequence[Column],
    imatrix: Imatrix | None,
    batch: int,
    cancel: threading.Event | None,
) -> None:
    """Find `layer_output_error` and `imatrix_mse`; the weights of the latter are the model's own statistics where no
    imatrix is given.
    """
    inputs = Inputs({})
    if "layer_output_error" in columns or imatrix is None:
        limits = Limits(WIDEST if "layer_output_error" in columns else 0, HOLD_BYTES)
        try:
            inputs = gather_inputs(model, calibration, layers, batch=batch, limits=limits, cancel=cancel)
        except (ValueError, MemoryError) as error:
            findings.note_all(layers, columns, str(error))
            return
    findings.complete &= inputs.complete
    imported = ImportedWeights(model, imatrix) if imatrix is not None and "imatrix_mse" in columns else None
    findings.assumptions += _describe(inputs, imatrix if imported else None)
    for layer in layers:
        if cancel is not None and cancel.is_set():
            findings.complete = False
            return
        found, energies = inputs.found.get(layer.tensor.name), dict[Column, Energy]()
        if "layer_output_error" in columns and found is not None:
            energies |= _find_output_energy(layer, found, findings)
        weights = imported.find(layer) if imported else _weigh_own(found) if found is not None else None
        if "imatrix_mse" in columns and weights is not None:
            energies |= _find_weighted_energy(layer, weights, findings)
        if energies:
            _fill(Memory(model, layer.tensor), energies, schemes, quantized, findings)


def _describe(inputs: Inputs, imatrix: Imatrix | None) -> list[str]:
    """Whose weights they are, and which samples could not be counted."""
    told = [f"imatrix_mse: weights of the importance matrix {quote(imatrix.name)}"] if imatrix else []
    if inputs.left_out:
        told.append(f"statistics of inputs: without {inputs.left_out} samples, which do not fill a run of the program")
    return told


class Memory:
    """One tensor of a model, `own`, and other values of it, in the order in which it lies in memory."""

    def __init__(self, model: Runnable, info: TensorInfo) -> None:
        self.info = info
        self._like = model.find(info.name).value.detach() if isinstance(model, TorchModel) else None
        self.own = self.lay(model.read(info)) if self._like is None else lay_out(self._like, self._like)

    def lay(self, values: Floats) -> Tensor:
        """Values of the tensor's shape as the model holds them: rounded to its type."""
        new = torch.from_numpy(values).reshape(self.info.shape)
        return new.reshape(-1) if self._like is None else lay_out(new.to(self._like.dtype), self._like)


def _fill(
    memory: Memory,
    energies: Mapping[Column, Energy],
    schemes: Sequence[Scheme],
    quantized: Quantize,
    findings: Findings,
) -> None:
    """Each energy of the error over that of the tensor itself, for each scheme that fits."""
    name, base = memory.info.name, Values(memory.own)
    own = {column: energy(base) for column, energy in energies.items()}
    for column, total in own.items():
        if total == 0:
            findings.note(name, column, "the outputs of the unchanged tensor are all zero")
    for scheme in schemes if any(own.values()) else ():
        try:
            error = Values(memory.lay(quantized(memory.info, scheme)), memory.own)
        except ValueError:  # the scheme does not fit: the row says so
            continue
        for column, energy in energies.items():
            if own[column]:
                findings.put(name, scheme, column, energy(error) / own[column])


def _find_output_energy(layer: Layer, found: LayerInputs, findings: Findings) -> dict[Column, Energy]:
    """How the energy of the layer's outputs is taken, nothing and a note where it can not be."""
    name, moments = layer.tensor.name, {use: one for use, one in found.moments.items() if one.count}
    if found.lost:
        findings.note(name, "layer_output_error", f"its inputs could not be followed through {found.lost}")
        return {}
    if not moments and not found.lookups:
        findings.note(name, "layer_output_error", _say_unmet(found))
        return {}
    large = next((use for use, one in moments.items() if one.products is None), None)
    if large is not None:
        findings.note(name, "layer_output_error", _say_large(large))
        return {}
    kinds = len({use.is_lookup for use in (*moments, *found.lookups)})
    parts = ["its rows are looked up and multiplied; the energies of both outputs are summed"] if kinds > 1 else []
    if found.others:
        parts.append(f"it is used by {', '.join(found.others[:3])} as well, which is not counted")
    met = sum(use.outputs * use.width for use in (*moments, *found.lookups))
    if met < layer.tensor.numel:
        parts.append(f"{percent(1 - met / layer.tensor.numel)} of its values met no rows and count nothing")
    if parts:
        findings.caution(name, "layer_output_error", "; ".join(parts))
    return {"layer_output_error": partial(sum_output_energy, products=_products(moments), lookups=found.lookups)}


def _products(moments: Mapping[Use, SecondMoments]) -> dict[Use, Doubles]:
    return {use: one.products for use, one in moments.items() if one.products is not None}


def _weigh_own(found: LayerInputs) -> Weights:
    """The mean squares that the tensor's parts met."""
    squares = {use: one.diagonal for use, one in found.moments.items() if one.count}
    unmet = len(found.moments) - len(squares)
    if found.lost:
        return Weights({}, f"its inputs could not be followed through {found.lost}")
    if not squares:
        return Weights({}, _LOOKED_UP if found.lookups else _say_unmet(found))
    return Weights(squares, f"{unmet} of its {len(found.moments)} parts met no rows and are left out" if unmet else "")


def _find_weighted_energy(layer: Layer, weights: Weights, findings: Findings) -> dict[Column, Energy]:
    """How squared elements are weighted and summed, nothing where no weights are known."""
    if not weights.squares:
        findings.note(layer.tensor.name, "imatrix_mse", weights.note)
        return {}
    if weights.note:
        findings.caution(layer.tensor.name, "imatrix_mse", weights.note)
    return {"imatrix_mse": partial(sum_weighted_energy, squares=weights.squares)}


def _say_unmet(found: LayerInputs) -> str:
    if found.others:
        return f"it is no factor of a product; it is used by {', '.join(found.others[:3])}"
    if found.moments:
        return "its parts met no rows of the calibration data"
    return "its inputs are not known: no product with it was seen"


def _say_large(use: Use) -> str:
    if use.width > WIDEST:
        return f"its input has {use.width} features and second moments are held of {WIDEST} at most; see imatrix_mse"
    return f"the second moments of its inputs need more than {HOLD_BYTES >> 30} GiB; see imatrix_mse"
