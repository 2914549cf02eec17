"""`forms` as a person meets it: nine forms of a sample, a choice of them, and mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from qanalysis.reports.report import read_result
from tests.commands.asking import ask, ask_json

SAMPLE = ("forms", "sample:digits-mlp", "--calib", "sample", "--samples", "30")


def test_nine_forms_of_a_sample_with_the_view_on_standard_output() -> None:
    result = ask(*SAMPLE)
    assert result.exit_code == 0, result.stderr
    assert "digits-mlp: smallest form within 1 point of the float accuracy is" in result.stdout
    view = result.stdout.split("Weights, activations, both\n")[1].splitlines()
    assert view[0].split("  ")[0] == "accuracy · layer error · size"
    assert view[0].split()[-5:] == ["8", "bit", "4", "bit", "binary"]
    assert [line.split()[0] for line in view[1:4]] == ["weights", "activations", "both"]


def test_one_document_has_a_row_for_each_form_and_says_what_was_asked() -> None:
    document = ask_json(*SAMPLE, "--bits", "8,1", "--target", "weights,both", "--grouping", "group=32", "--keep", "fc3")
    assert [row["form"] for row in document["rows"]] == ["W8", "W1", "W8A8", "W1A1"]
    assert [row["weight_scheme"] for row in document["rows"][:2]] == ["int8 group=32", "binary channel"]
    assert document["settings"]["keep"] == "fc3"
    assert document["settings"]["samples"] == 30
    assert {row["samples"] for row in document["rows"]} == {30}


def test_forms_and_schemes_that_are_written_out_go_into_files(tmp_path: Path) -> None:
    outputs = [str(tmp_path / name) for name in ("rows.csv", "rows.html")]
    forms = ("--form", "W4A8", "--form", "W(int4 asym group=32)")
    assert ask(*SAMPLE, *forms, "--out", outputs[0], "--out", outputs[1]).exit_code == 0
    table = read_result(outputs[0])
    assert list(table.column("form")) == ["W4A8", "W(int4 asym group=32)"]
    assert "Size against accuracy" in Path(outputs[1]).read_text("utf-8")


def test_a_form_is_repaired_saved_shown_and_measured_as_it_comes_out_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "w3a8.safetensors"
    saved = ask_json(*SAMPLE, "--form", "W3A8", "--repair", "gptq+bias", "--save", str(path))
    assert [(row["form"], row["repair"]) for row in saved["rows"]] == [("W3A8", ""), ("W3A8", "gptq+bias")]
    loaded = ask_json(*SAMPLE, "--load", str(path))
    (row,) = loaded["rows"]
    figures = ("form", "repair", "output_sqnr_db", "output_sqnr_db_low", "layer_error", "accuracy", "loss")
    assert [row[name] for name in figures] == [saved["rows"][1][name] for name in figures]
    assert loaded["settings"]["loaded"] == "w3a8.safetensors"
    shown = ask("show", str(path))
    assert shown.stdout.count("qanalysis int3 channel") >= 3
    weights = ask_json(*SAMPLE, "--weights", str(path), "--form", "W8")
    assert weights["rows"][0]["status"] == "ok"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        pytest.param(("--form", "W4", "--bits", "8"), "--form and --bits exclude each other", id="both-ways"),
        pytest.param(("--form", "8"), "form '8': write W for weights", id="no-form"),
        pytest.param(("--bits", "99"), "99 bits; integers have 2 to 16", id="wide"),
        pytest.param(("--target", "weight"), "'weight' is none of weights, activations, both", id="target"),
        pytest.param(("--grouping", "rows"), "grouping 'rows' is unknown", id="grouping"),
        pytest.param(("--scheme", "int4 group=0"), "group=0", id="scheme"),
        pytest.param(("--keep", "fc"), "fc", id="all-kept"),
        pytest.param(("--keep", "("), "(", id="expression"),
        pytest.param(("--repair", "glue"), "repair 'glue' is unknown", id="repair"),
        pytest.param(("--save", "form.safetensors"), "a file holds one form", id="nine-in-one-file"),
        pytest.param(("--form", "W8", "--save", "form.pt"), "a form is written as .safetensors, .onnx", id="suffix"),
        pytest.param(("--form", "W8", "--save", "no/form.onnx"), "folder no does not exist", id="folder"),
        pytest.param(("--load", "no.safetensors"), "the form 'no.safetensors' does not exist", id="no form"),
        pytest.param(("--form", "W8", "--load", "form.safetensors"), "a saved form is measured by itself", id="load"),
        pytest.param(("--load", "form.safetensors"), "form.safetensors", id="no-file"),
    ],
)
def test_a_mistake_is_one_line(words: tuple[str, ...], told: str) -> None:
    result = ask(*SAMPLE, *words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert told in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
