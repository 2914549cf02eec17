"""The door to the loops: sums come back in the order they were asked for, whatever kinds of grids are mixed."""

from __future__ import annotations

import numpy as np
import pytest

from qanalysis.kernels import codes
from qanalysis.quantizers.scheme import Scheme
from qanalysis.sweeps.bench import Bench, pack, take_sums
from qanalysis.sweeps.widths import Widths

X = np.random.default_rng(14).normal(size=(6, 96)).astype(np.float32)
WANTED = [
    ("int3 group=32", "int8 group=32"),
    ("mxfp4",),
    ("int4 asym channel round=floor", "int5 asym channel round=floor"),
    ("binary channel",),
    ("int2",),
]


def take(wanted: list[tuple[str, ...]], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    bench = Bench.clear(x.reshape(-1))
    asked, grids = [], []
    for texts in wanted:
        schemes = [Scheme.parse(text) for text in texts]
        lead, layout = schemes[0], schemes[0].lay_out(x.shape)
        found = lead.find_statistic(x, layout)
        grids.append(Widths.of(schemes).lay(found) if lead.format.is_integer else lead.lay_grid(found))
        asked.append((Widths.of(schemes) if lead.format.is_integer else lead, layout))
    return take_sums(bench, pack(asked, x.size), grids)


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [3, 1, 4, 0, 2], [1, 3], [2, 0]])
def test_mixed_grids_have_the_sums_that_each_has_alone(order: list[int]) -> None:
    moments, sums = take([WANTED[i] for i in order], X)
    alone = [take([WANTED[i]], X) for i in order]
    assert sums.shape == (len(codes.SUMS), sum(len(WANTED[i]) for i in order))
    # One loop for all roundings may take the plain ones in other lanes: at most 96 terms of a lane.
    assert sums == pytest.approx(np.concatenate([own for _moments, own in alone], axis=1), rel=96 * 2.0**-24, abs=1e-6)
    assert all(moments.tolist() == own.tolist() for own, _sums in alone)


def test_a_chunk_is_cleared_of_what_is_not_finite_and_remembers_it() -> None:
    x = X.reshape(-1).copy()
    x[[3, 70]] = [np.nan, -np.inf]
    bench = Bench.clear(x, start=100)
    assert (bench.bad, bench.start, bench.largest) == (2, 100, np.abs(x[np.isfinite(x)]).max())
    assert bench.values[[3, 70]].tolist() == [0, 0]
    assert bench.raw is x
    assert Bench.clear(X.reshape(-1)).raw.size == 0
