"""What does an error do to the loss, as its derivatives tell? Fisher's damage, and HAWQ-V2's trace of the Hessian.

    fisher   mean over samples of (g . e)^2, g the gradient of the sample's loss and e the error of the tensor
    hawq     tr(H)/n |e|^2, H the tensor's block of the Hessian of the mean loss, n its elements

The loss of a sample is summed over its targets and divided by how many a sample has on average.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor

from qanalysis.arrays import Doubles
from qanalysis.models.calibration.samples import Batch, Calibration
from qanalysis.models.measures.by_inputs import Quantize
from qanalysis.models.measures.derivatives import (
    Derivatives,
    NoSecondDerivativesError,
    choose_samples,
    differentiate,
    find_rests,
    with_gradients,
)
from qanalysis.models.measures.findings import Column, Findings, Trace
from qanalysis.models.measures.objectives import Objective
from qanalysis.models.running.runnable import Layer, Runnable
from qanalysis.models.running.torch_model import TorchModel
from qanalysis.quantizers.scheme import Scheme

#: How many samples derivatives are taken of.
SAMPLES = 32
#: How often signs are drawn over the outputs of each: so often that all layers get so many, within these ends.
DRAWS, LEAST_DRAWS, MOST_DRAWS = 64, 2, 16
#: How many products with second derivatives are taken in all; of fewer than so many samples none are.
RESTS, LEAST_RESTS = 256, 4
#: What the gradients of some samples, and the errors of some schemes, may hold at once.
HOLD_BYTES = 1 << 28
#: Elements whose products are summed in float32 before the sum goes on in float64.
_AT_ONCE = 1 << 16
#: Of the Gauss-Newton part: a rest below it may be rounding, being a difference of float32 sums.
_ROUNDING = 1e-4


def measure_by_gradients(
    model: Runnable,
    calibration: Calibration,
    layers: Sequence[Layer],
    schemes: Sequence[Scheme],
    findings: Findings,
    *,
    quantized: Quantize,
    columns: Sequence[Column],
    samples: int = SAMPLES,
    cancel: threading.Event | None = None,
) -> None:
    """Find `fisher` and `hawq` from `samples` samples, drawn with the findings' seed; cancelled, none of both."""
    if not isinstance(model, TorchModel):
        findings.note_all(layers, columns, "gradients need a torch model")
        return
    real = [layer for layer in layers if _is_real(model, layer)]
    others = [layer for layer in layers if not _is_real(model, layer)]
    findings.note_all(others, columns, "it is a buffer or holds no real numbers")
    if not real:
        return
    objective = Objective.of(calibration)
    chosen = choose_samples(calibration, samples, findings.seed)
    sums = _Sums(model, real, schemes, quantized, is_fisher="fisher" in columns)
    try:
        is_whole = _sum_up(sums, chosen, objective, findings, columns, cancel)
    except (ValueError, MemoryError) as error:
        findings.note_all(real, columns, str(error))
        return
    if not is_whole:
        return
    findings.assumptions += describe(objective, chosen, sums, findings.seed, columns)
    sums.tell(findings, columns)


def describe(
    objective: Objective, chosen: Sequence[Batch], sums: _Sums, seed: int, columns: Sequence[Column]
) -> list[str]:
    """Of what derivatives are taken, and which part of the Hessian its trace counts."""
    told = [
        f"{' and '.join(columns)}: derivatives of {objective.sentence}, of {len(chosen)} samples drawn with seed {seed}"
    ]
    if "hawq" not in columns:
        return told
    if objective.is_drawn:
        return [*told, "hawq: with drawn targets the mean Hessian is its Gauss-Newton part"]
    if sums.unbent:
        return [*told, f"hawq: the Gauss-Newton part of the Hessian alone, since the model has {sums.unbent}"]
    if not spread_rests(len(chosen), len(sums.layers)):
        return [*told, f"hawq: the Gauss-Newton part of the Hessian alone, since {len(sums.layers)} layers are many"]
    return [*told, "hawq: the Gauss-Newton part of the Hessian, and the rest where it differs from 0 at 95 %"]


def _is_real(model: TorchModel, layer: Layer) -> bool:
    """Whether derivatives can be taken: buffers of norms refuse them, and with them the whole run."""
    found = model.find(layer.tensor.name)
    return found.value.is_floating_point() and found.info.role != "buffer"


def _sum_up(
    sums: _Sums,
    chosen: Sequence[Batch],
    objective: Objective,
    findings: Findings,
    columns: Sequence[Column],
    cancel: threading.Event | None,
) -> bool:
    """Add all samples; false where it was cancelled. Raises where the model does not run or has no gradients."""
    generator = torch.Generator().manual_seed(findings.seed)
    draws = count_draws(len(sums.layers)) if "hawq" in columns else 0
    curved = spread_rests(len(chosen), len(sums.layers)) if draws and not objective.is_drawn else []
    with with_gradients(sums.model, [layer.tensor.name for layer in sums.layers]) as tensors:
        for place, batch in enumerate(chosen):
            if cancel is not None and cancel.is_set():
                findings.complete = False
                return False
            try:
                sums.add(differentiate(sums.model, tensors, batch, objective, generator, draws=draws))
                for _vector in range(curved.count(place) if not sums.unbent else 0):
                    sums.add_rests(find_rests(sums.model, tensors, batch, objective, generator))
            except NoSecondDerivativesError as error:
                sums.unbent = f"no second derivatives: {error}"
    return True


