"""MatMulNBits: one setting for each node, applied for real, and read back node by node."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from qanalysis.checkpoints.catalogue import open_checkpoint
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

#: Tensors of the chain, each with what its MatMulNBits must be read as.
MIXED = {
    "a": ("int8 group=32", "int8 group=32"),
    "b": ("int4 group=16", "int4 group=16"),
    "c": ("int4 asym group=32", "int4 group=32 asym"),
    "d": ("int2 asym group=32", "int2 group=32 asym"),
    "e": ("int4 channel", "int4 group=64"),
    "table": ("int4 asym group=16", "uint4 group=16 asym"),
}


def write(tmp_path: Path, schemes: dict[str, str], **keys: bool) -> Recipe:
    return write_recipe(plan_model(save_model(tmp_path, make_chain()), schemes), "matmul-nbits", **keys)


def apply(tmp_path: Path, recipe: Recipe) -> Path:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx_ir")
    made = run_script(recipe, tmp_path, "quantize.py")
    made["quantize"](tmp_path / "model.onnx", tmp_path / "out.onnx")
    return tmp_path / "out.onnx"


def test_every_node_gets_its_own_bits_blocks_and_symmetry(tmp_path: Path) -> None:
    recipe = write(tmp_path, {name: scheme for name, (scheme, _) in MIXED.items()})
    assert not recipe.unexpressed
    out = apply(tmp_path, recipe)
    found = {name.split("_")[0]: info.stored for name, (info, _) in read_tensors(out).items() if info.stored}
    assert {name: text.split(" ", 1)[1] for name, text in found.items()} == {n: s for n, (_, s) in MIXED.items()}
    blocks = {
        node.name: {one.name: one.i for one in node.attribute} for node in onnx.load(out).graph.node if node.domain
    }
    assert blocks["mm_b_Q4"]["block_size"] == 16
    assert blocks["mm_e_Q4"]["block_size"] == 64  # 40 values of a channel, the smallest block that holds them
    assert np.isfinite(run_model(out)).all()


@pytest.mark.parametrize("text", ["int4 asym group=32", "int8 asym group=32", "int2 asym group=16"])
def test_asymmetric_grids_are_those_of_the_plan(tmp_path: Path, text: str) -> None:
    out = apply(tmp_path, write(tmp_path, {"a": text}))
    values = next(values for name, (_, values) in read_tensors(out).items() if name.startswith("a_Q"))
    original = read_tensors(tmp_path / "model.onnx")["a"][1]
    assert np.array_equal(values.T, Scheme.parse(text).fit(original, axis=1).round_trip(original))


def test_the_symmetric_step_is_that_of_the_note(tmp_path: Path) -> None:
    recipe = write(tmp_path, {"a": "int4 group=32"})
    assert any("value of the largest magnitude / -2^(bits-1)" in note for note in recipe.notes)
    values = next(v for name, (_, v) in read_tensors(apply(tmp_path, recipe)).items() if name.startswith("a_Q"))
    blocks = read_tensors(tmp_path / "model.onnx")["a"][1].T.reshape(-1, 32)
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(1)[:, None], 1)
    step = largest / -8
    expected = np.clip(np.round(blocks / step), -8, 7) * step
    # Ties may fall to either side: their reciprocal of the step is rounded.
    assert np.mean(np.abs(values.reshape(-1, 32) - expected) > 1e-6) < 0.01


def test_the_dictionary_by_node_is_what_the_algorithm_rtn_reads(tmp_path: Path) -> None:
    pytest.importorskip("onnx_ir")
    quantizers = pytest.importorskip("onnxruntime.quantization.matmul_nbits_quantizer")
    recipe = write(tmp_path, {"a": "int8 sym-full group=32", "b": "int4 sym-full group=16"})
    content = json.loads(recipe.files[0].text)
    assert content["customized_weight_config"] == {
        "mm_a": {"bits": 8, "group_size": 32, "scheme": "sym"},
        "mm_b": {"bits": 4, "group_size": 16, "scheme": "sym"},
    }
    config = quantizers.RTNWeightOnlyQuantConfig(customized_weight_config=content["customized_weight_config"])
    quantizer = quantizers.MatMulNBitsQuantizer(
        onnx.load(tmp_path / "model.onnx"), algo_config=config, nodes_to_exclude=content["nodes_to_exclude"]
    )
    quantizer.process()
    onnx.save(quantizer.model.model, tmp_path / "rtn.onnx")
    found = {name: info.stored for name, (info, _) in read_tensors(tmp_path / "rtn.onnx").items() if info.stored}
    assert found == {"a_Q8G32": "matmulnbits int8 group=32", "b_Q4G16": "matmulnbits int4 group=16"}


def test_the_default_algorithm_passes_over_the_dictionary(tmp_path: Path) -> None:
    """Why the script makes one run for each setting."""
    pytest.importorskip("onnx_ir")
    quantizers = pytest.importorskip("onnxruntime.quantization.matmul_nbits_quantizer")
    recipe = write(tmp_path, {"a": "int8 group=32"})
    config = quantizers.DefaultWeightOnlyQuantConfig(block_size=32, bits=4)
    config.customized_weight_config = json.loads(recipe.files[0].text)["customized_weight_config"]
    quantizer = quantizers.MatMulNBitsQuantizer(onnx.load(tmp_path / "model.onnx"), algo_config=config)
    quantizer.process()
    onnx.save(quantizer.model.model, tmp_path / "default.onnx")
    stored = {info.stored for info, _ in read_tensors(tmp_path / "default.onnx").values() if info.stored}
    assert stored == {"matmulnbits int4 group=32 asym"}


def test_what_the_operation_can_not_hold_is_listed_and_stays_float(tmp_path: Path) -> None:
    path = save_model(tmp_path, make_model())
    schemes = {
        "table": "int8 group=16",
        "up": "int4 group=24",
        "down": "int4 group=32",
        "filter": "int4 channel",
        "mix": "int4",
        "turned": "int4 group=16",
    }
    recipe = write_recipe(plan_model(path, schemes), "matmul-nbits")
    reasons = {one.tensor: one.reason for one in recipe.unexpressed}
    assert "4 bits alone" in reasons["table"]
    assert "a scale for 24 values; blocks have 16, 32, 64, 128, 256" in reasons["up"]
    assert "Gemm: the quantizer replaces MatMul" in reasons["down"]
    assert "Conv: " in reasons["filter"]
    assert "one scale for the tensor" in reasons["mix"]
    assert "through other operations" in reasons["turned"]
    content = json.loads(recipe.files[0].text)
    assert content["runs"] == []
    assert set(content["nodes_to_exclude"]) >= {"look_up", "proj_up", "fc", "conv", "mixed", "last"}
    assert not any(info.stored for info, _ in read_tensors(apply(tmp_path, recipe)).values())


def test_a_node_without_a_name_is_replaced_alone(tmp_path: Path) -> None:
    path = save_model(tmp_path, make_model())
    recipe = write_recipe(plan_model(path, {"mix": "int4 group=16"}), "matmul-nbits")
    assert json.loads(recipe.files[0].text)["runs"][0]["nodes"] == ["mixed"]
    stored = {name: info.stored for name, (info, _) in read_tensors(apply(tmp_path, recipe)).items() if info.stored}
    assert list(stored) == ["mix_Q4"]


def test_a_plan_without_a_graph_needs_the_model(tmp_path: Path) -> None:
    plan = make_plan({"a": ((64, 32), "int4 group=32")})
    with pytest.raises(ValueError, match=r"target matmul-nbits: names the nodes of a graph.*give --source MODEL\.onnx"):
        write_recipe(plan, "matmul-nbits")
    with open_checkpoint(save_model(tmp_path, make_chain())) as source:
        recipe = write_recipe(plan, "matmul-nbits", source=source)
    assert json.loads(recipe.files[0].text)["runs"][0]["nodes"] == ["mm_a"]


@pytest.mark.parametrize("text", ["int3 group=32", "int16 group=32", "gguf:q4_0"])
def test_bits_that_it_lacks_stop_the_recipe(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=f"target matmul-nbits: has no format {text.split(maxsplit=1)[0]}"):
        write(tmp_path, {"a": text})
