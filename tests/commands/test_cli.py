"""The command line as a whole: help, what is wrong in one clear line, names that can not steer a terminal."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qanalysis.notation import escape
from tests.commands.asking import ask

HEAVY = ("torch", "plotly", "streamlit", "pandas", "numba", "scipy", "pyarrow")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["show", "none.npz"], "'none.npz' does not exist"),
        (["sweep", "none/"], "does not exist"),
        (["sweep", "model.npz", "--bits", "0"], "0 is outside 2 to 16"),
        (["sweep", "model.npz", "--bits", "40"], "40 is outside 2 to 16"),
        (["sweep", "model.npz", "--bits", "four"], "'four' is neither a number nor a span"),
        (["sweep", "model.npz", "--grouping", "group=0"], "group=0"),
        (["sweep", "model.npz", "--grouping", "row"], "'row'"),
        (["sweep", "model.npz", "--symmetry", "odd"], "symmetry 'odd' is unknown"),
        (["sweep", "model.npz", "--range", "best"], "'best'"),
        (["sweep", "model.npz", "--format", "fp99"], "format 'fp99' is unknown"),
        (
            ["sweep", "model.npz", "--format", "mxfp4,float16", "--grouping", "group=64"],
            "--grouping group=64: no grouping can be chosen for mxfp4, float16",
        ),
        (
            ["sweep", "model.npz", "--format", "nf4", "--symmetry", "asym"],
            "--symmetry asym: no symmetry can be chosen for nf4",
        ),
        (["sweep", "model.npz", "--format", "nf4", "--range", "kl"], "nf4 has unequal levels"),
        (["sweep", "model.npz", "--scheme", "int4 weird"], "the word 'weird' is unknown"),
        (["sweep", "model.npz", "--scheme", "int4", "--bits", "4"], "can not be mixed with --bits"),
        (
            ["sweep", "model.npz", "--scheme", "int4", "--range", "mse", "--format", "int4"],
            "can not be mixed with --range, --format",
        ),
        (["sweep", "model.npz", "--include", "nothing"], "'nothing' matches none of the 6 tensors"),
        (["sweep", "model.npz", "--include", "("], "'\\(' is not a regular expression"),
        (["sweep", "model.npz", "--out", "none/rows.csv"], "folder none does not exist"),
        (["sweep", "model.npz", "--out", "/proc/rows.csv"], "/proc is not writable"),
        (["sweep", "model.npz", "--out", "rows.csv", "--out", "./rows.csv"], "are the same file"),
        (["sweep", "model.npz", "--out", "rows.xls"], "suffix '.xls' is unknown"),
        (["sweep", "model.npz", "--store", "rows.db"], "--store rows.db: is not available yet"),
        (["sweep", "model.npz", "--cluster", "host:1"], "--cluster host:1: is not available yet"),
        (["sweep", "model.npz", "--workers", "0"], "workers 0: a sweep needs at least one thread"),
        (["sweep", "model.npz", "--bits", ""], "bits '': '' is neither a number nor a span"),
        (["sweep", ""], "the path is empty; give a checkpoint file"),
        (["sweep", "model.npz", "--out", "n" * 300 + ".csv"], "the file name has 304 bytes, at most 230 are allowed"),
        (
            ["sweep", "model.npz", "--range", "meanstd:-1"],
            "'-1' is not a number of 0 or more; write for example meanstd:3",
        ),
        (["report", "none.json", "--out", "rows.csv"], "none.json: no such file"),
        (["report", "model.npz", "--out", "rows.csv"], "rows are read from .json, .csv, .parquet"),
        (["app", "--root", "none"], "--root none: no such folder"),
        (["app", "--port", "0"], "--port.*see `qanalysis app --help`"),
        (["sweep"], "Missing argument .SOURCE.; see `qanalysis sweep --help`"),
        (["dance"], "No such command 'dance'"),
        ([], "Missing command; see `qanalysis --help`"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_gets_one_line_and_exit_code_2(checkpoint: Path, words: list[str], message: str) -> None:
    result = ask(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert re.search(message, result.stderr)
    assert [path.name for path in checkpoint.parent.iterdir()] == ["model.npz"]


def test_names_can_not_steer_a_terminal(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", **{"bad\x1b[2Jname": np.array([[1, 2.5], [3, 4]], np.float32)})
    for words in (["show"], ["sweep", "--scheme", "int4"]):
        result = ask(words[0], str(tmp_path / "m.npz"), *words[1:])
        assert "\x1b" not in result.stdout
        assert r"bad\x1b[2Jname" in result.stdout
    assert escape("größe") == "größe"


@pytest.mark.parametrize("command", ["show", "sweep", "sensitivity", "activations", "forms", "report", "app"])
def test_every_command_shows_an_example(command: str) -> None:
    result = ask(command, "--help")
    assert result.exit_code == 0
    assert f"\n    qanalysis {command}" in result.stdout


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


def test_help_loads_nothing_heavy_and_imports_stay_lazy() -> None:
    result = run_python(
        f"import sys\nsys.argv = ['qanalysis', '--help']\nfrom qanalysis.cli import main\n"
        f"try: main()\nexcept SystemExit as end: print('code', end.code)\nprint('loaded', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    assert "code 0" in result.stdout
    assert "loaded []" in result.stdout
