"""FqnToConfig: written in torchao's form, applied by torchao to a small model, and its weights read back."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
import torch

from qanalysis.plans.recipes.catalogue import write_recipe
from qanalysis.plans.recipes.recipe import Recipe
from qanalysis.quantizers.scheme import Scheme
from tests.plans.recipes.planning import make_plan
from tests.plans.recipes.test_compressed_tensors import make_model

LAYERS = {
    "blocks.0.up.weight": ((96, 64), "int4 sym-full group=32"),
    "blocks.0.down.weight": ((64, 96), "int8 asym channel"),
    "blocks.10.up.weight": ((96, 64), "int3 sym-noclip group=16"),
    "blocks.10.down.weight": ((64, 96), "int2 asym group=48"),
    "embed.weight": ((50, 64), "int5 sym-full channel"),
    "blocks.1.up.weight": ((96, 64), "int8 sym-full tensor"),
    "blocks.1.down.weight": ((64, 96), "fp8_e4m3 channel"),
    "blocks.2.up.weight": ((96, 64), "nvfp4"),
}
KEPT = {"head.weight": 100}


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return write_recipe(make_plan(LAYERS, kept=KEPT), "torchao")


def test_keys_are_exact_names_and_no_default_is_given(recipe: Recipe) -> None:
    data = json.loads(recipe.files[0].text)["_data"]
    assert data["fqn_to_config"] == data["module_fqn_to_config"]
    assert set(data["fqn_to_config"]) == {*(name.removesuffix(".weight") for name in LAYERS), "head"}
    assert data["fqn_to_config"]["head"] is None
    assert not re.search(r"_default|re:", recipe.files[0].text)


def test_the_configuration_is_torchaos_own_and_comes_back_equal(recipe: Recipe) -> None:
    pytest.importorskip("torchao")
    import torchao.prototype.mx_formats  # noqa: F401
    from torchao.core.config import config_from_dict, config_to_dict

    document = json.loads(recipe.files[0].text)
    found = config_from_dict(document)
    assert config_to_dict(found) == document
    assert found == run_script(recipe)["CONFIG"]


def run_script(recipe: Recipe) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(recipe.files[1].text, recipe.files[1].name, "exec"), names)
    return names


def test_the_recipe_is_obeyed_by_torchao(recipe: Recipe) -> None:
    pytest.importorskip("torchao")
    torch.manual_seed(0)
    model = make_model(LAYERS)
    floats = {name: weight.detach().numpy().copy() for name, weight in model.named_parameters()}
    run_script(recipe)["apply"](model)
    weights = dict(model.named_parameters())
    assert not recipe.unexpressed
    assert type(weights["head.weight"].data) is torch.Tensor
    for name, (_shape, text) in LAYERS.items():
        scheme, weight = Scheme.parse(text), weights[name]
        if scheme.format.is_integer and scheme.grouping.rows:
            assert str(weight.target_dtype) == f"torch.{scheme.format}"
            assert tuple(weight.block_size) == (1, scheme.grouping.columns or weight.shape[1])
        # The words of the plan are the grid that torchao lays, bit for bit.
        planned = scheme.fit(floats[name]).round_trip(floats[name])
        assert np.array_equal(weight.dequantize().float().numpy(), planned), name


@pytest.mark.parametrize(
    ("name", "shape", "scheme", "reason", "instead"),
    [
        (
            "a.b.weight",
            (64, 100),
            "int4 group=64",
            "rows of 100 values are not divisible by the group of 64",
            "in float",
        ),
        ("a.b.weight", (60, 64), "nvfp4", "sides that are divisible by 16", "in float"),
        ("a.in_proj_weight", (64, 64), "nvfp4", "weight of a module only", "in float"),
        ("a.b.weight", (64, 96), "int4 tensor", "no granularity tensor for int4", "one scale for each row"),
        ("a.b.weight", (64, 96), "int8 asym tensor", "no granularity tensor for int8", "one scale for each row"),
        ("a.b.weight", (64, 96), "int4 block=8x64", "no granularity block=8x64", "groups of 32 in a row"),
        ("a.b.weight", (4, 64, 64), "int4 group=32", "this tensor has 3 dimensions", "in float"),
        ("a.b.weight", (64, 64), "bfloat16", "does not cast single layers", "load the model in bfloat16"),
    ],
)
def test_what_torchao_has_no_word_for_is_listed(
    name: str, shape: tuple[int, ...], scheme: str, reason: str, instead: str
) -> None:
    (one,) = write_recipe(make_plan({name: (shape, scheme)}), "torchao").unexpressed
    assert reason in one.reason
    assert instead in one.instead


def test_parameters_of_other_names_have_their_full_name_as_key() -> None:
    recipe = write_recipe(make_plan({"attn.in_proj_weight": ((96, 32), "int4 sym-full group=32")}), "torchao")
    assert list(json.loads(recipe.files[0].text)["_data"]["fqn_to_config"]) == ["attn.in_proj_weight"]
    pytest.importorskip("torchao")
    model = torch.nn.Module()
    model.attn = torch.nn.MultiheadAttention(32, 2)
    run_script(recipe)["apply"](model)
    assert str(model.attn.in_proj_weight.target_dtype) == "torch.int4"


def test_types_of_scales_are_asked_for() -> None:
    recipe = write_recipe(make_plan({"a.b.weight": ((64, 64), "int4 group=32 scale=bfloat16")}), "torchao")
    assert "scale_dtype=torch.bfloat16" in recipe.files[1].text
    assert any("int4 sym (step = absmax / 7), torchao makes int4 sym-full" in note for note in recipe.notes)


def test_formats_without_a_weight_only_configuration_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"target torchao: has no format mxfp4, .*; compressed-tensors, .* know all of them"
    ):
        write_recipe(make_plan({"a.b.weight": ((64, 64), "mxfp4")}), "torchao")


def test_a_group_longer_than_the_row_is_the_row() -> None:
    plan = make_plan(
        {"a.b.weight": ((64, 48), "int4 sym-full group=128"), "a.c.weight": ((64, 64), "int4 sym-full group=64")}
    )
    recipe = write_recipe(plan, "torchao")
    assert not recipe.unexpressed
    assert "'a.b', IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=PerAxis(axis=0)" in recipe.files[1].text
    assert (
        "'a.c', IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=PerGroup(group_size=64)"
        in recipe.files[1].text
    )


@pytest.mark.parametrize("target", ["torchao", "compressed-tensors", "mlx", "gptqmodel", "auto-round"])
def test_names_of_a_gguf_file_are_told_to_be_others(target: str) -> None:
    plan = make_plan({"blk.0.attn_q.weight": ((64, 64), "int4 sym-full group=64")}, path="model.gguf")
    assert any("names are those of a GGUF file" in note for note in write_recipe(plan, target).notes)
