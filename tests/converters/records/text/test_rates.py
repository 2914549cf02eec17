"""A rate is found under its keys in every place and unit, and nothing else is taken for one."""

from __future__ import annotations

import pytest

from qanalysis.converters.records.text.rates import find_rate, find_vertical_unit, is_unit, split_unit


@pytest.mark.parametrize(
    ("line", "fs_hz"),
    [
        ("Sample Interval,2.000000e-04", 5000),
        ("Sampling Period (us),200", 5000),
        ("XInc:,2.0E-4", 5000),
        ("CH1V,t0 = -0.25, tInc = 2e-4", 5000),
        ("Sample Interval,Analog:2.000000e-04", 5000),
        ("Interval,200 us", 5000),
        ("Sample interval,0.2,ms", 5000),
        ("# dt = 0.0002 s", 5000),
        ("; Samplerate: 5 kHz", 5000),
        (";Sample rate,5000", 5000),
        ("Sampling rate: 5 kSa/s", 5000),
        ("# Rate: 1 MS/s", 1e6),
        ("sample rate = 1.25 GSPS", 1.25e9),
        ("Sample Rate [kHz]: 48", 48000),
        ("fs=44100", 44100),
        ("Sample rate 96 kHz", 96000),
        ("sampling frequency: 250 mHz", 0.25),
        ("Samples/s,5000", 5000),
    ],
)
def test_a_rate_is_read_in_its_spelling(line: str, fs_hz: float) -> None:
    found = find_rate([line], ",")
    assert found is not None
    assert found.fs_hz == pytest.approx(fs_hz, rel=1e-12)  # a product and a quotient


@pytest.mark.parametrize(
    ("line", "fs_hz"),
    [
        ("Abtastrate;5 kHz", 5000),
        ("Abtastintervall (ms);0,2", 5000),
        ("Abtastfrequenz: 5000 Hz", 5000),
        ("Fréquence d'échantillonnage;5 kHz", 5000),
        ("Período de muestreo (ms);0,2", 5000),
        ("Delta_X;2,0E-4", 5000),
    ],
)
def test_a_rate_is_read_in_other_languages_with_decimal_commas(line: str, fs_hz: float) -> None:
    found = find_rate([line], ";")
    assert found is not None
    assert found.fs_hz == pytest.approx(fs_hz, rel=1e-12)


def test_a_value_may_stand_below_its_key() -> None:
    found = find_rate(["X,CH1,Start,Increment,", "Sequence,Volt,-2.5e-01,2e-4"], ",")
    assert found is not None
    assert (found.fs_hz, found.key) == (pytest.approx(5000), "Increment")


@pytest.mark.parametrize(
    "line",
    [
        "Signal frequency: 283 Hz",
        "Baud rate,9600",
        "Sample Interval,0",
        "Sample Interval,off",
        "Frame rate: fast",
        "fs,5 V",
        "Vertical Scale,2e-4",
        "Start,-0.25",
        "Rate limit 5",
    ],
)
def test_other_facts_are_no_rates(line: str) -> None:
    assert find_rate([line], ",") is None


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("Time (us)", ("Time", "us")),
        ("Zeit [ms]", ("Zeit", "ms")),
        ("t/ms", ("t", "ms")),
        ("Time_ns", ("Time", "ns")),
        ("C1 in V", ("C1", "V")),
        ("in s", ("", "s")),
        ("CH1V", ("CH1", "V")),
        ("Channel A, mV", ("Channel A", "mV")),
        ("adc[11:0]", ("adc[11:0]", "")),
        ("min", ("min", "")),
        ("V(out)", ("V(out)", "")),
    ],
)
def test_a_name_is_parted_from_its_unit(name: str, parts: tuple[str, str]) -> None:
    assert split_unit(name) == parts


def test_the_unit_of_the_samples_is_told_once() -> None:
    assert find_vertical_unit(["Vertical Units,CH1:mV,CH2:V"], ",") == "mV"
    assert find_vertical_unit(["YUnits:,Volt"], ",") == "V"
    assert find_vertical_unit(["Vertical Units,furlongs", "Vertical Scale,2"], ",") == ""
    assert is_unit("MSEC")
    assert not is_unit("CH1")


@pytest.mark.parametrize(
    ("line", "delimiter", "decimal_comma", "fs_hz"),
    [
        ("Samples per second: 5,000", None, False, 5000),
        ("Sample rate: 1,250,000 Hz", None, False, 1.25e6),
        ("Abtastrate: 5,000 kHz", "\t", True, 5000),
        ("Abtastrate;5,000 kHz", ";", False, 5000),
        ("Sample interval: 0,200 ms", None, False, 5000),
    ],
)
def test_commas_of_a_rate_part_thousands_unless_samples_have_decimal_commas(
    line: str, delimiter: str | None, *, decimal_comma: bool, fs_hz: float
) -> None:
    found = find_rate([line], delimiter, decimal_comma=decimal_comma)
    assert found is not None
    assert found.fs_hz == pytest.approx(fs_hz, rel=1e-12)
