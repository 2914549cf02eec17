"""What do the sensitivities of mlx-lm say? Pairs of a module's path and its score.

The score is the change of the model's divergence, to first order, from few to more bits, for each million parameters: a
score times numel / 1e6 is what the layer gains. The file does not say which bits; those are the tool's own, 4 and 5 in
groups of 64, 4.5 and 5.5 bits per weight.
"""

from __future__ import annotations

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.notation import quote
from qanalysis.plans.candidates import Candidates
from qanalysis.plans.scores.curves import read_errors, trace_errors
from qanalysis.plans.scores.names import match_entries
from qanalysis.plans.scores.score_file import Scored, ScoreFile, read_number

KIND = "mlx sensitivities"
LOW_BITS, HIGH_BITS = 4.5, 5.5


def recognise(file: ScoreFile) -> bool:
    """A list of pairs that begin with a text."""
    pairs = file.document
    return isinstance(pairs, list) and all(
        isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs
    )


def score(file: ScoreFile, candidates: Candidates) -> Scored:
    """Score · numel / 1e6 · E / (E(4.5) − E(5.5)), with E the candidate's relative error energy and E(b) the least of
    the tensor's candidates at so many bits per weight.
    """
    entries = _read(file)
    matched = match_entries([one.tensor for one in candidates.options], entries)
    costs, negative = dict[str, Doubles](), 0
    for one, errors in zip(candidates.options, read_errors(candidates), strict=True):
        hit = matched.get(one.tensor.name)
        if hit is None:
            continue
        value = entries[hit.name]
        negative += value < 0
        low, high = trace_errors(one, errors, (LOW_BITS, HIGH_BITS))
        gain = max(value, 0.0) * one.tensor.numel / 1e6
        costs[one.tensor.name] = gain * errors / (low - high) if low > high else np.zeros_like(errors)
    told = (
        f"a score is what a layer gains from {LOW_BITS:g} to {HIGH_BITS:g} bits per weight, the tool's own; other "
        "schemes follow in proportion to their relative error energy"
    )
    notes = [told]
    if negative:
        notes.append(f"{negative} scores are below zero, which is chance: such layers count as harmless")
    return Scored("damage in proportion to relative error energy", costs, notes)


def _read(file: ScoreFile) -> dict[str, float]:
    found = dict[str, float]()
    for name, value in file.document:
        number = read_number(value, f"{file.name}: the score of {quote(name)}")
        if found.setdefault(name, number) != number:
            raise file.refuse(f"{quote(name)} has two scores, {found[name]:g} and {number:g}; give the file as written")
    if not found:
        raise file.refuse("holds no score at all; give the sensitivities that mlx_lm.dynamic_quant wrote")
    return found
