"""What is told of the tensors of a file, and of cross-checks? Lists, what can not be measured at their end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from qanalysis.notation import shorten, size
from qanalysis.reports.common_sections import define_columns, tell_coverage
from qanalysis.reports.outline import Bullets, Grid, Outline, Section
from qanalysis.reports.summary import list_notes
from qanalysis.results.table import Table

NOTES_SHOWN = 20
CHECK_COLUMNS = ("check", "reached", "required", "verdict")


def outline_tensors(table: Table[Any], *, title: str | None = None) -> Outline:
    """The tensors of a checkpoint and what reading them costs in memory; those that can not be measured stand last.

    Sizes are in binary units. Without totals (as from a CSV) the tensors alone are counted.
    """
    rows = sorted(table, key=lambda row: not row.measurable)
    unmeasurable = sum(not row.measurable for row in rows)
    packed = any(row.stored for row in rows)
    lines = [
        (
            row.tensor,
            row.role,
            *([row.stored] if packed else []),
            row.dtype,
            row.shape or "single number",
            size(row.size_bytes),
        )
        for row in rows
    ]
    total = next(iter(table.totals), None)
    counted = (
        f"{total.tensors:,} tensors, {total.numel:,} values, {size(total.size_bytes)}"
        if total
        else f"{len(table):,} tensors"
    )
    last = "1 tensor at the end" if unmeasurable == 1 else f"{unmeasurable:,} tensors at the end"
    closing = [counted, *([f"{last} can not be measured"] if unmeasurable else [])]
    words = ("tensor", "role", *(["stored as"] if packed else []), "dtype", "shape", "size")
    grid = Grid(words, lines, text_columns=len(words) - 1, names=frozenset({0}))
    name = table.source.path if table.source else "Tensors"
    stored = table.source.stored if table.source else ""
    closing += [f"already quantized ({stored}) as stored"] if stored else []
    closing += list_notes(table.coverage)
    closing += _gather_notes(rows)
    note = str(table.settings.get("memory_note", ""))
    return Outline(
        title=title or name,
        headline=". ".join(closing) + ".",
        lead=[Section("tensors", name, [grid], printed=True)],
        rest=[*(replace(one, printed=False) for one in tell_coverage(table)), define_columns(table.columns)],
        closing=[*closing, note] if note else closing,
    )


def _gather_notes(rows: Sequence[Any]) -> list[str]:
    """What there is to say of some tensors, once for all that it holds for."""
    holders: dict[str, list[str]] = {}
    for row in rows:
        if row.note:
            holders.setdefault(row.note, []).append(row.tensor)
    lines = []
    for note, names in holders.items():
        first = shorten(names[0], 80)
        lines.append(f"{first if len(names) == 1 else f'{len(names):,} tensors ({first}, ...)'}: {note}")
    more = len(lines) - NOTES_SHOWN
    return [*lines[:NOTES_SHOWN], *([f"{more:,} more notes are in the file that --json writes"] if more > 0 else [])]


def outline_checks(table: Table[Any], *, title: str | None = None) -> Outline:
    """A table for each peer that was asked, a line for each check, then the reasons, the summary as headline.

    Peers that are not installed have no table; failed checks are warnings.
    """
    from qanalysis.validation.table import explain_checks

    asked = [(f"{row.peer} {row.version}", row) for row in table if row.verdict != "not installed"]
    sections = [
        Section(
            f"peer-{number}",
            peer,
            [
                Grid(
                    CHECK_COLUMNS,
                    [
                        (row.check, row.reached_text, row.required_text, row.verdict)
                        for name, row in asked
                        if name == peer
                    ],
                    text_columns=4,
                )
            ],
            printed=True,
        )
        for number, peer in enumerate(dict.fromkeys(name for name, _ in asked), 1)
    ]
    reasons = explain_checks(list(table))
    notes = Section("reasons", "Reasons", [Bullets([("", reason) for reason in reasons[:-1]])])
    failed = [
        f"{row.check} ({row.peer}) failed: {row.reason or row.reached_text}."
        for row in table
        if row.verdict == "failed"
    ]
    return Outline(
        title=title or "Cross-checks with other libraries",
        headline=f"{reasons[-1]}.",
        warnings=failed,
        lead=sections,
        rest=[notes, *tell_coverage(table), define_columns(table.columns)],
        closing=reasons,
    )


def outline_plain(table: Table[Any], *, title: str | None = None) -> Outline:
    """Any other result: its columns and its rows speak for themselves, those with lists or objects left out.

    A dash stands for null.
    """
    name = f"{table.row_type.KIND.title}{f' of {table.source.path}' if table.source else ''}"
    columns = [column for column in table.columns if column.kind not in ("list", "record")]
    records = table.to_dicts()
    lines = [
        ["–" if record[column.name] is None else str(record[column.name]) for column in columns] for record in records
    ]
    grid = Grid([column.label for column in columns], lines, text_columns=len(columns))
    return Outline(
        title=title or name,
        headline=f"{len(table):,} rows.",
        lead=[Section("rows-shown", name, [grid], printed=True)],
        rest=[*tell_coverage(table), define_columns(table.columns)],
    )
