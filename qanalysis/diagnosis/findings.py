"""What is wrong with this layer under this scheme, and what helps? Causes and measured cures as one value, and in plain
words.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qanalysis.diagnosis.causes import NOTABLE_DB, Cause, Examined, find_causes
from qanalysis.diagnosis.cures import Cure, measure_cures
from qanalysis.diagnosis.levels import draw_reference, measure_levels
from qanalysis.diagnosis.profile import LayerProfile, profile_layer
from qanalysis.diagnosis.trials import LayerView, Trial, find_outliers, sample_rows, try_schemes, view_layer
from qanalysis.notation import decibels, percent, quote
from qanalysis.quantizers.matrix_view import Axes
from qanalysis.quantizers.scheme import Scheme
from qanalysis.results.document import without_infinity


@dataclass(frozen=True)
class Diagnosis:
    """A layer under the chosen scheme: its figures, what stands out (largest share of the error first), what helps
    (best for its bits first).

    `gaussian_db` is the SQNR of Gaussian values in the same shape, None where unknown; `wasted_bits` the distance to
    Shannon. `tried` of `count` finite elements took part where causes and cures were tried out; `sqnr_db` and shares of
    sum e^2 are of all.
    """

    name: str
    scheme: str
    sqnr_db: float
    bits_per_weight: float
    wasted_bits: float | None
    gaussian_db: float | None
    rounding_share: float | None
    clipping_share: float | None
    count: int
    tried: int
    non_finite: int
    causes: tuple[Cause, ...]
    cures: tuple[Cure, ...]

    @property
    def summary(self) -> str:
        """Where the layer stands, in one or two sentences."""
        if math.isinf(self.sqnr_db):
            return f"No error at {self.bits_per_weight:.4g} bits per weight."
        text = (
            f"{'' if self.causes else 'Nothing stands out: '}{decibels(self.sqnr_db, digits=1)} at "
            f"{self.bits_per_weight:.4g} bits per weight"
        )
        if self.gaussian_db is not None:
            text += f"; Gaussian values of this shape give {decibels(self.gaussian_db, digits=1)}"
        if self.clipping_share is not None:
            rounding, clipping = (percent(part, digits=2) for part in (1 - self.clipping_share, self.clipping_share))
            text += f". Of the error {rounding} is rounding, {clipping} clipping"
        text += "."
        if self.wasted_bits is not None and self.wasted_bits > 0:
            text += (
                f" A perfect code for Gaussian values would need {self.wasted_bits:.2f} bits per weight fewer for "
                "the same error."
            )
        return text

    @property
    def advice(self) -> str:
        """The best cure for its bits, and the best that needs no run-time support, in words. Empty without an error."""
        if not self.cures:
            return ""
        useful = [
            cure for cure in self.cures if cure.code != "wider" and cure.gain_db >= NOTABLE_DB and cure.net_bits > 0
        ]
        if not useful:
            return "No cure tried here buys more than longer codes of the same size would."
        text = f"Best for its bits: {_praise(useful[0])}, as good as {useful[0].worth_bits:.2f} bits more per code."
        if useful[0].needs_support:
            plain = next((cure for cure in useful if not cure.needs_support), None)
            text += (
                f" It needs run-time support; without: {_praise(plain)}." if plain else " It needs run-time support."
            )
        return text

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out, in words."""
        notes = []
        if self.tried < self.count:
            notes.append(
                f"Tried out on {self.tried:,} of {self.count:,} values: whole channels drawn at random, and those "
                "that stand out."
            )
        if self.non_finite:
            notes.append(f"{self.non_finite:,} values are NaN or infinite and left out.")
        return tuple(notes)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, the sentences and the cures' prices too; None for an infinite figure."""
        record = asdict(self) | {"summary": self.summary, "advice": self.advice, "notes": list(self.notes)}
        record["causes"] = [asdict(cause) for cause in self.causes]
        record["cures"] = [
            asdict(cure)
            | {"worth_bits": cure.worth_bits, "net_bits": cure.net_bits, "needs_support": cure.needs_support}
            for cure in self.cures
        ]
        plain: dict[str, Any] = without_infinity(record)
        return plain


def _praise(cure: Cure) -> str:
    price = "for" if cure.extra_bits > 0 else "and saves"
    return f"{cure.text}, {cure.gain_db:+.1f} dB " + (
        f"{price} {abs(cure.extra_bits):.2g} bits per weight" if abs(cure.extra_bits) > 0.005 else "for no bits"
    )


def _draw_sample(
    view: LayerView, outliers: NDArray[np.intp], whole: Trial
) -> tuple[NDArray[np.intp], LayerView, Trial]:
    """Numbers of the rows that things are tried out on, these rows, and the chosen scheme's trial on them."""
    rows = sample_rows(view, outliers)
    if rows.size < len(view.matrix):
        sample = LayerView(view.matrix[rows], view.scheme)
        base = try_schemes(sample.matrix, [sample.scheme])[0]
        if base is not None and base.error:
            return rows, sample, base
    return np.arange(len(view.matrix)), view, whole


def diagnose(
    x: ArrayLike, scheme: Scheme, *, axis: Axes = 0, name: str = "", profile: LayerProfile | None = None
) -> Diagnosis:
    """Causes and measured cures of a float tensor of one or more dimensions under a scheme; `axis` is its channel axis.

    `profile` is the layer's own under the scheme, where it is at hand. Elements that are not finite are left out and
    counted. Above 2^21 values cures, and causes that need a trial, are measured on whole channels drawn at random.
    TypeError for a tensor that holds no floats; ValueError for one without a finite value, of zeros only, or that the
    scheme does not fit.

    >>> weights = np.random.default_rng(1).standard_normal((16, 64), dtype=np.float32)
    >>> weights[3] *= 20
    >>> found = diagnose(weights, Scheme.parse("int4 channel"))
    >>> found.causes[0].code, round(found.causes[0].share, 2), found.cures[0].code
    ('outlier-channels', 0.96, 'keep')
    """
    shown = profile or profile_layer(x, scheme, axis=axis, name=name)
    view = view_layer(x, scheme, axis=axis)
    whole = try_schemes(view.matrix, [view.scheme])[0]
    if whole is None or whole.row is None or whole.row.sqnr_db is None:
        raise ValueError(
            f"tensor {quote(name)}: every value is zero, which every scheme keeps exactly; there is nothing to diagnose"
        )
    channels, columns = find_outliers(view)
    rows, sample, base = _draw_sample(view, channels.places, whole)
    reference = draw_reference(view.scheme, *view.matrix.shape)
    examined = Examined(view, shown, whole.row, channels, columns, rows, sample, base, reference, measure_levels(view))
    figures = {"sqnr_db": whole.row.sqnr_db, "bits_per_weight": whole.bits_per_weight}
    cures = measure_cures(sample, scheme, columns=columns.places, base=base, **figures) if base.error else ()
    return Diagnosis(
        name=name,
        scheme=str(scheme),
        sqnr_db=whole.row.sqnr_db,
        bits_per_weight=whole.bits_per_weight,
        wasted_bits=whole.row.wasted_bits,
        gaussian_db=None if reference is None else reference.sqnr_db,
        rounding_share=whole.row.rounding_share,
        clipping_share=whole.row.clipping_share,
        count=shown.count,
        tried=int(np.count_nonzero(np.isfinite(sample.matrix))),
        non_finite=shown.non_finite,
        causes=find_causes(examined),
        cures=cures,
    )
