"""How were the shipped statistics of a training recorded? `python -m sample_models.statistics` makes them anew.

A digits-mlp trains in float from random weights for 200 steps of 64 images (SGD, rate 0.1, momentum 0.9); the recorder
writes all six kinds of data of each layer and counts the scales that MXFP4 would give their blocks.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from qanalysis.training.recorder import Recorder
from sample_models import statistics_path, training_path
from sample_models.digits_mlp import DigitsMLP
from sample_models.training import read_batch

STEPS, BATCH, SEED = 200, 64, 0
_FLOATS = ("absmax", "absmin", "mean", "std", "low", "high")


def record(path: Path, *, steps: int = STEPS) -> None:
    """Train and write the statistics of every step to `path`; the same program writes the same table."""
    torch.manual_seed(SEED)
    model = DigitsMLP()
    images, labels = read_batch(training_path("digits-mlp"))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    with Recorder(model, path, blocks="mxfp4") as recorder:
        for _ in range(steps):
            picked = torch.randint(len(labels), (BATCH,))
            optimizer.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(model(images[picked]), labels[picked]))
            recorder.step()
            optimizer.step()


def write() -> None:
    """Record anew what ships, in as few bytes as its digits need: magnitudes as float32, counts as integers."""
    with tempfile.TemporaryDirectory(prefix="qanalysis-") as folder:
        path = Path(folder, "log.parquet")
        record(path)
        table = pd.read_parquet(path).drop(columns="group")
    counts = [str(name) for name in table if str(name).startswith("scale_exponent_")]
    table[counts] = table[counts].fillna(0)
    kinds = dict.fromkeys(_FLOATS, "float32") | dict.fromkeys(("step", "numel", "non_finite"), "int32")
    kinds |= dict.fromkeys(counts, "int16")
    table = table.sort_values(["layer", "kind", "step"], kind="stable", ignore_index=True)
    table.astype(kinds).to_parquet(
        statistics_path("digits-mlp-training"), index=False, compression="zstd", compression_level=19
    )


if __name__ == "__main__":
    write()
