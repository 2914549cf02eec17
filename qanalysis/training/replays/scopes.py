"""Which rows of a log share a quantizer (A11)? One per group, per layer, or for all layers of a kind.

A quantizer is driven by what is seen of all its rows at a step: the widest extremes, pooled moments.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Codes, Doubles
from qanalysis.notation import quote, shorten
from qanalysis.patterns import Pattern
from qanalysis.quantizers.scales import LARGEST_FLOAT
from qanalysis.training.range_rules import Scope
from qanalysis.training.state import KINDS, Observation
from qanalysis.training.statistics.log import StatisticsLog

_PARTS = tuple(one.name for one in fields(Observation))
_FIRSTS = (np.fmax, np.fmin)


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows of a log, or several of them as one: `step`, `layer`, `kind`, `group` and what was seen, (rows,) each.

    `exponents` counts blocks by the exponent of their scale.
    """

    step: Codes
    layer: NDArray[np.object_]
    kind: NDArray[np.object_]
    group: NDArray[np.object_]
    seen: Observation
    exponents: Mapping[int, Doubles]

    def __len__(self) -> int:
        return self.step.size

    def take(self, places: NDArray[np.generic]) -> Rows:
        """Some of the rows, by their places or by a mask."""
        return Rows(
            self.step[places],
            self.layer[places],
            self.kind[places],
            self.group[places],
            take_seen(self.seen, places),
            {exponent: counts[places] for exponent, counts in self.exponents.items()},
        )


@dataclass(frozen=True, slots=True, eq=False)
class Lanes:
    """What drives n quantizers: rows sorted by step, `lane` (rows,) the quantizer of each; `owner` (n,) says which
    quantizers are groups of one tensor.
    """

    rows: Rows
    lane: Codes
    owner: Codes

    @property
    def n(self) -> int:
        """How many quantizers there are."""
        return self.owner.size

    def steps(self) -> Iterator[tuple[int, slice, Observation]]:
        """Each step, its rows, and what all n see in it: NaN where they see nothing."""
        step = self.rows.step
        starts = np.flatnonzero(np.diff(step, prepend=step[:1] - 1)).tolist()
        columns = [(name, getattr(self.rows.seen, name)) for name in _PARTS]
        blank = np.full(self.n, np.nan)
        for start, end in zip(starts, [*starts[1:], step.size], strict=True):
            part = slice(start, end)
            if end - start == self.n:  # all of them, in their order
                yield int(step[start]), part, Observation(**{name: column[part] for name, column in columns})
                continue
            seen = {name: blank.copy() for name, _ in columns}
            for name, column in columns:
                seen[name][self.lane[part]] = column[part]
            yield int(step[start]), part, Observation(**seen)


def take_seen(seen: Observation, places: NDArray[np.generic] | slice) -> Observation:
    """What was seen, at some places."""
    return Observation(**{name: getattr(seen, name)[places] for name in _PARTS})


def read_rows(log: StatisticsLog) -> Rows:
    """The rows of a log in which something was seen, or nothing that float32 holds; ends that are not known as -absmax,
    absmax.
    """
    finite = log.absmax <= LARGEST_FLOAT
    absmax, mean, std = (np.where(finite, part, np.nan) for part in (log.absmax, log.mean, log.std))
    count = log.numel - np.nan_to_num(log.non_finite)
    seen = Observation(
        absmax,
        log.absmin,
        mean,
        std,
        np.where(np.isfinite(log.low), log.low, -absmax),
        np.where(np.isfinite(log.high), log.high, absmax),
        np.where(count > 0, count, np.nan),
        log.non_finite,
        log.mean_quantized,
    )
    rows = Rows(log.step, log.layer, log.kind, log.group, seen, log.scale_exponents)
    return rows.take(finite | (log.absmax > LARGEST_FLOAT) | (log.non_finite > 0))


