"""What does the converter look like? Staircase and error saw-tooth, histogram of codes, histogram of errors: data, ready to draw."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Doubles
from qanalysis.converters.linearity.inl import STRAIGHT
from qanalysis.converters.simulation.simulate import Capture, Simulation

MOST_STEPS = 1024


@dataclass(frozen=True, slots=True, eq=False)
class TransferCurve:
    """Corners of the staircase: input x, level and error at each, (points,), in the unit of the range; draw with straight lines.

    The ideal line is values = x; `bound` is the ideal |e|, LSB/2 (floor: LSB). `steps` are in the window; where `complete` is false
    they are too many to see, and the corners are the lowest and highest error of every stretch of them.
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


def trace_transfer(simulation: Simulation, *, low: float | None = None, high: float | None = None, most_steps: int = MOST_STEPS) -> TransferCurve:
    """Staircase of a simulated converter over `low`..`high` (default: its range), with its offset, gain and INL, without its noise.

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
        raise ValueError(f"window {low}:{high} with {most_steps} steps: needs two numbers, the lower one first, and 2 steps at least")
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
    guess = int(converter.encode(replace(simulation, samples=1, noise_lsb=0.0, jitter_s=0.0, inl=STRAIGHT).disturb(np.array([x])))[0])
    reach = math.ceil(abs(simulation.inl.peak_lsb)) + 2
    near = np.arange(max(1, guess - reach), min(converter.codes, guess + reach + 1))
    return int(near[0] - 1 + np.count_nonzero(simulation.locate_transitions(near) <= x))


def _keep_extremes(errors: Doubles, most_steps: int) -> NDArray[np.int64]:
    bounds = np.linspace(0, errors.size, most_steps // 2 + 1).astype(np.int64)
    parts = [(start, errors[start:stop]) for start, stop in pairwise(bounds.tolist())]
    return np.unique([[start + int(part.argmin()), start + int(part.argmax())] for start, part in parts])


@dataclass(frozen=True, slots=True, eq=False)
class CodeHistogram:
    """Counts of codes: bar i holds `width` codes from first + i width on."""

    first: int
    width: int
    counts: NDArray[np.int64]

    @property
    def starts(self) -> NDArray[np.int64]:
        """Lowest code of every bar."""
        return self.first + self.width * np.arange(self.counts.size)


def count_codes(capture: Capture, *, most_bars: int = 1024) -> CodeHistogram:
    """How often each code came, from the lowest to the highest seen; bars are wider than a code where there would be too many.

    >>> from qanalysis.converters.converter import Converter
    >>> from qanalysis.converters.simulation.waveforms import Ramp
    >>> count_codes(Simulation(Converter(2, 0, 4), Ramp(-0.5, 3.5), samples=400).run()).counts.tolist()
    [100, 100, 100, 100]
    """
    if most_bars < 1:
        raise ValueError(f"{most_bars} bars: needs one at least")
    first, last = int(capture.codes.min()), int(capture.codes.max())
    width = -(-(last - first + 1) // most_bars)
    return CodeHistogram(first, width, np.bincount((capture.codes - first) // width))


@dataclass(frozen=True, slots=True, eq=False)
class ErrorHistogram:
    """Density of the error in LSB (per LSB, area 1) in the bins between `edges_lsb`, and the model's: uniform over one LSB."""

    edges_lsb: Doubles
    density: Doubles
    uniform: Doubles


def histogram_errors(capture: Capture, *, bins: int = 64) -> ErrorHistogram:
    """The error of a record against the uniform density; bins span every error seen, and the ideal LSB with a margin of a quarter.

    >>> from qanalysis.converters.converter import Converter
    >>> from qanalysis.converters.simulation.waveforms import Ramp
    >>> fine = histogram_errors(Simulation(Converter(4, 0, 16), Ramp(0, 15), samples=15000).run(), bins=6)
    >>> fine.edges_lsb.tolist(), fine.uniform.round(3).tolist()
    ([-0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75], [0.0, 1.0, 1.0, 1.0, 1.0, 0.0])
    """
    if bins < 1:
        raise ValueError(f"{bins} bins: needs one at least")
    converter = capture.simulation.converter
    errors = capture.errors / converter.lsb
    top = 0.0 if converter.transfer == "floor" else 0.5
    low, high = min(float(errors.min()), top - 1.25), max(float(errors.max()), top + 0.25)
    density, edges = np.histogram(errors, bins=bins, range=(low, high), density=True)
    covered = np.clip(np.minimum(edges[1:], top) - np.maximum(edges[:-1], top - 1.0), 0.0, None)
    return ErrorHistogram(edges, density, covered / np.diff(edges))
