"""Fisher and the Hessian's trace: by hand, against differences of the loss, and against exact Hessians."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qanalysis.models.calibration.samples import Batch, Calibration, number_blocks
from qanalysis.models.measures.by_gradients import spread_rests
from qanalysis.models.measures.closed import measure_closed
from qanalysis.models.measures.derivatives import choose_samples, find_rests, with_gradients
from qanalysis.models.measures.objectives import Objective
from qanalysis.models.running.torch_model import TorchModel
from qanalysis.quantizers.scheme import Scheme

INT4 = Scheme.parse("int4 channel")
BY_GRADIENTS = ("fisher", "hawq")
KEY = ("weight", "int4 channel")


def make_calibration(x: Tensor, targets: Tensor | None = None, *, is_logits: bool = False) -> Calibration:
    loss = None if targets is None else "mse" if targets.is_floating_point() else "cross-entropy"
    blocks = number_blocks([Batch({"x": x}, targets)])
    return Calibration(blocks, "made", loss, is_logits=is_logits or loss == "cross-entropy")


def measure(module: nn.Module, calibration: Calibration, errors: dict[str, Tensor] | None = None, **options):
    model = TorchModel(module, "made")
    own = dict(module.named_parameters())

    def quantized(info, _scheme):
        weight = own[info.name].detach()
        return (weight + (errors or {}).get(info.name, torch.ones_like(weight))).float().numpy()

    layers = [layer for layer in model.layers if layer.tensor.name in own]
    return measure_closed(
        model, calibration, layers, [INT4], **{"quantized": quantized, "columns": BY_GRADIENTS, **options}
    )


def make_two_by_two() -> tuple[nn.Linear, Tensor]:
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    return layer, torch.tensor([[1.0, 0.0], [1.0, 1.0]])


def test_two_by_two_by_hand() -> None:
    layer, x = make_two_by_two()
    # W a is (1, 3) and (3, 7), 1 and 2 above the targets in both samples: the gradients of the mean of two squares are
    # ((1, 0), (2, 0)) and ((1, 1), (2, 2)), and their products with the error 0.5 and 0.5 - 2
    targets = torch.tensor([[0.0, 1.0], [2.0, 5.0]])
    errors = {"weight": torch.tensor([[0.5, 0.0], [0.0, -1.0]])}
    found = measure(layer, make_calibration(x, targets), errors)
    assert found.figures[KEY]["fisher"] == pytest.approx((0.5**2 + 1.5**2) / 2, rel=1e-6)
    # the Hessian holds a aT for each of two outputs: traces 2 |a|^2 = 2 and 4, exact whatever the signs; 4 elements
    assert found.figures[KEY]["hawq"] == pytest.approx(3 / 4 * 1.25, rel=1e-6)
    trace = found.traces["weight"]
    assert (trace.trace, trace.numel, trace.has_rest) == (pytest.approx(3, rel=1e-6), 4, False)
    assert trace.standard_error == pytest.approx(1, rel=1e-6)  # of 2 and 4: sqrt(2) / sqrt(2)
    assert found.assumptions[0] == (
        "fisher and hawq: derivatives of the mean squared error of the targets, of 2 samples drawn with seed 0"
    )


def make_tanh(classes: int = 3) -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, classes))


def test_fisher_is_the_mean_squared_change_of_the_loss_along_the_error() -> None:
    module, x, labels = make_tanh().double(), torch.randn(12, 3).double(), torch.randint(0, 3, (12,))
    errors = {name: torch.randn(one.shape).double() / 64 for name, one in module.named_parameters()}
    found = measure(module, make_calibration(x, labels), errors, columns=("fisher",))
    for name, weight in module.named_parameters():
        kept, losses = weight.detach().clone(), []
        changed = (kept + errors[name]).float().double() - kept
        for side in (1e-3, -1e-3):
            weight.data.copy_(kept + side * changed)
            losses.append(nn.functional.cross_entropy(module(x), labels, reduction="none").detach())
        weight.data.copy_(kept)
        slopes = (losses[0] - losses[1]) / 2e-3
        # gradients and errors are float32, 6e-8 each; the difference quotient errs by 1e-6 of the third derivative
        assert found.figures[(name, "int4 channel")]["fisher"] == pytest.approx(float(slopes.square().mean()), rel=1e-5)


def find_exact_traces(module: nn.Module, loss: Callable[[], Tensor]) -> dict[str, float]:
    """The trace of each tensor's block of the Hessian, element by element."""
    traces = {}
    for name, weight in module.named_parameters():
        (gradient,) = torch.autograd.grad(loss(), weight, create_graph=True)
        rows = [torch.autograd.grad(one, weight, retain_graph=True)[0].reshape(-1) for one in gradient.reshape(-1)]
        traces[name] = float(torch.stack(rows).trace())
    return traces


