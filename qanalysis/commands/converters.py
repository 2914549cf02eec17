"""What can be asked about converters from a shell? `convert`, `record`, `linearity`: options to engines, rows to files and terminal.

Every command prints and writes all it found before a missed limit ends it with exit code 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from qanalysis.commands.options import MISSED, AsJson, Outputs, parse_span

if TYPE_CHECKING:
    from qanalysis.converters.linearity.linearity import Linearity
    from qanalysis.converters.records.records import Record
    from qanalysis.converters.rows import ConverterRow, ConverterRows, LimitCheck
    from qanalysis.converters.spectrum.spectrum import Spectrum
    from qanalysis.converters.textbook.textbook import Textbook
    from qanalysis.reports.page import Chart

Bits = Annotated[int, typer.Option(metavar="N", help="Width of the converter.")]
Span = Annotated[str, typer.Option("--range", metavar="LO:HI", help="Range of the converter in volts, such as 0:5 or -2.5:2.5.")]
FsOver = Annotated[str, typer.Option(metavar="2^n|2^n-1", help="LSB = FS/2^n, or FS/(2^n-1) where the top code stands for FS.")]
Transfer = Annotated[str, typer.Option(metavar="WORD", help="mid-tread, mid-rise or floor.")]
RecordFile = Annotated[str, typer.Argument(metavar="FILE", help="A .csv, .txt, .wav, .npy, .npz or raw (.bin, .raw) record of codes, or sample:NAME.")]
Column = Annotated[str | None, typer.Option(metavar="NAME|N", help="Column of text or array of an archive, by name or counted from 1.")]
Channel = Annotated[int | None, typer.Option(metavar="N", help="Channel of a WAV, NPY or raw file, counted from 1.")]
Justify = Annotated[str | None, typer.Option(metavar="left|right", help="Where the codes stand in their words. Default: guessed, and shown.")]
Signed = Annotated[bool | None, typer.Option("--signed/--unsigned", help="Two's complement or not. Default: guessed, and shown.")]
Dtype = Annotated[str | None, typer.Option("--dtype", metavar="TYPE", help="Words of a raw file, such as i16le or u8.")]


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

    targets = _check_outputs(out, table)
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
    _deliver(ConverterRows("convert", list_textbook_rows(solved), None, settings), targets, as_json=as_json)


def linearity(
    file: RecordFile,
    *,
    bits: Bits,
    test: Annotated[str, typer.Option(metavar="ramp|sine", help="What the input was: a slow ramp, or a sine that overdrives the range.")],
    reference: Annotated[
        str, typer.Option(metavar="LINE", help="INL from the line through both ends (end-point) or by least squares (best-fit).")
    ] = "end-point",
    span: Annotated[str | None, typer.Option("--range", metavar="LO:HI", help="Range of the converter in volts. Default: counted in LSB.")] = None,
    drive: Annotated[
        str | None, typer.Option(metavar="LO:HI", help="Lowest and highest input, for offset and gain. A ramp is taken to span the range.")
    ] = None,
    fs_over: FsOver = "2^n",
    transfer: Transfer = "mid-tread",
    confidence: Annotated[float, typer.Option(help="Of the error bars.")] = 0.95,
    within: Annotated[float, typer.Option(metavar="LSB", help="For which DNL error the samples needed are told.")] = 0.1,
    column: Column = None,
    channel: Channel = None,
    justify: Justify = None,
    signed: Signed = None,
    dtype: Dtype = None,
    max_dnl: Annotated[float | None, typer.Option(metavar="LSB", help="Exit 1 if a DNL is further from 0.")] = None,
    max_inl: Annotated[float | None, typer.Option(metavar="LSB", help="Exit 1 if an INL is further from 0.")] = None,
    max_missing: Annotated[int | None, typer.Option(metavar="N", help="Exit 1 if more codes are missing.")] = None,
    out: Outputs = None,
    as_json: AsJson = False,
) -> None:
    """Measure DNL, INL, offset, gain and missing codes from a record of a ramp or a sine. Exit 1 if a limit is missed.

    \b
    Examples:
      qanalysis linearity ramp.csv --bits 12 --test ramp
      qanalysis linearity sine.npy --bits 10 --test sine --reference best-fit --max-dnl 0.5 --max-inl 1 --max-missing 0
    """
    from qanalysis.converters.captures import describe_settings, describe_tested, measure_capture, open_capture
    from qanalysis.converters.choices import check_reference, check_test, check_transfer
    from qanalysis.converters.linearity.options import LinearityOptions
    from qanalysis.converters.records.reading import Reading, check_justification
    from qanalysis.converters.rows import check_limits
    from qanalysis.quantizers.quantizer import check_fs_over

    targets = _check_outputs(out)
    ends = None if drive is None else parse_span(drive, "--drive")
    low, high = (None, None) if span is None else parse_span(span, "--range")
    reading = Reading(bits=bits, column=column, channel=channel, justify=check_justification(justify, Path(file).name), signed=signed, dtype=dtype)
    record = open_capture(file, reading)
    options = LinearityOptions(
        low=low,
        high=high,
        test=check_test(test),
        reference=check_reference(reference),
        fs_over=check_fs_over(fs_over),
        transfer=check_transfer(transfer),
        drive=ends,
        confidence=confidence,
        dnl_within_lsb=within,
    )
    found = measure_capture(record, options)
    row = describe_tested(record, found)
    limits = check_limits(row, [("--max-dnl", "dnl", max_dnl), ("--max-inl", "inl", max_inl), ("--max-missing", "missing_codes", max_missing)])
    settings = describe_settings(record, reading, options)
    _deliver(_collect("linearity", row, record, settings, limits), targets, as_json=as_json, draw=lambda: _draw_linearity(found))


def record(
    file: RecordFile,
    *,
    bits: Annotated[int | None, typer.Option(metavar="N", help="Width of the converter. Default: as the file says, or guessed, and shown.")] = None,
    span: Annotated[str | None, typer.Option("--range", metavar="LO:HI", help="Range of the converter in volts. Default: counted in codes.")] = None,
    fs: Annotated[float | None, typer.Option(metavar="HZ", help="Sample rate. Default: as the file says.")] = None,
    fs_over: FsOver = "2^n",
    full_scale: Annotated[str, typer.Option(metavar="sine|dc", help="0 dBFS: the rms of a full-scale sine, or of a square.")] = "sine",
    window: Annotated[str, typer.Option(metavar="NAME", help="Default: chosen; rectangular for a coherent record.")] = "auto",
    side_bins: Annotated[str, typer.Option(metavar="N", help="Bins to each side that belong to a tone. Default: chosen with the window.")] = "auto",
    harmonics: Annotated[int, typer.Option(metavar="N", help="Highest order counted as distortion.")] = 6,
    band: Annotated[str | None, typer.Option(metavar="LO:HI", help="Only these frequencies, in Hz. Default: up to half the sample rate.")] = None,
    column: Column = None,
    channel: Channel = None,
    justify: Justify = None,
    signed: Signed = None,
    dtype: Dtype = None,
    min_enob: Annotated[float | None, typer.Option(metavar="BIT", help="Exit 1 if the ENOB (IEEE, of full scale) is lower.")] = None,
    min_sinad: Annotated[float | None, typer.Option(metavar="DB", help="Exit 1 if SINAD is lower.")] = None,
    min_snr: Annotated[float | None, typer.Option(metavar="DB", help="Exit 1 if SNR is lower.")] = None,
    min_sfdr: Annotated[float | None, typer.Option(metavar="DBC", help="Exit 1 if SFDR is lower.")] = None,
    max_thd: Annotated[float | None, typer.Option(metavar="DBC", help="Exit 1 if THD is higher, such as -70.")] = None,
    out: Outputs = None,
    as_json: AsJson = False,
) -> None:
    """Measure SINAD, SNR, THD, SFDR and ENOB of a captured tone, and say what is wrong with the record. Exit 1 if a limit is missed.

    \b
    Examples:
      qanalysis record capture.csv --bits 12 --range 0:3.3 --fs 1e6
      qanalysis record capture.wav --bits 16 --range -1:1 --fs 48000 --min-enob 11.5 --max-thd -70 --out report.html
    """
    from qanalysis.converters.captures import analyze_capture, describe_capture, describe_settings, open_capture
    from qanalysis.converters.choices import check_full_scale
    from qanalysis.converters.records.reading import Reading, check_justification
    from qanalysis.converters.rows import check_limits
    from qanalysis.converters.spectrum.options import SpectrumOptions
    from qanalysis.converters.spectrum.windows import check_window
    from qanalysis.quantizers.quantizer import check_fs_over

    targets = _check_outputs(out)
    low, high = (None, None) if span is None else parse_span(span, "--range")
    reading = Reading(bits=bits, column=column, channel=channel, justify=check_justification(justify, Path(file).name), signed=signed, dtype=dtype, fs_hz=fs)
    captured = open_capture(file, reading)
    options = SpectrumOptions(
        low=low,
        high=high,
        fs_over=check_fs_over(fs_over),
        full_scale=check_full_scale(full_scale),
        window=check_window(window),
        side_bins=_parse_count(side_bins, "--side-bins"),
        harmonics=harmonics,
        band_hz=None if band is None else parse_span(band, "--band"),
    )
    found = analyze_capture(captured, options)
    row = describe_capture(captured, found)
    limits = [("--min-enob", "enob_ieee", min_enob), ("--min-sinad", "sinad_db", min_sinad), ("--min-snr", "snr_db", min_snr)]
    checks = check_limits(row, [*limits, ("--min-sfdr", "sfdr_dbc", min_sfdr), ("--max-thd", "thd_dbc", max_thd)])
    settings = describe_settings(captured, reading, options)
    _deliver(_collect("record", row, captured, settings, checks), targets, as_json=as_json, draw=lambda: _draw_spectrum(found))


def report_rows(rows: Path, targets: Sequence[Path]) -> bool:
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


def _check_outputs(out: Sequence[Path] | None, table: Path | None = None) -> list[Path]:
    from qanalysis.reports import check_targets

    if table is not None and table.suffix.lower() != ".csv":
        raise ValueError(f"--table {table}: a code table is written as .csv; give it that suffix")
    return check_targets([*(out or []), *([table] if table else [])])[: len(out or [])]


def _write_table(solved: Textbook, target: Path) -> None:
    from qanalysis.reports.files import write_whole
    from qanalysis.reports.terminal import print_note

    lines = solved.code_table.write_csv()
    with write_whole(target) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        file.writelines(lines)
    print_note(f"wrote {target}")


def _parse_count(text: str, option: str) -> int | Literal["auto"]:
    if text == "auto":
        return "auto"
    if not text.isdecimal():
        raise ValueError(f"{option} {text!r}: a whole number of bins, or auto")
    return int(text)


def _collect(command: str, row: ConverterRow, record: Record, settings: dict[str, Any], limits: tuple[LimitCheck, ...]) -> ConverterRows:
    from qanalysis.converters.rows import ConverterRows

    return ConverterRows(command, (row,), record.source, settings, limits)


def _draw_spectrum(found: Spectrum) -> list[Chart]:
    from functools import partial

    from qanalysis.charts.spectrum_charts import spectrum_chart
    from qanalysis.reports.page import make_chart

    return [make_chart("Spectrum", "The tone, its harmonics and the largest spur are marked.", partial(spectrum_chart, found))]


def _draw_linearity(found: Linearity) -> list[Chart]:
    from functools import partial

    from qanalysis.charts.linearity_charts import linearity_curves
    from qanalysis.reports.page import make_chart

    return [make_chart("DNL and INL by code", "The band is the uncertainty of each figure.", partial(linearity_curves, found))]


def _deliver(rows: ConverterRows, targets: Sequence[Path], *, as_json: bool, draw: Callable[[], Sequence[Chart]] = tuple) -> None:
    """Files, then the document or the tables, then the exit code."""
    from datetime import UTC, datetime

    from qanalysis.reports.converter_files import to_converter_json, write_converter_report
    from qanalysis.reports.terminal import print_note

    created = datetime.now(UTC)
    charts = draw() if any(target.suffix.lower() == ".html" for target in targets) else ()
    for target in targets:
        write_converter_report(rows, target, charts=charts, created=created)
        print_note(f"wrote {target}")
    if as_json:
        typer.echo(to_converter_json(rows, created=created))
    elif not targets:
        from qanalysis.reports.converter_terminal import print_converter_rows

        print_converter_rows(rows)
    for limit in rows.missed:
        reached = "there is no figure to hold against it" if limit.reached is None else f"reached {limit.reached:.6g}"
        print_note(f"{limit.limit} {limit.asked:g} is missed: {reached}")
    if rows.missed:
        raise typer.Exit(MISSED)
