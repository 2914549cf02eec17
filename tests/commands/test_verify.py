"""`verify` from a shell: exit codes, deviations by name, annotations of a workflow, bad input in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from qanalysis.cli import app
from qanalysis.reports.report import write_report
from qanalysis.sweeps.sweep import sweep
from tests.comparisons.quantized_files import UP, make_plan, make_weights, write_own

WEIGHTS = make_weights()
PLAN = make_plan(WEIGHTS, "int4 group=32", "int8 group=32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("verify")
    write_report(PLAN, made / "plan.json")
    write_own(made / "good.safetensors", WEIGHTS, PLAN)
    write_own(made / "bad.safetensors", WEIGHTS, PLAN, {UP: None})
    np.savez(made / "float.npz", **WEIGHTS)
    np.savez(made / "other.npz", another=np.ones((4, 4), np.float32))
    write_report(sweep({"w": np.float32([[1, -0.5]])}, ["int4"]), made / "rows.json")
    (made / "config.json").write_text("{}")
    return made


def _run(folder: Path, *words: str, **env: str) -> tuple[int, str, str]:
    texts = [str(folder / word) if (folder / word).exists() else word for word in words]
    done = CliRunner().invoke(app, ["verify", *texts], env=env)
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda told: told.pop("assignments"), "holds the rows of a plan alone, without its assignments"),
        (lambda told: told["assignments"].update({UP: "int2"}), "assignments"),
        (lambda told: told["assignments"].update(more="int4"), "assignments"),
        (lambda told: told.update(kept_float=["a"]), "kept_float"),
        (lambda told: told.update(kept_float={"a": "b"}), "kept_float must hold the bytes of each tensor"),
    ],
    ids=["rows alone", "edited by hand", "of another plan", "a list", "no bytes"],
)
def test_a_plan_whose_parts_do_not_agree_is_refused(folder: Path, tmp_path: Path, change: Any, match: str) -> None:
    told = json.loads((folder / "plan.json").read_text())
    change(told)
    (tmp_path / "edited.json").write_text(json.dumps(told))
    code, _, err = _run(folder, str(tmp_path / "edited.json"), "good.safetensors")
    assert code == 2
    assert match in err
    assert err.count("\n") == 1


def test_a_file_as_planned_exits_0(folder: Path) -> None:
    code, out, _ = _run(folder, "plan.json", "good.safetensors", "--float", "float.npz")
    assert code == 0
    assert "7 of 7 tensors are as planned" in out
    assert "errors of 7 tensors" in out


def test_a_deviation_exits_1_and_is_named(folder: Path) -> None:
    code, out, err = _run(folder, "plan.json", "bad.safetensors")
    assert code == 1
    assert "6 of 7 tensors are as planned" in out
    assert f"{UP}: ignored: " in err


def test_the_document_stands_alone_on_standard_output_and_opens_again(folder: Path, tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    code, out, err = _run(
        folder, "plan.json", "bad.safetensors", "--json", "--github", GITHUB_STEP_SUMMARY=str(summary)
    )
    assert code == 1
    document = json.loads(out)
    assert document["settings"]["command"] == "verify"
    assert [row["tensor"] for row in document["rows"] if row["deviations"]] == [UP]
    assert "::error file=" in err
    assert summary.read_text().startswith("## bad.safetensors against its plan")
    (tmp_path / "verified.json").write_text(out)
    again = CliRunner().invoke(app, ["report", str(tmp_path / "verified.json"), "--out", str(tmp_path / "v.html")])
    assert again.exit_code == 0
    assert UP in (tmp_path / "v.html").read_text()


def test_a_workflow_hears_of_each_deviation(folder: Path) -> None:
    code, out, err = _run(folder, "plan.json", "bad.safetensors", "--github", GITHUB_STEP_SUMMARY="")
    lines = [line for line in out.splitlines() if line.startswith("::")]
    assert code == 1
    assert len(lines) == 1
    assert lines[0].startswith(f"::error file={folder / 'bad.safetensors'},title=ignored::{UP}: ignored: ")
    assert "GITHUB_STEP_SUMMARY names no file" in err


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("plan.json", "other.npz"), "the plan is for another model"),
        (("rows.json", "good.safetensors"), "holds a result of `qanalysis sweep`, not a plan"),
        (("config.json", "good.safetensors"), "not a rows file of qanalysis"),
        (("nothing.json", "good.safetensors"), "nothing.json"),
        (("plan.json", "nothing.gguf"), "nothing.gguf"),
        (("plan.json", "good.safetensors", "--float", "other.npz"), "--float other.npz has none of the tensors"),
        (("plan.json", "good.safetensors", "--allow", "-1"), "--allow -1: must be a number of dB, 0 or more"),
        (("plan.json", "good.safetensors", "--map", "("), "map"),
        (("plan.json", "good.safetensors", "--out", "x.txt"), "x.txt"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(folder: Path, words: tuple[str, ...], match: str) -> None:
    code, out, err = _run(folder, *words)
    assert code == 2
    assert out == ""
    assert match in err
    assert err.count("\n") == 1
