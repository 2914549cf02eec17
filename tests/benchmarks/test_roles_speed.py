"""What do roles and views cost a file of 100,000 tensors? About a second, and nothing to notice on a plain one."""

import pytest

from qanalysis.checkpoints.entries import Evidence
from qanalysis.checkpoints.natures import name_nature
from qanalysis.checkpoints.roles import assign_roles
from qanalysis.checkpoints.source import TensorInfo
from qanalysis.checkpoints.views import assign_views

LAYER = {
    "self_attn.q_proj.weight": (512, 512),
    "self_attn.o_proj.weight": (512, 512),
    "self_attn.o_proj.bias": (512,),
    "self_attn.q_norm.weight": (64,),
    "input_layernorm.weight": (512,),
    "mlp.gate.weight": (64, 512),
    "mlp.experts.gate_up_proj": (64, 512, 1024),
    "mlp.experts.down_proj": (64, 512, 512),
    "conv.weight": (512, 64, 3, 3),
    "conv.bias": (512,),
}


@pytest.mark.parametrize("count", [100, 100_000])
def test_roles_and_views(benchmark, count):
    infos = [
        TensorInfo(f"model.layers.{layer}.{name}", shape, "float32", 4)
        for layer in range(count // len(LAYER))
        for name, shape in LAYER.items()
    ]

    def read():
        return name_nature(assign_views(assign_roles(infos, Evidence()), Evidence()), Evidence())

    benchmark.pedantic(read, rounds=5)
    assert benchmark.stats.stats.min < 15e-6 * max(count, 1000)
