"""How are all cells measured with little work? The float model runs once on each chunk of samples, every cell runs on
it from its first changed layer on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from qanalysis.arrays import Floats
from qanalysis.models.calibration.samples import Calibration
from qanalysis.models.running.runnable import Recording, Runnable
from qanalysis.models.sensitivity.cells import Cell
from qanalysis.models.sensitivity.changes import Made
from qanalysis.models.sensitivity.damage import DamageSums, Reference
from qanalysis.models.sensitivity.row import Status

#: What a chunk's recording may keep of the float run, so that it need not be computed again.
KEEP_BYTES = 1 << 28
#: What comparing outputs may take: of a language model they are larger than all that its layers return.
COMPARE_BYTES = 1 << 30
#: In float64, twice the size: both outputs, their logarithms of probabilities, the probabilities, and a difference.
_COPIES = 14
_NO_OUTPUT = "the float model's outputs are all zero: there is nothing to hold an error against"
_MOST_SAMPLES = 1024


@dataclass(frozen=True, slots=True)
class SensitivityProgress:
    """Where a measurement stands: `done` of `total` runs of the model, what is at work, and the seconds that are left
    if it goes on so.
    """

    label: str
    done: int
    total: int
    seconds_left: float | None


@dataclass(slots=True, eq=False)
class Gathered:
    """What was measured of one cell: the sums of each sample, the divergence of each position, or why there is none."""

    cell: Cell
    parts: list[DamageSums] = field(default_factory=list)
    positions: list[Floats] = field(default_factory=list)
    status: Status = "ok"
    reason: str = ""

    @property
    def sums(self) -> DamageSums:
        """The sums of every sample, arrays (samples,)."""
        return DamageSums.join(self.parts)

    @property
    def divergences(self) -> Floats:
        """The divergence of every position that counts."""
        return np.concatenate(self.positions) if self.positions else np.zeros(0, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Measurement:
    """All cells, over `samples` samples; `complete` is false where it was cancelled before the last one. `floats` are
    the sums of the float model itself.
    """

    gathered: Sequence[Gathered]
    samples: int
    tokens: int
    complete: bool
    floats: DamageSums | None = None


class Clock:
    """Tells how far the work is, and raises nothing: whoever works looks at `is_cancelled`."""

    def __init__(
        self,
        total: int,
        on_progress: Callable[[SensitivityProgress], None] | None = None,
        cancel: threading.Event | None = None,
    ) -> None:
        self.total, self.done = total, 0
        self._tell, self._cancel, self._began = on_progress, cancel, time.monotonic()

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody asked to stop."""
        return self._cancel is not None and self._cancel.is_set()

    def step(self, label: str) -> None:
        """One more run is done."""
        self.done += 1
        if self._tell is not None:
            elapsed = time.monotonic() - self._began
            left = elapsed / self.done * (self.total - self.done)
            self._tell(SensitivityProgress(label, self.done, self.total, left))


def choose_chunk(model: Runnable, calibration: Calibration, *, keep_bytes: int = KEEP_BYTES) -> int:
    """How many samples go through the model at once, so that a recording stays below `keep_bytes` and comparing
    outputs below `COMPARE_BYTES`; one at least.
    """
    first = calibration.blocks[0].cut(0, 1)
    kept, outputs = max(model.weigh(first), 1), max(model.record(first).outputs.nbytes, 1)
    room = min(keep_bytes // kept, COMPARE_BYTES // (_COPIES * outputs))
    return int(min(max(room, 1), _MOST_SAMPLES))


def gather(
    model: Runnable,
    calibration: Calibration,
    cells: Sequence[Cell],
    make_change: Callable[[Cell], Made],
    *,
    chunk: int,
    clock: Clock,
    keep_bytes: int = KEEP_BYTES,
) -> Measurement:
    """Measure all cells over all samples. When cancelled, what is left is comparable: all cells over the whole chunks
    that were done, or, within the first, the cells that were done.

    Raises ValueError where the float model does not run or its outputs are not finite. A cell that fails says why.
    """
    gathered = [Gathered(cell) for cell in cells]
    samples, tokens, floats = 0, 0, list[DamageSums]()
    for batch in calibration.batches(chunk):
        recording = model.record(batch, keep_bytes=keep_bytes)
        reference = refer(recording, calibration)
        done = 0
        for one in gathered:
            if clock.is_cancelled:
                break
            if one.status == "ok":
                _measure(model, recording, reference, one, make_change)
            done += 1
            clock.step(f"{one.cell.layer.tensor.name}, {one.cell.scheme}")
        if done == len(gathered) or not samples:
            floats.append(reference.compare(recording.outputs)[0])
        if done < len(gathered):
            kept = _keep_whole(gathered, done, samples)
            return Measurement(kept, samples or len(batch), tokens or batch.tokens, False, DamageSums.join(floats))
        samples, tokens = samples + len(batch), tokens + batch.tokens
    for one in gathered:
        _tell_unused(model, one)
        if one.status == "ok" and one.parts and not one.sums.y2.any():
            one.reason = "; ".join(filter(None, (one.reason, _NO_OUTPUT)))
    return Measurement(gathered, samples, tokens, True, DamageSums.join(floats) if floats else None)


def _tell_unused(model: Runnable, one: Gathered) -> None:
    """A layer that no run came to has no error because of that alone."""
    lone = one.cell.changed[0] if len(one.cell.changed) == 1 else None
    if one.status == "ok" and lone is not None and not model.is_used(lone) and not one.sums.e2.any():
        one.status, one.reason = "unsupported", "no run of the model on this data ever uses the tensor"


def _keep_whole(gathered: Sequence[Gathered], done: int, samples: int) -> Sequence[Gathered]:
    if not samples:
        return gathered[:done]
    for one in gathered[:done]:
        if one.status == "ok":
            one.parts.pop()
            one.positions.pop()
    return gathered


def refer(recording: Recording, calibration: Calibration) -> Reference:
    """What changed outputs are compared with; ValueError where the float model's own are not finite."""
    outputs, batch = recording.outputs, recording.batch
    bad = (~outputs.isfinite()).reshape(len(outputs), -1).any(1) if outputs.ndim else None
    if bad is not None and bad.any():
        first = batch.first + int(bad.int().argmax())
        raise ValueError(
            f"the float model's outputs hold NaN or infinities, first for sample {first}; there is nothing to compare "
            "with: leave such samples out, or mend the model"
        )
    return Reference.of(outputs, batch, loss=calibration.loss, is_logits=calibration.is_logits)


def _measure(
    model: Runnable,
    recording: Recording,
    reference: Reference,
    one: Gathered,
    make_change: Callable[[Cell], Made],
) -> None:
    """Add one chunk of samples to a cell."""
    try:
        made = make_change(one.cell)
    except ValueError as error:
        one.status, one.reason = "unsupported", str(error)
        return
    try:
        sums, positions = reference.compare(model.rerun(recording, made.change))
    except (ValueError, MemoryError) as error:
        one.status, one.reason = "failed", str(error)
        return
    one.reason = made.note
    one.parts.append(sums)
    one.positions.append(positions)
    if sums.bad.any():
        one.status = "non-finite"
        one.reason = f"sample {reference.batch.first + int(np.argmax(sums.bad > 0))} has outputs that are not finite"
