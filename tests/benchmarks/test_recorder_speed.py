"""What does recording cost a training? A transformer of over a million parameters, every step and every tenth recorded,
beside the same step without a recorder.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from qanalysis.training.recorder import Recorder

ROUNDS = 4  # the ways take turns, and the least of each is told


class Transformer(nn.Module):
    """1.2 million parameters: an embedding, six layers of width 128, a head over 256 words."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(256, 128)
        layer = nn.TransformerEncoderLayer(128, 4, 512, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 6, enable_nested_tensor=False)
        self.head = nn.Linear(128, 256)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(self.embedding(words)))


def prepare() -> tuple[Transformer, Callable[[Recorder | None], None]]:
    torch.manual_seed(0)
    model = Transformer()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    words = torch.randint(0, 256, (16, 65))

    def step(recorder: Recorder | None) -> None:
        optimizer.zero_grad()
        logits = model(words[:, :-1])
        nn.functional.cross_entropy(logits.flatten(0, 1), words[:, 1:].flatten()).backward()
        if recorder is not None:
            recorder.step()
        optimizer.step()

    return model, step


def time_steps(step: Callable[[Recorder | None], None], recorder: Recorder | None, count: int) -> float:
    """Seconds of this process's own work on one thread: what else the machine does is not counted."""
    started = time.process_time()
    for _ in range(count):
        step(recorder)
    return time.process_time() - started


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("every", "blocks", "limit"),
    [
        pytest.param(10, "", 1.15, id="every tenth step"),
        pytest.param(1, "", 1.5, id="every step"),
        pytest.param(10, "mxfp4", 1.2, id="every tenth step with block scales"),
        pytest.param(1, "mxfp4", 2.0, id="every step with block scales"),
    ],
)
def test_a_recorded_step_beside_a_plain_one(tmp_path: Path, every: int, blocks: str, limit: float, capsys) -> None:
    plain_model, plain = prepare()
    assert sum(parameter.numel() for parameter in plain_model.parameters()) >= 1_000_000
    model, step = prepare()
    with Recorder(model, tmp_path / "run.csv", every=every, blocks=blocks) as recorder:
        count = max(every, 3)  # each stretch holds the same number of recorded steps
        time_steps(plain, None, count)
        time_steps(step, recorder, count)
        pairs = [(time_steps(plain, None, count), time_steps(step, recorder, count)) for _ in range(ROUNDS)]
    alone, recorded = (min(times) / count for times in zip(*pairs, strict=True))
    with capsys.disabled():
        print(
            f"\nevery {every} {blocks}: {1e3 * alone:.1f} ms plain, {1e3 * recorded:.1f} ms recorded, "
            f"ratio {recorded / alone:.3f}"
        )
    assert recorded < limit * alone