def test_the_trace_lies_within_its_error_of_the_exact_one() -> None:
    module, x, labels = make_tanh(), 2 * torch.randn(24, 3), torch.randint(0, 3, (24,))
    exact = find_exact_traces(module, lambda: nn.functional.cross_entropy(module(x), labels))
    found = measure(module, make_calibration(x, labels), seed=5)
    for name, trace in found.traces.items():
        # the rest is left out where it is not told from 0, which is within 2.1 of its own errors
        assert abs(trace.trace - exact[name]) < 3 * np.hypot(trace.standard_error, trace.rest_error)
        assert trace.vectors == 24 * 16
        energy = exact[name] / trace.numel * trace.numel  # the error is 1 everywhere
        assert found.figures[(name, "int4 channel")]["hawq"] == pytest.approx(energy, rel=0.5, abs=0.05)
    assert any(trace.rest_vectors == 48 for trace in found.traces.values())


def test_what_the_gauss_newton_part_leaves_out_has_the_exact_mean() -> None:
    module, x, labels = make_tanh(), 2 * torch.randn(1, 3), torch.tensor([2])
    model, batch = TorchModel(module, "made"), Batch({"x": x}, labels)
    whole = find_exact_traces(module, lambda: nn.functional.cross_entropy(module(x), labels))
    shares = module(x).detach()[0].softmax(-1)
    bend, part = torch.diag(shares) - torch.outer(shares, shares), {}
    for name, weight in module.named_parameters():
        slopes = torch.stack([torch.autograd.grad(module(x)[0, place], weight)[0].reshape(-1) for place in range(3)])
        part[name] = float((slopes.T @ bend @ slopes).trace())
    with with_gradients(model, ["0.weight", "0.bias", "2.weight"]) as tensors:
        generator = torch.Generator().manual_seed(0)
        found = [find_rests(model, tensors, batch, Objective("cross-entropy"), generator) for _ in range(150)]
    for name in tensors:
        values = np.array([one[name] for one in found])
        error = values.std(ddof=1) / np.sqrt(len(values))
        # four errors of the mean, and the float32 difference of two numbers of about 1
        assert values.mean() == pytest.approx(whole[name] - part[name], abs=4 * error + 1e-5)
    assert np.abs([one["2.weight"] for one in found]).max() < 1e-5  # the outputs are linear in the last layer


def test_without_targets_a_sample_counts_the_squared_norm_of_the_outputs_change() -> None:
    torch.manual_seed(4)
    layer, x = nn.Linear(3, 5, bias=False), torch.randn(1500, 3)
    error = torch.randn(5, 3) / 8
    found = measure(layer, make_calibration(x), {"weight": error}, samples=1500)
    change = float((x @ error.T).square().sum(1).mean())
    # (noise . change)^2 has the square of the change as mean and sqrt(2) of it as deviation, over 1500 samples
    assert found.figures[KEY]["fisher"] == pytest.approx(change, rel=4 * np.sqrt(3 / 1500))
    norm = float(x.square().sum(1).mean())
    assert found.traces["weight"].trace == pytest.approx(5 * norm, rel=1e-5)  # |z aT|^2 is 5 |a|^2 for any signs
    assert "drawn around them with unit variance" in found.assumptions[0]
    assert found.assumptions[1] == "hawq: with drawn targets the mean Hessian is its Gauss-Newton part"


def test_labels_are_drawn_from_the_model_where_there_are_none() -> None:
    torch.manual_seed(5)
    layer, x = nn.Linear(2, 3, bias=False), torch.randn(1500, 2)
    error = torch.randn(3, 2) / 8
    found = measure(layer, make_calibration(x, is_logits=True), {"weight": error}, samples=1500, columns=("fisher",))
    shares, change = (x @ layer.weight.detach().T).softmax(-1), x @ error.T
    expected = float(((shares * change.square()).sum(1) - (shares * change).sum(1).square()).mean())
    # fourth moments of a bounded draw: the deviation is at most a few times the mean
    assert found.figures[KEY]["fisher"] == pytest.approx(expected, rel=4 * np.sqrt(8 / 1500))


def test_padding_among_the_labels_changes_nothing() -> None:
    module, x = make_tanh(), torch.randn(6, 4, 3)
    labels = torch.randint(0, 3, (6, 4))
    padded = torch.cat([labels, torch.full((6, 2), -100)], 1)
    found = [
        measure(module, make_calibration(torch.cat([x, torch.ones(6, 2, 3)], 1), padded), columns=("fisher",)),
        measure(module, make_calibration(x, labels), columns=("fisher",)),
    ]
    for key, figures in found[0].figures.items():
        assert figures["fisher"] == pytest.approx(found[1].figures[key]["fisher"], rel=1e-5)


