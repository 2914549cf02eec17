"""What are the textbook answers of an n-bit converter? From options to the worked problem, its rows to files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qanalysis.commands.deliver import check_outputs, deliver, keep_typed
from qanalysis.commands.options import AsJson, Bits, FsOver, Outputs, Span, Transfer, parse_number, parse_span

if TYPE_CHECKING:
    from qanalysis.converters.noise_limits import NoiseSources
    from qanalysis.converters.textbook.textbook import Textbook


def convert(
    *,
    bits: Bits,
    span: Span,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="V", help="An input to convert, such as 1.65 or 1650mV; may be repeated."),
    ] = None,
    fs_over: FsOver = "2^n",
    transfer: Transfer = "mid-tread",
    conversion_time: Annotated[
        str | None, typer.Option(metavar="S", help="Seconds that one conversion takes, such as 1us.")
    ] = None,
    jitter: Annotated[
        str | None,
        typer.Option(metavar="S", help="RMS aperture jitter in seconds, with --frequency: the SNR it allows."),
    ] = None,
    frequency: Annotated[
        str | None, typer.Option(metavar="HZ", help="Frequency of the sine that --jitter acts on.")
    ] = None,
    capacitance: Annotated[
        str | None,
        typer.Option(metavar="F", help="Sampling capacitor in farads: its kT/C noise at 300 K and the SNR it allows."),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="Write the code table: code, edges, centre, level, code words."),
    ] = None,
    out: Outputs = None,
    as_json: AsJson = False,
) -> None:
    """Solve the textbook problem of an n-bit converter: step, errors, resolution, SNR, code of an input, with the
    working.

    \b
    Examples:
      qanalysis convert --bits 12 --range 0:10
      qanalysis convert --bits 8 --range 0:12 --input 4.5
      qanalysis convert --bits 8 --range 0:5 --fs-over 2^n-1 --table codes.csv
      qanalysis convert --bits 14 --range -1V:1V --jitter 0.1ps --frequency 70MHz --capacitance 2pF
    """
    from qanalysis.converters.choices import check_transfer
    from qanalysis.converters.textbook.row import tabulate_textbook
    from qanalysis.converters.textbook.textbook import solve_textbook
    from qanalysis.quantizers.quantizer import check_fs_over

    targets = check_outputs(out, table)
    low, high = parse_span(span, "--range")
    solved = solve_textbook(
        bits,
        low,
        high,
        inputs=[number for text in inputs or () if (number := parse_number(text, "--input", "V")) is not None],
        fs_over=check_fs_over(fs_over),
        transfer=check_transfer(transfer),
        conversion_time_s=parse_number(conversion_time, "--conversion-time", "s"),
        noise=_state_noise(
            parse_number(jitter, "--jitter", "s"),
            parse_number(frequency, "--frequency", "Hz"),
            parse_number(capacitance, "--capacitance", "F"),
        ),
    )
    if table is not None:
        _write_table(solved, table)
    deliver(keep_typed(tabulate_textbook(solved), range=span), targets, as_json=as_json)


def _state_noise(jitter: float | None, frequency: float | None, capacitance: float | None) -> NoiseSources:
    """The sources of noise; ValueError names the option that is missing."""
    from qanalysis.converters.noise_limits import NoiseSources

    if jitter is not None and frequency is None:
        raise ValueError(
            f"--jitter {jitter:g} needs --frequency: its noise grows with the frequency of the sine, "
            "such as --frequency 1e6"
        )
    if jitter is None and frequency is not None:
        raise ValueError(
            f"--frequency {frequency:g} is of --jitter alone: state the jitter, such as --jitter 1e-12, or leave it out"
        )
    return NoiseSources(jitter_s=jitter, frequency_hz=frequency, capacitance_f=capacitance)


def _write_table(solved: Textbook, target: Path) -> None:
    """The code table as CSV, whole or not at all; a note names the file."""
    from qanalysis.reports.terminal import print_note
    from qanalysis.results.files import write_whole

    lines = solved.code_table.write_csv()
    with write_whole(target) as file:
        file.writelines(line.encode() for line in lines)
    print_note(f"wrote {target}")
