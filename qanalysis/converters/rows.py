"""What comes out of the three commands about converters? One row type each; the order of the fields is the column contract.

Every row says by which convention its figures are: LSB, full scale, harmonics counted, window, INL reference. Findings and lists
by code are cells like the others. None stands for what can not be known from the input.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from types import MappingProxyType
from typing import Any

from qanalysis.converters.findings import Finding
from qanalysis.converters.linearity.linearity import Linearity
from qanalysis.converters.spectrum.components import Component
from qanalysis.converters.spectrum.spectrum import Spectrum
from qanalysis.converters.textbook.textbook import Conversion, Textbook
from qanalysis.converters.textbook.worked_steps import work_out
from qanalysis.results.identity import SourceIdentity

COMMANDS = ("convert", "record", "linearity")


class ConverterRow:
    """Shared by the three row types: the columns are the fields, in their order."""

    __slots__ = ()

    findings: tuple[Finding, ...]

    def to_dict(self) -> dict[str, Any]:
        """Column name to value: numbers, text, None, and lists of numbers or of findings as dictionaries."""
        return {name: _to_plain(getattr(self, name)) for name in list_columns(type(self))}


@dataclass(frozen=True, slots=True)
class TextbookRow(ConverterRow):
    """`convert`: the figures of a converter and, where there is an input, its code; one row per input, or one without.

    `code` and the six code words are of the input; `actual_error` stands beside `error_bound`, what the transfer promises.
    """

    bits: int
    low: float
    high: float
    lsb: float
    lsb_convention: str
    transfer: str
    input: float | None
    step: float
    relative_percent: float
    half_step_bound: float
    code: int | None
    reconstructed: float | None
    actual_error: float | None
    actual_error_lsb: float | None
    relative_error_percent: float | None
    within_bound: bool | None
    half_relative_percent: float
    error_bound: float
    top_level: float
    resolution_ppm: float
    resolution_db: float
    rms_error: float
    ideal_snr_db: float
    other_lsb: float
    other_lsb_convention: str
    conversion_rate_hz: float | None
    straight_binary: str | None
    offset_binary: str | None
    twos_complement: str | None
    ones_complement: str | None
    sign_magnitude: str | None
    gray: str | None
    working: tuple[str, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class RecordRow(ConverterRow):
    """`record`: the dynamic figures of a captured tone as `Spectrum` has them; `hdN_dbc` are powers as found, with the noise of their bins.

    Intervals are (lower, upper) of 95 %. `thd_dbc` is corrected for noise and None below it, `thd_raw_dbc` is not corrected.
    """

    bits: int | None
    low: float | None
    high: float | None
    lsb: float | None
    lsb_convention: str
    fs_hz: float
    samples: int
    coherent: bool | None
    window: str
    side_bins: int
    fundamental_hz: float | None
    level_dbfs: float | None
    full_scale: str
    sinad_db: float | None
    snr_db: float | None
    thd_dbc: float | None
    thd_below_noise: bool | None
    sfdr_dbc: float | None
    sfdr_dbfs: float | None
    enob_ieee: float | None
    enob_at_level: float | None
    nsd_dbfs_hz: float | None
    harmonics_counted: int
    hd2_dbc: float | None
    hd3_dbc: float | None
    hd4_dbc: float | None
    hd5_dbc: float | None
    hd6_dbc: float | None
    sinefit_sinad_db: float | None
    sinad_ci95_db: tuple[float, float] | None
    snr_ci95_db: tuple[float, float] | None
    thd_ci95_db: tuple[float, float] | None
    sfdr_ci95_db: tuple[float, float] | None
    findings: tuple[Finding, ...]
    thd_raw_dbc: float | None
    noise_dbfs: float | None
    enob_ci95: tuple[float, float] | None
    band_hz: tuple[float, float]
    spur: Component | None
    harmonics: tuple[Component, ...]
    intermodulation: tuple[Component, ...]


_OF_SPECTRUM = frozenset(column.name for column in fields(Spectrum)) & frozenset(column.name for column in fields(RecordRow)) - {"findings"}


@dataclass(frozen=True, slots=True)
class LinearityRow(ConverterRow):
    """`linearity`: item i of `dnl_lsb` belongs to code i+1, item i of `inl_lsb` to the transition that begins it, counted from the lowest code."""

    bits: int
    low: float
    high: float
    lsb: float
    lsb_convention: str
    transfer: str
    test: str
    samples: int
    dnl_min_lsb: float
    dnl_max_lsb: float
    inl_min_lsb: float
    inl_max_lsb: float
    inl_reference: str
    offset_lsb: float | None
    gain_error_percent: float | None
    tue_max_lsb: float | None
    missing_codes: tuple[int, ...]
    dnl_lsb: tuple[float, ...]
    inl_lsb: tuple[float, ...]
    first_code: int
    largest_step_back: int | None
    confidence: float
    dnl_bar_max_lsb: float
    inl_bar_max_lsb: float
    dnl_within_lsb: float
    samples_needed: int
    dnl_bar_lsb: tuple[float, ...]
    inl_bar_lsb: tuple[float, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class LimitCheck:
    """A limit that the user gave and what was reached; `met` is false, too, where there is no figure to hold against it."""

    limit: str
    asked: float
    column: str
    reached: float | None
    met: bool

    def to_dict(self) -> dict[str, Any]:
        """An entry of the table `totals`."""
        return {column.name: getattr(self, column.name) for column in fields(self)}


@dataclass(frozen=True)
class ConverterRows:
    """What one command found: its rows, the limits held against them, the input (None for `convert`) and the settings."""

    command: str
    rows: tuple[ConverterRow, ...]
    source: SourceIdentity | None
    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    limits: tuple[LimitCheck, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of these rows, in the order of the contract."""
        return list_columns(type(self.rows[0]))

    @property
    def missed(self) -> tuple[LimitCheck, ...]:
        """The limits that were not met."""
        return tuple(limit for limit in self.limits if not limit.met)

    def to_dicts(self) -> list[dict[str, Any]]:
        """The rows as plain dictionaries, in column order."""
        return [row.to_dict() for row in self.rows]


