"""Is the tone of a record modulated in amplitude or in phase, close to it, where a window's lobe hides the sidebands?

With the tone A sin(w t + phase) turned to 0 Hz the residual is A (p(t) - j a(t)): a share a(t) of amplitude, p(t) rad
of phase. A modulation is a sine in one of them: sidebands as high as each other on both sides of the tone, m/2 of it
each for a depth m or m rad. A line on one side alone shows as much in the one as in the other, and is none.
"""

from __future__ import annotations

import numpy as np

from qanalysis.arrays import Doubles, Phasors
from qanalysis.converters.spectrum.coherence import fold_cycles
from qanalysis.converters.spectrum.disturbances import CHANCE, Disturbance, DisturbanceKind, Scene
from qanalysis.converters.spectrum.sinefit import SineFit, measure_line
from qanalysis.converters.spectrum.thinning import (
    LEAK,
    Line,
    Thinned,
    fit_slow_sine,
    is_beyond_chance,
    refine_sine,
    remove_white,
    turn_phasors,
)

_PURE = 0.9  # of a modulation that is a line, and no break or wander; a step holds 0.88 in its best sine
_STRONGER = 4.0  # times the energy of the other kind, for one to be the only one
_SLOWEST_PAIR = 0.9  # periods: lines on both sides can be told apart from here on
_BALANCED = 4.0  # between the powers of two sidebands
_EDGE = 0.2  # periods: what is found at the end of those tried lies beyond it
_SPREAD = 3.0  # deviations of noise energy that are no wander


def find_modulation(scene: Scene, fit: SineFit, turned: Thinned) -> list[Disturbance]:
    """Modulation of the amplitude and of the phase, the stronger first, or lines beside the tone that are neither;
    empty where nothing is beyond chance, or where distortion folds there.
    """
    noise, bins = turned.measure_noise()
    each = (noise / 2 / fit.amplitude**2, bins)
    parts = turn_phasors(turned.values, fit.amplitude)
    lines = [fit_slow_sine(turned, part - part.mean(), trend) for trend, part in enumerate(parts)]
    beyond = [is_beyond_chance(line.energy, each, 2, CHANCE) for line in lines]
    strongest = max(range(2), key=lambda part: lines[part].energy)
    if not any(beyond) or _is_other(scene, fit, turned, lines[strongest], noise):
        return []
    lines = [
        refine_sine(turned, part - part.mean(), trend, line)
        for trend, (part, line) in enumerate(zip(parts, lines, strict=True))
    ]
    kinds = _name_kinds(
        turned, lines, beyond, [_is_pure(part, line, each[0]) for part, line in zip(parts, lines, strict=True)]
    )
    found = [_describe(scene, fit, turned, lines[part], kind) for part, kind in kinds]
    return sorted(found, key=lambda one: -one.power)


def _is_other(scene: Scene, fit: SineFit, turned: Thinned, line: Line, noise: float) -> bool:
    """Whether a line is the leak of one further away, or distortion that folds to one side of the tone or both."""
    rest = remove_white(turned.values - turned.values.mean(), noise, 3) / fit.amplitude**2 - line.energy
    if line.energy < LEAK * rest or line.cycles > turned.reach - _EDGE:
        return True
    folded = [scene.is_distortion(abs(fit.cycles + side * line.cycles)) for side in (-1, 1)]
    return all(folded) or (any(folded) and not _is_balanced(turned, line.cycles))


def _is_pure(part: Doubles, line: Line, noise: float) -> bool:
    """Whether a line is nearly all that a part holds beyond noise."""
    rest = part - part.mean() - line.values
    left = remove_white(rest, noise, 4) - _SPREAD * noise * np.sqrt(part.size)
    return bool(line.energy > _PURE * (line.energy + max(left, 0.0)))


def _name_kinds(
    turned: Thinned, lines: list[Line], beyond: list[bool], pure: list[bool]
) -> list[tuple[int, DisturbanceKind]]:
    """Which of the two parts are modulations; lines beside the tone where neither is."""
    strong = 0 if lines[0].energy > lines[1].energy else 1
    kinds: tuple[DisturbanceKind, DisturbanceKind] = ("amplitude", "phase")
    if lines[strong].energy > _STRONGER * lines[1 - strong].energy or not beyond[1 - strong]:
        return [(strong, kinds[strong] if pure[strong] else "beside")]
    if lines[strong].cycles >= _SLOWEST_PAIR and not _is_balanced(turned, lines[strong].cycles):
        return [(strong, "beside")]
    named = [(part, kinds[part]) for part in range(2) if pure[part]]
    return named or [(strong, "beside")]


def _is_balanced(turned: Thinned, cycles: float) -> bool:
    """Whether the lines on both sides of the tone are about as strong as each other."""
    turns: Phasors = np.exp(-2j * np.pi * cycles * turned.times)
    above, below = (abs(np.vdot(turn, turned.values)) ** 2 for turn in (np.conj(turns), turns))
    return bool(max(above, below) <= _BALANCED * min(above, below))


def _describe(scene: Scene, fit: SineFit, turned: Thinned, line: Line, kind: DisturbanceKind) -> Disturbance:
    """A modulation with the bin of its largest sideband, counted from the tone."""
    response, share = turned.respond(line.cycles), line.energy / line.values.size
    depth = float(np.sqrt(2 * share) / response)
    offsets = sorted({max(int(line.cycles), 1), int(line.cycles) + 1})
    place = fit.cycles + max((side * offset for offset in offsets for side in (-1, 1)), key=turned.rank_line)
    height, paired = measure_line(scene.residual, place), line.cycles >= _SLOWEST_PAIR
    if paired and kind != "beside" and scene.window is not None:
        height = max(height, fit.power * (depth / 2) ** 2)  # between bins
    power = fit.power * share / response**2
    return Disturbance(
        kind=kind,
        cycles=line.cycles,
        size=depth if paired else float(np.ptp(line.values) / 2),
        place=round(fold_cycles(place, scene.residual.size)),
        height=height,
        power=power,
        unseen=power if scene.window is not None and line.cycles <= scene.side_bins else 0.0,
    )
