"""Through which window is a record of I/Q samples seen? From samples to powers by bin, with the tone by its fit.

Powers are two-sided mean squares of both rails, |X_k|^2 / (N sum w^2), so that their sum is the mean of |I + jQ|^2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Doubles, Phasors
from qanalysis.converters.findings import Finding
from qanalysis.converters.spectrum.bands import tell_outside
from qanalysis.converters.spectrum.rotations import Rotation, fit_rotation, guess_turns
from qanalysis.converters.spectrum.views import Wishes
from qanalysis.converters.spectrum.windows import (
    LEAK_OF_NOISE,
    UNKNOWN_BITS,
    choose_side_bins,
    choose_window,
    make_window,
)
from qanalysis.decibels import DB_PER_BIT, level_db

_CHANCE = 1e-6  # that noise alone shows a tone
_LEAK_CHANCE = 5.4  # times the noise of a bin: what chance gives a fitted leak, 99.9 % of it
_ROUNDING = 1e-24
_ASTRAY = 1.5  # bins between a peak and its fit


@dataclass(frozen=True, slots=True)
class Turned:
    """Powers (samples,) of a record in the order of the transform, DC first, through a window that suits its tone."""

    power: Doubles
    window: str
    side_bins: int
    rotation: Rotation | None = None
    coherent: bool | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def place(self) -> int:
        """Bin of the tone, signed and never 0; 0 without a tone."""
        if self.rotation is None:
            return 0
        return round(self.rotation.cycles) or (1 if self.rotation.cycles > 0 else -1)


def turn_record(centred: Phasors, wishes: Wishes, fs_hz: float | None) -> Turned:
    """Find the tone of a record (samples,) of mean 0 and take its powers through the window that it needs.

    A stronger tone outside the band is told, and fitted and taken away before the band is looked at.
    """
    samples = centred.size
    flat = _measure_power(np.fft.fft(centred), samples)
    inside = np.zeros(samples, dtype=bool)
    inside[np.arange(wishes.first, wishes.last + 1) % samples] = True
    peak = int(np.argmax(flat))
    if inside[peak] or not _stands_out(flat, ~np.zeros_like(inside), peak):
        return _turn_band(centred, inside, wishes)
    outer, rest = fit_rotation(centred, guess_turns(np.fft.fft(centred), peak), free=True)
    turned = _turn_band(rest, inside, wishes)
    turned.power[peak] += outer.power
    return replace(turned, findings=(tell_outside(outer.cycles / samples, wishes, fs_hz), *turned.findings))


def _turn_band(centred: Phasors, inside: NDArray[np.bool_], wishes: Wishes) -> Turned:
    """The view of the strongest tone within the band, whose bins are `inside`."""
    samples, options = centred.size, wishes.options
    spectrum = np.fft.fft(centred)
    flat = _measure_power(spectrum, samples)
    peak = int(np.argmax(np.where(inside, flat, 0.0)))
    if not _stands_out(flat, inside, peak):
        return Turned(flat, "rectangular", 0)
    rotation, residual = fit_rotation(centred, guess_turns(spectrum, peak), free=True)
    coherent = _is_coherent(rotation, residual)
    astray = abs((rotation.cycles - peak + samples / 2) % samples - samples / 2) > _ASTRAY
    if coherent or astray or not inside[round(rotation.cycles)]:
        rotation, residual = fit_rotation(centred, 2 * np.pi * peak / samples, free=False)
    if coherent and options.window in {"auto", "rectangular"}:
        return Turned(flat, "rectangular", 0 if options.side_bins == "auto" else int(options.side_bins), rotation, True)
    name, side_bins = _choose_window(rotation, wishes, coherent=coherent)
    if options.window == "auto" and (reason := _say_why_fitted(rotation, samples, side_bins, wishes)):
        return _put_back(residual, rotation, reason)
    return Turned(_window_power(centred, name), name, side_bins, rotation, coherent)


def _stands_out(power: Doubles, inside: NDArray[np.bool_], peak: int) -> bool:
    """Whether noise alone would show such a peak less than once in a million records."""
    around = [(peak + step) % power.size for step in (-1, 0, 1)]
    count = int(np.count_nonzero(inside))
    others = float(power[inside].sum() - power[around][inside[around]].sum())
    floor = max(others, 0.0) / max(count - 3, 1)
    return bool(power[peak] > floor * np.log(count / _CHANCE))


def _is_coherent(rotation: Rotation, residual: Phasors) -> bool:
    """Whether what a frequency beside a bin leaks, (pi d)^2/3 of the tone, is less than 1 % of the rest, or chance.

    Its harmonics are no part of the rest: they would hide a leak.
    """
    samples = residual.size
    power = _measure_power(np.fft.fft(residual), samples)
    orders = np.concatenate([np.arange(2, 11), -np.arange(2, 11)])
    lines = np.unique(np.rint(orders * rotation.cycles).astype(int) % samples)
    rest = (float(power.sum()) - float(power[lines].sum())) * samples / max(samples - lines.size, 1)
    leak = rotation.power * (np.pi * (rotation.cycles - round(rotation.cycles))) ** 2 / 3
    return bool(leak <= max(LEAK_OF_NOISE * rest, _LEAK_CHANCE * rest / samples, _ROUNDING * rotation.power))


def _choose_window(rotation: Rotation, wishes: Wishes, *, coherent: bool) -> tuple[str, int]:
    """As for a record of one rail: by the converter's bits, or by what the fit shows where that is more."""
    options, bits = wishes.options, wishes.bits
    if bits is not None and rotation.residual_rms:
        seen = level_db(rotation.power, rotation.residual_rms**2) / DB_PER_BIT
        bits = int(max(bits, min(seen, UNKNOWN_BITS)))
    name, side_bins = choose_window(bits if options.osr == 1 and options.band_hz is None else None)
    if options.window != "auto":
        name, side_bins = options.window, choose_side_bins(options.window, wishes.bits, coherent=coherent)
    return name, side_bins if options.side_bins == "auto" else int(options.side_bins)


