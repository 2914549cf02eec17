"""What do all commands share? Options that mean the same, exit codes, ranges, and how a user's mistake is told."""

from __future__ import annotations

import math
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from qanalysis.notation import parse_quantity, quote, shorten

if TYPE_CHECKING:
    from qanalysis.converters.records.reading import Reading

MISSED, CANCELLED = 1, 130
_LONGEST_WORD = 80

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Outputs = Annotated[
    list[Path] | None,
    typer.Option("--out", metavar="FILE", help="Write .csv, .json, .parquet or .html; may be repeated."),
]
Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A .safetensors, .pt, .pth, .bin, .ckpt, .onnx, .gguf, .npz or .npy file, an index or folder of shards, "
        "sample:NAME, hf://OWNER/REPO[@REVISION][/FILE] or https://...",
    ),
]
Partial = Annotated[
    bool, typer.Option("--partial", help="Take a set of shards of which some are missing; the result says so.")
]
Bits = Annotated[int, typer.Option(metavar="N", help="Width of the converter.")]
Span = Annotated[
    str, typer.Option("--range", metavar="LO:HI", help="Range of the converter in volts, such as 0:5 or -2.5:2.5.")
]
FsOver = Annotated[
    str, typer.Option(metavar="2^n|2^n-1", help="LSB = FS/2^n, or FS/(2^n-1) where the top code stands for FS.")
]
Transfer = Annotated[str, typer.Option(metavar="WORD", help="mid-tread, mid-rise or floor.")]
_RECORD_HELP = (
    "A record: text of an instrument (.csv, .txt), .wav, .npy, .npz, .mat, SigMF, raw words (.bin), or sample:NAME."
)
RecordFile = Annotated[str, typer.Argument(metavar="FILE", help=_RECORD_HELP)]
RecordFiles = Annotated[
    list[str], typer.Argument(metavar="FILE...", help=f"{_RECORD_HELP} Several are averaged: --average.")
]
Column = Annotated[
    str | None, typer.Option(metavar="NAME|N", help="Column of text or array of an archive, by name or counted from 1.")
]
Channel = Annotated[int | None, typer.Option(metavar="N", help="Channel of a WAV, NPY or raw file, counted from 1.")]
Justify = Annotated[
    str | None,
    typer.Option(metavar="left|right", help="Where the codes stand in their words. Default: guessed, and shown."),
]
Inputs = Annotated[
    str | None,
    typer.Option("--input-column", metavar="NAME|N", help="Column of what stood at the input, of pairs (input, code)."),
]
Coding = Annotated[
    str | None,
    typer.Option(
        metavar="WORD", help="binary, gray, sign-magnitude or ones-complement words. Default: binary, or shown."
    ),
]
Radix = Annotated[
    str | None, typer.Option(metavar="WORD", help="decimal, hex or binary digits. Default: as the cells show.")
]
Unit = Annotated[
    str | None, typer.Option(metavar="V|mV|code", help="What the numbers are. Default: whole ones are codes.")
]
Signed = Annotated[
    bool | None, typer.Option("--signed/--unsigned", help="Two's complement or not. Default: guessed, and shown.")
]
Dtype = Annotated[
    str | None,
    typer.Option(
        "--dtype", metavar="TYPE", help="Words of a raw file, such as i16le, u8, i16le*2 or cu8 (I/Q). Default: shown."
    ),
]


def parse_number(text: str | None, option: str, unit: str) -> float | None:
    """A number that may carry its unit, such as 1MHz; None for none typed, ValueError names the option.

    >>> parse_number("1650mV", "--input", "V")
    1.65
    """
    if text is None:
        return None
    try:
        return parse_quantity(text, unit)
    except ValueError as error:
        raise ValueError(f"{option} {error}") from None


