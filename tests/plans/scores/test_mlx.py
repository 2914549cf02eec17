"""Scores of mlx-lm as damages: the file's own gain comes back, chance below zero is harmless."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qanalysis.plans.scores.catalogue import read_scores
from qanalysis.plans.scores.curves import read_errors
from tests.plans.tables import sweep_candidates

SHAPES = {"model.layers.0.mlp.up_proj.weight": (16, 64), "model.layers.0.mlp.down_proj.weight": (16, 32)}
# With scales of 16 bits in groups of 32 these have exactly the tool's 4.5 and 5.5 bits per weight.
OWN = ("int4 group=32 scale=float16", "int5 group=32 scale=float16", "int8 group=32 scale=float16")


def _write(path: Path, pairs: Any) -> Path:
    path.write_text(json.dumps(pairs))
    return path


def test_from_few_to_more_bits_a_layer_gains_its_score(tmp_path: Path) -> None:
    """What 4.5 bits cost more than 5.5 bits is score · numel / 1e6, by definition of the score."""
    candidates = sweep_candidates(SHAPES, OWN)
    path = _write(tmp_path / "s.json", [["model.layers.0.mlp.up_proj", 3.0], ["model.layers.0.mlp.down_proj", 0.5]])
    scored = read_scores(path, candidates)
    for one, score in zip(scored.options, (3.0, 0.5), strict=True):
        assert one.costs[0] - one.costs[1] == pytest.approx(score * one.tensor.numel / 1e6, rel=1e-9)


def test_other_schemes_follow_in_proportion_to_their_error(tmp_path: Path) -> None:
    candidates = sweep_candidates(SHAPES, OWN)
    path = _write(tmp_path / "s.json", [[name.removesuffix(".weight"), 1.0] for name in SHAPES])
    for one, errors in zip(read_scores(path, candidates).options, read_errors(candidates), strict=True):
        assert one.costs / one.costs[0] == pytest.approx(errors / errors[0], rel=1e-12)


def test_a_score_below_zero_is_harmless_and_told(tmp_path: Path) -> None:
    path = _write(tmp_path / "s.json", [["layers.0.mlp.up_proj", -1.0], ["layers.0.mlp.down_proj", 1.0]])
    scored = read_scores(path, sweep_candidates(SHAPES, OWN))
    assert not scored.options[0].costs.any()
    assert any("1 scores are below zero" in note for note in scored.more["scores"]["notes"])


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([], "holds no score at all"),
        ([["a", "high"]], "the score of 'a' is 'high', must be a finite number"),
        ([["a", True]], "must be a finite number"),
        ([["a", float("nan")]], "must be a finite number"),
        ([["a", 10**400]], "must be a finite number"),
        ([["a", 1.0], ["a", 2.0]], "'a' has two scores, 1 and 2"),
        ([["elsewhere", 1.0]], "none of its names .* is that of a tensor of these rows"),
    ],
    ids=["empty", "word", "flag", "nan", "huge", "twice", "another-model"],
)
def test_damaged_and_foreign_files_are_refused_on_one_line(tmp_path: Path, pairs: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        read_scores(_write(tmp_path / "s.json", pairs), sweep_candidates(SHAPES, OWN))
    assert "\n" not in str(caught.value)
