"""What does page Converter look at? One frozen view of its three tabs, read from the widgets and put into a link.

A widget's key is its name in the address; none is a key of page Layers. What the address can not mean falls back to the default.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from qanalysis.converters.choices import TRANSFERS
from qanalysis.converters.converter import LSB_CONVENTIONS
from qanalysis.converters.linearity.inl import SHAPES
from qanalysis.converters.sample_records import DEFAULT_RECORD
from qanalysis.converters.simulation.dither import DITHERS
from qanalysis.dashboard.layers.view import spell_changes
from qanalysis.dashboard.sources import SAMPLE_PREFIX
from qanalysis.quantizers.quantizer import FsOver

LSB_WORDS = {name.replace("fs", "FS"): word for word, name in LSB_CONVENTIONS.items()}
TABS = ("Textbook", "Simulate", "Capture")
FULL_SCALES = ("sine", "dc")
INL_REFERENCES = ("end-point", "best-fit")
SERIES_MODELS = ("GM(1,1) fitted to it", "the converter above", "own numbers")
WAVEFORMS = ("sine", "ramp", "triangle", "gaussian", "dc", "two-tone", "record in Capture")

INL_SHAPES = tuple(SHAPES)
SAMPLE_COUNTS = ("1024", "4096", "16384", "65536")
SIMULATE_VIEWS = ("Transfer and errors", "Codes and ledger", "Spectrum", "Sweeps", "DAC")
CAPTURE_TESTS = ("Spectrum", "Ramp histogram", "Sine histogram")
JUSTIFICATIONS = ("guess", "right", "left")
SIGNS = ("guess", "signed", "unsigned")


def _bound(key: str, default: Any, *, choices: Sequence[Any] = (), low: float | None = None, high: float | None = None) -> Any:
    return field(default=default, metadata={"key": key, "choices": choices, "low": low, "high": high})


@dataclass(frozen=True, slots=True)
class ConverterView:
    """Everything that decides what the page shows, in the widgets' own values; each field's key is in `CONVERTER_KEYS`.

    The first group are the conventions that all tabs share; a bit width of 0 in Capture, and empty texts, mean "find out".
    """

    tab: str = _bound("kt", TABS[0], choices=TABS)
    lsb: str = _bound("kl", "FS/2^n", choices=tuple(LSB_WORDS))
    transfer: str = _bound("kx", TRANSFERS[0], choices=TRANSFERS)
    full_scale: str = _bound("kf", "sine", choices=FULL_SCALES)
    harmonics: int = _bound("kh", 6, low=2, high=20)
    inl_reference: str = _bound("ki", INL_REFERENCES[0], choices=INL_REFERENCES)

    bits: int = _bound("kb", 12, low=1, high=32)
    low: float = _bound("klo", 0.0)
    high: float = _bound("khi", 10.0)
    inputs: str = _bound("kin", "")
    conversion_us: float = _bound("kct", 0.0, low=0.0)
    code_table: bool = _bound("kco", False)
    resolutions: bool = _bound("kre", False)
    posterior: bool = _bound("kpo", False)
    series: str = _bound("kse", "2.67; 3.13; 3.25; 3.36; 3.56; 3.72")
    model: str = _bound("kmo", SERIES_MODELS[0], choices=SERIES_MODELS)
    own_model: str = _bound("kom", "")

    sim_bits: int = _bound("sb", 8, low=1, high=16)
    waveform: str = _bound("sw", WAVEFORMS[0], choices=WAVEFORMS)
    amplitude: float = _bound("sa", 99.2, low=0.1, high=150.0)
    cycles: float = _bound("sj", 127.0, low=0.0, high=32768.0)
    phase: int = _bound("sp", 0, low=0, high=359)
    samples: str = _bound("sn", "4096", choices=SAMPLE_COUNTS)
    sim_rate_hz: float = _bound("sfs", 1e6, low=1e-3, high=1e12)
    offset_lsb: float = _bound("so", 0.0, low=-100.0, high=100.0)
    gain_percent: float = _bound("sg", 0.0, low=-50.0, high=50.0)
    inl_shape: str = _bound("sis", INL_SHAPES[0], choices=INL_SHAPES)
    inl_lsb: float = _bound("si", 1.0, low=0.0, high=20.0)
    noise_lsb: float = _bound("se", 0.0, low=0.0, high=20.0)
    jitter_ps: float = _bound("sji", 0.0, low=0.0, high=1e6)
    dither: str = _bound("sd", "none", choices=tuple(DITHERS))
    osr: int = _bound("sos", 1, low=1, high=256)
    shaping_order: int = _bound("sho", 0, low=0, high=3)
    sim_view: str = _bound("sv", SIMULATE_VIEWS[0], choices=SIMULATE_VIEWS)

    record: str = _bound("cr", f"{SAMPLE_PREFIX}{DEFAULT_RECORD}")
    column: str = _bound("cc", "")
    channel: int = _bound("cch", 0, low=0, high=255)
    record_bits: int = _bound("cb", 0, low=0, high=32)
    justify: str = _bound("cj", JUSTIFICATIONS[0], choices=JUSTIFICATIONS)
    signed: str = _bound("cs", SIGNS[0], choices=SIGNS)
    rate_hz: float = _bound("cfs", 0.0, low=0.0)
    record_low: float = _bound("clo", 0.0)
    record_high: float = _bound("chi", 0.0)
    drive_low: float = _bound("cdl", 0.0)
    drive_high: float = _bound("cdh", 0.0)
    test: str = _bound("cte", CAPTURE_TESTS[0], choices=CAPTURE_TESTS)

    @property
    def fs_over(self) -> FsOver:
        """What the range is divided by, as converters take it: "2^n" or "2^n-1"."""
        return LSB_WORDS[self.lsb]


CONVERTER_KEYS: dict[str, str] = {entry.metadata["key"]: entry.name for entry in fields(ConverterView)}
DEFAULT = ConverterView()


def read_converter(session: Mapping[str, Any]) -> ConverterView:
    """The view that the widgets hold; a missing or impossible value becomes the default or the nearest possible one.

    >>> read_converter({"kb": 99, "kx": "sideways"}).bits, read_converter({"kx": "sideways"}).transfer
    (32, 'mid-tread')
    """
    given = {}
    for entry in fields(ConverterView):
        value = session.get(entry.metadata["key"])
        if value is not None:
            given[entry.name] = _bend(value, entry.default, entry.metadata)
    return ConverterView(**given)


def _bend(value: Any, default: Any, rule: Mapping[str, Any]) -> Any:
    if rule["choices"]:
        return value if value in rule["choices"] else default
    if isinstance(default, str):
        return str(value).strip()
    try:
        number = type(default)(value)
    except (TypeError, ValueError, OverflowError):
        return default
    if rule["low"] is not None:
        number = max(number, type(default)(rule["low"]))
    return number if rule["high"] is None else min(number, type(default)(rule["high"]))


def write_converter(view: ConverterView) -> dict[str, Any]:
    """Widget key to value, for presets and reset.

    >>> write_converter(ConverterView(bits=8))["kb"]
    8
    """
    return {key: getattr(view, name) for key, name in CONVERTER_KEYS.items()}


def write_converter_query(view: ConverterView) -> dict[str, list[str]]:
    """The view as address parameters, defaults left out.

    >>> write_converter_query(ConverterView(tab="Simulate", sim_bits=10))
    {'kt': ['Simulate'], 'sb': ['10']}
    """
    return spell_changes(view, CONVERTER_KEYS)


def parse_numbers(text: str) -> list[float]:
    """The numbers of a line: parted by semicolons, blanks or line ends; a comma between digits is a decimal comma, else it parts.

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
            raise ValueError(f"{word!r} is no number; write numbers such as 4.5, parted by semicolons")
        numbers.append(number)
    return numbers


def name_ignored_converter(asked: Mapping[str, Sequence[str]], session: Mapping[str, Any]) -> list[str]:
    """Parameters of an address that the widgets in sight replaced, as "kb=99"; those of the other tabs are not yet known.

    >>> name_ignored_converter({"kb": ["99"], "khi": ["5"], "sb": ["99"]}, {"kb": 12, "khi": 5.0})
    ['kb=99']
    """
    shown = [key for key in asked if key in CONVERTER_KEYS and session.get(key) is not None]
    return [f"{key}={asked[key][-1]}"[:80] for key in shown if not _means(asked[key][-1], session[key])]


def _means(text: str, value: Any) -> bool:
    if isinstance(value, bool):
        return text == str(value).lower()
    if isinstance(value, float):
        try:
            return float(text) == value
        except ValueError:
            return False
    return text == str(value)
