"""What does a (layer, scheme) cell cost? On a transformer of 12 blocks, over one run of the whole model, beside the loop
that quantizes a layer, runs the whole model and compares, in the same process.
"""

from __future__ import annotations

import math
import statistics
import time

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from qanalysis.models.calibration.samples import Batch, Calibration
from qanalysis.models.running.torch_model import TorchModel
from qanalysis.models.sensitivity.sensitivity import measure_sensitivity
from qanalysis.quantizers.scheme import Scheme

WIDTH, HEADS, BLOCKS, WORDS, SAMPLES, LENGTH = 256, 4, 12, 1000, 16, 64
SCHEMES = ("int4 channel", "int8 channel")
MOST = 0.6


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.after = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        q, k, v = (part(h).unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in (self.q, self.k, self.v))
        x = x + self.o(functional.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))
        return x + self.down(functional.gelu(self.up(self.after(x))))


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(WORDS, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(BLOCKS))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WORDS, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(x)
        for block in self.blocks:
            h = block(h)
        return self.head(self.norm(h))


def time_forward(model: nn.Module, tokens: Tensor) -> float:
    times = []
    with torch.no_grad():
        for _ in range(5):
            began = time.perf_counter()
            model(tokens)
            times.append(time.perf_counter() - began)
    return statistics.median(times)


def measure_by_loop(model: TorchModel, tokens: Tensor) -> dict[tuple[str, str], float]:
    found = {}
    with torch.no_grad():
        for info in model.tensors:
            if info.role not in {"weight", "embedding"}:
                continue
            for scheme in SCHEMES:
                y = model.module(tokens).double()
                value = model.find(info.name).value
                kept = value.detach().clone()
                fitted = Scheme.parse(scheme).fit(kept.numpy(), axis=info.view)
                value.data.copy_(torch.from_numpy(fitted.round_trip(kept.numpy())))
                q = model.module(tokens).double()
                value.data.copy_(kept)
                found[info.name, scheme] = float((q - y).square().sum() / y.square().sum())
    return found


@pytest.mark.parametrize("threads", [1, 2])
def test_a_cell_costs_at_most_0_6_of_a_run(threads: int, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    model = TorchModel(Transformer(), "transformer of 12 blocks")
    tokens = torch.randint(WORDS, (SAMPLES, LENGTH))
    data = Calibration((Batch({"x": tokens}),), "random tokens")
    measure_sensitivity(model, data.limit(1), SCHEMES, include="blocks.0.q")  # compiled loops are loaded
    full = time_forward(model.module, tokens)
    began = time.perf_counter()
    table = measure_sensitivity(model, data, SCHEMES, measures=(), floor=False, additivity=False)
    cell = (time.perf_counter() - began) / len(table)
    full = statistics.mean([full, time_forward(model.module, tokens)])
    began = time.perf_counter()
    loop = measure_by_loop(model, tokens)
    brute = (time.perf_counter() - began) / len(loop)
    torch.set_num_threads(before)
    with capsys.disabled():
        print(
            f"\n{len(table)} cells, {threads} threads: {cell / full:.2f} of a run each; by the loop {brute / full:.2f}"
        )
    for row in table:
        assert row.output_sqnr_db == pytest.approx(-10 * math.log10(loop[row.tensor, row.scheme]), abs=1e-6)
    assert cell / full <= MOST
