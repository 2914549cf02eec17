"""What do the shares of a spectrum come to in decibels and bits, and how sure are they?

Intervals of 95 %: a noise power from m independent bins is the truth times chi-square over its nu = 2 m degrees of
freedom, so the truth lies within noise * nu / chi2(nu; 0.975 .. 0.025); a window leaves nu = 2 m
(sum w^2)^2/(N sum w^4). A line of power S in noise n per bin has the variance 2 S n + n^2, which gives THD and SFDR
their intervals (normal, never below zero power), and 2 S n in the SINAD. SINAD, SNR and ENOB are the spectrum's or the
sine fit's: the worse where the two differ beyond chance, and the fit's where content was found that windows hide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.converters.spectrum.components import Shares, is_below_noise
from qanalysis.converters.spectrum.disturbances import Disturbance
from qanalysis.converters.spectrum.row import Interval, RecordRow
from qanalysis.converters.spectrum.views import View
from qanalysis.converters.spectrum.windows import describe_window
from qanalysis.decibels import enob, level_db

AGREEMENT_DB = 0.1  # between the SINAD of the spectrum and that of the sine fit
_UNEXPLAINED = 0.1  # of the error
_EXPLAINED = 2.0  # times the height of a disturbance: a line between bins is no higher
_TWO_SIGMA, _RARE = 1.959964, 2.575829  # deviations of a normal distribution: 95 %, 99 %
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

    `error` is all but the tones, `noise` that without distortion; `lines` the part of `error` that is lines,
    `noise_lines` that of `noise`; `line_noise` the noise of one bin that goes with a line. `freedom` are the degrees of
    freedom of the noise, `error_freedom` of the rest of the error; `hidden` is how much larger the noise is than its
    bins show, where those of tones and distortion are left out.
    """

    tones: float
    error: float
    noise: float
    lines: float
    noise_lines: float
    line_noise: float
    freedom: float
    error_freedom: float
    hidden: float = 1.0

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
    strongest = view.fits[0].power if by_fit else shares.fundamental
    spur = _measure_spur(view, shares, band, disturbances, (strongest, balance.error))
    seen = replace(
        _add_intervals(seen, balance),
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
        seen = _refer_to_full_scale(seen, (balance.tones, strongest), full_scale)
    return seen, evidence


def _add_intervals(seen: Seen, balance: Balance) -> Seen:
    """Where SINAD and SNR lie, 95 %."""
    noise = balance.noise_lines + (balance.noise - balance.noise_lines) * balance.hidden
    noise_low, noise_high = _bound_power(noise, balance.noise_lines, balance.freedom, balance.line_noise)
    error_low, error_high = _bound_error(balance)
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
    taken = shares.tone_bins + shares.product_bins
    balance = Balance(
        tones=shares.tones,
        error=error,
        noise=noise,
        lines=shares.lines,
        noise_lines=shares.lines,
        line_noise=shares.noise_per_bin / view.evidence,
        freedom=freedom,
        error_freedom=freedom,
        hidden=1.0 if filled else 1 + taken / max(shares.noise_bins, 1),
    )
    if not seen.thd_below_noise:
        return replace(balance, lines=shares.lines + max(error - noise, 0.0))
    # Distortion that is no more than noise adds its bins' freedom.
    return replace(balance, error_freedom=freedom * (1 + shares.product_bins / max(shares.noise_bins, 1)))


def _balance_fit(spectrum: Balance, view: View, band: tuple[int, int], disturbances: Sequence[Disturbance]) -> Balance:
    """By what the fits leave. In a part of the band that is what the spectrum shows, and what the window hides of
    the disturbances.
    """
    tones, unseen = sum(fit.power for fit in view.fits), sum(one.unseen for one in disturbances)
    error, freedom = max(spectrum.error + unseen, 0.0), spectrum.freedom
    if band == (1, view.samples // 2):
        error = view.fits[0].residual_rms ** 2
        freedom = float(max(view.samples - 1 - 3 * len(view.fits), 1)) * view.records
    noise, distortion = max(spectrum.noise + unseen, 0.0), spectrum.lines - spectrum.noise_lines
    if distortion < noise or error - distortion - noise > _UNEXPLAINED * error:
        # Else a small difference of large powers.
        noise = error - distortion
    lines = max(sum(one.power for one in disturbances), spectrum.noise_lines)
    return replace(
        spectrum,
        tones=tones,
        error=error,
        noise=min(noise, error),
        lines=min(distortion + lines, error),
        noise_lines=min(lines, noise),
        freedom=freedom,
        error_freedom=freedom,
        hidden=1.0,
    )


def is_fit_taken(spectrum_db: float, fit_db: float, chance_db: float, *, disturbed: bool) -> bool:
    """Whether the sine fit's SINAD stands for the record: where it is lower beyond chance, or where something was
    found that windows weight down, unless the spectrum's is lower beyond chance.
    """
    if not np.isfinite([spectrum_db, fit_db]).all():
        return False
    chance = max(chance_db, AGREEMENT_DB)
    return spectrum_db - fit_db > chance or (disturbed and fit_db - spectrum_db <= chance)


def bound_chance(spectrum: Balance) -> float:
    """How far SINAD by spectrum and by sine fit differ by chance, dB: 2.6 deviations (99 %) of what the window sees.

    95 % would take the fit's in every twentieth record and make the spectrum's interval hold the truth too often.
    """
    highest = _bound_error(spectrum)[1]
    if not np.isfinite(highest) or not spectrum.error:
        return math.inf
    return float(_RARE / _TWO_SIGMA * level_db(highest, spectrum.error))


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


def _bound_error(balance: Balance) -> Interval:
    """Where noise and lines lie together."""
    return _bound_power(balance.error, balance.lines, balance.error_freedom, balance.line_noise)


def _bound_power(power: float, lines: float, freedom: float, line_noise: float) -> Interval:
    """Where a power lies of which `lines` are no noise: the noise by chi-square, the lines S by the variance 2 S n."""
    white = max(power - lines, 0.0)
    low, high = _bound_noise(white, freedom)
    spread = _TWO_SIGMA * math.sqrt(2 * lines * line_noise)
    return max(power - math.hypot(white - low, spread), 0.0), power + math.hypot(high - white, spread)


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
    view: View,
    shares: Shares,
    band: tuple[int, int],
    disturbances: Sequence[Disturbance],
    powers: tuple[float, float],
) -> _Spur:
    """The largest line: of the view, or through a window of the disturbances, whose heights are powers.

    `powers` are the tone's and the error's: no line has more than all of the error. A line that a disturbance explains
    is its.
    """
    from scipy.special import gammaincinv

    (first, last), (tone, error) = band, powers
    enbw, per_bin = describe_window(view.window).enbw_bins, shares.noise_per_bin
    rest = _leave_lines(view, first, last, slow=any(one.is_slow for one in disturbances))
    place = first + int(np.argmax(rest))
    power, width = view.measure_height(place) * enbw if rest.any() else 0.0, enbw
    owner = next(
        (
            one
            for one in sorted(disturbances, key=lambda one: -one.height)
            if one.holds(place, view.fits[0].cycles, view.side_bins, view.samples) and power < _EXPLAINED * one.height
        ),
        None,
    )
    for one in disturbances if view.window != "rectangular" else ():
        if one.height >= power:
            place, power, width, owner = one.place, one.height, 1.0, one
    power, noise = min(power, error), per_bin * width
    spread = _TWO_SIGMA * np.sqrt((2 * power * noise + noise**2) / view.records)
    interval = (level_db(tone, power + spread), level_db(tone, max(power - spread, 0.0)))
    highest_noise = noise * gammaincinv(view.records, 0.95 ** (1 / rest.size)) / view.records
    return _Spur(place, level_db(tone, power), interval, owner is None and bool(power <= highest_noise), owner)


def _leave_lines(view: View, first: int, last: int, *, slow: bool) -> Doubles:
    """The powers of the bins first..last but the tones' lobes; with something slow found, but those of DC's too, where
    a lobe folds onto itself.
    """
    rest = view.power[first : last + 1].copy()
    for place in view.carriers:
        rest[max(place - view.side_bins - first, 0) : max(place + view.side_bins + 1 - first, 0)] = 0.0
    if slow and view.side_bins:
        rest[: max(view.side_bins + 1 - first, 0)] = 0.0
    return rest
