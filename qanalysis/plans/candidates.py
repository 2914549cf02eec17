"""Which schemes may each tensor have, at what cost and what size? The ok rows of a sweep or a sensitivity."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.checkpoints.source import TensorInfo
from qanalysis.models.sensitivity.row import SensitivityRow
from qanalysis.notation import quote
from qanalysis.plans.objectives import Objective, find_objective
from qanalysis.plans.tensors import PlanTensor, list_tensors
from qanalysis.quantizers.scheme import Scheme
from qanalysis.results.document import kind_of
from qanalysis.results.identity import SourceIdentity
from qanalysis.results.table import Frame, Table
from qanalysis.sweeps.held import TENSORS, describe_tensors
from qanalysis.sweeps.row import Row

#: Quotients and products of whole numbers differ from whole ones by less than this part.
_ROUNDED = 1e-12
#: Sums of squares, which are never below zero; a loss may fall.
_ENERGIES = ("relative_error_energy", "mse", "output_nsr")
#: What no row of a tensor reaches: bits of a weight, with the scales of groups of one, and bytes.
_MOST = {"bits_per_weight": 1e3, "size_bytes": 2.0**60}


@dataclass(frozen=True, slots=True, eq=False)
class Options:
    """The candidates of one tensor, one place for each scheme in all arrays, in the order of the rows.

    `bits` are bits_per_weight · numel, `sizes` the bytes of the rows, `costs` the objective's. `errors` are Σe² of the
    weights and `signal` is Σx²; of a sensitivity Σe²/Σy² of the outputs and NaN. `places` are the rows in the joined
    table.
    """

    tensor: PlanTensor
    schemes: tuple[str, ...]
    bits: Doubles
    sizes: Doubles
    costs: Doubles
    errors: Doubles
    signal: float
    places: tuple[int, ...]

    def take(self, kept: Sequence[int]) -> Options:
        """Some of them, by their places."""
        at = list(kept)
        return Options(
            self.tensor,
            tuple(self.schemes[place] for place in at),
            self.bits[at],
            self.sizes[at],
            self.costs[at],
            self.errors[at],
            self.signal,
            tuple(self.places[place] for place in at),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """All tensors with an ok row, in the order of the rows, and those of the source that have none.

    `lacking` have ok rows of which none has a figure of the objective. `rows` are the rows of all tables joined, `more`
    the parts of the first document, such as damages and additivity.
    """

    options: tuple[Options, ...]
    others: tuple[PlanTensor, ...]
    lacking: tuple[PlanTensor, ...]
    objective: Objective
    source: SourceIdentity | None
    rows: Frame[Any]
    more: Mapping[str, Any]
    complete: bool


def gather_candidates(
    tables: Sequence[Table[Any]], *, objective: str | None = None, header: Iterable[TensorInfo] = ()
) -> Candidates:
    """The candidates in some tables of one source; of sensitivities the rows of single layers' weights.

    Raises ValueError for tables of other kinds or of different sources, an objective that does not add or is not
    there, one scheme twice with different figures, and where no row is ok.
    """
    _check_tables(tables)
    listed = list(header)
    rows = Frame.concat(tables[0].row_type, [_choose_rows(table) for table in tables])
    found = find_objective(rows, objective)
    tensors = list_tensors(tables, listed)
    schemes = _read_schemes(rows)
    grouped = _group(rows, found, schemes)
    options = tuple(_make_options(tensors[name], rows, schemes, places, found) for name, places in grouped.items())
    if not options:
        alone = "" if rows.row_type is Row else ", of the weights of one layer (target weights, mode enable-one)"
        raise ValueError(
            f"none of the {sum(map(len, tables)):,} rows is ok with a figure of {found.column}{alone}, so there is no "
            f"choice; make rows with `{kind_of(tables[0]).again}`"
        )
    chosen = {one.tensor.name for one in options}
    unpriced = set(rows.column("tensor").tolist()) - chosen
    others = tuple(one for name, one in tensors.items() if name not in chosen | unpriced)
    lacking = tuple(tensors[name] for name in tensors if name in unpriced)
    complete = all(table.complete for table in tables)
    source = next(filter(None, map(find_source, tables)), None)
    held = next(filter(None, [describe_tensors(listed), *(one.more.get(TENSORS) for one in tables)]), None)
    more = {**tables[0].more, **({TENSORS: held} if held else {})}
    return Candidates(options, others, lacking, found, source, rows, more, complete)


def _check_tables(tables: Sequence[Table[Any]]) -> None:
    if not tables:
        raise ValueError("a plan needs rows: give the result of a sweep or of a sensitivity")
    first = tables[0]
    for table in tables:
        if table.row_type not in (Row, SensitivityRow):
            raise ValueError(
                "a plan is made of rows of a sweep or of a sensitivity, "
                f"these are of `qanalysis {kind_of(table).command}`"
            )
        if table.row_type is not first.row_type:
            raise ValueError(
                "rows of a sweep and rows of a sensitivity do not go into one plan: their figures do not add; "
                "give one kind"
            )
    known = [source for source in map(find_source, tables) if source is not None]
    for source in known[1:]:
        if differ(source, known[0]):
            raise ValueError(
                f"the tables are of different sources: {name_source(known[0])} and {name_source(source)}; "
                "a plan is for one"
            )


def find_source(table: Table[Any]) -> SourceIdentity | None:
    """What rows are of; None where they do not say: those of a CSV name the CSV itself."""
    source = table.source
    return None if source is not None and source.path.lower().endswith(".csv") else source


def differ(one: SourceIdentity, other: SourceIdentity) -> bool:
    """Whether two sources are not the same: by content where both digests are known, else by name and size."""
    if one is other:
        return False
    if one.digest and other.digest:
        return one.digest != other.digest
    return (one.path, one.size) != (other.path, other.size)


def name_source(source: SourceIdentity) -> str:
    """A source as messages call it."""
    return f"{quote(source.path)} ({source.size:,} bytes)"


def _choose_rows(table: Table[Any]) -> Frame[Any]:
    """The rows that are candidates, of a sensitivity those that change one layer's weights alone."""
    ok = table.column("status") == "ok"
    if table.row_type is SensitivityRow:
        ok &= (table.column("target") == "weights") & (table.column("mode") == "enable-one")
    return table.rows.take(ok)


