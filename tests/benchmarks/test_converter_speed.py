"""How long does a captured record of 2^20 samples take? Linearity in milliseconds, the spectrum's figures beside numpy's rfft in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from qanalysis.converters.linearity.linearity import measure_linearity
from qanalysis.converters.spectrum.spectrum import analyze_spectrum

SAMPLES = 2**20
LINEARITY_MS = 30
MOST_TIMES_RFFT = {"coherent": 4, "not coherent": 8}
CYCLES = {"coherent": 129_937, "not coherent": 129_937.37}


def time_best(run: Callable[[], object], *, rounds: int = 7) -> float:
    """Shortest of some runs in milliseconds: what the work takes when nothing else runs."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        run()
        times.append((time.perf_counter() - began) * 1e3)
    return min(times)


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
    # In turns, so that a busy machine is busy for both.
    pairs = [
        (
            time_best(lambda: analyze_spectrum(values, bits=bits), rounds=1),
            time_best(lambda: np.fft.rfft(values), rounds=1),
        )
        for _ in range(11)
    ]
    ours, fft = (min(times) for times in zip(*pairs, strict=True))
    with capsys.disabled():
        print(f"\n{bits} bit, {record:12s} {ours:6.1f} ms, rfft {fft:5.1f} ms: {ours / fft:4.2f} times")
    assert ours <= MOST_TIMES_RFFT[record] * fft
