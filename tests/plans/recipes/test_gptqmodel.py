"""`dynamic` of GPTQModel, read as its documentation says: expressions from the beginning of a name, the first decides."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from qanalysis.plans.recipes.catalogue import write_recipe
from qanalysis.plans.recipes.recipe import Recipe
from tests.plans.recipes.planning import make_plan

LLAMA = "model.layers."
LAYERS = {
    f"{LLAMA}1.self_attn.q_proj.weight": ((64, 64), "int8 sym-full group=64"),
    f"{LLAMA}1.self_attn.k_proj.weight": ((64, 64), "int8 sym-full group=64"),
    f"{LLAMA}1.self_attn.v_proj.weight": ((64, 64), "int8 sym-full group=64"),
    f"{LLAMA}1.mlp.up_proj.weight": ((512, 64), "int4 sym-full group=32"),
    f"{LLAMA}11.self_attn.q_proj.weight": ((512, 64), "int4 sym-full group=32"),
    f"{LLAMA}1.mlp.down_proj.weight": ((64, 512), "int3 asym channel"),
    "lm_head.weight": ((100, 64), "int8 sym-full group=32"),
}
KEPT = {f"{LLAMA}1.self_attn.o_proj.weight": 9, "model.norm.weight": 1}


def choose_settings(config: Mapping[str, Any], module: str) -> dict[str, Any] | None:
    for key, settings in config["dynamic"].items():
        if re.match(key.removeprefix("+:").removeprefix("-:"), module):
            return None if key.startswith("-:") else settings
    return {name: config[name] for name in ("bits", "group_size", "sym")}


def read_config(recipe: Recipe) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(recipe.files[0].text)
    return config


@pytest.mark.parametrize("backwards", [False, True], ids=["in order", "backwards"])
def test_every_module_gets_its_own_settings_whatever_the_order(backwards: bool) -> None:
    config = read_config(write_recipe(make_plan(LAYERS, kept=KEPT), "gptqmodel"))
    if backwards:
        config["dynamic"] = dict(reversed(config["dynamic"].items()))
    attention, wide = {"bits": 8, "group_size": 64, "sym": True}, {"bits": 4, "group_size": 32, "sym": True}
    assert {name: choose_settings(config, name.removesuffix(".weight")) for name in LAYERS} == {
        **dict.fromkeys(list(LAYERS)[:3], attention),
        **dict.fromkeys(list(LAYERS)[3:5], wide),
        f"{LLAMA}1.mlp.down_proj.weight": {"bits": 3, "group_size": -1, "sym": False},
        "lm_head.weight": {"bits": 8, "group_size": 32, "sym": True},
    }
    assert choose_settings(config, f"{LLAMA}1.self_attn.o_proj") is None
    assert choose_settings(config, f"{LLAMA}1.self_attn.qkv_proj") == attention
    assert config["lm_head"] is True


def test_the_base_is_the_scheme_of_most_elements() -> None:
    config = read_config(write_recipe(make_plan(LAYERS), "gptqmodel"))
    assert (config["bits"], config["group_size"], config["sym"]) == (4, 32, True)


def test_keys_are_anchored_literals() -> None:
    config = read_config(write_recipe(make_plan(LAYERS, kept=KEPT), "gptqmodel"))
    assert all(re.fullmatch(r"[+-]:\^([^.^$*+?()\[\]{}|\\]|\\.)+\$", key) for key in config["dynamic"])


def test_the_script_says_the_same() -> None:
    recipe = write_recipe(make_plan(LAYERS, kept=KEPT), "gptqmodel")
    names: dict[str, Any] = {"QuantizeConfig": dict}
    exec(recipe.files[1].text.replace("from gptqmodel import QuantizeConfig", ""), names)
    assert {"quant_method": "gptq", **names["QUANTIZE_CONFIG"]} == read_config(recipe)


def test_parts_of_merged_modules_with_different_settings_are_told() -> None:
    planned = {**LAYERS, f"{LLAMA}1.self_attn.v_proj.weight": ((64, 64), "int4 sym-full group=64")}
    recipe = write_recipe(make_plan(planned), "gptqmodel")
    assert any("self_attn.qkv_proj is one" in note and "--tie vllm" in note for note in recipe.notes)
    assert not any("qkv" in key for key in read_config(recipe)["dynamic"])


@pytest.mark.parametrize(
    ("shape", "scheme", "reason", "instead"),
    [
        ((64, 100), "int4 group=64", "rows of 100 values are not divisible by the group of 64", "in float"),
        ((64, 96), "int4 group=48", "no group=48", "groups of 32"),
        ((64, 96), "int4 tensor", "no tensor", "one scale for each row"),
        ((4, 64, 64), "int4 group=64", "has 3 dimensions", "stays as it is"),
    ],
)
def test_what_has_no_settings_is_listed(shape: tuple[int, ...], scheme: str, reason: str, instead: str) -> None:
    (one,) = write_recipe(make_plan({"a.b.weight": (shape, scheme)}), "gptqmodel").unexpressed
    assert reason in one.reason
    assert instead in one.instead


def test_experts_of_a_layer_have_a_key_together_where_they_agree() -> None:
    names = [f"{LLAMA}2.mlp.experts.{n}.{part}_proj.weight" for n in range(3) for part in ("gate", "up", "down")]
    same = read_config(write_recipe(make_plan(dict.fromkeys(names, ((64, 64), "int4 sym-full group=32"))), "gptqmodel"))
    assert choose_settings(same, f"{LLAMA}2.mlp.experts") == {"bits": 4, "group_size": 32, "sym": True}
    mixed = {
        **dict.fromkeys(names, ((64, 64), "int4 sym-full group=32")),
        names[4]: ((64, 64), "int8 sym-full group=32"),
    }
    for target in ("gptqmodel", "compressed-tensors", "auto-round"):
        notes = write_recipe(make_plan(mixed), target).notes
        assert any("2.mlp.experts is one" in note and "--tie vllm" in note for note in notes)
