"""What is made small? A column whose figures add over tensors, as its declaration says, or one weighed by elements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.notation import quote
from qanalysis.results.columns import Column
from qanalysis.results.table import Frame
from qanalysis.sweeps.row import Row

#: What a plan makes small where nothing else is asked for: by the linearity of arXiv 2411.17525 with equal weights the
#: loss of a model grows as the sum of Σe²/Σx² over its tensors; of a sensitivity the same of the model's outputs.
DEFAULTS = ("relative_error_energy", "output_nsr")
#: Means over elements, which add once they are multiplied by the number of elements.
_MEANS = ("mse",)
_TIMES_NUMEL = (" · numel", "·numel", "*numel", " * numel")


@dataclass(frozen=True, slots=True, eq=False)
class Objective:
    """The column that is made small, and its figure in each row, shape (rows,), NaN where there is none.

    `text` is how people call it; `scores` names the file whose scores weigh the rows, empty for none.
    """

    column: str
    text: str
    costs: Doubles
    unit: str = ""
    scores: str = ""


def find_objective(rows: Frame[Any], name: str | None) -> Objective:
    """The objective that a user names, or the default of such rows.

    Raises ValueError for a column that is not there, that does not add over tensors, or that no row has a figure of.
    """
    columns = {column.name: column for column in rows.columns}
    word = next(one for one in DEFAULTS if one in columns) if name is None else name
    for ending in _TIMES_NUMEL:
        word = word.removesuffix(ending)
    known = [column.name for column in rows.columns if _adds(column)]
    if word not in columns:
        raise ValueError(f"objective {quote(word)}: is no column of these rows; those that add are {', '.join(known)}")
    if word not in known:
        raise ValueError(
            f"objective {quote(word)}: does not add over tensors, so no sum of it means anything; "
            f"those that add are {', '.join(known)}"
        )
    column = columns[word]
    costs = read_costs(rows, column)
    if len(rows) and not np.isfinite(costs).any():
        raise ValueError(
            f"objective {quote(word)}: no row has a figure of it; measure it, or take one of "
            f"{', '.join(one for one in known if np.isfinite(read_costs(rows, columns[one])).any())}"
        )
    text = f"{word} · numel" if word in _MEANS else word
    return Objective(word, text, costs, column.unit)


def read_costs(rows: Frame[Any], column: Column) -> Doubles:
    """The figure of each row that adds. Older files lack relative_error_energy: it is relative_l2²."""
    values = np.asarray(rows.column(column.name), np.float64)
    if column.name in _MEANS:
        return values * np.asarray(rows.column("numel"), np.float64)
    if column.name == "relative_error_energy" and rows.row_type is Row:
        return np.where(np.isnan(values), np.asarray(rows.column("relative_l2"), np.float64) ** 2, values)
    return values


def _adds(column: Column) -> bool:
    """Whether its sum over tensors is a damage: counts and sizes add too, but nobody wants them small."""
    return (column.additive and column.kind == "number") or column.name in _MEANS