class Attending(nn.Module):
    """Attention by the fused operation, a recurrent layer, and an activation in place."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.steps, self.out = nn.Linear(4, 4), nn.GRU(4, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = nn.functional.relu_(self.into(x))[:, None]
        mixed = nn.functional.scaled_dot_product_attention(hidden, hidden, hidden, is_causal=True)[:, 0]
        return self.out(self.steps(mixed)[0])


def test_fused_operations_have_second_derivatives_here() -> None:
    torch.manual_seed(6)
    found = measure(Attending(), make_calibration(torch.randn(4, 5, 4), torch.randint(0, 3, (4, 5))))
    assert not [note for notes in found.notes.values() for note in notes.values() if "derivatives" in note]
    assert found.traces["into.weight"].rest_vectors
    assert {"fisher", "hawq"} == set(found.figures[("steps.weight_hh_l0", "int4 channel")])


class Applied(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.function, self.last = nn.Linear(4, 4), function, nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.function(self.first(x)))


def test_what_can_not_be_derived_says_so() -> None:
    data = make_calibration(torch.randn(4, 4), torch.randint(0, 3, (4,)))
    found = measure(Applied(lambda x: torch.cdist(x, torch.eye(4))), data)
    assert found.figures[("first.weight", "int4 channel")]["hawq"] > 0
    assert found.assumptions[1].startswith(
        "hawq: the Gauss-Newton part of the Hessian alone, since the model has no second derivatives: NotImplementedError: "
    )
    found = measure(Applied(lambda x: x.detach()), data)
    assert found.notes["first.weight"] == {"fisher": "no gradient arrives at it", "hawq": "no gradient arrives at it"}
    assert ("last.weight", "int4 channel") in found.figures

    class Still(Applied):
        @torch.no_grad()
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)

    found = measure(Still(torch.tanh), data)
    assert not found.figures
    assert found.notes["last.weight"]["fisher"].startswith("the model has no gradients: RuntimeError")


def test_weights_of_inference_mode_and_outputs_that_are_not_finite_say_so() -> None:
    with torch.inference_mode():
        still = nn.Linear(4, 3)
    x = torch.randn(4, 4)
    found = measure(still, make_calibration(x, torch.randint(0, 3, (4,))), columns=("fisher",))
    assert found.notes["weight"]["fisher"].startswith("'weight' takes no part in derivatives: RuntimeError")
    broken = nn.Linear(4, 3)
    nn.init.constant_(broken.weight, float("nan"))
    found = measure(broken, make_calibration(x, is_logits=True))
    assert not found.figures
    assert set(found.notes["weight"]) == {"fisher", "hawq"}


def test_the_model_is_as_before_and_buffers_take_no_part() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)).eval()
    module[0].weight.requires_grad_(False)
    before = {name: one.clone() for name, one in module.state_dict().items()}
    model = TorchModel(module, "made")
    data = make_calibration(torch.randn(5, 4), torch.randint(0, 3, (5,)))
    found = measure_closed(
        model, data, model.layers, [INT4], quantized=lambda info, _s: model.read(info) + 1, columns=BY_GRADIENTS
    )
    assert found.notes["1.running_mean"]["fisher"] == "it is a buffer or holds no real numbers"
    assert ("0.weight", "int4 channel") in found.figures
    assert all(torch.equal(one, before[name]) for name, one in module.state_dict().items())
    assert [one.requires_grad for one in module.parameters()] == [False, True, True, True, True, True]
    assert all(one.grad is None for one in module.parameters())


def test_samples_are_drawn_by_the_seed_and_cancel_leaves_nothing_half_done() -> None:
    module, data = make_tanh(), make_calibration(torch.randn(40, 3), torch.randint(0, 3, (40,)))
    found = [measure(module, data, samples=8, seed=seed).figures for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]
    chosen = choose_samples(data, 8, seed=1)
    assert [len(one) for one in chosen] == [1] * 8
    assert [one.first for one in chosen] == sorted({one.first for one in chosen})
    cancel = threading.Event()
    cancel.set()
    cancelled = measure(module, data, cancel=cancel)
    assert not cancelled.complete
    assert not cancelled.figures


def test_many_layers_leave_the_second_derivatives_out() -> None:
    assert spread_rests(samples=32, layers=100) == []
    assert spread_rests(samples=32, layers=64) == [0, 8, 16, 24]
    assert spread_rests(samples=32, layers=4) == [*range(32)] * 2
    assert spread_rests(samples=1, layers=100) == [0, 0]