def list_columns(kind: type[ConverterRow]) -> tuple[str, ...]:
    """The columns of a row type.

    >>> list_columns(LinearityRow)[:3]
    ('bits', 'low', 'high')
    """
    return tuple(column.name for column in fields(kind))  # type: ignore[arg-type]  # every row type is a dataclass


def list_textbook_rows(solved: Textbook) -> tuple[TextbookRow, ...]:
    """One row per input, or a single one without an input.

    >>> from qanalysis.converters.textbook.textbook import solve_textbook
    >>> row = list_textbook_rows(solve_textbook(8, 0, 12, inputs=[4.5]))[0]
    >>> row.code, row.actual_error, row.error_bound, row.gray
    (96, 0.0, 0.0234375, '01010000')
    """
    return tuple(_describe_conversion(solved, conversion) for conversion in solved.conversions or (None,))


def describe_spectrum(found: Spectrum, *, findings: Sequence[Finding]) -> RecordRow:
    """The row of a record; `findings` stand before those of the spectrum itself, of which the codes already named are left out.

    >>> from qanalysis.converters.spectrum.spectrum import analyze_spectrum
    >>> row = describe_spectrum(analyze_spectrum([0, 1, 0, -1] * 8, bits=2), findings=())
    >>> row.samples, row.window, row.hd3_dbc
    (32, 'rectangular', None)
    """
    known = {finding.code for finding in findings}
    columns: dict[str, Any] = {name: getattr(found, name) for name in _OF_SPECTRUM}
    columns |= {f"hd{order}_dbc": found.hd_dbc(order) for order in range(2, 7)}
    return RecordRow(**columns, findings=(*findings, *(finding for finding in found.findings if finding.code not in known)))