def choose_series(
    log: StatisticsLog, *, kinds: Sequence[str] = (), include: str = "", exclude: str = ""
) -> StatisticsLog:
    """The rows of some kinds (empty: all) and of layers whose name has a match of `include` and none of `exclude`.

    Raises ValueError for an unknown kind, an expression that is none or takes too long, and where nothing is left.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ValueError(f"kind {quote(unknown[0])} is unknown; kinds are {', '.join(KINDS)}")
    wanted, unwanted = Pattern.parse(include, "include"), Pattern.parse(exclude, "exclude")
    layers = dict.fromkeys(log.layer.tolist())
    kept = wanted.select(layers) - (unwanted.select(layers) if exclude else frozenset())
    chosen = np.array([one in kept for one in log.layer], bool)
    if kinds:
        chosen &= np.isin(log.kind.astype(str), kinds)
    if not chosen.any():
        held = f"layers {', '.join(list(layers)[:5])} and kinds {', '.join(dict.fromkeys(log.kind.tolist()))}"
        raise ValueError(
            f"{log.source or 'the log'}: no row is left of the kinds and layers asked for; it has {shorten(held, 300)}"
        )
    columns = {one.name: getattr(log, one.name) for one in fields(log)}
    rows = {name: column[chosen] for name, column in columns.items() if isinstance(column, np.ndarray)}
    exponents = {exponent: counts[chosen] for exponent, counts in log.scale_exponents.items()}
    return replace(log, **rows, scale_exponents=exponents)


def split_scopes(rows: Rows, scope: Scope) -> tuple[Rows, Lanes, Codes]:
    """(rows to tell, what drives the quantizers, which driving row each told row follows).

    Of a tensor that stands in a log as a whole and in groups, groups are taken where the scope is the group, the whole
    else; where only groups stand, a layer is all of them as one.
    """
    has_group = rows.group != ""
    tensor = number_rows(rows.layer, rows.kind)
    if scope == "group":
        grouped = np.zeros(int(tensor.max(initial=-1)) + 1, bool)
        grouped[tensor[has_group]] = True
        told = rows.take(has_group | ~grouped[tensor])
        return (told, *_drive(told, number_rows(told.layer, told.kind, told.group)))
    whole = np.zeros(int(tensor.max(initial=-1)) + 1, bool)
    whole[tensor[~has_group]] = True
    chosen = ~has_group | ~whole[tensor]
    told = rows.take(chosen)
    if has_group[chosen].any():
        told = _merge(told, number_rows(told.layer, told.kind))[0]
    if scope == "layer":
        return (told, *_drive(told, number_rows(told.layer, told.kind)))
    kind = number_rows(told.kind)
    pooled, follows = _merge(told, kind)
    lanes, place = _drive(pooled, number_rows(pooled.kind))
    return told, lanes, place[follows]


def number_rows(*texts: NDArray[np.object_]) -> Codes:
    """Equal rows of texts as equal numbers, counted from 0 in the order of their first appearance; (rows,)."""
    numbers: dict[tuple[str, ...], int] = {}
    turns = np.zeros(texts[0].size, bool)
    turns[:1] = True
    for text in texts:
        turns[1:] |= text[1:] != text[:-1]
    starts = np.flatnonzero(turns)
    keys = zip(*(text[starts] for text in texts), strict=True)
    found = np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)
    return found[np.cumsum(turns) - 1] if found.size else np.zeros(0, np.int64)


def _drive(rows: Rows, lane: Codes) -> tuple[Lanes, Codes]:
    """Rows sorted by step, and the place there of each."""
    order = np.lexsort((lane, rows.step))
    place = np.empty(order.size, np.int64)
    place[order] = np.arange(order.size)
    owner = np.zeros(int(lane.max(initial=-1)) + 1, np.int64)
    owner[lane] = number_rows(rows.layer, rows.kind)
    return Lanes(rows.take(order), lane[order], owner), place


def _merge(rows: Rows, unit: Codes) -> tuple[Rows, Codes]:
    """The rows of a unit at one step as one, sorted by unit and step; and which of them each row went into.

    Moments are pooled over those that are known, by their elements; those whose number is unknown weigh alike.
    """
    order = np.lexsort((rows.step, unit))
    sorted_rows = rows.take(order)
    key = np.stack([unit[order], sorted_rows.step])
    starts = np.flatnonzero(np.concatenate([[True], (key[:, 1:] != key[:, :-1]).any(axis=0)])[: order.size])
    follows = np.empty(order.size, np.int64)
    follows[order] = np.searchsorted(starts, np.arange(order.size), side="right") - 1
    seen = _merge_seen(sorted_rows.seen, starts)
    exponents = {one: np.add.reduceat(counts, starts) for one, counts in sorted_rows.exponents.items()}
    first = replace(sorted_rows, exponents={}).take(starts)
    return Rows(first.step, first.layer, first.kind, np.full(starts.size, "", object), seen, exponents), follows


def _merge_seen(seen: Observation, starts: Codes) -> Observation:
    counted = np.isfinite(seen.count)
    weight = seen.count if counted.all() else np.ones_like(seen.count)

    def pool(values: Doubles) -> Doubles:
        known = np.isfinite(values)
        total = np.add.reduceat(np.where(known, weight, 0.0), starts)
        summed = np.add.reduceat(np.where(known, weight * np.nan_to_num(values), 0.0), starts)
        return np.where(total > 0, summed / np.maximum(total, 1e-300), np.nan)

    mean = pool(seen.mean)
    square = pool(seen.mean**2 + seen.std**2)
    widest, narrowest = (
        {name: by.reduceat(getattr(seen, name), starts) for name in names}
        for by, names in zip(_FIRSTS, (("absmax", "high"), ("absmin", "low")), strict=True)
    )
    return Observation(
        **widest,
        **narrowest,
        mean=mean,
        std=np.sqrt(np.maximum(square - mean**2, 0)),
        count=np.add.reduceat(seen.count, starts),
        non_finite=np.add.reduceat(np.nan_to_num(seen.non_finite), starts),
        mean_quantized=pool(seen.mean_quantized),
    )
