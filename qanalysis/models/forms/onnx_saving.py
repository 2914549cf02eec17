"""How does a model in a form leave the program as ONNX? Its quantizers, perhaps repaired, go to the writer."""

from __future__ import annotations

from pathlib import Path

from qanalysis.models.activations.turns import InputGrid
from qanalysis.models.calibration.samples import Batch
from qanalysis.models.forms.candidates import Candidate
from qanalysis.models.forms.onnx_writer import write_qdq_onnx
from qanalysis.models.running.runnable import Runnable
from qanalysis.notation import quote
from qanalysis.quantizers.grouping import Grouping
from qanalysis.quantizers.quantizer import LevelQuantizer


def save_onnx(path: Path, model: Runnable, candidate: Candidate, example: Batch) -> None:
    """Write the model in a form as QDQ ONNX; a torch model is traced on `example`.

    Raises ValueError, one line, for what ONNX does not hold, OSError where writing fails; a file that was there stays.
    """
    why = candidate.refusal or candidate.unsavable
    if why:
        raise ValueError(f"{candidate.form} can not be saved: {why}")
    activations = {layer: _settle(layer, grid) for layer, grid in candidate.inputs.items()}
    write_qdq_onnx(model, example, candidate.fit(), activations, path, values=candidate.make().weights)


def _settle(layer: str, grid: InputGrid) -> LevelQuantizer:
    """The quantizer of a layer's input, on the ranges of calibration."""
    if grid.statistic is None:
        raise ValueError(
            f"the input of layer {quote(layer)} gets its ranges as it runs ({grid.scheme}), which QuantizeLinear does "
            "not; take one range for each layer, such as int8"
        )
    laid = grid.scheme.lay_grid(grid.statistic)
    return LevelQuantizer(laid, Grouping(1).lay_out((laid.scale.size, 1)), grid.scheme.rounding)