def _say_why_fitted(rotation: Rotation, samples: int, side_bins: int, wishes: Wishes) -> str:
    """The reason why no lobe of this width holds the tone apart from all else; empty where one does."""
    lobes = (2 * side_bins + 1) * (2 * wishes.options.harmonics + 1)
    if 2 * lobes > samples:
        return f"{samples} samples are too few for the lobes of a window"
    edge = min(abs(rotation.cycles), samples / 2 - abs(rotation.cycles))
    if edge <= side_bins + 1:
        return f"The tone lies {edge:.2f} bins from DC or half the sample rate, where its lobe meets its image's"
    return ""


def _put_back(residual: Phasors, rotation: Rotation, reason: str) -> Turned:
    """Powers of what the fit leaves, with tone and image put into their bins."""
    text = f"{reason}: the powers of tone and image are the fit's, the rest is the spectrum of the residual."
    finding = Finding("tone-at-edge" if reason.startswith("The") else "short-record", text, rotation.cycles)
    turned = Turned(_measure_power(np.fft.fft(residual), residual.size), "rectangular", 0, rotation, False, (finding,))
    turned.power[turned.place] += rotation.power
    if rotation.image is not None:
        turned.power[-turned.place] += abs(rotation.image) ** 2
    return turned


def _window_power(values: Phasors, name: str) -> Doubles:
    """Powers (samples,) through the window of that name, less the weighted mean, which takes DC and its lobe away."""
    window = make_window(name, values.size)
    weighted = (values - (window @ values) / window.sum()) * window
    return _measure_power(np.fft.fft(weighted), float(window @ window))


def _measure_power(spectrum: Phasors, energy: float) -> Doubles:
    """Mean squares by bin, |X|^2 / (N sum w^2), without DC."""
    squares: Doubles = (np.square(spectrum.real) + np.square(spectrum.imag)) / (spectrum.size * energy)
    squares[0] = 0.0
    return squares
