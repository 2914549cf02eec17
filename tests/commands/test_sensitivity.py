"""`sensitivity` as a person meets it: a ranking, a document, files, a limit to what is asked, and mistakes on one line."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from qanalysis.reports.report import read_result
from tests.commands.asking import ask

SAMPLE = ("sensitivity", "sample:digits-mlp", "--calib", "sample", "--samples", "30", "--measures", "none")

FACTORIES = """
import sys
from torch import nn

def make():
    print("made")
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))

def fail():
    raise RuntimeError("no\\nsuch luck")

def leave():
    sys.exit(3)

class Hungry(nn.Linear):
    def forward(self, x):
        import torch
        return torch.empty(1 << 50).sum() + super().forward(x)

def hungry():
    return Hungry(6, 3)

def number():
    return 3
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("own_models_of_a_test.py").write_text(FACTORIES)
    draw = np.random.default_rng(0).normal
    np.savez("data.npz", x=draw(size=(20, 6)).astype(np.float32), y=np.arange(20) % 3)
    np.savez("narrow.npz", x=draw(size=(20, 5)).astype(np.float32))
    np.savez("empty.npz", x=np.zeros((0, 6), np.float32))
    np.savez("holes.npz", x=np.full((2, 6), np.nan, np.float32))
    np.savez("classes.npz", x=draw(size=(4, 6)).astype(np.float32), y=np.array([0, 1, 2, 7]))
    Path("text.npz").write_text("no archive")
    return tmp_path


def test_the_layers_are_ranked_on_standard_output() -> None:
    result = ask(*SAMPLE, "--bits", "4")
    assert result.exit_code == 0, result.stderr
    lead, data, *_rest = result.stdout.splitlines()
    assert lead.startswith("What quantizing the weights of each layer alone to int4 channel does to the output of")
    assert data.startswith("30 samples, 30 tokens of sample:digits-mlp; float accuracy")
    ranked = result.stdout.split("Layers that hurt most at int4 channel\n")[1].splitlines()[1:4]
    assert {line.split()[1] for line in ranked} == {"fc1.weight", "fc2.weight", "fc3.weight"}


def test_one_document_fits_its_schema_and_holds_every_cell() -> None:
    words = ("--bits", "4,8", "--target", "weights,both", "--mode", "enable-one,cumulative", "--metric", "output_kl")
    result = ask(*SAMPLE, *words, "--json")
    document = json.loads(result.stdout, parse_constant=pytest.fail)
    schema = json.loads(files("qanalysis").joinpath("schema/sensitivity.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(schema).validate(document)
    cells = {(row["tensor"], row["scheme"], row["target"], row["mode"]) for row in document["rows"]}
    assert len(cells) == len(document["rows"]) == 3 * 2 * 2 * 2
    assert document["settings"]["metric"] == "output_kl"
    assert {row["samples"] for row in document["rows"]} == {30}
    alone = [
        row
        for row in document["rows"]
        if (row["scheme"], row["target"], row["mode"]) == ("int4 channel", "weights", "enable-one")
    ]
    by_damage = sorted(alone, key=lambda row: -row["output_kl"])
    assert [row["rank"] for row in by_damage] == sorted(row["rank"] for row in alone)


def test_floors_and_joint_runs_can_be_left_out() -> None:
    result = ask(*SAMPLE, "--bits", "4", "--no-floor", "--no-additivity", "--json")
    document = json.loads(result.stdout)
    assert {row["noise_floor_sqnr_db"] for row in document["rows"]} == {None}
    assert not {"floor", "additivity"} & document.keys()


def test_files_read_back_to_the_same_rows(tmp_path: Path) -> None:
    outputs = [str(tmp_path / f"rows.{suffix}") for suffix in ("json", "csv", "parquet", "html")]
    result = ask(*SAMPLE, "--bits", "4", *[word for path in outputs for word in ("--out", path)])
    assert result.exit_code == 0, result.stderr
    tables = [read_result(path) for path in outputs[:3]]
    for name in ("tensor", "output_sqnr_db", "output_kl_p99_high", "rank", "noise_floor_sqnr_db"):
        for other in tables[1:]:
            assert list(other.column(name)) == list(tables[0].column(name))
    assert "fc1.weight" in Path(outputs[3]).read_text("utf-8")
    assert ask("report", outputs[0], "--out", str(tmp_path / "again.html")).exit_code == 0


def test_a_factory_of_ones_own_speaks_on_standard_error_alone(here: Path) -> None:
    words = ("sensitivity", "own_models_of_a_test:make", "--calib", "data.npz", "--bits", "4", "--measures", "none")
    result = ask(*words, "--json")
    document = json.loads(result.stdout)
    assert [row["tensor"] for row in document["rows"]] == ["0.weight", "2.weight"]
    assert {row["accuracy"] is not None for row in document["rows"]} == {True}


@pytest.mark.parametrize(
    ("model", "words", "told"),
    [
        ("fail", ["--calib", "data.npz"], "raises RuntimeError: no such luck"),
        ("leave", ["--calib", "data.npz"], "raises SystemExit: 3"),
        ("number", ["--calib", "data.npz"], "must return a torch.nn.Module"),
        ("hungry", ["--calib", "data.npz"], "there is no memory to run the model on x float32 (2, 6)"),
        ("make", ["--calib", "narrow.npz"], r"does not run on x float32 (2, 5)"),
        ("make", ["--calib", "empty.npz"], "holds no samples"),
        ("make", ["--calib", "holes.npz"], "holds 12 values that are not finite"),
        ("make", ["--calib", "classes.npz"], "the labels reach 7 and the model has 3 classes"),
        ("make", ["--calib", "text.npz"], "can not be read"),
        ("make", ["--calib", "nowhere.npz"], "does not exist"),
        ("make", ["--calib", "data.npz", "--target", "wieghts"], "is none of weights, activations, both"),
        ("make", ["--calib", "data.npz", "--mode", "all"], "is none of enable-one, disable-one, cumulative"),
        ("make", ["--calib", "data.npz", "--metric", "beauty"], "layers are ranked by one of output_sqnr_db"),
        ("make", ["--calib", "data.npz", "--measures", "beauty"], "is none of layer_output_error"),
        ("make", ["--calib", "data.npz", "--averaging", "none,moving"], "is none of none, moving"),
        ("make", ["--calib", "data.npz", "--batch", "0"], "at least one sample goes through"),
        ("make", ["--calib", "data.npz", "--samples", "0"], "at least one sample is measured"),
        ("make", ["--calib", "data.npz", "--weights", "nowhere.safetensors"], "does not exist"),
        ("make", ["--calib", "data.npz", "--include", "nothing"], "matches none of the 4 tensors"),
    ],
)
def test_mistakes_are_told_on_one_line(here: Path, model: str, words: list[str], told: str) -> None:
    result = ask("sensitivity", f"own_models_of_a_test:{model}", *words)
    assert result.exit_code == 2, result.stdout
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if line != "made"]
    assert len(lines) == 1
    assert told in lines[0]
