"""What is told of a sweep? The headline, totals, worst tensors, diagnoses, what could not be measured; its charts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from qanalysis.checkpoints.source import SAMPLE_PREFIX
from qanalysis.notation import NOTHING, decibels, plain, size, true_minus
from qanalysis.reports.common_sections import define_columns, tell_coverage
from qanalysis.reports.layer_scene import draw_layer, find_file
from qanalysis.reports.outline import Block, Bullets, Facts, Grid, Outline, Prose, Section
from qanalysis.reports.pictures import Chart, make_chart
from qanalysis.reports.summary import (
    choose_scheme,
    find_worst_channel,
    headline,
    select_worst,
    tell_source,
)
from qanalysis.sweeps.row import STATUS_WORDS, Rows

if TYPE_CHECKING:
    from qanalysis.diagnosis.findings import Diagnosis
    from qanalysis.diagnosis.profile import LayerProfile

CURVE_LAYERS = 3
UNMEASURED_SHOWN = 40
MOST_DRAWN = 2_000  # tensors: more lines than a heat map has pixels
_NOTE = "x is the original, y what comes back, e = y − x; sums run over the finite values. Fractions are shares of 1."


def outline_sweep(
    rows: Rows,
    *,
    scheme: str | None = None,
    profiles: Sequence[LayerProfile] = (),
    diagnoses: Sequence[Diagnosis] = (),
    title: str | None = None,
) -> Outline:
    """A sweep as it is told; `scheme` is the one of the headline and of the worst tensors, by default `choose_scheme`.

    Raises ValueError for an unknown scheme and for no rows.
    """
    chosen = scheme or choose_scheme(rows)
    answer = headline(rows, chosen, worst_channel=find_worst_channel(rows, chosen, profiles))
    under = tell_source(rows)
    found = [_diagnose(number, one) for number, one in enumerate(diagnoses, 1)]
    partial_run = "Partial: the sweep was cancelled. These are the rows made until then; totals cover only them."
    meanings = Facts([(str(word), meaning) for word, meaning in STATUS_WORDS.items()])
    return Outline(
        title=title or f"Quantization error of {rows.source.path.removeprefix(SAMPLE_PREFIX)}",
        headline=answer,
        under=under,
        opening=[answer, *under],
        warnings=[] if rows.complete else [partial_run],
        tiles=_list_tiles(rows, chosen),
        lead=[*_sum_up(rows, chosen), *_list_worst(rows, chosen)],
        rest=[
            *found,
            *_list_unmeasured(rows),
            *(replace(one, printed=False) for one in tell_coverage(rows)),
            define_columns(rows.columns, note=_NOTE, more=[Prose("Status words", strong=True), meanings]),
        ],
    )


def draw_sweep(rows: Rows, *, scheme: str | None = None, profiles: Sequence[LayerProfile] = ()) -> list[Chart]:
    """The charts of the page: error by layer and scheme, error against bits, and the layers seen from inside.

    None for more than 2,000 tensors; without any SQNR those of the profiles alone. Several profiles of one layer, which
    are of several bit widths, become one scene with a slider. Raises ValueError where there is no row at all.
    """
    from qanalysis.charts.curves import error_curves
    from qanalysis.charts.heat_map import heat_map
    from qanalysis.charts.linked.recipes import write_map, write_sweep
    from qanalysis.charts.linked.scene import Panel

    chosen = scheme or choose_scheme(rows)
    worst = [row.tensor for row in select_worst(rows, chosen, count=CURVE_LAYERS)]
    drawn: list[Chart] = []
    if len(set(rows.column("tensor"))) > MOST_DRAWN:
        return drawn
    source = find_file(rows)
    if any(not math.isnan(value) for value in rows.column("sqnr_db")):
        caption = "SQNR of every layer under every scheme; higher is better."
        python = write_map(source, rows.settings, "sqnr_db") if source else ""
        heat = Panel("heat", heat_map(rows.rows, "sqnr_db"), python, kind="grid")
        drawn.append(make_chart("Every layer under every scheme", caption, heat))
    if worst:
        caption = f"The {len(worst)} worst layers at {chosen}, beside what theory allows."
        python = write_sweep(source, rows.settings) if source else ""
        curves = Panel("curves", error_curves(rows.rows, worst, "sqnr_db"), python)
        drawn.append(make_chart("Error against bits", caption, curves))
    layers: dict[str, list[LayerProfile]] = {}
    for profile in profiles:
        layers.setdefault(profile.name, []).append(profile)
    return drawn + [draw_layer(rows, own, chosen) for own in layers.values()]


def _sum_up(rows: Rows, scheme: str) -> list[Section]:
    """The totals, those without figures last; a bar of SQNR beside each. No section where there are no totals."""
    totals = sorted(rows.totals, key=lambda row: row.sqnr_db is None)
    if not totals:
        return []
    lines = [
        (
            row.scheme,
            _show_bits(row.bits_per_weight),
            size(row.size_bytes),
            _db(row.sqnr_db),
            _percent(row.clipped_fraction),
            _percent(row.zeroed_fraction),
        )
        for row in totals
    ]
    chosen = next((place for place, row in enumerate(totals) if row.scheme == scheme), None)
    grid = Grid(
        ("scheme", "bits/weight", "size", "SQNR", "clipped", "zeroed"),
        lines,
        names=frozenset({0}),
        bars={3: _measure_bars([row.sqnr_db for row in totals], _full_bar(rows))},
        chosen=chosen,
    )
    note = "Pooled over the measured tensors: the error of all values together."
    return [Section("totals", "Totals per scheme", [grid], note, width="seven", printed=True)]


def _list_worst(rows: Rows, scheme: str) -> list[Section]:
    """At most ten layers of the scheme with the lowest SQNR; no section where nothing was measured."""
    worst = select_worst(rows, scheme)
    if not worst:
        return []
    lines = [
        (row.tensor, row.shape, _db(row.sqnr_db), _percent(row.zeroed_fraction), _show(row.max_abs_error))
        for row in worst
    ]
    grid = Grid(
        ("tensor", "shape", "SQNR", "zeroed", "largest error"),
        lines,
        text_columns=2,
        names=frozenset({0}),
        bars={2: _measure_bars([row.sqnr_db for row in worst], _full_bar(rows))},
    )
    return [Section("worst", f"Worst tensors at {scheme}", [grid], "Lowest SQNR first.", width="five", printed=True)]


def _list_unmeasured(rows: Rows) -> list[Section]:
    """One line per tensor and status that has no figures, the first of the file first, and how many there are."""
    places = np.flatnonzero(rows.column("status") != "ok")
    first: dict[tuple[str, str], int] = {}
    for place in places.tolist():
        first.setdefault((rows.column("tensor")[place], rows.column("status")[place]), place)
    shown = [rows[place] for place in list(first.values())[:UNMEASURED_SHOWN]]
    if not shown:
        return []
    lines = [(row.tensor, row.shape, row.dtype, row.status, row.reason or STATUS_WORDS[row.status]) for row in shown]
    grid = Grid(("tensor", "shape", "type", "status", "reason"), lines, text_columns=5, names=frozenset({0}))
    note = f"Tensors that could not be measured, {len(shown):,} of {len(first):,}."
    return [Section("unmeasured", "Without figures", [grid], note)]


def _list_tiles(rows: Rows, scheme: str) -> list[tuple[str, str, str]]:
    """Label, figure and remark of the large figures: tensors, values, pooled SQNR, bits per weight, size, worst tensor.

    Those of the totals are missing where there are none, the last one where nothing was measured.
    """
    of_scheme = rows.column("scheme") == scheme
    measured = int((of_scheme & (rows.column("status") == "ok")).sum())
    tiles = [("Tensors", f"{measured:,}", f"of {int(of_scheme.sum()):,} measured")]
    total = next((row for row in rows.totals if row.scheme == scheme), None)
    if total is not None:
        tiles += [
            ("Values", f"{total.numel:,}", "in measured tensors"),
            ("Pooled SQNR", _db(total.sqnr_db), f"at {scheme}"),
            ("Bits per weight", _show_bits(total.bits_per_weight), "scales included"),
            ("Size", size(total.size_bytes), f"input {size(rows.source.size)}"),
        ]
    return tiles + [("Worst tensor", _db(row.sqnr_db), row.tensor) for row in select_worst(rows, scheme, count=1)]


def _diagnose(number: int, found: Diagnosis) -> Section:
    """What is wrong with one layer, and what helps; bars are of the largest finite gain, in dB."""
    blocks: list[Block] = [Prose(found.summary)]
    if found.causes:
        blocks.append(Bullets([(cause.title, cause.text) for cause in found.causes]))
    blocks += [Prose(found.advice, strong=True)] if found.advice else []
    blocks += [Prose(note, soft=True) for note in found.notes]
    if found.cures:
        largest = max((cure.gain_db for cure in found.cures if math.isfinite(cure.gain_db)), default=0.0)
        lines = [
            (
                cure.text,
                cure.scheme or "needs run-time support",
                true_minus(f"{cure.gain_db:+.2f} dB"),
                true_minus(f"{cure.worth_bits:+.2f}"),
                f"{cure.extra_bits:.3f}",
                true_minus(f"{cure.net_bits:+.2f}"),
                _db(cure.sqnr_db),
            )
            for cure in found.cures
        ]
        head = ("cure", "scheme", "gain", "as bits", "price, bits/weight", "net, bits", "SQNR")
        bars = {2: _measure_bars([cure.gain_db for cure in found.cures], largest)}
        order = "Measured on this layer, the best for its bits first: "
        blocks.append(Prose(f"{order}net is the gain, at 6.02 dB a bit, less the price.", soft=True))
        blocks.append(Grid(head, lines, text_columns=2, bars=bars))
    return Section(f"diagnosis-{number}", f"Diagnosis of {found.name} at {found.scheme}", blocks)


def _full_bar(rows: Rows) -> float:
    """Decibels of a full bar: the largest finite SQNR of the totals, else of the rows; 1 without any."""
    known = (rows.totals or rows.rows).column("sqnr_db")
    return float(np.max(known, where=np.isfinite(known), initial=0.0)) or 1.0


def _measure_bars(values: Sequence[float | None], whole: float) -> list[int]:
    """Lengths of bars in percent of `whole`: 0 to 100, 0 for None and for what is negative, 100 for infinity."""
    return [0 if value is None or whole <= 0 else round(100 * min(1.0, max(0.0, value / whole))) for value in values]


def _db(value: float | None) -> str:
    """One digit behind the point, a dash for none."""
    return decibels(value, digits=1)


def _show(value: float | None) -> str:
    return NOTHING if value is None else plain(value)


def _show_bits(value: float | None) -> str:
    return NOTHING if value is None else plain(value, digits=4)


def _percent(share: float | None) -> str:
    """In percent with one place, so that a column of them aligns; what is not nothing never reads as 0.0 %."""
    if share is None:
        return NOTHING
    return f"{100 * share:.1f} %" if share == 0 or share >= 5e-4 else "under 0.1 %"


def count_unmeasured(rows: Rows) -> str:
    """How many rows hold no figures, and of how many tensors, in a sentence; empty where all rows are measured."""
    without = rows.column("status") != "ok"
    tensors = len(set(rows.column("tensor")[without]))
    if not tensors:
        return ""
    counted = f"{int(without.sum())} of {len(rows)} rows ({tensors} tensors) hold no figures"
    return f"{counted}; their columns status and reason say why"
