"""`train` as a person meets it: a file or a preset to a history, Ctrl-C, a saved state, a limit, and mistakes."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from qanalysis.reports.report import read_result
from qanalysis.training import loop
from qanalysis.training.configuration import Experiment
from qanalysis.training.loop import train
from qanalysis.training.presets import EXAMPLE, PRESETS
from tests.commands.asking import ask

MODULE = """
import torch

def make():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
"""
CONFIG = """
model = "smallnet:make"
data = "data.npz"
[defaults]
steps = 30
batch = 16
evaluate_every = 10
[[configuration]]
name = "4 bits"
weight = "int4 channel"
input = "int4 asym + counts"
[[configuration]]
name = "float"
"""


@pytest.fixture(autouse=True)
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model, data and an experiment in the current folder."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 6)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x, y=(x @ rng.normal(size=(6, 3))).argmax(1))
    (tmp_path / "smallnet.py").write_text(MODULE)
    (tmp_path / "small.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "smallnet", raising=False)
    return tmp_path


def test_a_file_gives_the_history_of_the_loop_and_nothing_else_on_standard_output() -> None:
    result = ask("train", "small.toml", "--json")
    assert result.exit_code == 0, result.stderr
    assert result.stderr == "float: no kind of data has a recipe, so it trains in float\n"
    document = json.loads(result.stdout, parse_constant=pytest.fail)
    schema = json.loads(files("qanalysis").joinpath("schema/history.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(schema).validate(document)
    Path("written.json").write_text(result.stdout)
    expected = train(Experiment.from_toml(CONFIG))
    assert read_result("written.json").rows == expected.rows
    assert [total["steps"] for total in document["totals"]] == [30, 30]


def test_files_of_every_kind_hold_the_same_history(small: Path) -> None:
    outs = ["history.parquet", "history.csv", "history.json", "report.html"]
    result = ask("train", "small.toml", *(word for out in outs for word in ("--out", out)))
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    first, second, third = (read_result(out) for out in outs[:3])
    assert first.rows == second.rows == third.rows
    assert first.totals == third.totals
    assert "4 bits" in Path("report.html").read_text("utf-8")
    assert ask("report", "history.parquet", "--out", "again.html").exit_code == 0


def test_without_files_the_configurations_stand_side_by_side_with_what_happened() -> None:
    shown = ask("train", "small.toml").stdout
    assert re.search(r"^configuration +steps +float +post-training +trained", shown, re.MULTILINE)
    assert re.search(r"^4 bits +30 ", shown, re.MULTILINE)
    assert re.search(r"of \d+ (above|below) .* > 0\.\d: high ", shown)


def test_the_example_is_toml_and_nothing_else_and_runs() -> None:
    result = ask("train", "--example")
    assert (result.exit_code, result.stderr, result.stdout) == (0, "", EXAMPLE)
    Path("example.toml").write_text(result.stdout.replace("steps = 200", "steps = 2"))
    assert ask("train", "example.toml").exit_code == 0


def test_a_preset_is_printed_as_it_is_run(small: Path) -> None:
    printed = ask("train", "--preset", "exponent-rule", "--example")
    assert printed.exit_code == 0
    assert Experiment.from_toml(printed.stdout) == PRESETS["exponent-rule"].experiment
    result = ask("train", "--preset", "exponent-rule", "--out", "history.json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(Path("history.json").read_text())["settings"]["preset"] == "exponent-rule"


def interrupt_at_the_first_save(monkeypatch: pytest.MonkeyPatch) -> None:
    write = loop.write_state

    def write_and_interrupt(*words: object) -> None:
        write(*words)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(loop, "write_state", write_and_interrupt)


def test_ctrl_c_keeps_what_was_trained_and_a_saved_state_goes_on_to_the_same_end(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        interrupt_at_the_first_save(patched)
        result = ask("train", "small.toml", "--checkpoint", "state.pt", "--out", "part.json")
    assert result.exit_code == 130
    part = read_result("part.json")
    assert not part.complete
    assert f"cancelled after 10 steps; kept the {len(part)} rows so far, marked as partial" in result.stderr
    result = ask("train", "small.toml", "--resume", "state.pt", "--out", "whole.json")
    assert result.exit_code == 0, result.stderr
    whole = read_result("whole.json")
    assert whole.complete
    assert whole.rows == train(Experiment.from_toml(CONFIG)).rows
    assert whole.rows[: len(part)] == part.rows


def test_a_cancelled_training_is_held_against_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_at_the_first_save(monkeypatch)
    result = ask("train", "small.toml", "--checkpoint", "state.pt", "--min-accuracy", "1", "--json")
    assert result.exit_code == 130
    assert "is missed" not in result.stderr


def test_a_missed_limit_is_told_by_configuration_and_exits_with_1() -> None:
    result = ask("train", "small.toml", "--min-accuracy", "0.999", "--json")
    assert result.exit_code == 1
    assert re.search(r"^4 bits: --min-accuracy 0\.999 is missed: reached 0\.\d+$", result.stderr, re.MULTILINE)
    assert len(json.loads(result.stdout)["totals"]) == 2
    assert ask("train", "small.toml", "--min-accuracy", "0").exit_code == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        pytest.param([], "there is nothing to train; give a CONFIG, or --preset ID", id="nothing"),
        pytest.param(["none.toml"], "none.toml can not be read: No such file", id="missing"),
        pytest.param(["."], ". can not be read: Is a directory", id="folder"),
        pytest.param(["data.npz"], "data.npz is not UTF-8 text", id="not UTF-8"),
        pytest.param(["smallnet.py"], "smallnet.py: is not TOML: .* (at line 2, column ", id="not TOML"),
        pytest.param(["long.toml"], "long.toml is longer than 1,000,000 bytes", id="endless"),
        pytest.param(["small.toml", "--example"], "CONFIG small.toml and --example exclude each other", id="example"),
        pytest.param(["small.toml", "--preset", "oscillation"], "and --preset exclude each other", id="both"),
        pytest.param(["--preset", "oscilation"], "did you mean oscillation?", id="preset"),
        pytest.param(["--example", "--json"], "--json and --example exclude each other", id="example as JSON"),
        pytest.param(["--example", "--out", "a.csv"], "--out and --example exclude each other", id="example to a file"),
        pytest.param(["small.toml", "--min-accuracy", "95"], "--min-accuracy 95.0: a share from 0 to 1", id="percent"),
        pytest.param(["small.toml", "--out", "none/a.csv"], "folder none does not exist", id="no folder"),
        pytest.param(["small.toml", "--out", "a.pdf"], "suffix '.pdf' is unknown", id="suffix"),
        pytest.param(["small.toml", "--resume", "none.pt"], "none.pt: there is no such file", id="no state"),
        pytest.param(["small.toml", "--resume", "data.npz"], "data.npz: holds no state of a training", id="other file"),
        pytest.param(
            ["small.toml", "--resume", "a.pt", "--checkpoint", "b.pt"], "leave --checkpoint out", id="two states"
        ),
        pytest.param(
            ["small.toml", "--checkpoint", "none/a.pt"], "none/a.pt: can not be saved to", id="state in no folder"
        ),
        pytest.param(["small.toml", "--checkpoint", "."], ".: can not be saved to", id="state in place of a folder"),
        pytest.param(["wrong.toml"], "wrong.toml: configuration '4 bits': steps = 0 must lie from 1", id="value"),
        pytest.param(["lost.toml"], "no module 'lostnet'", id="lost module"),
        pytest.param(["nodata.toml"], "model 'smallnet:make' is no sample and brings no data", id="no data"),
    ],
)
def test_a_mistake_is_one_clear_line_and_exit_2(words: list[str], told: str, small: Path) -> None:
    Path("wrong.toml").write_text(CONFIG.replace("steps = 30", "steps = 0"))
    Path("lost.toml").write_text(CONFIG.replace("smallnet", "lostnet"))
    Path("nodata.toml").write_text(CONFIG.replace('data = "data.npz"', ""))
    Path("long.toml").write_text("#" * 1_000_001)
    result = ask("train", *words)
    assert result.exit_code == 2
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if "trains in float" not in line]
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert re.search(".*".join(map(re.escape, told.split(".*"))), lines[0])


def test_a_file_with_a_byte_order_mark_is_read(small: Path) -> None:
    Path("marked.toml").write_text(CONFIG, encoding="utf-8-sig")
    assert ask("train", "marked.toml").exit_code == 0


def test_help_loads_no_torch() -> None:
    code = "import sys, qanalysis.cli; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
