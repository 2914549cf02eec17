"""layer_config of AutoRound: full names, keys that its schemes have, and one format for a whole model."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from qanalysis.plans.recipes.catalogue import write_recipe
from tests.plans.recipes.planning import make_plan

KEYS = {
    *("bits", "group_size", "sym", "data_type", "act_bits", "act_group_size", "act_sym", "act_data_type"),
    *("act_dynamic", "super_bits", "super_group_size", "scheme"),
}
LAYERS = {
    "model.layers.1.fc1.weight": ((64, 64), "int4 group=32"),
    "model.layers.1.fc10.weight": ((64, 64), "int8 channel"),
    "model.layers.11.fc1.weight": ((64, 64), "int2 asym group=64"),
    "model.layers.1.fc2.weight": ((64, 64), "mxfp4"),
    "model.layers.1.fc3.weight": ((64, 64), "nvfp4"),
}


def expand(layers: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """A key that is a layer stands for it alone, another one for every layer in which it is found."""
    found = {name: layers[name] for name in names if name in layers}
    for key in layers.keys() - set(names):
        found |= {name: layers[key] for name in names if re.search(key, name)}
    return found


def test_every_layer_has_its_own_entry() -> None:
    recipe = write_recipe(make_plan(LAYERS, kept={"lm_head.weight": 9}), "auto-round")
    layers = json.loads(recipe.files[0].text)
    modules = [name.removesuffix(".weight") for name in (*LAYERS, "lm_head.weight")]
    found = expand(layers, modules)
    assert [found[name].get("bits", found[name].get("scheme")) for name in modules] == [4, 8, 2, "MXFP4", "NVFP4", 16]
    assert [found[name].get("group_size") for name in modules[:3]] == [32, -1, 64]
    assert [found[name].get("sym") for name in modules[:3]] == [True, True, False]
    assert all(entry.keys() <= KEYS for entry in layers.values())
    assert not recipe.unexpressed
    compile(recipe.files[1].text, recipe.files[1].name, "exec")


def test_gguf_types_stand_by_their_names() -> None:
    plan = make_plan({"a.b.weight": ((64, 64), "gguf:q4_0"), "a.c.weight": ((64, 64), "gguf:q8_0")})
    recipe = write_recipe(plan, "auto-round")
    assert json.loads(recipe.files[0].text) == {"a.b": "GGUF:Q4_0", "a.c": "GGUF:Q8_0"}
    assert 'format="gguf:q4_0"' in recipe.files[1].text


@pytest.mark.parametrize(
    ("shape", "scheme", "reason", "instead"),
    [
        ((100, 64), "int4 group=32", "sides are not divisible by 32", "16 bits"),
        ((64, 64), "int8 asym group=32", "refuses 8-bit asymmetric", "symmetric 8 bits"),
        ((64, 64), "gguf:q4_0", "exported as GGUF or not", "16 bits"),
        ((64, 48), "mxfp4", "rows of 48 values are not divisible by 32", "16 bits"),
        ((64, 64), "int4 tensor", "no tensor", "one scale for each row"),
    ],
)
def test_what_auto_round_does_otherwise_is_listed(
    shape: tuple[int, ...], scheme: str, reason: str, instead: str
) -> None:
    planned = {"a.b.weight": (shape, scheme), "a.c.weight": ((512, 64), "int4 group=32")}
    (one,) = write_recipe(make_plan(planned), "auto-round").unexpressed
    assert one.tensor == "a.b.weight"
    assert reason in one.reason
    assert instead in one.instead


def test_its_symmetric_grid_is_told_to_be_another_one() -> None:
    notes = write_recipe(make_plan(LAYERS), "auto-round").notes
    assert any("lowest code for the value of largest magnitude" in note for note in notes)