def parse_span(text: str, option: str, unit: str = "V") -> tuple[float, float]:
    """Two numbers "LO:HI", which may carry their unit, finite and the lower one first; ValueError names the option.

    >>> parse_span("-2.5:2.5", "--range"), parse_span("0:20kHz", "--band", "Hz")
    ((-2.5, 2.5), (0.0, 20000.0))
    """
    parts = text.split(":")
    try:
        low, high = (parse_quantity(part, unit) for part in parts)
    except ValueError:
        raise ValueError(
            f"{option} {quote(text)}: two numbers with a colon between are expected, such as 0:5 or -2.5:2.5{unit}"
        ) from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(
            f"{option} {quote(text)}: the first number must be finite and below the second; write the lower end first"
        )
    return low, high


def state_reading(
    file: str, *, justify: str | None, coding: str | None, radix: str | None, unit: str | None, **stated: Any
) -> Reading:
    """How a record's file is to be read, as the options say; `stated` are the other fields of `Reading`.

    Raises RecordError, which names the file, for a word that is no justification, ValueError for other unknown words.
    """
    from qanalysis.converters.choices import check_coding, check_radix, check_unit
    from qanalysis.converters.records.reading import Reading, check_justification

    return Reading(
        justify=check_justification(justify, Path(file).name),
        coding=None if coding is None else check_coding(coding),
        radix=None if radix is None else check_radix(radix),
        unit=None if unit is None else check_unit(unit),
        **stated,
    )


def end_by_signals(leave: Callable[[int, Any], None]) -> None:
    """What ends this program from outside calls `leave`; a signal that is ignored, as under nohup, stays so.

    In a thread beside the main one, where Python takes no handlers, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, leave)


@contextmanager
def cancel_on_interrupt() -> Iterator[threading.Event]:
    """The first Ctrl-C sets the event, the second interrupts as usual; other signals set it and end the program."""
    cancel = threading.Event()

    def ask_to_stop(number: int, frame: Any) -> None:
        if cancel.is_set():
            signal.default_int_handler(number, frame)
        cancel.set()

    def leave(number: int, _frame: Any) -> None:
        cancel.set()
        raise SystemExit(128 + number)

    handled = {
        number: signal.getsignal(number)
        for number in (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))
    }
    signal.signal(signal.SIGINT, ask_to_stop)
    end_by_signals(leave)
    try:
        yield cancel
    finally:
        for number, previous in handled.items():
            signal.signal(number, previous)


def stop(text: str) -> NoReturn:
    """A note, and the exit code of cancelled work."""
    from qanalysis.reports.terminal import print_note

    print_note(text)
    raise typer.Exit(CANCELLED)


class Commands(TyperGroup):
    """Turns what a user can get wrong into one line `error: ...` and exit code 2.

    That is a usage error, an unreadable checkpoint, ValueError, OSError and MemoryError; any other error is a fault of
    the program and is shown as such.
    """

    def main(self, *args: Any, **options: Any) -> Any:
        standalone = options.pop("standalone_mode", True)
        try:
            code = super().main(*args, **{**options, "standalone_mode": False})
        except Exception as error:
            if not _is_user_error(error):
                raise
            from qanalysis.reports.terminal import print_note

            print_note(f"error: {_bound(_describe(error))}")
            code = 2
        if standalone:
            sys.exit(code or 0)
        return code


def _bound(message: str) -> str:
    """A message whose long words are cut to 80 characters, and all of it to 1,200: a value may be of any length."""
    words = [shorten(word, _LONGEST_WORD) if len(word) > _LONGEST_WORD + 20 else word for word in message.split(" ")]
    return shorten(" ".join(words), 1200)


def _is_user_error(error: Exception) -> bool:
    """Whether the user can mend it: a wrong option, an unreadable file, a value that does not fit, a full disk or
    memory.
    """
    from qanalysis.checkpoints.source import CheckpointError

    return isinstance(error, typer.TyperException | CheckpointError | ValueError | OSError | MemoryError)


def _describe(error: Exception) -> str:
    """The error's own text; a usage error also names the help of its command."""
    if not isinstance(error, typer.TyperException):
        return str(error) or "there is not enough memory for this; take less at once, or a machine with more"
    context = getattr(error, "ctx", None)  # click's errors of usage know their command
    return f"{error.format_message().rstrip('.')}; see `{context.command_path if context else 'qanalysis'} --help`"
