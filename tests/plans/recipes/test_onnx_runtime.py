"""TensorQuantOverrides: what is written, applied for real, and read back tensor by tensor."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.plans.recipes.catalogue import write_recipe
from qanalysis.plans.recipes.onnx_runtime import check_overrides
from qanalysis.quantizers.scheme import Scheme
from tests.plans.recipes.onnx_models import make_model, plan_model, read_tensors, run_model, run_script, save_model
from tests.plans.recipes.planning import make_plan

onnxruntime = pytest.importorskip("onnxruntime")

MIXED = {
    "table": "int8",
    "up": "int4 sym-full channel",
    "down": "int8 channel",
    "filter": "int16 channel",
    "filter_up": "int4 asym channel",
    "mix": "int8 asym",
}
AXES = {"up": 1, "down": 0, "filter": 0, "filter_up": 1}


def write(tmp_path: Path, schemes: dict[str, str], *, with_source: bool = False, **keys: Any) -> Any:
    path = save_model(tmp_path)
    plan = plan_model(path, schemes)
    if not with_source:
        return write_recipe(plan, "onnxruntime", **keys)
    with open_checkpoint(path) as source:
        return write_recipe(plan, "onnxruntime", source=source, **keys)


def apply(tmp_path: Path, recipe: Any) -> Path:
    made = run_script(recipe, tmp_path, "quantize.py")
    made["quantize"](tmp_path / "model.onnx", tmp_path / "out.onnx", {"ids": np.array([3])})
    return tmp_path / "out.onnx"


def test_bits_and_axis_of_every_tensor_are_those_of_the_plan(tmp_path: Path) -> None:
    out = apply(tmp_path, write(tmp_path, MIXED))
    nodes = {node.output[0]: node for node in onnx.load(out).graph.node if node.op_type == "DequantizeLinear"}
    found = read_tensors(out)
    originals = read_tensors(tmp_path / "model.onnx")
    for name, text in MIXED.items():
        scheme = Scheme.parse(text)
        info, values = found[f"{name}_quantized"]
        assert info.dtype == f"{'' if scheme.symmetry.signed else 'u'}int{scheme.format.bits}"
        assert info.stored.split()[2] == str(scheme.grouping)
        node = nodes[f"{name}_DequantizeLinear_Output"]
        axes = [one.i for one in node.attribute if one.name == "axis"]
        assert axes == ([AXES[name]] if name in AXES else [])
        # Its own grid is ours: the same codes but for ties, which scales in float64 may turn by one code.
        original, view = originals[name][1], originals[name][0].view
        ours = scheme.fit(original, axis=view).round_trip(original)
        step = scheme.fit(original, axis=view).grid.scale.max()
        assert np.abs(values - ours).max() <= step * (1 + 1e-5)
        assert np.mean(np.abs(values - ours) > step * 1e-5) < 0.02
    assert np.isfinite(run_model(out)).all()


def test_four_bits_in_a_model_of_older_operators_are_read_back_too(tmp_path: Path) -> None:
    path = save_model(tmp_path, make_model(opset=17))
    out = apply(tmp_path, write_recipe(plan_model(path, {"up": "int4 sym-full channel"}), "onnxruntime"))
    assert read_tensors(out)["up_quantized"][0].stored == "qdq int4 channel"
    assert np.isfinite(run_model(out)).all()


def test_nodes_of_what_is_kept_are_excluded_and_stay_float(tmp_path: Path) -> None:
    recipe = write(tmp_path, {"up": "int8"})
    content = json.loads(recipe.files[0].text)
    assert content["nodes_to_quantize"] == ["proj_up"]
    assert set(content["nodes_to_exclude"]) == {"look_up", "fc", "conv", "deconv", "mixed", "last"}
    found = read_tensors(apply(tmp_path, recipe))
    assert [name for name, (info, _) in found.items() if info.stored] == ["up_quantized"]


def test_a_node_without_a_name_is_called_by_its_output_by_recipe_and_script_alike(tmp_path: Path) -> None:
    recipe = write(tmp_path, {"mix": "int8"})
    assert json.loads(recipe.files[0].text)["nodes_to_quantize"] == ["mixed"]
    assert read_tensors(apply(tmp_path, recipe))["mix_quantized"][0].dtype == "int8"


def test_weights_in_constant_nodes_are_quantized_too(tmp_path: Path) -> None:
    model = make_model()
    moved = next(one for one in model.graph.initializer if one.name == "up")
    model.graph.node.insert(0, onnx.helper.make_node("Constant", [], ["up"], value=moved))
    model.graph.initializer.remove(moved)
    plan = plan_model(save_model(tmp_path, model), {"up": "int8 channel"})
    out = apply(tmp_path, write_recipe(plan, "onnxruntime"))
    assert read_tensors(out)["up_quantized"][0].stored == "qdq int8 channel"


@pytest.mark.parametrize(
    "text",
    ["int4 channel", "int8 sym-full", "int4 range=mse channel", "int8 scale=pow2", "int4 asym range=percentile:99"],
)
def test_with_the_source_grids_that_are_not_its_own_are_written_out_and_obeyed(tmp_path: Path, text: str) -> None:
    recipe = write(tmp_path, {"up": text}, with_source=True)
    entry = json.loads(recipe.files[0].text)["TensorQuantOverrides"]["up"]
    assert all({"scale", "zero_point"} <= set(one) and "symmetric" not in one for one in entry)
    values = read_tensors(apply(tmp_path, recipe))["up_quantized"][1]
    original = read_tensors(tmp_path / "model.onnx")["up"][1]
    quantizer = Scheme.parse(text).fit(original, axis=1)
    ours, lowest = quantizer.round_trip(original), quantizer.grid.scale * np.float32(-8)
    # A range that clips leaves -7 as the last code here; the type has -8, which is nearer to what lies below.
    is_below = (values == lowest) & (ours == quantizer.grid.scale * np.float32(-7))
    assert np.array_equal(values[~is_below], ours[~is_below])
    assert is_below.any() == (text == "int4 range=mse channel")
    assert not any("absmax / 7.5" in note for note in recipe.notes)


def test_without_the_source_it_is_told_that_the_grid_is_another(tmp_path: Path) -> None:
    recipe = write(tmp_path, {"up": "int4 channel", "down": "int8 channel"})
    note = next(note for note in recipe.notes if "absmax / 7.5" in note)
    assert note.startswith("1 tensor: ")
    assert "--source" in note
    assert not any("absmax / 7.5" in note for note in write(tmp_path, {"up": "int4 sym-full channel"}).notes)


def test_what_overrides_can_not_say_is_listed_and_stays_float(tmp_path: Path) -> None:
    schemes = {
        "up": "int4 group=16",
        "table": "int8 channel",
        "turned": "int8",
        "mix": "int8 block=2x2",
        "down": "int8",
        "filter": "bfloat16",
    }
    recipe = write(tmp_path, schemes)
    reasons = {one.tensor: one.reason for one in recipe.unexpressed}
    assert set(reasons) == set(schemes) - {"down"}
    assert "matmul-nbits" in reasons["up"]
    assert "matmul-nbits" in reasons["mix"]
    assert "would not run" in reasons["table"]
    assert "through other operations" in reasons["turned"]
    assert "the model's own" in reasons["filter"]
    found = read_tensors(apply(tmp_path, recipe))
    assert [name for name, (info, _) in found.items() if info.stored] == ["down_quantized"]


def test_a_table_looked_up_with_a_scale_for_each_row_would_not_run(tmp_path: Path) -> None:
    """The reason that is given is true: the same override by hand makes a model that fails."""
    recipe = write(tmp_path, {"table": "int8"})
    content = json.loads(recipe.files[0].text)
    content["TensorQuantOverrides"]["table"][0]["axis"] = 0
    made = run_script(recipe, tmp_path, "quantize.py")
    (tmp_path / "by_hand.json").write_text(json.dumps(content))
    made["quantize"](tmp_path / "model.onnx", tmp_path / "out.onnx", {"ids": np.array([3])}, tmp_path / "by_hand.json")
    with pytest.raises(Exception, match="scale must be 1D tensor"):
        run_model(tmp_path / "out.onnx")


def test_onnx_runtime_checks_the_first_entry_alone_and_here_all_are_checked(tmp_path: Path) -> None:
    from onnxruntime.quantization.tensor_quant_overrides import TensorQuantOverridesHelper

    wrong = {"up": [{"quant_type": "QInt4", "axis": 1}], "down": [{"quant_type": "QInt8", "scale": 1.0}]}
    initializers = {one.name: one for one in make_model().graph.initializer}
    assert TensorQuantOverridesHelper(wrong).is_valid(initializers, set(), None) == (True, None)
    with pytest.raises(ValueError, match=r"override of 'down': needs scale and zero_point together"):
        check_overrides(wrong, {"up": (48, 64), "down": (32, 64)})


@pytest.mark.parametrize(
    ("entry", "match"),
    [
        ({"quant_type": "QInt8"}, "must be a list"),
        ([], "must be a list"),
        (
            [{"quant_type": "QInt8", "symetric": True}],
            "has a key beside axis, quant_type, scale, symmetric, zero_point: 'symetric'",
        ),
        ([{"quant_type": "QInt3"}], "needs a quant_type"),
        ([{"quant_type": "QInt8", "axis": 0}, {"quant_type": "QInt4"}], "needs one quant_type"),
        ([{"quant_type": "QInt8", "symmetric": True, "scale": 1.0, "zero_point": 0}], "has symmetric beside scale"),
        ([{"quant_type": "QInt8", "axis": 2}], "has axis 2 of a tensor with 2 dimensions"),
        ([{"quant_type": "QInt8"}] * 2, "several dictionaries and no axis"),
        ([{"quant_type": "QInt8", "axis": 0}, {"quant_type": "QInt8", "axis": 1}], "names several axes"),
        ([{"quant_type": "QInt8", "axis": 0}] * 2, "names 2 of 3 channels"),
        ([{"quant_type": "QInt8", "axis": 0, "scale": 1.0, "zero_point": 0}], "names 1 of 3 channels"),
    ],
)
def test_faults_of_entries_are_named(entry: Any, match: str) -> None:
    with pytest.raises(ValueError, match=re.escape(match)):
        check_overrides({"w": entry}, {"w": (3, 4)})


def test_an_override_of_what_the_model_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match=r"override of 'v': is no initializer"):
        check_overrides({"v": [{"quant_type": "QInt8"}]}, {"w": (3, 4)})


def test_the_script_refuses_another_model(tmp_path: Path) -> None:
    recipe = write(tmp_path, {"up": "int8"})
    other = make_model()
    for one in other.graph.initializer:
        one.name = one.name.replace("up", "UP")
    for node in other.graph.node:
        node.input[:] = [name.replace("up", "UP") for name in node.input]
    made = run_script(recipe, tmp_path, "quantize.py")
    save_model(tmp_path, other)
    with pytest.raises(SystemExit, match="the model has no initializer up"):
        made["quantize"](tmp_path / "model.onnx", tmp_path / "out.onnx", {"ids": np.array([3])})


def test_a_plan_of_another_file_is_refused(tmp_path: Path) -> None:
    with open_checkpoint(save_model(tmp_path)) as source:
        plan = make_plan({"other": ((4, 4), "int8")})
        with pytest.raises(ValueError, match=r"the plan has 'other', model\.onnx does not"):
            write_recipe(plan, "onnxruntime", source=source)
        plan = make_plan({"up": ((64, 48), "int8")})
        with pytest.raises(ValueError, match=r"'up' is 64x48 in the plan, 48x64 in model\.onnx"):
            write_recipe(plan, "onnxruntime", source=source)


def test_a_format_that_it_lacks_stops_the_recipe_unless_a_part_is_enough(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"target onnxruntime: has no format int3, which the plan gives to up"):
        write(tmp_path, {"up": "int3", "down": "int8"})
    recipe = write(tmp_path, {"up": "int3", "down": "int8"}, partial=True)
    assert [one.tensor for one in recipe.unexpressed] == ["up"]
    assert list(json.loads(recipe.files[0].text)["TensorQuantOverrides"]) == ["down"]


def test_a_plan_that_knows_no_graph_says_so() -> None:
    recipe = write_recipe(make_plan({"w": ((4, 8), "int8 channel")}), "onnxruntime")
    assert json.loads(recipe.files[0].text)["TensorQuantOverrides"] == {
        "w": [{"quant_type": "QInt8", "axis": 0, "symmetric": True}]
    }
    assert any("does not know the graph" in note for note in recipe.notes)
