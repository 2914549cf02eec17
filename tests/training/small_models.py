"""Models of a few hundred weights and seeded data for them, so that trainings take a tenth of a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from qanalysis.models.data import Data
from qanalysis.results.columns import names_of
from qanalysis.training.configuration import Configuration
from qanalysis.training.network.run import Run
from qanalysis.training.row import HistoryRow

Row = dict[str, Any]
NAMES = names_of(HistoryRow)


def make_mlp() -> nn.Module:
    """16-16-4 with seeded weights that know nothing yet."""
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))


def make_restless() -> nn.Module:
    """A model whose passes draw random numbers and move buffers."""
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(16, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 4))


def make_arrays() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Four noisy clusters, (256, 16) to train on and (128, 16) held out."""
    generator = torch.Generator().manual_seed(11)
    centres = torch.randn(4, 16, generator=generator)
    targets = torch.arange(384) % 4
    inputs = centres[targets] + 0.7 * torch.randn(384, 16, generator=generator)
    return inputs[:256], targets[:256], inputs[256:], targets[256:]


def make_data(inputs: Callable[[Tensor], Tensor] = lambda x: x) -> Data:
    """The same as data; `inputs` reshapes them for models of another kind."""
    x, y, x_test, y_test = make_arrays()
    return Data(inputs(x), y, inputs(x_test), y_test, "cross-entropy", "clusters")


def configure(name: str = "tried", **words: Any) -> Configuration:
    """A configuration from its keys, `_` for `-`; short, and recorded seldom unless asked for."""
    told = {"steps": 5, "batch": 16, "rate": 0.05, "record_every": 1, "evaluate_every": 1000, "name": name}
    kinds = {one.replace("_", "-") if "gradient" in one else one: value for one, value in words.items()}
    return Configuration.from_words({**told, **kinds})


def run_small(load: Callable[[], nn.Module] = make_mlp, data: Data | None = None, **words: Any) -> Run:
    """A training run to its end."""
    run = Run.begin(load, data or make_data(), configure(**words))
    for _ in run.proceed(lambda: None):
        pass
    return run


def rows_of(run: Run, layer: str | None = None, kind: str | None = None) -> list[Row]:
    """The rows of a run, of one layer and kind where they are given."""
    return [
        dict.fromkeys(NAMES) | line
        for line in run.recorder.lines
        if (layer is None or line["layer"] == layer) and (kind is None or line["kind"] == kind)
    ]
