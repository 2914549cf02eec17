"""Rows of two tables beside each other: the numbers of a kind, their differences, what only one of them has."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.inventory import list_tensors
from qanalysis.checkpoints.source import ArraySource
from qanalysis.comparisons.table_rows import COMPARISONS, SweepComparison, subtract
from qanalysis.comparisons.tables import compare_tables
from qanalysis.plans.planning import plan_bits
from qanalysis.reports.kinds import load_kinds, outline
from qanalysis.results.columns import columns_of, names_of
from qanalysis.results.document import parse_document, to_json
from qanalysis.results.table import Frame, Table
from qanalysis.sweeps.sweep import sweep
from tests.charts.sensitivities import make_table
from tests.comparisons.quantized_files import UP, make_plan, make_weights, write_gguf

_WEIGHTS = {"fc1": np.random.default_rng(7).normal(size=(4, 32)).astype(np.float32), "exact": np.float32([[1, -1]])}


def _sweep(schemes: tuple[str, ...] = ("int4", "int8 channel"), **arrays: Any) -> Table[Any]:
    return sweep({**_WEIGHTS, **arrays}, list(schemes))


def _find(table: Table[Any], tensor: str, scheme: str = "int4") -> dict[str, Any]:
    return next(row for row in table.to_dicts() if (row["tensor"], row["scheme"]) == (tensor, scheme))


@pytest.mark.parametrize("of", COMPARISONS, ids=lambda of: of.KIND.command)
def test_every_number_of_a_kind_stands_in_a_in_b_and_as_their_difference(of: Any) -> None:
    row_type = COMPARISONS[of]
    names = set(names_of(row_type))
    numbers = [one for one in columns_of(of) if one.is_numeric and one.name not in row_type.KEYS]
    assert numbers
    assert all({f"{one.name}_a", f"{one.name}_b", f"delta_{one.name}"} <= names for one in numbers)
    units = {one.name: one.unit for one in columns_of(row_type)}
    assert all(units[f"delta_{one.name}"] == one.unit for one in numbers)


def test_differences_are_those_of_the_rows_whatever_their_order() -> None:
    a, b = _sweep(), _sweep(("int8 channel", "int4"), fc1=_WEIGHTS["fc1"] ** 3)
    table = compare_tables(a, b)
    assert [(row.tensor, row.scheme) for row in table] == [(row.tensor, row.scheme) for row in a]
    in_b = {(row.tensor, row.scheme): row for row in b}
    for row, one in zip(table, a, strict=True):
        other = in_b[one.tensor, one.scheme]
        assert (row.mse_a, row.mse_b, row.delta_mse) == (one.mse, other.mse, other.mse - one.mse)
        assert row.delta_size_bytes == 0


@pytest.mark.parametrize(
    ("a", "b", "delta"),
    [(math.inf, math.inf, 0.0), (30.0, math.inf, math.inf), (math.inf, 30.0, -math.inf), (-math.inf, -math.inf, 0.0)],
)
def test_infinities_of_one_sign_are_equal(a: float, b: float, delta: float) -> None:
    assert subtract(np.array([a]), np.array([b])).tolist() == [delta]


def test_infinite_figures_and_differences_come_back_from_a_document() -> None:
    table = compare_tables(_sweep(), _sweep(exact=np.float32([[1, -0.77]])))
    lost = _find(table, "exact")
    assert (lost["sqnr_db_a"], lost["delta_sqnr_db"]) == (math.inf, -math.inf)
    again = parse_document(to_json(table), load_kinds(), place="x.json")
    assert again.rows == table.rows


def test_what_only_one_has_keeps_its_own_figures_and_has_no_difference() -> None:
    table = compare_tables(_sweep(), _sweep(("int4", "int3")))
    status = {(row.tensor, row.scheme): row.status for row in table}
    assert status["fc1", "int8 channel"] == "only-a"
    assert [row.scheme for row in table if row.status == "only-b"] == ["int3", "int3"]  # behind those of A
    alone = _find(table, "fc1", "int3")
    assert alone["sqnr_db_a"] is None
    assert alone["delta_sqnr_db"] is None
    assert alone["sqnr_db_b"] > 0


def test_rows_with_the_same_keys_are_taken_in_their_order() -> None:
    a = _sweep(("int4", "int4"))
    b = replace(a, rows=a.rows.take(slice(0, 3)))
    table = compare_tables(a, b)
    assert [row.status for row in table] == ["ok", "ok", "ok", "only-a"]
    assert all("2 rows of A have these keys" in row.reason for row in table)


def test_a_row_without_figures_says_which_side_and_why() -> None:
    row = _find(compare_tables(_sweep(), _sweep(fc1=np.zeros((4, 32), np.float32))), "fc1")
    assert (row["status"], row["status_a"], row["status_b"]) == ("ok", "ok", "zero")
    assert row["delta_sqnr_db"] is None
    assert row["reason"] == "B: zero, every element is 0"


def test_tables_of_two_sources_are_compared_and_told_apart() -> None:
    told = compare_tables(_sweep(), _sweep(fc1=_WEIGHTS["fc1"] * 2)).coverage
    assert [one["part"] for one in told] == ["note"]
    assert "differences are those of the two" in told[0]["reason"]
    assert not compare_tables(_sweep(), _sweep()).coverage


def test_rows_of_a_model_and_of_its_gguf_file_find_each_other(tmp_path: Path) -> None:
    weights = {name: values for name, values in make_weights().items() if values.ndim == 2}
    plan = make_plan(weights, "gguf:q8_0", budget_bpw=9)
    with open_checkpoint(write_gguf(tmp_path / "m.gguf", weights, plan)) as file:
        b = sweep(file, ["int4 channel"])
    table = compare_tables(sweep(weights, ["int4 channel"]), b)
    assert {row.status for row in table} == {"ok"}
    assert next(row.reason for row in table if row.tensor == UP) == "in B blk.0.ffn_up.weight"
    # Values that q8_0 rounded: their error at 4 bits moves by less than a tenth of a decibel.
    assert all(abs(row.delta_sqnr_db) < 0.1 for row in table)


def test_plans_are_held_against_each_other_scheme_by_scheme() -> None:
    rows = _sweep(("int4 channel", "int8 channel"))
    table = compare_tables(plan_bits(rows, budget_bpw=6), plan_bits(rows, budget_bpw=30))
    fc1 = next(row for row in table.to_dicts() if row["tensor"] == "fc1")
    assert (fc1["scheme_a"], fc1["scheme_b"]) == ("int4 channel", "int8 channel")
    assert fc1["delta_size_bytes"] == 4 * 32 * 4 // 8


def test_sensitivities_differ_by_nothing_from_themselves() -> None:
    table = compare_tables(make_table(), make_table())
    deltas = [one.name for one in table.columns if one.name.startswith("delta_")]
    assert all(np.nan_to_num(table.column(name)).tolist() == [0] * len(table) for name in deltas)


@pytest.mark.parametrize(
    ("a", "b", "match"),
    [
        (_sweep, make_table, r"^one\.json is a result of `qanalysis sweep`, two\.json one of `qanalysis sensitivity`"),
        (lambda: _sweep(("int4",)), lambda: _sweep(("int3",)), "no row in common by tensor and kind and scheme"),
        (
            lambda: list_tensors(ArraySource(_WEIGHTS)),
            lambda: list_tensors(ArraySource(_WEIGHTS)),
            "results of `qanalysis show` have no comparison",
        ),
        (_sweep, lambda: Table.from_rows(_sweep().row_type, ()), "two.json has no rows"),
    ],
    ids=["kinds", "nothing in common", "no comparison", "empty"],
)
def test_what_can_not_be_compared_is_refused_in_one_line(a: Any, b: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match) as told:
        compare_tables(a(), b(), names=("one.json", "two.json"))
    assert "\n" not in str(told.value)


def test_the_headline_counts_rows_and_names_the_largest_loss() -> None:
    table = compare_tables(_sweep(), _sweep(exact=np.float32([[1, -0.77]])), names=("old.json", "new.json"))
    told = outline(table)
    assert told.headline == ("4 of 4 rows are in both, delta_sqnr_db got worse in 2, most in exact, int4 −∞ dB.")
    assert told.opening[0] == "A old.json, B new.json"
    rows = next(one for one in told.lead if one.id == "rows-shown")
    assert [line[0] for line in rows.blocks[0].lines][:2] == ["exact", "exact"]


def test_an_empty_side_of_rows_does_not_change_what_a_kind_is() -> None:
    assert Frame.from_rows(SweepComparison, ()).row_type.KIND.command == "compare-sweep"
