"""How do several records of one tone become one spectrum? By the mean of their powers, or of the records laid in phase.

The mean of R powers leaves every expected figure as it is and cuts its scatter by sqrt R. The mean of records laid in
phase keeps the tone and what hangs on it, and lowers noise that is independent from record to record by 10 log10 R.
What repeats with the tone does not fall: distortion, and the rounding of records that are locked to the sample clock.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.converters.findings import Finding
from qanalysis.converters.spectrum.bands import view_band
from qanalysis.converters.spectrum.full_scale import FullScale
from qanalysis.converters.spectrum.options import SpectrumOptions
from qanalysis.converters.spectrum.phases import lay_coherent, lay_free
from qanalysis.converters.spectrum.sinefit import SineFit, find_scale
from qanalysis.converters.spectrum.spectrum import (
    Recording,
    Spectrum,
    assemble_spectrum,
    describe_noise,
    measure_spectrum,
    read_wishes,
)
from qanalysis.converters.spectrum.verdicts import judge_constant
from qanalysis.converters.spectrum.views import View, Wishes
from qanalysis.converters.spectrum.windows import check_window
from qanalysis.notation import decibels, plain, quote

_SAME_TONE = 1.0  # bins; a free-running source stays well within one of a record
_NOTABLE_LOSS = 0.5  # dB


@dataclass(frozen=True, slots=True)
class RecordSet:
    """Records of one length and one range that are to become one spectrum.

    Parameters
    ----------
    channels : the records, two at least, each (samples,) finite numbers in one unit.
    names : how messages call them.
    range_of : their range; fs_hz : their sample rate, None where it is unknown.
    """

    channels: Sequence[Doubles]
    names: Sequence[str]
    range_of: FullScale
    fs_hz: float | None


def average_spectrum(records: RecordSet, options: SpectrumOptions) -> Spectrum:
    """The spectrum of several records by `options.average`, which must be stated.

    Raises
    ------
    ValueError : records that do not show the same tone, with the name of the first that differs; two tones that are to
        be laid in phase, whose phases to each other no delay brings together.
    """
    views, recording, wishes = _view_alike(records, options)
    mean = _average_views(views)
    found = assemble_spectrum(mean, records.range_of, recording, wishes)
    if not mean.fits:
        found = describe_noise(found, records.channels, (wishes.first, wishes.last))
    if options.average == "coherent":
        if len(mean.fits) != 1:
            shown = "two tones" if mean.fits else "no tone"
            raise ValueError(
                f"{quote(records.names[0])} shows {shown}: a coherent average lays one tone in phase; "
                "average the powers instead"
            )
        found = _average_in_phase(records, options, views, found)
    findings = (*_find_copies(records), *found.findings)
    return replace(found, findings=findings, records=len(records.channels), average=options.average)


def _view_alike(records: RecordSet, options: SpectrumOptions) -> tuple[list[View], Recording, Wishes]:
    """Every record through the same window, over one scale, and what was taken off them."""
    samples = records.channels[0].size
    wishes = read_wishes(samples, records.fs_hz, options, records.range_of.bits)
    scale = max(find_scale(values) for values in records.channels)
    means = [float((values / scale).mean()) for values in records.channels]
    centred = [values / scale - mean for values, mean in zip(records.channels, means, strict=True)]
    levels = [float(values[0]) for values in records.channels]
    views = [_view_one(*one, wishes, records.fs_hz) for one in zip(centred, levels, strict=True)]
    kinds = {(view.window, view.side_bins) for view in views}
    if len(kinds) > 1:  # the widest lobe holds the tones of all
        window, side_bins = max(kinds, key=lambda kind: kind[1])
        forced = replace(wishes, options=replace(options, window=check_window(window), side_bins=side_bins))
        views = [_view_one(*one, forced, records.fs_hz) for one in zip(centred, levels, strict=True)]
    _check_tones(views, records.names)
    return views, Recording(records.fs_hz, samples, scale, float(np.mean(means))), wishes


def _view_one(centred: Doubles, first: float, wishes: Wishes, fs_hz: float | None) -> View:
    """The view of a record that begins with the value `first`."""
    if centred.min() == centred.max():  # not 0 where the mean was rounded
        power = np.zeros(centred.size // 2 + 1)
        return View(power, "rectangular", 0, None, findings=judge_constant(first))
    view = view_band(centred, wishes, fs_hz)
    return replace(view, fits=tuple(sorted(view.fits, key=lambda fit: fit.frequency_hz)))


def _check_tones(views: Sequence[View], names: Sequence[str]) -> None:
    """ValueError for the first record whose tones are not those of the first one."""
    first = views[0]
    for view, name in zip(views, names, strict=True):
        place = f"{quote(name)} shows {_tell_tones(view)}, {quote(names[0])} {_tell_tones(first)}"
        if len(view.fits) != len(first.fits) or any(
            abs(one - other) > _SAME_TONE for one, other in zip(view.cycles, first.cycles, strict=True)
        ):
            raise ValueError(f"{place}: records of one average are of the same tone; leave it out")


def _tell_tones(view: View) -> str:
    if not view.fits:
        return "no tone"
    places = " and ".join(plain(cycles, digits=6) for cycles in view.cycles)
    return f"{'a tone' if len(view.fits) == 1 else 'two tones'} of {places} periods"


def _average_views(views: Sequence[View]) -> View:
    """The mean of powers by bin, and of the fits' powers and frequencies."""
    coherent = [view.coherent for view in views]
    power: Doubles = np.mean([view.power for view in views], axis=0)
    fits = [_average_fits(alike) for alike in zip(*(view.fits for view in views), strict=True)]
    return replace(
        views[0],
        power=power,
        coherent=None if None in coherent else all(coherent),
        fits=tuple(sorted(fits, key=lambda fit: -fit.power)),
        records=len(views),
    )


