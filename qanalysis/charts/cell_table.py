"""Which row of a sweep fills which cell? Layers by schemes as a grid of rows, and what its columns are called."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.charts.layer_names import LayerNames
from qanalysis.charts.wording import label_layers
from qanalysis.notation import measure as tell
from qanalysis.notation import shorten
from qanalysis.quantizers.scheme import PARTS, Scheme
from qanalysis.quantizers.words import parse_format
from qanalysis.results.columns import Column
from qanalysis.sweeps.row import Row

TALL = 60  # layers from which rows are drawn closer together
FEW_HEIGHT = 260  # pixels that the rows of a small model share
GROUP_GAP = 0.6  # empty columns between two groups of schemes
HEADER = 122  # pixels for title, scheme names and bits
WIDTH = 760  # pixels of the figure that its headings count on
NARROWEST = 8  # pixels of a scheme
BAR = 96  # pixels right of the cells: the bar of colours with its numbers and its title
LETTER, SMALL_LETTER = 7, 5.8  # pixels of a bold letter, and of one of a column's name


@dataclass(frozen=True)
class CellTable:
    """The rows as a grid: `cells[layer][column]` is a row, or None where the sweep has none (it was cancelled).

    Parameters
    ----------
    measure : the column of the rows whose values are shown.
    tensors : names of the layers, (layers,): in the order of the rows, those without any value last.
    columns : (group label, tick label, scheme) of each scheme, (columns,): groups in the order of the rows. No two
        are of the same scheme.
    places : where each column stands on the horizontal axis, (columns,): one apart, GROUP_GAP more between groups.
    cells : rows by layer and column, (layers, columns).
    """

    measure: Column
    tensors: list[str]
    columns: list[tuple[str, str, str]]
    places: Doubles
    cells: list[list[Row | None]]

    @classmethod
    def from_rows(cls, rows: Sequence[Row], measure: Column) -> CellTable:
        """The grid of at least one row; of several rows with the same tensor and scheme the last counts."""
        groups: dict[str, dict[str, str]] = {}
        for row in rows:
            groups.setdefault(group_label(row), {}).setdefault(row.scheme, _label_tick(row))
        columns = [(group, tick, scheme) for group, schemes in groups.items() for scheme, tick in schemes.items()]
        place_of_group = {group: index * GROUP_GAP for index, group in enumerate(groups)}
        by_cell = {(row.tensor, row.scheme): row for row in rows}
        measured = {row.tensor for row in rows if row.status == "ok"}
        tensors = sorted(dict.fromkeys(row.tensor for row in rows), key=lambda tensor: tensor not in measured)
        return cls(
            measure,
            tensors,
            columns,
            np.array([index + place_of_group[group] for index, (group, _, _) in enumerate(columns)]),
            [[by_cell.get((tensor, scheme)) for _, _, scheme in columns] for tensor in tensors],
        )

    @cached_property
    def names(self) -> LayerNames:
        """The names of the layers split into what is shared and what differs; layers without any figure have no say."""
        measured = sum(any(row is not None and row.status == "ok" for row in layer) for layer in self.cells)
        return LayerNames.split(self.tensors, measured or None)

    @cached_property
    def layer_labels(self) -> dict[str, str]:
        """What stands beside each row, by the layer's name; not escaped."""
        return label_layers(self.tensors)

    @property
    def row_height(self) -> int:
        """Pixels of a layer: 24 to 44, so that few layers fill FEW_HEIGHT; 16 from TALL layers on."""
        return min(44, max(24, FEW_HEIGHT // len(self.tensors))) if len(self.tensors) < TALL else 16

    @property
    def margin(self) -> float:
        """Pixels left of the cells, for the longest label."""
        return 28 + 6.6 * max(map(len, self.layer_labels.values()))

    @property
    def width(self) -> int:
        """Pixels of a figure in which no scheme is narrower than NARROWEST; at least WIDTH."""
        return max(WIDTH, round(self.margin + BAR + NARROWEST * (float(self.places[-1]) + 1)))

    @property
    def is_crowded(self) -> bool:
        """Whether the groups' names would run into each other in a figure of `width` pixels; they then stand upright.

        Never of a single group, which has nothing beside it.
        """
        pitch = (self.width - self.margin - BAR) / (self.places[-1] + 1)
        return len(self.groups()) > 1 and any(
            LETTER * len(label) > pitch * len(columns) + LETTER for label, columns in self.labels()
        )

    @property
    def header(self) -> int:
        """Pixels above the cells: for title and numbers, for names of formats, and for names of groups where those
        stand upright.
        """
        return (
            HEADER
            + self.name_height
            + (LETTER * (max(len(label) for label, _columns in self.labels()) - 2) if self.is_crowded else 0)
        )

    @property
    def height(self) -> int:
        """Pixels of a figure that shows every layer."""
        return self.header + 16 + self.row_height * len(self.tensors)

    @property
    def name_height(self) -> int:
        """Pixels that the names of formats, which stand upright over their columns, take beyond those of a number."""
        return round(
            SMALL_LETTER * max((len(tick) - 2 for _, tick, _ in self.columns if not tick.isdigit()), default=0)
        )

    def labels(self) -> list[tuple[str, list[int]]]:
        """The groups' names as they are written, with their columns; not escaped."""
        return [(shorten(group, max(14, 8 * len(columns))), columns) for group, columns in self.groups().items()]

    def value(self, row: Row | None) -> float:
        """The metric of a cell: infinite where the row's is; NaN without a row that is ok and has a value."""
        value = getattr(row, self.measure.name) if row is not None and row.status == "ok" else None
        return math.nan if value is None else float(value)

    def tell(self, row: Row) -> str:
        """The row's value with its unit, ∞ where it is infinite, "n/a" where it has none; why there is no figure where
        the row is not ok. Not escaped.
        """
        return self.reason(row) if row.status != "ok" else tell(getattr(row, self.measure.name), self.measure.unit)

    def reason(self, row: Row | None) -> str:
        """Why a cell has no value; not escaped."""
        if row is None:
            return "not measured"
        if row.status != "ok":
            return f"no value: {row.reason or row.status}"
        return self.otherwise

    @property
    def otherwise(self) -> str:
        """Why a cell of a row that is ok has no value."""
        return f"n/a: {self.measure.label} is not defined here"

    @cached_property
    def values(self) -> Doubles:
        """The metric by layer and scheme, NaN where a cell has none: shape (layers, columns)."""
        return np.array([[self.value(row) for row in layer] for layer in self.cells])

    def groups(self) -> dict[str, list[int]]:
        """Column numbers by group label."""
        found: dict[str, list[int]] = {}
        for index, (group, _, _) in enumerate(self.columns):
            found.setdefault(group, []).append(index)
        return found

    def find_worst(self) -> Row | None:
        """The row that is worst by the metric; None without any value, and for a metric without a good direction.

        Infinite values take part: a row without any error is worst only where all are.
        """
        known = [row for layer in self.cells for row in layer if row is not None and not math.isnan(self.value(row))]
        if not known or self.measure.better is None:
            return None
        return (min if self.measure.better == "higher" else max)(known, key=self.value)


def group_label(row: Row) -> str:
    """What a row's scheme says besides its format: the grouping, unless that is the format's own, and whatever else
    is not the default.

    ValueError where `row.scheme` is no scheme.

    >>> from qanalysis.sweeps.row import Row
    >>> told = ("int4 asym", "int4", 4, "tensor", "asym", "minmax", "float32")
    >>> group_label(Row("w", "weight", "8x8", "float32", 64, *told))
    'tensor asym'
    """
    return _label_group(row.scheme)


@lru_cache(maxsize=4096)
def _label_group(text: str) -> str:
    scheme = Scheme.parse(text)
    if "grouping" not in scheme.format.fixed:
        first = str(scheme.grouping)
    else:
        first = "own blocks" if scheme.format.block else "no scales"
    chosen = {name: value for name, value in scheme.chosen.items() if name != "grouping"}
    return " ".join([first, *(PARTS[name].print(value) for name, value in chosen.items())])


def is_integer(row: Row) -> bool:
    """Whether a row's format is one of the integers, which differ in their bits alone; ValueError for an unknown
    format.
    """
    return parse_format(row.format).is_integer


def _label_tick(row: Row) -> str:
    return str(row.bits) if is_integer(row) else row.format
