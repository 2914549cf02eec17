"""The one door to the compiled loops: what ranges have a chunk's groups, what are its sums under many grids at once?

Nobody else packs arguments for them. Chunks are flat and C-ordered. How grids lie on a chunk is packed once for all
chunks of one shape, uniform ones (`UniformPacking`) apart from those of other formats (`CodedPacking`); scales come
with every chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Codes, Doubles, Floats
from qanalysis.kernels import codes
from qanalysis.kernels.coded import accumulate_coded
from qanalysis.kernels.lanes import LARGEST_TAME, SMALLEST_TAME
from qanalysis.kernels.scans import extremes, scan
from qanalysis.kernels.uniform import accumulate, accumulate_rounded
from qanalysis.quantizers.grids import Grid
from qanalysis.quantizers.grouping import Layout
from qanalysis.quantizers.rounding import Rounding
from qanalysis.quantizers.scheme import Scheme
from qanalysis.quantizers.statistics import Range
from qanalysis.sweeps.widths import UniformGrids, Widths

Grids = UniformGrids | Grid

#: So many jobs go over a chunk in one call of a loop, which can not be stopped: at most half a second.
JOBS_AT_ONCE = 64


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """A chunk of a tensor, ready to be measured.

    `values` hold 0 where `raw` is not finite (`raw` is empty where all are), `bad` says how many those are; `start` is
    the chunk's place in its tensor, `largest` max |x|.
    """

    values: Floats
    raw: Floats
    bad: int
    start: int
    largest: float

    @classmethod
    def clear(cls, raw: Floats, *, start: int = 0) -> Self:
        """A chunk (values,) from its flat place `start` on.

        On every grid here 0 has no error, or is left out by `raw`.
        """
        bad, largest = scan(raw)
        if bad:
            return cls(np.where(np.isfinite(raw), raw, np.float32(0)), raw, bad, start, float(largest))
        return cls(raw, raw[:0], 0, start, float(largest))

    def find_extremes(self, layout: Layout) -> Range:
        """Smallest and largest value of every group, widened to hold 0 as every grid does."""
        low, high = np.zeros((2, layout.groups), np.float32)
        extremes(self.values, layout.columns, layout.block_rows, layout.block_columns, low, high)
        return Range(low, high)

    def are_tame(self, smallest: Doubles, largest: Doubles) -> NDArray[np.bool_]:
        """Whether errors, and errors over steps, can be squared in float32.

        A stored scale may be far from the data's.
        """
        # The step of a group without a signal is 1, which is tame for anything that is.
        limit = float(LARGEST_TAME)
        return (largest <= limit) & (self.largest <= limit * smallest)


@dataclass(frozen=True, slots=True, eq=False)
class UniformPacking:
    """How uniform grids lie on chunks of one shape.

    The geometry of every line, and the loop that serves their roundings.

    `jobs` are the places of their grids among those of a chunk, `lines` the places of their sums.
    """

    jobs: tuple[int, ...]
    lines: Codes
    geometry: Codes
    loop: Callable[..., None]

    @classmethod
    def of(cls, wanted: Sequence[tuple[Widths, Layout]], jobs: Sequence[int], lines: Codes, values: int) -> Self:
        """Pack grids of so many widths each, in layouts of a chunk of so many values."""
        geometry, line, first, pair = np.empty((len(lines), codes.GEOMETRY), np.int64), 0, 0, 0
        for widths, layout in wanted:
            count = len(widths.schemes)
            own, pairs = geometry[line : line + count], 1 if widths.schemes[0].symmetry.signed else layout.groups
            own[:] = _place(widths.schemes[0].rounding, layout, values)
            own[:, codes.FIRST], own[:, codes.FIRST_END] = (
                first + layout.groups * np.arange(count),
                pair + pairs * np.arange(count),
            )
            own[:, codes.END_STRIDE] = int(pairs > 1)
            line, first, pair = line + count, first + layout.groups * count, pair + pairs * count
        is_even = all(widths.schemes[0].rounding == Rounding() for widths, _layout in wanted)
        return cls(tuple(jobs), lines, geometry, accumulate if is_even else accumulate_rounded)

    def take_sums(self, bench: Bench, grids: Sequence[Any]) -> tuple[Doubles, Doubles]:
        """The chunk's own sums (MOMENTS,), and those under each grid (lines, SUMS)."""
        geometry, moments, sums = (
            self.geometry.copy(),
            np.zeros(len(codes.MOMENTS)),
            np.zeros((len(self.lines), len(codes.SUMS))),
        )
        geometry[:, codes.TAME] = bench.are_tame(
            np.concatenate([own.smallest for own in grids]), np.concatenate([own.largest for own in grids])
        )
        step, inverse = (
            np.concatenate([own.scale.ravel() for own in grids]),
            np.concatenate([own.inverse.ravel() for own in grids]),
        )
        low, high = (
            np.concatenate([own.low.ravel() for own in grids]),
            np.concatenate([own.high.ravel() for own in grids]),
        )
        self.loop(bench.values, bench.start, geometry, step, inverse, low, high, moments, sums)
        # The loop counts every y = 0, and on these grids x = 0 always gives y = 0.
        sums[:, codes.ZEROED] -= bench.values.size - moments[codes.NONZERO]
        return moments, sums


