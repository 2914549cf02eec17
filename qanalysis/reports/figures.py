"""How do figures about converters read? Each with its label, its unit and the convention that it follows, for the terminal and for a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch

from qanalysis.converters.rows import ConverterRow, LinearityRow, RecordRow, TextbookRow
from qanalysis.converters.spectrum.components import Component
from qanalysis.notation import si, signed, volts
from qanalysis.results.identity import SourceIdentity

_MOST_NAMED = 12  # missing codes in one line


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of a table: the column of the row that it shows, its label, the value as text, and by which convention it is."""

    column: str
    label: str
    text: str
    convention: str


@singledispatch
def list_figures(row: ConverterRow) -> tuple[Figure, ...]:
    """The figures of a row in the order in which one reads them."""
    raise TypeError(f"no figures are known for {type(row).__name__}")


@list_figures.register
def _(row: TextbookRow) -> tuple[Figure, ...]:
    lsb = row.lsb_convention.replace("fs", "FS")
    figures = (
        Figure("step", "Step", volts(row.step), f"LSB = {lsb}"),
        Figure("other_lsb", "Step, other convention", volts(row.other_lsb), f"LSB = {row.other_lsb_convention.replace('fs', 'FS')}"),
        Figure("relative_percent", "Relative error, step", f"{row.relative_percent:.7g} %", "LSB / FS"),
        Figure("half_relative_percent", "Relative error, half step", f"{row.half_relative_percent:.7g} %", "LSB / 2 / FS"),
        Figure("half_step_bound", "Half-step bound", f"±{volts(row.half_step_bound)}", f"LSB / 2, {lsb}"),
        Figure("error_bound", "Bound of this transfer", volts(row.error_bound), row.transfer),
        Figure("top_level", "Level of the top code", volts(row.top_level), f"{row.transfer}, {lsb}"),
        Figure("resolution_ppm", "Resolution", f"{row.resolution_ppm:.7g} ppm = {signed(row.resolution_db, '.2f')} dB", "of full scale"),
        Figure("rms_error", "RMS quantization error", volts(row.rms_error), "LSB / √12"),
        Figure("ideal_snr_db", "Ideal SNR", f"{row.ideal_snr_db:.2f} dB", "full-scale sine over LSB² / 12"),
    )
    if row.conversion_rate_hz is None:
        return figures
    return (*figures, Figure("conversion_rate_hz", "Conversion rate", si(row.conversion_rate_hz, "S/s", digits=7), "1 / conversion time"))


@list_figures.register
def _(row: LinearityRow) -> tuple[Figure, ...]:
    share = f"{100 * row.confidence:g} %"
    sure = share if row.largest_step_back == 0 else f"{share}, phases at random"
    input_ = "needs the ends of the input: --drive" if row.offset_lsb is None else f"{row.transfer}, LSB = {row.lsb_convention.replace('fs', 'FS')}"
    line = "through both ends" if row.inl_reference == "end-point" else "least squares"
    return (
        Figure("dnl_min_lsb", "DNL, lowest", _lsb(row.dnl_min_lsb), f"code width / mean width − 1; ± {row.dnl_bar_max_lsb:.2g} LSB at {sure}"),
        Figure("dnl_max_lsb", "DNL, highest", _lsb(row.dnl_max_lsb), "same"),
        Figure(
            "inl_min_lsb",
            "INL, lowest",
            _lsb(row.inl_min_lsb),
            f"of transitions, {row.inl_reference} line ({line}); ± {row.inl_bar_max_lsb:.2g} LSB at {sure}",
        ),
        Figure("inl_max_lsb", "INL, highest", _lsb(row.inl_max_lsb), "same"),
        Figure("offset_lsb", "Offset", _lsb(row.offset_lsb), f"first transition by the {row.inl_reference} line; {input_}"),
        Figure(
            "gain_error_percent",
            "Gain error",
            "–" if row.gain_error_percent is None else f"{signed(row.gain_error_percent, '+.4f')} %",
            f"step of the {row.inl_reference} line over LSB; {input_}",
        ),
        Figure("tue_max_lsb", "Total unadjusted error", "–" if row.tue_max_lsb is None else f"{row.tue_max_lsb:.3f} LSB", f"largest |T − ideal T|; {input_}"),
        Figure("missing_codes", "Missing codes", name_codes(row.missing_codes), "DNL ≤ −0.9"),
        Figure("largest_step_back", "Largest step back", "–" if row.largest_step_back is None else str(row.largest_step_back), "codes, in a single ramp"),
        Figure("samples_needed", "Samples needed", f"{row.samples_needed:,}", f"for DNL within {row.dnl_within_lsb:g} LSB at {sure}; here {row.samples:,}"),
    )