def _average_fits(fits: Sequence[SineFit]) -> SineFit:
    return replace(
        fits[0],
        frequency_hz=float(np.mean([fit.frequency_hz for fit in fits])),
        amplitude=float(np.sqrt(np.mean([fit.amplitude**2 for fit in fits]))),
        offset=float(np.mean([fit.offset for fit in fits])),
        residual_rms=float(np.sqrt(np.mean([fit.residual_rms**2 for fit in fits]))),
    )


def _average_in_phase(records: RecordSet, options: SpectrumOptions, views: Sequence[View], each: Spectrum) -> Spectrum:
    """The spectrum of the mean of the records laid in phase; `each` is that of their mean power."""
    if all(view.coherent for view in views):
        mean = lay_coherent(records.channels, views[0].carriers[0])
    else:
        mean = lay_free(records.channels, [view.fits[0].cycles for view in views])
    found = measure_spectrum(mean, records.range_of, options, records.fs_hz)
    return replace(found, findings=(*_judge_gain(found, each, len(views)), *found.findings))


def _judge_gain(found: Spectrum, each: Spectrum, records: int) -> tuple[Finding, ...]:
    """That the figures are those of a mean, and how much less than independent noise the rest has fallen."""
    if found.snr_db is None or each.snr_db is None or each.sinad_db is None:
        return ()
    text = f"The figures are those of the mean of {records} records; one record alone has SINAD "
    told = [Finding("coherent-average", f"{text}{decibels(each.sinad_db)}.", each.sinad_db)]
    gain, full = found.snr_db - each.snr_db, 10 * math.log10(records)
    if math.isfinite(gain) and gain < full - _NOTABLE_LOSS:
        text = (
            f"The average raised the SNR by {decibels(gain)}; noise that differs from record to record gives "
            f"{decibels(full)}. The rest repeats with the tone: the rounding of records locked to the sample clock, or "
            "lines that hang on the tone."
        )
        told.append(Finding("noise-repeats", text, gain))
    return tuple(told)


def _find_copies(records: RecordSet) -> list[Finding]:
    """Records that are equal sample by sample: no more than one of them."""
    seen: dict[bytes, str] = {}
    copies = []
    for values, name in zip(records.channels, records.names, strict=True):
        first = seen.setdefault(values.tobytes(), name)
        if first is not name:
            copies.append((name, first))
    if not copies:
        return []
    text = (
        f"{len(copies)} of {len(records.names)} records equal another sample by sample ({quote(copies[0][0])} equals "
        f"{quote(copies[0][1])}): they tell no more than one does, and the intervals are too narrow."
    )
    return [Finding("equal-records", text, len(copies))]
