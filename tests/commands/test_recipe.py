"""`recipe`: a plan in the words of a back end, printed or written, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from qanalysis.plans.recipes.catalogue import TARGETS
from qanalysis.reports.report import write_report
from tests.commands.asking import ask
from tests.plans.recipes.planning import make_plan

NAME = "blk.0.attn_q.weight"
LINE = "^blk\\.0\\.attn_q\\.weight$=q8_0\n"


@pytest.fixture
def plan(folder: Path) -> Path:
    path = folder / "plan.json"
    write_report(make_plan({NAME: ((64, 64), "gguf:q8_0")}), path)
    return path


def test_the_first_file_is_printed_and_notes_stand_beside_it(plan: Path) -> None:
    result = ask("recipe", "plan.json", "--target", "llama.cpp")
    assert (result.exit_code, result.stdout) == (0, LINE)
    assert "run: llama-quantize --tensor-type-file" in result.stderr


def test_out_takes_a_file_or_a_folder(plan: Path) -> None:
    result = ask("recipe", "plan.json", "--target", "llama.cpp", "--out", "types.txt", "--out", "made/")
    assert (result.exit_code, result.stdout) == (0, "")
    assert Path("types.txt").read_text("utf-8") == Path("made/tensor_types.txt").read_text("utf-8") == LINE
    assert Path("made/llama-quantize.sh").read_text("utf-8").startswith("#!/bin/sh")
    assert "wrote types.txt" in result.stderr


def test_a_place_without_a_suffix_is_a_folder_where_there_are_several_files(plan: Path) -> None:
    assert ask("recipe", "plan.json", "--target", "llama.cpp", "--out", "made").exit_code == 0
    assert sorted(file.name for file in Path("made").iterdir()) == ["llama-quantize.sh", "tensor_types.txt"]
    result = ask("recipe", "plan.json", "--target", "llama.cpp", "--out", "types.txt")
    assert "types.txt is the first of 2 files; give a folder to have llama-quantize.sh too" in result.stderr


def test_json_is_one_document(plan: Path) -> None:
    document = json.loads(ask("recipe", "plan.json", "--target", "llama.cpp", "--json").stdout)
    assert list(document) == ["target", "files", "unexpressed", "notes"]
    assert document["files"][0] == {"name": "tensor_types.txt", "text": LINE}


def test_what_can_not_be_expressed_is_counted_and_named(folder: Path) -> None:
    long = "mystery." * 40
    write_report(
        make_plan(
            {
                NAME: ((64, 64), "gguf:q8_0"),
                "blk.0.attn_k.weight": ((64, 48), "gguf:q4_0"),
                long: ((64, 48), "gguf:q4_0"),
            }
        ),
        "plan.json",
    )
    result = ask("recipe", "plan.json", "--target", "llama.cpp")
    assert result.exit_code == 0
    assert "2 tensors of the plan can not be expressed:\n" in result.stderr
    assert "- blk.0.attn_k.weight: gguf:q4_0\n" in result.stderr
    assert long not in result.stderr
    assert max(map(len, result.stderr.splitlines())) < 300


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["plan.json"], "error: --target is missing; give one of llama.cpp"),
        (["plan.json", "--target", "tflite"], "error: target 'tflite': is none of llama.cpp"),
        (["none.json", "--target", "llama.cpp"], "none.json: no such file"),
        (["rows.json", "--target", "llama.cpp"], "rows.json: holds a result of `qanalysis convert`, not a plan"),
        (
            ["ints.json", "--target", "llama.cpp"],
            "target llama.cpp: has no format int4, which the plan gives to fc1.weight",
        ),
        (["plan.json", "--target", "llama.cpp", "--out", "plan.json"], "--out plan.json: is the plan itself"),
        (["plan.json", "--target", "llama.cpp", "--out", "none/deep/"], "folder none/deep does not exist"),
    ],
)
def test_mistakes_are_told_in_one_line(words: list[str], message: str, plan: Path) -> None:
    ask("convert", "--bits", "8", "--range", "0:12", "--out", "rows.json")
    write_report(make_plan({"fc1.weight": ((64, 64), "int4 group=32")}), "ints.json")
    result = ask("recipe", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    *listed, last = result.stderr.splitlines()
    assert message in last
    assert len(listed) == (len(TARGETS) if len(words) == 1 else 0)


def test_partial_writes_the_rest(folder: Path) -> None:
    write_report(make_plan({NAME: ((64, 64), "gguf:q8_0"), "blk.0.attn_k.weight": ((64, 64), "int4")}), "plan.json")
    result = ask("recipe", "plan.json", "--target", "llama.cpp", "--partial")
    assert (result.exit_code, result.stdout) == (0, LINE)
    assert "llama.cpp has no format int4" in result.stderr


def test_the_float_model_gives_scales_that_the_plan_does_not_hold(folder: Path) -> None:
    np.savez("model.npz", w=np.float32([[0.7, -0.3]]))
    write_report(make_plan({"w": ((1, 2), "int4")}), "plan.json")
    ask("recipe", "plan.json", "--target", "onnxruntime", "--source", "model.npz", "--out", "made.json")
    entry = json.loads(Path("made.json").read_text("utf-8"))["TensorQuantOverrides"]["w"]
    assert entry == [{"quant_type": "QInt4", "scale": pytest.approx(0.1), "zero_point": 0}]  # 0.7 / 7


def test_a_float_model_that_is_another_is_refused(folder: Path) -> None:
    np.savez("model.npz", v=np.float32([[0.7, -0.3]]))
    write_report(make_plan({"w": ((1, 2), "int4")}), "plan.json")
    result = ask("recipe", "plan.json", "--target", "onnxruntime", "--source", "model.npz")
    assert result.exit_code == 2
    assert "the plan has 'w', model.npz does not; give the file it was made of" in result.stderr
    assert ask("recipe", "plan.json", "--target", "onnxruntime", "--source", "no.npz").exit_code == 2