def _read_schemes(rows: Frame[Any]) -> list[str]:
    """The canonical text of each row's scheme; ValueError for one that is no scheme."""
    texts = rows.column("scheme").tolist()
    known = dict[str, str]()
    for place, text in enumerate(texts):
        if text not in known:
            try:
                known[text] = str(Scheme.parse(text))
            except ValueError as error:
                raise ValueError(f"row of {quote(rows.column('tensor')[place])}: {error}; make the row again") from None
    return [known[text] for text in texts]


def _group(rows: Frame[Any], objective: Objective, schemes: Sequence[str]) -> dict[str, list[int]]:
    """The places of each tensor's rows with a cost, one for each scheme. Raises ValueError for figures that can not be
    and for two of one scheme.
    """
    costs = objective.costs
    figures = {name: np.asarray(rows.column(name), np.float64) for name in ("bits_per_weight", "size_bytes")}
    _check_figures(rows, schemes, figures, objective)
    figures = {objective.column: costs, **figures}
    seen = dict[tuple[str, str], int]()
    grouped = dict[str, list[int]]()
    for place, name in enumerate(rows.column("tensor").tolist()):
        if not np.isfinite(costs[place]):
            continue
        first = seen.setdefault((name, schemes[place]), place)
        if first == place:
            grouped.setdefault(name, []).append(place)
        for column, values in figures.items():
            if values[first] != values[place]:
                raise ValueError(
                    f"{quote(name)} has two rows of {schemes[place]!r} with different {column}: "
                    f"{values[first]:.6g} and {values[place]:.6g}; give the rows of one run"
                )
    return grouped


def _check_figures(
    rows: Frame[Any], schemes: Sequence[str], figures: Mapping[str, Doubles], objective: Objective
) -> None:
    """Whether sizes are above zero and errors of weights not below it; ValueError names the first row of which not."""
    has_cost = np.isfinite(objective.costs)
    wrong = {name: has_cost & ~((values > 0) & (values < _MOST[name])) for name, values in figures.items()}
    if objective.column in _ENERGIES:
        wrong[objective.column] = has_cost & (objective.costs < 0)
    values = {**figures, objective.column: objective.costs}
    for name, places in wrong.items():
        if places.any():
            at = int(places.argmax())
            raise ValueError(
                f"row of {quote(rows.column('tensor')[at])} under {schemes[at]}: {name} is {values[name][at]:g}, which "
                "can not be; make the row again"
            )


def _make_options(
    tensor: PlanTensor, rows: Frame[Any], schemes: Sequence[str], places: Sequence[int], objective: Objective
) -> Options:
    at = list(places)
    bits = count_bits(rows.column("bits_per_weight")[at], tensor.numel)
    errors, signal = _measure_energies(rows, at)
    sizes = np.asarray(rows.column("size_bytes")[at], np.float64)
    return Options(
        tensor, tuple(schemes[place] for place in at), bits, sizes, objective.costs[at], errors, signal, tuple(places)
    )


def count_bits(bits_per_weight: Doubles, numel: int) -> Doubles:
    """The bits of a tensor under each scheme: whole numbers where they are that up to rounding, so that sums are exact.

    >>> count_bits(np.array([4.7, 4.25]), 10)
    array([47. , 42.5])
    """
    bits: Doubles = np.asarray(bits_per_weight, np.float64) * numel
    whole = np.rint(bits)
    return np.where(np.abs(bits - whole) <= _ROUNDED * np.maximum(bits, 1.0), whole, bits)


def _measure_energies(rows: Frame[Any], at: list[int]) -> tuple[Doubles, float]:
    """Σe² of each row and Σx² of the tensor over its finite values; of a sensitivity Σe²/Σy² of the outputs and NaN.

    Σx² = Σe² / relative_error_energy, from the row with the largest error; where no row has one it does not matter.
    """
    if rows.row_type is not Row:
        return rows.column("output_relative_l2")[at] ** 2, float("nan")
    finite = rows.column("numel")[at] - np.nan_to_num(rows.column("non_finite")[at])
    errors = rows.column("mse")[at] * finite
    relative = np.where(np.isfinite(errors), rows.column("relative_l2")[at] ** 2, np.nan)
    worst = int(np.nanargmax(relative)) if np.isfinite(relative).any() else 0
    return errors, float(errors[worst] / relative[worst]) if relative[worst] > 0 else 0.0
