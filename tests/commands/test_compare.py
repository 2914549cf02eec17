"""`compare` as a person meets it: two models, two results, limits, and mistakes in one line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from qanalysis.reports.report import read_result
from tests.commands.asking import ask


def draw(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 0.05, shape).astype(np.float32)


BASE = {
    "model.embed.weight": draw(12, 8),
    "model.layers.0.fc.weight": draw(8, 8, seed=1),
    "model.layers.0.norm.weight": np.ones(8, np.float32),
    "model.old.weight": draw(2, 2),
}


def write(path: Path, tensors: Mapping[str, Any]) -> str:
    save_file(dict(tensors), path)
    return path.name


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """A model, and one that was made of it: another prefix, one tensor changed, one gone, one new."""
    monkeypatch.chdir(tmp_path)
    tuned = {name.removeprefix("model."): values for name, values in BASE.items() if "old" not in name}
    tuned["layers.0.fc.weight"] = tuned["layers.0.fc.weight"] + 0.01 * draw(8, 8, seed=2)
    tuned["new.weight"] = draw(3, 3)
    return write(tmp_path / "a.safetensors", BASE), write(tmp_path / "b.safetensors", tuned)


def test_a_tuned_model_against_its_base_says_what_was_matched_and_which_tensor_changed(models: tuple[str, str]) -> None:
    result = ask("compare", *models)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "A a.safetensors, B b.safetensors"
    assert lines[1].startswith("3 of 5 tensors matched, 1 only in A, 1 only in B; ")
    assert "worst: model.layers.0.fc.weight, " in lines[1]
    assert "pooled over the one weight that differs, 2 are the same value by value; " in lines[1]
    for heading in ("Tensors that differ most", "Not compared, and other names", "Who kept what", "Coverage"):
        assert heading in lines
    assert "e = b − a" in lines[-1]


def test_a_document_holds_the_rows_and_the_pooled_figure(models: tuple[str, str]) -> None:
    result = ask("compare", *models, "--json")
    document = json.loads(result.stdout)
    schema = json.loads(files("qanalysis").joinpath("schema/comparison.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(schema).validate(document)
    assert [row["status"] for row in document["rows"]] == ["ok", "ok", "ok", "only-a", "only-b"]
    assert document["pooled"]["tensors"] == 3
    assert (document["settings"]["a"], document["settings"]["b"]) == models
    assert document["source"]["digest"].startswith("sha256:")


@pytest.mark.parametrize("suffix", [".json", ".csv", ".parquet"])
def test_files_come_back_and_a_page_says_the_same(models: tuple[str, str], tmp_path: Path, suffix: str) -> None:
    rows, page = tmp_path / f"rows{suffix}", tmp_path / "rows.html"
    assert ask("compare", *models, "--out", str(rows), "--out", str(page)).exit_code == 0
    assert read_result(rows).column("tensor_b").tolist()[-1] == "new.weight"
    text = page.read_text("utf-8")
    assert "3 of 5 tensors matched, 1 only in A, 1 only in B" in text
    assert "Who kept what" in text
    assert ask("report", str(rows), "--out", str(tmp_path / "again.html")).exit_code == 0


def test_a_model_against_itself_is_the_same(models: tuple[str, str]) -> None:
    result = ask("compare", models[0], models[0])
    assert "4 of 4 tensors matched; every value of the 4 compared is the same." in result.stdout


def test_structure_alone(models: tuple[str, str]) -> None:
    result = ask("compare", *models, "--structure")
    assert "structure alone, no value was read" in result.stdout
    assert "Tensors that differ most" not in result.stdout


def test_conditions_and_a_workflow_hear_of_what_is_wrong(models: tuple[str, str]) -> None:
    assert ask("compare", *models, "--include", "fc", "--fail-if", "sqnr_db<1").exit_code == 0
    missed = ask("compare", *models, "--include", "fc", "--fail-if", "sqnr_db<90", "--github")
    assert missed.exit_code == 1
    assert "::error" in missed.stdout
    assert ask("compare", *models, "--fail-if", "status==only-a").exit_code == 1
    unknown = ask("compare", *models, "--fail-if", "sqnr<1")
    assert (unknown.exit_code, len(unknown.stderr.splitlines())) == (2, 1)


@pytest.mark.parametrize("place", ["none/summary.md", "."], ids=["no such folder", "a folder"])
def test_a_summary_that_can_not_be_written_changes_nothing_of_the_result(
    models: tuple[str, str], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", place)
    for bound, code in (("1", 0), ("90", 1)):
        words = ["--include", "fc", "--fail-if", f"sqnr_db<{bound}", "--github"]
        result = ask("compare", *models, *words)
        assert result.exit_code == code
        assert "1 of 1 tensors matched" in result.stdout
        assert f"no summary is written, GITHUB_STEP_SUMMARY names '{place}'" in result.stderr


def test_maps_bring_names_together(models: tuple[str, str]) -> None:
    result = ask("compare", *models, "--map", r"^model\.old=new", "--structure", "--json")
    row = next(row for row in json.loads(result.stdout)["rows"] if row["matched_by"] == "map")
    assert (row["tensor_a"], row["tensor_b"], row["status"]) == ("model.old.weight", "new.weight", "shape")


def test_two_results_are_compared_row_by_row(models: tuple[str, str]) -> None:
    for model, rows in zip(models, ("a.json", "b.json"), strict=True):
        assert ask("sweep", model, "--scheme", "int4", "--out", rows).exit_code == 0
    result = ask("compare", "a.json", "b.json", "--map", "^model.=", "--fail-if", "delta_sqnr_db<-30", "--json")
    document = json.loads(result.stdout)
    assert any(row["delta_sqnr_db"] == 0 for row in document["rows"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.safetensors", "none.safetensors"], "'none.safetensors' does not exist"),
        (["a.safetensors", "rows.json"], "'rows.json' is a result and 'a.safetensors' a model"),
        (["a.safetensors", "c.safetensors"], "A has 'model.embed.weight', 'model.layers.0.fc.weight', B has 'other'"),
        (["a.safetensors", "b.safetensors", "--map", "model"], "map 'model': write REGEX=REPLACEMENT"),
        (["a.safetensors", "b.safetensors", "--map", "(=x"], "map '(' is not a regular expression"),
        (["a.safetensors", "b.safetensors", "--map", "zzz=x"], "map 'zzz' finds none of the 4 names of A"),
        (["a.safetensors", "b.safetensors", "--include", "["], "include '['"),
        (["a.safetensors", "b.safetensors", "--include", "zzz"], "leaves none of the 5 tensors"),
        (["a.safetensors", "b.safetensors", "--out", "x.pdf"], "suffix '.pdf' is unknown"),
        (["a.json", "b.json", "--structure"], "--structure is for models"),
        (["a.json", "b.json"], "a.json"),
        (["a.safetensors"], "Missing argument 'B'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_told_in_one_line(models: tuple[str, str], words: list[str], message: str) -> None:
    assert models
    save_file({"other": draw(2, 2)}, "c.safetensors")
    result = ask("compare", *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not result.stdout
