"""How does B differ from A, tensor by tensor? Structure from headers first, then the error of what both have."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from qanalysis.checkpoints.source import ArraySource, CheckpointError, TensorSource, describe_stored
from qanalysis.comparisons.errors import Tally, measure_pair, settle_order
from qanalysis.comparisons.maps import parse_maps
from qanalysis.comparisons.matching import match_tensors
from qanalysis.comparisons.pair import Pair
from qanalysis.comparisons.pooled import Pool
from qanalysis.comparisons.reading import Side
from qanalysis.comparisons.remarks import tell_gap, tell_relation
from qanalysis.comparisons.row import ComparisonRow
from qanalysis.comparisons.stored import predict_stored_db, read_stored
from qanalysis.comparisons.structure import Structure, judge, list_tied, show_names
from qanalysis.notation import quote
from qanalysis.patterns import Pattern
from qanalysis.results.identity import SourceIdentity
from qanalysis.results.table import Table
from qanalysis.sums import ErrorStats

#: The part of a document with what was compared in all.
POOLED = "pooled"
#: Two sources, or arrays by name.
Source = TensorSource | Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class CompareProgress:
    """Tensors done and in all, the one that is at work, and the share of the values that are done."""

    done: int
    total: int
    tensor: str
    fraction: float


def compare(
    a: Source,
    b: Source,
    *,
    maps: Mapping[str, str] | Sequence[str] = (),
    include: str | None = None,
    exclude: str | None = None,
    structure_only: bool = False,
    on_progress: Callable[[CompareProgress], None] | None = None,
    cancel: threading.Event | None = None,
) -> Table[ComparisonRow]:
    """B against A: one row per tensor, in the order of A, then what B alone has; e = b − a.

    Names find each other as `match_tensors` says; `maps` are its expressions, or texts "REGEX=REPLACEMENT". `include`
    and `exclude` are expressions searched in both names of a pair. With `structure_only` no value is read. Values are
    read a block at a time where a source can give slices; elements that are not finite in either are left out and
    counted in `reason`. `more["pooled"]` of the result has the SQNR over the weights that differ (`Pool`).

    `on_progress` is called before each tensor; setting `cancel` ends the work before the next one, with `complete`
    false and the rest of the rows without figures. Raises ValueError where no tensor of A is one of B, for a map or an
    expression that can not be used, and where an expression leaves nothing.

    >>> import numpy as np
    >>> x = np.float32([[1.0, -2.0], [0.5, 4.0]])
    >>> rows = compare({"model.w": x}, {"w": x + np.float32(0.5)})
    >>> [(row.tensor_a, row.tensor_b, row.matched_by, row.max_abs_error) for row in rows]
    [('model.w', 'w', 'prefix', 0.5)]
    """
    first, second = (one if isinstance(one, TensorSource) else ArraySource(one) for one in (a, b))
    asked = dict(maps) if isinstance(maps, Mapping) else parse_maps(maps)
    found = match_tensors(first.tensors, second.tensors, maps=asked, facts_a=first.facts, facts_b=second.facts)
    if not any(pair.a and pair.b for pair in found):
        raise ValueError(_tell_no_match(first, second))
    pairs, left = _filter(found, include, exclude)
    work = _Work(first, second, pairs, on_progress, cancel or threading.Event())
    rows = work.measure() if not structure_only else [work.structure.describe(pair) for pair in pairs]
    return Table.from_rows(
        ComparisonRow,
        [*rows, *list_tied(pairs)],
        source=SourceIdentity(
            first.name, first.size_bytes, (lambda: _take_digest(first)) if work.complete else None,
            stored=describe_stored([pair.a.info for pair in pairs if pair.a]),
        ),
        settings={
            "a": first.name,
            "b": second.name,
            "source_b": second.name,
            "size_b": second.size_bytes,
            "stored_b": describe_stored([pair.b.info for pair in pairs if pair.b]),
            "map": [f"{pattern}={replacement}" for pattern, replacement in asked.items()],
            "include": include,
            "exclude": exclude,
            "structure_only": structure_only,
        },
        complete=work.complete,
        coverage=[*_cover(rows, left), *_note(first, "A"), *_note(second, "B")],
        more={POOLED: work.pool.describe()} if not structure_only else {},
    )  # fmt: skip


class _Work:
    """The measuring of pairs, one after another."""

    def __init__(
        self,
        a: TensorSource,
        b: TensorSource,
        pairs: Sequence[Pair],
        on_progress: Callable[[CompareProgress], None] | None,
        cancel: threading.Event,
    ) -> None:
        self.structure, self.complete = Structure(), True
        self._a, self._b, self._pairs = Side(a), Side(b), pairs
        self._on_progress, self._cancel = on_progress, cancel
        self.pool = Pool()

    def measure(self) -> list[ComparisonRow]:
        """The rows of all pairs, with figures where they fit."""
        rows: list[ComparisonRow] = []
        total = sum(map(_weigh, self._pairs)) or 1
        done = 0
        for place, pair in enumerate(self._pairs):
            self.complete = self.complete and not self._cancel.is_set()
            if self._on_progress is not None and self.complete:
                known = pair.a or pair.b
                name = known.info.name if known else ""
                self._on_progress(CompareProgress(place, len(self._pairs), name, done / total))
            rows.append(self._measure_one(pair) if self.complete else self.structure.describe(pair, "cancelled"))
            done += _weigh(pair)
        return rows

    def _measure_one(self, pair: Pair) -> ComparisonRow:
        if judge(pair)[0] != "ok" and not any(judge(other)[0] == "ok" for other in pair.others):
            return self.structure.describe(pair)
        try:
            settled, told = settle_order(pair, self._a, self._b)
            tally = measure_pair(settled, self._a, self._b)
        except CheckpointError as error:
            return replace(self.structure.describe(pair, str(error)), status="dtype")
        row = self.structure.describe(settled, told)
        self.pool.add(row.role, tally)
        return _fill(row, settled, tally)


def _fill(row: ComparisonRow, pair: Pair, tally: Tally) -> ComparisonRow:
    """The row with its figures, what theory predicts, and what there is to say of both."""
    stats = tally.stats
    same = bool(stats.count) and not stats.max_abs_e
    exact = same and not tally.non_finite_apart
    if same and not exact:  # what is not finite in one alone is no error that has a size
        stats = ErrorStats()
    sqnr = math.inf if exact else stats.sqnr_db
    info = pair.b.info if pair.b is not None else None
    theory = gap = None
    if info is not None and stats.count and stats.sum_x2:
        theory = predict_stored_db(info, sigma=math.sqrt(stats.sum_x2 / stats.count))
        gap = tell_gap(sqnr, theory, tally, read_stored(info))
    lost = [(tally.non_finite_a, "A"), (tally.non_finite_b, "B")]
    told = [tell_relation(stats) or gap or "", *(_tell_lost(number, side) for number, side in lost if number)]
    if same and not exact:
        told.append("the others are the same value by value")
    elif not stats.count:
        told.append("no element is finite in both" if stats.non_finite else "no elements")
    elif not stats.sum_x2 and not exact:
        told.append("every element of A is 0")
    return replace(
        row,
        sqnr_db=sqnr,
        relative_l2=0.0 if exact else stats.relative_l2,
        cosine=stats.cosine,
        max_abs_error=stats.max_abs_error,
        theory_sqnr_db=theory,
        reason="; ".join(filter(None, (*told, row.reason))),
    )


def _tell_lost(number: int, side: str) -> str:
    return f"{number:,} value{'s' if number != 1 else ''} of {side} not finite, left out"


def _weigh(pair: Pair) -> int:
    return math.prod(pair.a.sizes) if pair.a is not None and pair.fits else 0


def _filter(pairs: Sequence[Pair], include: str | None, exclude: str | None) -> tuple[list[Pair], int]:
    """The pairs of which a name passes both expressions, and how many do not."""
    names = sorted({part.info.name for pair in pairs for part in (pair.a, pair.b) if part is not None})
    taken = set(names) if include is None else Pattern.parse(include, "include").select(names)
    dropped = frozenset[str]() if exclude is None else Pattern.parse(exclude, "exclude").select(names)

    def passes(pair: Pair) -> bool:
        own = {part.info.name for part in (pair.a, pair.b) if part is not None}
        return bool(own & taken) and not own & dropped

    kept = [pair for pair in pairs if passes(pair)]
    if not kept:
        words = [f"{word} {quote(text)}" for word, text in (("include", include), ("exclude", exclude)) if text]
        asked = f"{' and '.join(words)} leave{'s' * (len(words) == 1)}"
        raise ValueError(f"{asked} none of the {len(pairs):,} tensors, which begin with {quote(names[0])}")
    return kept, len(pairs) - len(kept)


def _tell_no_match(a: TensorSource, b: TensorSource) -> str:
    return (
        f"no tensor of {quote(a.name)} is one of {quote(b.name)} by its name: A has {show_names(a.tensors)}, B has "
        f"{show_names(b.tensors)}; say how names of A are spelled in B with --map REGEX=REPLACEMENT"
    )


def _cover(rows: Iterable[ComparisonRow], left: int) -> list[dict[str, Any]]:
    """How many tensors of each role were compared, and why others were not."""
    kinds: dict[tuple[str, str, str], list[int]] = {}
    for row in rows:
        part = "compared" if row.status == "ok" else "without figures"
        reason = "" if row.status == "ok" else row.status
        counted = kinds.setdefault((part, row.role, reason), [0, 0])
        counted[0] += 1
        counted[1] += _count_values(row.shape_a or row.shape_b)
    found = [
        {"part": part, "role": role, "reason": reason, "tensors": tensors, "values": values}
        for (part, role, reason), (tensors, values) in kinds.items()
    ]
    if left:
        found.append({"part": "left out", "role": "", "reason": "not asked for", "tensors": left, "values": None})
    return found


def _count_values(shape: str) -> int:
    return math.prod(int(size) for size in shape.split("x")) if shape else 1


def _note(source: TensorSource, side: str) -> list[dict[str, Any]]:
    return [
        {"part": "note", "role": "", "reason": f"{side}: {note}", "tensors": None, "values": None}
        for note in source.notes
    ]


def _take_digest(source: TensorSource) -> str | None:
    try:
        return source.digest
    except (CheckpointError, OSError):
        return None
