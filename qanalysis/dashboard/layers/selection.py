"""Which layers does a search leave, and in which order? Pure functions over rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from qanalysis.checkpoints.source import TensorInfo
from qanalysis.dashboard.finding import find_tensors
from qanalysis.notation import count
from qanalysis.sweeps.row import METRICS, STATUS_WORDS, Row

MOST_ALIASES = 4


def order_rows(rows: Sequence[Row], order: str, metric: str) -> list[Row]:
    """One scheme's rows in the order asked for ("file", "worst", "largest", "name"); those without figures stand last
    in each.

    An unknown word leaves the order of the file; equal rows keep it among themselves.
    """
    match order:
        case "worst":
            ordered = sorted(rows, key=lambda row: _badness(row, metric), reverse=True)
        case "largest":
            ordered = sorted(rows, key=lambda row: -row.numel)
        case "name":
            ordered = sorted(rows, key=lambda row: row.tensor)
        case _:
            ordered = list(rows)
    return sorted(ordered, key=lambda row: row.status != "ok")


def _badness(row: Row, metric: str) -> float:
    """How bad a row is by a metric, more is worse; −∞ where the row has no such figure."""
    value: float | None = getattr(row, metric)
    if value is None:
        return -math.inf
    return -value if METRICS[metric].better == "higher" else abs(value)


def tell_left_out(rows: Iterable[Row]) -> str:
    """How many tensors the heat map leaves out, by reason, in one line; empty for no rows. One row per tensor."""
    reasons = Counter(row.reason or STATUS_WORDS[row.status] for row in rows)
    told = "; ".join(f"{count(number)} × {reason}" for reason, number in reasons.most_common())
    return f"Left out of the heat map: {told}." if told else ""


def tell_layer(info: TensorInfo, reason: str) -> str:
    """What is to be known of a layer beside its figures: how its values are stored, its other names, and the `reason`
    of its row. Empty where there is nothing.

    >>> tell_layer(TensorInfo("w", (4, 64), "int32", 144, stored="gptq int4 group=64", aliases=("v",)), "")
    'w: stored as gptq int4 group=64, 4.5 bits per weight; tied, also named v'
    """
    stored = f"stored as {info.stored}, {info.stored_bits:.4g} bits per weight" if info.stored and info.decodes else ""
    more = len(info.aliases) - MOST_ALIASES
    tied = ", ".join([*info.aliases[:MOST_ALIASES], *([f"{more} more"] if more > 0 else [])])
    told = "; ".join(part for part in (stored, f"tied, also named {tied}" if tied else "", reason) if part)
    return f"{info.name}: {told}" if told else ""


def choose_rows(rows: Sequence[Row], *, find: str, order: str, limit: str, metric: str) -> list[Row]:
    """One scheme's rows after search, sorting and the limit ("60" or "all").

    `find` and `order` as in `find_tensors` and `order_rows`; ValueError for a limit that is neither a number nor "all",
    and for a search that takes too long.
    """
    kept = set(find_tensors([row.tensor for row in rows], find))
    ordered = order_rows([row for row in rows if row.tensor in kept], order, metric)
    return ordered if limit == "all" else ordered[: int(limit)]
