"""A module runs with other weights and inputs of its layers, computes only what changed, and becomes what it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from qanalysis.models.calibration.samples import Batch
from qanalysis.models.running.runnable import Change
from qanalysis.models.running.torch_model import TorchModel, find_main_output

KEEP = 1 << 30


class InPlace(nn.Module):
    """A residual block whose activations overwrite what layers returned."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.norm, self.act, self.head = nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.norm(self.first(x)))
        y = self.second(x)
        y += x
        y.mul_(0.5)
        return self.head(self.act(y).mean((2, 3)))


class UsedTwice(nn.Module):
    """One layer that runs twice, and a weight that two places share."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.shared, self.other = nn.Embedding(11, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        h = self.shared(self.embed(x)).tanh()
        return self.head(self.shared(self.other(h)).tanh())


class Functional(nn.Module):
    """Weights that are used outside the modules that hold them, before and after other parts ran."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6)
        self.free = nn.Parameter(torch.randn(6, 6))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.linear(x, self.c.weight)
        x = self.a(x) @ self.free.t()
        return self.b(functional.linear(x, self.a.weight[:, :]))


class Dict(nn.Module):
    """Outputs by name, parts that return tuples, a lone list."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.LSTM(4, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        states, (last, _cell) = self.rnn(x)
        return {"aux": last, "logits": self.head(states)}


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before, self.attend, self.after = (
            nn.Linear(16, 16),
            nn.MultiheadAttention(16, 4, batch_first=True),
            nn.Linear(16, 2),
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.before(x)
        return self.after(self.attend(h, h, h)[0])


def make_encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    return nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)


def tokens() -> Tensor:
    return torch.randint(11, (5, 7))


CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    "in-place activations": (InPlace, lambda: torch.randn(5, 3, 8, 8)),
    "a layer used twice and a tied weight": (UsedTwice, tokens),
    "weights used outside their modules": (Functional, lambda: torch.randn(5, 6)),
    "recurrent layer, outputs by name": (Dict, lambda: torch.randn(5, 9, 4)),
    "torch's own encoder": (make_encoder, lambda: torch.randn(5, 9, 16)),
    "attention": (Attention, lambda: torch.randn(5, 9, 16)),
    "one layer alone": (lambda: nn.Linear(6, 3), lambda: torch.randn(5, 6)),
}


def run_plainly(module: nn.Module, x: Tensor) -> Tensor:
    torch.backends.mha.set_fastpath_enabled(False)  # one operation for a whole block rounds in another order
    with torch.no_grad():
        found = module(x)
    torch.backends.mha.set_fastpath_enabled(True)
    return found["logits"] if isinstance(found, dict) else found


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


@pytest.mark.parametrize("name", CASES)
def test_a_change_gives_what_the_changed_model_gives_and_is_taken_back(name: str) -> None:
    torch.manual_seed(1)
    make, give = CASES[name]
    module, x = make().eval(), give()
    model, before = TorchModel(module, name), snapshot(module)
    hooks = [(len(part._forward_hooks), len(part._forward_pre_hooks)) for part in module.modules()]
    recording = model.record(Batch({"x": x}), keep_bytes=KEEP)
    assert torch.equal(recording.outputs, run_plainly(module, x))
    infos = [info for info in model.tensors if len(info.shape) >= 2]
    for info in infos * 2:  # twice: a run must not spoil what was kept
        values = np.random.default_rng(2).normal(size=info.shape).astype(np.float32)
        found = model.rerun(recording, Change({info.name: values}))
        owned = model.find(info.name)
        owned.value.data.copy_(torch.from_numpy(values))
        wanted = run_plainly(module, x)
        owned.value.data.copy_(before[info.name])
        assert torch.equal(found, wanted), info.name
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert [(len(part._forward_hooks), len(part._forward_pre_hooks)) for part in module.modules()] == hooks
    assert not any("forward" in vars(part) for part in module.modules())


@pytest.mark.parametrize("name", CASES)
def test_a_changed_input_gives_what_a_hook_gives(name: str) -> None:
    torch.manual_seed(3)
    make, give = CASES[name]
    module, x = make().eval(), give()
    model = TorchModel(module, name)
    recording = model.record(Batch({"x": x}), keep_bytes=KEEP)
    for layer in model.layers:
        if not layer.has_real_input or len(layer.tensor.shape) < 2 or layer.tensor.name == "free":
            continue
        part = model.find(layer.tensor.name).module
        handle = part.register_forward_pre_hook(
            lambda _part, args: tuple((one * 2).round() / 2 if one is args[0] else one for one in args)
        )
        wanted = run_plainly(module, x)
        handle.remove()
        found = model.rerun(recording, Change(inputs={layer.name: lambda a: (a * 2).round() / 2}))
        assert torch.equal(found, wanted), layer.name


def test_parts_before_the_change_do_not_run_again() -> None:
    runs = []

    class Counting(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            runs.append(self)
            return super().forward(x)

    module = nn.Sequential(*(Counting(4, 4) for _ in range(6)))
    model = TorchModel(module, "counting")
    recording = model.record(Batch({"x": torch.randn(3, 4)}), keep_bytes=KEEP)
    runs.clear()
    model.rerun(recording, Change({"3.weight": np.zeros((4, 4), np.float32)}))
    assert [list(module).index(part) for part in runs] == [3, 4, 5]


def test_what_does_not_fit_the_room_is_computed_again() -> None:
    module = nn.Sequential(*(nn.Linear(4, 4) for _ in range(6)))
    model, x = TorchModel(module, "small room"), torch.randn(3, 4)
    recording = model.record(Batch({"x": x}), keep_bytes=1)
    assert recording.tree.held_bytes <= x.nbytes
    zeros = np.zeros((4, 4), np.float32)
    with torch.no_grad():
        kept = module[5].weight.clone()
        module[5].weight.zero_()
        wanted = module(x)
        module[5].weight.copy_(kept)
    assert torch.equal(model.rerun(recording, Change({"5.weight": zeros})), wanted)


def test_a_run_that_takes_another_way_is_computed_whole() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleList(nn.Linear(4, 4) for _ in range(4))

        def forward(self, x: Tensor) -> Tensor:
            order = (0, 1, 2, 3) if len(x) == 1 else (3, 2, 1, 0)
            for place in order:
                x = self.parts[place](x)
            return x

    torch.manual_seed(4)
    module, x = Branching(), torch.randn(5, 4)
    model = TorchModel(module, "branching")
    recording = model.record(Batch({"x": x}), keep_bytes=KEEP)
    for place in range(4):
        values = np.ones((4, 4), np.float32)
        found = model.rerun(recording, Change({f"parts.{place}.weight": values}))
        kept = module.parts[place].weight.detach().clone()
        module.parts[place].weight.data.fill_(1)
        wanted = run_plainly(module, x)
        module.parts[place].weight.data.copy_(kept)
        assert torch.equal(found, wanted)


def test_a_model_that_raises_is_as_before_and_says_why_on_one_line() -> None:
    module = UsedTwice()
    model, before = TorchModel(module, "raises"), snapshot(module)
    recording = model.record(Batch({"x": tokens()}), keep_bytes=KEEP)

    def refuse(_values: Tensor) -> Tensor:
        raise RuntimeError("two\nlines")

    with pytest.raises(ValueError, match=r"does not run on x int64 \(5, 7\): RuntimeError: two lines"):
        model.rerun(recording, Change({"embed.weight": np.ones((11, 8), np.float32)}, {"other": refuse}))
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert not any("forward" in vars(part) or part._forward_pre_hooks for part in module.modules())
    with pytest.raises(ValueError, match="does not run on x float32"):
        model.record(Batch({"x": torch.randn(2, 3)}), keep_bytes=KEEP)
    assert not any("forward" in vars(part) for part in module.modules())


def test_a_forward_of_the_users_own_on_an_instance_stays() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    own = lambda x: x + 1  # noqa: E731
    module[0].forward = own
    model = TorchModel(module, "patched")
    recording = model.record(Batch({"x": torch.zeros(2, 4)}), keep_bytes=KEEP)
    model.rerun(recording, Change({"1.weight": np.zeros((4, 4), np.float32)}))
    assert module[0].forward is own


def test_the_layers_come_in_the_order_of_a_run() -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last, self.first, self.never = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.first(x))

    model = TorchModel(Backwards(), "backwards")
    ordered = [
        layer.tensor.name for layer in model.order(Batch({"x": torch.zeros(1, 4)})) if len(layer.tensor.shape) > 1
    ]
    assert ordered == ["first.weight", "last.weight", "never.weight"]


def test_tensors_have_the_roles_and_views_of_their_modules() -> None:
    module = nn.ModuleDict(
        {
            "embed": nn.Embedding(5, 4),
            "turned": nn.ConvTranspose2d(6, 4, 3, groups=2),
            "norm": nn.BatchNorm1d(4),
            "rnn": nn.GRU(4, 3),
        }
    )
    model = TorchModel(module, "roles")
    found = {info.name: (info.role, str(info.view)) for info in model.tensors}
    assert found["embed.weight"] == ("embedding", "0")
    assert found["turned.weight"] == ("weight", "0,2 of 2x3x2x3x3")
    assert found["rnn.weight_hh_l0"] == ("weight", "0")
    wanted = {"norm.running_mean": "buffer", "norm.weight": "norm", "rnn.bias_hh_l0": "bias"}
    assert {name: found[name][0] for name in wanted} == wanted


def test_a_tied_tensor_is_one_with_two_names() -> None:
    model = TorchModel(UsedTwice(), "tied")
    info = next(info for info in model.tensors if info.name == "embed.weight")
    assert info.aliases == ("head.weight",)
    assert "head.weight" not in {one.name for one in model.tensors}


def test_tensors_of_one_memory_are_told_apart() -> None:
    module = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    memory = torch.randn(48)
    for place, part in enumerate(module):
        part.weight = nn.Parameter(memory[16 * place : 16 * place + 16].view(4, 4))
    model, x = TorchModel(module, "one memory"), torch.randn(3, 4)
    recording = model.record(Batch({"x": x}), keep_bytes=KEEP)
    found = model.rerun(recording, Change({"1.weight": np.ones((4, 4), np.float32)}))
    with torch.no_grad():
        wanted = functional.linear(functional.linear(x, module[0].weight) @ torch.ones(4, 4), module[2].weight)
    assert torch.allclose(found, wanted, rtol=1e-6)  # sums of four products in another order
    assert {layer.tensor.name for layer in model.layers} == {"0.weight", "1.weight", "2.weight"}


def test_one_tensor_that_a_part_takes_several_times_is_one_input() -> None:
    # Attention to itself takes its input as query, key and value: all three are what the layer's weight multiplies.
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(8, 2, batch_first=True)

    class Around(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = attention

        def forward(self, x: Tensor) -> Tensor:
            output: Tensor = self.attention(x, x, value=x)[0]
            return output

    batch = Batch({"x": torch.randn(3, 5, 8)})
    model = TorchModel(Around(), "attention")
    found = model.rerun(model.record(batch), Change(inputs={"attention": torch.round}))
    rounded = batch.inputs["x"].round()
    with torch.no_grad():
        expected = attention(rounded, rounded, rounded)[0]
    # The same operations in the same order.
    assert torch.equal(found, expected)


@dataclass
class Named:
    """What some models return."""

    hidden: Tensor
    logits: Tensor
    loss: Tensor | None = None


def test_of_a_dataclass_the_logits_are_taken() -> None:
    outputs = Named(torch.zeros(1, 2), torch.ones(1, 3))
    found = find_main_output(outputs)
    assert found is outputs.logits


class Stateful(nn.Module):
    """A model that counts its calls and keeps what it saw last."""

    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Linear(4, 4)
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("last", torch.zeros(4), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        y = self.part(x) * self.calls + self.last
        self.last = y.mean(0)
        return y


def test_what_a_run_leaves_in_buffers_is_taken_back() -> None:
    model, batch = TorchModel(Stateful(), "stateful"), Batch({"x": torch.randn(3, 4)})
    first = model.record(batch, keep_bytes=KEEP)
    again = model.record(batch, keep_bytes=KEEP)
    assert torch.equal(first.outputs, again.outputs)
    changed = model.rerun(first, Change({"part.weight": np.zeros((4, 4), np.float32)}))
    assert torch.equal(changed, model.module.part.bias.detach().expand(3, 4))
    assert (float(model.module.calls), model.module.last.tolist()) == (0, [0, 0, 0, 0])


def test_whole_numbers_for_a_model_of_real_ones_are_advised_against() -> None:
    model = TorchModel(nn.Linear(3, 2), "line")
    with pytest.raises(ValueError, match="save x as float32"):
        model.record(Batch({"x": torch.zeros(2, 3, dtype=torch.int64)}))
    with pytest.raises(ValueError, match="does not run") as raised:
        model.record(Batch({"x": torch.zeros(2, 4)}))
    assert "float32 (2, 4)" in str(raised.value)
    assert "save" not in str(raised.value)


class Writing(nn.Module):
    """What a part returned is written into where the data decide, and its part returned the same memory."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.last = nn.Sequential(nn.Linear(4, 4), nn.Identity()), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.inner(x)
        y = self.last(h)
        if y.abs().sum() == 0:
            h.add_(1)
        return self.last(h)


def test_what_a_run_wrote_into_what_was_kept_is_computed_anew() -> None:
    torch.manual_seed(7)
    module = Writing()
    model, batch = TorchModel(module, "writing"), Batch({"x": torch.randn(3, 4)})
    recording = model.record(batch, keep_bytes=KEEP)
    with torch.no_grad():
        module.last.bias.zero_()
    for values in (np.zeros((4, 4), np.float32), np.eye(4, dtype=np.float32)) * 2:
        found = model.rerun(recording, Change({"last.weight": values}))
        kept = module.last.weight.detach().clone()
        module.last.weight.data.copy_(torch.from_numpy(values))
        wanted = run_plainly(module, batch.inputs["x"])
        module.last.weight.data.copy_(kept)
        assert torch.equal(found, wanted)
