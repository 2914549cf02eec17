"""How good is a captured sine: SNR, SINAD, THD, SFDR, ENOB and noise density, right without being asked for a window?

Signal is the tone's bin (coherent) or lobe; DC, bin 0, is no part of anything; distortion is HD2..HDn, each bin once;
noise is every other bin. Without a window bins under tones are left out, as the definitions have it; under a window's
lobes the mean noise is put in their place. THD alone is corrected for noise (`thd_raw_dbc` is not). SFDR compares
heights of lines, for tone and spur alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from qanalysis.arrays import Doubles, keep_freed_memory
from qanalysis.converters.findings import Finding
from qanalysis.converters.spectrum.bands import view_band
from qanalysis.converters.spectrum.beside_tone import (
    Scales,
    find_disturbances,
    is_mains,
    judge_disturbances,
    judge_spur,
    name_line,
)
from qanalysis.converters.spectrum.components import Component, describe_claim, find_harmonic, share_power
from qanalysis.converters.spectrum.figures import Evidence, measure_figures
from qanalysis.converters.spectrum.full_scale import FullScale, find_full_scale
from qanalysis.converters.spectrum.noise import find_notch, judge_colour, judge_notch
from qanalysis.converters.spectrum.options import SpectrumOptions
from qanalysis.converters.spectrum.ramp import RAMP
from qanalysis.converters.spectrum.row import RecordRow
from qanalysis.converters.spectrum.sinefit import (
    SineFit,
    centre_record,
    check_rate,
    find_scale,
    read_samples,
    rescale_fit,
)
from qanalysis.converters.spectrum.spellings import tell_frequency
from qanalysis.converters.spectrum.verdicts import judge_constant, judge_view
from qanalysis.converters.spectrum.views import View, Wishes
from qanalysis.converters.spectrum.windows import describe_window
from qanalysis.notation import quote, si
from qanalysis.results.columns import apart

_FEWEST_BAND_BINS = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spectrum(RecordRow):
    """The figures of one record, as its row has them, with what they were taken from;
    None where a figure has no meaning.

    Parameters
    ----------
    power : (samples // 2 + 1,) mean square by bin in the record's unit, one-sided; of I/Q samples (samples,), two-sided
        from minus half the sample rate on.
    full_scale_power : mean square at 0 dBFS in the same unit; None where the full scale is unknown.
    sinefit : least squares of the strongest tone, beside the FFT, of I/Q samples that of the I rail; None without a
        tone.
    """

    power: Doubles = apart()
    full_scale_power: float | None = apart()
    sinefit: SineFit | None = apart()

    @property
    def first_bin(self) -> int:
        """The number of the bin that stands first: 0, of I/Q samples that of minus half the sample rate."""
        return -(self.samples // 2) if self.iq else 0

    @property
    def frequencies_hz(self) -> Doubles:
        """The bins' frequencies, in the order of `power`; without a rate as shares of it."""
        bins = np.arange(self.power.size, dtype=np.float64) + self.first_bin
        return bins * ((self.fs_hz or 1.0) / self.samples)

    @property
    def power_dbfs(self) -> Doubles | None:
        """Heights over full scale, by bin: a tone peaks at its level, up to the window's scallop.

        None without a full scale.
        """
        return None if self.full_scale_power is None else self._heights(self.full_scale_power)

    @property
    def power_dbc(self) -> Doubles | None:
        """Heights over the strongest tone as fitted, by bin; None without a tone."""
        if self.sinefit is None:
            return None
        return self._heights(self.sinefit.amplitude**2 if self.iq else self.sinefit.power)

    def _heights(self, reference: float) -> Doubles:
        with np.errstate(divide="ignore"):
            heights: Doubles = 10 * np.log10(self.power * (describe_window(self.window).enbw_bins / reference))
        return heights


def analyze_spectrum(
    record: ArrayLike,
    options: SpectrumOptions | None = None,
    *,
    fs_hz: float | None = 1.0,
    bits: int | None = None,
    **changes: Any,
) -> Spectrum:
    """Measure a record of one tone (or two) with the window that suits it.

    Parameters
    ----------
    record : (samples,) at least 16 finite numbers. Integers with `bits` are codes, signed or not.
    options, changes : what is asked, as one value, by its fields (`low=0, high=5, window="hann"`), or both: see
        `SpectrumOptions`.
    fs_hz : sample rate; no figure but those in hertz and per hertz depends on it. None: unknown, and these are None.
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
    if fs_hz is not None:
        check_rate(fs_hz)
    return measure_spectrum(values, find_full_scale(values, options, bits=bits, whole=whole), options, fs_hz)


def measure_spectrum(values: Doubles, range_of: FullScale, options: SpectrumOptions, fs_hz: float | None) -> Spectrum:
    """The spectrum of finite values (samples,) whose range is known; ValueError for a band that holds too little."""
    wishes = read_wishes(values.size, fs_hz, options, range_of.bits)
    keep_freed_memory()
    scale = find_scale(values)
    scaled, mean = centre_record(values, scale)
    if values[0] == values[-1] and values.min() == values.max():
        view = View(np.zeros(values.size // 2 + 1), "rectangular", 0, None, findings=judge_constant(float(values[0])))
    else:
        view = view_band(scaled, wishes, fs_hz)
    found = assemble_spectrum(view, range_of, Recording(fs_hz, values.size, scale, mean), wishes)
    return found if view.fits else describe_noise(found, [scaled], (wishes.first, wishes.last))


def describe_noise(found: Spectrum, channels: Sequence[Doubles], band: tuple[int, int]) -> Spectrum:
    """The spectrum of records (samples,) without a tone, with the notch in their noise, or the noise's colour; what
    rises evenly is no noise.
    """
    if any(finding.code == RAMP for finding in found.findings):
        return replace(found, noise_dbfs=None, nsd_dbfs_hz=None, noise_rms=None, noise_free_bits=None)
    if not found.power.any() or found.window != "rectangular":
        return found
    notch = find_notch(channels, band)
    if notch is None:
        return replace(found, findings=(*found.findings, *judge_colour(found.power, band, len(channels))))
    ends = (notch.first - 0.5) / found.samples, (notch.last + 0.5) / found.samples
    place = " to ".join(tell_frequency(end, found.fs_hz) for end in ends)
    told = (*found.findings, judge_notch(notch, found.samples, place))
    return replace(found, npr_db=notch.npr_db, npr_ci95_db=notch.ci95_db, notch=ends, findings=told)


@dataclass(frozen=True, slots=True)
class Recording:
    """What a view no longer knows of its record: rate, length, and the scale and the mean that were taken off."""

    fs_hz: float | None
    samples: int
    scale: float
    mean: float


def assemble_spectrum(view: View, range_of: FullScale, recording: Recording, wishes: Wishes) -> Spectrum:
    """The figures of a view, in the record's unit, with what its findings say."""
    fs_hz, samples, scale, options = recording.fs_hz, recording.samples, recording.scale, wishes.options
    disturbances = find_disturbances(view)
    places = [one.place for one in disturbances]
    shares = share_power(view, wishes.first, wishes.last, options.harmonics, disturbed=places)
    lines = tuple(describe_claim(claim, shares, view, fs_hz) for claim in shares.claims)
    harmonics = lines[: options.harmonics - 1]
    powers: dict[str, Any] = {f"hd{order}_dbc": find_harmonic(harmonics, order) for order in range(2, 7)}
    seen = Spectrum(
        fs_hz=fs_hz,
        samples=samples,
        coherent=view.coherent,
        window=view.window,
        side_bins=view.side_bins,
        fundamental_hz=view.cycles[0] * fs_hz / samples if view.fits and fs_hz is not None else None,
        cycles=view.cycles[0] if view.fits else None,
        harmonics=harmonics,
        intermodulation=lines[options.harmonics - 1 :],
        power=view.power * scale**2 if scale != 1 else view.power,
        full_scale_power=range_of.power,
        sinefit=rescale_fit(replace(view.fits[0], offset=view.fits[0].offset + recording.mean), scale, fs_hz or 1.0)
        if view.fits
        else None,
        **powers,
        **range_of.columns,
        **wishes.list_columns(fs_hz),
    )
    reference = None if range_of.power is None else range_of.power / scale**2
    band = (wishes.first, wishes.last)
    found, evidence = measure_figures(seen, view, shares, full_scale=reference, band=band, disturbances=disturbances)
    scales = Scales(scale, "LSB" if range_of.lsb == 1 else "", fs_hz, samples)
    told = judge_disturbances(disturbances, scales)
    spur = _name_spur(found, evidence, lines)
    told += judge_spur(spur, told)
    noise = math.sqrt(evidence.noise) * scale * range_of.unit
    return replace(
        found,
        noise_rms=noise,
        noise_free_bits=None if view.fits else count_noise_free(noise, found),
        spur=spur,
        findings=(*range_of.findings, *view.findings, *told, *judge_view(view, found, evidence)),
    )


def count_noise_free(rms: float, row: RecordRow) -> float | None:
    """Bits that noise of `rms`, in the unit of the range, leaves steady: bits - log2(6.6 rms/LSB), at most all of them;
    None without a width.
    """
    if row.bits is None or row.lsb is None:
        return None
    return row.bits - max(0.0, math.log2(6.6 * rms / row.lsb)) if rms else float(row.bits)


def _name_spur(found: RecordRow, evidence: Evidence, lines: tuple[Component, ...]) -> Component | None:
    """The largest line beside the tones, by the name of the product that it is, or as a spur; None without a tone."""
    place, bin_hz = evidence.spur_bin, None if found.fs_hz is None else found.fs_hz / found.samples
    if place is None or found.sfdr_dbc is None:
        return None
    owner = next(
        (line for line in lines if line.dbc is not None and abs(line.bin - place) <= (1 if found.side_bins else 0)),
        None,
    )
    seen_hz = None if bin_hz is None else place * bin_hz
    name, order, frequency = (owner.name, owner.order, owner.frequency_hz) if owner else ("spur", 0, seen_hz)
    if evidence.disturbance is not None:
        owner, disturbance = None, evidence.disturbance
        name, order = name_line(disturbance, found.fs_hz, found.samples), 0
        frequency = seen_hz if bin_hz is None or disturbance.kind != "line" else disturbance.cycles * bin_hz
    if name == "spur" and bin_hz is not None and not evidence.spur_below_noise and is_mains(place * bin_hz, bin_hz / 2):
        name = "hum"
    clean = None if evidence.spur_below_noise else -found.sfdr_dbc
    return Component(name, order, frequency, seen_hz, place, -found.sfdr_dbc, clean, evidence.spur_below_noise)


def read_wishes(
    samples: int, fs_hz: float | None, options: SpectrumOptions, bits: int | None, *, two_sided: bool = False
) -> Wishes:
    """What is asked of a record of so many samples; `two_sided` for I/Q samples, whose bins go below 0.

    ValueError for side bins or a band that it does not have.
    """
    side_bins = options.side_bins
    if side_bins != "auto" and not (isinstance(side_bins, int | np.integer) and 0 <= side_bins <= samples // 4):
        raise ValueError(
            f"side_bins {quote(side_bins)}: 'auto' or a whole number of 0 to {samples // 4} bins, a quarter of the "
            "record",
        )
    low, high = _read_band(fs_hz, options, -0.5 if two_sided else 0.0)
    first = max(-(samples // 2) if two_sided else 1, math.ceil(low * samples))
    last = min((samples - 1) // 2 if two_sided else samples // 2, math.floor(high * samples))
    if last - first + 1 < _FEWEST_BAND_BINS:
        asked = f"osr {options.osr:g}" if options.band_hz is None else f"band_hz {options.band_hz}"
        width = "1/samples of the rate" if fs_hz is None else si(fs_hz / samples, "Hz", digits=4)
        raise ValueError(
            f"{asked}: holds {max(last - first + 1, 0)} bins of {width}; at least {_FEWEST_BAND_BINS} are needed",
        )
    return Wishes(options, bits, first, last, (low, high))


def _read_band(fs_hz: float | None, options: SpectrumOptions, lowest: float) -> tuple[float, float]:
    """The band as shares of the sample rate: as stated in hertz, or the whole one from `lowest` on over the
    oversampling.
    """
    if options.band_hz is None:
        return lowest / options.osr, 0.5 / options.osr
    low_hz, high_hz = options.band_hz
    if fs_hz is None:
        raise ValueError(f"band_hz {low_hz}:{high_hz} needs the sample rate; give it, or the oversampling alone")
    if not lowest * fs_hz <= low_hz < high_hz <= fs_hz / 2:
        start = "minus half" if lowest else "0"
        raise ValueError(
            f"band_hz {low_hz}:{high_hz}: two frequencies, the lower one first, "
            f"within {start} and half the sample rate, {si(fs_hz / 2, 'Hz', digits=7)}",
        )
    return low_hz / fs_hz, high_hz / fs_hz


def describe_spectrum(found: Spectrum, findings: Sequence[Finding]) -> Spectrum:
    """The row of a record; `findings` stand before those of the spectrum itself,
    of which the codes already named are left out.

    >>> row = describe_spectrum(analyze_spectrum([0, 1, 0, -1] * 8, bits=2), findings=())
    >>> row.samples, row.window, row.hd3_dbc
    (32, 'rectangular', None)
    """
    known = {finding.code for finding in findings}
    return replace(found, findings=(*findings, *(finding for finding in found.findings if finding.code not in known)))
