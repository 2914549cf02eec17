"""Which records can be opened without a file, as `sample:NAME`?

Captures made by the simulator, each with something to find in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanalysis.converters.converter import Converter
from qanalysis.converters.linearity.inl import STRAIGHT, Inl
from qanalysis.converters.simulation.simulate import Simulation
from qanalysis.converters.simulation.waveforms import Ramp, Sine, TwoTone
from qanalysis.notation import quote

RATE_HZ = 1e6
DEFAULT_RECORD = "tone between bins, 12 bit"


@dataclass(frozen=True, slots=True)
class SampleRecord:
    """A record by its simulation; `shift` moves the codes left in their words, `stuck` bits are always set.

    Simulated anew whenever `words` is asked for, with the same draw every time.
    """

    simulation: Simulation
    shift: int = 0
    stuck: int = 0

    @property
    def words(self) -> NDArray[np.int64]:
        """What the file holds, (samples,)."""
        return (self.simulation.run().codes | self.stuck) << self.shift


def _sine(
    bits: int, cycles: float, *, samples: int = 16384, level: float = 0.98, noise_lsb: float = 0.0, inl: Inl = STRAIGHT
) -> Simulation:
    waveform = Sine(level, cycles * RATE_HZ / samples)
    return Simulation(Converter(bits, -1, 1), waveform, samples=samples, fs_hz=RATE_HZ, noise_lsb=noise_lsb, inl=inl)


def _list_samples() -> dict[str, SampleRecord]:
    """The samples by their names, in the order in which pages list them."""
    bent = Inl("bow", 1.5)
    two = TwoTone(0.45, 1009 * RATE_HZ / 16384, 1201 * RATE_HZ / 16384)
    ramp = Simulation(Converter(8, -1, 1), Ramp(-1.01, 1.01), samples=16384, fs_hz=RATE_HZ, inl=Inl("saw-tooth", 1.2))
    return {
        DEFAULT_RECORD: SampleRecord(_sine(12, 1021.37, noise_lsb=0.3)),
        "coherent tone with distortion, 12 bit": SampleRecord(_sine(12, 1021, noise_lsb=0.3, inl=bent)),
        "locked period, 12 bit": SampleRecord(_sine(12, 1024)),
        "clipped tone, 8 bit": SampleRecord(_sine(8, 1021, level=1.1)),
        "left-justified words, 12 bit": SampleRecord(_sine(12, 1021, noise_lsb=0.3), shift=4),
        "stuck bit, 10 bit": SampleRecord(_sine(10, 1021, noise_lsb=0.3), stuck=8),
        "two tones, 14 bit": SampleRecord(
            Simulation(Converter(14, -1, 1), two, samples=16384, fs_hz=RATE_HZ, noise_lsb=0.5)
        ),
        "ramp for a linearity test, 8 bit": SampleRecord(ramp),
        "sine for a linearity test, 10 bit": SampleRecord(
            _sine(10, 1021.37, samples=2**17, level=1.03, noise_lsb=0.3, inl=Inl("s-shape", 0.8))
        ),
    }


SAMPLE_RECORDS = _list_samples()


def write_sample(name: str) -> bytes:
    """A sample as a CSV file of times and codes; ValueError for an unknown name lists them all."""
    if name not in SAMPLE_RECORDS:
        raise ValueError(f"there is no sample record {quote(name)}; the samples are {'; '.join(SAMPLE_RECORDS)}")
    words = SAMPLE_RECORDS[name].words
    lines = (f"{place},{word}" for place, word in enumerate(words.tolist()))
    return ("time (us),code\n" + "\n".join(lines) + "\n").encode()