@dataclass(frozen=True, slots=True, eq=False)
class CodedPacking:
    """The same for grids of other formats, one line each.

    `parameters` (lines, MOST_PARAMETERS) say what their coders are.
    """

    jobs: tuple[int, ...]
    lines: Codes
    geometry: Codes
    parameters: Floats

    @classmethod
    def of(cls, wanted: Sequence[tuple[Scheme, Layout]], jobs: Sequence[int], lines: Codes, values: int) -> Self:
        """Pack one grid for each scheme, in layouts of a chunk of so many values."""
        geometry, parameters, first = (
            np.empty((len(lines), codes.GEOMETRY), np.int64),
            np.zeros((len(lines), codes.MOST_PARAMETERS), np.float32),
            0,
        )
        for line, own, (scheme, layout) in zip(geometry, parameters, wanted, strict=True):
            coder = scheme.format.element
            line[:] = _place(scheme.rounding, layout, values)
            line[codes.FIRST], line[codes.KIND] = first, coder.kind
            own[: len(coder.parameters)] = coder.parameters
            first += layout.groups
        return cls(tuple(jobs), lines, geometry, parameters)

    def take_sums(self, bench: Bench, grids: Sequence[Any]) -> tuple[Doubles, Doubles]:
        """The chunk's own sums (MOMENTS,), and those under each grid (lines, SUMS)."""
        geometry, moments, sums = (
            self.geometry.copy(),
            np.zeros(len(codes.MOMENTS)),
            np.zeros((len(self.lines), len(codes.SUMS))),
        )
        smallest, largest = np.array([(grid.smallest, grid.largest) for grid in grids]).T
        # Where 0 is no number of the format, the smallest step has errors even in a tile of zeros.
        has_zero = np.array([grid.coder.kind != codes.SIGN and not grid.centre for grid in grids])
        geometry[:, codes.TAME] = bench.are_tame(smallest, largest) & (has_zero | (smallest >= SMALLEST_TAME))
        parts = np.ascontiguousarray(np.concatenate([grid.parts for grid in grids], axis=1))
        accumulate_coded(bench.values, bench.raw, bench.start, geometry, parts, self.parameters, moments, sums)
        return moments, sums


Packing = UniformPacking | CodedPacking


def pack(wanted: Sequence[tuple[Widths | Scheme, Layout]], values: int) -> tuple[Packing, ...]:
    """How grids lie on chunks of so many values, in these layouts of them.

    `Widths` stand for uniform grids, a scheme for the one grid of another format.
    """
    uniform = [(place, grids, layout) for place, (grids, layout) in enumerate(wanted) if isinstance(grids, Widths)]
    coded = [(place, grids, layout) for place, (grids, layout) in enumerate(wanted) if isinstance(grids, Scheme)]
    counts = [len(grids.schemes) if isinstance(grids, Widths) else 1 for grids, _layout in wanted]
    whose = np.repeat(np.arange(len(wanted)), counts)
    packings: list[Packing] = []
    for start in range(0, len(uniform), JOBS_AT_ONCE):
        part = uniform[start : start + JOBS_AT_ONCE]
        jobs = [place for place, _grids, _layout in part]
        packings.append(
            UniformPacking.of([one[1:] for one in part], jobs, np.flatnonzero(np.isin(whose, jobs)), values)
        )
    for start in range(0, len(coded), JOBS_AT_ONCE):
        few = coded[start : start + JOBS_AT_ONCE]
        jobs = [place for place, _grids, _layout in few]
        packings.append(CodedPacking.of([one[1:] for one in few], jobs, np.flatnonzero(np.isin(whose, jobs)), values))
    return tuple(packings)


def take_sums(
    bench: Bench,
    packings: Sequence[Packing],
    grids: Sequence[Grids],
    *,
    on_packing: Callable[[Packing], None] = lambda _packing: None,
) -> tuple[Doubles, Doubles]:
    """The chunk's own sums (MOMENTS,), and those under each grid (SUMS, lines), by the names in `codes`.

    `on_packing` is told of each packing when its sums are taken, and may raise to end the work.
    """
    found = []
    for packing in packings:
        found.append(packing.take_sums(bench, [grids[job] for job in packing.jobs]))
        on_packing(packing)
    if len(found) == 1:
        return found[0][0], found[0][1].T
    sums = np.empty((sum(len(packing.lines) for packing in packings), len(codes.SUMS)))
    for packing, (_moments, own) in zip(packings, found, strict=True):
        sums[packing.lines] = own
    return found[0][0], sums.T


def _place(rounding: Rounding, layout: Layout, values: int) -> Codes:
    """A line of geometry with what depends on the layout and the rounding alone."""
    line = np.zeros(codes.GEOMETRY, np.int64)
    # One group is one block, however long its rows.
    blocks = (values, 1, values) if layout.groups == 1 else (layout.columns, layout.block_rows, layout.block_columns)
    line[codes.COLUMNS], line[codes.BLOCK_ROWS], line[codes.BLOCK_COLUMNS] = blocks
    line[codes.MODE], line[codes.SEED] = rounding.mode, rounding.seed
    return line
