"""Through which window is a record seen? From samples to powers by bin, with the tones found by bin and by sine fit.

Powers are one-sided mean squares, p_k = 2 |X_k|^2 / (N sum w^2), so that their sum is the mean square and a tone's lobe
is its power.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qanalysis.arrays import Doubles, Phasors
from qanalysis.converters.findings import Finding
from qanalysis.converters.spectrum.coherence import fold_cycles, is_coherent
from qanalysis.converters.spectrum.options import SpectrumOptions
from qanalysis.converters.spectrum.ramp import is_drift, is_even, judge_ramp, remove_line
from qanalysis.converters.spectrum.sinefit import SineFit, fit_tone, guess_frequency, mean_square, separate_tones
from qanalysis.converters.spectrum.windows import (
    UNKNOWN_BITS,
    bound_leakage,
    choose_side_bins,
    choose_window,
    describe_window,
    make_window,
    measure_leakage,
    measure_lobe,
    sum_window,
)
from qanalysis.decibels import DB_PER_BIT
from qanalysis.notation import decibels

_CHANCE = 1e-6  # that noise alone shows a tone
_SECOND_TONE = 0.1  # of the first one's power; what is smaller is a spur
_CENTRE = 2048  # of `measure_lobe`
_SLOWEST = 3  # periods: up to here a peak may be that of a ramp or of a slow line
_FAR = 32  # periods
_AT_ONCE = 1 << 14  # numbers in work together: they stay in a core's cache
_HIGHEST_RELATION = 5  # a line at a multiple up to this one is a harmonic, not a second tone


@dataclass(frozen=True, slots=True)
class View:
    """A record through a window.

    Parameters
    ----------
    power : (samples // 2 + 1,) mean square by bin, in the square of the record's unit; bin 0 is what the window leaves
        of DC.
    window, side_bins : its name and the bins to each side that belong to a tone.
    coherent : None where there is no tone.
    fits : the sines, strongest first, for fs = 1.
    findings : why this view was taken, if not the usual one.
    residual : (samples,) what the fits leave of the record; None without a tone.
    records : of how many records the powers are the mean.
    """

    power: Doubles
    window: str
    side_bins: int
    coherent: bool | None
    fits: tuple[SineFit, ...] = ()
    findings: tuple[Finding, ...] = ()
    residual: Doubles | None = None
    records: int = 1

    @property
    def evidence(self) -> float:
        """On how many records a noise power rests: what the window weights of each, times their number."""
        return describe_window(self.window).effective_share * self.records

    @property
    def samples(self) -> int:
        """Length of the record, as the fits know it; IndexError for a view without a tone."""
        return self.fits[0].samples

    @property
    def carriers(self) -> tuple[int, ...]:
        """Bins of the tones."""
        return tuple(round(fit.cycles) for fit in self.fits)

    @property
    def cycles(self) -> tuple[float, ...]:
        """Periods of the tones in the record: whole numbers where it is coherent, else as fitted."""
        return tuple(float(round(fit.cycles)) if self.coherent else fit.cycles for fit in self.fits)

    def measure_height(self, place: int) -> float:
        """Height of a line; between bins the parabola through three logarithms,
        which windows of low side lobes follow; the bin itself where a lobe folds onto itself.
        """
        middle = float(self.power[place])
        if (
            self.side_bins == 0
            or not self.side_bins < place < self.power.size - 1 - self.side_bins
            or not (around := self.power[place - 1 : place + 2]).all()
        ):
            return middle
        left, top, right = np.log(around)
        bend = left - 2 * top + right
        # On the slope of another line the parabola's top is none.
        return (
            middle
            if bend >= 0 or top < max(left, right)
            else float(middle * np.exp(-((left - right) ** 2) / (8 * bend)))
        )


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is asked of the view: the user's options, the converter's bits, the bins `first`..`last` of the band, and
    the band as shares of the sample rate.
    """

    options: SpectrumOptions
    bits: int | None
    first: int
    last: int
    band: tuple[float, float] = (0.0, 0.5)

    def list_columns(self, fs_hz: float | None, *, widest: float = 0.5) -> dict[str, Any]:
        """What a row says of the band: in hertz where there is a rate, as shares of it, and how much wider the widest
        one is, a share of 0.5, of I/Q samples of 1.
        """
        low, high = self.band
        return {
            "band_hz": None if fs_hz is None else (low * fs_hz, high * fs_hz),
            "band": self.band,
            "osr": widest / (high - low),
            "harmonics_counted": self.options.harmonics,
        }


def view_record(centred: Doubles, wishes: Wishes) -> View:
    """Find the tones of a record (samples,) of mean 0, decide whether it is coherent, and take its powers.

    The window is the one asked for, or the one that the tones need. Without a tone that stands out of noise the powers
    are those of the whole record, `coherent` is None, and there are no fits.
    """
    spectrum = np.fft.rfft(centred)
    power = _measure_power(spectrum, centred.size, centred.size)
    flat = View(power, "rectangular", 0, None)
    peak = wishes.first + int(np.argmax(power[wishes.first : wishes.last + 1]))
    if not _stands_out(power, peak, wishes):
        return flat
    if peak <= _SLOWEST and is_even(centred):
        beside = _find_tone_beside(centred, power, wishes)
        if beside is None:
            return replace(flat, findings=(judge_ramp(centred),))
        peak, spectrum = beside
        return _take_view(centred, spectrum, flat, [peak], wishes)
    view = _take_view(centred, spectrum, flat, [peak], wishes)
    second = find_second_tone(view, wishes)
    return view if second is None else _take_view(centred, spectrum, flat, [peak, second], wishes)


def _find_tone_beside(centred: Doubles, power: Doubles, wishes: Wishes) -> tuple[int, Phasors] | None:
    """Bin of the tone that makes a ramp a drift, and the spectrum without the ramp; None where the ramp is all there
    is. `power` is the record's.
    """
    spectrum = np.fft.rfft(remove_line(centred))
    rest = _measure_power(spectrum, centred.size, centred.size)
    peak = wishes.first + int(np.argmax(rest[wishes.first : wishes.last + 1]))
    tone = float(rest[max(peak - 1, 0) : peak + 2].sum())
    return (peak, spectrum) if _stands_out(rest, peak, wishes) and is_drift(float(power.sum()), tone) else None


def find_second_tone(view: View, wishes: Wishes) -> int | None:
    """Bin of a second tone: within 10 dB of the first and no harmonic of it,
    nor the first of it; None if there is none.
    """
    height = view.fits[0].power / describe_window(view.window).enbw_bins
    place, reach = view.carriers[0], 2 * view.side_bins + 2
    sides = (wishes.first, place - reach), (place + reach + 1, wishes.last + 1)
    highest = [
        start + int(np.argmax(view.power[start:stop]))
        for start, stop in ((max(start, wishes.first), min(stop, wishes.last + 1)) for start, stop in sides)
        if start < stop
    ]
    second = max(highest, key=lambda bin_: float(view.power[bin_]), default=place)
    if second <= _SLOWEST and place >= _FAR:
        return None  # drift or hum
    if (
        second == place
        or view.measure_height(second) < _SECOND_TONE * height
        or not _stands_out(view.power, second, wishes, skip=place)
    ):
        return None
    cycles = view.cycles[0]
    for order in range(2, _HIGHEST_RELATION + 1):
        slack = 0.5 if view.coherent else 1 + order / 2
        forward, backward = (
            fold_cycles(order * cycles, view.samples) - second,
            fold_cycles(order * second, view.samples) - cycles,
        )
        if abs(forward) <= slack or abs(backward) <= slack:
            return None
    return second


def _stands_out(power: Doubles, peak: int, wishes: Wishes, *, skip: int | None = None) -> bool:
    """Whether noise alone would show such a peak less than once in a million records:
    exponential powers, Bonferroni over the bins.
    """
    band = power[wishes.first : wishes.last + 1]
    around = power[max(peak - 1, 1) : peak + 2].sum()
    others = band.sum() - around - (0.0 if skip is None else power[skip - 1 : skip + 2].sum())
    floor = max(others, 0.0) / max(band.size - 3, 1)
    return bool(power[peak] > floor * np.log(band.size / _CHANCE))


def _fit_tones(
    centred: Doubles, spectrum: Phasors, peaks: list[int], *, coherent: bool
) -> tuple[list[SineFit], Doubles]:
    """Three parameters where the frequencies are bins, or where a free fit ran away from its peak
    (a burst, a slide, noise), else four.
    """
    if not coherent:
        fits, residual = separate_tones(centred, [guess_frequency(spectrum, centred.size, peak) for peak in peaks])
        if all(abs(fit.cycles - peak) <= 1.5 for fit, peak in zip(fits, peaks, strict=True)):
            return fits, residual
    fits, residual = [], centred
    for peak in peaks:
        fit, residual = fit_tone(residual, 2 * np.pi * peak / centred.size, free=False)
        fits.append(fit)
    if len(fits) == 1:
        return fits, residual
    rms = float(np.sqrt(mean_square(residual)))
    return [replace(fit, residual_rms=rms) for fit in fits], residual


def _take_view(centred: Doubles, spectrum: Phasors, flat: View, peaks: list[int], wishes: Wishes) -> View:
    """The record through the window that suits its tones at the bins `peaks`.

    Coherent: no window, unless one was named. Else a window, or the sine fit's residual where no lobe can hold the
    tone.
    """
    coherent = is_coherent(spectrum, flat.power, centred.size, peaks)
    fits, residual = _fit_tones(centred, spectrum, peaks, coherent=coherent)
    ranked = tuple(sorted(fits, key=lambda fit: -fit.power))
    base = replace(flat, fits=ranked, coherent=coherent, residual=residual)
    if base.coherent and wishes.options.window in {"auto", "rectangular"}:
        return replace(base, side_bins=0 if wishes.options.side_bins == "auto" else int(wishes.options.side_bins))
    name, side_bins = choose_window(_find_resolution(base, wishes), base.samples)
    if wishes.options.window != "auto":
        name, side_bins = (
            wishes.options.window,
            choose_side_bins(wishes.options.window, wishes.bits, coherent=bool(base.coherent)),
        )
    if wishes.options.side_bins != "auto":
        side_bins = int(wishes.options.side_bins)
    if wishes.options.window == "auto" and not base.coherent and (reason := _say_why_fitted(base, side_bins, wishes)):
        return _view_residual(base, residual, name, side_bins, reason)
    view = replace(base, power=_window_power(centred, name), window=name, side_bins=side_bins)
    return view if base.coherent else replace(view, findings=_find_leakage(view, wishes))


def _find_resolution(view: View, wishes: Wishes) -> int | None:
    """Bits that the window must serve: the converter's, or more if the fit shows more;
    unknown in a band, whose noise may be any part of the whole.
    """
    if wishes.bits is None or (wishes.first, wishes.last) != (1, view.samples // 2):
        return None
    seen = view.fits[0].sinad_db / DB_PER_BIT
    return int(max(wishes.bits, min(seen, UNKNOWN_BITS)))


def _say_why_fitted(view: View, side_bins: int, wishes: Wishes) -> str | None:
    """The reason why no lobe of this width holds the tone, if there is one."""
    lobes = (2 * side_bins + 1) * (wishes.options.harmonics + len(view.fits) - 1)
    if 2 * lobes > view.power.size:
        return "short"
    edge = min(min(fit.cycles, view.samples / 2 - fit.cycles) for fit in view.fits)
    return f"{edge:.2f} bins from DC or half the sample rate" if edge <= side_bins else None


def _view_residual(view: View, residual: Doubles, name: str, side_bins: int, reason: str) -> View:
    """Powers of what the sine fit leaves, with the fitted tones put into their bins."""
    if reason == "short":
        name, side_bins = "rectangular", 0
        text = (
            f"{view.samples} samples are too few for the lobes of a window: "
            "the tone's power is the sine fit's, the rest is the spectrum of the residual."
        )
        finding = Finding("short-record", text, float(view.samples))
    else:
        text = (
            f"The tone lies {reason}, where a window's lobe folds onto itself: "
            "its power is the sine fit's, the rest is the spectrum of the residual."
        )
        finding = Finding("tone-at-edge", text, view.fits[0].cycles)
    power = _window_power(residual, name)
    for fit, place in zip(view.fits, view.carriers, strict=True):
        lobe = measure_lobe(name, fit.cycles - place)[_CENTRE - side_bins : _CENTRE + side_bins + 1]
        bins = np.abs(np.arange(place - side_bins, place + side_bins + 1))
        folded = np.maximum(np.minimum(bins, view.samples - bins), 1)
        np.add.at(power, folded, fit.power / lobe.sum() * lobe)
    return replace(view, power=power, window=name, side_bins=side_bins, findings=(finding,))


def _find_leakage(view: View, wishes: Wishes) -> tuple[Finding, ...]:
    """A window that the user chose for a tone between bins may not hold it."""
    leak = float(measure_leakage(view.window, 0.5)[view.side_bins])
    if wishes.options.window == "auto" or leak <= bound_leakage(wishes.bits) * 10:
        return ()
    level = float(10 * np.log10(leak))
    text = (
        f"The record is not coherent: {view.side_bins} side bins of the {view.window} window leave up to "
        f"{decibels(level, 'dBc', digits=1)} of the tone among the noise."
    )
    return (Finding("window-leaks", text, level),)


def _window_power(values: Doubles, name: str) -> Doubles:
    """Powers (samples // 2 + 1,) of a record (samples,) through the window of that name, less its weighted mean."""
    window, (total, energy) = make_window(name, values.size), sum_window(name, values.size)
    # The weighted mean takes DC and its whole lobe away, so that bins 1 and up remain the signal's.
    mean, weighted = float(np.einsum("i,i", window, values)) / total, np.empty(values.size)
    for start in range(0, values.size, _AT_ONCE):
        part = weighted[start : start + _AT_ONCE]
        np.subtract(values[start : start + _AT_ONCE], mean, out=part)
        part *= window[start : start + _AT_ONCE]
    spectrum = np.fft.rfft(weighted)
    return _measure_power(spectrum, values.size, energy)


def _measure_power(spectrum: Phasors, samples: int, energy: float) -> Doubles:
    """One-sided mean squares by bin, |X|^2: DC and, for even lengths, half the sample rate have no mirror image."""
    squares: Doubles = np.empty(spectrum.size)
    for start in range(0, spectrum.size, _AT_ONCE):
        some, part = spectrum[start : start + _AT_ONCE], squares[start : start + _AT_ONCE]
        np.square(some.real, out=part)
        part += np.square(some.imag)
        part *= 2.0 / (samples * energy)
    squares[0] /= 2
    if samples % 2 == 0:
        squares[-1] /= 2
    return squares
