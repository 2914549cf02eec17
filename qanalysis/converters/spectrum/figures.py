"""What do the shares of a spectrum come to in decibels and bits, and how sure are they?

Intervals of 95 %: a noise power from m independent bins is the truth times chi-square over its nu = 2 m degrees of
freedom, so the truth lies within noise * nu / chi2(nu; 0.975 .. 0.025); a window leaves nu = 2 m
(sum w^2)^2/(N sum w^4). Distortion above the noise counts as exact in the SINAD. A line of power S in noise n per bin
has the variance 2 S n + n^2, which gives THD and SFDR their intervals (normal, never below zero power).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from qanalysis.converters.spectrum.components import Shares, is_below_noise
from qanalysis.converters.spectrum.disturbances import Disturbance
from qanalysis.converters.spectrum.row import Interval, RecordRow
from qanalysis.converters.spectrum.views import View
from qanalysis.converters.spectrum.windows import describe_window
from qanalysis.decibels import enob, level_db

AGREEMENT_DB = 0.1  # between the SINAD of the spectrum and that of the sine fit
_UNEXPLAINED = 0.1  # of the error
_TWO_SIGMA = 1.959964
_DB_PER_NEPER = 10 / np.log(10)
Seen = TypeVar("Seen", bound=RecordRow)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What only the findings need: how far spectrum and sine fit differ by chance, the bin of the largest spur,
    whether the noise may be as high, and what the spur is if it is no line of its own; whether the figures are the
    sine fit's; the noise as a mean square, which the row tells in its own unit.
    """

    chance_db: float = math.inf
    spur_bin: int | None = None
    spur_below_noise: bool = False
    disturbance: Disturbance | None = None
    by_fit: bool = False
    noise: float = 0.0


@dataclass(frozen=True, slots=True)
class Balance:
    """Tones against all else, by spectrum or by sine fit, as mean squares.

    `error` is all but the tones, `noise` that without distortion, `lines` the part of `error` that is lines and no
    noise; `freedom` the degrees of freedom of the noise, `error_freedom` of the rest of the error.
    """

    tones: float
    error: float
    noise: float
    lines: float
    freedom: float
    error_freedom: float

    @property
    def sinad_db(self) -> float:
        """Tones over the error."""
        return level_db(self.tones, self.error)


def measure_figures(
    seen: Seen,
    view: View,
    shares: Shares,
    *,
    full_scale: float | None,
    band: tuple[int, int],
    disturbances: Sequence[Disturbance] = (),
) -> tuple[Seen, Evidence]:
    """A row with the figures of its view, and the evidence;
    `full_scale` is the mean square at 0 dBFS or None, `band` the first and the last bin, `disturbances` what was found
    beside the tones.

    Without a full scale there are no dBFS and no IEEE ENOB; without a tone only the noise is told. Ratios over no noise
    are infinite.
    """
    filled = shares.noise_per_bin if view.side_bins else 0.0  # the noise that lobes hide, bin by bin
    noise = shares.noise + filled * (shares.tone_bins + shares.product_bins)
    if not view.fits:
        return _add_noise(seen, noise, full_scale), Evidence(noise=noise)
    seen = _add_thd(seen, view, shares)
    disturbances = [one for one in disturbances if band[0] <= one.place <= band[1]]
    balance = _balance_spectrum(seen, view, shares, (noise, filled))
    spectrum_sinad = balance.sinad_db
    chance = bound_chance(balance)
    fitted = _balance_fit(balance, view, band, disturbances)
    by_fit = is_fit_taken(spectrum_sinad, fitted.sinad_db, chance, disturbed=bool(disturbances))
    if by_fit:
        balance = fitted
    seen = _add_noise(seen, balance.noise, full_scale)
    spur = _measure_spur(view, shares, band, disturbances, balance.error)
    seen = replace(
        _add_intervals(seen, balance, _find_line_noise(view, shares)),
        sinad_db=balance.sinad_db,
        spectrum_sinad_db=spectrum_sinad,
        snr_db=level_db(balance.tones, balance.noise),
        sfdr_dbc=spur.sfdr,
        enob_at_level=enob(balance.sinad_db),
        sinefit_sinad_db=level_db(sum(fit.power for fit in view.fits), view.fits[0].residual_rms ** 2),
        sfdr_ci95_db=spur.interval,
    )
    evidence = Evidence(chance, spur.place, spur.below_noise, spur.disturbance, by_fit, balance.noise)
    if full_scale is not None:
        seen = _refer_to_full_scale(seen, (balance.tones, shares.fundamental), full_scale)
    return seen, evidence


