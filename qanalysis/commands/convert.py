"""What are the textbook answers of an n-bit converter? Options to the worked problem, its rows to files and terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qanalysis.commands.deliver import check_outputs, deliver
from qanalysis.commands.options import AsJson, Bits, FsOver, Outputs, Span, Transfer, parse_span

if TYPE_CHECKING:
    from qanalysis.converters.textbook.textbook import Textbook


def convert(
    *,
    bits: Bits,
    span: Span,
    inputs: Annotated[list[float] | None, typer.Option("--input", metavar="V", help="An input to convert; may be repeated.")] = None,
    fs_over: FsOver = "2^n",
    transfer: Transfer = "mid-tread",
    conversion_time: Annotated[float | None, typer.Option(metavar="S", help="Seconds that one conversion takes.")] = None,
    table: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="Write the code table: code, edges, centre, level, code words.")] = None,
    out: Outputs = None,
    as_json: AsJson = False,
) -> None:
    """Solve the textbook problem of an n-bit converter: step, errors, resolution, SNR, code of an input, with the working.

    \b
    Examples:
      qanalysis convert --bits 12 --range 0:10
      qanalysis convert --bits 8 --range 0:12 --input 4.5
      qanalysis convert --bits 8 --range 0:5 --fs-over 2^n-1 --table codes.csv
    """
    from qanalysis.converters.choices import check_transfer
    from qanalysis.converters.rows import ConverterRows, list_textbook_rows
    from qanalysis.converters.textbook.textbook import solve_textbook
    from qanalysis.quantizers.quantizer import check_fs_over

    targets = check_outputs(out, table)
    low, high = parse_span(span, "--range")
    solved = solve_textbook(
        bits,
        low,
        high,
        inputs=inputs or (),
        fs_over=check_fs_over(fs_over),
        transfer=check_transfer(transfer),
        conversion_time_s=conversion_time,
    )
    if table is not None:
        _write_table(solved, table)
    settings = {"bits": bits, "range": span, "inputs": inputs or [], "fs_over": fs_over, "transfer": transfer, "conversion_time_s": conversion_time}
    deliver(ConverterRows("convert", list_textbook_rows(solved), None, settings), targets, as_json=as_json)


def _write_table(solved: Textbook, target: Path) -> None:
    from qanalysis.reports.files import write_whole
    from qanalysis.reports.terminal import print_note

    lines = solved.code_table.write_csv()
    with write_whole(target) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        file.writelines(lines)
    print_note(f"wrote {target}")
