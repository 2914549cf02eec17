"""How does a record become a row?

The one way from a path or a sample to a spectrum or a linearity test, for commands and pages alike.

Each of the two is measured and then described: the measured value has the arrays that charts draw, the row has what is
told and stored.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from qanalysis.arrays import Reals
from qanalysis.checkpoints.source import SAMPLE_PREFIX
from qanalysis.converters.doctor import examine_record
from qanalysis.converters.findings import WHOLE_VALUES, WITHHELD, Finding
from qanalysis.converters.linearity.linearity import Linearity, measure_linearity, withhold_linearity
from qanalysis.converters.linearity.options import LinearityOptions
from qanalysis.converters.linearity.pairs import judge_evenness, measure_pairs
from qanalysis.converters.linearity.row import LinearityRow, describe_linearity
from qanalysis.converters.record_sets import check_alike, identify_captures, merge_findings, name_channel
from qanalysis.converters.records.pair_columns import read_pairs
from qanalysis.converters.records.reading import Reading
from qanalysis.converters.records.records import Record, read_as_values, read_record
from qanalysis.converters.sample_records import write_sample
from qanalysis.converters.spectrum.averaging import RecordSet, average_spectrum
from qanalysis.converters.spectrum.full_scale import FullScale, find_full_scale, lies_within, tell_whole_values
from qanalysis.converters.spectrum.options import SpectrumOptions
from qanalysis.converters.spectrum.quadrature import analyze_quadrature
from qanalysis.converters.spectrum.row import RecordRow
from qanalysis.converters.spectrum.sinefit import read_samples
from qanalysis.converters.spectrum.spectrum import Spectrum, analyze_spectrum, describe_spectrum
from qanalysis.converters.spectrum.withheld import withhold_figures
from qanalysis.notation import quote, shorten
from qanalysis.results.gates import Gate, hold_gates
from qanalysis.results.identity import SourceIdentity
from qanalysis.results.table import Table

__all__ = [
    "analyze_capture",
    "analyze_captures",
    "describe_capture",
    "describe_captures",
    "describe_settings",
    "describe_tested",
    "identify_captures",
    "measure_capture",
    "open_capture",
    "open_captures",
    "open_tested",
    "tabulate_capture",
    "tabulate_captures",
]


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


def open_captures(
    texts: Sequence[str | Path], reading: Reading | None = None, *, every: bool = False
) -> tuple[Record, ...]:
    """The records that texts name, as `open_capture` opens each; with `every` each channel of a file is a record.

    Raises ValueError for no text, and for `every` beside a stated channel.
    """
    if not texts:
        raise ValueError("no record was given; name one file or more")
    if not every:
        return tuple(open_capture(text, reading) for text in texts)
    reading = reading or Reading()
    if reading.channel is not None:
        raise ValueError(f"channel {reading.channel} and every channel were asked for; give one of them")
    return tuple(record for text in texts for record in _open_channels(text, reading))


def open_tested(text: str | Path, reading: Reading | None = None, options: LinearityOptions | None = None) -> Record:
    """The record of a linearity test: as `open_capture` has it, of pairs with the inputs beside the codes.

    Which columns these are is found where it is not stated, and told. Raises as `open_capture` and `read_pairs` do.
    """
    wants_pairs = options is not None and options.test == "pairs"
    if not wants_pairs or str(text).startswith(SAMPLE_PREFIX):
        return open_capture(text, reading)
    return read_pairs(text, reading or Reading())


def _open_channels(text: str | Path, reading: Reading) -> tuple[Record, ...]:
    """Every channel of a file as a record; the file itself where it has one."""
    first = open_capture(text, reading)
    if first.channels == 1:
        return (first,)
    numbers = range(1, first.channels + 1)
    channels = (open_capture(text, replace(reading, channel=number)) for number in numbers)
    return tuple(name_channel(record, number) for number, record in zip(numbers, channels, strict=True))


def analyze_capture(record: Record, options: SpectrumOptions | None = None) -> Spectrum:
    """The spectrum of a record's codes, or of its numbers; rate and width are the record's, `low` and `high` in volts.

    Numbers whose file fixes their range (a WAV of floats: -1 to 1) are spread over the range.
    """
    with _name_record(record):
        return _analyze(record, options or SpectrumOptions())


@contextmanager
def _name_record(*records: Record) -> Iterator[None]:
    """What is wrong with the samples leaves with the name of their file; of several records the first, or its own."""
    try:
        yield
    except ValueError as error:
        text, name = str(error), shorten(records[0].name, 80)
        raise ValueError(text if any(one.name in text for one in records) else f"{name}: {text}") from None


def _analyze(record: Record, options: SpectrumOptions) -> Spectrum:
    """The spectrum, by what the record is: of uneven times, of volts, of two rails, of one channel."""
    if record.uneven:
        even = replace(record, uneven=False)
        return withhold_figures(analyze_capture(even, options), _tell_uneven())
    if _holds_voltages(record, options):
        return _note_voltages(record, analyze_capture(read_as_values(record), options), options)
    if record.quadrature is not None:
        return _analyze_rails(record, record.quadrature, options)
    values, options = (record.codes, options) if record.codes is not None else _spread(record, options)
    return analyze_spectrum(values, options, fs_hz=record.fs_hz, bits=record.bits)


def _holds_voltages(record: Record, options: SpectrumOptions) -> bool:
    """Whether whole numbers are voltages, by the header and by the range."""
    named = record.codes is not None and record.is_named_voltage
    return named and lies_within(record.values, options.low, options.high)


def _note_voltages(record: Record, found: Spectrum, options: SpectrumOptions) -> Spectrum:
    note = tell_whole_values(record.values, options, f"in {quote(record.unit)} by the header")
    return replace(found, findings=(note, *found.findings))


def _analyze_rails(record: Record, quadrature: Reals, options: SpectrumOptions) -> Spectrum:
    """The two-sided spectrum of I/Q samples; both rails have one range, and rest in its middle."""
    whole, wanted = record.codes is not None, options
    if not whole:
        quadrature, wanted = _spread(replace(record, values=quadrature), options)
    rails = read_samples(record.values if whole else _spread(record, options)[0]), read_samples(quadrature)
    both = np.concatenate(rails)
    range_of = find_full_scale(both, wanted, bits=record.bits, whole=whole)
    middle = 0.0
    if not whole and range_of.low is not None and range_of.high is not None:
        middle = (range_of.low + range_of.high) / 2
    elif whole and record.bits is not None and both.min() >= 0:
        middle = (2.0**record.bits - 1) / 2  # two's complement rests at 0, straight codes between the two in the middle
    return analyze_quadrature(rails, range_of, wanted, fs_hz=record.fs_hz, middle=middle)


def analyze_captures(records: Sequence[Record], options: SpectrumOptions | None = None) -> Spectrum:
    """The spectrum of records, by `options.average` where they are several.

    Raises
    ------
    ValueError : several records and no average stated, one and an average, records that are not alike or do not show
        the same tone.
    """
    options, first = options or SpectrumOptions(), records[0]
    if len(records) == 1 and options.average is None:
        return analyze_capture(first, options)
    if len(records) == 1:
        raise ValueError(
            f"average {options.average} was asked for, and {quote(first.name)} is one record: name several files, "
            "or take every channel of an array as a record; or leave average out"
        )
    if options.average is None:
        raise ValueError(
            f"{len(records)} records were given: state how they become one spectrum, average power (the mean of their "
            "powers) or coherent (of the records laid in phase)"
        )
    check_alike(records)
    if first.quadrature is not None:
        raise ValueError(f"{quote(first.name)} holds I/Q samples, of which no average is taken; measure one record")
    gathered = _gather(records, options)
    with _name_record(*records):
        found = average_spectrum(gathered, options)
    if _holds_voltages(first, options):
        found = _note_voltages(first, found, options)
    return withhold_figures(found, _tell_uneven()) if any(record.uneven for record in records) else found


def _gather(records: Sequence[Record], options: SpectrumOptions) -> RecordSet:
    """The records' codes, or their numbers over the range, and one range for all."""
    channels, ranges = [], []
    for one in records:
        record = read_as_values(one) if _holds_voltages(one, options) else one
        values, wanted = (record.codes, options) if record.codes is not None else _spread(record, options)
        with _name_record(one):
            channels.append(read_samples(values))
            ranges.append(find_full_scale(channels[-1], wanted, bits=record.bits, whole=record.codes is not None))
    return RecordSet(channels, [record.name for record in records], _join_ranges(ranges), records[0].fs_hz)


