"""Candidates from rows: canonical schemes, and figures that can not be are told with their row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from qanalysis.plans.candidates import gather_candidates
from qanalysis.plans.settling import keep_measured
from qanalysis.results.table import Table
from qanalysis.sweeps.row import Row
from qanalysis.sweeps.sweep import sweep


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    draw = np.random.default_rng(2)
    arrays = {name: draw.normal(size=(4, 32)).astype(np.float32) for name in ("a", "b")}
    return list(sweep(arrays, ["int4 channel", "int8 channel"]))


def join(rows: list[Row]) -> Table[Any]:
    return Table.from_rows(Row, rows, source=None)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no-bits": ({"bits_per_weight": None}, "row of 'a' under int4 channel: bits_per_weight is nan"),
    "bits-below-zero": ({"bits_per_weight": -1.0}, "row of 'a' under int4 channel: bits_per_weight is -1"),
    "bits-beyond-all": ({"bits_per_weight": 1e300}, "row of 'a' under int4 channel: bits_per_weight is 1e+300"),
    "no-bytes": ({"size_bytes": None}, "row of 'a' under int4 channel: size_bytes is nan"),
    "energy-below-zero": ({"relative_error_energy": -0.5}, "relative_error_energy is -0.5"),
    "no-scheme": ({"scheme": "int99"}, "row of 'a': format 'int99'"),
    "one-scheme-twice": ({"scheme": "int8 sym channel"}, "'a' has two rows of 'int8 channel'"),
}


@pytest.mark.parametrize(("words", "told"), WRONG.values(), ids=list(WRONG))
def test_a_figure_that_can_not_be_is_told_with_its_row(rows: list[Row], words: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=r"\A[^\n]*\Z") as caught:
        gather_candidates([join([replace(rows[0], **words), *rows[1:]])])
    assert told in str(caught.value)


def test_one_scheme_with_other_bits_is_of_another_run(rows: list[Row]) -> None:
    wider = replace(rows[0], bits_per_weight=9.0)
    with pytest.raises(ValueError, match="different bits_per_weight: 5 and 9"):
        gather_candidates([join([*rows, wider])])


def test_schemes_are_written_one_way(rows: list[Row]) -> None:
    typed = replace(rows[0], scheme="int4  sym channel")
    assert gather_candidates([join([typed, *rows[1:]])]).options[0].schemes == ("int4 channel", "int8 channel")


def test_the_signal_is_that_of_the_worst_row_that_was_measured_whole(rows: list[Row]) -> None:
    whole = gather_candidates([join(rows)]).options[0].signal
    (first, *_others) = gather_candidates([join([replace(rows[0], mse=None), *rows[1:]])]).options
    assert first.signal == pytest.approx(whole, rel=1e-6)  # of a row with an error a thousand times smaller
    assert [one.schemes for one in keep_measured([first])] == [("int8 channel",)]


def test_a_tensor_without_any_error_can_not_be_pooled(rows: list[Row]) -> None:
    blind = join([replace(row, mse=None) for row in rows])
    with pytest.raises(ValueError, match="--min-sqnr: no row of 'a' has an error to pool"):
        keep_measured(gather_candidates([blind]).options)


def test_what_any_table_knows_of_the_file_is_kept(rows: list[Row]) -> None:
    arrays = {name: np.ones((4, 32), np.float32) * np.arange(32, dtype=np.float32) for name in ("a", "b")}
    whole = sweep(arrays, ["int5 channel"])
    assert gather_candidates([join(rows), whole]).more["tensors"] == whole.more["tensors"]


def test_rows_that_are_not_ok_are_counted_where_none_is(rows: list[Row]) -> None:
    with pytest.raises(ValueError, match="none of the 4 rows is ok"):
        gather_candidates([join([replace(row, status="failed", relative_l2=None) for row in rows])])