def _add_intervals(seen: Seen, balance: Balance, line_noise: float) -> Seen:
    """Where SINAD and SNR lie, 95 %."""
    noise_low, noise_high = _bound_noise(balance.noise, balance.freedom)
    error_low, error_high = _bound_error(balance, line_noise)
    return replace(
        seen,
        sinad_ci95_db=(level_db(balance.tones, error_high), level_db(balance.tones, error_low)),
        snr_ci95_db=(level_db(balance.tones, noise_high), level_db(balance.tones, noise_low)),
    )


def _add_noise(seen: Seen, noise: float, full_scale: float | None) -> Seen:
    """Noise over full scale and its density, where there is a full scale."""
    if full_scale is None:
        return seen
    noise_dbfs = level_db(noise, full_scale)
    density = None if seen.band_hz is None else float(noise_dbfs - 10 * np.log10(np.ptp(seen.band_hz)))
    return replace(seen, noise_dbfs=noise_dbfs, nsd_dbfs_hz=density)


def _balance_spectrum(seen: RecordRow, view: View, shares: Shares, noises: tuple[float, float]) -> Balance:
    """By the bins of the view; `noises` are that of all bins and what one hidden bin is filled with."""
    noise, filled = noises
    error = shares.noise + shares.products + filled * shares.tone_bins
    freedom = 2 * shares.noise_bins * view.evidence
    if not seen.thd_below_noise:
        return Balance(shares.tones, error, noise, max(error - noise, 0.0), freedom, freedom)
    # Distortion that is no more than noise adds its bins' freedom.
    more = shares.product_bins * freedom / max(shares.noise_bins, 1)
    return Balance(shares.tones, error, noise, 0.0, freedom, freedom + more)


