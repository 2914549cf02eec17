"""What is the answer in one sentence, and which layers need a look? The page, the command line and the report say the
same.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qanalysis.checkpoints.source import SAMPLE_PREFIX
from qanalysis.notation import count, decibels, quote, shorten
from qanalysis.sweeps.row import Row, Rows

if TYPE_CHECKING:
    from qanalysis.diagnosis.profile import LayerProfile

HEADLINE_BITS_PER_WEIGHT = 5.0
NAMED_SCHEMES = 12
NOT_SWEPT = "not in the sweep"
LEFT_OUT_NAMED = 8
_SHARE = re.compile(r" in [0-9]+ of [0-9]+ tensors$")
UNMEASURED = ("without figures", "left out")
_NOUNS = {
    "bias": ("bias", "biases"),
    "optimizer": ("tensor of optimizer state", "tensors of optimizer state"),
    "average": ("averaged copy", "averaged copies"),
}


def headline(rows: Rows, scheme: str, *, worst_channel: int | None = None) -> str:
    """One sentence for one scheme (canonical text): pooled SQNR, true bits per weight, the worst layer.

    A part without figures is left out; `worst_channel` names the channel that carries the worst layer's error. A
    cancelled sweep says so. Raises ValueError for a scheme that is not among the rows.
    """
    _check_scheme(rows, scheme)
    total = next((row for row in rows.totals if row.scheme == scheme), None)
    parts = []
    if total is not None and total.sqnr_db is not None:
        parts.append(f"{decibels(total.sqnr_db, digits=1)} pooled")
    if total is not None and total.bits_per_weight is not None:
        parts.append(f"{total.bits_per_weight:.4g} bits per weight")
    facts = [", ".join(parts)] if parts else []
    worst = select_worst(rows, scheme, count=1)
    if worst:
        channel = "" if worst_channel is None else f", outlier channel {worst_channel}"
        facts.append(f"worst: {shorten(worst[0].tensor, 80)}, {decibels(worst[0].sqnr_db, digits=1)}{channel}")
    if not facts:
        facts.append("no tensor could be measured")
    if rows.source.stored:
        facts.append(tell_stored(rows.source.stored))
    if not rows.complete:
        facts.append("cancelled, rows so far")
    return f"{rows.source.path.removeprefix(SAMPLE_PREFIX)} at {scheme}: {'; '.join(facts)}"


def tell_stored(stored: str) -> str:
    """What figures of packed values are figures of; how many tensors are packed is told with the rest of the source.

    >>> tell_stored("gptq int4 group=128, 4.156 bits per weight in 12 of 13 tensors")
    'already quantized (gptq int4 group=128, 4.156 bits per weight); figures are relative to its decoded values'
    """
    return f"already quantized ({_SHARE.split(stored)[0]}); figures are relative to its decoded values"


def tell_source(rows: Rows) -> list[str]:
    """What a result is a result of, a line each: what was measured and left out, how values are stored, and what holds
    for the source as a whole.
    """
    stored = f"stored as {rows.source.stored}" if rows.source.stored else ""
    return [line for line in (tell_selection(rows.coverage), stored, *list_notes(rows.coverage)) if line]


def tell_selection(coverage: Sequence[Mapping[str, Any]]) -> str:
    """What was measured of a source and what was left out, in one line, the most tensors first; empty where nothing is
    known of it.

    >>> tell_selection([{"part": "measured", "tensors": 2, "values": 500}, {"part": "left out", "role": "norm",
    ...     "reason": "role norm is not measured unless asked for", "tensors": 1, "values": 10}])
    '2 of 3 tensors, 500 of 510 values; left out: 1 norm'
    """
    measured = next((entry for entry in coverage if entry.get("part") == "measured"), None)
    if measured is None:
        return ""
    kinds = {part: [entry for entry in coverage if entry.get("part") == part] for part in UNMEASURED}
    others = [entry for entries in kinds.values() for entry in entries]
    shares = [_tell_share(measured[name], others, name) for name in ("tensors", "values")]
    return "; ".join([", ".join(shares), *(f"{part}: {_name_kinds(found)}" for part, found in kinds.items() if found)])


def _tell_share(taken: int, others: Sequence[Mapping[str, Any]], name: str) -> str:
    """How many of how many; to the last digit where rounded both would read alike."""
    whole = taken + sum(int(entry[name]) for entry in others)
    is_close = taken != whole and count(taken) == count(whole)
    few, all_of_them = (f"{number:,}" if is_close else count(number) for number in (taken, whole))
    return f"{few} of {all_of_them} {name}"


def _name_kinds(kinds: Sequence[Mapping[str, Any]]) -> str:
    """What was not measured, the kinds of most tensors named, the others counted."""
    ordered = sorted(kinds, key=lambda entry: -int(entry["tensors"]))
    named, rest = ordered[:LEFT_OUT_NAMED], ordered[LEFT_OUT_NAMED:]
    more = sum(int(entry["tensors"]) for entry in rest)
    told = [*map(_name_left_out, named), *([f"{count(more)} of {len(rest)} other kinds"] if rest else [])]
    return ", ".join(told)


def list_notes(coverage: Sequence[Mapping[str, Any]]) -> list[str]:
    """The sentences about a source as a whole."""
    return [str(entry.get("reason", "")) for entry in coverage if entry.get("part") == "note"]


def _name_left_out(entry: Mapping[str, Any]) -> str:
    """Some tensors that were left out: "62 norms", "1 weight (fewer than two axes longer than 1)"."""
    role, number, reason = str(entry["role"]), int(entry["tensors"]), str(entry["reason"])
    noun = _NOUNS.get(role, (role, f"{role}s"))[number != 1]
    is_plain = reason.startswith(f"role {role} ")
    return f"{count(number)} {noun}" if is_plain else f"{count(number)} {noun} ({shorten(reason, 100)})"


def head_scheme(rows: Rows, scheme: str) -> str:
    """The headline under a scheme; of one that was not swept a sentence that says so."""
    if scheme in rows.column("scheme"):
        return headline(rows, scheme)
    name = rows.source.path.removeprefix(SAMPLE_PREFIX)
    return f"{name} at {scheme}: {NOT_SWEPT}, measured for the layer in view alone"


def choose_scheme(rows: Rows) -> str:
    """The scheme a summary starts with: best pooled SQNR at no more than 5 bits per weight, else the smallest.

    Raises ValueError where there is no row at all.
    """
    measured = [row for row in rows.totals if row.bits_per_weight is not None and row.sqnr_db is not None]
    small = [row for row in measured if _size(row) <= HEADLINE_BITS_PER_WEIGHT]
    if small:
        return max(small, key=lambda row: (_sqnr(row), -_size(row))).scheme
    if measured:
        return min(measured, key=_size).scheme
    if not len(rows):
        raise ValueError("there are no rows to summarise; the sweep stopped before its first tensor")
    return rows.rows[0].scheme


def select_worst(rows: Rows, scheme: str, *, count: int = 10) -> tuple[Row, ...]:
    """At most `count` measured layers of a scheme with the lowest SQNR, lowest first; ties stay in the file's order.

    Layers without an SQNR are none of them; an unknown scheme has none at all.
    """
    sqnr_db = rows.column("sqnr_db")
    measured = np.flatnonzero((rows.column("scheme") == scheme) & ~np.isnan(sqnr_db))
    order = measured[np.argsort(sqnr_db[measured], kind="stable")]
    return tuple(rows[int(place)] for place in order[:count])


def find_outlier(profile: LayerProfile) -> int | None:
    """The channel whose largest magnitude is at least three times that of the median channel; None without one."""
    return profile.outlier_channel if profile.has_outlier else None


def find_worst_channel(rows: Rows, scheme: str, profiles: Sequence[LayerProfile]) -> int | None:
    """The outlier channel of the worst layer of a scheme, where its profile is at hand and has one."""
    worst = [(row.tensor, scheme) for row in select_worst(rows, scheme, count=1)]
    fitting = [profile for profile in profiles if (profile.name, str(profile.scheme)) in worst]
    return find_outlier(fitting[0]) if fitting else None


def _sqnr(row: Row) -> float:
    return math.inf if row.sqnr_db is None else row.sqnr_db


def _size(row: Row) -> float:
    return math.inf if row.bits_per_weight is None else row.bits_per_weight


def _check_scheme(rows: Rows, scheme: str) -> None:
    """ValueError for a scheme that neither rows nor totals hold; it names at most a dozen of those they do."""
    known = list(dict.fromkeys([*rows.totals.column("scheme"), *rows.column("scheme")]))
    if scheme not in known:
        more = f"; and {len(known) - NAMED_SCHEMES} more" if len(known) > NAMED_SCHEMES else ""
        named = "; ".join(shorten(text, 80) for text in known[:NAMED_SCHEMES]) or "nothing"
        raise ValueError(f"scheme {quote(scheme, 80)} is not among the rows; they hold: {named}{more}")
