"""Which layers take another's channels as they are: found through whatever lies between, and not where a factor does
not pass.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qanalysis.models.calibration.samples import Batch
from qanalysis.models.repairs.flows import Tracer, match
from qanalysis.models.repairs.stages import ignore
from qanalysis.models.running.torch_model import TorchModel


def trace(module: nn.Module, *shape: int) -> dict[str, list[str]]:
    """Sinks by source, with the norm behind a source in brackets."""
    torch.manual_seed(0)
    batch = Batch({"x": torch.randn(8, *shape) + 0.3})
    tracer = Tracer(TorchModel(module, "test"), batch, 0, ignore)
    flows = {source.layer.name: tracer.trace(source) for source in tracer.sources}
    return {
        name: [*(sink.layer.name for sink in flow.sinks), *([f"({flow.norm.name})"] if flow.norm else [])]
        for name, flow in flows.items()
        if flow
    }


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        return y + self.second(y.relu())


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.gate, self.up, self.down = nn.RMSNorm(6), nn.Linear(6, 8), nn.Linear(6, 8), nn.Linear(8, 6)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        return x + self.down(nn.functional.silu(self.gate(y)) * self.up(y))


CASES = {
    "relu": (lambda: nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3)), (5,), {"0": ["2"]}),
    "gelu": (lambda: nn.Sequential(nn.Linear(5, 7), nn.GELU(), nn.Linear(7, 3)), (5,), {}),
    "leaky relu, dropout": (
        lambda: nn.Sequential(nn.Linear(5, 7), nn.LeakyReLU(), nn.Dropout(), nn.Linear(7, 3)),
        (5,),
        {"0": ["3"]},
    ),
    "relu6 that cuts": (lambda: nn.Sequential(nn.Linear(5, 7), nn.Hardtanh(0, 0.1), nn.Linear(7, 3)), (5,), {}),
    "a chain": (
        lambda: nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 4), nn.Linear(4, 2)),
        (5,),
        {"0": ["1"], "1": ["2"]},
    ),
    "a residual": (Residual, (6,), {}),
    "a norm and a gated product": (Gated, (4, 6), {"norm": ["gate", "up"], "up": ["down"]}),
    "pooled and flattened convolutions": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3)
        ),
        (2, 4, 4),
        {"0": ["4"]},
    ),
    "a convolution of one channel each": (
        lambda: nn.Sequential(
            nn.Conv1d(2, 4, 3), nn.ReLU(), nn.Conv1d(4, 4, 1, groups=4), nn.ReLU(), nn.Conv1d(4, 2, 1)
        ),
        (2, 6),
        {"0": ["2"], "2": ["4"]},
    ),
    "batch normalisation": (
        lambda: nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), nn.ReLU(), nn.Conv1d(4, 2, 1)),
        (2, 6),
        {"0": ["(1)"], "1": ["3"]},
    ),
}


@pytest.mark.parametrize("kind", CASES)
def test_flows_are_those_through_which_factors_pass(kind: str) -> None:
    make, shape, wanted = CASES[kind]
    torch.manual_seed(0)
    module = make()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d):  # as after training: without a mean it would be homogeneous itself
            part.running_mean = torch.linspace(-0.5, 0.5, part.num_features)
            nn.init.normal_(part.bias)
    assert trace(module, *shape) == wanted


def test_a_layer_that_is_cut_or_silent_everywhere_is_no_sink() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.Hardtanh(0, 0.1), nn.Linear(4, 2))
    for bias, wanted in ((50.0, {}), (-50.0, {})):
        module[0].bias.data[:] = bias
        assert trace(module, 3) == wanted


def test_features_follow_their_channel_through_a_flattened_map() -> None:
    module = nn.Sequential(nn.Conv2d(1, 3, 1), nn.Flatten(), nn.Linear(12, 2))
    tracer = Tracer(TorchModel(module, "test"), Batch({"x": torch.randn(8, 1, 2, 2)}), 0, ignore)
    flow = tracer.trace(tracer.sources[0])
    assert flow is not None
    assert flow.sinks[0].channels.tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_a_feature_that_is_always_0_follows_where_the_others_lie_in_order() -> None:
    factors = np.array([0.8, 1.2, 1.5])
    before = torch.randn(20, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    before[:, 3] = 0
    for order in ([0, 0, 1, 1, 2, 2], [0, 1, 2, 0, 1, 2]):
        after = before * torch.from_numpy(factors[order])
        found = match(before, after, factors)
        assert found is not None
        assert found.tolist() == order
    after = before * torch.from_numpy(factors[[2, 0, 1, 1, 0, 2]])
    assert match(before, after, factors) is None
    assert match(before, before, factors) is None
