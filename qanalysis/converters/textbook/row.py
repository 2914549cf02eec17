"""What is told about a textbook problem?

The columns of `convert`, each declared once, and how they read; one row per input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, ClassVar

from qanalysis.converters.choices import Transfer
from qanalysis.converters.converter import LsbConvention
from qanalysis.converters.findings import Finding
from qanalysis.converters.lines import Line, LineTable, spell_span, tell, write_cell
from qanalysis.converters.textbook.textbook import Conversion, Textbook
from qanalysis.converters.textbook.worked_steps import Step, work_out
from qanalysis.notation import NOTHING, decibels, si, volts
from qanalysis.results.columns import Kind, RowType, column, describe_row
from qanalysis.results.table import Table

INPUT_COLUMNS = ("input", "code", "hex", "level", "actual error", "bound", "|e|/|x|")
WORD_COLUMNS = ("code", "straight, offset binary", "two's complement", "one's complement", "sign-magnitude", "Gray")
_DIGITS = "binary digits; null where this format has no word for the code"


@dataclass(frozen=True, slots=True)
class Answer:
    """A problem, its working, and one of its inputs put through the converter, or none."""

    problem: Textbook
    working: tuple[Step, ...]
    conversion: Conversion | None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What stands out in this input."""
        return (self.conversion.finding,) if self.conversion and self.conversion.finding else ()


def _of(name: str) -> Callable[[Answer], Any]:
    return attrgetter(f"problem.{name}")


def _of_input(name: str) -> Callable[[Answer], Any]:
    return lambda answer: None if answer.conversion is None else getattr(answer.conversion, name)


def _word_of(format_name: str) -> Callable[[Answer], str | None]:
    """How an answer tells its code in a format: the bits without blanks, None without an input or a word."""

    def spell(answer: Answer) -> str | None:
        words = answer.conversion.words if answer.conversion else ()
        return next(
            (word.binary.replace(" ", "") for word in words if word.format == format_name and word.binary), None
        )

    return spell


