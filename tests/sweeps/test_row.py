"""The column contract: names, order, kinds and nulls of rows, as values, dictionaries and tables."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
import pytest

from qanalysis.results.columns import columns_of
from qanalysis.results.identity import SourceIdentity
from qanalysis.sweeps.row import COLUMNS, TOTAL_NAME, Row, Rows
from qanalysis.sweeps.sweep import sweep

INTEGER_COLUMNS = tuple(one.name for one in columns_of(Row) if one.kind == "integer")
TEXT_COLUMNS = tuple(one.name for one in columns_of(Row) if one.kind == "text")

CONTRACT = (
    "tensor kind role stored shape dtype numel scheme format bits grouping symmetry range scale bits_per_weight size_bytes step_min step_mean step_max "
    "half_step_bound max_abs_error mean_abs_error bias mse rmse_in_steps sqnr_db sqnr_ac_db enob relative_l2 relative_error_energy "
    "mean_relative_error relative_count cosine "
    "error_signal_correlation clipped_fraction zeroed_fraction rounding_share clipping_share shannon_gap_db wasted_bits theory_sqnr_db "
    "non_finite status reason"
)


@pytest.fixture(scope="module")
def rows() -> Rows:
    tensors = {
        "model.w": np.random.default_rng(0).normal(size=(6, 40)).astype(np.float32),
        "exact": np.float32([[1, -1]]),
        "steps": np.arange(3),
    }
    return sweep(tensors, ["int4 group=32 range=mse", "int8 asym channel scale=float16 round=floor"])


def test_columns_are_the_contract_in_its_order() -> None:
    assert " ".join(COLUMNS) == CONTRACT
    assert set(INTEGER_COLUMNS) | set(TEXT_COLUMNS) < set(COLUMNS)


def test_words_of_a_row_write_defaults_out(rows: Rows) -> None:
    row = rows[0]
    words = (
        row.tensor,
        row.kind,
        row.shape,
        row.dtype,
        row.numel,
        row.scheme,
        row.format,
        row.bits,
        row.grouping,
        row.symmetry,
        row.range,
        row.scale,
    )
    assert words == (
        "model.w",
        "weight",
        "6x40",
        "float32",
        240,
        "int4 group=32 range=mse",
        "int4",
        4,
        "group=32",
        "sym",
        "mse:100",
        "float32",
    )
    assert (rows[1].scheme, rows[1].range, rows[1].scale) == (
        "int8 asym channel scale=float16 round=floor",
        "minmax",
        "float16",
    )


def test_rows_behave_as_a_sequence(rows: Rows) -> None:
    assert len(rows) == len(list(rows)) == len(rows.rows) == 6
    assert rows[-1] == rows.rows[-1] == rows[5]
    assert [row.tensor for row in rows[2:4]] == ["exact", "exact"]


def test_dictionaries_hold_every_column_as_plain_values(rows: Rows) -> None:
    for record, row in zip(rows.to_dicts(), rows, strict=True):
        assert list(record) == list(COLUMNS)
        assert record == dataclasses.asdict(row)
        # Not one numpy scalar: json and csv would write them otherwise.
        assert {type(value) for value in record.values()} <= {str, int, float, type(None)}
    assert [record["tensor"] for record in rows.totals_to_dicts()] == [TOTAL_NAME] * 2
    assert {type(value) for record in rows.totals_to_dicts() for value in record.values()} <= {
        str,
        int,
        float,
        type(None),
    }


def test_counts_are_whole_numbers(rows: Rows) -> None:
    for row in rows:
        for name in INTEGER_COLUMNS:
            assert getattr(row, name) is None or type(getattr(row, name)) is int, name


def test_table_keeps_counts_whole_nulls_null_and_infinity_infinite(rows: Rows) -> None:
    table = rows.to_pandas()
    assert list(table.columns) == list(COLUMNS)
    assert {str(table[name].dtype) for name in INTEGER_COLUMNS} == {"Int64"}
    assert {str(table[name].dtype) for name in COLUMNS if name not in (*INTEGER_COLUMNS, *TEXT_COLUMNS)} == {"float64"}
    assert math.isinf(table["sqnr_db"][2])
    assert table.loc[4, "status"] == "unsupported"
    assert table["mse"].isna().tolist() == [False] * 4 + [True] * 2
    assert table["size_bytes"].isna().tolist() == [False] * 4 + [True] * 2
    assert table["mse"][0] == rows[0].mse


def test_table_of_totals_and_of_nothing(rows: Rows) -> None:
    assert rows.totals_to_pandas()["tensor"].tolist() == ["(all)", "(all)"]
    nothing = Rows((), (), SourceIdentity("nothing", 0, "sha256:"))
    assert list(nothing.to_pandas().columns) == list(COLUMNS)
    assert (len(nothing), nothing.complete, dict(nothing.settings)) == (0, True, {})


def test_rows_are_values_that_can_not_be_changed() -> None:
    row = Row("w", "weight", "1", "float32", 1, "int4", "int4", 4, "tensor", "sym", "minmax", "float32")
    assert isinstance(Rows((row,), (), SourceIdentity("x", 1, "")).settings, Mapping)
    with pytest.raises(dataclasses.FrozenInstanceError):
        row.mse = 1.0
