"""How good is a captured sine: SNR, SINAD, THD, SFDR, ENOB and noise density, right without being asked for a window?

Signal is the tone's bin (coherent) or lobe; DC, bin 0, is no part of anything; distortion is HD2..HDn, each bin once; noise is every other bin.
Without a window bins under tones are left out, as the definitions have it; under a window's lobes the mean noise is put in their place.
THD alone is corrected for noise (`thd_raw_dbc` is not). SFDR compares heights of lines, for tone and spur alike.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qanalysis.converters.findings import Finding
from qanalysis.converters.spectrum.components import Component, describe_claim, share_power
from qanalysis.converters.spectrum.figures import Figures, Interval, measure_figures
from qanalysis.converters.spectrum.full_scale import FullScale, find_full_scale
from qanalysis.converters.spectrum.options import SpectrumOptions
from qanalysis.converters.spectrum.sinefit import SineFit, check_rate, read_samples, rescale_fit, scale_record
from qanalysis.converters.spectrum.verdicts import judge_constant, judge_view
from qanalysis.converters.spectrum.views import View, Wishes, view_record
from qanalysis.converters.spectrum.windows import describe_window

_FEWEST_BAND_BINS = 8


@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """Dynamic figures of one record; None where a figure has no meaning (no tone, full scale unknown, THD below the noise).

    Parameters
    ----------
    bits, low, high, lsb, lsb_convention, full_scale : the range, as `FullScale` has it; full_scale is "sine" or "dc".
    fs_hz, samples, band_hz : rate, length, and the band (low, high) that noise, distortion and spurs were taken from.
    coherent, window, side_bins : how the record was seen; coherent is None without a tone.
    fundamental_hz : the strongest tone; from the sine fit where the record is not coherent.
    level_dbfs : power of the tone, or of both, over full scale.
    sinad_db, snr_db, thd_dbc, thd_raw_dbc, sfdr_dbc, sfdr_dbfs : see the module; sfdr_dbfs is full scale over the largest spur.
    enob_ieee : (SINAD + full-scale sine over level - 1.7609)/6.0206, equal to log2(range/(NAD sqrt 12)); enob_at_level leaves the level out.
    noise_dbfs, nsd_dbfs_hz : noise without distortion over full scale, and per hertz of the band.
    sinad_ci95_db, ... : 95 % intervals; formulas in figures.py.
    harmonics : orders 2..harmonics_counted of the strongest tone; intermodulation : of two tones, their products and the second's harmonics.
    spur : the largest line beside the tones. sinefit : least squares beside the FFT, sinefit_sinad_db its SINAD (of all tones).
    power : (samples // 2 + 1,) mean square by bin in the record's unit, one-sided.
    """

    bits: int | None
    low: float | None
    high: float | None
    lsb: float | None
    lsb_convention: str
    fs_hz: float
    samples: int
    band_hz: tuple[float, float]
    coherent: bool | None
    window: str
    side_bins: int
    fundamental_hz: float | None
    level_dbfs: float | None
    full_scale: str
    sinad_db: float | None
    snr_db: float | None
    thd_dbc: float | None
    thd_raw_dbc: float | None
    thd_below_noise: bool | None
    sfdr_dbc: float | None
    sfdr_dbfs: float | None
    enob_ieee: float | None
    enob_at_level: float | None
    noise_dbfs: float | None
    nsd_dbfs_hz: float | None
    harmonics_counted: int
    sinefit_sinad_db: float | None
    sinad_ci95_db: Interval | None
    snr_ci95_db: Interval | None
    thd_ci95_db: Interval | None
    sfdr_ci95_db: Interval | None
    enob_ci95: Interval | None
    harmonics: tuple[Component, ...]
    intermodulation: tuple[Component, ...]
    spur: Component | None
    sinefit: SineFit | None
    findings: tuple[Finding, ...]
    power: NDArray[np.float64]
    full_scale_power: float | None

    @property
    def frequencies_hz(self) -> NDArray[np.float64]:
        """(samples // 2 + 1,) the bins' frequencies."""
        return np.arange(self.power.size, dtype=np.float64) * (self.fs_hz / self.samples)

    @property
    def power_dbfs(self) -> NDArray[np.float64] | None:
        """Heights over full scale, by bin: a tone peaks at its level, up to the window's scallop. None without a full scale."""
        return None if self.full_scale_power is None else self._heights(self.full_scale_power)

    @property
    def power_dbc(self) -> NDArray[np.float64] | None:
        """Heights over the strongest tone as fitted, by bin; None without a tone."""
        return None if self.sinefit is None else self._heights(self.sinefit.power)

    @property
    def conventions(self) -> dict[str, str]:
        """What the figures follow, in words."""
        return {
            "lsb": self.lsb_convention,
            "full scale": f"0 dBFS is the rms of a full-range {'sine' if self.full_scale == 'sine' else 'square (dc)'}",
            "harmonics": f"HD2..HD{self.harmonics_counted}, folded, each bin once",
            "enob": "IEEE: referred to full scale; at level: (SINAD - 1.7609)/6.0206",
            "noise under tones": "left out" if self.side_bins == 0 else "the mean noise in its place",
            "thd": "corrected for noise",
            "sfdr": "heights of lines, tone and spur alike",
        }

    def hd_dbc(self, order: int) -> float | None:
        """The harmonic's power as found, over the tone's; None where it was not counted or can not be told apart."""
        return next((line.dbc for line in self.harmonics if line.order == order), None)

    def _heights(self, reference: float) -> NDArray[np.float64]:
        with np.errstate(divide="ignore"):
            heights: NDArray[np.float64] = 10 * np.log10(self.power * (describe_window(self.window).enbw_bins / reference))
        return heights


def analyze_spectrum(record: ArrayLike, options: SpectrumOptions | None = None, *, fs_hz: float = 1.0, bits: int | None = None, **changes: Any) -> Spectrum:
    """Measure a record of one tone (or two) with the window that suits it.

    Parameters
    ----------
    record : (samples,) at least 16 finite numbers. Integers with `bits` are codes, signed or not.
    options, changes : what is asked, as one value, by its fields (`low=0, high=5, window="hann"`), or both: see `SpectrumOptions`.
    fs_hz : sample rate; no figure but those in hertz and per hertz depends on it.
    bits : the converter's width.

    Raises
    ------
    ValueError : a record that is no channel of numbers, a bad range or option, codes wider than `bits`.
    A constant record and one without a tone give findings and None instead of figures.

    >>> t = np.arange(4096)
    >>> codes = np.rint(2047 * np.sin(2 * np.pi * 127 * t / 4096)).astype(int)
    >>> spectrum = analyze_spectrum(codes, bits=12)
    >>> spectrum.window, round(spectrum.sinad_db, 1), round(spectrum.enob_ieee, 1)
    ('rectangular', 74.1, 12.0)
    """
    options = replace(options or SpectrumOptions(), **changes)
    whole = np.asarray(record).dtype.kind in "iu"
    values = read_samples(record)
    check_rate(fs_hz)
    range_of = find_full_scale(values, options, bits=bits, whole=whole)
    wishes = _read_wishes(values.size, fs_hz, options, range_of.bits)
    scaled, scale = scale_record(values)
    mean = scaled.mean()
    scaled -= mean
    if values.min() == values.max():
        view = View(np.zeros(values.size // 2 + 1), "rectangular", 0, None, findings=judge_constant(float(values[0])))
    else:
        view = view_record(scaled, wishes)
    return _assemble(view, range_of, _Recording(fs_hz, values.size, scale, float(mean)), wishes)


@dataclass(frozen=True, slots=True)
class _Recording:
    """What a view no longer knows of its record: rate, length, and the scale and the mean that were taken off."""

    fs_hz: float
    samples: int
    scale: float
    mean: float


def _assemble(view: View, range_of: FullScale, recording: _Recording, wishes: Wishes) -> Spectrum:
    fs_hz, samples, scale, options = recording.fs_hz, recording.samples, recording.scale, wishes.options
    band = (0.0, fs_hz / 2) if options.band_hz is None else (float(options.band_hz[0]), float(options.band_hz[1]))
    reference = None if range_of.power is None else range_of.power / scale**2
    shares = share_power(view, wishes.first, wishes.last, options.harmonics)
    figures: Figures = measure_figures(view, shares, reference, band[1] - band[0], (wishes.first, wishes.last), range_of.kind)
    lines = [describe_claim(claim, shares, view, fs_hz) for claim in shares.claims]
    harmonics, products = tuple(lines[: options.harmonics - 1]), tuple(lines[options.harmonics - 1 :])
    fit = rescale_fit(replace(view.fits[0], offset=view.fits[0].offset + recording.mean), scale, fs_hz) if view.fits else None
    spur = None if figures.spur_bin is None else _name_spur(figures, lines, fs_hz / samples)
    same = {name: getattr(range_of, name) for name in ("bits", "low", "high", "lsb", "lsb_convention")}
    same |= {field.name: getattr(figures, field.name) for field in fields(figures) if field.name in Spectrum.__slots__}
    return Spectrum(
        fs_hz=fs_hz,
        samples=samples,
        band_hz=band,
        coherent=view.coherent,
        window=view.window,
        side_bins=view.side_bins,
        fundamental_hz=view.cycles[0] * fs_hz / samples if view.fits else None,
        full_scale=range_of.kind,
        harmonics_counted=options.harmonics,
        harmonics=harmonics,
        intermodulation=products,
        spur=spur,
        sinefit=fit,
        findings=(*range_of.findings, *view.findings, *judge_view(view, figures, (harmonics, products), fs_hz)),
        power=view.power * scale**2,
        full_scale_power=range_of.power,
        **same,
    )


def _name_spur(figures: Figures, lines: list[Component], bin_hz: float) -> Component:
    """The largest line beside the tones, by the name of the product that it is, or as a spur."""
    place = figures.spur_bin or 0
    owner = next((line for line in lines if line.dbc is not None and abs(line.bin - place) <= (1 if figures.windowed else 0)), None)
    dbc = None if figures.sfdr_dbc is None else -figures.sfdr_dbc
    below = figures.spur_below_noise
    name, order, frequency = (owner.name, owner.order, owner.frequency_hz) if owner else ("spur", 0, place * bin_hz)
    return Component(name, order, frequency, place * bin_hz, place, dbc, None if below else dbc, below)


def _read_wishes(samples: int, fs_hz: float, options: SpectrumOptions, bits: int | None) -> Wishes:
    side_bins, band_hz = options.side_bins, options.band_hz
    if side_bins != "auto" and not (isinstance(side_bins, int | np.integer) and 0 <= side_bins <= samples // 4):
        raise ValueError(f"side_bins {side_bins!r}: 'auto' or a whole number of 0 to {samples // 4} bins, a quarter of the record")
    first, last = 1, samples // 2
    if band_hz is not None:
        low_hz, high_hz = band_hz
        if not 0 <= low_hz < high_hz <= fs_hz / 2:
            raise ValueError(f"band_hz {low_hz:g}:{high_hz:g}: two frequencies, the lower one first, within 0 and half the sample rate, {fs_hz / 2:g} Hz")
        first, last = max(1, int(np.ceil(low_hz * samples / fs_hz))), int(np.floor(high_hz * samples / fs_hz))
    if last - first + 1 < _FEWEST_BAND_BINS:
        raise ValueError(f"band_hz {band_hz}: holds {max(last - first + 1, 0)} bins of {fs_hz / samples:g} Hz; at least {_FEWEST_BAND_BINS} are needed")
    return Wishes(options, bits, first, last)
