"""How far are the outputs of a changed model from those of the float one? Sums of every sample, which add.

y is the float model's output of a sample, q the changed one's, e = q - y. Sums are float64 and kept per sample, so that
figures do not depend on batches and samples can be drawn anew for intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from qanalysis.arrays import Doubles, Floats
from qanalysis.decibels import ratios_db
from qanalysis.models.calibration.samples import Batch, Loss
from sample_models.training import IGNORED

#: A number, or an array of one for each draw.
Amount = Any


@dataclass(frozen=True, slots=True, eq=False)
class DamageSums:
    """Sums of each sample, arrays (samples,); or summed over samples, numbers or arrays (draws,): the figures are the
    same.

    `y2`, `q2`, `e2` are energies and `yq` the product of the outputs; `kl` the summed divergence KL(float || changed)
    in nats over `tokens` positions that count, padding left out; `loss` and `float_loss` the summed losses of the
    changed and of the float model over `targets`, `right` how many labels have the largest logit. What was not measured
    is 0 with 0 tokens or targets. `bad` counts outputs that are not finite.
    """

    y2: Amount
    q2: Amount
    e2: Amount
    yq: Amount
    kl: Amount
    tokens: Amount
    loss: Amount
    float_loss: Amount
    right: Amount
    targets: Amount
    bad: Amount

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """The samples of several parts, one after another."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in NAMES))

    def pool(self) -> Self:
        """Summed over all samples."""
        return type(self)(*(getattr(self, name).sum(axis=0) for name in NAMES))

    def draw(self, weights: Doubles) -> Self:
        """Summed over samples that are drawn so many times: weights (draws, samples), sums (draws,)."""
        stacked = weights @ np.stack([getattr(self, name) for name in NAMES], axis=1)
        return type(self)(*stacked.T)

    @property
    def output_sqnr_db(self) -> Amount:
        """10 log10(sum y^2 / sum e^2); infinite without an error, NaN without an output."""
        return ratios_db(self.y2, self.e2)

    @property
    def output_relative_l2(self) -> Amount:
        """Norm of e over norm of y."""
        return np.sqrt(_ratio(self.e2, self.y2))

    @property
    def output_cosine(self) -> Amount:
        """y.q / (norm y norm q)."""
        return _ratio(self.yq, np.sqrt(self.y2) * np.sqrt(self.q2))

    @property
    def output_kl(self) -> Amount:
        """Mean divergence of a position, in nats."""
        return _ratio(self.kl, self.tokens)

    @property
    def mean_loss(self) -> Amount:
        """Mean loss of a target."""
        return _ratio(self.loss, self.targets)

    @property
    def loss_delta(self) -> Amount:
        """What the mean loss gained against the float model."""
        return _ratio(self.loss - self.float_loss, self.targets)

    @property
    def accuracy(self) -> Amount:
        """Share of targets that have the largest logit."""
        return _ratio(self.right, self.targets)


NAMES = tuple(entry.name for entry in fields(DamageSums))


