"""What is told of a sensitivity? Which layer hurts, how sure that is, where noise begins, whether damages add up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from qanalysis.charts.sensitivity_pairs import tell_share
from qanalysis.charts.sensitivity_sheet import (
    COLUMNS,
    MEASURES,
    MODE_WORDS,
    TARGET_WORDS,
    Look,
    Sheet,
    find_ends,
    tell_interval,
    tell_value,
)
from qanalysis.charts.wording import count_of
from qanalysis.models.sensitivity.row import STATUS_WORDS, SensitivityRow
from qanalysis.notation import NOTHING, count, percent, plain, shorten
from qanalysis.reports.common_sections import define_columns, tell_coverage
from qanalysis.reports.outline import Facts, Grid, Outline, Prose, Section
from qanalysis.reports.summary import list_notes
from qanalysis.results.table import Table

WORST_SHOWN = 10
UNMEASURED_SHOWN = 40
_BESIDE = ("output_sqnr_db", "output_kl", "loss_delta", "accuracy", "layer_output_error")
_NOTE = (
    "y is the float model's output and e what the change adds to it; sums over all samples are taken before ratios. "
    "Intervals hold 95 % of the figures of samples drawn anew."
)


def outline_sensitivity(table: Table[SensitivityRow], *, title: str | None = None) -> Outline:
    """A sensitivity as it is told; ValueError where there are no rows."""
    sheet = Sheet(table)
    look = sheet.open()
    answer = tell_answer(sheet, look)
    under = [*tell_conditions(sheet, look), *list_notes(table.coverage)]
    warnings = list_warnings(sheet)
    meanings = Facts([(str(word), meaning) for word, meaning in STATUS_WORDS.items()])
    return Outline(
        title=title or f"Sensitivity of {name_model(table)}",
        headline=answer,
        under=under,
        warnings=warnings,
        opening=[answer, *under],
        closing=[*warnings, *_count_unmeasured(table)],
        lead=[_list_worst(sheet, look), *_compare_schemes(sheet, look)],
        rest=[
            *_list_agreement(sheet, look),
            *_list_unmeasured(table),
            *(replace(one, printed=False) for one in tell_coverage(table)),
            define_columns(table.columns, note=_NOTE, more=[Prose("Status words", strong=True), meanings]),
        ],
    )


def name_model(table: Table[SensitivityRow]) -> str:
    """The model as the document names it."""
    return shorten(table.source.path, 80) if table.source else "a model"


def tell_answer(sheet: Sheet, look: Look) -> str:
    """What was done to which model, over how many samples, and which layer hurts most, in one sentence.

    "What quantizing the weights of each layer alone to int4 channel does to the output of sample:digits-cnn, over 450
    samples: conv1.weight hurts most, Output SQNR 18.91 dB [18.70, 19.14]"
    """
    rows = sheet.choose(look)
    samples = max((row.samples for row in rows), default=0)
    done = f"quantizing the {TARGET_WORDS[look.target]} of {MODE_WORDS[look.mode]} to {look.scheme}"
    subject = f"What {done} does to the output of {name_model(sheet.table)}, over {count_of(samples, 'sample')}"
    ranked = sheet.rank(look)
    state = "" if sheet.table.complete else "; cancelled, rows so far"
    if not ranked:
        return f"{subject}: no layer could be measured{state}"
    return f"{subject}: {_tell_worst(sheet, look, ranked)}{state}"


def _tell_worst(sheet: Sheet, look: Look, ranked: Sequence[SensitivityRow]) -> str:
    """The layer that hurts most, or the group that can not be told apart from it."""
    if look.mode == "cumulative":
        last = next(row for row in reversed(sheet.choose(look)) if row in ranked)
        figure = f"{MEASURES[look.metric].label} {tell_interval(last, look.metric)}"
        return f"{figure} with all up to {shorten(last.tensor, 80)}"
    worst, ties = ranked[0], sheet.find_ties(ranked, look)
    without = " without it" if look.mode == "disable-one" else ""
    figure = f"{MEASURES[look.metric].label}{without} {tell_interval(worst, look.metric)}"
    tied = ties[0][1] if ties and ties[0][0] == 0 else 0
    if not tied:
        return f"{shorten(worst.tensor, 80)} hurts most, {figure}"
    others = "one other" if tied == 1 else f"{tied} others"
    return f"{shorten(worst.tensor, 80)} and {others} hurt most and can not be told apart, {figure}"


def tell_conditions(sheet: Sheet, look: Look) -> list[str]:
    """What the figures hold for, a line each: the data, the float model's own figures, the noise floor, and what ranks
    go by.
    """
    table, lines = sheet.table, []
    rows = sheet.choose(look)
    if rows:
        data = table.settings.get("calibration")
        of = f" of {shorten(str(data), 80)}" if data else ""
        lines.append(
            f"{count_of(rows[0].samples, 'sample')}, {count_of(rows[0].tokens, 'token')}{of}{_tell_float(sheet)}"
        )
    span = sheet.span_floors(look.metric)
    if span is not None:
        ends = " to ".join(dict.fromkeys(tell_value(look.metric, end) for end in span))
        noisy = sum(sheet.is_in_noise(row, look.metric) for row in sheet.rank(look))
        above = f"{len(sheet.rank(look)) - noisy} of {len(sheet.rank(look))} layers lie above their own"
        lines.append(f"noise floor {ends} (one bfloat16 rounding of a layer, or another order of batches); {above}")
    ties = sheet.find_ties(sheet.rank(look), look)
    if sheet.is_ranked(look):
        told = f", in {count_of(len(ties), 'group')} that can not be told apart at 95 %" if ties else ""
        tied = sum(last - first + 1 for first, last in ties)
        lines.append(
            f"ranked by {MEASURES[look.metric].label}; {tied} of {len(sheet.rank(look))} layers share a rank{told}"
        )
    together = [row for row in sheet.table.totals if (row.scheme, row.target) == (look.scheme, look.target)]
    if together and getattr(together[0], look.metric) is not None:
        lines.append(f"all layers together: {MEASURES[look.metric].label} {tell_interval(together[0], look.metric)}")
    return lines


def _tell_float(sheet: Sheet) -> str:
    own = sheet.part("float")
    parts = []
    if isinstance(own, Mapping):
        loss, accuracy = own.get("loss"), own.get("accuracy")
        parts += [f"accuracy {percent(float(accuracy))}"] if isinstance(accuracy, int | float) else []
        parts += [f"loss {plain(float(loss))}"] if isinstance(loss, int | float) else []
    return f"; float {', '.join(parts)}" if parts else ""


def list_warnings(sheet: Sheet) -> list[str]:
    """What must be known before the figures are used: a cancelled run, and damages that do not add up."""
    told = (
        [] if sheet.table.complete else ["Partial: the measurement was cancelled. These are the rows made until then."]
    )
    added = sheet.part("additivity")
    warning = str(added.get("warning") or "") if isinstance(added, Mapping) else ""
    for name, measure in MEASURES.items():
        warning = warning.replace(f"{name} does not add up", f"{measure.label} does not add up")
    return [*told, warning] if warning else told


def _list_worst(sheet: Sheet, look: Look) -> Section:
    """At most ten layers, the one that hurts most first; tied ones share their rank."""
    ranked = sheet.rank(look)
    shown, ties = ranked[:WORST_SHOWN], sheet.find_ties(ranked, look)
    tied = {place for first, last in ties for place in range(first, last + 1)}
    beside = [name for name in _BESIDE if name != look.metric and any(getattr(row, name) is not None for row in shown)]
    measures = [look.metric, *beside]
    lines = [
        (
            f"{row.rank if sheet.is_ranked(look) else place + 1}{'=' if place in tied else ''}",
            row.tensor,
            tell_value(look.metric, getattr(row, look.metric)),
            _tell_ends(row, look.metric),
            *(tell_value(name, getattr(row, name)) for name in beside),
        )
        for place, row in enumerate(shown)
    ]
    heads = ("rank", "tensor", MEASURES[look.metric].label, "95 %", *(MEASURES[name].label for name in measures[1:]))
    more = f" The worst {len(shown)} of {len(ranked)}." if len(ranked) > len(shown) else ""
    note = f"{look.convention}. Layers marked = share a rank: they can not be told apart.{more}"
    grid = Grid(heads, lines, text_columns=2, names=frozenset({1}))
    return Section("worst", f"Layers that hurt most at {look.scheme}", [grid], note, printed=True)


def _tell_ends(row: SensitivityRow, metric: str) -> str:
    ends, unit = find_ends(row, metric), COLUMNS[metric].unit
    if ends is None:
        return NOTHING
    low, high = (tell_value(metric, end).removesuffix(f" {unit}") for end in ends)
    return f"{low} to {high}"


def _compare_schemes(sheet: Sheet, look: Look) -> list[Section]:
    """A line for each target, mode and scheme: its worst layer, and how many layers can be told from noise."""
    if len(sheet.looks) < 2:
        return []
    lines = []
    for one in sheet.looks:
        own = replace(one, metric=look.metric)
        ranked = sheet.rank(own)
        worst = ranked[0] if ranked else None
        noisy = sum(sheet.is_in_noise(row, look.metric) for row in ranked)
        told = sheet.span_floors(look.metric) is not None
        lines.append(
            (
                one.scheme,
                one.target,
                one.mode,
                NOTHING if worst is None else worst.tensor,
                NOTHING if worst is None else tell_value(look.metric, getattr(worst, look.metric)),
                f"{len(ranked) - noisy} of {len(ranked)}" if told else NOTHING,
            )
        )
    heads = ("scheme", "target", "mode", "worst layer", MEASURES[look.metric].label, "above noise")
    grid = Grid(heads, lines, text_columns=4, names=frozenset({0, 3}))
    return [Section("measurements", "Every measurement", [grid], printed=True)]


def _list_agreement(sheet: Sheet, look: Look) -> list[Section]:
    """How far pairs of measures rank the layers alike under the scheme of the headline; no section where the document
    does not say.
    """
    found = sheet.table.more.get("agreement")
    known = [entry for entry in found if isinstance(entry, Mapping)] if isinstance(found, Sequence) else []
    wanted = (look.scheme, look.target)
    entries = [entry for entry in known if (entry.get("scheme"), entry.get("target", look.target)) == wanted]
    lines = [
        (
            _name_measure(entry.get("a")),
            _name_measure(entry.get("b")),
            *(tell_share(entry, name) for name in ("spearman", "kendall")),
            str(entry.get("over", "")),
        )
        for entry in entries
    ]
    grid = Grid(("measure", "against", "Spearman", "Kendall", "drawn anew"), lines, text_columns=2)
    scale = "1: both rank the layers alike, 0: no agreement, −1: the reverse order; in brackets the 95 % interval."
    note = f"{look.convention}. {scale}"
    return [Section("agreement", "Do measures rank layers alike?", [grid], note)] if lines else []


def _name_measure(name: Any) -> str:
    return MEASURES[name].label if name in MEASURES else str(name)


def _list_unmeasured(table: Table[SensitivityRow]) -> list[Section]:
    """One line per tensor and status without figures, and how many there are."""
    first: dict[tuple[str, str], SensitivityRow] = {}
    for place in np.flatnonzero(table.column("status") != "ok").tolist():
        row = table[place]
        first.setdefault((row.tensor, row.status), row)
    shown = list(first.values())[:UNMEASURED_SHOWN]
    if not shown:
        return []
    lines = [(row.tensor, row.scheme, row.status, row.reason or STATUS_WORDS[row.status]) for row in shown]
    grid = Grid(("tensor", "scheme", "status", "reason"), lines, text_columns=4, names=frozenset({0, 1}))
    note = f"Layers that could not be measured, {len(shown):,} of {len(first):,}."
    return [Section("unmeasured", "Without figures", [grid], note)]


def _count_unmeasured(table: Table[SensitivityRow]) -> list[str]:
    without = int((table.column("status") != "ok").sum())
    told = f"{without} of {count(len(table), 'rows')} hold no figures; their columns status and reason say why"
    return [told] if without else []
