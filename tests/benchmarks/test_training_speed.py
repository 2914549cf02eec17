"""How long does a quantized training step take? A transformer of 1.3 million weights beside its float step and torch's
own fake-quantize modules, taking turns in one run.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Mapping

import pytest
import torch
from torch import Tensor, nn
from torch.ao.quantization import FakeQuantize, MovingAverageMinMaxObserver, MovingAveragePerChannelMinMaxObserver
from torch.nn import functional

from qanalysis.models.data import Data
from qanalysis.training.configuration import Configuration, Experiment
from qanalysis.training.loop import train
from qanalysis.training.network.run import Run

pytestmark = pytest.mark.usefixtures("one_thread")

WIDTH, HEADS, BLOCKS, LENGTH, BATCH, WORDS = 160, 4, 4, 64, 16, 128
LINEAR = r"\.(q|k|v|out|up|down)$|^head$"
FOREVER = 10_000  # steps, more than are ever taken
ROUNDS = 11  # of ten steps each where every tenth is told

FORWARD = {"weight": "int4 channel + minmax + ewgs", "input": "int8 asym + ema"}
UP = "up-step bits=8"
GRADIENTS = dict.fromkeys(("input-gradient", "output-gradient", "weight-gradient"), UP)
#: What is trained: recipes by kind, and the steps between rows (0 for none).
CASES: Mapping[str, tuple[Mapping[str, str], int]] = {
    "weights and inputs": (FORWARD, 0),
    "gradients too": ({**FORWARD, **GRADIENTS}, 0),
    "all six kinds by up-step": ({**GRADIENTS, "weight": UP, "input": UP, "output": UP}, 0),
    "mxfp4": ({"weight": "mxfp4 + minmax + ewgs", "input": "mxfp4"}, 0),
    "told every 10th step": (FORWARD, 10),
    "all six kinds, every 10th": ({**GRADIENTS, "weight": UP, "input": UP, "output": UP}, 10),
    "told every step": (FORWARD, 1),
}
#: Times the float step that a step may take on average; told at every step it is stated alone.
LIMITS = {0: 3.0, 10: 4.0}


class Block(nn.Module):
    """Causal attention and a GELU network, each added to its input."""

    def __init__(self) -> None:
        super().__init__()
        self.before_attention, self.before_network = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.q, self.k, self.v, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        seen = self.before_attention(x)
        q, k, v = (one(seen).unflatten(2, (HEADS, -1)).transpose(1, 2) for one in (self.q, self.k, self.v))
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        change: Tensor = self.down(functional.gelu(self.up(self.before_network(x))))
        return x + change


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(WORDS, WIDTH)
        self.blocks = nn.Sequential(*(Block() for _ in range(BLOCKS)))
        self.head = nn.Linear(WIDTH, WORDS)

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.head(self.blocks(self.embed(tokens)))
        return logits


class FakeQuantized(nn.Module):
    """A linear layer whose weight and input pass torch's own modules, at the widths of FORWARD."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear
        self.weight = FakeQuantize(
            MovingAveragePerChannelMinMaxObserver,
            quant_min=-8,
            quant_max=7,
            dtype=torch.qint8,
            qscheme=torch.per_channel_symmetric,
            ch_axis=0,
        )
        self.input = FakeQuantize(
            MovingAverageMinMaxObserver,
            quant_min=0,
            quant_max=255,
            dtype=torch.quint8,
            qscheme=torch.per_tensor_affine,
        )

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(self.input(x), self.weight(self.linear.weight), self.linear.bias)


def make_data() -> Data:
    tokens = torch.randint(WORDS, (16 * BATCH, LENGTH + 1), generator=torch.Generator().manual_seed(0))
    inputs, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
    return Data(inputs, targets, inputs[:BATCH], targets[:BATCH], "cross-entropy", "noise")


def make_model() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Transformer()


def wrap_linear_layers(model: nn.Module) -> nn.Module:
    found = [(one, name) for one in model.modules() for name, part in one.named_children() if type(part) is nn.Linear]
    for parent, name in found:
        setattr(parent, name, FakeQuantized(getattr(parent, name)))
    return model


