"""With which quantization commands did rules leave each tensor (A5)? One per rule, layer, kind and group.

A command says the type of a precision, s or f, and its value: what a device would be told at the end of a log.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from qanalysis.results.table import Table
from qanalysis.training.recipe import Recipe
from qanalysis.training.row import TrackRow
from qanalysis.training.state import KINDS, Command


def list_commands(table: Table[TrackRow]) -> list[dict[str, Any]]:
    """The command of the last row of each series that has a range, beside its `rule`, `layer` and `group`.

    Only of integers on one step for both signs: a command holds no zero point and no levels.
    """
    recipes = {text: Recipe.parse(text) for text in dict.fromkeys(table.column("configuration").tolist())}
    plain = {text for text, one in recipes.items() if one.reach.is_integer and one.reach.is_signed}
    last = {
        (row.configuration, row.layer, row.kind, row.group): row
        for row in table
        if row.configuration in plain and row.bits is not None and (row.s is not None or row.f is not None)
    }
    return [
        {"rule": rule, "layer": layer, "group": group, **asdict(_command(row, str(recipes[rule].scheme.rounding)))}
        for (rule, layer, _kind, group), row in last.items()
    ]


def _command(row: TrackRow, rounding: str) -> Command:
    kind = next(one for one in KINDS if one == row.kind)
    if row.s is not None:
        return Command(kind, "discrete", row.s, row.bits or 0, rounding)
    return Command(kind, "continuous", row.f or 0.0, row.bits or 0, rounding)
