"""How does a stored result become a report? Rows read back, written in another form."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer


def report(
    rows: Annotated[
        Path, typer.Argument(metavar="ROWS", help="A .json, .parquet or .csv file written by `sweep`; .json or .parquet of the commands about converters.")
    ],
    *,
    out: Annotated[list[Path], typer.Option("--out", metavar="FILE", help="Write .csv, .json, .parquet or .html; may be repeated.")],
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="Heading of an HTML report.")] = None,
    scheme: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The scheme an HTML report speaks of first. Default: the best at no more than 5 bits per weight.")
    ] = None,
) -> None:
    """Turn stored rows into a report, or into another format.

    \b
    Example:
      qanalysis report rows.parquet --out report.html --out rows.csv
    """
    from qanalysis.reports import check_targets, read_rows, write_report
    from qanalysis.reports.terminal import print_note

    targets = check_targets(out)
    if _report_rows(rows, targets):
        return
    stored = read_rows(rows)
    if scheme is not None:
        from qanalysis.quantizers.scheme import Scheme

        scheme = str(Scheme.parse(scheme))
    for target in targets:
        write_report(stored, target, title=title, scheme=scheme)
        print_note(f"wrote {target}")


def _report_rows(rows: Path, targets: Sequence[Path]) -> bool:
    """Write stored rows of these commands as `targets`; false where the file holds none of them."""
    from qanalysis.reports.converter_files import write_converter_report
    from qanalysis.reports.converter_reading import read_converter_rows
    from qanalysis.reports.terminal import print_note

    stored = read_converter_rows(rows)
    if stored is None:
        return False
    for target in targets:
        write_converter_report(stored, target)
        print_note(f"wrote {target}")
    return True
