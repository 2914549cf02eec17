"""NNCF: calls with their ignored scopes, made for real on ONNX and torch models, and read back."""

from __future__ import annotations

import importlib
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qanalysis.plans.recipes.catalogue import write_recipe
from qanalysis.plans.recipes.recipe import Recipe
from qanalysis.quantizers.scheme import Scheme
from tests.plans.recipes.onnx_models import (
    make_chain,
    make_model,
    plan_model,
    read_tensors,
    run_model,
    run_script,
    save_model,
)
from tests.plans.recipes.planning import make_plan

MIXED = {
    "table": "int8 channel",
    "a": "int4 group=32",
    "b": "int4 group=16",
    "c": "int4 asym group=32",
    "d": "int8 asym channel",
}


def load_nncf() -> Any:
    pytest.importorskip("nncf")
    nncf = importlib.import_module("nncf")
    nncf.set_log_level(logging.ERROR)
    return nncf


def write(tmp_path: Path, schemes: dict[str, str], model: Any = None, **keys: bool) -> Recipe:
    return write_recipe(plan_model(save_model(tmp_path, model or make_chain()), schemes), "nncf", **keys)


def compress(tmp_path: Path, recipe: Recipe) -> Path:
    import onnx

    load_nncf()
    made = run_script(recipe, tmp_path, "compress.py")
    onnx.save(
        made["compress"](made["open_model"](tmp_path / "model.onnx"), tmp_path / "nncf.json"), tmp_path / "out.onnx"
    )
    return tmp_path / "out.onnx"


def test_each_setting_is_a_call_that_ignores_all_other_nodes(tmp_path: Path) -> None:
    recipe = write(tmp_path, MIXED)
    calls = json.loads(recipe.files[0].text)["calls"]
    everything = {"look_up", "mm_a", "mm_b", "mm_c", "mm_d", "mm_e"}
    own = [everything - set(call["ignored_scope"]["names"]) for call in calls]
    assert own == [{"look_up"}, {"mm_a"}, {"mm_b"}, {"mm_c"}, {"mm_d"}]
    assert calls[0] == {"mode": "INT8_SYM", "ignored_scope": calls[0]["ignored_scope"]}
    assert {key: calls[2][key] for key in ("mode", "group_size", "ratio", "all_layers", "backup_mode")} == {
        "mode": "INT4_SYM",
        "group_size": 16,
        "ratio": 1.0,
        "all_layers": True,
        "backup_mode": "NONE",
    }
    assert any("two levels alone" in note for note in recipe.notes)


@pytest.mark.filterwarnings("ignore")
def test_more_than_two_levels_are_obeyed_on_an_onnx_model(tmp_path: Path) -> None:
    out = compress(tmp_path, write(tmp_path, MIXED))
    found = {name.removesuffix("_quantized"): info for name, (info, _) in read_tensors(out).items() if info.stored}
    assert {name: info.stored.removeprefix("qdq ") for name, info in found.items()} == {
        "table": "int8 channel",
        "a": "int4 group=32",
        "b": "int4 group=16",
        "c": "uint4 group=32 asym",
        "d": "uint8 channel asym",
    }
    assert np.isfinite(run_model(out)).all()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("text", ["int4 asym group=32", "int8 asym channel"])
def test_asymmetric_grids_are_those_of_the_plan(tmp_path: Path, text: str) -> None:
    values = read_tensors(compress(tmp_path, write(tmp_path, {"a": text})))["a_quantized"][1]
    original = read_tensors(tmp_path / "model.onnx")["a"][1]
    assert np.array_equal(values, Scheme.parse(text).fit(original, axis=1).round_trip(original))


@pytest.mark.filterwarnings("ignore")
def test_the_symmetric_step_is_that_of_the_note(tmp_path: Path) -> None:
    recipe = write(tmp_path, {"a": "int4 group=32"})
    assert any("value of the largest magnitude / -2^(bits-1)" in note for note in recipe.notes)
    values = read_tensors(compress(tmp_path, recipe))["a_quantized"][1].T.reshape(-1, 32)
    blocks = read_tensors(tmp_path / "model.onnx")["a"][1].T.reshape(-1, 32)
    step = np.take_along_axis(blocks, np.abs(blocks).argmax(1)[:, None], 1) / -8
    expected = np.clip(np.round(blocks / step), -8, 7) * step
    assert np.mean(np.abs(values - expected) > 1e-6) < 0.01  # ties may fall to either side


