"""How do results leave a command? Files, then the document or the tables, then the exit code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from qanalysis.commands.options import MISSED

if TYPE_CHECKING:
    from qanalysis.reports.pictures import Chart
    from qanalysis.results.table import Table


def check_outputs(
    out: Sequence[Path] | None, table: Path | None = None, *, inputs: Iterable[str | Path | None] = ()
) -> list[Path]:
    """The targets of --out, checked before the work; that of --table too, which is not among those returned.

    Raises ValueError for the first that can not be written, or that is one of the files that are read.
    """
    from qanalysis.results.files import check_targets

    if table is not None and table.suffix.lower() != ".csv":
        raise ValueError(f"--table {table}: a code table is written as .csv; give it that suffix")
    targets = check_targets([*(out or []), *([table] if table else [])])
    read = {Path(one).resolve() for one in inputs if one}
    for target in targets:
        if target.resolve() in read:
            raise ValueError(f"--out {target}: is a file that is read, and would be lost; give the result another name")
    return targets[: len(out or [])]


def makes_page(targets: Sequence[Path]) -> bool:
    """Whether one of the targets is a page."""
    return any(target.suffix.lower() == ".html" for target in targets)


def keep_typed(table: Table[Any], **words: str | None) -> Table[Any]:
    """The table with settings as the user typed them, such as a range of 0:1e9; those not given stay as they are."""
    return replace(table, settings={**table.settings, **{name: word for name, word in words.items() if word}})


def deliver(
    table: Table[Any],
    targets: Sequence[Path],
    *,
    as_json: bool,
    draw: Callable[[], Sequence[Chart]] = tuple,
    **options: Any,
) -> None:
    """Files, then the document or the tables, then exit code 1 where a limit is missed.

    The tables are printed where neither a file nor the document was asked for.
    `draw` makes the charts of a page, and is called for a page only; `options` are those of `write_report`.
    """
    from datetime import UTC, datetime

    from qanalysis.reports.common_sections import list_missed, name_missed
    from qanalysis.reports.report import write_report
    from qanalysis.reports.terminal import print_note, print_result
    from qanalysis.results.document import to_json

    created = datetime.now(UTC)
    charts = draw() if makes_page(targets) else ()
    for target in targets:
        write_report(table, target, charts=charts, created=created, **options)
        print_note(f"wrote {target}")
    if as_json:
        typer.echo(to_json(table, created=created))
    elif not targets:
        print_result(table, **options)
    missed = list_missed(table)
    for limit in missed:
        print_note(name_missed(limit, "there is no figure to hold against it"))
    if missed:
        raise typer.Exit(MISSED)