@list_figures.register
def _(row: RecordRow) -> tuple[Figure, ...]:
    full = f"0 dBFS: rms of a full-range {'sine' if row.full_scale == 'sine' else 'square (dc)'}"
    order = f"HD2 to HD{row.harmonics_counted}, folded"
    seen = {None: "no tone", True: "coherent", False: "not coherent"}[row.coherent]
    thd = f"{order}, noise taken off; {_interval(row.thd_ci95_db, 'dBc')}"
    return (
        Figure("fundamental_hz", "Tone", "none" if row.fundamental_hz is None else si(row.fundamental_hz, "Hz", digits=8), seen),
        Figure("level_dbfs", "Level", _db(row.level_dbfs, "dBFS"), full),
        Figure("sinad_db", "SINAD", _db(row.sinad_db), f"tone over all but DC; {_interval(row.sinad_ci95_db, 'dB')}"),
        Figure("sinefit_sinad_db", "SINAD by sine fit", _db(row.sinefit_sinad_db), "least squares in time, beside the spectrum"),
        Figure("snr_db", "SNR", _db(row.snr_db), f"without {order}; {_interval(row.snr_ci95_db, 'dB')}"),
        Figure("thd_dbc", "THD", "below noise" if row.thd_below_noise else _db(row.thd_dbc, "dBc"), thd),
        Figure("thd_raw_dbc", "THD, raw", _db(row.thd_raw_dbc, "dBc"), f"{order}, with the noise of their bins"),
        Figure("sfdr_dbc", "SFDR", _db(row.sfdr_dbc, "dBc"), f"height of the tone over the largest other line; {_interval(row.sfdr_ci95_db, 'dBc')}"),
        Figure("sfdr_dbfs", "SFDR of full scale", _db(row.sfdr_dbfs, "dBFS"), full),
        Figure("enob_ieee", "ENOB", _bits(row.enob_ieee), f"IEEE 1241, of full scale; {_interval(row.enob_ci95, 'bit')}"),
        Figure("enob_at_level", "ENOB at this level", _bits(row.enob_at_level), "(SINAD − 1.7609) / 6.0206"),
        Figure("nsd_dbfs_hz", "Noise density", _db(row.nsd_dbfs_hz, "dBFS/Hz"), f"{si(row.band_hz[0], 'Hz')} to {si(row.band_hz[1], 'Hz', digits=6)}; {full}"),
        Figure("window", "Window", row.window, f"{row.side_bins} side bins, {row.samples:,} samples"),
        Figure("lsb", "Step", "–" if row.lsb is None else f"{row.lsb:.7g}", f"LSB = {row.lsb_convention.replace('fs', 'FS')}, in the unit of the range"),
    )


HARMONIC_COLUMNS = ("line", "frequency", "seen at", "bin", "found", "noise taken off", "remark")


def list_harmonic_lines(row: RecordRow) -> list[tuple[str, ...]]:
    """Cells under `HARMONIC_COLUMNS`: harmonics, mixing products, the largest spur."""
    lines = (*row.harmonics, *row.intermodulation, *((row.spur,) if row.spur and row.spur.name == "spur" else ()))
    return [_describe_line(line) for line in lines]


def _describe_line(line: Component) -> tuple[str, ...]:
    remark = f"on {line.shared}" if line.shared else ""
    found = (line.name, si(line.frequency_hz, "Hz", digits=7), si(line.alias_hz, "Hz", digits=7), str(line.bin), _db(line.dbc, "dBc"))
    return (*found, "below noise" if line.below_noise else _db(line.corrected_dbc, "dBc"), remark)


