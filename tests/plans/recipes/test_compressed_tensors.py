"""Config groups, applied by compressed-tensors where it is installed, and held against its documented form elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from qanalysis.plans.plan import Plan
from qanalysis.plans.recipes.catalogue import write_recipe
from qanalysis.plans.recipes.compressed_tensors import name_target
from qanalysis.quantizers.scheme import Scheme
from tests.plans.recipes.planning import make_header, make_plan

LAYERS = {
    "blocks.0.up.weight": ((96, 64), "int4 sym-full group=32"),
    "blocks.0.down.weight": ((64, 96), "int8 asym channel"),
    "blocks.10.up.weight": ((96, 64), "int3 sym-full tensor"),
    "embed.weight": ((50, 64), "int8 sym-full channel"),
    "Linear.weight": ((64, 64), "fp8_e4m3 channel"),
    "blocks.1.up.weight": ((96, 64), "nvfp4"),
    "blocks.1.down.weight": ((64, 96), "mxfp4"),
    "blocks.2.up.weight": ((96, 64), "mxfp8_e4m3"),
    "blocks.2.down.weight": ((64, 96), "mxfp6_e2m3"),
}
KEPT = {"head.weight": 100, "norm.weight": 10, "blocks.0.up.bias": 4}


def read_config(plan: Plan, **options: Any) -> Any:
    return json.loads(write_recipe(plan, "compressed-tensors", **options).files[0].text)


def find_weights(config: Mapping[str, Any], module: str) -> dict[str, Any] | None:
    """The weights of the first group with the module's own name as a target."""
    if name_target(module) in config["ignore"]:
        return None
    groups = [group for group in config["config_groups"].values() if name_target(module) in group["targets"]]
    assert len(groups) < 2
    return groups[0]["weights"] if groups else None


def test_every_module_is_in_one_group_and_what_is_kept_is_ignored() -> None:
    config = read_config(make_plan(LAYERS, kept=KEPT))
    for name in LAYERS:
        assert find_weights(config, name.removesuffix(".weight")) is not None
    assert config["ignore"] == ["re:^head$"]
    assert find_weights(config, "blocks.0.up") == {
        "num_bits": 4,
        "type": "int",
        "symmetric": True,
        "strategy": "group",
        "group_size": 32,
        "dynamic": False,
    }


def test_formats_stand_in_the_groups_and_mixed_precision_only_above_them() -> None:
    config = read_config(make_plan(LAYERS))
    assert config["format"] == "mixed-precision"
    formats = {group["format"] for group in config["config_groups"].values()}
    assert formats == {
        *("pack-quantized", "float-quantized", "nvfp4-pack-quantized", "mxfp4-pack-quantized"),
        *("mxfp8-quantized", "mxfp6-pack-quantized"),
    }
    alone = read_config(make_plan({"a.b.weight": ((64, 64), "int4 group=32")}))
    assert alone["format"] == "pack-quantized"


def test_a_name_that_is_also_a_class_is_no_bare_target() -> None:
    assert name_target("Linear") == "re:^Linear$"
    assert name_target("re:a.b") == r"re:^re:a\.b$"
    assert name_target("model.layers.0.q_proj") == "model.layers.0.q_proj"


def test_the_groups_are_obeyed_by_compressed_tensors() -> None:
    pytest.importorskip("compressed_tensors")
    from compressed_tensors.quantization import QuantizationConfig, apply_quantization_config

    model = make_model(LAYERS)
    config = QuantizationConfig.model_validate(read_config(make_plan(LAYERS, kept=KEPT)))
    apply_quantization_config(model, config, show_progress=False)
    found = {}
    for name, module in model.named_modules():
        scheme = getattr(module, "quantization_scheme", None)
        if scheme is not None:
            args = scheme.weights
            found[name] = (args.num_bits, args.type, args.strategy, args.group_size, args.symmetric)
    assert found == {
        "blocks.0.up": (4, "int", "group", 32, True),
        "blocks.0.down": (8, "int", "channel", None, False),
        "blocks.10.up": (3, "int", "tensor", None, True),
        "embed": (8, "int", "channel", None, True),
        "Linear": (8, "float", "channel", None, True),
        "blocks.1.up": (4, "float", "tensor_group", 16, True),
        "blocks.1.down": (4, "float", "group", 32, True),
        "blocks.2.up": (8, "float", "group", 32, True),
        "blocks.2.down": (6, "float", "group", 32, True),
    }
    assert not hasattr(model.get_submodule("head"), "quantization_scheme")


