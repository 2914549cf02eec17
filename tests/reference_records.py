"""Made records, sound ones of many kinds and ones that break at a known sample; numpy only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from qanalysis.converters.records.records import Record
from qanalysis.results.identity import SourceIdentity

Rng = np.random.Generator
Codes = NDArray[np.int64]
MADE = SourceIdentity("made", 0, None)


def keep_codes(codes: Codes, bits: int, *, signed: bool = True) -> Record:
    """A record of codes as a reader hands it on."""
    low = -(1 << bits - 1) if signed else 0
    return Record(codes.astype(float), codes, bits, "right", signed, low, float(low + (1 << bits)), 1.0, MADE, ())


def round_codes(wave: NDArray[np.float64], bits: int) -> Codes:
    """Two's complement codes of a wave in LSB, saturating."""
    half = 1 << bits - 1
    return np.clip(np.rint(wave), -half, half - 1).astype(np.int64)


def turn(cycles: float, samples: int, phase: float = 0.0) -> NDArray[np.float64]:
    """The phase of a tone at each sample, rad."""
    return 2 * np.pi * cycles * np.arange(samples) / samples + phase


def _drift(tone: NDArray[np.float64], rng: Rng) -> NDArray[np.float64]:
    return 0.9 * tone + rng.uniform(-0.1, 0.1) * np.linspace(0, 1, tone.size) ** rng.choice([0.5, 1, 2])


def _settle(tone: NDArray[np.float64], rng: Rng) -> NDArray[np.float64]:
    fade = np.exp(-np.arange(tone.size) / rng.uniform(5, 200))
    return 0.6 * tone * (1 + rng.choice([0, 0.3]) * fade) + rng.choice([0, 0.3]) * fade


def _modulate(tone: NDArray[np.float64], rng: Rng) -> NDArray[np.float64]:
    slow = np.cos(turn(rng.uniform(0.3, 40), tone.size, rng.uniform(0, 6)))
    return tone * (1 + rng.choice([1e-3, 1e-2, 0.1, 0.5]) * slow) / 1.6


def _distort(tone: NDArray[np.float64], rng: Rng) -> NDArray[np.float64]:
    return 0.9 * tone + sum(10 ** -rng.uniform(1.6, 4.5) * tone**order for order in range(2, 6))


# Of a tone of amplitude 1 to a wave of at most 1.
SHAPES: dict[str, Callable[[NDArray[np.float64], Rng], NDArray[np.float64]]] = {
    "tone": lambda tone, rng: tone,
    "harmonics": _distort,
    "two-tones": lambda tone, rng: (tone + np.sin(turn(rng.uniform(3, tone.size / 2.1), tone.size))) / 2,
    "hum": lambda tone, rng: 0.9 * tone + 10 ** -rng.uniform(1, 3) * np.sin(turn(rng.uniform(0.3, 5), tone.size)),
    "drift": _drift,
    "amplitude-modulation": _modulate,
    "settling": _settle,
    "overdriven": lambda tone, rng: 1.02 / rng.uniform(0.05, 0.98) * tone,
    "gaussian": lambda tone, rng: rng.normal(0, 0.2, tone.size),
    "dc": lambda tone, rng: np.zeros(tone.size),
    "ramp": lambda tone, rng: np.linspace(-1, 1, tone.size),
    "triangle": lambda tone, rng: 2 / np.pi * np.arcsin(np.sin(turn(rng.uniform(2, tone.size / 8), tone.size))),
    "square": lambda tone, rng: np.where(turn(rng.uniform(2, tone.size / 8), tone.size) % 6.2832 < 3, 0.9, -0.9),
    "jitter": lambda tone, rng: (
        tone + 10 ** -rng.uniform(1.5, 4) * rng.standard_normal(tone.size) * np.sqrt(1 - tone**2)
    ),
}


def make_sound(shape: str, seed: int) -> tuple[Codes, int]:
    """Codes and width of a sound record: 256..8192 samples, 8 to 24 bits, noise of 0 to 10 LSB."""
    rng = np.random.default_rng([len(shape), seed])
    samples, bits = int(rng.choice([256, 1000, 4096, 8192])), int(rng.choice([8, 10, 12, 14, 16, 20, 24]))
    noise = float(rng.choice([0, 0.3, 1] if bits < 10 else [0, 0.3, 1, 3, 10]))
    cycles = rng.uniform(3, samples * 0.49) if seed % 2 else int(rng.integers(3, samples // 2 - 2))
    tone = np.sin(turn(float(cycles), samples, rng.uniform(0, 6.28)))
    wave = rng.uniform(0.05, 0.98) * 2.0 ** (bits - 1) * SHAPES[shape](tone, rng)
    return round_codes(wave + rng.uniform(-0.5, 0.5) + rng.normal(0, 1, samples) * noise, bits), bits


class Broken:
    """A tone of 8 to 16 bits, 0.01 to 0.49 of the rate and 0 or 0.5 LSB of noise that breaks at `place`."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = np.random.default_rng([11, seed])
        self.samples, self.bits = int(rng.choice([1024, 4096, 8192])), int(rng.choice([8, 10, 12, 14, 16]))
        self.place = int(rng.integers(self.samples // 8, self.samples // 2))
        self.frequency = rng.uniform(0.01, 0.49)
        self._size, self._phase = rng.uniform(0.4, 0.97) * 2 ** (self.bits - 1), rng.uniform(0, 6.28)
        self._noise = rng.normal(0, float(rng.choice([0, 0.5])), self.samples)
        self.times = np.arange(self.samples, dtype=float)
        self.later = self.times >= self.place

    def take(
        self,
        times: NDArray[np.float64] | None = None,
        *,
        phase: NDArray[np.float64] | float = 0.0,
        gain: NDArray[np.float64] | float = 1.0,
        offset: NDArray[np.float64] | float = 0.0,
    ) -> Codes:
        """The codes of the tone at `times`, in samples; `offset` as a share of the amplitude."""
        times = self.times if times is None else times
        wave = gain * np.sin(2 * np.pi * self.frequency * times + self._phase + phase) + offset
        return round_codes(self._size * wave + self._noise, self.bits)