def count_draws(layers: int) -> int:
    """How often signs are drawn over the outputs of each sample."""
    return min(max(DRAWS // layers, LEAST_DRAWS), MOST_DRAWS)


def spread_rests(samples: int, layers: int) -> list[int]:
    """The places of the samples whose second derivatives are taken, spread over all and as often as it is worth: a
    product for each layer and sample is the dearest part.
    """
    count = RESTS // layers
    if count < min(LEAST_RESTS, samples):
        return []
    return (
        [place * samples // count for place in range(count)]
        if count < samples
        else [*range(samples)] * (count // samples)
    )


class _Sums:
    """What is kept of all samples. Gradients are kept for a while, so that the error of a scheme is made for many of
    them at once.
    """

    def __init__(
        self,
        model: TorchModel,
        layers: Sequence[Layer],
        schemes: Sequence[Scheme],
        quantized: Quantize,
        *,
        is_fisher: bool,
    ) -> None:
        self.model, self.layers, self.unbent = model, layers, ""
        self._schemes, self._quantized, self._is_fisher = schemes, quantized, is_fisher
        self._waiting, self._targets = list[Mapping[str, Tensor | None]](), list[int]()
        self._most = max(HOLD_BYTES // max(4 * sum(layer.tensor.numel for layer in layers), 1), 1)
        self._squares = dict[tuple[str, str], float]()
        self._bends = {layer.tensor.name: list[float]() for layer in layers}
        self._rests = {layer.tensor.name: list[float]() for layer in layers}
        self._reached = set[str]()

    def add(self, found: Derivatives) -> None:
        """One more sample."""
        self._targets.append(found.targets)
        self._reached |= {name for name, gradient in found.gradients.items() if gradient is not None}
        for name, value in found.bends.items():
            self._bends[name].append(value)
        if self._is_fisher:
            self._waiting.append(found.gradients)
            if len(self._waiting) == self._most:
                self._project()

    def add_rests(self, found: Mapping[str, float]) -> None:
        """What the Gauss-Newton part leaves out, of one more sample."""
        for name, value in found.items():
            self._rests[name].append(value)

    def tell(self, findings: Findings, columns: Sequence[Column]) -> None:
        """The figures of all samples."""
        self._project()
        targets = float(np.mean(self._targets)) or 1.0
        for layer in self.layers:
            name = layer.tensor.name
            if name not in self._reached:
                findings.note_all([layer], columns, "no gradient arrives at it")
                continue
            if "fisher" in columns:
                for scheme in self._schemes:
                    if (name, str(scheme)) in self._squares:
                        total = self._squares[name, str(scheme)]
                        findings.put(name, scheme, "fisher", total / len(self._targets) / targets**2)
            if "hawq" in columns:
                self._tell_trace(layer, targets, findings)

    def _tell_trace(self, layer: Layer, targets: float, findings: Findings) -> None:
        name = layer.tensor.name
        bends, rests = np.array(self._bends[name]) / targets, np.array(self._rests[name]) / targets
        trace = _estimate(bends, rests, layer.tensor.numel, count_draws(len(self.layers)))
        findings.traces[name] = trace
        if not abs(trace.trace) > 2 * trace.standard_error:
            findings.caution(
                name, "hawq", f"the trace is {trace.trace:.3g} ± {trace.standard_error:.2g}: not told from 0"
            )
        for scheme, error in self._list_errors(layer):
            energy = float(torch.linalg.vector_norm(error, dtype=torch.float64)) ** 2
            findings.put(name, scheme, "hawq", trace.trace / trace.numel * energy)

    def _project(self) -> None:
        """Add the squared products of the waiting gradients with all errors."""
        for layer in self.layers if self._waiting else ():
            name = layer.tensor.name
            rows = [one[name] for one in self._waiting]
            met = [row.reshape(-1).float() for row in rows if row is not None]
            if not met:
                continue
            gradients = torch.stack(met)
            for scheme, error in self._list_errors(layer):
                total = float(_multiply(gradients, error).square().sum())
                self._squares[name, str(scheme)] = self._squares.get((name, str(scheme)), 0.0) + total
        self._waiting.clear()

    def _list_errors(self, layer: Layer) -> Iterator[tuple[Scheme, Tensor]]:
        """The error of each scheme that fits, (elements,) in C order, as the model would hold it."""
        value = self.model.find(layer.tensor.name).value.detach()
        own = value.reshape(-1).float()
        for scheme in self._schemes:
            try:
                quantized = torch.from_numpy(self._quantized(layer.tensor, scheme)).reshape(-1)
            except ValueError:  # the row says so
                continue
            yield scheme, quantized.to(value.dtype).float() - own


def _multiply(rows: Tensor, values: Tensor) -> Tensor:
    """Rows (n, elements) times values (elements,): (n,) in float64."""
    total = torch.zeros(len(rows), dtype=torch.float64)
    for start in range(0, len(values), _AT_ONCE):
        total += (rows[:, start : start + _AT_ONCE] @ values[start : start + _AT_ONCE]).double()
    return total


def _estimate(bends: Doubles, rests: Doubles, numel: int, draws: int) -> Trace:
    """The Gauss-Newton part, and the rest where it differs from 0: noise of one that does not would hide the first."""
    mean, error = float(bends.mean()), _find_error(bends)
    rest, rest_error = (float(rests.mean()), _find_error(rests)) if len(rests) else (0.0, math.nan)
    is_told = len(rests) > 1 and abs(rest) > float(stdtrit(len(rests) - 1, 0.975)) * rest_error
    has_rest = is_told and abs(rest) > _ROUNDING * abs(mean)
    if has_rest:
        mean, error = mean + rest, math.hypot(error, rest_error)
    return Trace(mean, error, len(bends) * draws, numel, rest, rest_error, len(rests), has_rest)


def _find_error(values: Doubles) -> float:
    """The standard error of a mean; NaN of a single value."""
    return float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
