"""Costs by importance matrices: worked by hand, of experts, without data, and beside a real layer's output error."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from qanalysis.checkpoints.imatrix import Imatrix, Importance, write_imatrix
from qanalysis.checkpoints.source import ArraySource
from qanalysis.plans.candidates import Candidates, gather_candidates
from qanalysis.plans.scores.catalogue import read_scores
from qanalysis.quantizers.scheme import Scheme
from qanalysis.sweeps.sweep import sweep
from tests.charts.sensitivities import make_table
from tests.plans.tables import sweep_candidates

NAME = "model.layers.0.mlp.up_proj.weight"
GGUF = "blk.0.ffn_up.weight"


def _costs(candidates: Candidates, name: str) -> np.ndarray:
    return next(one.costs for one in candidates.options if one.tensor.name == name)


@pytest.mark.parametrize("kind", ["gguf", "legacy"])
def test_the_weight_is_the_mean_square_of_the_inputs(tmp_path: Path, kind: str) -> None:
    """Squares 1 to 4 over four inputs: their mean is 2.5, whatever the file's form and suffix."""
    candidates = sweep_candidates({NAME: (8, 4)})
    squares, path = np.array([[1.0, 2.0, 3.0, 4.0]]), tmp_path / "importance.bin"
    if kind == "gguf":
        write_imatrix(path, Imatrix({GGUF: Importance(squares, np.array([10.0]))}))
    else:
        name = GGUF.encode()
        entry = struct.pack("<i", len(name)) + name + struct.pack("<ii", 2, 4) + (squares * 2).astype("<f4").tobytes()
        path.write_bytes(struct.pack("<i", 1) + entry)
    scored = read_scores(path, candidates)
    assert _costs(scored, NAME) == pytest.approx(2.5 * candidates.options[0].errors, rel=1e-6)
    assert scored.objective.text.endswith("weighed by importance.bin (llama.cpp imatrix)")
    assert scored.objective.costs[list(scored.options[0].places)].tolist() == scored.options[0].costs.tolist()


def test_it_is_the_error_of_the_output_where_errors_do_not_know_the_inputs(tmp_path: Path) -> None:
    """E[(Σ e a)²] over 4000 inputs of unit mean square; errors of a fine grid are unrelated to the channels' spread. The
    mean of 64 channels' products varies by some √(2/64)/√(rows) = 3 %: a tenth leaves room.
    """
    generator = np.random.default_rng(0)
    spread = np.exp(generator.normal(size=64) * 0.5)
    inputs = generator.normal(size=(4000, 64)) * spread
    weights = generator.normal(size=(48, 64)).astype(np.float32)
    candidates = gather_candidates([sweep(ArraySource({NAME: weights}), ["int6 channel"])])
    path = tmp_path / "imatrix.gguf"
    write_imatrix(path, Imatrix({GGUF: Importance((inputs**2).mean(axis=0)[None], np.array([4000.0]))}))
    errors = Scheme.parse("int6 channel").fit(weights).round_trip(weights) - weights
    measured = ((inputs @ errors.T.astype(np.float64)) ** 2).sum(axis=1).mean()
    assert _costs(read_scores(path, candidates), NAME)[0] == pytest.approx(measured, rel=0.1)


def test_experts_without_data_are_left_out_of_the_mean(tmp_path: Path) -> None:
    stack = "blk.0.ffn_up_exps.weight"
    candidates = sweep_candidates({stack: (2, 8, 4)}, ("int4 channel",))
    path = tmp_path / "i.gguf"
    write_imatrix(path, Imatrix({stack: Importance(np.full((2, 4), [[3.0], [0.0]]), np.array([5.0, 0.0]))}))
    scored = read_scores(path, candidates)
    assert _costs(scored, stack) == pytest.approx(3.0 * candidates.options[0].errors, rel=1e-6)
    assert any("1 stacks have experts without data" in note for note in scored.more["scores"]["notes"])


def test_one_expert_takes_its_own_row_of_a_stack(tmp_path: Path) -> None:
    names = [f"model.layers.0.mlp.experts.{number}.up_proj.weight" for number in range(2)]
    candidates = sweep_candidates(dict.fromkeys(names, (8, 4)), ("int4 channel",))
    path = tmp_path / "i.gguf"
    entry = Importance(np.full((2, 4), [[1.0], [5.0]]), np.array([9.0, 9.0]))
    write_imatrix(path, Imatrix({"blk.0.ffn_up_exps.weight": entry}))
    scored = read_scores(path, candidates)
    for one, name, weight in zip(candidates.options, names, (1.0, 5.0), strict=True):
        assert _costs(scored, name) == pytest.approx(weight * one.errors, rel=1e-6)


def test_tensors_without_an_entry_cost_the_median_weight(tmp_path: Path) -> None:
    candidates = sweep_candidates({"a.weight": (4, 4), "b.weight": (4, 4), "c.weight": (4, 4), "d.weight": (4, 4)})
    entries = {
        name: Importance(np.full((1, 4), value), np.ones(1))
        for name, value in zip(("a.weight", "b.weight", "c.weight"), (1.0, 2.0, 40.0), strict=True)
    }
    path = tmp_path / "i.gguf"
    write_imatrix(path, Imatrix(entries))
    scored = read_scores(path, candidates)
    assert _costs(scored, "d.weight") == pytest.approx(2.0 * candidates.options[3].errors, rel=1e-6)
    told = scored.more["scores"]
    assert (told["tensors"], told["scored"], told["unscored"]) == (4, 3, {"d.weight": "has no entry"})
    assert any(note.startswith("3 of 4 tensors have a score") for note in told["notes"])


def test_a_file_without_data_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "i.gguf"
    write_imatrix(path, Imatrix({"a.weight": Importance(np.ones((1, 4)), np.zeros(1))}))
    with pytest.raises(ValueError, match=r"'a\.weight' its entry holds no data"):
        read_scores(path, sweep_candidates({"a.weight": (4, 4)}))


def test_rows_of_a_sensitivity_have_a_column_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "i.gguf"
    write_imatrix(path, Imatrix({"a.weight": Importance(np.ones((1, 4)), np.ones(1))}))
    with pytest.raises(ValueError, match="--objective imatrix_mse"):
        read_scores(path, gather_candidates([make_table()]))
