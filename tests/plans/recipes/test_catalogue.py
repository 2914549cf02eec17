"""Every target: plans of a real sweep come through, and what it does not know is refused in one line that tells who does."""

from __future__ import annotations

import re

import pytest

import qanalysis
from qanalysis.plans.planning import plan_bits
from qanalysis.plans.recipes.catalogue import TARGETS, Target, find_target, write_recipe
from qanalysis.quantizers.formats import FORMATS
from qanalysis.quantizers.scheme import Scheme
from tests.plans.recipes.planning import make_plan

#: The others need the float model, or a plan of an ONNX model: their own tests have these.
BY_NAME = pytest.mark.parametrize(
    "target", [target for target in TARGETS if not target.needs], ids=lambda target: target.name
)


def test_names_are_unique_and_unknown_ones_are_refused_with_all_of_them() -> None:
    names = [target.name for target in TARGETS]
    assert len(set(names)) == len(names)
    with pytest.raises(ValueError, match=r"target 'tensorrt': is none of llama\.cpp, compressed-tensors"):
        find_target("tensorrt")


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("llama_cpp", "llama.cpp"),
        ("LlamaCpp", "llama.cpp"),
        ("llama-quantize", "llama.cpp"),
        ("ORT", "onnxruntime"),
        ("onnx-runtime", "onnxruntime"),
        ("compressed_tensors", "compressed-tensors"),
        ("LLM Compressor", "llm-compressor"),
        ("AutoRound", "auto-round"),
        ("model_explorer", "model-explorer"),
        ("MatMulNBits", "matmul-nbits"),
        ("GPTQ", "gptqmodel"),
        ("mlx_lm", "mlx"),
        ("TensorRT-Model-Optimizer", "modelopt"),
    ],
)
def test_a_target_is_found_however_people_write_it(asked: str, name: str) -> None:
    assert find_target(asked).name == name


def test_no_word_stands_for_two_targets() -> None:
    words = [re.sub(r"[^a-z0-9]", "", one.lower()) for target in TARGETS for one in (target.name, *target.aliases)]
    assert len(set(words)) == len(words)


@BY_NAME
def test_every_format_is_written_or_refused_in_one_line(target: Target) -> None:
    if not target.formats:
        pytest.skip("its writer tells")
    for name, fmt in FORMATS.items():
        plan = make_plan({"model.layers.0.mlp.up_proj.weight": ((256, 256), str(Scheme(fmt)))})
        if target.knows(name):
            assert target.write(plan, partial=False).files
            continue
        with pytest.raises(ValueError, match=f"has no format {name}") as error:
            target.write(plan, partial=False)
        assert "\n" not in str(error.value)
        (one,) = target.write(plan, partial=True).unexpressed
        assert one.tensor == "model.layers.0.mlp.up_proj.weight"


@BY_NAME
def test_a_plan_of_a_sweep_is_written_whole(target: Target) -> None:
    texts = [
        text for text in ("int8 channel", "int4 group=32", "gguf:q8_0", "gguf:q4_0") if target.knows(text.split()[0])
    ]
    rows = qanalysis.sweep(qanalysis.open_checkpoint("sample:words-transformer"), map(Scheme.parse, texts))
    plan = plan_bits(rows, budget_bpw=8)
    recipe = qanalysis.write_recipe(plan, target.name)
    listed = {one.tensor for one in recipe.unexpressed}
    text = "".join(file.text for file in recipe.files)
    for tensor in plan.assignments:
        if target.name != "llama.cpp":  # which calls them otherwise
            stem = re.sub(r"[._]", "", tensor.removesuffix(".weight"))
            assert tensor in listed or stem in re.sub(r"[\\./_]", "", text)


@BY_NAME
def test_hundreds_of_layers_are_written_whole(target: Target) -> None:
    texts = [text for text in ("int8 group=128", "int8 channel", "gguf:q8_0") if target.knows(text.split()[0])]
    names = [f"model.layers.{number}.mlp.up_proj.weight" for number in range(300)]
    missed = [
        len(write_recipe(make_plan(dict.fromkeys(names, ((256, 256), text))), target.name).unexpressed)
        for text in texts
    ]
    assert min(missed, default=0) == 0


@BY_NAME
def test_a_name_of_several_lines_breaks_no_message(target: Target) -> None:
    plan = make_plan({"a\nb.weight": ((64, 64), "binary")})
    with pytest.raises(ValueError, match="has no format binary") as error:
        write_recipe(plan, target.name)
    assert "\n" not in str(error.value)
