"""What do all commands share? Options that mean the same, exit codes, how a range is written, and how a user's mistake is told."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

MISSED, CANCELLED = 1, 130

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Outputs = Annotated[list[Path] | None, typer.Option("--out", metavar="FILE", help="Write .csv, .json, .parquet or .html; may be repeated.")]


def parse_span(text: str, option: str) -> tuple[float, float]:
    """Two numbers "LO:HI", the lower one first; ValueError names the option.

    >>> parse_span("-2.5:2.5", "--range")
    (-2.5, 2.5)
    """
    parts = text.split(":")
    try:
        low, high = map(float, parts)
    except ValueError:
        raise ValueError(f"{option} {text!r}: two numbers with a colon between are expected, such as 0:5 or -2.5:2.5") from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"{option} {text!r}: the first number must be finite and below the second; write the lower end first")
    return low, high


class Commands(TyperGroup):
    """Turns what a user can get wrong into one line `error: ...` and exit code 2."""

    def main(self, *args: Any, **options: Any) -> Any:
        standalone = options.pop("standalone_mode", True)
        try:
            code = super().main(*args, **{**options, "standalone_mode": False})
        except Exception as error:
            if not _is_user_error(error):
                raise
            from qanalysis.reports.terminal import print_note

            print_note(f"error: {_describe(error)}")
            code = 2
        if standalone:
            sys.exit(code or 0)
        return code


def _is_user_error(error: Exception) -> bool:
    from qanalysis.checkpoints.source import CheckpointError

    return isinstance(error, typer.TyperException | CheckpointError | ValueError | OSError)


def _describe(error: Exception) -> str:
    if not isinstance(error, typer.TyperException):
        return str(error)
    context = getattr(error, "ctx", None)  # click's errors of usage know their command
    return f"{error.format_message().rstrip('.')}; see `{context.command_path if context else 'qanalysis'} --help`"
