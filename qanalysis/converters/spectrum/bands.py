"""Does the band of interest hold the tone? What is measured where the record's strongest tone lies outside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.converters.findings import Finding
from qanalysis.converters.spectrum.coherence import fold_cycles
from qanalysis.converters.spectrum.spellings import tell_frequency
from qanalysis.converters.spectrum.views import View, Wishes, view_record

_CHANCE = 1e-6  # that noise alone shows a line
_HIGHEST_ORDER = 10


def view_band(centred: Doubles, wishes: Wishes, fs_hz: float | None) -> View:
    """The view of a record (samples,) of mean 0 within a band.

    Where its strongest tone lies outside, that is told; what stands in the band is the tone only if it is no harmonic
    of it and no leak.
    """
    view, samples = view_record(centred, wishes), centred.size
    if view.fits and not _holds_lobe(view, wishes):
        view = View(view.power, view.window, view.side_bins, None, findings=(_tell_outside(view, wishes, fs_hz),))
    if (wishes.first, wishes.last) == (1, samples // 2):
        return view
    whole = view_record(centred, replace(wishes, first=1, last=samples // 2, band=(0.0, 0.5)))
    if not whole.fits or wishes.first <= whole.carriers[0] <= wishes.last:
        return view
    finding = _tell_outside(whole, wishes, fs_hz)
    if view.fits and _is_line(whole, view.carriers[0], wishes) and not _is_harmonic(whole, view.carriers[0]):
        return replace(view, findings=(finding, *view.findings))
    # The window that holds the strong tone keeps its leak out of the band.
    return View(whole.power, whole.window, whole.side_bins, None, findings=(finding,))


def _holds_lobe(view: View, wishes: Wishes) -> bool:
    """Whether any bin of the tone, whose fit may lie beside its peak, is in the band."""
    return wishes.first - view.side_bins <= view.carriers[0] <= wishes.last + view.side_bins


def _tell_outside(whole: View, wishes: Wishes, fs_hz: float | None) -> Finding:
    return tell_outside(whole.cycles[0] / whole.samples, wishes, fs_hz)


def tell_outside(place: float, wishes: Wishes, fs_hz: float | None) -> Finding:
    """That the strongest tone lies at `place`, a share of the sample rate, and not in the band."""
    low, high = (tell_frequency(end, fs_hz) for end in wishes.band)
    text = (
        f"The strongest tone lies at {tell_frequency(place, fs_hz)}, outside the band from {low} to {high}: SINAD, "
        "SNR, SFDR and ENOB are those of a tone in the band, and null without one. State a band that holds the tone."
    )
    return Finding("tone-outside-band", text, place * (fs_hz or 1.0))


def _is_line(whole: View, place: int, wishes: Wishes) -> bool:
    """Whether a bin stands out of its band also where the strong tone does not leak."""
    band = whole.power[wishes.first : wishes.last + 1]
    reach = whole.side_bins + 1
    around = float(whole.power[max(place - reach, wishes.first) : place + reach + 1].sum())
    floor = max(float(band.sum()) - around, 0.0) / max(band.size - 2 * reach - 1, 1)
    top = float(whole.power[max(place - 1, 1) : place + 2].max())
    return top > floor * float(np.log(band.size / _CHANCE))


def _is_harmonic(whole: View, place: int) -> bool:
    cycles, samples = whole.cycles[0], whole.samples
    return any(
        abs(fold_cycles(order * cycles, samples) - place) <= 1 + order / 2 for order in range(2, _HIGHEST_ORDER + 1)
    )
