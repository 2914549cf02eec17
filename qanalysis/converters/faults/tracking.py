"""Where does the tone of a record stand, stretch by stretch? Phasors of short windows, by least squares.

A window of M samples from i is fitted by Re a exp(j w t) + c with time counted from the start of the record, so that
an unbroken tone has the same phasor a everywhere. The sums over all windows come from two running sums, the equations
of each from closed forms of exp(j w t) and exp(2 j w t).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from qanalysis.arrays import Codes, Doubles, Phasors

_SHORTEST = 32
_TURNS = 2  # periods in a window, which part tone, image and offset
_LEAST_TURNS = 0.4  # periods of the slowest of these in a window that still part them
_MOST_WINDOWS = 6
_ROUNDS = 3
_SETTLED = 0.05  # of the deviation of a window's phase
_FINEST = 2**12  # windows in a record
_STRETCHES = 16
_FEWEST_PAIRS = 4


@dataclass(frozen=True, slots=True, eq=False)
class ToneTrack:
    """A tone of angular frequency `omega` (rad per sample) in `values` (samples,), seen through windows of `length`.

    `turned` and `running` (samples + 1,) are running sums of values times exp(-j omega t) and of values;
    `omega_error` is the frequency's standard deviation.
    """

    values: Doubles
    omega: float
    length: int
    turned: Phasors
    running: Doubles
    omega_error: float = 0.0

    def fit(self, starts: Codes, length: int | None = None) -> tuple[Phasors, Doubles]:
        """Phasors (windows,) and offsets (windows,) of the windows that begin at `starts` (windows,)."""
        length = length or self.length
        tone = self.turned[starts + length] - self.turned[starts]
        total = self.running[starts + length] - self.running[starts]
        once, twice = _sum_turns(self.omega, starts, length), _sum_turns(2 * self.omega, starts, length)
        gram = np.empty((starts.size, 3, 3))
        gram[:, 0, 0], gram[:, 1, 1] = (length + twice.real) / 2, (length - twice.real) / 2
        gram[:, 0, 1] = gram[:, 1, 0] = -twice.imag / 2
        gram[:, 0, 2] = gram[:, 2, 0] = once.real
        gram[:, 1, 2] = gram[:, 2, 1] = -once.imag
        gram[:, 2, 2] = length
        # Re a exp(jwt) = a' cos wt - a'' sin wt; once and twice are sums of exp(-j w t).
        wanted = np.stack([tone.real, -tone.imag, total], axis=1)
        answer = np.linalg.solve(gram, wanted[:, :, np.newaxis])[:, :, 0]
        phasors: Phasors = answer[:, 0] - 1j * answer[:, 1]
        return phasors, np.asarray(answer[:, 2], np.float64)

    def draw(self, phasor: complex, offset: float, start: int, stop: int) -> Doubles:
        """The fitted tone at the samples start..stop - 1."""
        drawn: Doubles = (phasor * np.exp(1j * self.omega * start) * _turn(-self.omega, stop - start)).real + offset
        return drawn


def track_tone(values: Doubles, omega: float, turns: int = _TURNS) -> ToneTrack | None:
    """Follow the tone near angular frequency `omega`, 0 < omega < pi, of `values` (samples,), whose mean is small.

    The frequency is mended by the median of the phase steps from window to window, which a few breaks do not move.
    None where the record holds too few periods, or the tone stands too close to half the rate to be told from its
    image.
    """
    track = None
    for _ in range(_ROUNDS):
        length = _choose_length(values.size, omega, turns)
        if length is None:
            return None
        track = _start_track(values, omega, length)
        phasors, _ = track.fit(np.arange(0, values.size - length + 1, length))
        steps = np.angle(phasors[1:] * phasors[:-1].conj())
        step = float(np.median(steps))
        spread = 1.4826 * float(np.median(np.abs(steps - step)))
        # A median of K scatters by sqrt(pi/2/K) of the deviation.
        track = replace(track, omega_error=1.2533 * spread / math.sqrt(steps.size) / length)
        if abs(step) <= _SETTLED * spread + 1e-9:
            break
        omega += step / length
        if not 0 < omega < np.pi:
            return None
    return track


def tune_between(track: ToneTrack, places: list[int]) -> ToneTrack:
    """The track with the frequency of the pairs of windows that hold no break; `places` are where it breaks."""
    length = track.length
    for _ in range(_ROUNDS):
        starts = np.arange(0, track.values.size - 2 * length + 1, max(1, length // 4))
        for place in places:
            starts = starts[(starts >= place) | (starts + 2 * length <= place)]
        if starts.size < _FEWEST_PAIRS:
            return track
        before, after = track.fit(starts)[0], track.fit(starts + length)[0]
        steps = np.angle(after * before.conj())
        step = float(np.median(steps))
        spread = 1.4826 * float(np.median(np.abs(steps - step)))
        # Four pairs in a row share samples.
        error = 1.2533 * spread / math.sqrt(max(starts.size / 4, 1)) / length
        if abs(step) <= _SETTLED * spread + 1e-9:
            break
        track = replace(_start_track(track.values, track.omega + step / length, length), omega_error=error)
    return track


def measure_rest(track: ToneTrack) -> float:
    """The usual rms of a window about its own tone, by the median over sixteen."""
    starts = np.linspace(0, track.values.size - track.length, _STRETCHES).astype(np.int64)
    phasors, offsets = track.fit(starts)
    rests = [
        float(np.std(track.values[start : start + track.length] - track.draw(a, c, start, start + track.length)))
        for start, a, c in zip(starts.tolist(), phasors, offsets, strict=True)
    ]
    return float(np.median(rests))


def _start_track(values: Doubles, omega: float, length: int) -> ToneTrack:
    turned, running = np.zeros(values.size + 1, np.complex128), np.zeros(values.size + 1)
    np.cumsum(_turn(omega, values.size) * values, out=turned[1:])
    np.cumsum(values, out=running[1:])
    return ToneTrack(values, omega, length, turned, running)


def _turn(omega: float, samples: int) -> Phasors:
    """exp(-j omega t), t = 0 .. samples - 1, each the product of one of a row and one of a column."""
    columns = 1 << max(samples.bit_length() // 2, 1)
    rows = -(-samples // columns)
    turns = np.multiply.outer(np.exp(-1j * omega * columns * np.arange(rows)), np.exp(-1j * omega * np.arange(columns)))
    flat: Phasors = turns.ravel()
    return flat[:samples]


def _choose_length(samples: int, omega: float, turns: int) -> int | None:
    """A window of some whole periods of the tone and of its image, at most a sixth of the record."""
    slowest = 2 * np.pi / min(omega, np.pi - omega)
    least = max(_SHORTEST, round(turns * slowest), samples // _FINEST)
    if least > samples // _MOST_WINDOWS:
        least = samples // _MOST_WINDOWS
        return least if least >= max(_LEAST_TURNS * slowest, _SHORTEST // 4) else None
    most = 2 * least if turns > 1 else least + math.ceil(slowest)
    lengths = np.arange(least, min(most, samples // _MOST_WINDOWS) + 1)
    leaks = np.abs(np.sin(omega * lengths / 2) / np.sin(omega / 2)) + np.abs(np.sin(omega * lengths) / np.sin(omega))
    return int(lengths[np.argmin(leaks)])


def _sum_turns(omega: float, starts: Codes, length: int) -> Phasors:
    """The sums of exp(-j omega t) over windows of `length` samples."""
    half = omega / 2
    factor = np.sin(half * length) / np.sin(half) if abs(np.sin(half)) > 1e-12 else float(length)
    sums: Phasors = factor * np.exp(-1j * omega * (starts + (length - 1) / 2))
    return sums
