"""Plans obeyed by real back ends, and the files that they write held against the plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.source import ArraySource
from qanalysis.comparisons.verify import verify_plan
from qanalysis.comparisons.verify_row import VerifyRow
from qanalysis.plans.plan import Plan
from qanalysis.plans.recipes.catalogue import write_recipe
from qanalysis.results.table import Table
from tests.comparisons.quantized_files import DOWN, QUERY, UP, make_plan, make_weights
from tests.plans.recipes.onnx_models import plan_model, run_script, save_model

_ONNX = {"up": "int4 sym-full channel", "down": "int8 channel", "filter": "int8 channel", "mix": "int8 asym"}


def _deviations(table: Table[VerifyRow]) -> dict[str, str]:
    return {row.tensor or row.tensor_file: row.reason for row in table if row.deviates}


def _quantize_onnx(folder: Path, applied: dict[str, str]) -> Path:
    """The file that ONNX Runtime makes by the recipe of some schemes."""
    recipe = write_recipe(plan_model(save_model(folder), applied), "onnxruntime")
    made = run_script(recipe, folder, "quantize.py")
    made["quantize"](folder / "model.onnx", folder / "out.onnx", {"ids": np.array([3])})
    return folder / "out.onnx"


@pytest.mark.parametrize(
    ("applied", "deviating"),
    [
        (_ONNX, {}),
        ({**_ONNX, "up": "int8 channel"}, {"up": "4 bits are planned"}),
        ({**_ONNX, "down": "int8"}, {"down": "channel is planned"}),
        ({name: text for name, text in _ONNX.items() if name != "filter"}, {"filter": "the file has plain float32"}),
    ],
    ids=["as planned", "another width", "another grouping", "an override left out"],
)
def test_onnx_runtime_is_held_to_its_overrides(tmp_path: Path, applied: Any, deviating: dict[str, str]) -> None:
    pytest.importorskip("onnxruntime")
    plan = plan_model(save_model(tmp_path), _ONNX)
    with (
        open_checkpoint(_quantize_onnx(tmp_path, applied)) as file,
        open_checkpoint(tmp_path / "model.onnx") as original,
    ):
        table = verify_plan(plan, file, original)
    found = _deviations(table)
    assert set(found) == set(deviating)
    assert all(deviating[name] in reason for name, reason in found.items())
    assert {row.matched_by for row in table if row.tensor in applied} == {"suffix"}


def _plan_groups() -> tuple[dict[str, Any], Plan]:
    weights = make_weights()
    return weights, make_plan(weights, "int4 sym-full group=32", "int8 sym-full channel", budget_bpw=6.5)


def test_compressed_tensors_is_held_to_its_groups(tmp_path: Path) -> None:
    pytest.importorskip("compressed_tensors")
    import torch
    from safetensors.torch import save_file

    pack = pytest.importorskip("compressed_tensors.compressors").pack_quantized.helpers.pack_to_int32
    weights, plan = _plan_groups()
    from qanalysis.quantizers.scheme import Scheme

    parts: dict[str, torch.Tensor] = {}
    for name, values in weights.items():
        text = plan.assignments.get(name)
        if text is None or name == UP:
            parts[name] = torch.from_numpy(values)
            continue
        scheme = Scheme.parse(text)
        quantizer = scheme.fit(values)
        codes = torch.from_numpy(quantizer.encode(values).astype(np.int8))
        stem = name.removesuffix(".weight")
        scales = quantizer.grid.scale.reshape(values.shape[0], -1).astype(np.float32)
        parts[f"{stem}.weight_scale"] = torch.from_numpy(scales).to(torch.bfloat16)
        if scheme.format.bits == 8:
            parts[f"{stem}.weight"] = codes
        else:
            parts[f"{stem}.weight_packed"] = pack(codes, scheme.format.bits)
            parts[f"{stem}.weight_shape"] = torch.tensor(values.shape)
    save_file(parts, tmp_path / "model.safetensors")
    with open_checkpoint(tmp_path / "model.safetensors") as file:
        table = verify_plan(plan, file, ArraySource(weights))
    assert set(_deviations(table)) == {UP}
    assert _deviations(table)[UP].startswith(f"{plan.assignments[UP]} is planned, the file has plain float32")


def test_torchao_is_held_to_its_configuration(tmp_path: Path) -> None:
    torchao = pytest.importorskip("torchao.quantization")
    import torch
    from torchao.quantization.granularity import PerAxis, PerGroup

    weights, plan = _plan_groups()
    names = [QUERY, DOWN]
    plan = make_plan({name: weights[name] for name in names}, "int4 sym-full group=32", budget_bpw=6)
    model = torch.nn.ModuleDict()
    for place, name in enumerate(names):
        layer = torch.nn.Linear(weights[name].shape[1], weights[name].shape[0], bias=False)
        layer.weight = torch.nn.Parameter(torch.from_numpy(weights[name]))
        model[f"m{place}"] = layer
    for place, granularity in ((0, PerGroup(32)), (1, PerAxis(0))):
        config = torchao.IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=granularity)
        torchao.quantize_(model[f"m{place}"], config)
    state = {name: model[f"m{place}"].weight for place, name in enumerate(names)}
    torch.save(state, tmp_path / "model.pt")
    with open_checkpoint(tmp_path / "model.pt") as file:
        table = verify_plan(plan, file, ArraySource({name: weights[name] for name in names}))
    assert set(_deviations(table)) == {DOWN}
    assert "group=32 is planned, the file has channel" in _deviations(table)[DOWN]
