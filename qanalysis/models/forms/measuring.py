"""What does each form do to the outputs of the model and of its layers? The float model runs once on each chunk of
samples, then every form on the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from qanalysis.models.calibration.samples import Batch, Calibration
from qanalysis.models.forms.candidates import Candidate
from qanalysis.models.forms.layer_errors import FloatOutputs, LayerErrors
from qanalysis.models.forms.row import Status
from qanalysis.models.running.runnable import Recording, Runnable
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
    layers: Sequence[str],
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
    for batch in calibration.batches(chunk):
        seen = FloatOutputs()
        outputs = model.watch(batch, layers, seen.receive, side="output")
        reference = refer(Recording(batch, outputs), calibration)
        for place, one in enumerate(found.measured):
            if clock.is_cancelled:
                return _end_early(found, place, batch, reference)
            if one.status == "ok":
                _run(model, reference, one, layers, seen)
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


def _run(model: Runnable, reference: Reference, one: Measured, layers: Sequence[str], seen: FloatOutputs) -> None:
    """Add one chunk of samples to a candidate."""
    batch = reference.batch
    try:
        change = one.candidate.make()
    except ValueError as error:
        one.status, one.reason = "unsupported", str(error)
        return
    try:
        outputs = model.watch(batch, layers, seen.compare(one.errors), side="output", change=change)
        sums, _positions = reference.compare(outputs)
    except (ValueError, MemoryError) as error:
        one.status, one.reason = "failed", str(error)
        return
    one.parts.append(sums)
    if sums.bad.any():
        first = batch.first + int((sums.bad > 0).argmax())
        one.status, one.reason = "non-finite", f"sample {first} has outputs that are not finite"


def _name(candidate: Candidate) -> str:
    return f"{candidate.form}, {candidate.repair}" if candidate.repair else str(candidate.form)