def _balance_fit(spectrum: Balance, view: View, band: tuple[int, int], disturbances: Sequence[Disturbance]) -> Balance:
    """By what the fits leave. In a part of the band that is what the spectrum shows, and what the window hides of
    the disturbances.
    """
    tones, unseen = sum(fit.power for fit in view.fits), sum(one.unseen for one in disturbances)
    error, freedom = max(spectrum.error + unseen, 0.0), spectrum.freedom
    if band == (1, view.samples // 2):
        error = view.fits[0].residual_rms ** 2
        freedom = float(max(view.samples - 1 - 3 * len(view.fits), 1)) * view.records
    noise = max(spectrum.noise + unseen, 0.0)
    if spectrum.lines < noise or error - spectrum.lines - noise > _UNEXPLAINED * error:
        # Else a small difference of large powers.
        noise = error - spectrum.lines
    lines = min(spectrum.lines + sum(one.power for one in disturbances), error)
    return Balance(tones, error, min(noise, error), lines, freedom, freedom)


def is_fit_taken(spectrum_db: float, fit_db: float, chance_db: float, *, disturbed: bool) -> bool:
    """Whether the sine fit's SINAD stands for the record: where it is lower beyond chance, or where something was
    found that windows weight down, unless the spectrum's is lower beyond chance.
    """
    if not np.isfinite([spectrum_db, fit_db]).all():
        return False
    chance = max(chance_db, AGREEMENT_DB)
    return spectrum_db - fit_db > chance or (disturbed and fit_db - spectrum_db <= chance)


def bound_chance(spectrum: Balance) -> float:
    """How far SINAD by spectrum and by sine fit differ by chance, dB: 2.6 deviations (99 %) of the noise that the
    window sees, by its share of the error.

    95 % would take the fit's in every twentieth record and make the spectrum's interval hold the truth too often.
    """
    if not spectrum.freedom or not spectrum.error:
        return math.inf
    return float(2.576 * _DB_PER_NEPER * np.sqrt(2 / spectrum.freedom) * min(spectrum.noise / spectrum.error, 1.0))


def _add_thd(seen: Seen, view: View, shares: Shares) -> Seen:
    """The distortion, raw and without the noise of its bins; nothing where no product has a bin of its own."""
    if not shares.product_bins:
        return seen
    below = is_below_noise(shares.products, shares.product_bins, shares, view)
    clean = shares.products - shares.product_bins * shares.noise_per_bin
    return replace(
        seen,
        thd_below_noise=below,
        thd_dbc=None if below else level_db(clean, shares.fundamental),
        thd_raw_dbc=level_db(shares.products, shares.fundamental),
        thd_ci95_db=_bound_distortion(view, shares),
    )


def _refer_to_full_scale(seen: Seen, tones: tuple[float, float], full_scale: float) -> Seen:
    """Level, SFDR and ENOB over full scale, from the powers of all tones and of the strongest.

    The IEEE form of the ENOB refers to a sine over the range, whatever 0 dBFS is.
    """
    if seen.sinad_db is None or seen.sfdr_dbc is None or seen.sinad_ci95_db is None:
        return seen
    level = level_db(tones[0], full_scale)
    headroom = -level - (10 * np.log10(2.0) if seen.full_scale == "dc" else 0.0)
    low, high = seen.sinad_ci95_db
    return replace(
        seen,
        level_dbfs=level,
        sfdr_dbfs=seen.sfdr_dbc - level_db(tones[1], full_scale),
        enob_ieee=enob(seen.sinad_db + headroom),
        enob_ci95=(enob(low + headroom), enob(high + headroom)),
    )


def _bound_noise(noise: float, freedom: float) -> Interval:
    """Where the true noise power lies, by chi-square of `freedom` degrees; anywhere if no bin is left to tell."""
    from scipy.special import gammaincinv

    if freedom == 0:
        return 0.0, float("inf")
    low, high = 2 * gammaincinv(freedom / 2, [0.025, 0.975])
    return float(noise * freedom / high), float(noise * freedom / low)


def _bound_error(balance: Balance, line_noise: float) -> Interval:
    """Where noise and lines lie together: the noise by chi-square, the power S of lines by its variance 2 S n, where n
    is `line_noise`.
    """
    white = max(balance.error - balance.lines, 0.0)
    low, high = _bound_noise(white, balance.error_freedom)
    spread = _TWO_SIGMA**2 * 2 * balance.lines * line_noise
    return (
        max(balance.error - float(np.hypot(white - low, np.sqrt(spread))), 0.0),
        balance.error + float(np.hypot(high - white, np.sqrt(spread))),
    )


def _find_line_noise(view: View, shares: Shares) -> float:
    """Noise that goes with a line's power: of one bin, more where a window uses part of the samples."""
    return shares.noise_per_bin / view.evidence


def _bound_distortion(view: View, shares: Shares) -> Interval:
    """Harmonics' power over the tone's, from the variance of each line;
    the lower end is -inf where noise could be all of it.
    """
    per_bin, owned = shares.noise_per_bin, shares.owned
    clean = [max(claim.power - claim.bins * per_bin, 0.0) for claim in owned]
    spread = _TWO_SIGMA * np.sqrt(
        sum(
            (2 * power * per_bin + claim.bins * per_bin**2) / view.evidence
            for power, claim in zip(clean, owned, strict=True)
        )
    )
    total = sum(clean)
    return level_db(max(total - spread, 0.0), shares.fundamental), level_db(total + spread, shares.fundamental)


@dataclass(frozen=True, slots=True)
class _Spur:
    """The largest line beside the tones: its bin, the tone's height over its, the interval, whether the noise alone
    would reach as high (95 %), and what it is if no line of its own.
    """

    place: int
    sfdr: float
    interval: Interval
    below_noise: bool
    disturbance: Disturbance | None = None


def _measure_spur(
    view: View, shares: Shares, band: tuple[int, int], disturbances: Sequence[Disturbance], error: float
) -> _Spur:
    """The largest line: of the view, or of the disturbances, whose heights are powers. No line has more power than all
    of the error.
    """
    from scipy.special import gammaincinv

    first, last = band
    enbw, per_bin = describe_window(view.window).enbw_bins, shares.noise_per_bin
    rest = view.power[first : last + 1].copy()
    for place in view.carriers:
        rest[max(place - view.side_bins - first, 0) : max(place + view.side_bins + 1 - first, 0)] = 0.0
    if any(one.is_slow for one in disturbances):
        # Here a lobe folds onto itself, and the disturbance tells the height.
        rest[: max(view.side_bins + 1 - first, 0)] = 0.0
    spur_bin = first + int(np.argmax(rest))
    power = view.measure_height(spur_bin) * enbw if rest.any() else 0.0
    width, disturbance = enbw, None
    for one in disturbances:
        if one.height >= power:
            spur_bin, power, width, disturbance = one.place, one.height, 1.0, one
    power = min(power, error)
    noise = per_bin * width
    spread = _TWO_SIGMA * np.sqrt((2 * power * noise + noise**2) / view.records)
    interval = (level_db(shares.fundamental, power + spread), level_db(shares.fundamental, max(power - spread, 0.0)))
    highest_noise = noise * gammaincinv(view.records, 0.95 ** (1 / rest.size)) / view.records
    below = disturbance is None and power <= highest_noise
    return _Spur(spur_bin, level_db(shares.fundamental, power), interval, bool(below), disturbance)