@dataclass(frozen=True, slots=True)
class TextbookRow(RowType):
    """The figures of a converter and, where there is an input, its code; one row per input, or one without.

    `code` and the six code words are of the input; `actual_error` stands beside `error_bound`, what the transfer
    promises.
    """

    KIND: ClassVar[Kind] = Kind(
        "convert",
        "convert",
        "The textbook answers of an n-bit converter",
        "qanalysis convert --bits N --range LO:HI --out rows.json",
        reads=False,
        least=1,
    )

    bits: int = column("Bits", "bit", of=_of("converter.bits"), formula="width of the converter")
    low: float = column("Low end", "V", of=_of("converter.low"), formula="lower end of the range")
    high: float = column("High end", "V", of=_of("converter.high"), formula="upper end of the range")
    lsb: float = column("LSB", "V", of=_of("converter.lsb"), formula="step by the stated convention")
    lsb_convention: LsbConvention = column(
        "LSB convention",
        of=_of("converter.lsb_convention"),
        formula="how full scale is divided",
    )
    transfer: Transfer = column("Transfer", of=_of("converter.transfer"), formula="where the transitions lie")
    input: float | None = column("Input", "V", of=_of_input("input"), formula="null where none was given")
    step: float = column("Step", "V", of=_of("step"), formula="the same as lsb")
    relative_percent: float = column("Relative error, step", "%", of=_of("relative_percent"), formula="100 LSB / FS")
    half_step_bound: float = column("Half-step bound", "V", of=_of("half_step_bound"), formula="LSB / 2")
    code: int | None = column("Code", of=_of_input("code"), formula="0 to 2^bits − 1")
    reconstructed: float | None = column("Level", "V", of=_of_input("reconstructed"), formula="level of the code")
    actual_error: float | None = column(
        "Actual error",
        "V",
        of=_of_input("actual_error"),
        formula="reconstructed − input",
    )
    actual_error_lsb: float | None = column("Actual error in steps", "LSB", of=_of_input("actual_error_lsb"))
    relative_error_percent: float | None = column(
        "Relative error of the reading",
        "%",
        of=_of_input("relative_error_percent"),
        formula="100 |actual_error| / |input|; null at 0 V",
    )
    within_bound: bool | None = column(
        "Within the bound",
        of=_of_input("within_bound"),
        formula="whether the error keeps error_bound",
    )
    half_relative_percent: float = column(
        "Relative error, half step",
        "%",
        of=_of("half_relative_percent"),
        formula="half of relative_percent",
    )
    error_bound: float = column(
        "Bound of this transfer",
        "V",
        of=_of("converter.error_bound"),
        formula="what the transfer promises between the ends: LSB / 2, for floor one LSB",
    )
    top_level: float = column("Level of the top code", "V", of=_of("top_level"), formula="what the top code stands for")
    resolution_ppm: float = column(
        "Resolution",
        "ppm",
        of=_of("resolution_ppm"),
        formula="LSB / FS in parts per million",
    )
    resolution_db: float = column("Resolution in dB", "dB", of=_of("resolution_db"), formula="20 log10(LSB / FS)")
    rms_error: float = column(
        "RMS quantization error",
        "V",
        of=_of("rms_error"),
        formula="LSB / √12; for floor LSB / √3, its mean of half a step included",
    )
    ideal_snr_db: float = column(
        "Ideal SNR",
        "dB",
        of=_of("ideal_snr_db"),
        formula="full-scale sine over LSB² / 12, without the mean of the error",
    )
    other_lsb: float = column(
        "Step, other convention",
        "V",
        of=_of("other_convention.converter.lsb"),
        formula="step by the other convention",
    )
    other_lsb_convention: LsbConvention = column(
        "Other LSB convention",
        of=_of("other_convention.converter.lsb_convention"),
    )
    conversion_rate_hz: float | None = column(
        "Conversion rate",
        "S/s",
        of=_of("conversion_rate_hz"),
        formula="1 / conversion time; null where none was given",
    )
    straight_binary: str | None = column("Straight binary", formula=_DIGITS, of=_word_of("straight binary"))
    offset_binary: str | None = column("Offset binary", formula=_DIGITS, of=_word_of("offset binary"))
    twos_complement: str | None = column("Two's complement", formula=_DIGITS, of=_word_of("two's complement"))
    ones_complement: str | None = column("One's complement", formula=_DIGITS, of=_word_of("one's complement"))
    sign_magnitude: str | None = column("Sign-magnitude", formula=_DIGITS, of=_word_of("sign-magnitude"))
    gray: str | None = column("Gray", formula=_DIGITS, of=_word_of("Gray"))
    working: tuple[str, ...] = column(
        "Working",
        formula="the steps, one line each",
        of=lambda answer: tuple(map(str, answer.working)),
    )
    findings: tuple[Finding, ...] = column("Findings", formula="what stands out")
    jitter_snr_db: float | None = column(
        "SNR that jitter allows",
        "dB",
        of=_of("jitter_snr_db"),
        formula="−20 log10(2π f t); null without jitter",
        late=True,
    )
    thermal_noise_rms: float | None = column(
        "Noise of the capacitor",
        "V",
        of=_of("thermal_noise_rms"),
        formula="√(kT/C) at 300 K; null without a capacitance",
        late=True,
    )
    thermal_snr_db: float | None = column(
        "SNR that the capacitor allows",
        "dB",
        of=_of("thermal_snr_db"),
        formula="full-scale sine over kT/C; null without a capacitance",
        late=True,
    )
    limited_snr_db: float | None = column(
        "SNR with these limits",
        "dB",
        of=_of("limited_snr_db"),
        formula="powers of steps, jitter and kT/C summed; null without both",
        late=True,
    )
    limited_enob: float | None = column(
        "ENOB with these limits",
        "bit",
        of=_of("limited_enob"),
        formula="(limited_snr_db − 1.7609) / 6.0206",
        late=True,
    )
    mean_error: float | None = column(
        "Mean quantization error",
        "V",
        of=_of("mean_error"),
        formula="mean of reconstructed − input: −LSB / 2 for floor, else 0",
        late=True,
    )
    error_deviation: float | None = column(
        "Deviation of the quantization error",
        "V",
        of=_of("error_deviation"),
        formula="LSB / √12 about the mean",
        late=True,
    )

    @property
    def subject(self) -> str:
        """What was looked at."""
        return f"{self.bits} bits over {volts(self.low)} to {volts(self.high)}, {self.transfer}"

    @property
    def headline(self) -> str:
        """The figures one asks for first, in a sentence."""
        step, bound = write_cell(self.step, "V"), write_cell(self.error_bound, "V")
        share = si(self.relative_percent, "%", digits=4)
        return f"Step {step}, error within {bound} ({self.transfer}), {share} of full scale per step."

    @property
    def lines(self) -> tuple[Line, ...]:
        """The figures in the order in which one reads them, each with its convention."""
        lsb, other = (name.replace("fs", "FS") for name in (self.lsb_convention, self.other_lsb_convention))
        resolution = f"{si(self.resolution_ppm, 'ppm', digits=4)} = {decibels(self.resolution_db)}"
        figures = (
            tell(self, "step", f"LSB = {lsb}; by {other} it is {write_cell(self.other_lsb, 'V')}"),
            tell(self, "relative_percent", "LSB / FS", si(self.relative_percent, "%", digits=4)),
            tell(self, "half_relative_percent", "LSB / 2 / FS", si(self.half_relative_percent, "%", digits=4)),
            tell(self, "half_step_bound", f"LSB / 2, {lsb}", f"±{write_cell(self.half_step_bound, 'V')}"),
            tell(self, "error_bound", self.transfer),
            tell(self, "top_level", f"{self.transfer}, {lsb}"),
            tell(self, "resolution_ppm", "of full scale", resolution),
            *self._tell_error(),
            tell(self, "ideal_snr_db", "full-scale sine over LSB² / 12"),
        )
        return (*figures, *self._tell_rate(), *self._tell_limits())

    @property
    def tables(self) -> tuple[LineTable, ...]:
        """The input with its code and error, and its code words."""
        return list_input_tables([self])

    def _tell_error(self) -> tuple[Line, ...]:
        """The rms, and for floor what it is made of: the mean of half a step and the deviation about it."""
        if self.transfer != "floor":
            return (tell(self, "rms_error", "LSB / √12"),)
        return (
            tell(self, "rms_error", "LSB / √3: mean and deviation together"),
            tell(self, "mean_error", "−LSB / 2, level − input"),
            tell(self, "error_deviation", "LSB / √12 about the mean: the noise of the SNR"),
        )

    def _tell_rate(self) -> tuple[Line, ...]:
        rate = self.conversion_rate_hz
        return (
            ()
            if rate is None
            else (tell(self, "conversion_rate_hz", "1 / conversion time", si(rate, "S/s", digits=4)),)
        )

    def _tell_limits(self) -> tuple[Line, ...]:
        given = (
            tell(self, "jitter_snr_db", "−20 log10(2π f t), at any level"),
            tell(self, "thermal_noise_rms", "√(kT/C) at 300 K"),
            tell(self, "thermal_snr_db", "full-scale sine over kT/C"),
            tell(self, "limited_snr_db", "full-scale sine over steps, jitter and kT/C together"),
            tell(self, "limited_enob", "(SNR − 1.7609) / 6.0206"),
        )
        return tuple(line for line in given if line.text != NOTHING)


