"""What is told of a plan? The budget and what it buys, beside uniform schemes, then each tensor with its scheme."""

from __future__ import annotations

from qanalysis.plans.plan import Plan
from qanalysis.reports.list_sections import outline_plain
from qanalysis.reports.outline import Outline


def outline_plan(table: Plan, *, title: str | None = None) -> Outline:
    """The plan in one sentence, the points beside it, every tensor."""
    return outline_plain(table, title=title)
