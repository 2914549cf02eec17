"""Of which loss are derivatives taken? That of the targets, else of targets drawn from what the model says.

Where labels are drawn from the model's own distribution, and numbers from a Gaussian of unit variance around its
outputs, the mean squared derivative is the Fisher information of the model, whatever the data's labels would be. For
numbers it is the mean squared norm of the outputs' change (Gauss-Newton), and a sample counts once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from qanalysis.models.calibration.samples import Batch, Calibration
from qanalysis.models.model import count_targets, sum_loss
from sample_models.training import IGNORED

Kind = Literal["cross-entropy", "mse", "drawn labels", "drawn outputs"]
_SENTENCES: dict[Kind, str] = {
    "cross-entropy": "the mean cross-entropy of the labels",
    "mse": "the mean squared error of the targets",
    "drawn labels": "the mean cross-entropy of labels drawn from the model's own distribution",
    "drawn outputs": "half the squared distance of the outputs from ones drawn around them with unit variance",
}


@dataclass(frozen=True, slots=True)
class Objective:
    """A loss of one sample at a time, summed over its targets; a count of them makes it a mean later on."""

    kind: Kind

    @classmethod
    def of(cls, calibration: Calibration) -> Objective:
        """What the data and the model's outputs allow."""
        has_targets = all(block.targets is not None for block in calibration.blocks)
        if calibration.loss is not None and has_targets:
            return cls(calibration.loss)
        return cls("drawn labels" if calibration.is_logits else "drawn outputs")

    @property
    def sentence(self) -> str:
        """The loss in words."""
        return _SENTENCES[self.kind]

    @property
    def is_drawn(self) -> bool:
        """Whether the targets are drawn from what the model says: the mean Hessian is then its Gauss-Newton part."""
        return self.kind in {"drawn labels", "drawn outputs"}

    def take(self, outputs: Tensor, batch: Batch, generator: torch.Generator) -> tuple[Tensor, int]:
        """The summed loss, with gradients, and over how many targets; ValueError where outputs and targets do not
        fit.
        """
        if self.kind == "drawn labels":
            flat = outputs.reshape(-1, outputs.shape[-1])
            labels = torch.multinomial(flat.detach().float().softmax(-1), 1, generator=generator)[:, 0]
            return sum_loss(flat, labels, "cross-entropy"), len(labels)
        if self.kind == "drawn outputs":
            noise = torch.randn(outputs.shape, generator=generator, dtype=torch.float32).to(outputs.dtype)
            return (outputs - outputs.detach() - noise).square().sum() / 2, 1
        targets = batch.targets
        if targets is None:
            raise ValueError("some samples have targets and some have none")
        return sum_loss(outputs, targets, self.kind), count_targets(targets)

    def root(self, outputs: Tensor, batch: Batch) -> Root:
        """The root of the loss's own curvature in the outputs."""
        if self.kind == "drawn outputs":
            return Root(1.0)
        if self.kind == "mse":
            return Root(math.sqrt(2))
        shares = outputs.detach().float().softmax(-1)
        if self.kind == "cross-entropy" and batch.targets is not None:
            shares = shares * (batch.targets != IGNORED)[..., None]
        return Root(1.0, shares.sqrt().to(outputs.dtype))


@dataclass(frozen=True, slots=True, eq=False)
class Root:
    """B with B BT = A, the second derivative of a sample's summed loss in its outputs: a factor for squares, and
    diag(p) - p pT of each position's probabilities for a cross-entropy, whose roots are `shares` (0 where a target does
    not count).
    """

    factor: float
    shares: Tensor | None = None

    def multiply(self, signs: Tensor) -> Tensor:
        """B u, in the shape of the outputs."""
        if self.shares is None:
            return self.factor * signs
        return self.shares * (signs - self.shares * (self.shares * signs).sum(-1, keepdim=True))

    def measure(self, direction: Tensor) -> float:
        """What the outputs' change d does to the loss in second order, dT A d."""
        if self.shares is None:
            return self.factor**2 * float(direction.double().square().sum())
        weighed = (self.shares * direction).double()
        along = (self.shares.double() * weighed).sum(-1)
        return float(weighed.square().sum() - along.square().sum())