def take_plain_steps(model: nn.Module, data: Data) -> Callable[[], None]:
    """One step of a training loop as anybody writes it."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    places = itertools.cycle(range(0, len(data.inputs), BATCH))

    def step() -> None:
        place = next(places)
        inputs, targets = data.inputs[place : place + BATCH], data.targets[place : place + BATCH]
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten()).backward()
        optimizer.step()

    return step


def take_quantized_steps(recipes: Mapping[str, str], every: int, data: Data) -> Callable[[], None]:
    """One step of ours, its ranges set."""
    words = {"steps": FOREVER, "batch": BATCH, "record_every": every, "evaluate_every": FOREVER, "calibration": 1}
    configuration = Configuration.from_words({"name": "a", "layers": LINEAR, **words, **recipes})
    steps = Run.begin(make_model, data, configuration).proceed(lambda: None)
    next(steps)
    return lambda: next(steps)


def take_turns(cases: Mapping[str, tuple[Callable[[], None], int]], rounds: int) -> dict[str, list[float]]:
    """Seconds per step by case and round; each case takes so many steps in its turn."""
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        for name, (step, count) in cases.items():
            began = time.perf_counter()
            for _ in range(count):
                step()
            if number:  # the first round compiles and fills caches
                seconds[name].append((time.perf_counter() - began) / count)
    return seconds


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Where others use the machine, torch's threads wait for each other for longer than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_a_quantized_step_beside_the_float_step(capsys: pytest.CaptureFixture[str]) -> None:
    """Ratios are medians over rounds of neighbouring turns, so that a busy machine slows both sides of each."""
    data = make_data()
    assert sum(one.numel() for one in make_model().parameters()) >= 10**6
    cases = {
        "float": (take_plain_steps(make_model(), data), 2),
        "torch's fake-quantize": (take_plain_steps(wrap_linear_layers(make_model()), data), 2),
        **{name: (take_quantized_steps(recipes, every, data), every or 2) for name, (recipes, every) in CASES.items()},
    }
    seconds = take_turns(cases, ROUNDS)
    ratios = {
        name: sorted(own / plain for own, plain in zip(spent, seconds["float"], strict=True))
        for name, spent in seconds.items()
    }
    with capsys.disabled():
        print(f"\n{'':26s}   ms/step  of the float step (quarter to quarter), one thread")
        for name, spent in seconds.items():
            low, middle, high = statistics.quantiles(ratios[name], n=4)
            print(f"{name:26s} {statistics.median(spent) * 1e3:9.1f}  {middle:5.2f} ({low:.2f} to {high:.2f})")
    for name, (_recipes, every) in CASES.items():
        assert every not in LIMITS or statistics.median(ratios[name]) <= LIMITS[every], name


def test_300_steps_of_digits_mlp_with_two_configurations(capsys: pytest.CaptureFixture[str]) -> None:
    """Told at every step, they are to be in sight within 10 s of pressing run, drawing included."""
    experiment = Experiment.from_toml("""
model = "sample:digits-mlp"
[[configuration]]
name = "a policy"
weight = "int4 channel + minmax + policy"
input = "int8 asym + ema"
[[configuration]]
name = "up and down"
weight = "int4 + up-step + down"
input = "up-step bits=8 + down"
output-gradient = "up-step bits=8 + down"
""")
    spent, busy = [], []
    for _ in range(3):  # the first one compiles, or reads the compiled loops from disk
        began, worked = time.perf_counter(), time.process_time()
        train(experiment)
        spent.append(time.perf_counter() - began)
        busy.append(time.process_time() - worked)
    with capsys.disabled():
        print(
            f"\n2 x 300 steps of digits-mlp, told at each: first {spent[0]:.1f} s, then {min(spent[1:]):.1f} s, "
            f"{min(busy[1:]):.1f} s of them on a core"
        )
    assert min(busy[1:]) < 6  # what is left of the wall clock others had