def test_formats_of_the_groups_are_those_that_compressed_tensors_would_take() -> None:
    pytest.importorskip("compressed_tensors")
    from compressed_tensors.compressors.format import infer_module_format
    from compressed_tensors.quantization import QuantizationScheme

    for group in read_config(make_plan(LAYERS))["config_groups"].values():
        scheme = QuantizationScheme.model_validate(group)
        taken = infer_module_format(torch.nn.Linear, scheme).value
        # Weights in fp8 alone have a name of their own for what is stored in the same way.
        assert group["format"] == taken or (group["format"], taken) == ("float-quantized", "naive-quantized")


def make_model(layers: Mapping[str, tuple[tuple[int, ...], str]]) -> torch.nn.Module:
    model = torch.nn.Module()
    for name, (shape, _scheme) in {**layers, "head.weight": ((50, 64), "")}.items():
        *outer, last = name.removesuffix(".weight").split(".")
        place = model
        for part in outer:
            if not hasattr(place, part):
                place.add_module(part, torch.nn.Module())
            place = place.get_submodule(part)
        kind = torch.nn.Embedding(*shape) if last == "embed" else torch.nn.Linear(shape[1], shape[0])
        place.add_module(last, kind)
    return model


def test_llm_compressor_has_the_same_groups_as_yaml() -> None:
    plan = make_plan(LAYERS, kept=KEPT)
    table, script = write_recipe(plan, "llm-compressor").files
    stage = yaml.safe_load(table.text)["quant_stage"]["quant_modifiers"]["QuantizationModifier"]
    config = read_config(plan)
    assert stage == {"ignore": config["ignore"], "config_groups": config["config_groups"]}
    compile(script.text, script.name, "exec")


@pytest.mark.parametrize(
    ("shape", "scheme", "reason", "instead"),
    [
        ((64, 100), "int4 group=64", "rows of 100 values are not divisible by the group of 64", "in `ignore`"),
        ((64, 72), "nvfp4", "rows of 72 values are not divisible by the group of 16", "in `ignore`"),
        ((64, 128), "int4 block=32x64", "block=32x64 is no way", "groups of 64 in a row"),
        ((64, 60), "int4 channel=1", "channel=1 is no way", "one scale for each output channel"),
        ((4, 64, 64), "int4 group=64", "this tensor has 3 dimensions", "stays as it is"),
    ],
)
def test_what_has_no_group_is_listed(shape: tuple[int, ...], scheme: str, reason: str, instead: str) -> None:
    recipe = write_recipe(
        make_plan({"a.b.weight": (shape, scheme), "a.c.weight": ((64, 64), "int4")}), "compressed-tensors"
    )
    (one,) = recipe.unexpressed
    assert one.tensor == "a.b.weight"
    assert reason in one.reason
    assert instead in one.instead


def test_blocks_of_fp8_are_a_strategy() -> None:
    config = read_config(make_plan({"a.b.weight": ((256, 200), "fp8_e4m3 block=128x128")}))
    weights = find_weights(config, "a.b")
    assert weights is not None
    assert (weights["strategy"], weights["block_structure"]) == ("block", [128, 128])


def test_another_symmetric_convention_is_told() -> None:
    notes = write_recipe(make_plan({"a.b.weight": ((64, 64), "int4 group=32")}), "compressed-tensors").notes
    assert any(
        "int4 sym (step = absmax / 7), compressed-tensors makes int4 sym-full (step = absmax / 7.5)" in note
        for note in notes
    )
    same = write_recipe(make_plan({"a.b.weight": ((64, 64), "int4 sym-full group=32")}), "compressed-tensors").notes
    assert not any("another grid" in note for note in same)


