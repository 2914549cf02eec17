"""How much does the error of each tensor count, by an importance matrix of llama.cpp? By the mean square of its inputs.

With inputs a and errors e of a linear layer's weights, E[(sum_j e_ij a_j)^2] summed over outputs i is
sum_j E[a_j^2] sum_i e_ij^2 where inputs are uncorrelated. Rows tell the sum of all e^2 alone, so that the mean of
E[a_j^2] stands for each: exact where the errors have nothing to do with which inputs are large.
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.checkpoints.gguf_names import GgufName
from qanalysis.checkpoints.imatrix import Importance, read_imatrix
from qanalysis.checkpoints.source import CheckpointError
from qanalysis.plans.candidates import Candidates
from qanalysis.plans.scores.names import match_entries
from qanalysis.plans.scores.score_file import Scored, ScoreFile
from qanalysis.sweeps.row import Row

KIND = "llama.cpp imatrix"
_ASSUMED = (
    "cost = mean E[a²] of the inputs × Σe² of the weights, the error energy of the layer's output if errors and the "
    "importance of channels are unrelated; a sensitivity's imatrix_mse weighs each channel by itself"
)


def recognise(file: ScoreFile) -> bool:
    """GGUF, or what is no text: the older format has no mark."""
    return file.is_gguf or file.text is None


def score(file: ScoreFile, candidates: Candidates) -> Scored:
    """Mean E[a²] · mse · numel of each candidate."""
    if candidates.rows.row_type is not Row:
        raise file.refuse(
            "an importance matrix weighs errors of weights, which rows of a sensitivity do not hold; it has its own "
            "column: leave --scores out and give --objective imatrix_mse, or give rows of a sweep"
        )
    try:
        entries = read_imatrix(file.path).entries
    except CheckpointError as error:
        raise ValueError(f"{error}; other score files are text") from None
    matched = match_entries([one.tensor for one in candidates.options], entries)
    costs, silent, partly = dict[str, Doubles](), dict[str, str](), 0
    for one in candidates.options:
        hit = matched.get(one.tensor.name)
        if hit is None:
            continue
        weights, counts = _cut(entries[hit.name], hit, one.tensor.shape)
        if not (counts > 0).any():
            silent[one.tensor.name] = "its entry holds no data"
            continue
        partly += bool((counts <= 0).any())
        costs[one.tensor.name] = float(weights[counts > 0].mean()) * one.errors
    notes = [_ASSUMED]
    if partly:
        notes.append(f"{partly} stacks have experts without data: the others' mean stands for them")
    return Scored("Σe² of the weights times the mean square of their inputs", costs, notes, silent, by_error=True)


def _cut(entry: Importance, hit: GgufName, shape: tuple[int, ...]) -> tuple[Doubles, Doubles]:
    """The mean square over the inputs of each matrix, and how many inputs it met, (matrices,)."""
    with suppress(ValueError):  # a kernel's taps, or a width counted in another way: the mean is the same
        entry = entry.split(shape[-1] if len(shape) > 1 else entry.squares.shape[1])
    squares, counts = entry.squares.mean(axis=1), np.asarray(entry.counts, np.float64)
    if hit.expert is not None and hit.expert < len(squares):
        return squares[[hit.expert]], counts[[hit.expert]]
    return squares, counts
