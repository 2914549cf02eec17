"""What a person types or a file holds is of any length; what a terminal shows of it is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from qanalysis.cli import app


@pytest.mark.parametrize(
    "words",
    [
        ["show", "x" * 10_000],
        ["sweep", "long.npz", "--scheme", "q" * 10_000],
        ["sweep", "long.npz", "--bits", "9" * 5000],
        ["sweep", "long.npz", "--bits", "4", "--include", "q" * 10_000],
        ["sweep", "long.npz", "--bits", "4", "--include", "("],
        ["--" + "z" * 10_000],
    ],
    ids=["source", "scheme", "bits", "include", "expression", "option"],
)
def test_a_message_is_bounded(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("long.npz", **{"w" * 10_000: np.ones((2, 3), np.float32)})
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert len(result.stderr) < 500


def test_a_name_of_any_length_takes_one_short_line(tmp_path: Path) -> None:
    path = tmp_path / "long.npz"
    named = {"w" * 10_000: np.ones((2, 3), np.float32), "v" * 10_000: np.array([{}]), "b": np.ones((2, 3), np.float32)}
    np.savez(path, **named)
    result = CliRunner().invoke(app, ["show", str(path)])
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) < 300
    swept = CliRunner().invoke(app, ["sweep", str(path), "--bits", "4"])
    assert max(map(len, swept.stdout.splitlines())) < 300
    whole = CliRunner().invoke(app, ["show", str(path), "--json"])
    assert "w" * 10_000 in whole.stdout