def _join_ranges(ranges: Sequence[FullScale]) -> FullScale:
    """The one range of records that are alike: that of negative codes where there are some."""
    findings = {finding.code: finding for one in reversed(ranges) for finding in one.findings}
    lowest = min(ranges, key=lambda one: 0.0 if one.low is None else one.low)
    return replace(lowest, findings=tuple(findings.values()))


def _tell_uneven() -> Finding:
    """Why a record of uneven times has no figures, and what to do."""
    text = (
        "The figures are withheld: the samples were not taken in even steps, which a spectrum needs. Resample them, "
        "or state fs where the times are wrong and the steps are even."
    )
    return Finding(WITHHELD, text)


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
    with _name_record(record):
        return _measure(record, options or LinearityOptions())


def _measure(record: Record, options: LinearityOptions) -> Linearity:
    if record.codes is None or record.bits is None:
        finite = np.isfinite(record.values)
        if not finite.all():
            raise ValueError(
                f"{record.name}: {finite.size - finite.sum()} of {finite.size} samples are not finite (NaN or "
                f"infinite), the first is sample {int(np.argmin(finite))}, counted from 0; a linearity test counts "
                "codes: take them out, or capture again"
            )
        fault = (
            "holds numbers that are no whole ones: a linearity test counts codes; give the column of the converter's "
            "integers, and for inputs that stand beside them test pairs"
        )
        raise ValueError(f"{record.name} {fault}")
    guessed = any(guess.code == "unsigned" for guess in record.guesses)
    signed = None if guessed or record.signed else record.signed
    if options.test == "pairs":
        if record.inputs is None:
            raise ValueError(
                f"{record.name}: pairs are an input and a code in each line; state the column of the inputs "
                "(--input-column), and that of the codes (--column)"
            )
        return measure_pairs(record.inputs, record.codes, options, bits=record.bits, signed=record.signed)
    if options.low is None:
        options = replace(options, low=0.0, high=2.0**record.bits)
    found = measure_linearity(record.codes, options, bits=record.bits, signed=signed)
    uneven = None if record.inputs is None or options.test != "ramp" else judge_evenness(record.inputs, record.bits)
    return found if uneven is None else withhold_linearity(found, uneven)


