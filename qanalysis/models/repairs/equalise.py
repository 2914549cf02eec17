"""How is one grid made to serve all channels? Channels of neighbouring layers are scaled so that both have one range.

Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", arXiv 1906.04721,
section 4.1: with s = √(r₁ r₂) / r₂ row i of the first weight and its bias are divided by sᵢ and what meets it in the
second is multiplied, r₁ and r₂ the largest magnitudes of both; over and over, as a layer is the second of one pair and
the first of the next. A norm is a first layer with one weight for each channel. A batch normalisation between the two
is folded into the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.models.repairs.flows import Flow, Tracer, trace_all
from qanalysis.models.repairs.repair import Repair
from qanalysis.models.repairs.scaling import fold, keeps_outputs, make_reader, scale_flow
from qanalysis.models.repairs.stages import Draft, Preparation, Task

_ROUNDS = 20
_SETTLED = 1e-3  # what a round may change of a factor at most, relative, when all is done
_LEAST, _MOST = 1e-4, 1e4


@dataclass(frozen=True, slots=True)
class Equalisation(Preparation):
    """Cross-layer equalisation of all layers whose factors pass, as trials on the samples show."""

    def prepare(self, task: Task, draft: Draft) -> None:
        calibration = task.watcher.calibration
        tracer = Tracer(task.model, calibration.blocks[0], task.seed, task.watcher.check)
        flows = trace_all(tracer, tracer.sources)
        pairs = [flow for flow in flows if flow.sinks]
        if not pairs:
            draft.note("no layer's channels reach another's input with their factors; nothing was equalised")
            return
        before = {flow.norm.name: flow for flow in flows if flow.norm is not None}
        pairs = [fold(task, draft, before.get(pair.source.layer.name), pair) for pair in pairs]
        _settle(task, draft, pairs)
        if not keeps_outputs(task, draft):
            draft.clear()
            draft.note("equalised layers did not keep the float model's outputs; nothing was equalised")
            return
        what = "layer or norm was" if len(pairs) == 1 else "layers or norms were"
        draft.note(f"{len(pairs)} {what} equalised with the layers behind")


def _settle(task: Task, draft: Draft, pairs: Sequence[Flow]) -> None:
    """Equalise pair after pair until nothing changes any more."""
    read = make_reader(task, draft)
    for _ in range(_ROUNDS):
        task.watcher.check()
        changed = 0.0
        for pair in pairs:
            width = pair.source.width
            second = np.max([sink.measure(read, width) for sink in pair.sinks], axis=0)
            factors = find_factors(pair.source.measure(read), second)
            scale_flow(task, draft, pair, factors)
            changed = max(changed, float(np.abs(np.log(factors)).max()))
        if changed < _SETTLED:
            return


def find_factors(first: Doubles, second: Doubles) -> Doubles:
    """Each channel's s = √(r₁ r₂) / r₂, 1 where a range is 0, within 10⁻⁴ and 10⁴.

    >>> find_factors(np.array([4, 0.2]), np.array([0.5, 8]))
    array([2.82842712, 0.15811388])
    """
    both = (first > 0) & (second > 0)
    factors = np.sqrt(np.where(both, first, 1.0) / np.where(both, second, 1.0))
    return np.clip(factors, _LEAST, _MOST)


EQUALISE = Repair("equalise", "scales channels of neighbouring layers to one range", preparation=Equalisation())
