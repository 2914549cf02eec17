"""How do results and progress look in a terminal?

Drawn tables there, plain aligned text in a pipe, untrusted names made harmless.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from qanalysis.notation import escape, shorten
from qanalysis.reports.kinds import outline
from qanalysis.reports.outline import Block, Bullets, Facts, Grid, Prose
from qanalysis.results.table import Table

if TYPE_CHECKING:
    from qanalysis.sweeps.sweep import SweepProgress

_WIDEST, _LONGEST = 80, 160


def print_table(title: str, columns: Sequence[str], lines: Sequence[Sequence[str]], *, text_columns: int = 1) -> None:
    """A table on standard output; the first `text_columns` are left-aligned. The middle of a cell beyond
    160 characters is left out: files hold names of any length whole.

    In a terminal it is drawn, and long names wrap. In a pipe columns are aligned with blanks, long names run on, and no
    line is padded for them beyond 80 characters. Without lines the headings stand alone.
    """
    lines = [[shorten(escape(cell), _LONGEST) for cell in line] for line in lines]
    if not sys.stdout.isatty():
        widths = [min(_WIDEST, max(map(len, column))) for column in zip(columns, *lines, strict=True)]
        aligned = [
            "  ".join(
                cell.ljust(w) if i < text_columns else cell.rjust(w)
                for i, (cell, w) in enumerate(zip(line, widths, strict=True))
            )
            for line in (columns, *lines)
        ]
        _write("\n".join([title, *(line.rstrip() for line in aligned)]))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for i, column in enumerate(columns):
        table.add_column(
            column, justify="left" if i < text_columns else "right", overflow="fold", no_wrap=i >= text_columns
        )
    for line in lines:
        table.add_row(*map(Text, line))
    Console().print(table)


def print_result(table: Table[Any], **options: Any) -> None:
    """A result on standard output: its opening, its tables and lists, its closing; `options` are those of `outline`."""
    told = outline(table, **options)
    for line in told.opening:
        _write(escape(line))
    first = not told.opening
    for section in (*told.lead, *told.rest):
        if section.printed:
            if not first:
                _write()
            first = False
            for block in section.blocks:
                _print_block(section.heading, block)
    if told.closing:
        _write("\n" + "\n".join(map(escape, told.closing)))


def _print_block(heading: str, block: Block) -> None:
    """A grid as a table, lists and facts as indented lines below the heading, prose as it is."""
    match block:
        case Grid():
            print_table(escape(heading), block.columns, block.lines, text_columns=block.text_columns)
        case Bullets() | Facts():
            lines = [
                f"  {shorten(escape(word), _LONGEST)}{': ' if word else ''}{escape(text)}" for word, text in block.items
            ]
            _write("\n".join([escape(heading), *lines]))
        case Prose():
            _write(escape(block.text))


@contextmanager
def show_progress() -> Iterator[Callable[[SweepProgress], None] | None]:
    """A progress line while the block runs: values per second, the tensor at work, seconds left.

    Yields None where standard error is not a terminal.
    """
    with _draw_bar() as draw:
        if draw is None:
            yield None
            return

        def advance(progress: SweepProgress) -> None:
            left = "" if progress.seconds_left is None else f" · {progress.seconds_left:.0f} s left"
            speed = f"{progress.values_per_s / 1e6:.1f} M values/s{left}"
            draw(progress.share_done, f"{progress.done}/{progress.total}", speed, progress.tensor)

        yield advance


@contextmanager
def show_steps() -> Iterator[Callable[[int, int, str], None] | None]:
    """A progress line while the block runs, told the steps done, all steps and what is at work.

    Yields None where standard error is not a terminal.
    """
    with _draw_bar() as draw:
        if draw is None:
            yield None
            return

        def advance(done: int, total: int, name: str) -> None:
            draw(done / max(total, 1), f"{done}/{total}", "steps", name)

        yield advance


@contextmanager
def _draw_bar() -> Iterator[Callable[[float, str, str, str], None] | None]:
    """A bar on standard error, told the share done and three texts beside it; gone when the block ends."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        BarColumn(bar_width=24),
        TextColumn("{task.fields[counted]}"),
        TextColumn("{task.fields[speed]}"),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0, counted="", speed="")

        def draw(share: float, counted: str, speed: str, name: str) -> None:
            bar.update(task, completed=share, counted=counted, speed=speed, description=shorten(escape(name), _WIDEST))

        yield draw


def print_note(text: str) -> None:
    """One harmless line on standard error; runs of blanks and line ends become one blank."""
    _write(escape(" ".join(text.split())), sys.stderr)


def _write(text: str = "", stream: TextIO | None = None) -> None:
    """A line at once: a reader at the other end of a pipe waits for it, and one that has gone is noticed here."""
    stream = stream or sys.stdout
    stream.write(f"{text}\n")
    stream.flush()
