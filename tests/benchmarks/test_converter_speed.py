"""How long does a captured record of 2^20 samples take? Linearity in milliseconds, the spectrum's figures beside
numpy's rfft in the same run, the doctor's beside the spectrum's.

Ratios are of processor time, which a busy machine lengthens less than the time that passes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qanalysis.converters.doctor import examine_record
from qanalysis.converters.linearity.linearity import measure_linearity
from qanalysis.converters.records.reading import Reading
from qanalysis.converters.records.records import read_record
from qanalysis.converters.spectrum.spectrum import analyze_spectrum

SAMPLES = 2**20
LINEARITY_MS = 30
MOST_TIMES_RFFT = {"coherent": 3.5, "not coherent": 5.5}
MOST_TIMES_SPECTRUM = 0.85  # of the doctor, where no noise could hide a break of 0.5 %
CYCLES = {"coherent": 129_937, "not coherent": 129_937.37}


def time_best(run: Callable[[], object], *, rounds: int = 7, clock: Callable[[], float] = time.perf_counter) -> float:
    """Shortest of some runs in milliseconds: what the work takes when nothing else runs."""
    times = []
    for _ in range(rounds):
        began = clock()
        run()
        times.append((clock() - began) * 1e3)
    return min(times)


def time_in_turns(*runs: Callable[[], object]) -> list[float]:
    """Least processor time of each of some runs in milliseconds; in turns, so that a busy machine is busy for all."""
    rounds = [[time_best(run, rounds=1, clock=time.process_time) for run in runs] for _ in range(11)]
    return [min(times) for times in zip(*rounds, strict=True)]


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("test", ["ramp", "sine"])
def test_linearity_of_a_million_samples_takes_less_than_30_ms(
    test: str, bits: int, capsys: pytest.CaptureFixture[str]
) -> None:
    codes, phase = 2**bits, 2 * np.pi * 1021 * np.arange(SAMPLES) / SAMPLES
    x = np.linspace(0, codes, SAMPLES) if test == "ramp" else codes / 2 * (1 + 1.02 * np.sin(phase))
    record = np.clip(np.floor(x), 0, codes - 1).astype(np.int64)
    took = time_best(lambda: measure_linearity(record, bits=bits, test=test))
    with capsys.disabled():
        print(f"\nlinearity, {test}, {bits} bits, 2^20 samples: {took:.1f} ms")
    assert took < LINEARITY_MS


@pytest.mark.parametrize("record", CYCLES)
@pytest.mark.parametrize("bits", [12, 16])
def test_all_figures_of_a_spectrum_cost_a_few_ffts(record: str, bits: int, capsys: pytest.CaptureFixture[str]) -> None:
    angle = 2 * np.pi * CYCLES[record] / SAMPLES * np.arange(SAMPLES)
    values = np.rint((2 ** (bits - 1) - 1) * np.sin(angle))
    # The first call fills the cache of windows and loads the libraries.
    assert analyze_spectrum(values, bits=bits).coherent is (record == "coherent")
    ours, fft = time_in_turns(lambda: analyze_spectrum(values, bits=bits), lambda: np.fft.rfft(values))
    with capsys.disabled():
        print(f"\n{bits} bit, {record:12s} {ours:6.1f} ms, rfft {fft:5.1f} ms: {ours / fft:4.2f} times")
    assert ours <= MOST_TIMES_RFFT[record] * fft


@pytest.mark.parametrize(
    ("bits", "noise"), [(8, 0.3), (12, 0.0), (12, 0.3), (12, 2.0), (16, 0.0), (16, 0.3), (16, 2.0)]
)
def test_the_doctor_takes_less_than_the_spectrum(
    bits: int, noise: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    angle = 2 * np.pi * CYCLES["coherent"] / SAMPLES * np.arange(SAMPLES)
    drawn = np.random.default_rng(1).standard_normal(SAMPLES)
    codes = np.rint(0.98 * (2 ** (bits - 1) - 1) * np.sin(angle) + noise * drawn)
    np.save(tmp_path / "record.npy", codes.astype(np.int16))
    record = read_record(tmp_path / "record.npy", Reading(bits=bits))
    spectrum = analyze_spectrum(record.values, bits=bits)
    assert examine_record(record, spectrum) == ()
    doctor, figures = time_in_turns(
        lambda: examine_record(record, spectrum), lambda: analyze_spectrum(record.values, bits=bits)
    )
    with capsys.disabled():
        times = f"doctor {doctor:.1f} ms, spectrum {figures:.1f} ms"
        print(f"\n{bits} bit, noise {noise} LSB: {times}: {doctor / figures:.2f} times")
    assert doctor <= MOST_TIMES_SPECTRUM * figures
