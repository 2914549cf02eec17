"""How good is a captured tone? Options to the spectrum of a record, its row to files and terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from qanalysis.commands.deliver import check_outputs, deliver, keep_typed
from qanalysis.commands.options import (
    AsJson,
    Channel,
    Coding,
    Column,
    Dtype,
    FsOver,
    Justify,
    Outputs,
    Radix,
    RecordFiles,
    Signed,
    Unit,
    parse_number,
    parse_span,
    state_reading,
)
from qanalysis.notation import quote

if TYPE_CHECKING:
    from qanalysis.converters.spectrum.spectrum import Spectrum
    from qanalysis.reports.pictures import Chart
    from qanalysis.results.gates import Gate


def record(
    files: RecordFiles,
    *,
    bits: Annotated[
        int | None,
        typer.Option(metavar="N", help="Width of the converter. Default: as the file says, or guessed, and shown."),
    ] = None,
    span: Annotated[
        str | None,
        typer.Option("--range", metavar="LO:HI", help="Range of the converter in volts. Default: counted in codes."),
    ] = None,
    fs: Annotated[
        str | None, typer.Option(metavar="HZ", help="Sample rate, such as 1MHz or 48k. Default: as the file says.")
    ] = None,
    fs_over: FsOver = "2^n",
    full_scale: Annotated[
        str, typer.Option(metavar="sine|dc", help="0 dBFS: the rms of a full-scale sine, or of a square.")
    ] = "sine",
    window: Annotated[
        str, typer.Option(metavar="NAME", help="Default: chosen; rectangular for a coherent record.")
    ] = "auto",
    side_bins: Annotated[
        str, typer.Option(metavar="N", help="Bins to each side that belong to a tone. Default: chosen with the window.")
    ] = "auto",
    harmonics: Annotated[int, typer.Option(metavar="N", help="Highest order counted as distortion.")] = 6,
    band: Annotated[
        str | None,
        typer.Option(metavar="LO:HI", help="Only these frequencies, in Hz. Default: up to half the sample rate."),
    ] = None,
    osr: Annotated[
        float, typer.Option(metavar="N", help="Oversampling: only frequencies up to half the sample rate over N.")
    ] = 1.0,
    average: Annotated[
        str | None,
        typer.Option(
            metavar="power|coherent",
            help="One spectrum of several files, or of all channels of one: the mean of their powers, or of the "
            "records laid in phase.",
        ),
    ] = None,
    column: Column = None,
    channel: Channel = None,
    justify: Justify = None,
    signed: Signed = None,
    coding: Coding = None,
    radix: Radix = None,
    unit: Unit = None,
    resample: Annotated[
        bool, typer.Option("--resample", help="Lay samples of uneven times on even ones, by a cubic spline.")
    ] = False,
    dtype: Dtype = None,
    min_enob: Annotated[
        float | None, typer.Option(metavar="BIT", help="Exit 1 if the ENOB (IEEE, of full scale) is lower.")
    ] = None,
    min_sinad: Annotated[float | None, typer.Option(metavar="DB", help="Exit 1 if SINAD is lower.")] = None,
    min_snr: Annotated[float | None, typer.Option(metavar="DB", help="Exit 1 if SNR is lower.")] = None,
    min_sfdr: Annotated[float | None, typer.Option(metavar="DBC", help="Exit 1 if SFDR is lower.")] = None,
    max_thd: Annotated[float | None, typer.Option(metavar="DBC", help="Exit 1 if THD is higher, such as -70.")] = None,
    min_npr: Annotated[
        float | None, typer.Option(metavar="DB", help="Exit 1 if the noise power ratio is lower.")
    ] = None,
    out: Outputs = None,
    as_json: AsJson = False,
) -> None:
    """Measure SINAD, SNR, THD, SFDR and ENOB of a captured tone, and say what is wrong with the record. Exit 1 if a
    limit is missed.

    \b
    Examples:
      qanalysis record capture.csv --bits 12 --range 0:3.3 --fs 1MHz
      qanalysis record run1.npy run2.npy run3.npy --fs 1MHz --average power
      qanalysis record capture.wav --bits 16 --range -1:1 --fs 48000 --min-enob 11.5 --max-thd -70 --out report.html
    """
    from qanalysis.converters.captures import analyze_captures, describe_captures, open_captures, tabulate_captures
    from qanalysis.converters.choices import check_average, check_full_scale
    from qanalysis.converters.spectrum.options import SpectrumOptions
    from qanalysis.converters.spectrum.windows import check_window
    from qanalysis.quantizers.quantizer import check_fs_over

    targets = check_outputs(out, inputs=files)
    low, high = (None, None) if span is None else parse_span(span, "--range")
    reading = state_reading(
        files[0],
        bits=bits,
        column=column,
        channel=channel,
        justify=justify,
        signed=signed,
        coding=coding,
        radix=radix,
        unit=unit,
        resample=resample,
        dtype=dtype,
        fs_hz=parse_number(fs, "--fs", "Hz"),
    )
    options = SpectrumOptions(
        low=low,
        high=high,
        fs_over=check_fs_over(fs_over),
        full_scale=check_full_scale(full_scale),
        window=check_window(window),
        side_bins=_parse_count(side_bins, "--side-bins"),
        harmonics=harmonics,
        band_hz=None if band is None else parse_span(band, "--band", "Hz"),
        osr=osr,
        average=None if average is None else check_average(average),
    )
    every = average is not None and len(files) == 1 and channel is None
    captured = open_captures(files, reading, every=every)
    row = describe_captures(captured, analyze_captures(captured, options))
    gates = _list_gates(enob=min_enob, sinad=min_sinad, snr=min_snr, sfdr=min_sfdr, npr=min_npr, thd=max_thd)
    table = keep_typed(tabulate_captures(row, captured, reading, options, gates=gates), range=span, band=band)
    deliver(table, targets, as_json=as_json, draw=lambda: _draw_spectrum(row))


def _list_gates(*, thd: float | None, **least: float | None) -> list[Gate]:
    """The limits by what is asked of each figure: at least so much of those by name, of THD at most."""
    from qanalysis.converters.spectrum.limits import read_figure, read_thd
    from qanalysis.results.gates import Gate

    columns = {"enob": "enob_ieee", "sinad": "sinad_db", "snr": "snr_db", "sfdr": "sfdr_dbc", "npr": "npr_db"}
    return [
        *(
            Gate(f"--min-{word}", columns[word], "at least", asked, read_figure(columns[word]))
            for word, asked in least.items()
        ),
        Gate("--max-thd", "thd_dbc", "at most", thd, read_thd),
    ]


def _parse_count(text: str, option: str) -> int | Literal["auto"]:
    """A whole number of at least 0, or auto; ValueError names the option."""
    if text == "auto":
        return "auto"
    if not text.isdecimal():
        raise ValueError(f"{option} {quote(text)}: a whole number of bins, or auto")
    return int(text)


def _draw_spectrum(found: Spectrum) -> list[Chart]:
    """The chart of the page: power by frequency, in dB of full scale where there is one."""
    from qanalysis.charts.linked.scene import Panel
    from qanalysis.charts.spectrum_charts import spectrum_chart
    from qanalysis.reports.pictures import make_chart

    panel = Panel("spectrum", spectrum_chart(found))
    return [make_chart("Spectrum", "The tone, its harmonics and the largest spur are marked.", panel)]
