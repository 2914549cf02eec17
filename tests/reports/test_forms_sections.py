"""What is said of forms: the smallest one that is as good as float, the view, every form, and why some have no figure."""

from __future__ import annotations

from typing import Any

from qanalysis.models.forms.row import FormRow
from qanalysis.reports.forms_sections import draw_forms, outline_forms
from qanalysis.reports.outline import Grid
from qanalysis.results.identity import SourceIdentity
from qanalysis.results.table import Table


def make_table(*rows: dict[str, Any], **more: Any) -> Table[FormRow]:
    shared: dict[str, Any] = {"target": "weights", "samples": 9, "tokens": 9}
    made = [FormRow(**{**shared, "size_ratio": row["size_bytes"] / 4000, **row}) for row in rows]
    return Table.from_rows(FormRow, made, source=SourceIdentity("sample:digits-mlp", 4000, None), **more)


W8 = {"form": "W8", "bits": 8, "size_bytes": 1000, "weight_scheme": "int8 channel", "float_accuracy": 0.98}
W4 = {"form": "W4", "bits": 4, "size_bytes": 500, "weight_scheme": "int4 channel", "float_accuracy": 0.98}
W1 = {"form": "W1", "bits": 1, "size_bytes": 125, "weight_scheme": "binary channel", "float_accuracy": 0.98}


def test_the_headline_names_the_smallest_form_near_the_float_model() -> None:
    told = outline_forms(make_table(W8 | {"accuracy": 0.98}, W4 | {"accuracy": 0.975}, W1 | {"accuracy": 0.6}))
    assert told.headline.startswith(
        "digits-mlp: smallest form within 1 point of the float accuracy is W4: 500 B, 12.5 % of the float model, "
        "accuracy 97.5 % against 98 %"
    )


def test_no_form_near_enough_and_none_measured_are_said() -> None:
    assert "none of 1 forms is within 1 point" in outline_forms(make_table(W1 | {"accuracy": 0.6})).headline
    failed = make_table(W1 | {"status": "failed", "reason": "it does not run"})
    assert "no form could be measured" in outline_forms(failed).headline
    assert draw_forms(failed)[0].alt.endswith("none of which was measured.")


def test_without_labels_the_output_decides() -> None:
    rows = [row | {"float_accuracy": None} for row in (W8 | {"output_sqnr_db": 40.0}, W4 | {"output_sqnr_db": 19.0})]
    assert "of at least 20 dB output SQNR is W8" in outline_forms(make_table(*rows)).headline


def test_the_view_has_a_column_for_each_width_and_the_list_a_line_for_each_form() -> None:
    table = make_table(
        W8 | {"accuracy": 0.98, "accuracy_low": 0.9, "accuracy_high": 1.0, "layer_error": 0.01},
        W1 | {"accuracy": 0.6},
        W1 | {"accuracy": 0.7, "repair": "bias", "reason": "two sentences"},
        complete=False,
    )
    told = outline_forms(table)
    view, forms = (section.blocks[0] for section in told.lead)
    assert isinstance(view, Grid)
    assert list(view.columns) == ["accuracy · layer error · size", "8 bit", "binary"]
    assert list(view.lines) == [("weights", "98.0 % · 0.01 · 1000 B", "60.0 % · – · 125 B")]
    assert isinstance(forms, Grid)
    assert [line[:2] for line in forms.lines] == [("W8", "–"), ("W1", "–"), ("W1", "bias")]
    assert "98.0 % (90.0 to 100.0)" in forms.lines[0]
    assert told.warnings
    reasons = next(section for section in told.rest if section.id == "reasons").blocks[0]
    assert isinstance(reasons, Grid)
    assert reasons.lines[0][3] == "two sentences"
    assert [chart.heading for chart in draw_forms(table)] == ["Weights, activations, both", "Size against accuracy"]
