"""Forms as a map of targets by widths, and as points of size against accuracy."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qanalysis.charts.forms_charts import arrange_forms, forms_front, forms_map
from qanalysis.models.forms.row import FormRow


def make_row(form: str, target: Any, bits: int, **cells: Any) -> FormRow:
    names = {8: "int8", 4: "int4", 1: "binary"}
    weight = f"{names[bits]} channel" if target != "activations" else ""
    activation = names[bits] if target != "weights" else ""
    shared: dict[str, Any] = {"weight_scheme": weight, "activation_scheme": activation, "samples": 50, "tokens": 50}
    ratio = bits / 32 if weight else 1.0
    return FormRow(
        form=form, target=target, bits=bits, size_bytes=round(4096 * ratio), size_ratio=ratio, **{**shared, **cells}
    )


ROWS = [
    make_row("W8", "weights", 8, accuracy=0.98, accuracy_low=0.96, accuracy_high=1.0, output_sqnr_db=40.0),
    make_row("W1", "weights", 1, accuracy=0.5, accuracy_low=0.4, accuracy_high=0.6, output_sqnr_db=2.0),
    make_row("A8", "activations", 8, accuracy=0.97, output_sqnr_db=float("inf")),
    make_row("A1", "activations", 1, status="failed", reason="does not run"),
    make_row("W1", "weights", 1, accuracy=0.7, repair="bias", output_sqnr_db=3.0),
]


def test_a_form_stands_where_its_target_and_width_meet_before_its_repair() -> None:
    targets, widths, placed = arrange_forms(ROWS)
    assert (targets, widths) == (["weights", "activations"], [8, 1])
    assert placed["weights", 1].accuracy == 0.5
    mixed = make_row("W4A8", "both", 4, weight_scheme="int4 channel", activation_scheme="int8")
    assert arrange_forms([mixed])[2] == {}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_map_colours_accuracy_and_writes_layer_error_and_size_into_cells(theme: Any) -> None:
    figure = forms_map(ROWS, theme=theme)
    heat = figure.data[0]
    assert list(heat.x) == ["8 bit", "binary"]
    assert list(heat.y) == ["weights", "activations"]
    assert list(heat.z[0]) == [0.98, 0.5]
    assert heat.text[0][0] == "<b>98.0 %</b><br>–<br>1.00 KiB"
    assert figure.layout.meta["alt"] == "Accuracy of 4 forms: the best is W8 with 98.0 %, the worst W1 with 50.0 %."
    assert len(figure.to_json()) < 100e3


def test_without_labels_the_output_error_is_shown_and_no_error_has_the_end_of_the_scale() -> None:
    rows = [make_row("W8", "weights", 8, output_sqnr_db=40.0), make_row("W4", "weights", 4, output_sqnr_db=20.0)]
    rows.append(make_row("A8", "activations", 8, output_sqnr_db=float("inf")))
    figure = forms_map(rows)
    assert figure.data[0].z[1][0] == 40.0
    assert "∞" in figure.data[0].text[1][0]
    json.loads(figure.to_json())


def test_the_front_joins_the_forms_that_no_smaller_one_equals_and_each_repair_has_its_marker() -> None:
    figure = forms_front(ROWS)
    front, plain, repaired = figure.data
    assert list(front.y) == [0.7, 0.98]
    assert list(plain.text) == ["W8", "W1", "A8"]
    assert plain.error_y.array[:2] == pytest.approx([0.02, 0.1])
    assert repaired.name == "bias"
    assert repaired.marker.symbol != plain.marker.symbol
    assert figure.layout.meta["alt"].startswith("Accuracy against size: 2 forms of 4 on the front, the smallest is W1")


def test_nothing_to_show_is_said() -> None:
    assert "No form to show" in forms_map([]).layout.title.text
    assert "No form was measured" in forms_front(ROWS[3:4]).layout.title.text
