"""How do cross-checks read, as one document and as lines? The document has the form of every other one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

from qanalysis.results.document import SCHEMA_VERSION
from qanalysis.validation import NOT_COVERED, Check

CHECK_COLUMNS = ("check", "reached", "required", "verdict")


class CheckTable(NamedTuple):
    """What one peer says: its name and version, and cells under `CHECK_COLUMNS`."""

    peer: str
    lines: list[tuple[str, ...]]


def describe_checks(checks: Sequence[Check]) -> dict[str, Any]:
    """One row per check, distances as numbers (null where nothing was reached, or not a finite number), and the counts of verdicts."""
    rows = [
        {
            "check": check.name,
            "peer": check.peer,
            "version": check.version,
            "kind": check.kind,
            "reached": check.reached if check.reached is not None and math.isfinite(check.reached) else None,
            "required": check.required,
            "values": check.values,
            "reached_text": check.reached_text,
            "required_text": check.required_text,
            "verdict": check.verdict,
            "reason": check.reason,
        }
        for check in checks
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "tool_version": version("qanalysis"),
        "source": None,
        "settings": {"summary": summarize_checks(checks), "not_covered": NOT_COVERED},
        "rows": rows,
        "totals": [{"verdict": verdict, "checks": count} for verdict, count in Counter(check.verdict for check in checks).items()],
    }


def tabulate_checks(checks: Sequence[Check]) -> list[CheckTable]:
    """A table for each peer that was asked, a line for each check."""
    asked = [(f"{check.peer} {check.version}", check) for check in checks if check.verdict != "not installed"]
    return [
        CheckTable(peer, [(check.name, check.reached_text, check.required_text, check.verdict) for title, check in asked if title == peer])
        for peer in dict.fromkeys(title for title, _ in asked)
    ]


def explain_checks(checks: Sequence[Check]) -> list[str]:
    """The reason of whatever is not plain agreement, who is missing, what is not covered, and the summary last."""
    reasons = [f"{check.verdict}: {check.name} ({check.peer}): {check.reason}" for check in checks if check.verdict in ("by design", "failed")]
    missing = [check.peer for check in checks if check.verdict == "not installed"]
    reasons += [f"not installed: {', '.join(missing)}: pip install 'qanalysis[peers]'"] if missing else []
    return [*reasons, NOT_COVERED, summarize_checks(checks)]


def summarize_checks(checks: Sequence[Check]) -> str:
    """One sentence.

    >>> summarize_checks([Check("int4", "torch", "2.13", "bit-exact", reached=0.0, required=0.0, values=8), Check("all", "gfloat", "", "bit-exact")])
    '1 of 1 checks agree; 1 peer is not installed'
    """
    counts = Counter(check.verdict for check in checks)
    explained, missing = counts["by design"], counts["not installed"]
    parts = [f"{counts['ok']} of {counts['ok'] + counts['failed']} checks agree"]
    parts += [f"{explained} difference{' is' if explained == 1 else 's are'} by design"] if explained else []
    parts += [f"{missing} peer{' is' if missing == 1 else 's are'} not installed"] if missing else []
    return "; ".join(parts)