def describe_capture(record: Record, found: Spectrum) -> Spectrum:
    """The row of a record's spectrum: what the doctor found, how the file was read, what the spectrum itself tells."""
    record = _settle_values(record, found)
    return describe_spectrum(found, (*_examine_rails(record, found), *record.guesses))


def _settle_values(record: Record, found: Spectrum) -> Record:
    """The record without its codes where the spectrum has read them as values."""
    return read_as_values(record) if any(finding.code == WHOLE_VALUES for finding in found.findings) else record


def _examine_rails(record: Record, found: Spectrum | None = None) -> tuple[Finding, ...]:
    """What stands out in a record, of I/Q samples in either rail."""
    if record.quadrature is None:
        return examine_record(record, found)
    codes = None if record.codes is None else record.quadrature.astype(np.int64)
    rails = replace(record, values=record.quadrature, codes=codes)
    return merge_findings(("I", "Q"), [examine_record(rail, found) for rail in (record, rails)])


def describe_captures(records: Sequence[Record], found: Spectrum) -> Spectrum:
    """The row of a spectrum of one record or several: what stands out in each, told once."""
    if len(records) == 1:
        return describe_capture(records[0], found)
    names, records = [record.name for record in records], [_settle_values(record, found) for record in records]
    examined = [(*_examine_rails(record, found), *record.guesses) for record in records]
    return describe_spectrum(found, merge_findings(names, examined))


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
    return tabulate_captures(row, [record], reading, options, gates=gates)


def tabulate_captures(
    row: RecordRow | LinearityRow,
    records: Sequence[Record],
    reading: Reading,
    options: SpectrumOptions | LinearityOptions,
    *,
    gates: Iterable[Gate] = (),
) -> Table[Any]:
    """The table of the one row of several records, or of one."""
    row_type: type[Any] = RecordRow if isinstance(row, RecordRow) else LinearityRow
    settings = describe_settings(records[0], reading, options)
    source = identify_captures(records)
    return Table.from_rows(row_type, [row], totals=hold_gates(row, gates), source=source, settings=settings)


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
