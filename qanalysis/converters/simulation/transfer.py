"""What does the converter look like? Staircase and error saw-tooth as data, ready to draw."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Doubles
from qanalysis.converters.linearity.inl import STRAIGHT
from qanalysis.converters.simulation.simulate import Simulation

MOST_STEPS = 1024


@dataclass(frozen=True, slots=True, eq=False)
class TransferCurve:
    """Corners of the staircase: input x, level and error at each, (points,), in the unit of the range;
    draw with straight lines.

    The ideal line is values = x; `bound` is the ideal |e|, LSB/2 (floor: LSB). `steps` are in the window; where
    `complete` is false they are too many to see, and the corners are the lowest and highest error of every stretch of
    them.
    """

    x: Doubles
    values: Doubles
    bound: float
    lsb: float
    steps: int
    complete: bool

    @property
    def errors(self) -> Doubles:
        """The saw-tooth: values - x."""
        return self.values - self.x


def trace_transfer(
    simulation: Simulation, *, low: float | None = None, high: float | None = None, most_steps: int = MOST_STEPS
) -> TransferCurve:
    """Staircase of a simulated converter over `low`..`high` (default: its range),
    with its offset, gain and INL, without its noise.

    ValueError unless low < high and `most_steps` is 2 or more.

    >>> from qanalysis.converters.converter import Converter
    >>> from qanalysis.converters.simulation.waveforms import Dc
    >>> curve = trace_transfer(Simulation(Converter(1, 0, 2), Dc(0)))
    >>> curve.x.tolist(), curve.errors.tolist()
    ([0.0, 0.5, 0.5, 2.0], [0.0, -0.5, 0.5, -1.0])
    """
    converter = simulation.converter
    low, high = (converter.low if low is None else low), (converter.high if high is None else high)
    if not (low < high and most_steps >= 2):
        raise ValueError(
            f"window {low}:{high} with {most_steps} steps: needs two numbers, the lower one first, and 2 steps at least"
        )
    first, last = _find_code(simulation, low), _find_code(simulation, high)
    steps = last - first
    entered = np.unique(np.linspace(first + 1, last, min(steps, 64 * most_steps)).round().astype(np.int64))
    edges = simulation.locate_transitions(entered)
    x = np.concatenate([[low], np.repeat(edges, 2), [high]])
    codes = np.concatenate([[first], np.stack([entered - 1, entered], axis=1).ravel(), [last]])
    values = converter.decode(codes)
    kept = np.arange(x.size) if steps <= most_steps else _keep_extremes(values - x, most_steps)
    return TransferCurve(x[kept], values[kept], converter.error_bound, converter.lsb, steps, steps <= most_steps)


def _find_code(simulation: Simulation, x: float) -> int:
    """The code at input x without any noise, by halving: INL included, and no list of 2^n transitions."""
    converter = simulation.converter
    guess = int(
        converter.encode(
            replace(simulation, samples=1, noise_lsb=0.0, jitter_s=0.0, inl=STRAIGHT).disturb(np.array([x]))
        )[0]
    )
    reach = math.ceil(abs(simulation.inl.peak_lsb)) + 2
    near = np.arange(max(1, guess - reach), min(converter.codes, guess + reach + 1))
    return int(near[0] - 1 + np.count_nonzero(simulation.locate_transitions(near) <= x))


def _keep_extremes(errors: Doubles, most_steps: int) -> NDArray[np.int64]:
    bounds = np.linspace(0, errors.size, most_steps // 2 + 1).astype(np.int64)
    parts = [(start, errors[start:stop]) for start, stop in pairwise(bounds.tolist())]
    return np.unique([[start + int(part.argmin()), start + int(part.argmax())] for start, part in parts])
