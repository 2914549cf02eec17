"""Pieces stay below a stated size whatever groups are asked together, and give what the whole gives."""

from __future__ import annotations

import numpy as np
import pytest

from qanalysis.checkpoints.source import ArraySource, TensorInfo
from qanalysis.quantizers.grouping import parse_grouping
from qanalysis.quantizers.matrix_view import MatrixView
from qanalysis.quantizers.scheme import Scheme
from qanalysis.sweeps import chunks, jobs, measurement
from qanalysis.sweeps.chunks import MOST_VALUES, cut_chunks, size_piece
from qanalysis.sweeps.jobs import outline
from qanalysis.sweeps.sweep import sweep


def outline_of(shape: tuple[int, ...], *texts: str) -> jobs.Outline:
    return outline([Scheme.parse(text) for text in texts], shape, MatrixView())


@pytest.mark.parametrize(
    ("shape", "texts"),
    [
        ((1, 2**31), [f"int4 group={length}" for length in (127, 131, 137, 139)]),
        ((2, 2**30), ["int4 block=2x2"]),
        ((4096, 2**22), ["int4 block=3x5", "int4 block=7x11", "int4 block=4096x64", "int8 channel", "int4"]),
        ((1, 2**31), [f"int4 group={2**k + 1}" for k in range(4, 20)]),
    ],
)
def test_no_piece_is_larger_than_stated(shape: tuple[int, int], texts: list[str]) -> None:
    found = outline_of(shape, *texts)
    assert not [reason for reason in found.reasons if "hold more than" in reason]
    for view in found.views:
        assert max(cut.chunk.rows * cut.chunk.columns for cut in view.cuts[:3]) <= MOST_VALUES
    assert sum(len(view.places) for view in found.views) == len(texts)


def test_groups_that_can_not_be_cut_are_told() -> None:
    found = outline_of((1, 2**31), f"int4 group={2**26 + 1}", "int4 channel range=mse", "int4 channel")
    assert "hold more than" in found.reasons[0]
    assert "are not held" in found.reasons[1]
    assert found.reasons[2] == ""


def test_pieces_of_several_rows_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(3).standard_normal((6, 90)).astype(np.float32)
    texts = ["int4 block=2x5", "int3 block=3x7", "int8 channel", "int4", "int4 group=11", "mxint8", "int4 block=6x9"]
    whole = sweep({"x": x}, texts)
    monkeypatch.setattr(chunks, "MOST_VALUES", 64)
    monkeypatch.setattr(jobs, "cut_chunks", lambda layouts: cut_chunks(layouts, values=40))
    monkeypatch.setattr(jobs, "has_windows", lambda layouts: size_piece(layouts, values=40)[0] > 1)
    for small, large in zip(sweep({"x": x}, texts), whole, strict=True):
        assert (small.status, small.step_min, small.step_max, small.max_abs_error, small.zeroed_fraction) == (
            large.status,
            large.step_min,
            large.step_max,
            large.max_abs_error,
            large.zeroed_fraction,
        )
        if large.mse is not None:  # sums of at most 540 terms in float32 lanes, cut elsewhere
            assert small.mse == pytest.approx(large.mse, rel=2 * 544 * 2.0**-24)
            assert small.bits_per_weight == large.bits_per_weight


class Turned(ArraySource):
    """Arrays whose channels lie along other axes, read in slices alone."""

    def __init__(self, x: np.ndarray, view: MatrixView) -> None:
        super().__init__({"x": x})
        self._view = view

    @property
    def tensors(self) -> tuple[TensorInfo, ...]:
        info = super().tensors[0]
        return (TensorInfo("x", info.shape, info.dtype, info.size_bytes, view=self._view),)

    def read(self, info: TensorInfo) -> np.ndarray:
        raise AssertionError("held whole")


@pytest.mark.parametrize(
    ("shape", "view"),
    [
        ((30, 40), MatrixView((1,))),
        ((3, 20, 14), MatrixView((0, 2))),
        ((3, 20, 14), MatrixView((2,))),
        ((3, 280), MatrixView((0, 2), (3, 20, 14))),
        ((2, 5, 6, 7), MatrixView((0, 2, 3))),
    ],
)
def test_a_large_turned_tensor_is_read_in_parts(
    shape: tuple[int, ...], view: MatrixView, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.random.default_rng(4).standard_normal(shape).astype(np.float32)
    texts = ["int4 channel", "int4", "int5 group=4", "int3 block=2x3"]
    flat = sweep({"x": view.to_matrix(x)}, texts)
    monkeypatch.setattr(measurement, "LARGE_VALUES", 10)
    monkeypatch.setattr(jobs, "cut_chunks", lambda layouts: cut_chunks(layouts, values=60))
    for row, wanted in zip(sweep(Turned(x, view), texts), flat, strict=True):
        assert row.max_abs_error == wanted.max_abs_error
        assert row.sqnr_db == pytest.approx(wanted.sqnr_db, abs=1e-3)  # 10 log10 of float32 lanes of 1200 terms


@pytest.mark.parametrize("text", ["group=3", "block=2x2", "tensor", "channel"])
def test_small_tensors_are_one_piece(text: str) -> None:
    layout = parse_grouping(text).lay_out((4, 9))
    assert [(chunk.rows, chunk.columns) for chunk in cut_chunks([layout])] == [(4, 9)]
