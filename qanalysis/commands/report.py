"""How does a stored result become a report? Rows read back, written in another form."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qanalysis.commands.deliver import check_outputs


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
    from qanalysis.reports import read_result, write_report
    from qanalysis.reports.terminal import print_note

    targets = check_outputs(out)
    stored = read_result(rows)
    if scheme is not None:
        from qanalysis.quantizers.scheme import Scheme

        scheme = str(Scheme.parse(scheme))
    for target in targets:
        write_report(stored, target, title=title, scheme=scheme)
        print_note(f"wrote {target}")
