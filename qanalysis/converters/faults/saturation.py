"""Is a tone flat or bent at its peaks, although no code is hit often? Saturation with noise on it, or a gradual one.

The residual of the sine fit is averaged by phase. Both flanks of a static transfer curve give the same y(s) over the
sine s = -1..1: one that follows o + a clip(s, lo, hi) far better than a polynomial of order 5 is clipped; one whose
slope at an end is less than 0.6 of that in the middle is compressed (a cubic of -28.6 dBc).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qanalysis.arrays import Codes, Doubles
from qanalysis.converters.faults.levels import name_level
from qanalysis.converters.findings import Finding
from qanalysis.converters.records.records import Record
from qanalysis.converters.spectrum.sinefit import SineFit
from qanalysis.notation import in_percent

_LEAST_NOISE = 1e-300  # mean square
_LOOK = 2**17
_BINS = (128, 64, 32)
_FEWEST_IN_BIN = 3
_ORDER = 5
_CUTS = np.linspace(0.0, 1.2, 31)
# A curve that makes most of its way while the sine passes a strip is that of a square wave or a pulse.
_STRIP, _MOST_IN_STRIP = 0.25, 0.5
_EVIDENT = 100.0  # chi-square of the bent curve over the straight one: about ten deviations
_EXPLAINED = 3.0
_SHARPER = 1.5
_LEAST_LOST = 0.004  # of the amplitude
_STEPS_LOST = 1.5
_COMPRESSED = 0.6
_LEAST_SHORTFALL = 0.08
_ONE_VALUED = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class _Curve:
    """The transfer curve in half-turn bins: the sine `s` (bins,) and the mean `y` (bins,), both from the top down,
    `weights` (bins,) as one over the variance of the means, and `hysteresis`, the share of what the flanks differ in.
    """

    s: Doubles
    y: Doubles
    weights: Doubles
    hysteresis: float


def find_saturation(record: Record, fit: SineFit, fs_hz: float, step: float) -> Finding | None:
    """Noisy or gradual saturation of the one tone of a record that `fit` describes; None where there is none.

    `step` is the LSB, 0 without one: rounding alone bends the curve by as much. None too where the tone shows fewer
    than 32 phases, and for the curves of two values that a sawtooth or a settling circuit gives.
    """
    curve = _trace_curve(record.values[:_LOOK], fit, fs_hz)
    if curve is None or curve.hysteresis > _ONE_VALUED or _is_square(curve):
        return None
    straight = _measure_misfit(curve, np.column_stack([np.ones_like(curve.s), curve.s]))[0]
    if straight < _EVIDENT:
        return None
    powers = np.vander(curve.s, _ORDER + 1, increasing=True)
    smooth, bend = _measure_misfit(curve, powers)
    cuts, (offset, slope), cut = _fit_cuts(curve)
    flat = float(cuts.sum() / np.pi)
    lost = 1 - np.cos(cuts)
    least = max(_LEAST_LOST, _STEPS_LOST * step / fit.amplitude)
    if _EXPLAINED * cut < straight and _SHARPER * cut < smooth and lost.max() >= least:
        ends = {"top": offset + slope * np.cos(cuts[0]), "bottom": offset - slope * np.cos(cuts[1])}
        sides = {side: ends[side] for side, part in zip(ends, lost, strict=True) if part >= least / 2}
        return _tell_flat(record, sides, flat)
    return _judge_bend(record, bend, step)


def _trace_curve(values: Doubles, fit: SineFit, fs_hz: float) -> _Curve | None:
    """The mean of the record by phase, folded about the peak; None for too few samples of any phase, and for a tone so
    small that one over the squares of its noise leaves double precision.
    """
    turns = (fit.frequency_hz / fs_hz) * np.arange(values.size) + fit.phase / (2 * np.pi)
    residual = values - fit.offset - fit.amplitude * np.sin(2 * np.pi * turns)
    for bins in _BINS:
        place: Codes = np.floor((turns - 0.25) % 1.0 * bins).astype(np.int64) % bins
        counts = np.bincount(place, minlength=bins)
        if counts.min() >= _FEWEST_IN_BIN:
            break
    else:
        return None
    means = np.bincount(place, residual, minlength=bins) / counts
    noise = float(np.mean((residual - means[place]) ** 2)) * values.size / (values.size - bins)
    down, up = means[: bins // 2], means[bins // 2 :][::-1]
    s = np.cos((np.arange(bins // 2) + 0.5) * (2 * np.pi / bins))
    bent, differ = float(((down + up) ** 2).sum()), float(((down - up) ** 2).sum())
    both = counts[: bins // 2] + counts[bins // 2 :][::-1]
    noise = max(noise, (1e-9 * fit.amplitude) ** 2)
    if noise < _LEAST_NOISE:
        return None
    return _Curve(s, fit.amplitude * s + (down + up) / 2, both / noise, differ / bent if bent else np.inf)


def _is_square(curve: _Curve) -> bool:
    """Whether the curve makes half of its way within an eighth of the sine's."""
    near = np.abs(curve.s[:, np.newaxis] - curve.s) <= _STRIP
    steps = np.abs(curve.y[:, np.newaxis] - curve.y)
    return bool(steps[near].max() > _MOST_IN_STRIP * np.ptp(curve.y))