def test_plain_floats_are_ignored_and_listed_where_they_would_have_to_be_cast() -> None:
    planned = {"a.b.weight": ((64, 64), "int4 sym-full"), "a.c.weight": ((64, 64), "bfloat16")}
    recipe = write_recipe(make_plan(planned, dtype="bfloat16"), "compressed-tensors")
    assert (json.loads(recipe.files[0].text)["ignore"], recipe.unexpressed) == (["a.c"], ())
    (one,) = write_recipe(make_plan(planned, dtype="float32"), "compressed-tensors").unexpressed
    assert "load the model in bfloat16" in one.instead


def test_weights_that_are_stored_the_other_way_round_are_no_linear_modules() -> None:
    line = make_header("h.0.c_attn.weight", "64x192", view="1")
    for target in ("compressed-tensors", "torchao"):
        (one,) = write_recipe(
            make_plan({"h.0.c_attn.weight": ((64, 192), "int4 group=32")}, tensors=[line]), target
        ).unexpressed
        assert "outputs as columns" in one.reason


def test_a_tied_tensor_is_told_to_come_apart() -> None:
    line = make_header("a.embed.weight", "64x64", aliases=["a.head.weight"])
    for target in ("compressed-tensors", "torchao"):
        recipe = write_recipe(make_plan({"a.embed.weight": ((64, 64), "int4 sym-full")}, tensors=[line]), target)
        assert any("a.embed.weight, a.head.weight" in note for note in recipe.notes)


def test_names_of_any_letters_come_through_yaml_and_json() -> None:
    name = 'möd"ule\\.😀 x'
    table = write_recipe(make_plan({f"a.{name}.weight": ((64, 64), "int4")}), "llm-compressor").files[0]
    groups = yaml.safe_load(table.text)["quant_stage"]["quant_modifiers"]["QuantizationModifier"]["config_groups"]
    assert groups["group_0"]["targets"] == [f"a.{name}"]


def test_what_the_notes_say_of_grids_is_what_compressed_tensors_makes() -> None:
    pytest.importorskip("compressed_tensors")
    from compressed_tensors.quantization import QuantizationArgs
    from compressed_tensors.quantization.lifecycle.forward import fake_quantize
    from compressed_tensors.quantization.utils.helpers import calculate_qparams

    x = np.random.default_rng(0).normal(size=(64, 256)).astype(np.float32)

    def convert(text: str) -> np.ndarray:
        found = find_weights(read_config(make_plan({"a.b.weight": ((64, 256), text)})), "a.b")
        assert found is not None
        args, weight = QuantizationArgs.model_validate(found), torch.from_numpy(x)
        groups = weight.reshape(64, -1, found.get("group_size") or 256)
        scale, zero_point = calculate_qparams(groups.amin(-1), groups.amax(-1), args)
        done: np.ndarray = fake_quantize(weight, scale, None if args.symmetric else zero_point, args).numpy()
        return done

    for text in ("int4 sym-full group=32", "int4 asym group=32", "int8 sym-full channel", "fp8_e4m3 channel"):
        planned, done = Scheme.parse(text).fit(x).round_trip(x), convert(text)
        # The largest magnitude lies half way between two codes and may fall on either side, with the same error.
        assert np.isclose(np.abs(done - x), np.abs(planned - x), rtol=0, atol=8 * np.finfo(np.float32).eps).all()
    assert np.abs(convert("mxfp8_e4m3") - Scheme.parse("mxfp8_e4m3").fit(x).round_trip(x)).max() > 0.1
    notes = write_recipe(make_plan({"a.b.weight": ((64, 64), "mxfp8_e4m3")}), "compressed-tensors").notes
    assert any("powers of two by a rule of its own" in note for note in notes)
