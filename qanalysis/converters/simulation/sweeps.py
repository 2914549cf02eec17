"""Where does the noise model start to hold?

Error against amplitude, SQNR against bits and against loading, the dithers side by side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qanalysis.arrays import Doubles
from qanalysis.converters.choices import DitherName, Signal, check_signal
from qanalysis.converters.linearity.inl import STRAIGHT
from qanalysis.converters.simulation.dither import DITHERS, find_dither
from qanalysis.converters.simulation.noise_model import gaussian_moments, sine_moments
from qanalysis.converters.simulation.simulate import MOST_INL_BITS, Simulation, band_power
from qanalysis.converters.simulation.waveforms import sample_phases
from qanalysis.decibels import level_db
from qanalysis.theory.lines import loaded_gaussian_sqnr_db, sine_sqnr_db
from qanalysis.theory.optimal_grids import optimal_uniform

LOADINGS = tuple(k / 10 for k in range(10, 81))


@dataclass(frozen=True, slots=True, eq=False)
class AmplitudeSweep:
    """Error against signal size on an endless grid, all (amplitudes,):
    measured on records, exact without dither, and by the model.

    `amplitudes_lsb` are peaks of a sine or deviations of a Gaussian. A correlation is NaN where the error is constant.
    """

    amplitudes_lsb: Doubles
    correlation: Doubles
    power_ratio: Doubles
    sqnr_db: Doubles
    exact_correlation: Doubles
    exact_power_ratio: Doubles
    exact_sqnr_db: Doubles
    model_sqnr_db: Doubles


def sweep_amplitude(
    amplitudes_lsb: ArrayLike,
    *,
    signal: Signal = "sine",
    dither: DitherName = "none",
    samples: int = 4096,
    cycles: int = 127,
    seed: int = 0,
) -> AmplitudeSweep:
    """Error power over q^2/12, corr(e, x) and SQNR for each size, on a mid-tread grid: about 0.2 ms per size.

    ValueError for sizes that are not above 0, and for an unknown word.

    >>> sweep = sweep_amplitude([0.3, 1.0])
    >>> sweep.correlation.round(5).tolist(), sweep.exact_correlation.round(3).tolist()
    ([-1.0, 0.28646], [-1.0, 0.287])
    """
    check_signal(signal)
    sizes = np.atleast_1d(np.asarray(amplitudes_lsb, np.float64))
    moments = [(sine_moments if signal == "sine" else gaussian_moments)(float(size)) for size in sizes]
    rng, kind = np.random.default_rng(seed), find_dither(dither)
    unit = sample_phases(samples, cycles)[0] if signal == "sine" else rng.standard_normal(samples)
    x = sizes[:, None] * unit
    added = kind.draw(rng, x.shape)
    errors = np.floor(x + added + 0.5) - x - (added if kind.subtracted else 0.0)
    power = np.mean(np.square(errors), axis=1)
    model = 6 * sizes**2 if signal == "sine" else 12 * sizes**2
    with np.errstate(divide="ignore"):
        sqnr = 10 * np.log10(np.mean(np.square(x), axis=1) / power)
    correlation, ratio, exact = np.array(
        [(moment.correlation, moment.power_ratio, moment.sqnr_db) for moment in moments]
    ).T
    return AmplitudeSweep(
        sizes, _correlate_rows(errors, x), 12 * power, sqnr, correlation, ratio, exact, 10 * np.log10(model)
    )


def _correlate_rows(e: Doubles, x: Doubles) -> Doubles:
    e, x = e - e.mean(axis=1, keepdims=True), x - x.mean(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return np.asarray((e * x).sum(axis=1) / np.sqrt(np.square(e).sum(axis=1) * np.square(x).sum(axis=1)))


@dataclass(frozen=True, slots=True, eq=False)
class BitsSweep:
    """SQNR of the simulated converter at each width, in the band that counts,
    beside 6.02 b + 1.76 at full scale; all (bits,).

    `level_db` is the input's power over that of a full-scale sine: the ideal line of this input lies that much higher.
    `saturated` counts samples beyond the end codes: a full-scale sine passes the top code of mid-tread by half a step,
    which costs 2 dB at 4 bits.
    """

    bits: NDArray[np.int64]
    sqnr_db: Doubles
    ideal_db: Doubles
    level_db: float
    saturated: NDArray[np.int64]


def sweep_bits(simulation: Simulation, *, bits: Sequence[int] = range(1, 17)) -> BitsSweep:
    """The same simulation at other widths; imperfections stay as many LSB as they were, so they shrink with the LSB.

    An INL is left out above 20 bits. NaN where there is no signal.
    """
    found, saturated = [], []
    for width in bits:
        inl = simulation.inl if width <= MOST_INL_BITS else STRAIGHT
        record = replace(simulation, converter=replace(simulation.converter, bits=width), inl=inl).run()
        found.append(math.nan if record.in_band_snr_db is None else record.in_band_snr_db)
        saturated.append(record.saturated)
    x = simulation.waveform.sample(simulation.samples, simulation.fs_hz)
    power = band_power(x - x.mean(), simulation.osr) if np.ptp(x) else 0.0
    level = level_db(2 * power, simulation.converter.amplitude**2)
    return BitsSweep(
        np.array(bits), np.array(found), np.array([sine_sqnr_db(width) for width in bits]), level, np.array(saturated)
    )


@dataclass(frozen=True, slots=True, eq=False)
class LoadingSweep:
    """A Gaussian on n bits that saturate at +-k sigma:
    SQNR against k (exact), the share beyond the ends, and the best k.
    """

    bits: int
    clip_sigmas: Doubles
    sqnr_db: Doubles
    beyond: Doubles
    best_clip_sigma: float
    best_sqnr_db: float
    best_step_sigma: float


def sweep_loading(bits: int, clip_sigmas: ArrayLike = LOADINGS) -> LoadingSweep:
    """Granular error falls with the step, overload grows with the tail:
    SQNR over the loading, for mid-rise steps, 1 to 16 bits.

    >>> sweep = sweep_loading(8, [2, 3, 4, 5])
    >>> sweep.sqnr_db.round(2).tolist(), round(sweep.best_clip_sigma, 3)
    ([19.27, 33.27, 40.55, 38.96], 3.938)
    """
    sigmas = np.atleast_1d(np.asarray(clip_sigmas, np.float64))
    best = optimal_uniform(bits, "gaussian")
    sqnr = np.array([loaded_gaussian_sqnr_db(bits, float(sigma)) for sigma in sigmas])
    beyond = np.array([math.erfc(sigma / math.sqrt(2)) for sigma in sigmas])
    return LoadingSweep(bits, sigmas, sqnr, beyond, best.clip_edge, best.sqnr_db, best.step)


@dataclass(frozen=True, slots=True, eq=False)
class DitherPanel:
    """Each dither on constant inputs across one LSB:
    mean error in LSB and mean squared error in LSB^2, by name, (positions,).
    """

    positions_lsb: Doubles
    mean_error_lsb: dict[str, Doubles]
    error_power_lsb2: dict[str, Doubles]


def sweep_dither(*, positions: int = 41, draws: int = 4096, seed: int = 0) -> DitherPanel:
    """What each dither does at every place between two codes (-1/2..1/2 LSB off a level), over `draws` of it.

    Without dither the mean error is the saw-tooth; RPDF makes it 0 with power f(1-f) that still moves; TPDF has 1/4
    everywhere.
    """
    if positions < 2 or draws < 1:
        raise ValueError(f"{positions} positions with {draws} draws: needs 2 and 1 at least")
    places = np.linspace(-0.5, 0.5, positions)
    mean: dict[str, Doubles] = {}
    power: dict[str, Doubles] = {}
    for name, kind in DITHERS.items():
        added = kind.draw(np.random.default_rng(seed), (positions, draws))
        errors = np.floor(places[:, None] + added + 0.5) - places[:, None] - (added if kind.subtracted else 0.0)
        mean[name], power[name] = errors.mean(axis=1), np.mean(np.square(errors), axis=1)
    return DitherPanel(places, mean, power)
