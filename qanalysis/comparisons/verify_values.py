"""How far are the values of a file from the float source, and how far did the plan say they would be?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import numpy as np

from qanalysis.checkpoints.source import CheckpointError, TensorInfo, TensorSource
from qanalysis.comparisons.matching import match_tensors
from qanalysis.comparisons.pair import Pair, Part
from qanalysis.comparisons.reading import RowReader, Side
from qanalysis.comparisons.verify_row import KEPT_DB
from qanalysis.comparisons.verify_types import Fault
from qanalysis.models.sensitivity.row import SensitivityRow
from qanalysis.notation import decibels, shorten
from qanalysis.plans.plan import Plan
from qanalysis.plans.row import PlanRow
from qanalysis.plans.tensors import list_tensors
from qanalysis.quantizers.scheme import Scheme
from qanalysis.results.columns import names_of
from qanalysis.sums import ErrorStats, measure
from qanalysis.sweeps.row import Row

_AT_ONCE = 1 << 22  # values of a block, 16 MB
_FIRST_LOOK = 1 << 16
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the values of one tensor show; None where there is nothing to hold them against."""

    planned_db: float | None = None
    least_db: float | None = None
    sqnr_db: float | None = None
    faults: Sequence[Fault] = ()

    @property
    def relative_l2(self) -> float | None:
        """The error as a part of the values."""
        return _as_relative(self.sqnr_db)

    @property
    def planned_relative_l2(self) -> float | None:
        """The planned one."""
        return _as_relative(self.planned_db)


