"""The predicate and the configuration of MLX, applied where it is installed, and bits read back from what is stored."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from qanalysis.plans.recipes.catalogue import write_recipe
from qanalysis.plans.recipes.recipe import Recipe
from qanalysis.quantizers.scheme import Scheme
from tests.plans.recipes.planning import make_plan

LAYERS = {
    "embed.weight": ((50, 128), "int8 asym group=64 scale=float16"),
    "up.weight": ((96, 128), "int3 asym group=32 scale=float16"),
    "down.weight": ((128, 96), "mxfp8_e4m3"),
    "gate.weight": ((96, 128), "mxfp4"),
    "side.weight": ((128, 96), "nvfp4:one-level"),
    "wide.weight": ((96, 128), "int6 group=128"),
}
PARAMETERS = {
    "embed": {"group_size": 64, "bits": 8, "mode": "affine"},
    "up": {"group_size": 32, "bits": 3, "mode": "affine"},
    "down": {"group_size": 32, "bits": 8, "mode": "mxfp8"},
    "gate": {"group_size": 32, "bits": 4, "mode": "mxfp4"},
    "side": {"group_size": 16, "bits": 4, "mode": "nvfp4"},
    "wide": {"group_size": 128, "bits": 6, "mode": "affine"},
}


def run_predicate(recipe: Recipe) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(recipe.files[0].text, recipe.files[0].name, "exec"), names)
    return names


class Quantizable:
    def to_quantized(self) -> None: ...


def test_the_predicate_gives_each_layer_its_parameters_and_keeps_all_others() -> None:
    recipe = write_recipe(make_plan(LAYERS, kept={"head.weight": 9}), "mlx")
    predicate = run_predicate(recipe)["predicate"]
    for path, parameters in PARAMETERS.items():
        assert predicate(path, Quantizable()) == parameters
        assert predicate(path, object()) is False
    assert predicate("head", Quantizable()) is False
    assert not recipe.unexpressed


def test_the_configuration_has_every_path_twice_over() -> None:
    config = json.loads(write_recipe(make_plan(LAYERS), "mlx").files[1].text)
    assert config["quantization"] == config["quantization_config"]
    assert {path: config["quantization"][path] for path in PARAMETERS} == PARAMETERS


def test_the_length_that_mlx_lm_is_called_with_divides_the_rows_of_every_layer() -> None:
    recipe = write_recipe(make_plan(LAYERS), "mlx")
    base = run_predicate(recipe)["BASE"]
    assert base == {"q_group_size": 16, "q_bits": 4, "q_mode": "nvfp4"}
    assert all(shape[-1] % base["q_group_size"] == 0 for shape, _scheme in LAYERS.values())
    config = json.loads(recipe.files[1].text)["quantization"]
    assert (config["group_size"], config["bits"], config["mode"]) == (16, 4, "nvfp4")


def test_the_recipe_is_obeyed_by_mlx() -> None:
    pytest.importorskip("mlx.core")
    from mlx import nn

    model = nn.Module()
    for name, (shape, _scheme) in {**LAYERS, "head.weight": ((50, 128), "")}.items():
        path = name.removesuffix(".weight")
        model[path] = nn.Embedding(*shape) if path == "embed" else nn.Linear(shape[1], shape[0])
    nn.quantize(model, class_predicate=run_predicate(write_recipe(make_plan(LAYERS), "mlx"))["predicate"])
    assert type(model["head"]) is nn.Linear
    for path, wanted in PARAMETERS.items():
        layer, (shape, _scheme) = model[path], LAYERS[f"{path}.weight"]
        assert {"group_size": layer.group_size, "bits": layer.bits, "mode": layer.mode} == wanted
        parts = [layer[part] for part in ("weight", "scales", "biases") if part in layer]
        stored = 8 * sum(
            part.size * (2 if part.dtype.size == 4 and part is not parts[0] else part.dtype.size) for part in parts
        )
        # Scale and bias of 16 bits, an exponent or an E4M3 number of 8 otherwise; float32 models store wider ones.
        overhead = 32 if wanted["mode"] == "affine" else 8
        assert stored / (shape[0] * shape[1]) == wanted["bits"] + overhead / wanted["group_size"]


def test_what_the_notes_say_of_grids_is_what_mlx_makes() -> None:
    mx = pytest.importorskip("mlx.core")
    x = np.random.default_rng(0).normal(size=(64, 256)).astype(np.float32)

    def convert(mode: str, group: int, bits: int) -> np.ndarray:
        parts = mx.quantize(mx.array(x), group_size=group, bits=bits, mode=mode)
        return np.array(mx.dequantize(*parts, group_size=group, bits=bits, mode=mode).astype(mx.float32))

    def plan_for(text: str) -> np.ndarray:
        return Scheme.parse(text).fit(x).round_trip(x)

    assert np.array_equal(convert("nvfp4", 16, 4), plan_for("nvfp4:one-level"))
    assert not np.array_equal(convert("mxfp8", 32, 8), plan_for("mxfp8_e4m3"))
    notes = write_recipe(make_plan({"a.weight": ((64, 64), "mxfp8_e4m3")}), "mlx").notes
    assert any("powers of two by a rule of its own" in note for note in notes)


@pytest.mark.parametrize(
    ("shape", "scheme", "reason", "instead"),
    [
        ((64, 96), "int4 group=64", "rows of 96 values do not go into groups of 64", "stays in float"),
        ((64, 72), "mxfp4", "rows of 72 values do not go into groups of 32", "stays in float"),
        ((64, 72), "int4 channel", "rows of 72 values do not go into groups of 32", "stays in float"),
        ((64, 512), "int4 group=256", "no group=256", "groups of 128"),
        ((64, 256), "int4 channel", "no channel", "groups of 128"),
        ((64, 96), "int4 tensor", "no tensor", "groups of 32"),
        ((64, 64, 3, 3), "int4 group=32", "weights of modules", "stays in float"),
        ((64, 64), "float16", "does not cast single layers", "load the model in float16"),
    ],
)
def test_what_mlx_has_no_mode_for_is_listed(shape: tuple[int, ...], scheme: str, reason: str, instead: str) -> None:
    (one,) = write_recipe(make_plan({"a.weight": (shape, scheme)}), "mlx").unexpressed
    assert reason in one.reason
    assert instead in one.instead


def test_experts_of_a_layer_are_one_module_with_one_scheme() -> None:
    names = [f"model.layers.0.block_sparse_moe.experts.{number}.w2.weight" for number in range(3)]
    schemes = ["int4 group=32", "int8 group=32", "int4 group=32"]
    recipe = write_recipe(
        make_plan({name: ((64, 64), scheme) for name, scheme in zip(names, schemes, strict=True)}), "mlx"
    )
    layers = run_predicate(recipe)["LAYERS"]
    assert layers == {
        "model.layers.0.block_sparse_moe.switch_mlp.down_proj": {"group_size": 32, "bits": 8, "mode": "affine"}
    }
    assert [one.tensor for one in recipe.unexpressed] == [names[0], names[2]]


def test_the_affine_grid_is_told_to_be_another_one() -> None:
    notes = write_recipe(
        make_plan({"a.weight": ((64, 64), "int4 group=64"), "b.weight": ((64, 64), "nvfp4")}), "mlx"
    ).notes
    assert any("b + 32/g bits per weight" in note and "another than planned" in note for note in notes)
    assert any("nvfp4:one-level" in note for note in notes)


def test_a_width_that_mlx_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="target mlx: has no format int7"):
        write_recipe(make_plan({"a.weight": ((64, 64), "int7")}), "mlx")


def test_a_group_longer_than_the_row_is_the_row() -> None:
    recipe = write_recipe(
        make_plan({"a.weight": ((64, 64), "int4 group=128"), "b.weight": ((64, 64), "int4 channel")}), "mlx"
    )
    assert [one["group_size"] for one in run_predicate(recipe)["LAYERS"].values()] == [64, 64]
    assert not recipe.unexpressed
