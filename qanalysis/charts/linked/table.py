"""What does a browser need to show, sort and copy a table? Texts as people read them, and the numbers behind them.

Which row is in view is no part of it: that moves, and the table stays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qanalysis.charts.linked.scene import Tree, without_turning


@dataclass(frozen=True, slots=True)
class ShownColumn:
    """One column: what stands in each row, and what it is sorted by and copied as.

    Parameters
    ----------
    name : as in files, with the unit; it heads the column of a copy.
    heading : what people read above it.
    texts : one per row.
    values : one number per row, None where there is none; None for a column of words.
    note : what it means, shown for its heading.
    """

    name: str
    heading: str
    texts: Sequence[str]
    values: Sequence[float | None] | None = None
    note: str = ""

    def describe(self) -> Tree:
        """The column as JSON; infinite numbers are the words "Infinity" and "-Infinity", NaN is null."""
        values = None if self.values is None else list(map(_to_plain, self.values))
        return {
            "name": self.name,
            "heading": self.heading,
            "note": self.note,
            "texts": list(map(without_turning, self.texts)),
            "values": values,
        }


@dataclass(frozen=True, slots=True)
class TablePanel:
    """A table among the charts of the page.

    Parameters
    ----------
    name, alt : of the panel, and what the table is of, for those who do not see it.
    columns : the first one names the rows, and stays in sight when the others are scrolled.
    rows : the whole name of each row: what a choice tells, and what is copied where the first column shows a part.
    pick : whether rows can be chosen.
    height : most pixels that it takes before it scrolls; None: as high as its rows.
    caption : one line above it.

    ValueError for a column with more or fewer cells than rows.
    """

    name: str
    alt: str
    columns: Sequence[ShownColumn]
    rows: Sequence[str]
    pick: bool = True
    height: int | None = None
    caption: str = ""

    def __post_init__(self) -> None:
        for column in self.columns:
            lengths = {len(column.texts), len(column.texts if column.values is None else column.values)}
            if lengths != {len(self.rows)}:
                raise ValueError(
                    f"table {self.name}: column {column.name} has {max(lengths)} cells, must have {len(self.rows)}"
                )

    def describe(self) -> Tree:
        """The panel as JSON, without a figure."""
        table = {
            "columns": [column.describe() for column in self.columns],
            "rows": list(self.rows),
            "pick": self.pick,
            "height": self.height,
            "caption": self.caption,
        }
        return {"name": self.name, "kind": "table", "alt": self.alt, "python": "", "table": table}


def _to_plain(value: float | None) -> float | str | None:
    """A number that JSON has, or a word in its place."""
    if value is None or math.isfinite(value):
        return value
    return None if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
