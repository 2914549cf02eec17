"""How do results and progress look in a terminal? Drawn tables there, plain aligned text in a pipe, untrusted names made harmless."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from qanalysis.reports import choose_scheme, headline, select_worst
from qanalysis.reports.summary import find_worst_channel, format_bytes, format_db

if TYPE_CHECKING:
    from qanalysis.diagnosis.profile import LayerProfile
    from qanalysis.sweeps.row import Rows
    from qanalysis.sweeps.sweep import SweepProgress


def clean_text(text: str) -> str:
    r"""Text as one harmless line: control characters, such as those that move a cursor, are shown as escapes.

    >>> clean_text("layer\x1b[2J")
    'layer\\x1b[2J'
    """
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def print_table(title: str, columns: Sequence[str], lines: Sequence[Sequence[str]], *, text_columns: int = 1) -> None:
    """A table on standard output; the first `text_columns` are left-aligned. Nothing is cut: long names wrap, or run on in a pipe."""
    lines = [[clean_text(cell) for cell in line] for line in lines]
    if not sys.stdout.isatty():
        widths = [max(map(len, column)) for column in zip(columns, *lines, strict=True)]
        aligned = [
            "  ".join(cell.ljust(w) if i < text_columns else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True)))
            for line in (columns, *lines)
        ]
        typer.echo("\n".join([title, *(line.rstrip() for line in aligned)]))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i < text_columns else "right", overflow="fold", no_wrap=i >= text_columns)
    for line in lines:
        table.add_row(*map(Text, line))
    Console().print(table)


def print_json(document: dict[str, Any]) -> None:
    """A document on standard output, strict JSON in ASCII."""
    typer.echo(json.dumps(document, indent=1, allow_nan=False))


def print_inventory(inventory: dict[str, Any]) -> None:
    """The tensors of a checkpoint and what reading them costs in memory."""
    lines = [[row["tensor"], row["dtype"], row["shape"] or "single number", format_bytes(row["size_bytes"])] for row in inventory["rows"]]
    total = inventory["totals"][0]
    print_table(clean_text(inventory["source"]["path"]), ["tensor", "dtype", "shape", "size"], lines, text_columns=3)
    typer.echo(f"\n{total['tensors']:,} tensors, {total['numel']:,} values, {format_bytes(total['size_bytes'])}")
    typer.echo(clean_text(inventory["settings"]["memory_note"]))


def print_summary(rows: Rows, *, profiles: Sequence[LayerProfile] = ()) -> None:
    """The headline, the totals per scheme and the ten worst tensors; `profiles` are those of the worst."""
    scheme = choose_scheme(rows)
    worst = select_worst(rows, scheme)
    typer.echo(clean_text(headline(rows, scheme, worst_channel=find_worst_channel(rows, scheme, profiles))) + "\n")
    totals = [
        [
            row.scheme,
            _show(row.bits_per_weight, ".4g"),
            format_bytes(row.size_bytes),
            format_db(row.sqnr_db),
            _show(row.clipped_fraction, ".2%"),
            _show(row.zeroed_fraction, ".2%"),
        ]
        for row in rows.totals
    ]
    print_table("Totals per scheme", ["scheme", "bits/weight", "size", "SQNR", "clipped", "zeroed"], totals)
    typer.echo()
    lines = [[row.tensor, row.shape, format_db(row.sqnr_db), _show(row.max_abs_error, ".3g"), _show(row.zeroed_fraction, ".2%")] for row in worst]
    print_table(f"Worst tensors at {scheme}", ["tensor", "shape", "SQNR", "largest error", "zeroed"], lines, text_columns=2)


@contextmanager
def show_progress() -> Iterator[Callable[[SweepProgress], None] | None]:
    """A progress line on standard error while the block runs; None where that is not a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn("{task.fields[speed]}"), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, speed="")

        def advance(progress: SweepProgress) -> None:
            left = "" if progress.seconds_left is None else f" · {progress.seconds_left:.0f} s left"
            speed = f"{progress.values_per_s / 1e6:.1f} M values/s{left}"
            bar.update(task, completed=progress.done, total=progress.total, description=clean_text(progress.tensor), speed=speed)

        yield advance


def print_note(text: str) -> None:
    """One harmless line on standard error."""
    typer.echo(clean_text(" ".join(text.split())), err=True)


def _show(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