def describe_linearity(found: Linearity) -> LinearityRow:
    """The row of a linearity test."""
    converter = found.converter
    return LinearityRow(
        bits=converter.bits,
        low=converter.low,
        high=converter.high,
        lsb=converter.lsb,
        lsb_convention=converter.lsb_convention,
        transfer=converter.transfer,
        test=found.test,
        samples=found.samples,
        dnl_min_lsb=found.dnl_min_lsb,
        dnl_max_lsb=found.dnl_max_lsb,
        inl_min_lsb=found.inl_min_lsb,
        inl_max_lsb=found.inl_max_lsb,
        inl_reference=found.inl_reference,
        offset_lsb=found.offset_lsb,
        gain_error_percent=found.gain_error_percent,
        tue_max_lsb=found.tue_max_lsb,
        missing_codes=found.missing_codes,
        dnl_lsb=tuple(found.dnl_lsb.tolist()),
        inl_lsb=tuple(found.inl_lsb.tolist()),
        first_code=found.first_code,
        largest_step_back=found.largest_step_back,
        confidence=found.confidence,
        dnl_bar_max_lsb=float(found.dnl_bar_lsb.max()),
        inl_bar_max_lsb=float(found.inl_bar_lsb.max()),
        dnl_within_lsb=found.dnl_within_lsb,
        samples_needed=found.samples_needed,
        dnl_bar_lsb=tuple(found.dnl_bar_lsb.tolist()),
        inl_bar_lsb=tuple(found.inl_bar_lsb.tolist()),
        findings=found.findings,
    )


def check_limits(row: ConverterRow, limits: Sequence[tuple[str, str, float | None]]) -> tuple[LimitCheck, ...]:
    """Each limit that was given, (option, column, value), held against a row: "--min-..." from below, "--max-..." from above.

    Columns come in three forms: a figure; `dnl` or `inl`, of which the larger magnitude counts; a list, whose length counts. Of a THD
    below the noise the upper end of its interval counts: what the noise leaves room for. Raises ValueError for a limit that is NaN.
    """
    return tuple(_check_limit(row, option, column, asked) for option, column, asked in limits if asked is not None)


def _check_limit(row: ConverterRow, option: str, column: str, asked: float) -> LimitCheck:
    if math.isnan(asked):
        raise ValueError(f"{option} {asked}: a limit is a number that a figure can be held against")
    if column in ("dnl", "inl"):
        reached: Any = max(abs(getattr(row, f"{column}_min_lsb")), abs(getattr(row, f"{column}_max_lsb")))
    elif column == "thd_dbc" and isinstance(row, RecordRow) and row.thd_below_noise and row.thd_ci95_db:
        reached = row.thd_ci95_db[1]
    else:
        reached = getattr(row, column)
        reached = len(reached) if isinstance(reached, tuple) else reached
    met = reached is not None and (reached >= asked if option.startswith("--min") else reached <= asked)
    return LimitCheck(option, asked, column, reached, met)


def _describe_conversion(solved: Textbook, conversion: Conversion | None) -> TextbookRow:
    converter, other = solved.converter, solved.other_convention.converter
    words: Sequence[str | None] = [word.binary and word.binary.replace(" ", "") for word in conversion.words] if conversion else [None] * 6
    return TextbookRow(
        bits=converter.bits,
        low=converter.low,
        high=converter.high,
        lsb=converter.lsb,
        lsb_convention=converter.lsb_convention,
        transfer=converter.transfer,
        input=conversion.input if conversion else None,
        step=solved.step,
        relative_percent=solved.relative_percent,
        half_step_bound=solved.half_step_bound,
        code=conversion.code if conversion else None,
        reconstructed=conversion.reconstructed if conversion else None,
        actual_error=conversion.actual_error if conversion else None,
        actual_error_lsb=conversion.actual_error_lsb if conversion else None,
        relative_error_percent=conversion.relative_error_percent if conversion else None,
        within_bound=conversion.within_bound if conversion else None,
        half_relative_percent=solved.half_relative_percent,
        error_bound=converter.error_bound,
        top_level=solved.top_level,
        resolution_ppm=solved.resolution_ppm,
        resolution_db=solved.resolution_db,
        rms_error=solved.rms_error,
        ideal_snr_db=solved.ideal_snr_db,
        other_lsb=other.lsb,
        other_lsb_convention=other.lsb_convention,
        conversion_rate_hz=solved.conversion_rate_hz,
        straight_binary=words[0],
        offset_binary=words[1],
        twos_complement=words[2],
        ones_complement=words[3],
        sign_magnitude=words[4],
        gray=words[5],
        working=tuple(map(str, work_out(solved))),
        findings=(conversion.finding,) if conversion and conversion.finding else (),
    )


def _to_plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_to_plain(item) for item in value]
    return asdict(value) if isinstance(value, Finding | Component) else value
