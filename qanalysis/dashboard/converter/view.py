"""What does page Converter look at? One frozen view of its three tabs: the conventions, a problem, a simulation, a
record.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

from qanalysis.checkpoints.source import SAMPLE_PREFIX
from qanalysis.converters.choices import (
    AVERAGES,
    CODINGS,
    DITHER_NAMES,
    FULL_SCALES,
    INL_REFERENCES,
    INL_SHAPES,
    RADIXES,
    TESTS,
    TRANSFERS,
    UNITS,
    WAVEFORMS,
    DitherName,
    FullScaleWave,
    InlReference,
    InlShape,
    Transfer,
    WaveformName,
)
from qanalysis.converters.choices import JUSTIFICATIONS as STATED
from qanalysis.converters.converter import LSB_CONVENTIONS
from qanalysis.converters.sample_records import DEFAULT_RECORD
from qanalysis.converters.spectrum.options import MOST_HARMONICS
from qanalysis.converters.spectrum.windows import WINDOWS
from qanalysis.dashboard.views import View, bound
from qanalysis.notation import parse_quantity, quote
from qanalysis.quantizers.quantizer import FsOver

LSB_WORDS = {word: name.replace("fs", "FS") for word, name in LSB_CONVENTIONS.items()}
TABS = {"textbook": "Textbook", "simulate": "Simulate", "capture": "Capture"}
SERIES_MODELS = {"grey": "GM(1,1) fitted to it", "converter": "the converter above", "own": "own numbers"}
WAVEFORM_WORDS = {name: name for name in WAVEFORMS} | {"record": "record in Capture"}
PERIODIC: tuple[WaveformName, ...] = ("sine", "triangle", "two-tone")
PHASED = PERIODIC[:2]
SAMPLE_COUNTS = ("1024", "4096", "16384", "65536")
SIMULATE_VIEWS = {
    "errors": "Transfer and errors",
    "codes": "Codes and ledger",
    "spectrum": "Spectrum",
    "sweeps": "Sweeps",
    "dac": "DAC",
}
_TEST_WORDS = {"pairs": "Pairs (input, code)"}
CAPTURE_TESTS = {"spectrum": "Spectrum"} | {
    name: _TEST_WORDS.get(name, f"{name.capitalize()} histogram") for name in TESTS
}
GUESS = "guess"
JUSTIFICATIONS = (GUESS, *STATED)
SIGNS = (GUESS, "signed", "unsigned")
UNIT_WORDS = (GUESS, *UNITS)
CODING_WORDS = (GUESS, *CODINGS)
RADIX_WORDS = (GUESS, *RADIXES)
MOST_SIDE_BINS = 10_000
WINDOW_WORDS = ("auto", *WINDOWS)
AVERAGE_WORDS = ("none", *AVERAGES)
_NEVER_ZERO = ("conversion_us", "clock_jitter_ps", "tone_hz", "capacitance_pf", "channel", "record_bits")


def spell_hertz(text: str, *, least: float = -math.inf) -> str:
    """A frequency as an address has it, a plain number of hertz; ValueError for what is none, or not above `least`.

    >>> spell_hertz("48k"), spell_hertz("2.5 MHz"), spell_hertz("0.1")
    ('48000', '2500000', '0.1')
    """
    hertz = parse_quantity(text, "Hz")
    if not (math.isfinite(hertz) and hertz > least):
        raise ValueError(
            f"{quote(text)}: a finite number{f' above {least:g}' if least > -math.inf else ''} is expected"
        )
    return str(int(hertz)) if hertz.is_integer() and abs(hertz) < 1e15 else repr(hertz)


@dataclass(frozen=True, slots=True)
class ConverterView(View):
    """Everything that decides what the page shows.

    The first group are the conventions that all tabs share, then come Textbook, Simulate and Capture. None is an empty
    box: not stated in Textbook, "find out" in Capture, as empty texts are. 0 is None too where it can not be meant; of
    a range and a drive it is an end like any other.

    Units are those of the labels: volts, µs, ps, hertz, pF, LSB, percent, degrees. Frequencies of a record are texts,
    which people type with a prefix; here they are plain numbers, or empty.
    """

    tab: str = bound("textbook", choices=tuple(TABS), kept=True)
    fs_over: FsOver = bound("2^n", choices=tuple(LSB_WORDS))
    transfer: Transfer = bound(TRANSFERS[0], choices=TRANSFERS)
    full_scale: FullScaleWave = bound("sine", choices=FULL_SCALES)
    harmonics: int = bound(6, low=2, high=MOST_HARMONICS)
    inl_reference: InlReference = bound(INL_REFERENCES[0], choices=INL_REFERENCES)

    bits: int = bound(12, low=1, high=32)
    low: float = bound(0.0)
    high: float = bound(10.0)
    inputs: str = bound("")
    conversion_us: float | None = bound(None, number=float, low=0.0)
    clock_jitter_ps: float | None = bound(None, number=float, low=0.0)
    tone_hz: float | None = bound(None, number=float, low=0.0)
    capacitance_pf: float | None = bound(None, number=float, low=0.0)
    code_table: bool = bound(False)
    resolutions: bool = bound(False)
    posterior: bool = bound(False)
    series: str = bound("2.67; 3.13; 3.25; 3.36; 3.56; 3.72")
    model: str = bound("grey", choices=tuple(SERIES_MODELS))
    own_model: str = bound("")

    sim_bits: int = bound(8, low=1, high=16)
    waveform: WaveformName = bound("sine", choices=tuple(WAVEFORMS))
    amplitude: float = bound(99.2, low=0.1, high=150.0)
    cycles: float = bound(127.0, low=0.0, high=32768.0)
    phase: int = bound(0, low=0, high=359)
    samples: str = bound("4096", choices=SAMPLE_COUNTS)
    sim_rate_hz: float = bound(1e6, low=1e-3, high=1e12)
    offset_lsb: float = bound(0.0, low=-100.0, high=100.0)
    gain_percent: float = bound(0.0, low=-50.0, high=50.0)
    inl_shape: InlShape = bound(INL_SHAPES[0], choices=INL_SHAPES)
    inl_lsb: float = bound(1.0, low=0.0, high=20.0)
    noise_lsb: float = bound(0.0, low=0.0, high=5.0)
    jitter_ps: float = bound(0.0, low=0.0, high=1e6)
    dither: DitherName = bound("none", choices=DITHER_NAMES)
    osr: int = bound(1, low=1, high=256)
    shaping_order: int = bound(0, low=0, high=3)
    sim_view: str = bound("errors", choices=tuple(SIMULATE_VIEWS))

    record: str = bound(f"{SAMPLE_PREFIX}{DEFAULT_RECORD}")
    column: str = bound("")
    channel: int | None = bound(None, number=int, low=0, high=255)
    record_bits: int | None = bound(None, number=int, low=0, high=32)
    justify: str = bound(JUSTIFICATIONS[0], choices=JUSTIFICATIONS)
    signed: str = bound(SIGNS[0], choices=SIGNS)
    rate_hz: str = bound("", parse=partial(spell_hertz, least=0.0))
    unit: str = bound(GUESS, choices=UNIT_WORDS)
    coding: str = bound(GUESS, choices=CODING_WORDS)
    radix: str = bound(GUESS, choices=RADIX_WORDS)
    dtype: str = bound("")
    resample: bool = bound(False)
    record_low: float | None = bound(None, number=float)
    record_high: float | None = bound(None, number=float)
    drive_low: float | None = bound(None, number=float)
    drive_high: float | None = bound(None, number=float)
    test: str = bound("spectrum", choices=tuple(CAPTURE_TESTS))
    input_column: str = bound("")
    window: str = bound("auto", choices=WINDOW_WORDS)
    side_bins: int | None = bound(None, number=int, low=0, high=MOST_SIDE_BINS)
    band_low: str = bound("", parse=spell_hertz)
    band_high: str = bound("", parse=spell_hertz)
    record_osr: float = bound(1.0, low=1.0, high=1e6)
    average: str = bound("none", choices=AVERAGE_WORDS)
    second: str = bound("")
    second_column: str = bound("")

    def settle(self) -> Self:
        """The view without zeros that state nothing: a width, a rate or a channel of 0 is none."""
        zeros: dict[str, Any] = {name: None for name in _NEVER_ZERO if getattr(self, name) == 0}
        return replace(self, **zeros)


DEFAULT = ConverterView()


def parse_numbers(text: str) -> list[float]:
    """The numbers of a line: parted by semicolons, blanks or line ends; a comma between digits is a decimal comma,
    else it parts.

    ValueError names what is no number.

    >>> parse_numbers("4.5; 0,25 1e-3"), parse_numbers("1, 2, 3")
    ([4.5, 0.25, 0.001], [1.0, 2.0, 3.0])
    """
    words = text.replace(";", " ").replace(", ", " ").split()
    numbers = []
    for word in words:
        try:
            number = float(word.strip(",").replace(",", "."))
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise ValueError(f"{quote(word)} is no number; write numbers such as 4.5, parted by semicolons")
        numbers.append(number)
    return numbers
