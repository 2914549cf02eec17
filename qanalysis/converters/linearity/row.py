"""What is told about a linearity test? The columns of `linearity`, each declared once, and how they read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import ClassVar

from qanalysis.converters.choices import InlReference, Test, Transfer
from qanalysis.converters.converter import LsbConvention
from qanalysis.converters.findings import Finding, tell_guess
from qanalysis.converters.linearity.linearity import Linearity
from qanalysis.converters.lines import Line, LineTable, tell
from qanalysis.notation import NOTHING, in_percent, plain, signed
from qanalysis.results.columns import Kind, RowType, column, describe_row
from qanalysis.results.gates import LimitCheck

_MOST_NAMED = 12  # missing codes in one line


def _list_of(name: str) -> Callable[[Linearity], tuple[float, ...]]:
    """How an array of the test becomes a cell: a tuple of its items."""
    return lambda found: tuple(getattr(found, name).tolist())


def _largest_of(name: str) -> Callable[[Linearity], float | None]:
    """How an array of the test becomes its largest item; None of an empty one, which is withheld."""
    return lambda found: float(getattr(found, name).max()) if getattr(found, name).size else None


@dataclass(frozen=True, slots=True)
class LinearityRow(RowType):
    """The static errors of a converter, in LSB.

    Item i of `dnl_lsb` belongs to code first_code + i + 1, item i of `inl_lsb` to the transition that begins it.
    Offset, gain error and TUE are None where the input is unknown, a sine without its drive, pairs without a range.
    Where no transition can be defended all figures are None and the lists by code empty; a finding says why.
    """

    KIND: ClassVar[Kind] = Kind(
        "linearity",
        "linearity",
        "Static errors of a converter from a ramp, a sine or pairs",
        "qanalysis linearity FILE --bits N --test ramp --out rows.json",
        totals=LimitCheck,
        least=1,
    )

    bits: int = column("Bits", "bit", formula="width of the converter", of=attrgetter("converter.bits"))
    low: float = column(
        "Low end",
        formula="lower end of the range, V; 0 LSB where none was stated, of pairs that of the end-point line",
        of=attrgetter("converter.low"),
    )
    high: float = column(
        "High end",
        formula="upper end of the range, V; 2^bits LSB where none was stated, of pairs that of the end-point line",
        of=attrgetter("converter.high"),
    )
    lsb: float = column(
        "Step",
        formula="LSB by the stated convention, in the unit of the range",
        of=attrgetter("converter.lsb"),
    )
    lsb_convention: LsbConvention = column(
        "LSB convention",
        formula="how full scale is divided",
        of=attrgetter("converter.lsb_convention"),
    )
    transfer: Transfer = column("Transfer", formula="where the transitions lie", of=attrgetter("converter.transfer"))
    test: Test = column("Test", formula="what the input was")
    samples: int = column("Samples", least=0, formula="number of samples used")
    dnl_min_lsb: float | None = column("DNL, lowest", "LSB", formula="code width / mean width − 1")
    dnl_max_lsb: float | None = column("DNL, highest", "LSB", formula="code width / mean width − 1")
    inl_min_lsb: float | None = column("INL, lowest", "LSB", formula="transition furthest below the reference line")
    inl_max_lsb: float | None = column("INL, highest", "LSB", formula="transition furthest above the reference line")
    inl_reference: InlReference = column("INL reference", formula="the line that INL is measured from")
    offset_lsb: float | None = column(
        "Offset",
        "LSB",
        formula="first transition by the line; null where the input's ends are unknown",
    )
    gain_error_percent: float | None = column(
        "Gain error",
        "%",
        formula="step of the line over LSB, less 100; null where the input's ends are unknown",
    )
    tue_max_lsb: float | None = column(
        "Total unadjusted error",
        "LSB",
        better="lower",
        formula="largest distance of a transition from its ideal place; null where the input's ends are unknown",
    )
    missing_codes: tuple[int, ...] | None = column(
        "Missing codes",
        formula="the record's own numbers of codes with DNL ≤ −0.9; null where that can not be told",
    )
    dnl_lsb: tuple[float, ...] = column(
        "DNL by code",
        "LSB",
        formula="item i: code first_code + i + 1",
        of=_list_of("dnl_lsb"),
    )
    inl_lsb: tuple[float, ...] = column(
        "INL by code",
        "LSB",
        formula="item i: the transition that begins code first_code + i + 1",
        of=_list_of("inl_lsb"),
    )
    first_code: int = column("First code", formula="number of the lowest code: 0, or −2^(bits−1) for two's complement")
    largest_step_back: int | None = column(
        "Largest step back",
        formula="codes, in a single ramp; null where the record can not tell",
    )
    confidence: float = column("Confidence", formula="of the error bars")
    dnl_bar_max_lsb: float | None = column(
        "Error bar of DNL",
        "LSB",
        formula="largest of dnl_bar_lsb",
        of=_largest_of("dnl_bar_lsb"),
    )
    inl_bar_max_lsb: float | None = column(
        "Error bar of INL",
        "LSB",
        formula="largest of inl_bar_lsb",
        of=_largest_of("inl_bar_lsb"),
    )
    dnl_within_lsb: float = column("DNL asked for", "LSB", formula="the DNL error that samples_needed is for")
    samples_needed: int = column("Samples needed", formula="samples for DNL within dnl_within_lsb")
    dnl_bar_lsb: tuple[float, ...] = column(
        "Error bars of DNL",
        "LSB",
        formula="half-width of the error bar of each item of dnl_lsb",
        of=_list_of("dnl_bar_lsb"),
    )
    inl_bar_lsb: tuple[float, ...] = column(
        "Error bars of INL",
        "LSB",
        formula="half-width of the error bar of each item of inl_lsb",
        of=_list_of("inl_bar_lsb"),
    )
    findings: tuple[Finding, ...] = column("Findings", formula="what stands out")

    def find_fault(self) -> str:
        """Lists by code that are not as long as the converter has codes, or error bars that do not go with them."""
        codes = 2**self.bits if 1 <= self.bits <= 32 else 0
        lengths = {"dnl_lsb": codes - 2, "dnl_bar_lsb": codes - 2, "inl_lsb": codes - 1, "inl_bar_lsb": codes - 1}
        if self.dnl_min_lsb is None:
            lengths = dict.fromkeys(lengths, 0)
        for name, length in lengths.items():
            if len(getattr(self, name)) != max(length, 0):
                return f"column {name} has {len(getattr(self, name)):,} items, {self.bits} bits have {max(length, 0):,}"
        return ""

    @property
    def subject(self) -> str:
        """What was looked at."""
        kind = (
            f"{self.samples:,} pairs" if self.test == "pairs" else f"{self.test} histogram of {self.samples:,} samples"
        )
        return f"{kind}, {self.bits} bits"

    @property
    def headline(self) -> str:
        """The figures one asks for first, in a sentence."""
        guess = tell_guess(self.bits, self.findings)
        at = f"; at {guess}" if guess else ""
        missing = f"missing codes: {name_codes(self.missing_codes)}"
        if self.dnl_min_lsb is None or self.inl_min_lsb is None:
            return f"DNL and INL are withheld ({self._name_obstacle()}), {missing}{at}."
        dnl = f"DNL {_write_span(self.dnl_min_lsb, self.dnl_max_lsb)}"
        inl = f"INL {_write_span(self.inl_min_lsb, self.inl_max_lsb)} by {self.inl_reference} line"
        return f"{dnl}, {inl}, {missing}{at}."

    def _name_obstacle(self) -> str:
        """The title of the finding that stands first, which says why figures are withheld."""
        return self.findings[0].title.lower() if self.findings else "no transitions"

    @property
    def lines(self) -> tuple[Line, ...]:
        """The figures in the order in which one reads them, each with its convention."""
        share = in_percent(self.confidence, "g")
        sure = share if self.largest_step_back == 0 or self.test == "pairs" else f"{share}, phases at random"
        known = f"{self.transfer}, LSB = {self.lsb_convention.replace('fs', 'FS')}"
        drive = known if self.offset_lsb is not None else self._name_need()
        by = f"{self.inl_reference} line"
        kind = "through both ends" if self.inl_reference == "end-point" else "least squares"
        gain = None if self.gain_error_percent is None else f"{signed(self.gain_error_percent, '+.4f')} %"
        back = NOTHING if self.largest_step_back is None else str(self.largest_step_back)
        needed = f"for DNL within {plain(self.dnl_within_lsb)} LSB at {sure}; here {self.samples:,}"
        return (
            tell(
                self,
                "dnl_min_lsb",
                f"code width / mean width − 1; {_write_bar(self.dnl_bar_max_lsb)} at {sure}",
            ),
            tell(self, "dnl_max_lsb", "same"),
            tell(
                self,
                "inl_min_lsb",
                f"of transitions, {by} ({kind}); {_write_bar(self.inl_bar_max_lsb)} at {sure}",
            ),
            tell(self, "inl_max_lsb", "same"),
            tell(self, "offset_lsb", f"first transition by the {by}; {drive}"),
            tell(self, "gain_error_percent", f"step of the {by} over LSB; {drive}", gain),
            tell(
                self,
                "tue_max_lsb",
                f"largest |T − ideal T|; {drive}",
                None if self.tue_max_lsb is None else f"{self.tue_max_lsb:.3f} LSB",
            ),
            tell(self, "missing_codes", "DNL ≤ −0.9", name_codes(self.missing_codes)),
            tell(self, "largest_step_back", "codes, in a single ramp", back),
            tell(self, "samples_needed", needed, f"{self.samples_needed:,}"),
        )

    def _name_need(self) -> str:
        """What offset, gain error and TUE lack."""
        if self.dnl_min_lsb is None:
            return f"withheld: {self._name_obstacle()}"
        if self.test == "pairs":
            return "needs the range of the converter: --range"
        return "needs the ends of the input: --drive"

    @property
    def tables(self) -> tuple[LineTable, ...]:
        """The missing codes, where there are any."""
        return (
            (LineTable("Missing codes", ("Code",), [(str(code),) for code in self.missing_codes]),)
            if self.missing_codes
            else ()
        )


def describe_linearity(found: Linearity, findings: Sequence[Finding] = ()) -> LinearityRow:
    """The row of a linearity test; `findings` stand behind its own."""
    return describe_row(LinearityRow, found, findings=(*found.findings, *findings))


def read_dnl(row: LinearityRow) -> float | None:
    """The larger magnitude of DNL, against which a limit is held; None where it is withheld."""
    return _read_larger(row.dnl_min_lsb, row.dnl_max_lsb)


def read_inl(row: LinearityRow) -> float | None:
    """The larger magnitude of INL, against which a limit is held; None where it is withheld."""
    return _read_larger(row.inl_min_lsb, row.inl_max_lsb)


def _read_larger(low: float | None, high: float | None) -> float | None:
    return None if low is None or high is None else max(abs(low), abs(high))


def _write_span(low: float | None, high: float | None) -> str:
    """Two extremes in LSB; a dash for what is withheld."""
    return NOTHING if low is None or high is None else f"{signed(low, '+.3f')} to {signed(high, '+.3f')} LSB"


def _write_bar(bar: float | None) -> str:
    """A half-width in LSB."""
    return "withheld" if bar is None else f"± {plain(bar, digits=2)} LSB"


def name_codes(codes: tuple[int, ...] | None) -> str:
    """How many codes, and the first of them by number; a dash for what can not be told.

    >>> name_codes((5, 9)), name_codes(()), name_codes(None)
    ('2: 5, 9', 'none', '–')
    """
    if codes is None:
        return NOTHING
    if not codes:
        return "none"
    rest = f" and {len(codes) - _MOST_NAMED:,} more" if len(codes) > _MOST_NAMED else ""
    return f"{len(codes):,}: {', '.join(map(str, codes[:_MOST_NAMED]))}{rest}"
