"""How does a stored result become a report? Rows read back, written in another form."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qanalysis.commands.deliver import check_outputs

if TYPE_CHECKING:
    from qanalysis.results.table import Table


def report(
    rows: Annotated[
        Path,
        typer.Argument(metavar="ROWS", help="A .json, .parquet or .csv file that any of the commands has written."),
    ],
    *,
    out: Annotated[
        list[Path], typer.Option("--out", metavar="FILE", help="Write .csv, .json, .parquet or .html; may be repeated.")
    ],
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="Heading of an HTML report.")] = None,
    scheme: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="The scheme an HTML report speaks of first. Default: the best at no more than 5 bits per weight.",
        ),
    ] = None,
) -> None:
    """Turn stored rows into a report, or into another format.

    \b
    Example:
      qanalysis report rows.parquet --out report.html --out rows.csv
    """
    from qanalysis.reports.report import read_result, write_report
    from qanalysis.reports.terminal import print_note

    targets = check_outputs(out, inputs=[rows])
    stored = read_result(rows)
    _check_options(stored, rows, scheme)
    if scheme is not None:
        from qanalysis.quantizers.scheme import Scheme

        scheme = str(Scheme.parse(scheme))
    for target in targets:
        write_report(stored, target, title=title, scheme=scheme)
        print_note(f"wrote {target}")


def _check_options(stored: Table[Any], rows: Path, scheme: str | None) -> None:
    """Whether there is anything to report, and whether --scheme belongs to it, found out before the first file."""
    from qanalysis.reports.terminal import print_note
    from qanalysis.results.document import kind_of

    kind = kind_of(stored)
    if scheme is not None and kind.command != "sweep":
        raise ValueError(
            f"--scheme belongs to a sweep; {rows} holds a result of `qanalysis {kind.command}`; leave it out"
        )
    if not len(stored):
        raise ValueError(f"{rows}: holds no rows, there is nothing to report; make them with `{kind.again}`")
    if rows.suffix.lower() == ".csv" and kind.command == "sweep":
        print_note(f"{rows}: a CSV holds no totals and can not say whether the sweep was complete")
