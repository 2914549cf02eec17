"""Columns of many tensors at once: the figures of single sums, in blocks of any size; a further column is one line."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
import pytest

from qanalysis import default_schemes
from qanalysis.kernels import codes
from qanalysis.results.columns import column, columns_of
from qanalysis.sums import ErrorStats, measure
from qanalysis.sweeps import row, tabulation
from qanalysis.sweeps.row import Row
from qanalysis.sweeps.sweep import SweepProgress, sweep

RNG = np.random.default_rng(13)
TENSORS = {
    "gaussian": RNG.normal(size=(4, 40)).astype(np.float32),
    "holes": np.float32([[1, np.nan, -0.3], [0.2, np.inf, 4]]),
    "zeros": np.zeros((2, 8), np.float32),
    "zeros and holes": np.float32([[0, np.nan]]),
    "nothing finite": np.full((2, 3), np.nan, np.float32),
    "codes": np.arange(6).reshape(2, 3),
    "one value": np.float32([[0.5]]),
    "exact": np.float32([[7, -7, 1, 2]]),
}
SCHEMES = ["int4", "int8 asym channel", "nf4 group=64", "mxfp4", "int4 channel=2", "bfloat16"]


def test_the_loops_sums_are_fields_of_error_stats() -> None:
    assert {*codes.MOMENTS, *codes.SUMS} <= {entry.name for entry in fields(ErrorStats)}
    assert len({*codes.MOMENTS, *codes.SUMS}) == len(codes.MOMENTS) + len(codes.SUMS)


FIGURES = {one.name: one for one in columns_of(Row) if one.nullable and one.name != "theory_sqnr_db"}


@pytest.mark.parametrize("figure", FIGURES)
def test_figures_of_many_sums_are_those_of_each(figure: str) -> None:
    single = [
        measure(x, x + RNG.normal(scale=scale, size=x.shape))
        for x in (TENSORS["gaussian"], TENSORS["exact"], TENSORS["zeros"])
        for scale in (0.1, 0.0)
    ]
    single += [
        ErrorStats(),
        ErrorStats(
            count=3,
            sum_x2=2.0,
            relative_count=3,
            sum_e2=0.5,
            groups=2,
            step_low=0.5,
            step_high=1.0,
            step_sum=1.5,
            storage_bits=33,
        ),
    ]
    many = FIGURES[figure].read(ErrorStats.stack(single))
    each = [getattr(stats, figure) for stats in single]
    # The same operations on the same numbers; only a logarithm may differ by its last digit.
    assert many.tolist() == pytest.approx(
        [math.nan if value is None else value for value in each], rel=2.0**-51, nan_ok=True
    )


def test_arrays_of_sums_add_and_pool_as_the_sums_themselves() -> None:
    parts = [measure(RNG.normal(size=9), RNG.normal(size=9)) for _ in range(5)]
    total = parts[0] + parts[1] + parts[2] + parts[3] + parts[4]
    assert ErrorStats.stack(parts).pool() == total
    doubled = ErrorStats.stack(parts) + ErrorStats.stack(parts)
    assert doubled.take(3) == parts[3] + parts[3]


@pytest.mark.parametrize("block", [1, 3, 64])
def test_blocks_of_any_size_make_the_same_rows(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = sweep(TENSORS, SCHEMES)
    monkeypatch.setattr(tabulation, "BLOCK", block)
    rows = sweep(TENSORS, SCHEMES)
    assert (rows.rows, rows.totals) == (whole.rows, whole.totals)
    assert [(found.tensor, found.status) for found in rows[:: len(SCHEMES)]] == [
        ("gaussian", "ok"),
        ("holes", "ok"),
        ("zeros", "zero"),
        ("zeros and holes", "zero"),
        ("nothing finite", "non-finite"),
        ("codes", "unsupported"),
        ("one value", "ok"),
        ("exact", "ok"),
    ]


def test_rows_of_progress_are_worked_out_when_someone_looks() -> None:
    seen: list[SweepProgress] = []
    rows = sweep(TENSORS, SCHEMES, on_progress=seen.append)
    assert [len(progress.rows) for progress in seen] == [len(SCHEMES)] * len(TENSORS)
    assert seen[1].rows[-1] == rows[2 * len(SCHEMES) - 1]
    assert list(seen[0].rows) == list(rows[: len(SCHEMES)])


def test_a_row_takes_four_tenths_of_a_kilobyte_and_texts_are_shared() -> None:
    rows = sweep({f"w{i}": TENSORS["gaussian"] for i in range(70)}, default_schemes())
    assert sum(cells.nbytes for cells in rows.rows.cells.values()) / len(rows) <= 416
    for name in ("scheme", "grouping", "status", "reason", "kind"):
        texts = rows.column(name)
        assert len({id(text) for text in texts}) <= len(set(texts)) * len(default_schemes()), name


@dataclass(frozen=True, slots=True)
class WiderRow(Row):
    """A row with one more figure, a word of the tensor and one of the scheme, each declared in one line."""

    peak_over_mean: float | None = column(
        "Peak over mean error",
        better="lower",
        default=None,
        of=lambda sums: sums.max_abs_e * sums.count / sums.sum_abs_e,
    )
    held: int = column("Held", "B", default=0, part="info", of=lambda info: info.size_bytes)
    rounding: str = column("Rounding", default="", part="scheme", of=lambda scheme: scheme.rounding.name)


def test_a_further_column_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tabulation, "Row", WiderRow)
    monkeypatch.setattr(row, "Row", WiderRow)
    rows = sweep({"w": TENSORS["gaussian"], "z": TENSORS["codes"]}, ["int4", "int8"])
    expected = [rows[place].max_abs_error / rows[place].mean_abs_error for place in (0, 1)]
    assert rows.column("peak_over_mean").tolist() == pytest.approx(
        [*expected, math.nan, math.nan], rel=2.0**-51, nan_ok=True
    )
    assert [found["peak_over_mean"] for found in rows.to_dicts()] == pytest.approx([*expected, None, None])
    assert [found.held for found in rows] == [TENSORS["gaussian"].nbytes] * 2 + [TENSORS["codes"].nbytes] * 2
    assert [found.rounding for found in (*rows, *rows.totals)] == ["nearest-even"] * 6
    assert rows.totals[0].peak_over_mean == pytest.approx(expected[0])
    assert list(rows.to_pandas().columns) == [one.name for one in columns_of(WiderRow)]
    # The columns that were there before are untouched.
    monkeypatch.undo()
    assert sweep({"w": TENSORS["gaussian"], "z": TENSORS["codes"]}, ["int4", "int8"]).column(
        "mse"
    ).tolist() == pytest.approx(rows.column("mse").tolist(), rel=0, nan_ok=True)


def test_relative_error_energy_is_the_square_of_relative_l2_and_adds_for_tensors_of_one_power() -> None:
    x = TENSORS["gaussian"]
    rows = sweep({"a": x, "b": x[::-1]}, ["int3"])
    assert [found.relative_error_energy for found in rows] == pytest.approx(
        [found.relative_l2**2 for found in rows], rel=2.0**-51
    )
    assert next(one for one in columns_of(Row) if one.name == "relative_error_energy").additive
    assert rows.totals[0].relative_error_energy == pytest.approx(
        sum(found.relative_error_energy for found in rows) / 2, rel=2.0**-50
    )
