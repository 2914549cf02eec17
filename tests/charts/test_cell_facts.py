"""The facts of a table's cells are the rows' own, and every cell without a value has its reason."""

from __future__ import annotations

import dataclasses
import json
import math
from itertools import pairwise

import pytest

from qanalysis.charts.cell_facts import WHOLE
from qanalysis.charts.colour_scale import find_ticks
from qanalysis.charts.heat_map import heat_map
from tests.charts.examples import EVIL, row_of


def facts_of(rows, metric="sqnr_db"):
    return json.loads(heat_map(rows, metric).to_json())["layout"]["meta"]["cells"]


def test_layers_and_schemes_are_named_in_full(rows):
    facts = facts_of(rows)
    assert [(layer["name"], layer["numel"]) for layer in facts["layers"]] == [("conv1", 128), (EVIL, 128), ("ids", 6)]
    assert [scheme["scheme"] for scheme in facts["schemes"]] == list(dict.fromkeys(row.scheme for row in rows))
    assert [(scheme["group"], scheme["tick"]) for scheme in facts["schemes"]] == [
        (group, bits) for group in ("tensor", "group=8") for bits in "248"
    ]
    assert facts["metric"] == {"label": "SQNR", "unit": "dB", "better": "higher"}


def test_a_layer_that_can_not_be_measured_says_so_once(rows):
    facts = facts_of(rows)
    assert facts["without"] == [[2, WHOLE, 0]]
    assert facts["reasons"] == [f"no value: {row_of(rows, 'ids', 'int2').reason}"]


def test_cells_that_a_cancelled_sweep_has_not_reached_say_so(rows):
    facts = facts_of(rows.rows[:8])
    assert facts["without"] == [[1, column, 0] for column in (2, 3, 4, 5)]
    assert facts["reasons"] == ["not measured"]


def test_a_metric_that_a_scheme_does_not_have_has_a_reason_without_a_list(rows):
    bare = [dataclasses.replace(row, theory_sqnr_db=None) if row.bits == 8 else row for row in rows.rows[:6]]
    facts = facts_of(bare, "theory_sqnr_db")
    assert not facts["without"]
    assert facts["otherwise"] == "n/a: Predicted SQNR is not defined here"


def test_infinite_values_are_told_with_their_sign(rows):
    exact = [dataclasses.replace(row, sqnr_db=math.inf if row.bits == 8 else row.sqnr_db) for row in rows.rows[:6]]
    assert facts_of(exact)["infinite"] == [[0, 2, 1], [0, 5, 1]]


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3.2, 51.7), (1e-9, 3e-9), (17.81, 18.81), (-2e-4, 2e-4), (0, 1e6)])
def test_ticks_are_few_round_numbers_inside(low, high):
    ticks = find_ticks(low, high)
    assert 3 <= len(ticks) <= 7
    assert low <= ticks[0]
    assert ticks[-1] <= high
    steps = {float(f"{second - first:.6g}") for first, second in pairwise(ticks)}
    assert len(steps) == 1
    assert f"{steps.pop():.0e}"[0] in "125"
