"""Conditions held against every row: what they may be, which rows fail, and that nothing missing passes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from qanalysis.results.columns import RowType, column, columns_of, figure
from qanalysis.results.conditions import Condition, hold_all, tell_missed
from qanalysis.results.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line(RowType):
    named_by = ("name",)

    name: str = column("Name")
    delta_sqnr_db: float | None = figure("Change", "dB")
    size: int | None = figure("Size", "B")
    share: float | None = figure("Share", share=True)
    word: Literal["ok", "only-a"] = column("Word", default="ok")
    is_tied: bool = column("Tied", default=False)

    @classmethod
    def is_excused(cls, table: Any) -> Any:
        return table.is_tied


_TABLE = Table.from_rows(
    _Line,
    [
        _Line(name="a", delta_sqnr_db=-0.5, size=100, share=0.2),
        _Line(name="b", delta_sqnr_db=-2.0, size=200, share=0.01),
        _Line(name="c", delta_sqnr_db=-math.inf, size=300, share=0.5),
    ],
)


@pytest.mark.parametrize(
    ("text", "failing"),
    [
        ("delta_sqnr_db<-1", ["c: −∞ dB", "b: −2 dB"]),
        ("  delta_sqnr_db  <  -1 dB ", ["c: −∞ dB", "b: −2 dB"]),
        ("delta_sqnr_db<−1dB", ["c: −∞ dB", "b: −2 dB"]),
        ("delta_sqnr_db<=-2", ["c: −∞ dB", "b: −2 dB"]),
        ("delta_sqnr_db >= -0.5", ["a: −0.5 dB"]),
        ("size>150", ["c: 300 B", "b: 200 B"]),
        ("size > 0.25 kB", ["c: 300 B"]),
        ("size!=100", ["b: 200 B", "c: 300 B"]),
        ("size==1e2", ["a: 100 B"]),
        ("share<5%", ["b: 0.01"]),
        ("name==a", ["a: a"]),
        ("name=='b'", ["b: b"]),
        ("word==only-a", []),
        ("is_tied==true", []),
        ("size<0", []),
    ],
)
def test_rows_that_fulfil_it_fail_the_worst_first(text: str, failing: list[str]) -> None:
    (check,) = hold_all(_TABLE, [text])
    assert list(check.named) == failing
    assert check.failed == len(failing)
    assert check.met is (not failing)


def test_a_row_without_the_figure_misses_it_and_is_named() -> None:
    table = Table.from_rows(_Line, [_Line(name="a", delta_sqnr_db=0.0), _Line(name="lost", word="only-a")])
    (check,) = hold_all(table, ["delta_sqnr_db<-1"])
    assert (check.held, check.failed, check.lacking, check.met) == (1, 0, 1, False)
    assert tell_missed(check) == "--fail-if 'delta_sqnr_db < -1': 1 have no figure of delta_sqnr_db: lost: no figure"


def test_rows_of_which_nothing_can_be_had_are_left_aside_but_not_all_of_them() -> None:
    tied = _Line(name="tied", is_tied=True)
    (check,) = hold_all(Table.from_rows(_Line, [_Line(name="a", delta_sqnr_db=0.0), tied]), ["delta_sqnr_db<-1"])
    assert check.met
    (check,) = hold_all(Table.from_rows(_Line, [tied]), ["delta_sqnr_db<-1"])
    assert not check.met
    assert tell_missed(check).endswith("no row has a figure of delta_sqnr_db")


def test_ten_rows_are_named_and_the_others_counted() -> None:
    table = Table.from_rows(_Line, [_Line(name=f"layer.{i}", size=i) for i in range(25)])
    (check,) = hold_all(table, ["size>=0"])
    assert (check.failed, len(check.named), check.named[0]) == (25, 10, "layer.24: 24 B")
    assert tell_missed(check).endswith("and 15 more")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "a column, one of < <= > >= == != and a bound are expected"),
        ("size", "a column, one of"),
        ("size=5", "a column, one of"),
        ("size<", "a column, one of"),
        ("<5", "a column, one of"),
        ("size<5<6", "a column, one of"),
        ("size<5 size>3", "a column, one of"),
        ("delta_snr_db<1", "there is no column 'delta_snr_db'; those that can be held are delta_sqnr_db, "),
        ("size<nan", "a bound is a finite number"),
        ("size<inf", "a bound is a finite number"),
        ("size<ten", "is no number with a unit"),
        ("delta_sqnr_db<1 Hz", "neither dB nor dB with a prefix"),
        ("name<b", "name holds words, which have no order; use == or !="),
        ("word==only-c", "word is one of ok, only-a, not 'only-c'"),
        ("is_tied==maybe", "is_tied is true or false"),
    ],
)
def test_what_is_no_condition_is_refused_in_one_line(text: str, match: str) -> None:
    with pytest.raises(ValueError, match=match) as told:
        Condition.parse(text, columns_of(_Line))
    assert "\n" not in str(told.value)


def test_all_are_read_before_the_first_is_held() -> None:
    with pytest.raises(ValueError, match="there is no column 'nothing'"):
        hold_all(_TABLE, ["size<0", "nothing<0"])


def test_it_prints_so_that_it_parses_back() -> None:
    for text in ("delta_sqnr_db<-1dB", "size >= 1 kB", "word != ok", "is_tied==TRUE"):
        parsed = Condition.parse(text, columns_of(_Line))
        assert Condition.parse(str(parsed), columns_of(_Line)) == parsed
