"""What do the shares of a spectrum come to in decibels and bits, and how sure are they?

Intervals of 95 %: a noise power from m independent bins is the truth times chi-square over its nu = 2 m degrees of
freedom, so the truth lies within noise * nu / chi2(nu; 0.975 .. 0.025); a window leaves nu = 2 m
(sum w^2)^2/(N sum w^4). Distortion above the noise counts as exact in the SINAD. A line of power S in noise n per bin
has the variance 2 S n + n^2, which gives THD and SFDR their intervals (normal, never below zero power).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from qanalysis.converters.spectrum.components import Shares, is_below_noise
from qanalysis.converters.spectrum.row import Interval, RecordRow
from qanalysis.converters.spectrum.views import View
from qanalysis.converters.spectrum.windows import describe_window
from qanalysis.decibels import enob, level_db

_TWO_SIGMA = 1.959964
Seen = TypeVar("Seen", bound=RecordRow)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What only the findings need: degrees of freedom of the noise, the bin of the largest spur,
    whether the noise may be as high; and the noise as a mean square, which the row tells in its own unit.
    """

    freedom: float = 0.0
    spur_bin: int | None = None
    spur_below_noise: bool = False
    noise: float = 0.0


def measure_figures(
    seen: Seen,
    view: View,
    shares: Shares,
    *,
    full_scale: float | None,
    band: tuple[int, int],
) -> tuple[Seen, Evidence]:
    """A row with the figures of its view, and the evidence;
    `full_scale` is the mean square at 0 dBFS or None, `band` the first and the last bin.

    Without a full scale there are no dBFS and no IEEE ENOB; without a tone only the noise is told. Ratios over no noise
    are infinite.
    """
    filled = shares.noise_per_bin if view.side_bins else 0.0  # the noise that lobes hide, bin by bin
    noise = shares.noise + filled * (shares.tone_bins + shares.product_bins)
    if full_scale is not None:
        noise_dbfs = level_db(noise, full_scale)
        density = None if seen.band_hz is None else float(noise_dbfs - 10 * np.log10(np.ptp(seen.band_hz)))
        seen = replace(seen, noise_dbfs=noise_dbfs, nsd_dbfs_hz=density)
    if not view.fits:
        return seen, Evidence(noise=noise)
    seen = _add_thd(seen, view, shares)
    error = shares.noise + shares.products + filled * shares.tone_bins
    sinad = level_db(shares.tones, error)
    freedom = 2 * shares.noise_bins * view.evidence
    more = shares.product_bins * freedom / max(shares.noise_bins, 1) if seen.thd_below_noise else None
    noise_low, noise_high = _bound_noise(noise, freedom)
    error_low, error_high = _bound_error(error, noise, freedom, more)
    spur_bin, sfdr, sfdr_ci, spur_below = _measure_spur(view, shares, band)
    seen = replace(
        seen,
        sinad_db=sinad,
        spectrum_sinad_db=sinad,
        snr_db=level_db(shares.tones, noise),
        sfdr_dbc=sfdr,
        enob_at_level=enob(sinad),
        sinefit_sinad_db=level_db(sum(fit.power for fit in view.fits), view.fits[0].residual_rms ** 2),
        sinad_ci95_db=(level_db(shares.tones, error_high), level_db(shares.tones, error_low)),
        snr_ci95_db=(level_db(shares.tones, noise_high), level_db(shares.tones, noise_low)),
        sfdr_ci95_db=sfdr_ci,
    )
    evidence = Evidence(freedom, spur_bin, spur_below, noise)
    return (seen if full_scale is None else _refer_to_full_scale(seen, shares, full_scale)), evidence


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


def _refer_to_full_scale(seen: Seen, shares: Shares, full_scale: float) -> Seen:
    """Level, SFDR and ENOB over full scale; the IEEE form of the ENOB refers to a sine over the range,
    whatever 0 dBFS is.
    """
    if seen.sinad_db is None or seen.sfdr_dbc is None or seen.sinad_ci95_db is None:
        return seen
    level = level_db(shares.tones, full_scale)
    headroom = -level - (10 * np.log10(2.0) if seen.full_scale == "dc" else 0.0)
    low, high = seen.sinad_ci95_db
    return replace(
        seen,
        level_dbfs=level,
        sfdr_dbfs=seen.sfdr_dbc - level_db(shares.fundamental, full_scale),
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


def _bound_error(error: float, noise: float, freedom: float, more: float | None) -> Interval:
    """Where noise and distortion lie together: distortion as found,
    or noise with `more` degrees of freedom where it is no more than that.
    """
    if more is not None:
        return _bound_noise(error, freedom + more)
    low, high = _bound_noise(noise, freedom)
    distortion = max(error - noise, 0.0)
    return distortion + low, distortion + high


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


def _measure_spur(view: View, shares: Shares, band: tuple[int, int]) -> tuple[int, float, Interval, bool]:
    """Bin of the largest line beside the tones, the tone's height over its, the interval,
    and whether the noise alone would reach as high (95 %).
    """
    from scipy.special import gammaincinv

    first, last = band
    per_bin, tone = shares.noise_per_bin, shares.fundamental / describe_window(view.window).enbw_bins
    rest = view.power[first : last + 1].copy()
    for place in view.carriers:
        rest[max(place - view.side_bins - first, 0) : max(place + view.side_bins + 1 - first, 0)] = 0.0
    spur_bin = first + int(np.argmax(rest))
    height = view.measure_height(spur_bin) if rest.any() else 0.0
    spread = _TWO_SIGMA * np.sqrt((2 * height * per_bin + per_bin**2) / view.records)
    interval = (level_db(tone, height + spread), level_db(tone, max(height - spread, 0.0)))
    highest_noise = per_bin * gammaincinv(view.records, 0.95 ** (1 / rest.size)) / view.records
    return spur_bin, level_db(tone, height), interval, bool(height <= highest_noise)
