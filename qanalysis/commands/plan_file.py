"""Which plan does a file hold? One that is whole: rows alone do not say what is kept as it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qanalysis.plans.plan import Plan


def read_plan(path: Path) -> Plan:
    """The plan that a file holds; ValueError where it holds something else, or its rows alone."""
    from qanalysis.plans.plan import Plan
    from qanalysis.plans.row import PlanRow
    from qanalysis.reports.report import read_result
    from qanalysis.results.document import kind_of

    found = read_result(path)
    if isinstance(found, Plan):
        if "assignments" not in found.more:
            raise ValueError(
                f"{path}: holds the rows of a plan alone, without its assignments; write it again with "
                f"`{PlanRow.KIND.again}`"
            )
        return found
    raise ValueError(
        f"{path}: holds a result of `qanalysis {kind_of(found).command}`, not a plan; make one of rows of a sweep with "
        f"`{PlanRow.KIND.again}`"
    )
