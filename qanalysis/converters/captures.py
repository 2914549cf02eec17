"""How does a record become a row?

The one way from a path or a sample to a spectrum or a linearity test, for commands and pages alike.

Each of the two is measured and then described: the measured value has the arrays that charts draw, the row has what is
told and stored.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from qanalysis.arrays import Reals
from qanalysis.checkpoints.source import SAMPLE_PREFIX
from qanalysis.converters.doctor import examine_record
from qanalysis.converters.findings import Finding
from qanalysis.converters.linearity.linearity import Linearity, measure_linearity
from qanalysis.converters.linearity.options import LinearityOptions
from qanalysis.converters.linearity.row import LinearityRow, describe_linearity
from qanalysis.converters.records.reading import Reading
from qanalysis.converters.records.records import Record, read_record
from qanalysis.converters.sample_records import write_sample
from qanalysis.converters.spectrum.options import SpectrumOptions
from qanalysis.converters.spectrum.row import RecordRow
from qanalysis.converters.spectrum.spectrum import Spectrum, analyze_spectrum, describe_spectrum
from qanalysis.converters.spectrum.withheld import withhold_figures
from qanalysis.results.gates import Gate, hold_gates
from qanalysis.results.identity import SourceIdentity
from qanalysis.results.table import Table


def open_capture(text: str | Path, reading: Reading | None = None) -> Record:
    """The record that a text names: `sample:NAME`, or the path of a file, read as `reading` says.

    Raises RecordError, a ValueError, for files and choices that give no record, ValueError for an unknown sample.

    >>> open_capture("sample:clipped tone, 8 bit").bits
    8
    """
    text = str(text)
    if not text.startswith(SAMPLE_PREFIX):
        return read_record(text, reading)
    name = text.removeprefix(SAMPLE_PREFIX)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sample.csv")
        path.write_bytes(write_sample(name))
        record = read_record(path, reading)
    return replace(record, source=SourceIdentity(text, record.source.size, record.source.digest))


def analyze_capture(record: Record, options: SpectrumOptions | None = None) -> Spectrum:
    """The spectrum of a record's codes, or of its numbers; rate and width are the record's, `low` and `high` in volts.

    Numbers whose file fixes their range (a WAV of floats: -1 to 1) are spread over the range.
    """
    options = options or SpectrumOptions()
    if record.uneven:
        even = replace(record, uneven=False)
        return withhold_figures(analyze_capture(even, options), _tell_uneven())
    values, options = (record.codes, options) if record.codes is not None else _spread(record, options)
    return analyze_spectrum(values, options, fs_hz=record.fs_hz, bits=record.bits)


def _tell_uneven() -> Finding:
    """Why a record of uneven times has no figures, and what to do."""
    text = (
        "The figures are withheld: the samples were not taken in even steps, which a spectrum needs. Resample them, "
        "or state fs where the times are wrong and the steps are even."
    )
    return Finding("figures-withheld", text)


def _spread(record: Record, options: SpectrumOptions) -> tuple[Reals, SpectrumOptions]:
    """The numbers of a record over the range that was asked for, or over their own."""
    if record.low is None or record.high is None:
        return record.values, options
    low, high = options.low, options.high
    if low is None or high is None:
        low, high = record.low, record.high
    values = low + (record.values - record.low) * ((high - low) / (record.high - record.low))
    return values, replace(options, low=low, high=high)


def measure_capture(record: Record, options: LinearityOptions | None = None) -> Linearity:
    """The linearity of a record's codes; without a range it is counted in LSB.

    Raises ValueError for a record without codes.
    """
    options = options or LinearityOptions()
    if record.codes is None or record.bits is None:
        fault = (
            "holds numbers that are no whole ones: a linearity test counts codes; give the integers of the converter"
        )
        raise ValueError(f"{record.name} {fault}")
    if options.low is None:
        options = replace(options, low=0.0, high=2.0**record.bits)
    guessed = any(guess.code == "unsigned" for guess in record.guesses)
    signed = None if guessed or record.signed else record.signed
    return measure_linearity(record.codes, options, bits=record.bits, signed=signed)


def describe_capture(record: Record, found: Spectrum) -> Spectrum:
    """The row of a record's spectrum: what the doctor found, how the file was read, what the spectrum itself tells."""
    return describe_spectrum(found, (*examine_record(record, found), *record.guesses))


def describe_tested(record: Record, found: Linearity) -> LinearityRow:
    """The row of a record's linearity test; that a ramp or a sine reaches the end codes is no finding
    here: it has to.
    """
    known = {"clipping", *(finding.code for finding in found.findings)}
    if "wrapped-codes" in known:
        known |= {"unsigned"}  # which is what the file looked like
    findings = [finding for finding in examine_record(record) if finding.code not in known]
    return describe_linearity(found, (*findings, *(guess for guess in record.guesses if guess.code not in known)))


def tabulate_capture(
    row: RecordRow | LinearityRow,
    record: Record,
    reading: Reading,
    options: SpectrumOptions | LinearityOptions,
    *,
    gates: Iterable[Gate] = (),
) -> Table[Any]:
    """The table of one row: where it came from, how it was made, and which of the gates it keeps."""
    row_type: type[Any] = RecordRow if isinstance(row, RecordRow) else LinearityRow
    settings = describe_settings(record, reading, options)
    return Table.from_rows(row_type, [row], totals=hold_gates(row, gates), source=record.source, settings=settings)


def describe_settings(record: Record, reading: Reading, options: SpectrumOptions | LinearityOptions) -> dict[str, Any]:
    """What a document says about how its row was made:
    the options as asked, and how the file was read, guesses included.
    """
    return {
        "bits": record.bits,
        **({"fs_hz": record.fs_hz} if isinstance(options, SpectrumOptions) else {}),
        **options.settings,
        "column": None if reading.column is None else str(reading.column),
        **({} if reading.inputs is None else {"input_column": str(reading.inputs)}),
        "channel": reading.channel,
        "dtype": reading.dtype,
        "coding": reading.coding,
        "radix": reading.radix,
        "unit": reading.unit,
        "resample": reading.resample,
        "justification": record.justification,
        "signed": record.signed,
    }
