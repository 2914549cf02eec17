"""How do results leave a command? Files, then the document or the tables, then the exit code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from qanalysis.commands.options import MISSED

if TYPE_CHECKING:
    from qanalysis.converters.rows import ConverterRows
    from qanalysis.reports.page import Chart


def check_outputs(out: Sequence[Path] | None, table: Path | None = None) -> list[Path]:
    """The targets of --out, checked before the work; those of --table too."""
    from qanalysis.reports import check_targets

    if table is not None and table.suffix.lower() != ".csv":
        raise ValueError(f"--table {table}: a code table is written as .csv; give it that suffix")
    return check_targets([*(out or []), *([table] if table else [])])[: len(out or [])]


def deliver(rows: ConverterRows, targets: Sequence[Path], *, as_json: bool, draw: Callable[[], Sequence[Chart]] = tuple) -> None:
    """Files, then the document or the tables, then the exit code."""
    from datetime import UTC, datetime

    from qanalysis.reports.converter_files import to_converter_json, write_converter_report
    from qanalysis.reports.terminal import print_note

    created = datetime.now(UTC)
    charts = draw() if any(target.suffix.lower() == ".html" for target in targets) else ()
    for target in targets:
        write_converter_report(rows, target, charts=charts, created=created)
        print_note(f"wrote {target}")
    if as_json:
        typer.echo(to_converter_json(rows, created=created))
    elif not targets:
        from qanalysis.reports.converter_terminal import print_converter_rows

        print_converter_rows(rows)
    for limit in rows.missed:
        reached = "there is no figure to hold against it" if limit.reached is None else f"reached {limit.reached:.6g}"
        print_note(f"{limit.limit} {limit.asked:g} is missed: {reached}")
    if rows.missed:
        raise typer.Exit(MISSED)
