"""How are the lines of a spectrum, its band and its intervals written? In the words of tables for people."""

from __future__ import annotations

from qanalysis.converters.lines import write_cell
from qanalysis.converters.spectrum.components import Component
from qanalysis.notation import NOTHING, plain, si, signed, true_minus


def tell_component(line: Component) -> tuple[str, ...]:
    """Cells of a harmonic, a product or a spur: name, frequency, where it shows, bin, two levels, remark."""
    places = (
        *(NOTHING if at is None else si(at, "Hz", digits=4) for at in (line.frequency_hz, line.alias_hz)),
        true_minus(str(line.bin)),
    )
    clean = "below noise" if line.below_noise else write_cell(line.corrected_dbc, "dBc")
    return (
        true_minus(line.name),
        *places,
        write_cell(line.dbc, "dBc"),
        clean,
        f"on {true_minus(line.shared)}" if line.shared else "",
    )


def tell_frequency(share: float, fs_hz: float | None) -> str:
    """A frequency, given as a share of the sample rate, in hertz where the rate is known.

    >>> tell_frequency(0.25, 48000.0), tell_frequency(0.25, None)
    ('12 kHz', '0.25 of the rate')
    """
    return f"{plain(share, digits=4)} of the rate" if fs_hz is None else si(share * fs_hz, "Hz", digits=4)


def tell_band(band_hz: tuple[float, float] | None) -> str:
    """A band in hertz; that there is no rate where it is unknown."""
    return "no rate" if band_hz is None else f"{si(band_hz[0], 'Hz')} to {si(band_hz[1], 'Hz', digits=4)}"


def tell_interval(ends: tuple[float, float] | None, unit: str) -> str:
    """An interval of 95 % in its unit."""
    return "no interval" if ends is None else f"95 %: {signed(ends[0], '.2f')} to {signed(ends[1], '.2f')} {unit}"
