"""What can be asked from a shell? The commands of `commands/`, one file each; this is their front door.

Exit 0: done; 1: a limit given by the user was missed; 2: bad input, one line on standard error; 130: cancelled.
Whatever is slow to import is imported by the command that needs it.
"""

from __future__ import annotations

import gc
import io
import sys
from typing import Annotated, Any

import typer

from qanalysis.commands.activations import activations
from qanalysis.commands.app import serve
from qanalysis.commands.compare import compare
from qanalysis.commands.convert import convert
from qanalysis.commands.forms import forms
from qanalysis.commands.linearity import linearity
from qanalysis.commands.options import Commands, end_by_signals
from qanalysis.commands.plan import plan
from qanalysis.commands.recipe import recipe
from qanalysis.commands.record import record
from qanalysis.commands.report import report
from qanalysis.commands.sensitivity import sensitivity
from qanalysis.commands.show import show
from qanalysis.commands.sweep import sweep
from qanalysis.commands.track import track
from qanalysis.commands.train import train
from qanalysis.commands.validate import validate
from qanalysis.commands.verify import verify

app = typer.Typer(
    cls=Commands, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=False
)


def _print_version(*, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"qanalysis {version('qanalysis')}")
        raise typer.Exit


@app.callback()
def _begin(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """What does quantization cost me here? The error of every layer at every bit width, with the bounds beside it."""


for _command in (
    show,
    sweep,
    sensitivity,
    activations,
    forms,
    plan,
    recipe,
    compare,
    verify,
    report,
    validate,
    convert,
    record,
    linearity,
    train,
    track,
):
    app.command()(_command)
app.command("app")(serve)


def _leave(number: int, _frame: Any) -> None:
    """Ends as if by exit, so that files half written are removed."""
    raise SystemExit(128 + number)


def main() -> None:
    """The console command `qanalysis`."""
    # Start-up makes half a million objects that all stay: looking through them for garbage takes a tenth of a second.
    gc.set_threshold(500_000)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a sign shows ? instead of failing
    end_by_signals(_leave)
    app(prog_name="qanalysis")


if __name__ == "__main__":
    main()
