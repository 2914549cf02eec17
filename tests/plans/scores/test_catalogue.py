"""Kinds are told by content, whatever a file is called; what is none is refused on one line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from qanalysis.checkpoints.imatrix import Imatrix, Importance, write_imatrix
from qanalysis.plans.candidates import Candidates
from qanalysis.plans.scores.catalogue import find_kind, holds_pins, read_pins, read_scores
from qanalysis.plans.scores.score_file import open_scores
from tests.plans.tables import sweep_candidates

TEXTS = {
    "mlx sensitivities": json.dumps([["a", 1.0]]),
    "EXL3 measurement": json.dumps({"base": {}, "alts": [], "groups": []}),
    "ModelOpt result": json.dumps({"quantization": {"quant_algo": "FP8"}}),
    "Thireus calibration": "QTYPE,a.weight\nq4_0,0.5\n",
}


@pytest.mark.parametrize("suffix", [".json", ".csv", ".dat", ""])
@pytest.mark.parametrize("kind", list(TEXTS))
def test_a_kind_is_told_by_content(tmp_path: Path, kind: str, suffix: str) -> None:
    path = tmp_path / f"file{suffix}"
    path.write_text(TEXTS[kind])
    assert find_kind(open_scores(path)).name == kind


def test_an_importance_matrix_is_told_by_content(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_imatrix(path, Imatrix({"a.weight": Importance(np.ones((1, 4)), np.ones(1))}))
    assert find_kind(open_scores(path)).name == "llama.cpp imatrix"
    assert not holds_pins(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"hello, world", "is no score file that is known here: mlx sensitivities"),
        (b'{"rows": []}', "is no score file that is known here"),
        (b'[["a", 1', "is no whole JSON document"),
        (b"[" * 5000, "is no whole JSON document"),
        (bytes(range(256)) * 8, "is no importance matrix"),
        (b"GGUF" + bytes(60), "GGUF"),
    ],
    ids=["empty", "text", "another-document", "broken-off", "deep", "bytes", "broken-gguf"],
)
def test_what_is_no_score_file_is_refused_on_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "scores"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_scores(path, sweep_candidates({"a.weight": (4, 8)}))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file"):
        read_scores(tmp_path / "missing.json", sweep_candidates({"a.weight": (4, 8)}))
    with pytest.raises(ValueError, match="is no regular file"):
        read_scores(tmp_path, sweep_candidates({"a.weight": (4, 8)}))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="is no regular file"):
        open_scores(tmp_path / "pipe")


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "scores.json"
    path.write_text("[]")

    def refuse(*_args: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ValueError, match="can not be read: Permission denied"):
        open_scores(path)


def test_scores_are_no_pins(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    path.write_text(TEXTS["mlx sensitivities"])
    with pytest.raises(ValueError, match="holds scores"):
        read_pins(path, sweep_candidates({"a.weight": (4, 8)}))


def test_scores_and_another_objective_exclude_each_other(tmp_path: Path) -> None:
    from qanalysis.plans.candidates import gather_candidates
    from tests.charts.sensitivities import make_table

    path = tmp_path / "scores.json"
    path.write_text(TEXTS["mlx sensitivities"])
    candidates = gather_candidates([make_table()], objective="output_kl")
    with pytest.raises(ValueError, match="give either them or --objective output_kl"):
        read_scores(path, candidates)


@pytest.mark.parametrize("kind", list(TEXTS))
def test_no_broken_byte_is_more_than_one_line(tmp_path: Path, kind: str) -> None:
    """Bytes replaced, cut out and cut off at random: costs are finite and none is below zero, or one line says why."""
    generator = np.random.default_rng(0)
    candidates, path = sweep_candidates({"a.weight": (4, 32)}), tmp_path / "scores"
    for _ in range(60):
        raw = bytearray(TEXTS[kind].encode())
        start, stop = np.sort(generator.integers(len(raw), size=2))
        raw[start : min(stop, start + 6)] = generator.bytes(int(generator.integers(4)))
        path.write_bytes(raw + b" ")
        lines, costs = _try(path, candidates)
        assert lines <= 1
        assert (np.isfinite(costs) & (costs >= 0)).all()


def _try(path: Path, candidates: Candidates) -> tuple[int, np.ndarray]:
    """How many lines the message has, 0 without one, and the costs where there are some."""
    try:
        found = candidates if holds_pins(path) else read_scores(path, candidates)
    except ValueError as error:
        return len(str(error).splitlines()), np.zeros(0)
    return 0, found.options[0].costs
