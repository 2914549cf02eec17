"""What is told of a verification? How many tensors are as planned and what was checked, then each that deviates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from qanalysis.comparisons.verify_row import STATUS_WORDS, VerifyRow
from qanalysis.notation import NOTHING, decibels, shorten, size
from qanalysis.reports.common_sections import define_columns, tell_coverage
from qanalysis.reports.outline import Facts, Grid, Outline, Prose, Section
from qanalysis.results.table import Table

_SHOWN, _LONGEST = 50, 160


def outline_verify(table: Table[VerifyRow], *, title: str | None = None) -> Outline:
    """The answer, the deviations with their reasons, then every tensor."""
    rows = list(table)
    name = table.source.path if table.source else "the file"
    wrong = [row for row in rows if row.deviates]
    answer = _answer(name, rows, wrong)
    meanings = Facts([(str(word), meaning) for word, meaning in STATUS_WORDS.items()])
    return Outline(
        title=title or f"{name} against its plan",
        headline=answer,
        opening=[answer],
        warnings=[f"{name_deviation(row)}." for row in wrong[:_SHOWN]],
        lead=[*_list_deviations(wrong), *_list_tensors(rows)],
        rest=[
            *tell_coverage(table),
            define_columns(table.columns, more=[Prose("Status words", strong=True), meanings]),
        ],
    )


def list_deviations(table: Table[VerifyRow]) -> list[tuple[str, str]]:
    """What is not as planned: what kind of deviation, and the tensor with the reason."""
    return [(", ".join(row.deviations), name_deviation(row)) for row in table if row.deviates]


def name_deviation(row: VerifyRow) -> str:
    """One deviation in a line."""
    return f"{shorten(row.tensor or row.tensor_file, _LONGEST)}: {', '.join(row.deviations)}: {row.reason}"


def _answer(name: str, rows: Sequence[VerifyRow], wrong: Sequence[VerifyRow]) -> str:
    """How many are as planned, the bytes, and what was checked, in a few sentences."""
    own = [row for row in rows if row.tensor]
    fine = sum(not row.deviates for row in own)
    counts = Counter(word for row in wrong for word in row.deviations)
    told = [f"{name}: {fine:,} of {len(own):,} tensors are as planned"]
    named = ", ".join(f"{word} {count:,}" for word, count in counts.items())
    told += [f"{len(wrong):,} deviate ({named})"] if wrong else []
    there = [row for row in own if row.tensor_file]
    planned, found = (sum(getattr(row, f"size_bytes_{side}") or 0 for row in there) for side in ("planned", "file"))
    measured = sum(row.sqnr_db is not None for row in own)
    checked = f"errors of {measured:,} tensors" if measured else "no errors, for want of a float source"
    return f"{', '.join(told)}. {size(found)} where {size(planned)} are planned. Checked: types, bytes, {checked}."


def _list_deviations(wrong: Sequence[VerifyRow]) -> list[Section]:
    if not wrong:
        return []
    lines = [
        (
            shorten(row.tensor or row.tensor_file, _LONGEST),
            ", ".join(row.deviations),
            row.planned or NOTHING,
            row.stored or NOTHING,
            row.reason,
        )
        for row in wrong[:_SHOWN]
    ]
    grid = Grid(("tensor", "deviation", "planned", "in the file", "why"), lines, text_columns=5, names=frozenset({0}))
    more = "" if len(wrong) <= _SHOWN else f"{_SHOWN} of {len(wrong):,} deviations; the file of --out holds all."
    return [Section("deviations", "Not as planned", [grid], more, printed=True)]


def _list_tensors(rows: Sequence[VerifyRow]) -> list[Section]:
    """Every tensor that the plan quantizes; those that it keeps are counted by status alone."""
    shown = [row for row in rows if row.tensor and row.planned != "float"]
    if not shown:
        return []
    lines = [
        (
            shorten(row.tensor, _LONGEST),
            row.planned,
            row.stored or NOTHING,
            row.status,
            size(row.size_bytes_planned),
            NOTHING if row.size_bytes_file is None else size(row.size_bytes_file),
            decibels(row.sqnr_db_least),
            decibels(row.sqnr_db),
        )
        for row in shown[:_SHOWN]
    ]
    headings = ("tensor", "planned", "in the file", "status", "size planned", "size", "SQNR at least", "SQNR")
    more = "" if len(shown) <= _SHOWN else f"{_SHOWN} of {len(shown):,} tensors; the file of --out holds all."
    grid = Grid(headings, lines, text_columns=4, names=frozenset({0}))
    return [Section("tensors", "Tensors with a scheme", [grid], more, printed=True)]
