"""What do charts of sensitivities look at? One measurement in view: a target, a mode and a scheme, in one measure,
beside the noise floor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import Any

from qanalysis.models.sensitivity.row import SensitivityRow
from qanalysis.notation import measure, percent, plain
from qanalysis.results.columns import Column, columns_of
from qanalysis.results.table import Table

COLUMNS: Mapping[str, Column] = {column.name: column for column in columns_of(SensitivityRow)}
#: What layers can be compared by: the columns of which one direction is good, in the order of the rows.
MEASURES: Mapping[str, Column] = {name: column for name, column in COLUMNS.items() if column.better}
#: Measures of the model's outputs, to which the noise floor belongs.
OUTPUTS = (*(name for name in MEASURES if f"{name}_low" in COLUMNS), "output_nsr")
USUAL = "output_sqnr_db"
#: In the reason of rows whose damage is not above the noise.
IN_NOISE = "noise floor"
MODE_WORDS = {
    "enable-one": "each layer alone",
    "disable-one": "all but one layer",
    "cumulative": "all layers up to one",
}
TARGET_WORDS = {"weights": "weights", "activations": "inputs", "both": "weights and inputs"}


@dataclass(frozen=True, slots=True)
class Look:
    """Which rows are in view, by which measure (a key of MEASURES), and which layer stands out, by its tensor."""

    target: str
    mode: str
    scheme: str
    metric: str = USUAL
    layer: str | None = None

    @property
    def convention(self) -> str:
        """What is done to the model, in words.

        >>> Look("weights", "enable-one", "int4 channel").convention
        'weights of each layer alone at int4 channel'
        """
        return (
            f"{TARGET_WORDS.get(self.target, self.target)} of {MODE_WORDS.get(self.mode, self.mode)} at {self.scheme}"
        )


@dataclass(frozen=True)
class Sheet:
    """The rows of a sensitivity and the parts of its document, as charts ask for them."""

    table: Table[SensitivityRow]

    @cached_property
    def rows(self) -> tuple[SensitivityRow, ...]:
        """All rows."""
        return tuple(self.table)

    @cached_property
    def tensors(self) -> tuple[str, ...]:
        """The layers by their tensors, in the order of a run of the model."""
        return tuple(dict.fromkeys(row.tensor for row in self.rows))

    @cached_property
    def looks(self) -> tuple[Look, ...]:
        """What there is to look at: targets, modes and schemes that have rows, in their order."""
        return tuple(Look(*words) for words in self._measurements)

    @property
    def ranked_by(self) -> str:
        """The measure that ranks and tie groups of the rows go by."""
        metric = str(self.table.settings.get("metric", USUAL))
        return metric if metric in MEASURES else USUAL

    def part(self, name: str) -> Any:
        """A part of the document beside the rows; an empty mapping where there is none."""
        return self.table.more.get(name) or {}

    @cached_property
    def _measurements(self) -> Mapping[tuple[str, str, str], list[SensitivityRow]]:
        found: dict[tuple[str, str, str], list[SensitivityRow]] = {}
        for row in self.rows:
            found.setdefault((row.target, row.mode, row.scheme), []).append(row)
        return found

    def choose(self, look: Look) -> list[SensitivityRow]:
        """The rows of one measurement, in the order of a run of the model."""
        return self._measurements.get((look.target, look.mode, look.scheme), [])

    def list_measures(self) -> list[str]:
        """The measures that any row has."""
        return [name for name in MEASURES if any(getattr(row, name) is not None for row in self.rows)]

    def schemes_of(self, look: Look) -> list[str]:
        """The schemes that were measured with the same target and mode."""
        return [one.scheme for one in self.looks if (one.target, one.mode) == (look.target, look.mode)]

    @cached_property
    def floors(self) -> Mapping[str, Mapping[str, float]]:
        """Where the noise of each layer begins, by measure and tensor; measures for which it is not known are left
        out.
        """
        sqnr_db = {row.tensor: row.noise_floor_sqnr_db for row in self.rows if row.noise_floor_sqnr_db is not None}
        ratios = {tensor: 10 ** (-value / 10) for tensor, value in sqnr_db.items()}
        roots = {tensor: math.sqrt(value) for tensor, value in ratios.items()}
        # The three are one figure: 10 log10 of the energies' ratio, that ratio, and its root.
        own = {"output_sqnr_db": sqnr_db, "output_nsr": ratios, "output_relative_l2": roots}
        others = {name: read_floors(self.part("floor"), name) for name in OUTPUTS if name not in own}
        return {name: found for name, found in (own | others).items() if found}

    def find_floor(self, metric: str, tensor: str | None = None) -> float | None:
        """Where noise begins in a measure, for a layer; the loudest of all layers without one. None where it is not
        known, and for measures that need no run.
        """
        floors = self.floors.get(metric, {})
        if tensor is not None or not floors:
            return floors.get(tensor or "")
        return min(floors.values()) if MEASURES[metric].better == "higher" else max(floors.values())

    def span_floors(self, metric: str) -> tuple[float, float] | None:
        """The loudest and the quietest noise of any layer; None where it is not known."""
        floors = sorted(self.floors.get(metric, {}).values(), reverse=MEASURES[metric].better == "lower")
        return (floors[0], floors[-1]) if floors else None

    def is_in_noise(self, row: SensitivityRow, metric: str) -> bool:
        """Whether a figure of the outputs is not worse than the layer's own noise; false where that is not known.

        What the measurement found out over its samples goes before the two figures.
        """
        floor, value = self.find_floor(metric, row.tensor), getattr(row, metric)
        if floor is None or value is None:
            return False
        is_worse = value < floor if MEASURES[metric].better == "higher" else value > floor
        return IN_NOISE in row.reason or not is_worse

    def rank(self, look: Look) -> list[SensitivityRow]:
        """The rows of a measurement that have the figure, the layer that hurts most first.

        By the rows' own ranks where these go by the measure in view; equal figures stay in the order of a run.
        """
        known = [row for row in self.choose(look) if getattr(row, look.metric) is not None]
        # of all layers but one, that one hurts most without which the output is best
        is_worst_first = look.mode != "disable-one"
        ordered = sorted(known, key=lambda row: _badness(row, look.metric), reverse=is_worst_first)
        if look.metric == self.ranked_by and all(row.rank is not None for row in ordered):
            ordered.sort(key=lambda row: row.rank or 0)
        return ordered

    def is_ranked(self, look: Look) -> bool:
        """Whether the rows' ranks and tie groups go by the measure in view."""
        return look.metric == self.ranked_by and all(row.rank is not None for row in self.rank(look))

    def find_ties(self, rows: Sequence[SensitivityRow], look: Look) -> list[tuple[int, int]]:
        """The first and the last place of each run of at least two rows of one tie group, in ranked rows."""
        if not self.is_ranked(look):
            return []
        places = [list(run) for _, run in groupby(range(len(rows)), key=lambda place: rows[place].tie_group)]
        return [(run[0], run[-1]) for run in places if len(run) > 1 and rows[run[0]].tie_group is not None]

    def open(self, metric: str | None = None) -> Look:
        """What a summary starts with: each layer alone, the first target and scheme; by the measure of the ranks.

        Raises ValueError where there are no rows.
        """
        if not self.looks:
            raise ValueError("there are no rows to summarise; the measurement stopped before its first layer")
        order = dict(zip(MODE_WORDS, range(len(MODE_WORDS)), strict=True))
        return replace(min(self.looks, key=lambda look: order[look.mode]), metric=metric or self.ranked_by)


