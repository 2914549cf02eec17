"""Is the file that came out what was planned? Every tensor of a plan against a file: type, bytes and, with the float
source, error.

Nothing passes for want of evidence: what is missing, unreadable or all zero deviates. Without a float source types and
bytes are checked, and that not every value is zero.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from qanalysis.checkpoints.source import ModelFacts, Role, TensorInfo, TensorSource, describe_stored
from qanalysis.comparisons.matching import match_tensors
from qanalysis.comparisons.pair import Pair, Part
from qanalysis.comparisons.verify_row import ALLOWED_DB, VerifyRow, VerifyTotal
from qanalysis.comparisons.verify_types import (
    Fault,
    describe_layout,
    find_kept_faults,
    find_size,
    find_size_fault,
    find_type_faults,
)
from qanalysis.comparisons.verify_values import Evidence, ValueCheck, match_original
from qanalysis.notation import shorten
from qanalysis.plans.plan import Plan
from qanalysis.plans.row import PlanRow
from qanalysis.plans.tensors import list_tensors
from qanalysis.quantizers.scheme import Scheme
from qanalysis.results.identity import SourceIdentity
from qanalysis.results.table import Table

#: What a file may hold beside a model's own tensors.
_BESIDE: tuple[Role, ...] = ("scale", "constant", "buffer")
_KEPT = "float"
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Planned:
    """What the plan says of one tensor; `row` and `scheme` are None for what it keeps as it is."""

    info: TensorInfo
    size_bytes: int
    row: PlanRow | None = None
    scheme: Scheme | None = None

    @property
    def text(self) -> str:
        """The scheme, or that there is none."""
        return _KEPT if self.scheme is None else str(self.scheme)


def verify_plan(
    plan: Plan,
    file: TensorSource,
    original: TensorSource | None = None,
    *,
    maps: Mapping[str, str] | None = None,
    allowed_db: float = ALLOWED_DB,
    on_progress: Callable[[int, int, str], None] = lambda _done, _total, _name: None,
    cancel: threading.Event | None = None,
) -> Table[VerifyRow]:
    """Every tensor of a plan in its order against the file, then what the file alone has.

    `original` is the float source, `maps` are expressions that turn names of the plan into names of the file.
    Values may be `allowed_db` further from the float source than planned. `on_progress` is told pairs done, all pairs
    and what is at work; once `cancel` is set the rows so far are returned, and the table is not complete.

    Raises ValueError where file or float source have none of the planned tensors, or the file has all of them in other
    shapes: the plan is for another model.
    """
    known = match_original(plan, original) if original else {}
    planned = _list_planned(plan, known)
    pairs = match_tensors(
        [one.info for one in planned.values()],
        file.tensors,
        maps=maps,
        facts_a=original.facts if original else ModelFacts(),
        facts_b=file.facts,
    )
    _check_is_for(pairs, planned, file)
    values = ValueCheck(plan, file, original, known, allowed_db)
    rows = list[VerifyRow]()
    for done, pair in enumerate(pairs):
        if cancel is not None and cancel.is_set():
            break
        on_progress(done, len(pairs), (pair.a or pair.b or Part(TensorInfo("", (), "", 0))).info.name)
        rows.append(_verify(pair, planned, values))
    return Table.from_rows(
        VerifyRow,
        rows,
        totals=[_add_up(rows)],
        source=SourceIdentity(file.name, file.size_bytes, lambda: file.digest, stored=describe_stored(file.tensors)),
        settings={
            "plan_of": plan.source.path if plan.source else None,
            "float": original.name if original else None,
            "allowed_db": allowed_db if original else None,
            **({"map": [f"{old}={new}" for old, new in maps.items()]} if maps else {}),
        },
        complete=len(rows) == len(pairs),
        coverage=[{"part": "note", "reason": note} for note in _list_notes(plan, file, original)],
    )


def _list_planned(plan: Plan, described: Mapping[str, TensorInfo]) -> dict[str, Planned]:
    """Every tensor that the plan speaks of, by name, as the float source describes it, else as the plan does."""
    known = list_tensors([plan])
    found = dict[str, Planned]()
    for row in plan:
        found[row.tensor] = Planned(TensorInfo(row.tensor, (), "", 0), row.size_bytes, row, Scheme.parse(row.scheme))
    for name, size in plan.kept_float.items():
        found[name] = Planned(TensorInfo(name, (), "", size), size)
    for name, one in found.items():
        if name in described:
            found[name] = replace(one, info=replace(described[name], name=name, aliases=()))
        elif name in known:
            found[name] = replace(one, info=known[name].describe())
    return found


def _check_is_for(pairs: Sequence[Pair], planned: Mapping[str, Planned], file: TensorSource) -> None:
    """ValueError where the file is of another model: no name of the plan in it, or no shape."""
    both = [pair for pair in pairs if pair.a and pair.b and planned[pair.a.info.name].scheme]
    if not both:
        own = ", ".join(shorten(name) for name in list(planned)[:_NAMED])
        first = sorted(file.tensors, key=lambda info: not info.is_matrix)[:_NAMED]
        there = ", ".join(shorten(info.name) for info in first) or "no tensor"
        raise ValueError(
            f"{file.name} has none of the tensors that the plan quantizes ({own}), it has {there}: the plan is for "
            "another model, or names need --map REGEX=REGEX"
        )
    if not any(_fits(pair) for pair in both):
        ours, theirs = (part.info for part in (both[0].a, both[0].b) if part)
        raise ValueError(
            f"every planned tensor has another shape in {file.name}, such as {shorten(ours.name)}: {ours.shape_text} "
            f"and {theirs.shape_text}; the plan is for another model"
        )


def _fits(pair: Pair) -> bool:
    """Whether both sides are of one size, as far as the plan knows it."""
    return pair.fits or (pair.a is not None and not pair.a.info.shape)


def _verify(pair: Pair, planned: Mapping[str, Planned], values: ValueCheck) -> VerifyRow:
    if pair.a is None:
        return _tell_extra(pair.b) if pair.b else VerifyRow()
    one = planned[pair.a.info.name]
    own = VerifyRow(
        tensor=one.info.name,
        role=one.info.role,
        planned=one.text,
        shape_planned=one.info.shape_text,
        size_bytes_planned=_take_share(pair.a, one.size_bytes),
    )
    if pair.b is None:
        reason = "no tensor of the file is it: what is missing loads as it was made, often as zeros"
        return replace(own, status="missing", deviations=("missing",), reason=reason)
    evidence = values.look(pair, one.row, one.scheme) if _fits(pair) else Evidence()
    faults = [*_find_faults(pair.a, pair.b, one, fits=_fits(pair)), *evidence.faults]
    info = pair.b.info
    return replace(
        own,
        tensor_file=info.name,
        matched_by=pair.matched_by,
        stored=describe_layout(info),
        shape_file=info.shape_text,
        size_bytes_file=find_size(pair.b),
        planned_relative_l2=evidence.planned_relative_l2,
        sqnr_db_planned=evidence.planned_db,
        sqnr_db_least=evidence.least_db,
        relative_l2=evidence.relative_l2,
        sqnr_db=evidence.sqnr_db,
        status=faults[0][0] if faults else "ok",
        deviations=tuple(dict.fromkeys(word for word, _ in faults)),
        reason="; ".join([*(text for _, text in faults), *_list_remarks(pair, info)]),
    )


def _find_faults(a: Part, b: Part, one: Planned, *, fits: bool) -> Iterator[Fault]:
    """What the header of the file shows."""
    info = b.info
    if not fits:
        yield "shape", f"{one.info.shape_text} is planned, the file has {info.shape_text or 'a single number'}"
    if one.scheme is None:
        yield from find_kept_faults(info, one.info.dtype)
    else:
        faults = list(find_type_faults(one.scheme, b))
        yield from faults
        if fits and not faults and info.stored:
            yield from find_size_fault(one.scheme, b, planned=_take_share(a, one.size_bytes))
    if not info.decodes and (one.scheme is not None or info.stored):
        yield "unread", f"its values can not be had: {info.reason or info.dtype}"


def _take_share(part: Part, size: int) -> int:
    """The bytes of a part of a planned tensor."""
    if part.rows is None:
        return size
    whole = replace(part, rows=None).sizes[0]
    return size * part.rows.count // max(whole, 1)


def _list_remarks(pair: Pair, info: TensorInfo) -> Iterator[str]:
    """What there is to know beside deviations."""
    for part, side in ((pair.a, "the plan's"), (pair.b, "the file's")):
        if part is not None and part.rows is not None and part.rows.told:
            yield f"{part.rows.told} of {side} {shorten(part.info.name)}"
    if "tied" in pair.matched_by or "alias" in pair.matched_by:
        yield f"the file has no tensor of its own for it, {shorten(info.name)} serves as both"
    if info.note:
        yield shorten(info.note, 200)


def _tell_extra(part: Part) -> VerifyRow:
    """A tensor of the file that the plan does not know."""
    info = part.info
    is_beside = info.role in _BESIDE
    return VerifyRow(
        tensor_file=info.name,
        role=info.role,
        stored=describe_layout(info),
        shape_file=info.shape_text,
        size_bytes_file=find_size(part),
        status="beside" if is_beside else "extra",
        deviations=() if is_beside else ("extra",),
        reason="" if is_beside else "the plan does not know it",
    )


def _add_up(rows: Sequence[VerifyRow]) -> VerifyTotal:
    own = [row for row in rows if row.tensor]
    there = [row for row in own if row.tensor_file]
    return VerifyTotal(
        tensors=len(own),
        as_planned=sum(not row.deviates for row in own),
        deviations=sum(row.deviates for row in rows),
        measured=sum(row.sqnr_db is not None for row in own),
        bytes_planned=sum(row.size_bytes_planned or 0 for row in there),
        bytes_file=sum(row.size_bytes_file or 0 for row in there),
    )


def _list_notes(plan: Plan, file: TensorSource, original: TensorSource | None) -> Iterator[str]:
    """What was not checked, and what holds for the file as a whole."""
    if original is None:
        yield "without --float: types, bytes and zeros are checked, errors are not"
    elif plan.source is not None and _differ(plan.source, original):
        yield f"{original.name} is not the file that the plan was made from ({plan.source.path}): contents differ"
    yield from file.notes


def _differ(source: SourceIdentity, original: TensorSource) -> bool:
    """Whether the float source is another one than the plan's; its content is hashed only where sizes agree."""
    if source.size != original.size_bytes:
        return True
    return source.digest is not None and source.digest != original.digest
