"""How do cross-checks read as a result? One row per check, the counts of verdicts beside them, and their words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import ClassVar

from qanalysis.results import columns
from qanalysis.results.columns import RowType, describe_row
from qanalysis.results.table import Table
from qanalysis.validation.check import Check, Unit, Verdict
from qanalysis.validation.peers import NOT_COVERED


def _read_reached(check: Check) -> float | None:
    return check.reached if check.reached is not None and math.isfinite(check.reached) else None


@dataclass(frozen=True, slots=True)
class VerdictCount(RowType):
    """How often a verdict was given."""

    verdict: Verdict = columns.column("Verdict")
    checks: int = columns.column("Checks", least=0, formula="how many have it")


@dataclass(frozen=True, slots=True)
class CheckRow(RowType):
    """One cross-check: distances as numbers, null where nothing was reached or not a finite number."""

    KIND: ClassVar[columns.Kind] = columns.Kind(
        "validate",
        "checks",
        "Cross-checks",
        "qanalysis validate --json > checks.json",
        totals=VerdictCount,
        reads=False,
    )

    check: str = columns.column("Check", formula="what was compared", of=attrgetter("name"))
    peer: str = columns.column("Peer", formula="a library, or the table that judges")
    version: str = columns.column("Version", formula="empty where the peer is not installed")
    kind: Unit = columns.column("Kind", formula="unit of reached and required; bit-exact counts differing values")
    reached: float | None = columns.column(
        "Reached", formula="distance, 0 for equal; null where nothing finite was reached", of=_read_reached
    )
    required: int | float | None = columns.column(
        "Required", formula="largest distance allowed; null for a difference by design"
    )
    values: int = columns.column("Values", least=0, formula="values compared")
    reached_text: str = columns.column("Reached, in words")
    required_text: str = columns.column("Required, in words")
    verdict: Verdict = columns.column("Verdict", formula="whether the distance is allowed")
    reason: str = columns.column("Reason", formula="in words")


def tabulate_checks(checks: Sequence[Check]) -> Table[CheckRow]:
    """The checks as they were made, and how often each verdict was given."""
    rows = [describe_row(CheckRow, check) for check in checks]
    totals = [VerdictCount(verdict, count) for verdict, count in Counter(check.verdict for check in checks).items()]
    settings = {"summary": summarize_checks(rows), "not_covered": NOT_COVERED}
    return Table.from_rows(CheckRow, rows, totals=totals, settings=settings)


def explain_checks(checks: Sequence[CheckRow]) -> list[str]:
    """The reason of whatever is not plain agreement, who is missing, what is not covered, and the summary last."""
    reasons = [
        f"{row.verdict}: {row.check} ({row.peer}): {row.reason}"
        for row in checks
        if row.verdict in ("by design", "failed")
    ]
    missing = [row.peer for row in checks if row.verdict == "not installed"]
    reasons += [f"not installed: {', '.join(missing)}: pip install 'qanalysis[peers]'"] if missing else []
    return [*reasons, NOT_COVERED, summarize_checks(checks)]


def summarize_checks(checks: Sequence[CheckRow]) -> str:
    """One sentence.

    >>> equal = Check("int4", "torch", "2.13", "bit-exact", reached=0.0, required=0.0, values=8)
    >>> summarize_checks(tabulate_checks([equal, Check("all", "gfloat", "", "bit-exact")]))
    '1 of 1 checks agree; 1 peer is not installed'
    """
    counts = Counter(row.verdict for row in checks)
    explained, missing = counts["by design"], counts["not installed"]
    parts = [f"{counts['ok']} of {counts['ok'] + counts['failed']} checks agree"]
    parts += [f"{explained} difference{' is' if explained == 1 else 's are'} by design"] if explained else []
    parts += [f"{missing} peer{' is' if missing == 1 else 's are'} not installed"] if missing else []
    return "; ".join(parts)