def _badness(row: SensitivityRow, metric: str) -> float:
    value = float(getattr(row, metric))
    return -value if MEASURES[metric].better == "higher" else value


def read_floors(floor: Any, metric: str) -> dict[str, float]:
    """The floor of each layer in a measure, by tensor, in the part of the document that tells of it: the louder one of
    its own rounding and of another order of batches.
    """
    layers = floor.get("layers") if isinstance(floor, Mapping) else None
    if not isinstance(layers, Sequence) or not isinstance(floor.get("order"), Mapping):
        return {}
    order, found = _read_number(floor["order"].get(metric)), {}
    for entry in layers:
        own = _read_number(entry.get(metric)) if isinstance(entry, Mapping) else None
        known = [value for value in (own, order) if value is not None]
        if known and isinstance(entry, Mapping):
            found[str(entry.get("tensor"))] = min(known) if MEASURES[metric].better == "higher" else max(known)
    return found


def _read_number(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) and math.isfinite(value) else None


def find_ends(row: SensitivityRow, metric: str) -> tuple[float, float] | None:
    """The ends of the 95 % interval of a figure; None for a figure without."""
    low, high = (getattr(row, f"{metric}_{end}", None) for end in ("low", "high"))
    return None if low is None or high is None else (float(low), float(high))


def tell_value(metric: str, value: float | None) -> str:
    """A figure as charts and tables write it.

    >>> tell_value("output_sqnr_db", 18.3456), tell_value("accuracy", 0.985), tell_value("output_kl", 4.4e-4)
    ('18.35 dB', '98.5 %', '4.4·10⁻⁴ nat')
    """
    column = COLUMNS[metric]
    if column.share and value is not None:
        return percent(value)
    if metric == "output_cosine" and value is not None:
        return plain(value, digits=5)  # which is close to 1
    if column.unit == "nat" and value is not None:
        return f"{plain(value)} nat"  # no prefix: divergences are compared by their powers of ten
    return measure(value, column.unit)


def tell_interval(row: SensitivityRow, metric: str) -> str:
    """A figure with the ends of its interval.

    "18.35 dB [17.90, 18.80]"; the figure alone where there is no interval.
    """
    value, ends = tell_value(metric, getattr(row, metric)), find_ends(row, metric)
    if ends is None:
        return value
    unit = COLUMNS[metric].unit
    low, high = (tell_value(metric, end).removesuffix(f" {unit}").removesuffix(" %") for end in ends)
    return f"{value} [{low}, {high}]"


def is_logarithmic(values: Sequence[float]) -> bool:
    """Whether positive figures lie so far apart that only their powers of ten can be seen."""
    known = [value for value in values if math.isfinite(value)]
    return bool(known) and min(known) > 0 and max(known) > 30 * min(known)