def _ratio(part: Amount, whole: Amount) -> Amount:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.greater(whole, 0), np.true_divide(part, whole), np.nan)[()]


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """The float model's outputs for one batch, float64, with what is compared again and again worked out once.

    `counts` marks positions that count, None where all do; `log_p` are their log-probabilities where the outputs are
    logits, `p` their probabilities.
    """

    outputs: Tensor
    batch: Batch
    loss: Loss | None
    log_p: Tensor | None
    p: Tensor | None
    counts: Tensor | None
    y2: Doubles
    float_loss: Doubles
    targets: Doubles

    @classmethod
    def of(cls, outputs: Tensor, batch: Batch, *, loss: Loss | None, is_logits: bool) -> Self:
        """What there is to compare with; ValueError where outputs and targets do not fit, or outputs are not one for
        each sample.
        """
        if outputs.ndim == 0 or len(outputs) != len(batch):
            raise ValueError(
                f"the model's outputs are {tuple(outputs.shape)} for {len(batch)} samples; its first axis must be that "
                "of the samples, as of its inputs"
            )
        targets = batch.targets if loss is not None else None
        counts = None
        if loss == "cross-entropy" and targets is not None:
            if outputs.shape[:-1] != targets.shape:
                raise ValueError(
                    f"the model's logits are {tuple(outputs.shape)} and the labels {tuple(targets.shape)}; "
                    "cross-entropy needs logits (..., classes) for labels (...)"
                )
            counts = targets != IGNORED
            largest = int(targets.max())
            if largest >= outputs.shape[-1]:
                raise ValueError(
                    f"the labels reach {largest} and the model has {outputs.shape[-1]} classes; labels count from 0"
                )
        elif loss == "mse" and targets is not None and outputs.numel() != targets.numel():
            raise ValueError(
                f"the model's outputs are {tuple(outputs.shape)} and the targets {tuple(targets.shape)}; the squared "
                "error needs one shape"
            )
        y = outputs.double()
        log_p = functional.log_softmax(y, -1) if is_logits else None
        p = None if log_p is None else log_p.exp()
        none = np.zeros(0)
        found = cls(y, batch, loss, log_p, p, counts, _multiply(y, y), none, none)
        float_loss, _right, number = found.judge(y, log_p)
        return replace(found, float_loss=float_loss, targets=number)

    def compare(self, outputs: Tensor) -> tuple[DamageSums, Floats]:
        """The sums of every sample, and the divergence of every position that counts, in their order."""
        if outputs.shape != self.outputs.shape:
            raise ValueError(
                f"the changed model returns {tuple(outputs.shape)} where the float one returned "
                f"{tuple(self.outputs.shape)}; its shapes must not depend on its weights"
            )
        q = outputs.double()
        q2 = _multiply(q, q)
        log_q = None if self.log_p is None else functional.log_softmax(q, -1)
        kl, tokens, each = self._diverge(log_q)
        loss, right, targets = self.judge(q, log_q)
        e = q - self.outputs
        sums = DamageSums(
            y2=self.y2,
            q2=q2,
            e2=_multiply(e, e),
            yq=_multiply(q, self.outputs),
            kl=kl,
            tokens=tokens,
            loss=loss,
            float_loss=self.float_loss,
            right=right,
            targets=targets,
            bad=np.where(np.isfinite(q2), 0.0, 1.0),  # squares of float32 never overflow float64
        )
        return sums, each

    def _diverge(self, log_q: Tensor | None) -> tuple[Doubles, Doubles, Floats]:
        """Summed over each sample, how many positions, and of every position."""
        count = len(self.outputs)
        if log_q is None or self.p is None or self.log_p is None:
            return np.zeros(count), np.zeros(count), np.zeros(0, np.float32)
        each = (self.p * (self.log_p - log_q)).sum(-1).reshape(count, -1)
        if self.counts is None:
            return each.sum(1).numpy(), np.full(count, float(each.shape[1])), each.flatten().float().numpy()
        marks = self.counts.reshape(count, -1)
        kept = torch.where(marks, each, torch.zeros_like(each))
        return kept.sum(1).numpy(), marks.sum(1).double().numpy(), each[marks].float().numpy()

    def judge(self, q: Tensor, log_q: Tensor | None = None) -> tuple[Doubles, Doubles, Doubles]:
        """The summed loss of each sample, how many labels are right, how many targets there are; `q` in float64,
        `log_q` its logarithms of probabilities where they are known already.
        """
        count, targets = len(q), self.batch.targets
        if self.loss is None or targets is None:
            return np.zeros(count), np.zeros(count), np.zeros(count)
        if self.loss == "mse":
            errors = (q.reshape(targets.shape) - targets.double()).reshape(count, -1)
            return _multiply(errors, errors), np.zeros(count), np.full(count, float(errors.shape[1]))
        labels = targets.flatten()
        flat = (functional.log_softmax(q, -1) if log_q is None else log_q).flatten(0, -2)
        each = functional.nll_loss(flat, labels, ignore_index=IGNORED, reduction="none")
        right = (flat.argmax(-1) == labels) & ~flat.isnan().any(-1)
        marks = (labels != IGNORED).reshape(count, -1).sum(1).double()
        summed = each.reshape(count, -1).sum(1), right.reshape(count, -1).sum(1).double()
        return summed[0].numpy(), summed[1].numpy(), marks.numpy()


def _multiply(a: Tensor, b: Tensor) -> Doubles:
    """The product of each sample's values, (samples,)."""
    # numpy's loop needs no second array, and torch's own over float64 takes ten times as long
    left, right = (one.reshape(len(one), -1).numpy() for one in (a, b))
    found: Doubles = np.einsum("ij,ij->i", left, right)
    return found
