"""`activations`: rows and documents of a sample model, notes, files that read back, and refusals."""

import json
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from qanalysis.reports.report import read_result
from tests.commands.asking import ask

MODEL = ("activations", "sample:digits-mlp", "--calib", "sample", "--samples", "20")


def test_the_document_is_that_of_a_sweep_with_a_part_on_activations() -> None:
    result = ask(*MODEL, "--bits", "8", "--side", "input,output", "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout, parse_constant=pytest.fail)
    schema = json.loads(files("qanalysis").joinpath("schema/rows.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(schema).validate(document)
    names = ["fc1:input", "fc1:output", "fc2:input", "fc2:output", "fc3:input", "fc3:output"]
    assert list(dict.fromkeys(row["tensor"] for row in document["rows"])) == names
    assert list(dict.fromkeys(row["scheme"] for row in document["rows"])) == ["int8", "int8 channel", "int8 channel=1"]
    assert [layer["name"] for layer in document["activations"]["layers"]] == names
    assert document["settings"]["samples"] == 20
    assert any("channel=1 one static range of each feature" in entry["reason"] for entry in document["coverage"])


def test_a_written_document_reads_back_with_its_part(tmp_path: Path) -> None:
    out = tmp_path / "rows.json"
    result = ask(
        *MODEL, "--scheme", "int4 channel", "--no-cures", "--out", str(out), "--out", str(tmp_path / "page.html")
    )
    assert result.exit_code == 0, result.stderr
    table = read_result(out)
    assert [row.tensor for row in table] == ["fc1:input", "fc2:input", "fc3:input"]
    assert table.more["activations"]["cures"] == []
    assert (tmp_path / "page.html").stat().st_size > 10_000


def test_what_gains_most_is_told_below_the_tables() -> None:
    result = ask(*MODEL, "--bits", "4", "--grouping", "tensor", "--include", "fc2")
    assert result.exit_code == 0, result.stderr
    assert "Worst tensors" in result.stdout
    assert "'fc2', int4: " in result.stderr
    assert "dB at the output" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--side", "inputs"), "--side 'inputs': 'inputs' is none of input, output, kv"),
        (("--side", "kv"), "the model hands out no cache"),
        (("--include", "nothing"), "no activation is left of 3 layers"),
        (("--disk", "0"), "--disk 0: give room above 0 GiB"),
        (("--batch", "0"), "batch size 0"),
        (("--bits", "4", "--scheme", "int4"), "can not be mixed with"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(words: tuple[str, ...], message: str) -> None:
    result = ask(*MODEL, *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
