"""How does a record become a row? The one way from a record read to its spectrum or its linearity, for commands and pages alike."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from qanalysis.converters.doctor import examine_record
from qanalysis.converters.linearity.linearity import Linearity, measure_linearity
from qanalysis.converters.records.records import Record
from qanalysis.converters.rows import LinearityRow, RecordRow, describe_linearity, describe_spectrum
from qanalysis.converters.spectrum.spectrum import Spectrum, analyze_spectrum


def analyze_capture(record: Record, *, low: float | None = None, high: float | None = None, **options: Any) -> Spectrum:
    """The spectrum of a record's codes, or of its numbers; `low` and `high` are the converter's range in volts.

    Numbers whose file fixes their range (a WAV of floats: -1 to 1) are spread over `low` to `high`. `options` are those of
    `analyze_spectrum`, `fs_hz` and `bits` come from the record. Raises ValueError without a sample rate.
    """
    if record.fs_hz is None:
        raise ValueError(f"{record.name} does not tell its sample rate; give it with --fs, such as --fs 48000")
    values: NDArray[Any] = record.values if record.codes is None else record.codes
    if record.codes is None and record.low is not None and record.high is not None:
        if low is None or high is None:
            low, high = record.low, record.high
        values = low + (record.values - record.low) * ((high - low) / (record.high - record.low))
    return analyze_spectrum(values, fs_hz=record.fs_hz, bits=record.bits, low=low, high=high, **options)


def measure_capture(record: Record, *, low: float | None = None, high: float | None = None, **options: Any) -> Linearity:
    """The linearity of a record's codes; without a range it is counted in LSB. `options` are those of `measure_linearity`.

    Raises ValueError for a record without codes.
    """
    if record.codes is None or record.bits is None:
        raise ValueError(f"{record.name} holds numbers that are no whole ones: a linearity test counts codes; give the integers of the converter")
    if low is None or high is None:
        low, high = 0.0, 2.0**record.bits
    return measure_linearity(record.codes, bits=record.bits, low=low, high=high, signed=record.signed, **options)


def describe_capture(record: Record, found: Spectrum) -> RecordRow:
    """The row of a record's spectrum: what the doctor found, how the file was read, what the spectrum itself tells."""
    return describe_spectrum(found, findings=(*examine_record(record, found), *record.guesses))


def describe_tested(record: Record, found: Linearity) -> LinearityRow:
    """The row of a record's linearity test; that a ramp or a sine reaches the end codes is no finding here: it has to."""
    row = describe_linearity(found)
    findings = [finding for finding in examine_record(record) if finding.code != "clipping"]
    return replace(row, findings=(*row.findings, *findings, *record.guesses))