def list_textbook_rows(solved: Textbook) -> tuple[TextbookRow, ...]:
    """One row per input, or a single one without an input.

    >>> from qanalysis.converters.textbook.textbook import solve_textbook
    >>> row = list_textbook_rows(solve_textbook(8, 0, 12, inputs=[4.5]))[0]
    >>> row.code, row.actual_error, row.error_bound, row.gray
    (96, 0.0, 0.0234375, '01010000')
    """
    working = work_out(solved)
    conversions: Sequence[Conversion | None] = solved.conversions or (None,)
    return tuple(describe_row(TextbookRow, Answer(solved, working, conversion)) for conversion in conversions)


def tabulate_textbook(solved: Textbook) -> Table[TextbookRow]:
    """The table of a problem: one row per input, and the problem as its settings."""
    return Table.from_rows(TextbookRow, list_textbook_rows(solved), settings=describe_problem(solved))


def describe_problem(solved: Textbook) -> dict[str, Any]:
    """What a document says about how its rows were made: the problem as it was set."""
    converter, noise = solved.converter, solved.noise
    return {
        "bits": converter.bits,
        "range": spell_span(converter.low, converter.high),
        "inputs": list(solved.inputs),
        "fs_over": converter.fs_over,
        "transfer": converter.transfer,
        "conversion_time_s": solved.conversion_time_s,
        "jitter_s": noise.jitter_s,
        "frequency_hz": noise.frequency_hz,
        "capacitance_f": noise.capacitance_f,
    }


def list_input_tables(rows: Sequence[TextbookRow]) -> tuple[LineTable, ...]:
    """The inputs with their codes and errors, and their code words; nothing where there are none."""
    given = [row for row in rows if row.input is not None]
    if not given:
        return ()
    inputs = LineTable("Inputs", INPUT_COLUMNS, [_tell_input(row) for row in given], text_columns=len(INPUT_COLUMNS))
    return (
        inputs,
        LineTable("Code words", WORD_COLUMNS, [_tell_words(row) for row in given], text_columns=len(WORD_COLUMNS)),
    )


def _tell_input(row: TextbookRow) -> tuple[str, ...]:
    levels = (row.input or 0.0, row.reconstructed or 0.0, row.actual_error or 0.0, row.error_bound)
    x, level = (volts(value) for value in levels[:2])  # all digits: they tell a level from its input
    error, bound = (write_cell(value, "V") for value in levels[2:])
    reading = NOTHING if row.relative_error_percent is None else si(row.relative_error_percent, "%", digits=4)
    exceeded = "" if row.within_bound else ", exceeded"
    return (x, str(row.code), f"0x{row.code:0{-(-row.bits // 4)}X}", level, error, bound + exceeded, reading)


def _tell_words(row: TextbookRow) -> tuple[str, ...]:
    words = (row.straight_binary, row.twos_complement, row.ones_complement, row.sign_magnitude, row.gray)
    return (str(row.code), *(word or "none" for word in words))