def list_input_lines(rows: Sequence[TextbookRow]) -> list[tuple[str, ...]]:
    """Cells under `INPUT_COLUMNS`, one line per input."""
    return [
        (
            volts(row.input),
            str(row.code),
            f"0x{row.code:0{-(-row.bits // 4)}X}",
            volts(row.reconstructed),
            volts(row.actual_error),
            volts(row.error_bound) + ("" if row.within_bound else ", exceeded"),
            "–" if row.relative_error_percent is None else f"{row.relative_error_percent:.4g} %",
        )
        for row in rows
        if row.input is not None and row.code is not None and row.reconstructed is not None and row.actual_error is not None
    ]


INPUT_COLUMNS = ("input", "code", "hex", "level", "actual error", "bound", "|e|/|x|")
WORD_COLUMNS = ("code", "straight, offset binary", "two's complement", "one's complement", "sign-magnitude", "Gray")


def list_word_lines(rows: Sequence[TextbookRow]) -> list[tuple[str, ...]]:
    """Cells under `WORD_COLUMNS`, one line per input."""
    return [
        (str(row.code), *(word or "none" for word in (row.straight_binary, row.twos_complement, row.ones_complement, row.sign_magnitude, row.gray)))
        for row in rows
        if row.code is not None
    ]


def describe_subject(row: ConverterRow, source: SourceIdentity | None = None) -> str:
    """What was looked at, in one line.

    >>> from qanalysis.converters.rows import list_textbook_rows
    >>> from qanalysis.converters.textbook.textbook import solve_textbook
    >>> describe_subject(list_textbook_rows(solve_textbook(12, 0, 10))[0])
    '12 bits over 0 V to 10 V, mid-tread'
    """
    name = f"{source.path}: " if source else ""
    match row:
        case RecordRow():
            return f"{name}{row.samples:,} samples at {si(row.fs_hz, 'Hz', digits=6)}"
        case LinearityRow():
            return f"{name}{row.test} histogram of {row.samples:,} samples, {row.bits} bits"
        case TextbookRow():
            return f"{row.bits} bits over {volts(row.low)} to {volts(row.high)}, {row.transfer}"
    raise TypeError(f"no subject is known for {type(row).__name__}")


def sum_up(row: ConverterRow) -> str:
    """The figures one asks for first, in a sentence."""
    match row:
        case RecordRow():
            return f"SINAD {_db(row.sinad_db)}, ENOB {_bits(row.enob_ieee)}, SFDR {_db(row.sfdr_dbc, 'dBc')}."
        case LinearityRow():
            return (
                f"DNL {signed(row.dnl_min_lsb, '+.3f')} to {signed(row.dnl_max_lsb, '+.3f')} LSB, INL {signed(row.inl_min_lsb, '+.3f')} to "
                f"{signed(row.inl_max_lsb, '+.3f')} LSB by {row.inl_reference} line, missing codes: {name_codes(row.missing_codes)}."
            )
        case TextbookRow():
            return f"Step {volts(row.step)}, error within {volts(row.error_bound)} ({row.transfer}), {row.relative_percent:.7g} % of full scale per step."
    raise TypeError(f"no summary is known for {type(row).__name__}")


def name_codes(codes: tuple[int, ...]) -> str:
    """How many codes, and the first of them by number.

    >>> name_codes((5, 9)), name_codes(())
    ('2: 5, 9', 'none')
    """
    if not codes:
        return "none"
    rest = f" and {len(codes) - _MOST_NAMED:,} more" if len(codes) > _MOST_NAMED else ""
    return f"{len(codes):,}: {', '.join(map(str, codes[:_MOST_NAMED]))}{rest}"


def _lsb(value: float | None) -> str:
    return "–" if value is None else f"{signed(value, '+.3f')} LSB"


def _db(value: float | None, unit: str = "dB") -> str:
    return "–" if value is None else f"{signed(value, '.2f')} {unit}"


def _bits(value: float | None) -> str:
    return "–" if value is None else f"{signed(value, '.2f')} bit"


def _interval(ends: tuple[float, float] | None, unit: str) -> str:
    return "no interval" if ends is None else f"95 %: {signed(ends[0], '.2f')} to {signed(ends[1], '.2f')} {unit}"
