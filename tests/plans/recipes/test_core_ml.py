"""coremltools: the configuration's words, and applied for real where it installs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from qanalysis.plans.recipes.catalogue import write_recipe
from tests.plans.recipes.onnx_models import run_script
from tests.plans.recipes.planning import make_plan

MIXED = {
    "fc1.weight": ((64, 32), "int4 group=16"),
    "block.0.weight": ((32, 64), "int8 asym channel"),
    "head.weight": ((8, 32), "int8"),
}


def write(planned: dict[str, tuple[tuple[int, ...], str]] = MIXED, **keys: Any) -> Any:
    more = {"tensors": [_describe("emb.weight", (20, 32))]}
    return write_recipe(make_plan(planned, kept={"emb.weight": 2560}, **more), "coremltools", **keys)


def _describe(name: str, shape: tuple[int, ...]) -> dict[str, Any]:
    return {
        "tensor": name,
        "role": "embedding",
        "shape": "x".join(map(str, shape)),
        "dtype": "float32",
        "stored": "",
        "view": "0",
        "numel": 640,
        "size_bytes": 2560,
        "aliases": [],
    }


def test_constants_are_named_as_converted_and_small_ones_are_not_left_out() -> None:
    content = json.loads(write().files[0].text)
    names = content["op_name_configs"]
    assert content["global_config"] is None
    assert (
        names["fc1_weight"]
        == names["fc1_weight_to_fp16"]
        == {
            "mode": "linear_symmetric",
            "dtype": "int4",
            "granularity": "per_block",
            "weight_threshold": 0,
            "block_size": 16,
        }
    )
    assert names["block_0_weight"] == {
        "mode": "linear",
        "dtype": "uint8",
        "granularity": "per_channel",
        "weight_threshold": 0,
    }
    assert names["head_weight"]["granularity"] == "per_tensor"
    assert names["emb_weight"] is None  # kept: None skips it


def test_what_would_be_skipped_without_a_word_is_listed() -> None:
    planned = {
        "a.weight": ((8, 40), "int4 group=16"),
        "b.weight": ((8, 16, 3, 3), "int4 group=16"),
        "c.weight": ((8, 64), "int8 block=2x32"),
    }
    reasons = {one.tensor: one.reason for one in write(planned).unexpressed}
    assert "rows of 40 values are not divisible by 16" in reasons["a.weight"]
    assert "whole kernels" in reasons["b.weight"]
    assert "several rows" in reasons["c.weight"]


def test_formats_that_it_lacks_stop_the_recipe() -> None:
    with pytest.raises(ValueError, match="target coremltools: has no format int6"):
        write({"a.weight": ((8, 64), "int6")})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("precision", ["FLOAT32", "FLOAT16"])
def test_constants_of_a_converted_model_have_the_planned_codes(tmp_path: Path, precision: str) -> None:
    ct = pytest.importorskip("coremltools")

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.emb, self.fc1 = torch.nn.Embedding(20, 32), torch.nn.Linear(32, 64)
            self.block, self.head = torch.nn.Sequential(torch.nn.Linear(64, 32)), torch.nn.Linear(32, 8)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.head(self.block(self.fc1(self.emb(ids))))

    net = Net().eval()
    weights = net.state_dict()
    model = ct.convert(
        torch.jit.trace(net, torch.tensor([[1, 2]])),
        inputs=[ct.TensorType(name="ids", shape=(1, 2), dtype=int)],
        convert_to="mlprogram",
        compute_precision=getattr(ct.precision, precision),
        minimum_deployment_target=ct.target.iOS18,
        skip_model_load=True,
    )
    made = run_script(write(), tmp_path, "quantize.py")["quantize"](model, tmp_path / "optimization_config.json")
    operations = [one for one in made._mil_program.functions["main"].operations if one.op_type.startswith("constexpr")]
    found = {one.name.removesuffix("_quantized").removesuffix("_to_fp16"): one.inputs for one in operations}
    assert {name: one["scale"].val.shape for name, one in found.items()} == {
        "fc1_weight": (64, 2),
        "block_0_weight": (32, 1),
        "head_weight": (1, 1),
    }
    types = [one["data"].dtype for one in found.values()]
    assert [(one.get_bitwidth(), one.is_unsigned()) for one in types] == [(4, False), (8, True), (8, False)]
    assert ["offset" in one for one in found.values()] == [False, True, False]
    # The step of the note, absmax / q, with the rounding of the type that scales have.
    largest = np.abs(weights["fc1.weight"].numpy().reshape(64, 2, 16)).max(2)
    assert np.asarray(found["fc1_weight"]["scale"].val, np.float32) == pytest.approx(largest / 7, rel=2**-10)
