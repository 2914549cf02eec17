"""What does a float model teach its quantized copy? The loss of a student beside a teacher (docs/training.md B5).

Notation: T the temperature, a the teacher's share; L = a T^2 KL(softmax(z_t/T) || softmax(z_s/T)) + (1 - a) CE(z_s, y).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from qanalysis.training.words import Rule, key

if TYPE_CHECKING:
    from torch import Tensor

#: The target of a place that does not count, torch's own convention.
IGNORED_TARGET = -100


@dataclass(frozen=True, slots=True, eq=False)
class Distilled:
    """A loss and its parts.

    `total` is a scalar that gradients flow from; `kl` (in nats, without T^2) and `ce` are means over the places that
    count; `agreement` is the share of them where student and teacher choose the same class, NaN for none.
    """

    total: Tensor
    kl: float
    ce: float
    agreement: float


def distillation_loss(
    student: Tensor, teacher: Tensor, targets: Tensor, *, temperature: float = 4.0, share: float = 0.7
) -> Distilled:
    """The loss of a student's logits beside a teacher's.

    Parameters
    ----------
    student, teacher : (..., classes); no gradient reaches the teacher.
    targets : (...), class numbers; -100 for a place that does not count. Where none counts, the loss is 0.
    temperature : above 0; softens both.
    share : of the teacher, 0 to 1.

    Raises
    ------
    ValueError
        Where shapes do not fit, or numbers are outside their limits.
    """
    import torch
    from torch.nn import functional

    rule = Distillation(temperature=temperature, share=share)
    if student.shape != teacher.shape or targets.shape != student.shape[:-1]:
        raise ValueError(
            f"logits of shape {tuple(student.shape)} (student) and {tuple(teacher.shape)} (teacher) with targets of "
            f"shape {tuple(targets.shape)}: both need the same classes last, and one target for each place before"
        )
    counted = targets != IGNORED_TARGET
    own, taught, labels = student[counted], teacher.detach()[counted], targets[counted]
    if not len(labels):
        return Distilled(student.sum() * 0, 0.0, 0.0, float("nan"))
    kl = functional.kl_div(
        torch.log_softmax(own / rule.temperature, -1),
        torch.log_softmax(taught / rule.temperature, -1),
        reduction="batchmean",
        log_target=True,
    )
    ce = functional.cross_entropy(own, labels)
    agreement = float((own.argmax(-1) == taught.argmax(-1)).double().mean())
    total = rule.share * rule.temperature**2 * kl + (1 - rule.share) * ce
    return Distilled(total, float(kl.detach()), float(ce.detach()), agreement)


@dataclass(frozen=True, slots=True)
class Distillation(Rule):
    """`distillation_loss` as a rule with a text form: called on student, teacher and targets."""

    name: ClassVar[str] = "distillation"
    meaning: ClassVar[str] = "the float model teaches its quantized copy"

    temperature: float = key(4.0, low=0, open_ends=True, meaning="softens what both say; above 0")
    share: float = key(0.7, low=0, high=1, meaning="the teacher's share of the loss")

    def __call__(self, student: Tensor, teacher: Tensor, targets: Tensor) -> Distilled:
        """The loss and its parts; see `distillation_loss`."""
        return distillation_loss(student, teacher, targets, temperature=self.temperature, share=self.share)


DISTILLATION_RULES: dict[str, type[Distillation]] = {Distillation.name: Distillation}
