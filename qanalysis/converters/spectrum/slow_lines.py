"""Does a record drift, hum or settle beside its tone?

Four models compete for the averages of the residual: a straight line, a parabola, a sine, and an exponential that
starts with the record. The one that explains most, less log(points)/2 for each parameter (Schwarz's criterion), is
taken out, and what it leaves is looked at again. A sine of less than 0.7 periods that a parabola follows as well is a
drift, and so is one that is only part of a wander. Exponentials are looked for in ever shorter beginnings too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.converters.spectrum.disturbances import CHANCE, Disturbance, Scene
from qanalysis.converters.spectrum.sinefit import measure_line
from qanalysis.converters.spectrum.thinning import (
    LEAK,
    WHITE,
    Thinned,
    draw_trend,
    fit_slow_sine,
    is_beyond_chance,
    project_trends,
    refine_sine,
    remove_trend_power,
    remove_white,
    thin_head,
)

_ROUNDS = 3
_SLOWEST_LINE = 0.7  # periods: less is as well a bend
_ALIKE = 0.97  # of the energy that a sine explains
_PURE = 0.8  # of all slow energy, for a sine to be a line and not the larger part of a wander
_MISMATCH = 1e-3  # of the energy taken out: what a model that is nearly right may leave
_SHORTEST_HEAD, _SHORTENED = 64, 4
_STRETCH, _SHORTEST_STRETCH, _STRETCHES, _ALONE = (
    8,
    16,
    24,
    3.0,
)  # time constants, samples, stretches, times their energy
_NEAREST_TONE = 8  # periods: a slower tone is itself slow content
_SHORTEST_DECAY, _LONGEST_DECAY, _DECAYS = 0.7, 0.5, 32  # in points, of all points, time constants tried


@dataclass(frozen=True, slots=True)
class _Model:
    """One model fitted to averages: energy explained, parameters, fitted values (points,), and its own number:
    periods per record, or the time constant in points.
    """

    kind: str
    energy: float
    parameters: int
    values: Doubles
    number: float = 0.0


@dataclass(frozen=True, slots=True)
class _Settling:
    """An exponential from the first sample on: its start, its time constant in samples."""

    start: float
    time_constant: float

    @property
    def energy(self) -> float:
        """Sum of its squares over the samples."""
        return self.start**2 * self.time_constant / 2


def find_slow_content(scene: Scene, thinned: Thinned) -> list[Disturbance]:
    """Drift, slow lines and settling, the strongest first; empty where nothing is beyond chance, or where the tone
    itself is slow.
    """
    if min(scene.tones) < _NEAREST_TONE:
        return []
    noise, values, first = thinned.measure_noise(), thinned.values, 0.0
    length = thinned.step * scene.residual.size
    found: list[Disturbance] = []
    settled: _Settling | None = None
    for _ in range(_ROUNDS):
        model = _choose_model(thinned, values, noise)
        beyond = is_beyond_chance(model.energy, noise, model.parameters, CHANCE)
        if not beyond or model.energy < max(_MISMATCH * first, LEAK * remove_white(values - model.values, noise[0], 3)):
            break
        first = max(first, model.energy)
        slow_energy = remove_white(values - values.mean(), noise[0], 1)
        wanders = model.kind == "decay" and model.energy < _PURE * slow_energy
        if model.kind == "decay" and not wanders and _stands_alone(scene.residual, model.number * length):
            # The first average stands one block after the start.
            start = float(np.ptp(model.values)) * np.exp(1 / model.number)
            settled = settled or _Settling(start * np.sign(model.values[0]), model.number * length)
        elif wanders or (
            model.kind != "decay" and not scene.is_distortion(model.number) and 2 * model.number < min(scene.tones)
        ):
            found.append(_describe(scene, thinned, model, slow_energy))
        values = values - model.values
    slow = thinned.values - values if settled is None else np.zeros_like(values)
    settled = _find_start(scene, thinned, slow, (noise[0] * length, _MISMATCH * first * length)) or settled
    if settled is not None:
        found.append(_describe_settling(scene, settled, float(np.sqrt(noise[0] * length))))
    return sorted(found, key=lambda one: -one.power)


def _choose_model(thinned: Thinned, values: Doubles, noise: tuple[float, float]) -> _Model:
    """The model that explains most of the averages (points,), its parameters held against it."""
    shares, points = project_trends(values, 2), values.size
    line, bend = (
        _Model("drift", float(some @ some), some.size - 1, draw_trend(points, some))
        for some in (np.array([0.0, shares[1]]), np.array([0.0, *shares[1:]]))
    )
    wave = fit_slow_sine(thinned, values, 0)
    if is_beyond_chance(wave.energy, noise, 2, CHANCE):
        wave = refine_sine(thinned, values, 0, wave)
    sine = _Model("sine", wave.energy, 2, wave.values, wave.cycles)
    if wave.cycles < _SLOWEST_LINE and bend.energy > _ALIKE * wave.energy:
        sine = bend
    extra = {"sine": 1, "decay": 1}  # the frequency, the time constant
    return max(
        (line, bend, sine, _fit_decay(values, 0)),
        key=lambda model: (
            model.energy / max(noise[0], 1e-300) - np.log(points) * (model.parameters + extra.get(model.kind, 0))
        ),
    )


def _fit_decay(values: Doubles, trend: int) -> _Model:
    """The exponential that explains most of averages (points,) beside a polynomial of degree `trend`."""
    constants, bases = _list_decays(values.size, trend)
    shares = bases @ values
    best = int(np.argmax(np.abs(shares)))
    return _Model("decay", float(shares[best] ** 2), 1, shares[best] * bases[best], float(constants[best]))


@lru_cache(maxsize=8)
def _list_decays(points: int, trend: int) -> tuple[Doubles, Doubles]:
    """Time constants (trials,) in points and what their exponentials add to a polynomial, of unit energy,
    (trials, points).
    """
    constants = np.geomspace(_SHORTEST_DECAY, _LONGEST_DECAY * points, _DECAYS)
    shapes = np.exp(-np.arange(points) / constants[:, np.newaxis])
    for place, shape in enumerate(shapes):
        rest = shape - draw_trend(points, project_trends(shape, trend))
        shapes[place] = rest / np.linalg.norm(rest)
    return constants, shapes


def _find_start(scene: Scene, thinned: Thinned, slow: Doubles, least: tuple[float, float]) -> _Settling | None:
    """The strongest exponential in ever shorter beginnings of the record, less its slow content (points,) as found.

    `least` is the noise power of one sample and the energy that a mismatch of the slow content could leave.
    """
    best, strongest, size = None, 0.0, scene.residual.size
    length = size // _SHORTENED
    while length >= _SHORTEST_HEAD:
        head = thin_head(scene.residual[:length])
        times, block = head.times * length / size, head.step * length
        lead = slow[0] + (slow[1] - slow[0]) * (times - thinned.times[0]) / thinned.step
        known = np.where(times < thinned.times[0], lead, np.interp(times, thinned.times, slow))
        values = head.values - known
        model = _fit_decay(values, 2)
        quiet = values[values.size // 2 :]
        noise = max(least[0] / block, remove_trend_power(quiet, 2) / WHITE)
        energy = model.energy * block
        beyond = is_beyond_chance(model.energy, (noise, quiet.size / 2), 1, CHANCE)
        found = beyond and energy > max(least[1], strongest) and model.number * block < length / 3
        if found and _stands_alone(scene.residual, model.number * block):
            best, strongest = _measure_start(values, model.number, head, block), energy
        length //= _SHORTENED
    return best


def _stands_alone(residual: Doubles, constant: float) -> bool:
    """Whether no other stretch of the residual (samples,) begins like an exponential of this time constant as much as
    the record does: lines do so anywhere.
    """
    length = max(int(_STRETCH * constant), _SHORTEST_STRETCH)
    offsets = np.linspace(length, residual.size - length, _STRETCHES).astype(np.intp)
    if residual.size < 3 * length:
        return True
    energies = []
    for offset in (0, *offsets):
        part = thin_head(residual[offset : offset + length])
        shape = np.exp(-np.arange(part.values.size) * part.step * length / constant)
        shape -= draw_trend(shape.size, project_trends(shape, 2))
        energies.append(float(shape @ part.values) ** 2)
    return energies[0] > _ALONE * max(energies[1:])


def _measure_start(values: Doubles, constant: float, head: Thinned, block: float) -> _Settling:
    """The exponential of a time constant in points beside a parabola, back at the first sample."""
    points = np.arange(values.size)
    shapes = np.vander(points / values.size, 3)
    share = np.linalg.lstsq(np.column_stack([np.exp(-points / constant), shapes]), values, rcond=None)[0][0]
    rate = 1 / constant
    raised = np.sinh(rate) / (rate * (1 + (rate / np.pi) ** 2))  # by the average over a Hann block
    return _Settling(float(share * np.exp(head.times[0] / head.step * rate) / raised), constant * block)


def _describe(scene: Scene, thinned: Thinned, model: _Model, slow_energy: float) -> Disturbance:
    """A drift or a slow line, with the bin of its largest line."""
    values = model.values
    pure = model.kind == "sine" and model.energy > _PURE * slow_energy
    bins = sorted({1, 2, int(model.number), int(model.number) + 1} - {0}) if model.kind == "sine" else [1, 2]
    place = max(bins, key=thinned.rank_line)
    response = thinned.respond(model.number) if pure else 1.0
    # Averages end half a block inside the record, where a line and a parabola are that much smaller.
    ends = (1 - thinned.step) ** (-2 * model.parameters) if model.kind == "drift" else 1.0
    power = model.energy / values.size * ends
    return Disturbance(
        kind="line" if pure else "drift",
        cycles=model.number if pure else 0.0,
        size=float(
            np.sqrt(2 * power) / response if pure else np.ptp(values) / (1 - 2 * thinned.step) ** model.parameters
        ),
        place=place,
        height=measure_line(scene.residual, place),
        power=power / response**2,
        unseen=scene.hide(values) * ends,
    )


def _describe_settling(scene: Scene, settled: _Settling, noise: float) -> Disturbance:
    """A start transient; it ends where it is below the rms noise of a sample."""
    size, constant = scene.residual.size, settled.time_constant
    heights = [measure_line(scene.residual, place) for place in (1, 2)]
    place, power = int(np.argmax(heights)), settled.energy / size
    until = constant * np.log(max(abs(settled.start) / max(noise, 1e-300), 1.0))
    return Disturbance(
        kind="settling",
        cycles=0.0,
        size=settled.start,
        place=1 + place,
        height=heights[place],
        power=power,
        unseen=0.0 if scene.window is None else power,
        time_constant=constant,
        until=min(int(np.ceil(until)), size),
    )
