"""What is told of forms of quantization? Targets by widths at a glance, then each form with its intervals."""

from __future__ import annotations

from collections.abc import Sequence

from qanalysis.checkpoints.source import SAMPLE_PREFIX
from qanalysis.models.forms.row import STATUS_WORDS, FormRow
from qanalysis.notation import NOTHING, decibels, percent, plain, signed, size
from qanalysis.reports.common_sections import define_columns, tell_coverage
from qanalysis.reports.outline import Facts, Grid, Outline, Prose, Section
from qanalysis.reports.pictures import Chart, make_chart
from qanalysis.results.table import Table

#: How far below the float model's accuracy a form may lie to be named in the headline, as a share.
_NEAR = 0.01
_ENOUGH_DB = 20.0


def outline_forms(table: Table[FormRow], *, title: str | None = None) -> Outline:
    """The smallest form as good as the float model, the view of targets by widths, every form with intervals."""
    rows = list(table)
    name = table.source.path.removeprefix(SAMPLE_PREFIX) if table.source else "a model"
    answer = f"{name}: {_answer(rows)}"
    meanings = Facts([(str(word), meaning) for word, meaning in STATUS_WORDS.items()])
    partial = "Partial: the work was cancelled. Forms that did not see all samples are left out."
    return Outline(
        title=title or f"Forms of {name}",
        headline=answer,
        opening=[answer],
        warnings=[] if table.complete else [partial],
        lead=[*_view(rows), *_list_forms(rows)],
        rest=[
            *_list_reasons(rows),
            *tell_coverage(table),
            define_columns(table.columns, more=[Prose("Status words", strong=True), meanings]),
        ],
    )


def draw_forms(table: Table[FormRow]) -> list[Chart]:
    """The view of targets by widths, and size against accuracy."""
    from qanalysis.charts.forms_charts import arrange_forms, forms_front, forms_map
    from qanalysis.charts.linked.scene import Panel

    rows = list(table)
    drawn = []
    if arrange_forms(rows)[2]:
        caption = "The whole model in each form, before any repair."
        drawn.append(make_chart("Weights, activations, both", caption, Panel("forms", forms_map(rows))))
    if any(row.status == "ok" for row in rows):
        caption = "Left and up is better; activations alone save no space in the file."
        drawn.append(make_chart("Size against accuracy", caption, Panel("front", forms_front(rows))))
    return drawn


def _answer(rows: Sequence[FormRow]) -> str:
    """The smallest form near the float model, in a sentence, and by which rule."""
    measured = [row for row in rows if row.status == "ok"]
    if not measured:
        return "no form could be measured"
    near = [row for row in measured if _is_near(row)]
    has_accuracy = any(row.float_accuracy is not None for row in measured)
    rule = "within 1 point of the float accuracy" if has_accuracy else f"of at least {_ENOUGH_DB:g} dB output SQNR"
    if not near:
        return f"none of {len(measured)} forms is {rule}"
    best = min(near, key=lambda row: (row.size_bytes, -(row.output_sqnr_db or 0)))
    told = [f"{size(best.size_bytes)}, {percent(best.size_ratio)} of the float model"]
    if best.accuracy is not None and best.float_accuracy is not None:
        told.append(f"accuracy {percent(best.accuracy)} against {percent(best.float_accuracy)}")
    told.append(f"output SQNR {decibels(best.output_sqnr_db, digits=1)}")
    repair = f" with {best.repair}" if best.repair else ""
    return f"smallest form {rule} is {best.form}{repair}: {', '.join(told)}"


def _is_near(row: FormRow) -> bool:
    if row.accuracy is not None and row.float_accuracy is not None:
        return row.accuracy >= row.float_accuracy - _NEAR
    return row.float_accuracy is None and row.output_sqnr_db is not None and row.output_sqnr_db >= _ENOUGH_DB


def _view(rows: Sequence[FormRow]) -> list[Section]:
    """Targets down, widths along; nothing where no form has one width."""
    from qanalysis.charts.forms_charts import arrange_forms, choose_figure, name_width, tell

    targets, widths, placed = arrange_forms(rows)
    if not placed:
        return []
    column = choose_figure(rows)
    lines = []
    for target in targets:
        found = [placed.get((target, bits)) for bits in widths]
        lines.append((target, *(NOTHING if row is None else _join(row, tell(row, column)) for row in found)))
    first = "accuracy" if column == "accuracy" else "output SQNR"
    grid = Grid((f"{first} · layer error · size", *map(name_width, widths)), lines)
    note = f"In each cell: {first}, mean relative error of the layers' outputs, size."
    return [Section("view", "Weights, activations, both", [grid], note, printed=True)]


def _join(row: FormRow, figure: str) -> str:
    error = NOTHING if row.layer_error is None else plain(row.layer_error, digits=2)
    return f"{figure} · {error} · {size(row.size_bytes)}"


def _list_forms(rows: Sequence[FormRow]) -> list[Section]:
    if not rows:
        return []
    has_repairs = any(row.repair for row in rows)
    words = ("form", *(["repair"] if has_repairs else []), "size", "ratio", "output SQNR", "accuracy", "loss change")
    lines = [
        (
            row.form,
            *([row.repair or NOTHING] if has_repairs else []),
            size(row.size_bytes),
            percent(row.size_ratio),
            _span(row.output_sqnr_db, row.output_sqnr_db_low, row.output_sqnr_db_high, "dB"),
            _span(row.accuracy, row.accuracy_low, row.accuracy_high, "%"),
            NOTHING if row.loss_delta is None else signed(row.loss_delta, "+.3g"),
            NOTHING if row.layer_error is None else plain(row.layer_error),
            row.worst_layer or NOTHING,
        )
        for row in rows
    ]
    grid = Grid((*words, "layer error", "worst layer"), lines, text_columns=2 if has_repairs else 1)
    note = "In brackets: 95 % intervals over samples."
    return [Section("forms", "Forms", [grid], note, printed=True)]


def _span(value: float | None, low: float | None, high: float | None, unit: str) -> str:
    """A figure with the ends of its interval, those where they are known."""
    if value is None:
        return NOTHING
    show = _in_percent if unit == "%" else _in_decibels
    ends = "" if low is None or high is None else f" ({show(low)} to {show(high)})"
    return f"{show(value)} {unit}{ends}"


def _in_percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _in_decibels(value: float) -> str:
    return signed(value, ".1f")


def _list_reasons(rows: Sequence[FormRow]) -> list[Section]:
    """What there is to know of forms, and why some have no figures."""
    lines = [(row.form, row.repair, row.status, row.reason) for row in rows if row.status != "ok" or row.reason]
    if not lines:
        return []
    grid = Grid(("form", "repair", "status", "what to know"), lines, text_columns=4)
    return [Section("reasons", "What to know", [grid], printed=True)]