class ValueCheck:
    """Looks at the values of one tensor after another; `original` is None where only zeros can be found."""

    def __init__(
        self,
        plan: Plan,
        file: TensorSource,
        original: TensorSource | None,
        infos: Mapping[str, TensorInfo],
        allowed_db: float,
    ) -> None:
        self._original, self._infos, self._allowed_db = original, infos, allowed_db
        self._theirs, self._ours = Side(file), Side(original) if original else None
        # Rows of a sensitivity hold the SQNR of the model's outputs, which no tensor can be held against.
        column = plan.more.get("objective_column", "")
        self._trusts_rows = column in names_of(Row) and column not in names_of(SensitivityRow)

    def look(self, pair: Pair, row: PlanRow | None, scheme: Scheme | None) -> Evidence:
        """What the values of a pair show; nothing where the file's can not be decoded."""
        if pair.a is None or pair.b is None or not pair.b.info.decodes or not pair.b.info.numel:
            return Evidence()
        try:
            info = self._infos.get(pair.a.info.name)
            if self._original is None or info is None or not info.decodes:
                return self._look_for_zeros(pair.b, needed=scheme is not None, lacks=self._original is not None)
            return self._compare(self._original, info, pair, row, scheme)
        except CheckpointError as error:
            return Evidence(faults=[("unread", str(error))])

    def _look_for_zeros(self, part: Part, *, needed: bool, lacks: bool) -> Evidence:
        """What can be said without values of the float source; `lacks`: there is one, and it does not have this."""
        if needed and _is_zero(self._theirs.open(part)):
            return Evidence(faults=[("zeros", "every value is 0")])
        if needed and lacks:
            return Evidence(faults=[("unread", "the float source has no such tensor that its error could be held to")])
        return Evidence()

    def _compare(
        self, original: TensorSource, info: TensorInfo, pair: Pair, row: PlanRow | None, scheme: Scheme | None
    ) -> Evidence:
        """Errors in the likeliest order of rows, and in the others that headers leave open: the wrong ones are as far
        off as noise.
        """
        found = [self._measure(info, way) for way in (pair, *pair.others)]
        stats, is_zero = max(found, key=lambda one: _db(one[0]))
        if not stats.sum_x2:  # the float source holds zeros, too
            return Evidence()
        sqnr_db = _db(stats)
        planned_db = self._predict(original, info, row, scheme)
        least_db = planned_db - self._allowed_db if planned_db is not None and math.isfinite(planned_db) else KEPT_DB
        faults: list[Fault] = []
        if is_zero:
            faults.append(("zeros", "every value is 0"))
        elif not sqnr_db >= least_db:
            told = f", {decibels(planned_db)} is planned" if planned_db is not None else ""
            faults.append(("error", f"SQNR {decibels(sqnr_db)} is below {decibels(least_db)}{told}"))
        return Evidence(planned_db, least_db, sqnr_db, faults)

    def _measure(self, info: TensorInfo, pair: Pair) -> tuple[ErrorStats, bool]:
        """Sums of the errors of a pair, block by block, and whether every value of the file is 0; `info` is the tensor
        of the float source, which the plan may call by another of its names.
        """
        if pair.a is None or pair.b is None or self._ours is None:
            return ErrorStats(), False
        a = replace(pair.a, info=replace(pair.a.info, name=info.name, aliases=info.aliases))
        ours, theirs = self._ours.open(a), self._theirs.open(pair.b)
        step = max(1, _AT_ONCE // max(ours.columns, 1))
        sums, is_zero = list[ErrorStats](), True
        for first in range(0, ours.rows, step):
            last = min(first + step, ours.rows)
            y = theirs.read(first, last)
            sums.append(measure(ours.read(first, last), y))
            is_zero = is_zero and not y.any()
        return reduce(add, sums, ErrorStats()), is_zero

    def _predict(
        self, original: TensorSource, info: TensorInfo, row: PlanRow | None, scheme: Scheme | None
    ) -> float | None:
        """The SQNR that the plan promises: that of its rows, where these are of a sweep, else of the scheme on the
        float source. None for what is kept as it is.
        """
        if row is None or scheme is None:
            return None
        if self._trusts_rows and row.relative_l2 is not None:
            return math.inf if row.sqnr_db is None else row.sqnr_db
        values = original.read(info)
        return _db(measure(values, scheme.fit(values, axis=info.view).round_trip(values)))


def match_original(plan: Plan, original: TensorSource) -> dict[str, TensorInfo]:
    """The tensor of the float source for each name in the plan: of that name, else matched as two models' are. Not
    those of another size than planned.

    Raises ValueError where it has none of those that the plan quantizes.
    """
    found = {name: info for info in original.tensors for name in (info.name, *info.aliases)}
    planned = [one.describe() for one in list_tensors([plan]).values()]
    is_complete = all(info.name in found for info in planned)
    for pair in () if is_complete else match_tensors(planned, original.tensors, facts_b=original.facts):
        if pair.a and pair.b and pair.a.rows is None and pair.b.rows is None and pair.fits:
            found.setdefault(pair.a.info.name, pair.b.info)
    for row in plan:
        if row.tensor in found and found[row.tensor].numel != row.numel:
            del found[row.tensor]
    if not any(name in found for name in plan.assignments):
        names = ", ".join(shorten(name) for name in list(plan.assignments)[:_NAMED])
        raise ValueError(
            f"--float {original.name} has none of the tensors that the plan quantizes ({names}) in their sizes: it is "
            "another model"
        )
    return found


def _db(stats: ErrorStats) -> float:
    """The SQNR; −∞ where the sums are no numbers, so that nothing passes for it."""
    found = stats.sqnr_db
    return -math.inf if found is None or np.isnan(found) else float(found)


def _as_relative(decibel: float | None) -> float | None:
    return None if decibel is None else float(10.0 ** (-decibel / 20))


def _is_zero(rows: RowReader) -> bool:
    """Whether every value is 0; the first thousands tell in nearly all cases, and no more is read then."""
    first, size = 0, _FIRST_LOOK
    while first < rows.rows:
        last = min(first + max(1, size // max(rows.columns, 1)), rows.rows)
        if rows.read(first, last).any():
            return False
        first, size = last, _AT_ONCE
    return True
