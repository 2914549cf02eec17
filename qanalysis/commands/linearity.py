"""How straight is a converter? Options to the histogram test of a ramp or a sine, its row to files and terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from qanalysis.commands.deliver import check_outputs, deliver, keep_typed
from qanalysis.commands.options import (
    AsJson,
    Bits,
    Channel,
    Coding,
    Column,
    Dtype,
    FsOver,
    Inputs,
    Justify,
    Outputs,
    Radix,
    RecordFile,
    Signed,
    Transfer,
    Unit,
    parse_span,
    state_reading,
)

if TYPE_CHECKING:
    from qanalysis.converters.linearity.linearity import Linearity
    from qanalysis.reports.pictures import Chart
    from qanalysis.results.gates import Gate


def linearity(
    file: RecordFile,
    *,
    bits: Bits,
    test: Annotated[
        str,
        typer.Option(
            metavar="ramp|sine|pairs",
            help="What the input was: a slow ramp, a sine beyond the range, or known (pairs of input and code).",
        ),
    ],
    reference: Annotated[
        str,
        typer.Option(
            metavar="LINE", help="INL from the line through both ends (end-point) or by least squares (best-fit)."
        ),
    ] = "end-point",
    span: Annotated[
        str | None,
        typer.Option("--range", metavar="LO:HI", help="Range of the converter in volts. Default: counted in LSB."),
    ] = None,
    drive: Annotated[
        str | None,
        typer.Option(
            metavar="LO:HI", help="Lowest and highest input, for offset and gain. A ramp is taken to span the range."
        ),
    ] = None,
    fs_over: FsOver = "2^n",
    transfer: Transfer = "mid-tread",
    confidence: Annotated[float, typer.Option(help="Of the error bars.")] = 0.95,
    within: Annotated[
        float, typer.Option(metavar="LSB", help="For which DNL error the samples needed are told.")
    ] = 0.1,
    column: Column = None,
    inputs: Inputs = None,
    channel: Channel = None,
    justify: Justify = None,
    signed: Signed = None,
    coding: Coding = None,
    radix: Radix = None,
    unit: Unit = None,
    dtype: Dtype = None,
    max_dnl: Annotated[float | None, typer.Option(metavar="LSB", help="Exit 1 if a DNL is further from 0.")] = None,
    max_inl: Annotated[float | None, typer.Option(metavar="LSB", help="Exit 1 if an INL is further from 0.")] = None,
    max_missing: Annotated[int | None, typer.Option(metavar="N", help="Exit 1 if more codes are missing.")] = None,
    out: Outputs = None,
    as_json: AsJson = False,
) -> None:
    """Measure DNL, INL, offset, gain and missing codes from a record of a ramp, a sine, or pairs of input and code.
    Exit 1 if a limit is missed.

    \b
    Examples:
      qanalysis linearity ramp.csv --bits 12 --test ramp
      qanalysis linearity sweep.csv --bits 12 --test pairs --column code --input-column vin --range 0:3.3
      qanalysis linearity sine.npy --bits 10 --test sine --reference best-fit --max-dnl 0.5 --max-inl 1 --max-missing 0
    """
    from qanalysis.converters.captures import describe_tested, measure_capture, open_tested, tabulate_capture
    from qanalysis.converters.choices import check_reference, check_test, check_transfer
    from qanalysis.converters.linearity.options import LinearityOptions
    from qanalysis.quantizers.quantizer import check_fs_over

    targets = check_outputs(out, inputs=[file])
    ends = None if drive is None else parse_span(drive, "--drive")
    low, high = (None, None) if span is None else parse_span(span, "--range")
    reading = state_reading(
        file,
        bits=bits,
        column=column,
        inputs=inputs,
        channel=channel,
        justify=justify,
        signed=signed,
        coding=coding,
        radix=radix,
        unit=unit,
        dtype=dtype,
    )
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
    record = open_tested(file, reading, options)
    found = measure_capture(record, options)
    row = describe_tested(record, found)
    gates = _list_gates(max_dnl, max_inl, max_missing)
    table = keep_typed(tabulate_capture(row, record, reading, options, gates=gates), range=span, drive=drive)
    deliver(table, targets, as_json=as_json, draw=lambda: _draw_linearity(found))


def _list_gates(dnl: float | None, inl: float | None, missing: int | None) -> list[Gate]:
    """The limits, all of which a figure may reach and not pass."""
    from qanalysis.converters.linearity.row import read_dnl, read_inl
    from qanalysis.results.gates import Gate

    return [
        Gate("--max-dnl", "dnl", "at most", dnl, read_dnl),
        Gate("--max-inl", "inl", "at most", inl, read_inl),
        Gate("--max-missing", "missing_codes", "at most", missing),
    ]


def _draw_linearity(found: Linearity) -> list[Chart]:
    """The chart of the page: both errors by code, with their bars."""
    from qanalysis.charts.linearity_charts import linearity_curves
    from qanalysis.charts.linked.scene import Panel
    from qanalysis.reports.pictures import make_chart

    panel = Panel("linearity", linearity_curves(found))
    return [make_chart("DNL and INL by code", "The band is the uncertainty of each figure.", panel)]
