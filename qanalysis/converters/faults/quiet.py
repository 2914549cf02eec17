"""Is what the sine fit leaves of a record so small everywhere that no sample and no stretch of it can be out of place?

Single samples count as wrong from eight deviations or three steps on. A tone counts as broken, and as saturated, from
0.4 % of its amplitude on: half of that at least is left on one side of a break, whatever sine is fitted, and the mean
over a window shows it below the noise of single samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.converters.faults.sparkles import FEWEST, LIMIT_STEPS, OUTLYING, foretell_spread
from qanalysis.converters.spectrum.sinefit import SineFit, leave_tone

_ROOM = 0.75  # of the least error of a wrong sample, for noise on top of it
_LEAST = 0.0015  # of the amplitude: a quarter turn between samples shows 0.7 of a half of 0.5 %
_WINDOWS, _END = 2**12, 64  # windows in a record, samples of the least one
_AT_ONCE = 1 << 17  # numbers in a product: too few to be shared with another core, which may be busy


@dataclass(frozen=True, slots=True)
class Quiet:
    """Whether no sample and no break (`sound`), and no bend either (`straight`), can be in a record."""

    sound: bool
    straight: bool


def judge_rest(values: Doubles, fit: SineFit, step: float) -> Quiet:
    """What can not be in `values` (samples,) beside the tone of `fit`, in their unit; `step` is the LSB, 0 without one.

    Neither is certain for fewer than 64 samples.
    """
    if values.size < FEWEST:
        return Quiet(sound=False, straight=False)
    rest = leave_tone(values, fit)
    peak, least = max(float(rest.max()), -float(rest.min())), _LEAST * fit.amplitude
    if peak > _ROOM * max(LIMIT_STEPS * step, OUTLYING * foretell_spread(values, step)):
        return Quiet(sound=False, straight=False)
    straight = peak <= least
    return Quiet(sound=straight or _measure_windows(rest, fit) <= least, straight=straight)


def _measure_windows(rest: Doubles, fit: SineFit) -> float:
    """The largest tone, or offset, that a window of `rest` (samples,) has at the frequency of the fit."""
    length = max(_END, rest.size // _WINDOWS)
    rows = rest[: rest.size // length * length].reshape(-1, length)
    turns = np.exp(-2j * np.pi * fit.cycles / fit.samples * np.arange(length))
    table = np.column_stack([2 * turns.real, 2 * turns.imag, np.ones(length)])
    step = max(_AT_ONCE // table.size, 1)
    parts = [rows[start : start + step] @ table / length for start in range(0, len(rows), step)]
    parts += [end[np.newaxis] @ table[:_END] / _END for end in (rest[:_END], rest[-_END:])]
    return max(float(np.hypot(np.hypot(part[:, 0], part[:, 1]), part[:, 2]).max()) for part in parts)
