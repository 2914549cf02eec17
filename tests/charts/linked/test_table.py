"""Tables for the browser: JSON that holds every digit, and words where JSON has no number."""

from __future__ import annotations

import json
import math

import pytest

from qanalysis.charts.linked.table import ShownColumn, TablePanel


def test_a_panel_is_json_with_texts_and_the_numbers_behind_them() -> None:
    values = [1 / 3, None, math.inf, -math.inf, math.nan, 7]
    numbers = ShownColumn("gain_db", "Gain (dB)", ["0.33", "–", "∞", "−∞", "n/a", "7"], values, "10 log10")
    panel = TablePanel(
        "gains", "Gains", [ShownColumn("name", "Name", list("abcdef")), numbers], list("abcdef"), height=99
    )
    told = json.loads(json.dumps(panel.describe(), allow_nan=False))
    assert (told["name"], told["kind"], told["alt"]) == ("gains", "table", "Gains")
    words, figures = told["table"]["columns"]
    assert words["values"] is None
    assert figures["values"] == [1 / 3, None, "Infinity", "-Infinity", None, 7]
    assert (figures["texts"][0], figures["note"]) == ("0.33", "10 log10")
    assert told["table"]["rows"] == list("abcdef")
    assert (told["table"]["pick"], told["table"]["height"], told["table"]["caption"]) == (True, 99, "")


@pytest.mark.parametrize("column", [ShownColumn("x", "X", ["1"]), ShownColumn("x", "X", ["1", "2"], [1.0, 2.0, 3.0])])
def test_a_column_of_another_length_is_refused(column: ShownColumn) -> None:
    with pytest.raises(ValueError, match=r"table t: column x has [13] cells, must have 2"):
        TablePanel("t", "T", [column], ["a", "b"])
