"""AIMET encodings 2.0.0: their numbers by hand, and loaded for real, quantizer by quantizer."""

from __future__ import annotations

import importlib
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.source import ArraySource
from qanalysis.plans.recipes.catalogue import write_recipe
from qanalysis.plans.recipes.recipe import Recipe
from qanalysis.quantizers.scheme import Scheme
from tests.plans.recipes.onnx_models import plan_model, read_tensors, run_script, save_model
from tests.plans.recipes.planning import make_plan

MIXED = {
    "table": "int8",
    "up": "int4 group=16",
    "down": "int4 asym channel",
    "filter": "int8 channel",
    "filter_up": "int8 channel",
    "mix": "int6",
}


def write(tmp_path: Path, schemes: dict[str, str], **keys: bool) -> Recipe:
    path = save_model(tmp_path)
    plan = plan_model(path, schemes)
    with open_checkpoint(path) as source:
        return write_recipe(plan, "aimet", source=source, **keys)


def encode(values: NDArray[np.float32], text: str) -> dict[str, Any]:
    plan = make_plan({"w": (values.shape, text)})
    with ArraySource({"w": values}) as source:
        return json.loads(write_recipe(plan, "aimet", source=source).files[0].text)["encodings"][0]


def test_numbers_worked_by_hand() -> None:
    values = np.float32([[0.7, -0.35, 0.14, 0.07], [-1.4, 0.7, 0.0, 0.28]])
    assert encode(values, "int4") == {"name": "w", "output_dtype": "int4", "y_scale": pytest.approx(0.2)}  # 1.4 / 7
    assert encode(values, "int4 channel") == {
        "name": "w",
        "output_dtype": "int4",
        "y_scale": pytest.approx([0.1, 0.2]),
        "axis": 0,
    }
    blocks = encode(values, "int4 group=2")
    assert np.array(blocks["y_scale"]) == pytest.approx(np.array([[0.1, 0.02], [0.2, 0.04]]))
    assert (blocks["axis"], blocks["block_size"]) == (1, 2)
    offset = encode(values, "int4 asym channel")  # 1.05 / 15 and 2.1 / 15, zero at 5 and at 10
    assert offset["output_dtype"] == "uint4"
    assert offset["y_scale"] == pytest.approx([0.07, 0.14])
    assert offset["y_zero_point"] == [5, 10]


def test_encodings_are_what_quantize_linear_means(tmp_path: Path) -> None:
    """ONNX's own reference evaluator makes of them the values that the plan was measured with."""
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    encodings = json.loads(write(tmp_path, {"up": "int4 group=16"}).files[0].text)["encodings"][0]
    keys = {"axis": encodings["axis"], "block_size": encodings["block_size"]}
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "s", "y")]
    zero = helper.make_tensor(
        "z", TensorProto.INT4, np.shape(encodings["y_scale"]), [0] * np.size(encodings["y_scale"])
    )
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], **keys),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], **keys),
    ]
    graph = helper.make_graph(nodes, "g", info[:2], info[2:], [zero])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    values = read_tensors(tmp_path / "model.onnx")["up"][1]
    made = ReferenceEvaluator(model).run(None, {"x": values, "s": np.float32(encodings["y_scale"])})[0]
    ours = Scheme.parse("int4 group=16").fit(values, axis=1).round_trip(values)
    assert np.array_equal(made, ours)


@pytest.mark.filterwarnings("ignore")
def test_loaded_quantizers_have_the_planned_bits_and_all_others_are_disabled(tmp_path: Path) -> None:
    pytest.importorskip("aimet_onnx")
    importlib.import_module("aimet_onnx.quantsim")
    recipe = write(tmp_path, MIXED)
    assert not recipe.unexpressed
    logging.disable(logging.CRITICAL)
    try:
        made = run_script(recipe, tmp_path, "load.py")
        simulation = made["load"](made["open_model"](tmp_path / "model.onnx"), tmp_path / "encodings.json")
    finally:
        logging.disable(logging.NOTSET)
    quantizers = {name: one for name, one in simulation.qc_quantize_op_dict.items() if one.enabled}
    assert {name: one.bitwidth for name, one in quantizers.items()} == {
        name: Scheme.parse(text).format.bits for name, text in MIXED.items()
    }
    entries = {one["name"]: one for one in json.loads(recipe.files[0].text)["encodings"]}
    assert quantizers["up"].quant_info.blockSize == 16
    for name, one in quantizers.items():
        assert one.quant_info.usePerChannelMode == ("axis" in entries[name])
        loaded = np.array([encoding.delta for encoding in one.get_encodings()])
        assert np.sort(loaded) == pytest.approx(np.sort(np.ravel(entries[name]["y_scale"])))


def test_kept_tensors_are_named_as_disabled_on_purpose(tmp_path: Path) -> None:
    recipe = write(tmp_path, {"up": "int8"})
    assert [one["name"] for one in json.loads(recipe.files[0].text)["encodings"]] == ["up"]
    assert any("quantizers without an entry are disabled" in note for note in recipe.notes)


def test_what_no_encoding_says_is_listed(tmp_path: Path) -> None:
    schemes = {"table": "int8 channel", "up": "int4 group=20", "filter": "int4 group=3", "mix": "int8 block=2x2"}
    reasons = {one.tensor: one.reason for one in write(tmp_path, schemes).unexpressed}
    assert "one scale there" in reasons["table"]
    assert "rows of 48 values are not divisible by 20" in reasons["up"]
    assert "do not lie along one axis" in reasons["filter"]
    assert "a block of several rows" in reasons["mix"]


def test_without_the_weights_there_are_no_scales() -> None:
    with pytest.raises(ValueError, match=r"target aimet: its encodings hold scales.*give --source FILE"):
        write_recipe(make_plan({"w": ((4, 8), "int8")}), "aimet")


def test_values_without_a_code_are_refused() -> None:
    with pytest.raises(ValueError, match="'w' holds NaN or infinities"):
        encode(np.float32([[1.0, np.nan]]), "int8")


def test_a_float_format_stops_the_recipe(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="target aimet: has no format nf4"):
        write(tmp_path, {"up": "nf4"})
