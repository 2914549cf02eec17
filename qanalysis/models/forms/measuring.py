"""What does each form do to the outputs of the model and of its layers? The float model runs once on each chunk of
samples, then every form on the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from qanalysis.models.activations.features import find_feature_axis
from qanalysis.models.calibration.samples import Batch, Calibration
from qanalysis.models.forms.candidates import Candidate
from qanalysis.models.forms.layer_errors import FloatOutputs, LayerErrors
from qanalysis.models.forms.row import Status
from qanalysis.models.running.runnable import Layer, Recording, Runnable
from qanalysis.models.sensitivity.damage import DamageSums, Reference
from qanalysis.models.sensitivity.gathering import Clock, refer


@dataclass(slots=True, eq=False)
class Measured:
    """What was measured of one candidate: the sums of each sample, the errors of the layers, or why there is none."""

    candidate: Candidate
    parts: list[DamageSums] = field(default_factory=list)
    errors: LayerErrors = field(default_factory=LayerErrors)
    status: Status = "ok"
    reason: str = ""

    @property
    def sums(self) -> DamageSums:
        """The sums of every sample, arrays (samples,)."""
        return DamageSums.join(self.parts)


@dataclass(slots=True, eq=False)
class Comparison:
    """All candidates over `samples` samples, of which the float model has `float_right` of `float_targets` labels
    right; `complete` is false where it was cancelled.
    """

    measured: list[Measured]
    samples: int = 0
    tokens: int = 0
    float_right: float = 0.0
    float_targets: float = 0.0
    complete: bool = True


def compare_forms(
    model: Runnable,
    calibration: Calibration,
    candidates: Sequence[Candidate],
    layers: Sequence[Layer],
    *,
    chunk: int,
    clock: Clock,
) -> Comparison:
    """Measure all candidates over all samples; `layers` are those whose outputs are compared.

    When cancelled, candidates that did not see all samples that others saw are left out. Raises ValueError where the
    float model does not run or its outputs are not finite. A candidate that fails says why.
    """
    found = Comparison([Measured(one) for one in candidates])
    for one in found.measured:
        if one.candidate.refusal:
            one.status, one.reason = "unsupported", one.candidate.refusal
    watched = {layer.name: layer for layer in reversed(layers)}
    for batch in calibration.batches(chunk):
        seen = FloatOutputs()
        outputs = model.watch(batch, list(watched), seen.receive, side="output")
        reference = refer(Recording(batch, outputs), calibration)
        for place, one in enumerate(found.measured):
            if clock.is_cancelled:
                return _end_early(found, place, batch, reference)
            if one.status == "ok":
                _run(model, reference, one, watched, seen)
            clock.step(_name(one.candidate))
        _count(found, batch, reference)
    return found


def _count(found: Comparison, batch: Batch, reference: Reference) -> None:
    """One more batch is done for all."""
    found.samples, found.tokens = found.samples + len(batch), found.tokens + batch.tokens
    own, _positions = reference.compare(reference.outputs)
    found.float_right += float(own.right.sum())
    found.float_targets += float(own.targets.sum())


def _end_early(found: Comparison, done: int, batch: Batch, reference: Reference) -> Comparison:
    """Keep what is comparable: the candidates that saw as many samples as the first of them."""
    if done:
        _count(found, batch, reference)
        found.measured = found.measured[:done]
    elif not found.samples:
        found.measured = []
    found.complete = False
    return found


def _run(model: Runnable, reference: Reference, one: Measured, layers: Mapping[str, Layer], seen: FloatOutputs) -> None:
    """Add one chunk of samples to a candidate."""
    batch, receive = reference.batch, seen.compare(one.errors, partial(_rescale, model, layers, one.candidate))
    try:
        change = one.candidate.make()
    except ValueError as error:
        one.status, one.reason = "unsupported", str(error)
        return
    try:
        outputs = model.watch(batch, list(layers), receive, side="output", change=change)
        sums, _positions = reference.compare(outputs)
    except (ValueError, MemoryError) as error:
        one.status, one.reason = "failed", str(error)
        return
    one.parts.append(sums)
    if sums.bad.any():
        first = batch.first + int((sums.bad > 0).argmax())
        one.status, one.reason = "non-finite", f"sample {first} has outputs that are not finite"


def _rescale(model: Runnable, layers: Mapping[str, Layer], candidate: Candidate, layer: str, values: Tensor) -> Tensor:
    """A layer's output at the scale of the float model, where a repair gave its channels another one."""
    scales = candidate.output_scales.get(layer)
    if scales is None:
        return values
    axis = find_feature_axis(model, layers[layer], tuple(values.shape))
    shape = [-1 if place == axis else 1 for place in range(values.ndim)]
    return values if len(scales) != values.shape[axis] else values / torch.from_numpy(scales).reshape(shape)


def _name(candidate: Candidate) -> str:
    return f"{candidate.form}, {candidate.repair}" if candidate.repair else str(candidate.form)
