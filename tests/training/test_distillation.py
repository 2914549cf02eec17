"""The loss of a student beside a teacher, as worked by hand and as a scalar sum gives it."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qanalysis.training.distillation import DISTILLATION_RULES, distillation_loss
from qanalysis.training.words import parse_rule

STUDENT = torch.tensor([[2.0, 1.0, 0.1]], dtype=torch.float64)
TEACHER = torch.tensor([[3.0, 0.5, 0.2]], dtype=torch.float64)
TARGET = torch.tensor([0])


def test_row_47_the_loss_and_its_parts_equal_those_worked_by_hand() -> None:
    told = distillation_loss(STUDENT, TEACHER, TARGET, temperature=4, share=0.7)
    # The numbers are given to eight places.
    assert told.kl == pytest.approx(0.01303067, abs=5e-9)
    assert 16 * told.kl == pytest.approx(0.20849077, abs=5e-9)
    assert told.ce == pytest.approx(0.41703002, abs=5e-9)
    assert told.total.item() == pytest.approx(0.27105254, abs=5e-9)
    assert told.agreement == 1


logits = st.lists(st.floats(-8, 8), min_size=4, max_size=4)


@given(logits, logits, st.integers(0, 3), st.floats(0.5, 8), st.floats(0, 1))
def test_the_loss_is_that_of_plain_sums(
    own: list[float], taught: list[float], label: int, temperature: float, share: float
) -> None:
    def soften(z: list[float], by: float) -> list[float]:
        weights = [math.exp(one / by) for one in z]
        return [one / sum(weights) for one in weights]

    p, q = soften(taught, temperature), soften(own, temperature)
    kl = sum(one * math.log(one / other) for one, other in zip(p, q, strict=True))
    ce = -math.log(soften(own, 1)[label])
    told = distillation_loss(
        torch.tensor([own], dtype=torch.float64),
        torch.tensor([taught], dtype=torch.float64),
        torch.tensor([label]),
        temperature=temperature,
        share=share,
    )
    # Logarithms of magnitude up to 32, a few roundings of each; kl is their difference.
    assert told.total.item() == pytest.approx(share * temperature**2 * kl + (1 - share) * ce, rel=1e-9, abs=1e-11)
    assert told.kl >= -1e-14


def test_equal_logits_teach_nothing() -> None:
    told = distillation_loss(STUDENT, STUDENT + 3, TARGET)
    # Softmax does not see the shift; its rounding is a few units of the 15th place.
    assert told.kl == pytest.approx(0, abs=1e-14)
    assert told.agreement == 1


def test_no_gradient_reaches_the_teacher() -> None:
    student, teacher = STUDENT.clone().requires_grad_(), TEACHER.clone().requires_grad_()
    distillation_loss(student, teacher, TARGET).total.backward()
    assert student.grad is not None
    assert bool(student.grad.any())
    assert teacher.grad is None


def test_places_that_do_not_count_change_nothing() -> None:
    own, taught = torch.randn((2, 3, 5), generator=torch.Generator().manual_seed(1)).double().expand(2, 2, 3, 5)
    targets = torch.tensor([[1, -100, 2], [-100, 4, -100]])
    told = distillation_loss(own, taught + torch.arange(5), targets)
    counted = targets != -100
    alone = distillation_loss(own[counted], (taught + torch.arange(5))[counted], targets[counted])
    assert told.total.item() == alone.total.item()
    assert (told.kl, told.ce, told.agreement) == (alone.kl, alone.ce, alone.agreement)


def test_a_batch_in_which_nothing_counts_costs_nothing() -> None:
    student = STUDENT.clone().requires_grad_()
    told = distillation_loss(student, TEACHER, torch.tensor([-100]))
    told.total.backward()
    assert (told.total.item(), told.kl, told.ce) == (0, 0, 0)
    assert math.isnan(told.agreement)
    assert student.grad is not None
    assert not bool(student.grad.any())


def test_far_logits_stay_finite() -> None:
    told = distillation_loss(torch.tensor([[1e4, -1e4]]), torch.tensor([[-1e4, 1e4]]), torch.tensor([1]))
    assert math.isfinite(told.total.item())
    assert told.agreement == 0


def test_a_rule_prints_canonically_and_does_the_same() -> None:
    rule = parse_rule("distillation share=0.5 temperature=2", DISTILLATION_RULES)
    assert str(rule) == "distillation temperature=2 share=0.5"
    assert str(parse_rule("distillation temperature=4 share=0.7", DISTILLATION_RULES)) == "distillation"
    told = distillation_loss(STUDENT, TEACHER, TARGET, temperature=2, share=0.5)
    assert rule(STUDENT, TEACHER, TARGET).total.item() == told.total.item()


def test_what_can_not_be_is_refused_with_the_way_out() -> None:
    with pytest.raises(ValueError, match="distillation: temperature=0 must be above 0"):
        distillation_loss(STUDENT, TEACHER, TARGET, temperature=0)
    with pytest.raises(ValueError, match="distillation: share=2 must lie from 0 to 1"):
        distillation_loss(STUDENT, TEACHER, TARGET, share=2)
    with pytest.raises(ValueError, match=r"\(1, 3\) \(student\) and \(1, 2\) \(teacher\).*the same classes last"):
        distillation_loss(STUDENT, TEACHER[:, :2], TARGET)
    with pytest.raises(ValueError, match="one target for each place"):
        distillation_loss(STUDENT, TEACHER, torch.tensor([0, 1]))