def test_what_it_would_do_otherwise_is_listed_and_ignored(tmp_path: Path) -> None:
    schemes = {
        "table": "int4 group=16",
        "up": "int8",
        "down": "int4 group=16",
        "filter": "int8 channel",
        "filter_up": "int4 channel",
        "mix": "int4 group=3",
        "turned": "int8 channel",
    }
    recipe = write(tmp_path, schemes, make_model())
    reasons = {one.tensor: one.reason for one in recipe.unexpressed}
    assert "scales that ONNX Runtime refuses" in reasons["table"]
    assert "scales that ONNX Runtime refuses" in reasons["down"]
    assert "one scale for each channel" in reasons["up"]
    assert "the weight of Conv" in reasons["filter"]
    assert "the weight of ConvTranspose" in reasons["filter_up"]
    assert "rows of 8 values are not divisible by 3" in reasons["mix"]
    assert "through other operations" in reasons["turned"]
    assert json.loads(recipe.files[0].text)["calls"] == []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("node", "keys"),
    [("conv", {"mode": "INT8_SYM"}), ("fc", {"mode": "INT4_SYM", "group_size": 16, "ratio": 1.0, "all_layers": True})],
    ids=["convolution of 8 bits", "groups of Gemm with transB"],
)
def test_models_that_the_listed_ones_would_make_do_not_run(tmp_path: Path, node: str, keys: dict[str, Any]) -> None:
    """The reasons that are given are true."""
    pytest.importorskip("onnxruntime")
    names = [name for name in ("look_up", "proj_up", "fc", "conv", "deconv", "mixed", "last") if name != node]
    recipe = write(tmp_path, {"up": "int8 channel"}, make_model())
    content = json.dumps({"calls": [keys | {"ignored_scope": {"names": names}}]})
    changed = Recipe("nncf", (type(recipe.files[0])("nncf.json", content), recipe.files[1]))
    out = compress(tmp_path, changed)
    with pytest.raises(Exception, match="scale"):
        run_model(out)


@pytest.mark.filterwarnings("ignore")
def test_a_torch_model_is_told_by_patterns_and_obeys_them(tmp_path: Path) -> None:
    nncf = load_nncf()
    import torch

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.emb = torch.nn.Embedding(20, 32)
            self.block = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 32))
            self.head = torch.nn.Linear(32, 8)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.head(self.block(self.emb(ids)))

    plan = make_plan(
        {
            "block.0.weight": ((64, 32), "int4 group=16"),
            "block.2.weight": ((32, 64), "int8 asym channel"),
            "head.weight": ((8, 32), "int4 asym group=32"),
        },
        kept={"emb.weight": 2560},
    )
    recipe = write_recipe(plan, "nncf")
    made = run_script(recipe, tmp_path, "compress.py")
    sample = torch.tensor([1, 2])
    model = made["compress"](Net().eval(), tmp_path / "nncf.json", nncf.Dataset([sample]))
    scales = {
        name.split(".")[2].partition("__")[0]: tuple(value.shape)
        for name, value in model.state_dict().items()
        if name.endswith("_scale")
    }
    # rows x groups: 64 x 32/16, 32 x 1, 8 x 32/32 (one group of a row is a channel)
    assert {name: shape[:2] for name, shape in scales.items()} == {
        "block:0:weight": (64, 2),
        "block:2:weight": (32, 1),
        "head:weight": (8, 1),
    }
    packed = {name: value for name, value in model.state_dict().items() if name.endswith("weight")}
    assert packed["emb.weight"].dtype == torch.float32
    assert packed["block.0.weight"].numel() == 64 * 32 // 2  # two codes to a byte
    assert packed["block.2.weight"].numel() == 32 * 64
    assert model(sample).shape == (2, 8)


def test_a_format_that_it_lacks_stops_the_recipe(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"target nncf: has no format int6, which the plan gives to a"):
        write(tmp_path, {"a": "int6 channel"})
    recipe = write(tmp_path, {"a": "int6 channel", "b": "int8 channel"}, partial=True)
    assert [one.tensor for one in recipe.unexpressed] == ["a"]
    assert "mm_a" in json.loads(recipe.files[0].text)["calls"][0]["ignored_scope"]["names"]
