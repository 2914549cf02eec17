"""What does a layer's error mean, told from sums that are gathered once? Measures in closed form, without running the
model for each layer and scheme.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from qanalysis.checkpoints.imatrix import Imatrix
from qanalysis.models.calibration.samples import Calibration
from qanalysis.models.measures.by_gradients import SAMPLES, measure_by_gradients
from qanalysis.models.measures.by_inputs import Quantize, measure_by_inputs
from qanalysis.models.measures.findings import COLUMNS, ClosedMeasures, Column, Findings
from qanalysis.models.running.runnable import Layer, Runnable
from qanalysis.quantizers.scheme import Scheme


def measure_closed(
    model: Runnable,
    calibration: Calibration,
    layers: Sequence[Layer],
    schemes: Sequence[Scheme],
    *,
    quantized: Quantize,
    columns: Sequence[Column] = COLUMNS,
    imatrix: Imatrix | None = None,
    batch: int = 64,
    samples: int = SAMPLES,
    seed: int = 0,
    cancel: threading.Event | None = None,
) -> ClosedMeasures:
    """Each column for each layer's tensor and each scheme that fits it, over all samples.

    `quantized` gives a tensor's values under a scheme, in its shape. `batch` is how many samples go through the model
    at once and changes no figure beyond rounding; derivatives are taken of `samples` samples, drawn with `seed`.
    Setting `cancel` ends the work early; what is whole by then is kept. Raises ValueError where the model does not run
    on the samples.
    """
    findings = Findings(seed)
    layers = [layer for layer in layers if layer.tensor.decodes]  # of the others a row says why nothing is measured
    by_inputs = [column for column in columns if column in {"layer_output_error", "imatrix_mse"}]
    if by_inputs:
        measure_by_inputs(
            model,
            calibration,
            layers,
            schemes,
            findings,
            quantized=quantized,
            columns=by_inputs,
            imatrix=imatrix,
            batch=batch,
            cancel=cancel,
        )
    by_gradients = [column for column in columns if column in {"fisher", "hawq"}]
    if by_gradients and findings.complete:
        measure_by_gradients(
            model,
            calibration,
            layers,
            schemes,
            findings,
            quantized=quantized,
            columns=by_gradients,
            samples=samples,
            cancel=cancel,
        )
    return findings.close()
