"""What would the outputs do anyway? The noise of one rounding of a layer's weight to bfloat16, and of another order of
batches, below which a damage says nothing about quantization.

The floor of a layer is the louder of both. It is measured on all samples where that is little work, else on some,
evenly spaced, so that it costs some hundredths of what the cells cost; where even one sample is too many, neighbouring
layers are rounded together and share the floor of their sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qanalysis.arrays import Codes
from qanalysis.models.calibration.samples import Batch, Calibration, number_blocks
from qanalysis.models.running.runnable import Layer, Runnable
from qanalysis.models.sensitivity.cells import Cell
from qanalysis.models.sensitivity.changes import Made
from qanalysis.models.sensitivity.damage import DamageSums
from qanalysis.models.sensitivity.figures import estimate_sums
from qanalysis.models.sensitivity.gathering import Clock, gather, refer
from qanalysis.models.sensitivity.rounding import round_figure
from qanalysis.quantizers.scheme import Scheme

#: What a layer's weight is rounded to.
SCHEME = "bfloat16"
_SHARE = 0.03
_COLUMNS = ("output_sqnr_db", "output_kl", "loss_delta")


@dataclass(frozen=True, slots=True, eq=False)
class Floors:
    """The noise that was measured: `places` are the samples that it was measured on, numbers of all; `order` the sums
    of another order of batches, `layers` of each layer rounded, by tensor, `together` so many of them at once.
    """

    places: Codes
    order: DamageSums
    layers: Mapping[str, DamageSums]
    together: int = 1
    is_complete: bool = True

    def find(self, tensor: str) -> DamageSums:
        """The louder noise for a layer."""
        own = self.layers.get(tensor)
        return own if own is not None and own.e2.sum() > self.order.e2.sum() else self.order

    def tell(self, tensor: str) -> float | None:
        """The SQNR of the louder noise in decibels; None where neither changes a bit, or there is no output."""
        noise = self.find(tensor)
        power, energy = float(noise.e2.sum()), float(noise.y2.sum())
        return 10 * math.log10(energy / power) if power > 0 and energy > 0 else None

    def is_in_noise(self, tensor: str, nsr: float) -> bool:
        """Whether an NSR, best the low end of its interval, is not above the louder noise for a layer."""
        noise = self.find(tensor)
        return bool(noise.e2.any() and nsr * noise.y2.sum() <= noise.e2.sum())

    def describe(self) -> dict[str, Any]:
        """The part of a document: SQNR (null where nothing changes), KL and loss change of both kinds of noise, and of
        the loudest of all.
        """
        order, own = _tell_figures(self.order), {name: _tell_figures(sums) for name, sums in self.layers.items()}
        figures = {name: [one[name] for one in (order, *own.values())] for name in _COLUMNS}
        known = {name: [value for value in values if value is not None] for name, values in figures.items()}
        loudest = {
            "output_sqnr_db": min(known["output_sqnr_db"], default=None),
            "output_kl": max(known["output_kl"], default=None),
            "loss_delta": max(map(abs, known["loss_delta"]), default=None),
        }
        layers = [{"tensor": name, **told} for name, told in own.items()]
        head = {"scheme": SCHEME, "samples": len(self.places), "layers_together": self.together}
        return {**head, **loudest, "order": order, "layers": layers}


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is run for the floors: so many samples, and so many neighbouring layers at once."""

    samples: int
    together: int

    @classmethod
    def choose(cls, samples: int, layers: int, cells: int, *, is_little: bool) -> Effort:
        """All samples where the work is little, else what three hundredths of the cells' runs pay for."""
        paid = _SHARE * samples * cells / max(layers, 1)
        if is_little or paid >= samples:
            return cls(samples, 1)
        return cls(max(int(paid), 1), max(math.ceil(1 / paid), 1)) if cells else cls(1, layers)


def count_runs(calibration: Calibration, layers: Sequence[Layer], effort: Effort, *, chunk: int) -> int:
    """How many runs the measurement of the floors takes."""
    thinned, _places = thin(calibration, effort.samples)
    return sum(1 for _ in thinned.batches(chunk)) * (-(-len(layers) // effort.together) + 1)


def measure_floors(
    model: Runnable,
    calibration: Calibration,
    layers: Sequence[Layer],
    make_change: Callable[[Cell], Made],
    effort: Effort,
    *,
    chunk: int,
    clock: Clock,
) -> Floors:
    """The noise of each layer's weight rounded alone, and of other batches.

    Raises ValueError where the model does not run on other batches.
    """
    thinned, places = thin(calibration, effort.samples)
    parts = []
    for batch in thinned.batches(chunk):
        reference = refer(model.record(batch), thinned)
        parts.append(reference.compare(run_reordered(model, batch))[0])
        clock.step("another order of batches")
        if clock.is_cancelled:
            break
    scheme, step = Scheme.parse(SCHEME), effort.together
    groups = [layers[start : start + step] for start in range(0, len(layers), step)]
    cells = [Cell(group[0], scheme, "weights", "enable-one", group) for group in groups]
    found = gather(model, thinned, cells, make_change, chunk=chunk, clock=clock)
    whole = {
        layer.tensor.name: one.sums
        for one in found.gathered
        for layer in one.cell.changed
        if one.status == "ok" and one.parts
    }
    return Floors(places, DamageSums.join(parts), whole if found.complete else {}, step, found.complete)


def run_reordered(model: Runnable, batch: Batch) -> Tensor:
    """The outputs of a batch that runs backwards in about three pieces, in the order of the batch."""
    names = batch.inputs
    turned = Batch({name: values.flip(0) for name, values in names.items()}, None, batch.first)
    size = -(-len(batch) // 3)
    pieces = [turned.cut(start, min(start + size, len(batch))) for start in range(0, len(batch), size)]
    return torch.cat([model.record(piece).outputs for piece in pieces]).flip(0)


def thin(calibration: Calibration, samples: int) -> tuple[Calibration, Codes]:
    """So many samples, evenly spaced over all, and which ones they are."""
    places = np.unique(np.linspace(0, len(calibration) - 1, min(samples, len(calibration))).round().astype(np.int64))
    blocks = list[Batch]()
    for block in calibration.blocks:
        inside = places[(places >= block.first) & (places < block.first + len(block))] - block.first
        chosen = torch.from_numpy(inside)
        inputs = {name: values[chosen] for name, values in block.inputs.items()}
        blocks.append(Batch(inputs, None if block.targets is None else block.targets[chosen]))
    return replace(calibration, blocks=number_blocks(blocks)), places


def _tell_figures(sums: DamageSums) -> dict[str, float | None]:
    found = estimate_sums(sums, None, loss=None)
    return {name: round_figure(found[name].value) if name in found else None for name in _COLUMNS}