def _measure_misfit(curve: _Curve, columns: Doubles) -> tuple[float, Doubles]:
    """Chi-square of the curve against the best sum of `columns` (bins, terms), and the terms' factors."""
    root = np.sqrt(curve.weights)
    factors = np.linalg.lstsq(columns * root[:, np.newaxis], curve.y * root, rcond=None)[0]
    return float((curve.weights * (curve.y - columns @ factors) ** 2).sum()), np.asarray(factors, np.float64)


def _fit_cuts(curve: _Curve) -> tuple[Doubles, tuple[float, float], float]:
    """How far around the peaks (top, bottom; rad) the curve is flat,
    offset and slope of the rest, and the chi-square.
    """
    top, bottom = (grid.ravel() for grid in np.meshgrid(_CUTS, _CUTS, indexing="ij"))
    shapes = np.clip(curve.s, -np.cos(bottom)[:, np.newaxis], np.cos(top)[:, np.newaxis])
    share = curve.weights / curve.weights.sum()
    middle, mean = shapes @ share, float(curve.y @ share)
    centred = shapes - middle[:, np.newaxis]
    slopes = centred @ (share * (curve.y - mean)) / (centred**2 @ share)
    misfits = ((curve.y - mean - slopes[:, np.newaxis] * centred) ** 2) @ curve.weights
    best = int(np.argmin(misfits))
    line = (mean - float(slopes[best] * middle[best]), float(slopes[best]))
    return np.array([top[best], bottom[best]]), line, float(misfits[best])


def _tell_flat(record: Record, sides: dict[str, float], share: float) -> Finding:
    """The finding of flat peaks: where, how much, what to do."""
    digits = round if record.codes is not None else float
    where = " and ".join(f"the {side} (about {name_level(digits(level), record)})" for side, level in sides.items())
    text = (
        f"Clipped: the tone is flat at {where}, {in_percent(share, '.3g')} of the record, with noise on the plateau; "
        "what drives the converter saturates before its range ends. Lower the level, or mend the offset."
    )
    return Finding("clipping", text, share)


def _judge_bend(record: Record, bend: Doubles, step: float) -> Finding | None:
    """Gradual compression: the slope of the curve at an end beside that in the middle, and how much it falls short."""
    powers = np.arange(1, _ORDER + 1)
    at = np.linspace(-0.4, 0.4, 9)
    middle = float(np.mean(np.polynomial.polynomial.polyval(at, bend[1:] * powers)))
    found = {}
    if middle <= 0:
        return None
    for side, sign in (("top", 1.0), ("bottom", -1.0)):
        slope = float((bend[1:] * powers) @ sign ** (powers - 1))
        reached = float(bend @ sign ** np.arange(_ORDER + 1))
        shortfall = 1 - sign * (reached - bend[0]) / middle
        if slope < _COMPRESSED * middle and shortfall > max(_LEAST_SHORTFALL, _STEPS_LOST * step / middle):
            found[side] = (reached, slope / middle, shortfall)
    if not found:
        return None
    digits = round if record.codes is not None else float
    parts = [
        f"at the {side} (about {name_level(digits(level), record)}) the slope is {in_percent(max(slope, 0.0), '.2g')} "
        f"of that in the middle and the peak falls short by {in_percent(shortfall, '.2g')}"
        for side, (level, slope, shortfall) in found.items()
    ]
    text = f"The tone is compressed: {', '.join(parts)}. What drives the converter saturates: lower the level."
    return Finding("soft-clipping", text, max(float(shortfall) for _level, _slope, shortfall in found.values()))
