"""Why does a layer lose what it loses? Findings with numbers, each against what an even or a Gaussian layer of this
shape would have.

Every threshold is a ratio, so scaling the layer changes no finding. A share is the part of sum e^2 that belongs to the
cause: what goes away with it, or what lies in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qanalysis.decibels import DB_PER_BIT
from qanalysis.diagnosis.levels import GaussianReference, Levels, flip_signs, measure_levels
from qanalysis.diagnosis.profile import ERROR_BINS, LayerProfile
from qanalysis.diagnosis.trials import LayerView, Outliers, Trial, try_schemes
from qanalysis.notation import percent
from qanalysis.quantizers.grouping import Grouping
from qanalysis.quantizers.scales import FLOAT32
from qanalysis.quantizers.scheme import MINMAX, NEAREST_EVEN, Scheme
from qanalysis.sweeps.row import Row

# Two draws of a layer of a few thousand values differ by as much.
NOTABLE_DB = 0.25
# A quarter of the 6.02 dB that one bit buys.
QUARTER_BIT_DB = DB_PER_BIT / 4
# The level of the largest of a group varies by about 1 dB from draw to draw; three of those, averaged over the groups.
CHANCE_DB = 3.0
# Less than a tenth of the error is less than 0.5 dB, whatever is done about it.
NOTABLE_SHARE = 0.1
# The best range for Gaussian values clips away 10 % (8 bits) to 30 % (2 bits) of its error.
CLIPPING_SHARE = 1 / 3
# The best grid of three levels for Gaussian values makes 46 % of them zero.
ZEROED_SHARE = 0.5
# The worst hundredth of the groups of a Gaussian layer carries about two hundredths of the error.
TOP_GROUPS, TOP_GROUPS_SHARE = 0.01, 0.1
ON_GRID = 2.0**-20


@dataclass(frozen=True, slots=True)
class Cause:
    """One finding. `text` says it with its numbers; `share` is the part of the error it accounts for, 0 to 1.

    `value` by code: outlier-channels and outlier-columns the largest ratio to the median; outlier-groups and
    ragged-tail the share of the values that lie in them; crest the dB over a Gaussian's crest; asymmetry the dB that
    one-sided ranges cost; scale-rounding and rounding-mode the dB that they cost; clipping, zeroed and on-grid the
    share of the values clipped, zeroed, exact.
    """

    code: str
    text: str
    value: float
    share: float

    @property
    def title(self) -> str:
        """The code as a heading."""
        return self.code.replace("-", " ").capitalize()


@dataclass(frozen=True, eq=False)
class Examined:
    """What the findings are read from: the whole layer with its profile, row, levels and outliers; numbers of the rows
    that stand for it where something is tried, their view and base trial; and the Gaussian reference.
    """

    view: LayerView
    profile: LayerProfile
    row: Row
    channels: Outliers
    columns: Outliers
    rows: NDArray[np.intp]
    sample: LayerView
    base: Trial
    reference: GaussianReference | None
    levels: Levels

    @property
    def error(self) -> float:
        """Sum of e^2 over the whole layer."""
        return (self.row.mse or 0.0) * self.profile.count

    @property
    def below_gaussian_db(self) -> float:
        """How much less SQNR the layer has than Gaussian values; 0 where that is not known."""
        return 0.0 if self.reference is None or self.row.sqnr_db is None else self.reference.sqnr_db - self.row.sqnr_db

    def without(self, mask: NDArray[np.bool_]) -> float:
        """Share of the error that goes where the masked elements of the sample do, their part in the ranges
        included.
        """
        trial = try_schemes(np.where(mask, np.float32(np.nan), self.sample.matrix), [self.sample.scheme])[0]
        return 1 - trial.error / self.base.error if trial else 0.0


def find_causes(examined: Examined) -> tuple[Cause, ...]:
    """What stands out, the largest share of the error first; empty where nothing does."""
    if not examined.error:
        return (Cause("on-grid", "Every value comes back exactly: the layer lies on this grid.", 1.0, 0.0),)
    found = [cause for find in _FINDERS if (cause := find(examined)) is not None]
    return tuple(sorted(found, key=lambda cause: -cause.share))


def _find_clipping(examined: Examined) -> Cause | None:
    if examined.view.scheme.range.tries_grids:
        return None  # searched for, so neither too narrow nor too wide
    share = examined.row.clipping_share or 0.0
    usual = (
        examined.reference.clipping_share
        if examined.reference and "range" in examined.view.scheme.format.fixed
        else 0.0
    )
    if share <= max(CLIPPING_SHARE, usual + NOTABLE_SHARE):
        return None
    clipped = examined.row.clipped_fraction or 0.0
    text = (
        f"Clipping makes {percent(share, digits=2)} of the error: {percent(clipped, digits=2)} of the values lie "
        "beyond the range. It is too narrow; the best range for Gaussian values clips away 10 to 30 % of its error."
    )
    return Cause("clipping", text, clipped, share)


def _find_outlier_channels(examined: Examined) -> Cause | None:
    profile, places = examined.profile, examined.channels.places
    if not places.size:
        return None
    shared = examined.view.layout.block_rows > 1
    share = (
        examined.without(np.isin(examined.rows, places)[:, np.newaxis])
        if shared
        else float(profile.channel_share[places].sum())
    )
    if share < NOTABLE_SHARE:
        return None
    power = np.nan_to_num(profile.channel_power) * profile.channel_count
    signal = float(power[places].sum() / power.sum())
    named = _name_places("channel", examined.channels)
    text = (
        f"{named}. Without, the error falls by {percent(share, digits=2)}; {percent(signal, digits=2)} of the "
        "signal's power is there."
    )
    return Cause("outlier-channels", text, float(examined.channels.ratios.max()), share)


def _find_outlier_columns(examined: Examined) -> Cause | None:
    places = examined.columns.places
    if not places.size or len(examined.view.matrix) == 1:
        return None
    mask = np.zeros((1, examined.columns.ratios.size), np.bool_)
    mask[:, places] = True
    share = examined.without(mask)
    if share < NOTABLE_SHARE:
        return None
    text = (
        f"{_name_places('column', examined.columns)}. Columns cross the groups of every channel: without, the "
        f"error falls by {percent(share, digits=2)}."
    )
    return Cause("outlier-columns", text, float(examined.columns.ratios.max()), share)


def _find_outlier_groups(examined: Examined) -> Cause | None:
    layout, profile = examined.view.layout, examined.profile
    errors = np.nan_to_num(profile.group_mse) * np.diff(
        np.append(np.arange(0, layout.columns, layout.block_columns), layout.columns)
    )
    total = errors.sum()
    errors[examined.channels.places] = 0  # those are a finding of their own
    top = math.ceil(TOP_GROUPS * errors.size)
    if layout.group_columns == 1 or top / errors.size > 2 * TOP_GROUPS:
        return None
    share = float(np.partition(errors.reshape(-1), -top)[-top:].sum() / total)
    if share < TOP_GROUPS_SHARE:
        return None
    row, place = np.unravel_index(int(errors.argmax()), errors.shape)
    start = int(place) * layout.block_columns
    where = f"channel {row}, columns {start} to {min(start + layout.block_columns, layout.columns) - 1}"
    text = (
        f"{percent(top / errors.size, digits=2).capitalize()} of the groups ({top:,} of {errors.size:,}) carry "
        f"{percent(share, digits=2)} of the error; the worst is {where}."
    )
    return Cause("outlier-groups", text, top / errors.size, share)


def _find_crest(examined: Examined) -> Cause | None:
    if examined.reference is None:
        return None
    levels, usual = examined.levels, examined.reference.levels
    one_sided = not examined.view.scheme.symmetry.signed
    level, expected = (levels.span_db, usual.span_db) if one_sided else (levels.crest_db, usual.crest_db)
    excess = min(level - expected, examined.below_gaussian_db)
    if excess <= QUARTER_BIT_DB + CHANCE_DB / math.sqrt(levels.groups):
        return None
    reach = "Half the span of a group" if one_sided else "The largest value of a group"
    effect = (
        "steps are as much too coarse"
        if examined.view.scheme.range == MINMAX
        else "the range rule has to clip or to coarsen the steps"
    )
    text = (
        f"{reach} stands {level:.1f} dB over its RMS, {level - expected:.1f} dB more than with Gaussian values: "
        f"few values set the range, and {effect}. "
    )
    share = _share_of(excess)
    text += f"That makes {percent(share, digits=2)} of the error."
    return Cause("crest", text, level - expected, share)


def _find_asymmetry(examined: Examined) -> Cause | None:
    scheme = examined.view.scheme
    if not scheme.symmetry.signed or not scheme.format.has_equal_steps:
        return None
    levels, even = measure_levels(examined.sample), measure_levels(flip_signs(examined.sample))
    # A few large values also leave codes of their group unused, whatever their sign: that is the crest's finding.
    cost = levels.crest_db - levels.span_db - (even.crest_db - even.span_db)
    if cost <= QUARTER_BIT_DB + CHANCE_DB / math.sqrt(levels.groups):
        return None
    unused, share = 1 - 10 ** ((levels.span_db - levels.crest_db) / 20), _share_of(cost)
    text = (
        f"The values of a group lie to one side: {percent(unused, digits=2)} of the codes of a symmetric grid stand "
        f"where no value is. That costs {cost:.1f} dB more than if signs were even, {percent(share, digits=2)} of the "
        "error."
    )
    return Cause("asymmetry", text, cost, share)


def _find_zeroed(examined: Examined) -> Cause | None:
    nonzero = examined.row.relative_count or 0
    zeroed = examined.profile.zeroed.total / nonzero if nonzero else 0.0
    if zeroed <= ZEROED_SHARE:
        return None
    matrix, scheme = examined.sample.matrix, examined.sample.scheme
    lost = matrix[scheme.fit(matrix).round_trip(matrix) == 0].astype(np.float64)
    share = min(1.0, float(np.nansum(lost * lost)) / examined.base.error)
    text = (
        f"{percent(zeroed, digits=2).capitalize()} of the nonzero values come back as zero and make "
        f"{percent(share, digits=2)} of the "
        "error; the best three-level grid of Gaussian "
    )
    return Cause("zeroed", text + "values zeroes 46 %.", zeroed, share)


def _find_scale_rounding(examined: Examined) -> Cause | None:
    return _compare(
        examined,
        exact_scale(examined.sample.scheme),
        "scale-rounding",
        "Rounding the scales to their stored type",
        "float32 scales",
    )


def _find_rounding_mode(examined: Examined) -> Cause | None:
    scheme = examined.sample.scheme
    return _compare(
        examined, nearest_rounding(scheme), "rounding-mode", f"Rounding by {scheme.rounding}", "rounding to nearest"
    )


def _compare(examined: Examined, other: Scheme | None, code: str, what: str, instead: str) -> Cause | None:
    """A part of the scheme as a cause, where another scheme without it is notably better."""
    trial = try_schemes(examined.sample.matrix, [other])[0] if other else None
    if trial is None or not 0 < trial.error < examined.base.error:
        return None
    cost = 10 * math.log10(examined.base.error / trial.error)
    if cost <= NOTABLE_DB:
        return None
    text = f"{what} costs {cost:.1f} dB against {instead} ({other}), {percent(_share_of(cost), digits=2)} of the error."
    return Cause(code, text, cost, _share_of(cost))


def nearest_rounding(scheme: Scheme) -> Scheme | None:
    """The same scheme with rounding to nearest, even on ties; None where it rounds so already or its format rounds in
    its own way.
    """
    if "rounding" in scheme.format.fixed or scheme.rounding == NEAREST_EVEN:
        return None
    return replace(scheme, rounding=NEAREST_EVEN)


def exact_scale(scheme: Scheme) -> Scheme | None:
    """The same scheme with float32 scales; None where it has them already or there are no such.

    Of a format that packs the numbers of another in blocks, that other one in groups of the same length.

    >>> str(exact_scale(Scheme.parse("mxfp4"))), str(exact_scale(Scheme.parse("int4 group=32 scale=pow2")))
    ('fp4_e2m1 group=32', 'int4 group=32')
    """
    free = scheme.format.twin
    if free is not None:
        return Scheme(free, grouping=Grouping(1, scheme.format.block), rounding=scheme.rounding)
    if scheme.scale.is_exact or FLOAT32 not in scheme.format.scales:
        return None
    return replace(scheme, scale=FLOAT32)


def _find_ragged_tail(examined: Examined) -> Cause | None:
    layout, row = examined.view.layout, examined.row
    tail = layout.columns % layout.block_columns
    if not tail or row.bits_per_weight is None:
        return None
    part = tail / layout.columns
    share = float(np.nansum(examined.profile.group_mse[:, -1]) * tail / examined.error)
    scales = row.bits_per_weight - row.bits
    extra = scales * (1 - layout.rows * layout.columns / (layout.block_rows * layout.block_columns * layout.groups))
    if extra * DB_PER_BIT <= NOTABLE_DB and (share < NOTABLE_SHARE or share < 2 * part):
        return None
    text = (
        f"Rows of {layout.columns} end in a group of {tail} instead of {layout.block_columns}: these hold "
        f"{percent(part, digits=2)} of the values and {percent(share, digits=2)} of the error, and their scales "
        f"cost {extra:.2g} bits per weight more than full groups would."
    )
    return Cause("ragged-tail", text, part, share)


def _find_on_grid(examined: Examined) -> Cause | None:
    if examined.profile.error_in_steps.counts[ERROR_BINS // 2] <= examined.profile.count / 2:
        return None
    x, scheme = examined.sample.matrix, examined.sample.scheme
    y = scheme.fit(x).round_trip(x)
    # Steps found anew in a layer that was quantized before differ from the old ones by a few units of the last place.
    part = int(np.count_nonzero(np.abs(y - x) < ON_GRID * np.abs(x))) / max(1, int(np.count_nonzero(np.abs(x) > 0)))
    if part <= 0.5:
        return None
    text = (
        f"{percent(part, digits=2).capitalize()} of the nonzero values come back as they were: most of the layer "
        "lies on this grid already, as a quantized one does."
    )
    return Cause("on-grid", text, part, 0.0)


_FINDERS: tuple[Callable[[Examined], Cause | None], ...] = (
    _find_clipping,
    _find_outlier_channels,
    _find_outlier_columns,
    _find_outlier_groups,
    _find_crest,
    _find_asymmetry,
    _find_zeroed,
    _find_scale_rounding,
    _find_rounding_mode,
    _find_ragged_tail,
    _find_on_grid,
)


def _share_of(cost_db: float) -> float:
    """The part of the error that a loss of so many dB is."""
    return 1 - 10 ** (-cost_db / 10)


def _name_places(kind: str, found: Outliers) -> str:
    worst = int(found.ratios.argmax())
    ratio = f"{found.ratios[worst]:.3g} times"
    if found.places.size == 1:
        return f"The mean magnitude of {kind} {worst} is {ratio} the median {kind}'s"
    return (
        f"The mean magnitude of {found.places.size:,} of {found.ratios.size:,} {kind}s is 3 times the median "
        f"{kind}'s or more, up to {ratio} ({kind} {worst})"
    )
