"""Which score files are known? One line per kind, told by content; scores become costs, choices become pins.

Tensors of which a file says nothing keep their place in the plan: they cost the median of what others do for the same
error energy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.plans.candidates import Candidates
from qanalysis.plans.objectives import DEFAULTS
from qanalysis.plans.scores import exl3, importance, mlx, modelopt, thireus
from qanalysis.plans.scores.curves import read_errors
from qanalysis.plans.scores.modelopt import Pins
from qanalysis.plans.scores.score_file import Scored, ScoreFile, list_names, open_scores

#: The part of a document that tells of the file.
SCORES = "scores"


@dataclass(frozen=True, slots=True)
class ScoreKind:
    """A kind of file: how it is recognised, and what it makes of the candidates."""

    name: str
    form: str
    recognise: Callable[[ScoreFile], bool]
    score: Callable[[ScoreFile, Candidates], Scored] | None = None


# An imatrix comes last: its older format has no mark.
KINDS = (
    ScoreKind(mlx.KIND, 'JSON, [["name", score], ...]', mlx.recognise, mlx.score),
    ScoreKind(exl3.KIND, "JSON with base, alts, groups", exl3.recognise, exl3.score),
    ScoreKind(modelopt.KIND, "JSON with quantization.quant_algo", modelopt.recognise),
    ScoreKind(thireus.KIND, "CSV that begins with QTYPE", thireus.recognise, thireus.score),
    ScoreKind(importance.KIND, "GGUF or .dat", importance.recognise, importance.score),
)
_OBJECTIVES = (*DEFAULTS, "mse")


def find_kind(file: ScoreFile) -> ScoreKind:
    """Of which kind a file is; ValueError for any other."""
    found = next((kind for kind in KINDS if kind.recognise(file)), None)
    if found is None:
        known = "; ".join(f"{kind.name} ({kind.form})" for kind in KINDS)
        raise file.refuse(f"is no score file that is known here: {known}")
    return found


def holds_pins(path: str | PathLike[str]) -> bool:
    """Whether a file holds chosen formats, for `read_pins`, and no scores; ValueError for a file of no kind."""
    return find_kind(open_scores(Path(path))).score is None


def read_pins(path: str | PathLike[str], candidates: Candidates) -> Pins:
    """The formats that a ModelOpt result chose, as pins of the candidates' tensors and tensors kept as they are.

    Raises ValueError for a file of another kind, a damaged one, and one of another model.
    """
    file = open_scores(Path(path))
    kind = find_kind(file)
    if kind.score is not None:
        raise file.refuse(f"holds scores ({kind.name}), no chosen formats")
    return modelopt.pin(file, candidates)


def read_scores(path: str | PathLike[str], candidates: Candidates) -> Candidates:
    """The candidates with the costs that follow from a file's scores; its objective's text names file and kind.

    The part `scores` of `more` tells `file`, `kind`, `text`, how many `tensors` there are and how many of them are
    `scored`, `unscored` (name to reason) and `notes`. Raises ValueError, one line, for a missing, damaged or foreign
    file, for one whose names fit no tensor, and beside an objective that is a damage by itself.
    """
    file = open_scores(Path(path))
    kind = find_kind(file)
    if kind.score is None:
        raise file.refuse(f"holds chosen formats ({kind.name}), no scores: they are pins")
    column = candidates.objective.column
    if column not in _OBJECTIVES:
        raise file.refuse(f"scores make an objective of their own; give either them or --objective {column}")
    scored = kind.score(file, candidates)
    if not scored.costs:
        _refuse_all(file, kind, candidates, scored)
    return _weigh(candidates, file, kind, scored)


def _refuse_all(file: ScoreFile, kind: ScoreKind, candidates: Candidates, scored: Scored) -> None:
    names = list_names([one.tensor.name for one in candidates.options], 3)
    if scored.silent:
        name, why = next(iter(scored.silent.items()))
        raise file.refuse(f"has no figure for any tensor of these rows ({kind.name}): {list_names([name])} {why}")
    raise file.refuse(
        f"none of its names ({kind.name}) is that of a tensor of these rows ({names}); give the scores of this model"
    )


def _weigh(candidates: Candidates, file: ScoreFile, kind: ScoreKind, scored: Scored) -> Candidates:
    errors = [one.errors for one in candidates.options] if scored.by_error else read_errors(candidates)
    own = {one.tensor.name: each for one, each in zip(candidates.options, errors, strict=True)}
    typical = _find_typical(scored.costs, own)
    costs = {name: scored.costs.get(name, typical * each) for name, each in own.items()}
    options = tuple(replace(one, costs=costs[one.tensor.name]) for one in candidates.options)
    by_row = np.full_like(candidates.objective.costs, np.nan)
    for one in options:
        by_row[list(one.places)] = one.costs
    text = f"{scored.text}, weighed by {file.name} ({kind.name})"
    unscored = {name: scored.silent.get(name, "has no entry") for name in own if name not in scored.costs}
    told = {
        "file": file.name,
        "kind": kind.name,
        "text": text,
        "tensors": len(own),
        "scored": len(scored.costs),
        "unscored": unscored,
        "notes": [*scored.notes, *_tell_unscored(unscored, len(own))],
    }
    objective = replace(candidates.objective, text=text, costs=by_row, unit="", scores=file.name)
    return replace(candidates, options=options, objective=objective, more={**candidates.more, SCORES: told})


def _find_typical(costs: Mapping[str, Doubles], errors: Mapping[str, Doubles]) -> float:
    """The median cost of an error energy over the tensors with a score."""
    sums = [(costs[name].sum(), errors[name].sum()) for name in costs]
    rates = [cost / energy for cost, energy in sums if energy > 0]
    return float(np.median(rates)) if rates else 0.0


def _tell_unscored(unscored: Mapping[str, str], tensors: int) -> list[str]:
    if not unscored:
        return []
    told = (
        f"{tensors - len(unscored)} of {tensors} tensors have a score; {len(unscored)} cost the median of what the "
        f"others do for the same error energy: {list_names(list(unscored))}"
    )
    return [told]
