"""How does a single weight move over its grid? Latent and quantized values of a few weights, step by step."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Self

import torch
from torch import Tensor

from qanalysis.training.network.wiring import Wired

#: Weights kept per layer while training, and shown of them: those whose codes change most often.
KEPT, SHOWN = 24, 3


@dataclass(slots=True, eq=False)
class PathKeeper:
    """The paths of a seeded choice of weights per layer: steps, latent values, quantized values, step sizes."""

    wired: Wired
    places: dict[str, Tensor]
    steps: list[int] = field(default_factory=list)
    lines: dict[str, list[tuple[list[float], list[float], float]]] = field(default_factory=dict)

    @classmethod
    def of(cls, wired: Wired, seed: int) -> Self:
        """Weights of every quantized layer."""
        generator = torch.Generator().manual_seed(seed)
        places = {
            layer: torch.randperm(one.latent.numel(), generator=generator)[:KEPT]
            for layer, one in wired.weights.items()
            if one.latent is not None and one.site.recipe is not None
        }
        return cls(wired, places)

    def keep(self, step: int) -> None:
        """The values of this step, as they were when it was made."""
        self.steps.append(step)
        for layer, places in self.places.items():
            carrier = self.wired.weights[layer]
            shown = carrier.shown
            if shown is None or carrier.latent is None:
                continue
            x, y = (part.detach().reshape(-1)[places.to(part.device)].tolist() for part in shown)
            steps = carrier.site.steps
            self.lines.setdefault(layer, []).append((x, y, float(steps.max()) if steps.size else float("nan")))

    def to_plain(self, configuration: str) -> list[dict[str, Any]]:
        """The paths of the weights that changed their level most often, plain values for a document."""
        found = []
        for layer, lines in self.lines.items():
            restless = sorted(range(len(self.places[layer])), key=lambda one: -_count_moves(lines, one))[:SHOWN]
            found += [
                {
                    "configuration": configuration,
                    "layer": layer,
                    "index": int(self.places[layer][one]),
                    "step": self.steps[-len(lines) :],
                    "x": [line[0][one] for line in lines],
                    "y": [line[1][one] for line in lines],
                    "step_size": [line[2] for line in lines],
                }
                for one in restless
            ]
        return found


def _count_moves(lines: list[tuple[list[float], list[float], float]], place: int) -> int:
    codes = [round(line[1][place] / line[2]) if line[2] > 0 else 0 for line in lines]
    return sum(first != second for first, second in pairwise(codes))
