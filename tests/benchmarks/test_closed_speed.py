"""What do measures in closed form cost? All four for each (layer, scheme) cell of a transformer of 12 blocks, everything
that cells share counted in, over one run of the whole model on the same samples in the same process.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from qanalysis.models.calibration.samples import Batch, Calibration
from qanalysis.models.measures.closed import measure_closed
from qanalysis.models.measures.findings import COLUMNS
from qanalysis.models.running.torch_model import TorchModel
from qanalysis.models.sensitivity.changes import Changes
from qanalysis.quantizers.scheme import Scheme

WIDTH, HEADS, BLOCKS, WORDS, SAMPLES, LENGTH = 256, 4, 12, 1000, 96, 64
SCHEMES = [Scheme.parse(f"int{bits} {grouping}") for bits in (3, 4, 8) for grouping in ("channel", "group=64")]
MOST = 0.05


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


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """One thread for torch and for numpy's products alike."""
    pools = pytest.importorskip("threadpoolctl")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pools.threadpool_limits(1):
        yield
    torch.set_num_threads(before)


def time_forward(model: nn.Module, tokens: Tensor) -> float:
    times = []
    with torch.no_grad():
        for _ in range(3):
            began = time.perf_counter()
            for part in tokens.split(32):
                model(part)
            times.append(time.perf_counter() - began)
    return statistics.median(times)


def test_all_measures_of_a_cell_cost_at_most_a_twentieth_of_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    model = TorchModel(Transformer(), "transformer of 12 blocks")
    tokens = torch.randint(WORDS, (SAMPLES, LENGTH))
    data = Calibration((Batch({"x": tokens}, tokens.roll(-1, 1)),), "random tokens", "cross-entropy", is_logits=True)
    layers = [layer for layer in model.layers if layer.tensor.role in {"weight", "embedding"}]
    changes = Changes(model, keep_bytes=1 << 40)  # quantizing is work that the cells themselves need
    for layer in layers:
        for scheme in SCHEMES:
            changes.quantize(layer.tensor, scheme)
    cells, lines = len(layers) * len(SCHEMES), []

    def time_columns(columns, schemes) -> float:
        began = time.perf_counter()
        measure_closed(model, data, layers, schemes, quantized=changes.quantize, columns=columns, batch=32)
        return time.perf_counter() - began

    time_columns(COLUMNS, SCHEMES[:1])  # what torch imports at first use
    before = time_forward(model.module, tokens)
    parts = {columns: time_columns(columns, SCHEMES) for columns in (COLUMNS[:2], COLUMNS[2:])}
    shared = time_columns(COLUMNS, [])
    forward = (before + time_forward(model.module, tokens)) / 2
    for columns, seconds in parts.items():
        lines.append(f"{' and '.join(columns)}: {seconds / forward:.2f} runs, {seconds / forward / cells:.4f} a cell")
    total = sum(parts.values()) / forward
    # shared work s and work of a cell c: (s + c n) / n <= MOST from n = s / (MOST - c) on
    each = (sum(parts.values()) - shared) / forward / cells
    enough = shared / forward / (MOST - each)
    lines.append(
        f"{cells} cells: {total / cells:.4f} of a run each; shared {shared / forward:.2f} runs, {each:.4f} a cell"
    )
    lines.append(f"below {MOST} from {enough:.0f} cells on; a run of {SAMPLES * LENGTH} tokens takes {forward:.2f} s")
    with capsys.disabled():
        print("\n" + "\n".join(lines))
    assert total / cells < MOST
