"""What must a reader know before he trusts a spectrum's figures? Findings about tones, folding, and the two SINADs."""

from __future__ import annotations

import numpy as np

from qanalysis.converters.findings import Finding
from qanalysis.converters.spectrum.components import ON_DC, ON_TONE, Component
from qanalysis.converters.spectrum.figures import AGREEMENT_DB, Evidence
from qanalysis.converters.spectrum.row import RecordRow
from qanalysis.converters.spectrum.spellings import tell_frequency
from qanalysis.converters.spectrum.views import View
from qanalysis.notation import decibels, plain, true_minus

_PRECISION_DB = 200  # more than 32 bits
_MOST_NAMED = 12


def judge_constant(value: float) -> tuple[Finding, ...]:
    """A record of one value has no spectrum."""
    text = (
        f"Every sample is {plain(value, digits=4)}: there is no tone and no noise to measure. "
        "Check that the input is connected and the right channel was read."
    )
    return (Finding("constant", text, value),)


def judge_view(view: View, row: RecordRow, evidence: Evidence) -> tuple[Finding, ...]:
    """Findings of a spectrum whose figures stand in its row, in the order in which one reads them.

    A record without a tone has one only: why. What the view found by itself is no part of them.
    """
    if not view.fits:
        return _judge_missing(view)
    found = [
        *_judge_two_tones(view, row.intermodulation, row.fs_hz),
        *_judge_noiseless(row),
        *_judge_folding(row.harmonics),
        *_judge_thd(row),
    ]
    disagreement = _judge_disagreement(view, row, evidence)
    return (*found, disagreement) if disagreement else tuple(found)


def _judge_missing(view: View) -> tuple[Finding, ...]:
    """No tone: how far the highest bin stands above the mean bin, DC aside; nothing where the view says more."""
    if view.findings:
        return ()
    others = view.power[1:]
    ratio = float(10 * np.log10(others.max() / others.mean()))
    text = (
        f"No tone stands out: the highest bin is {decibels(ratio, digits=1)} above the mean bin, as noise "
        "alone may be. "
        "SINAD, SNR, THD, SFDR and ENOB need a tone."
    )
    return (Finding("no-tone", text, ratio),)


def _judge_two_tones(view: View, products: tuple[Component, ...], fs_hz: float | None) -> list[Finding]:
    """Two tones, how far they are apart in level,
    and the largest product of either order that rises above the noise.
    """
    if len(view.fits) < 2:
        return []
    first, second = (cycles / view.samples for cycles in view.cycles)
    gap = 10 * np.log10(view.fits[0].power / view.fits[1].power)
    worst = [_name_worst(products, order) for order in (2, 3)]
    text = (
        f"Two tones, at {tell_frequency(first, fs_hz)} and {tell_frequency(second, fs_hz)}, {decibels(float(gap))} "
        "apart; both count as signal. "
        f"Largest products, over the stronger tone: {worst[0]}, {worst[1]}."
    )
    return [Finding("two-tone", text, float(second * (fs_hz or 1.0)))]


def _name_worst(lines: tuple[Component, ...], order: int) -> str:
    """The largest mixing product of an order, with its level."""
    products = [line for line in lines if line.kind == "product" and line.order == order]
    risen = [line for line in products if line.corrected_dbc is not None]
    if not risen:
        return f"IMD{order} below the noise"
    worst = max(risen, key=lambda line: line.corrected_dbc or 0.0)
    return f"{true_minus(worst.name)} {decibels(worst.corrected_dbc, 'dBc', digits=1)}"


def _judge_noiseless(row: RecordRow) -> list[Finding]:
    """Why SINAD is no finite figure although there is a tone."""
    if row.sinad_db is not None and np.isfinite(row.sinad_db):
        return []
    text = (
        "Nothing but the tone and DC is in the record: its error folds onto them, or there is none, so that SINAD, "
        "SNR and ENOB are infinite."
    )
    return [Finding("no-error", f"{text} Choose a number of periods that has no divisor in common with the length.")]


def _judge_folding(harmonics: tuple[Component, ...]) -> list[Finding]:
    """Harmonics that fold onto the tone, onto DC or onto each other, where their power can not be told apart."""
    findings = []
    for owner, code, effect in (
        (ON_TONE, "harmonic-on-tone", "its power counts as signal"),
        (ON_DC, "harmonic-on-dc", "it is left out with the offset"),
    ):
        orders = [line.order for line in harmonics if line.shared == owner]
        if orders:
            names = _list_some([f"HD{order}" for order in orders])
            verb = "fold" if len(orders) > 1 else "folds"
            findings.append(
                Finding(
                    code, f"{names} {verb} onto {owner}: {effect}. Choose another number of periods.", float(orders[0])
                )
            )
    shared = [line for line in harmonics if line.owner is not None]
    if shared:
        names = _list_some([f"{line.name} with {line.owner}" for line in shared])
        findings.append(
            Finding(
                "harmonics-share-bins",
                f"Harmonics fold onto each other and are counted once: {names}.",
                float(shared[0].order),
            )
        )
    return findings


def _list_some(names: list[str]) -> str:
    """The first of many names: a hundred harmonics fill no line."""
    rest = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"{', '.join(names[:_MOST_NAMED])}{rest}"


def _judge_thd(row: RecordRow) -> list[Finding]:
    """Why there is no THD although there are harmonics: they do not rise above the noise."""
    if not row.thd_below_noise or row.thd_ci95_db is None or row.thd_raw_dbc is None:
        return []
    limit = row.thd_ci95_db[1]
    text = (
        f"The harmonics' bins hold no more than noise would: THD is below {decibels(limit, 'dBc', digits=1)} (95 %). "
        f"Their raw sum, {decibels(row.thd_raw_dbc, 'dBc', digits=1)}, is noise. A longer record sees deeper."
    )
    return [Finding("thd-below-noise", text, limit)]


def _judge_disagreement(view: View, row: RecordRow, evidence: Evidence) -> Finding | None:
    """Why SINAD by spectrum and by sine fit differ, where they do by more than 0.1 dB.

    None too where one of them is infinite or missing.
    """
    if (
        row.spectrum_sinad_db is None
        or row.sinefit_sinad_db is None
        or not np.isfinite([row.spectrum_sinad_db, row.sinefit_sinad_db]).all()
    ):
        return None
    gap = row.spectrum_sinad_db - row.sinefit_sinad_db
    if abs(gap) <= AGREEMENT_DB or row.osr != 1.0:  # the fit sees what a part of the band leaves out
        return None
    chance = evidence.chance_db
    if min(row.spectrum_sinad_db, row.sinefit_sinad_db) > _PRECISION_DB:
        reason = (
            "both lie where double precision and the window's side lobes end; "
            "the record itself has no error to speak of"
        )
    elif view.window == "rectangular" and view.samples < 500:
        reason = f"{view.samples} samples leave few degrees of freedom, of which the fit takes four per tone"
    elif abs(gap) <= chance:
        reason = (
            f"the {view.window} window weights the middle of the record, so that the two see different noise; "
            f"±{decibels(chance)} is chance (99 %)"
        )
    elif view.findings:
        reason = view.findings[0].text
    else:
        reason = f"chance explains only ±{decibels(chance)}: the tone drifts, breaks off or is modulated"
        if evidence.by_fit:
            reason = f"{reason}. The lower one stands for the record"
    both = f"{decibels(row.spectrum_sinad_db)} by spectrum and {decibels(row.sinefit_sinad_db)} by sine fit"
    return Finding("sinad-differs", f"SINAD is {both}: {reason}.", float(gap))
