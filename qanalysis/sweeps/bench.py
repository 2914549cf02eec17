"""The one door to the compiled loops: a chunk's values, the ranges of its groups, and its sums under many grids at once.

Nobody else packs arguments for them. Chunks are flat and C-ordered. How grids lie on a chunk is packed once (`Packing`) for
all chunks of one shape; their scales and ends come with every chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate as add_up
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Codes, Doubles, Floats
from qanalysis.kernels import codes
from qanalysis.kernels.coded import accumulate_coded
from qanalysis.kernels.lanes import LARGEST_TAME, SMALLEST_TAME
from qanalysis.kernels.scans import extremes, scan
from qanalysis.kernels.uniform import accumulate, accumulate_rounded
from qanalysis.quantizers.coders import Coder
from qanalysis.quantizers.grids import Grid
from qanalysis.quantizers.grouping import Layout
from qanalysis.quantizers.quantizer import Rounding
from qanalysis.sweeps.widths import UniformGrids, Widths

Grids = UniformGrids | Grid


@dataclass(frozen=True, slots=True)
class Lines:
    """What is asked of a chunk: uniform grids of some widths, or one grid of a coder, in a layout of the chunk."""

    layout: Layout
    rounding: Rounding
    grids: Widths | Coder

    @property
    def count(self) -> int:
        """How many grids these are."""
        return len(self.grids.schemes) if isinstance(self.grids, Widths) else 1

    @property
    def pairs(self) -> int:
        """How many pairs of end codes one uniform grid has."""
        return 1 if isinstance(self.grids, Widths) and self.grids.schemes[0].symmetry.signed else self.layout.groups

    def place(self, values: int) -> Codes:
        """A line of geometry with what all of these share, on a chunk of so many values."""
        layout, line = self.layout, np.zeros(codes.GEOMETRY, np.int64)
        # One group is one block, however long its rows.
        blocks = (values, 1, values) if layout.groups == 1 else (layout.columns, layout.block_rows, layout.block_columns)
        line[codes.COLUMNS], line[codes.BLOCK_ROWS], line[codes.BLOCK_COLUMNS] = blocks
        line[codes.MODE], line[codes.SEED] = self.rounding.mode, self.rounding.seed
        return line


@dataclass(frozen=True, slots=True, eq=False)
class Packing:
    """How grids lie on chunks of one shape: the geometry of the uniform ones and of the coded ones, and which lines of the sums are whose."""

    uniform: tuple[int, ...]
    coded: tuple[int, ...]
    uniform_lines: Codes
    coded_lines: Codes
    uniform_geometry: Codes
    coded_geometry: Codes
    parameters: Floats
    loop: Callable[..., None]

    @classmethod
    def of(cls, wanted: Sequence[Lines], values: int) -> Self:
        """Pack what is wanted of a chunk of so many values."""
        ends = list(add_up((lines.count for lines in wanted), initial=0))
        uniform = tuple(i for i, lines in enumerate(wanted) if isinstance(lines.grids, Widths))
        coded = tuple(i for i in range(len(wanted)) if i not in uniform)
        uniform_lines, coded_lines = (np.array([line for i in own for line in range(ends[i], ends[i + 1])], np.int64) for own in (uniform, coded))
        parameters = np.zeros((len(coded), codes.MOST_PARAMETERS), np.float32)
        for line, i in zip(parameters, coded, strict=True):
            known = _coder_of(wanted[i]).parameters
            line[: len(known)] = known
        is_even = all(wanted[i].rounding == Rounding() for i in uniform)
        geometry = _pack_uniform([wanted[i] for i in uniform], values), _pack_coded([wanted[i] for i in coded], values)
        return cls(uniform, coded, uniform_lines, coded_lines, *geometry, parameters, accumulate if is_even else accumulate_rounded)


def _pack_uniform(wanted: Sequence[Lines], values: int) -> Codes:
    geometry, line, first, pair = np.empty((sum(lines.count for lines in wanted), codes.GEOMETRY), np.int64), 0, 0, 0
    for lines in wanted:
        own, order = geometry[line : line + lines.count], np.arange(lines.count)
        own[:] = lines.place(values)
        own[:, codes.FIRST], own[:, codes.FIRST_END] = first + lines.layout.groups * order, pair + lines.pairs * order
        own[:, codes.END_STRIDE] = int(lines.pairs > 1)
        line, first, pair = line + lines.count, first + lines.layout.groups * lines.count, pair + lines.pairs * lines.count
    return geometry


def _pack_coded(wanted: Sequence[Lines], values: int) -> Codes:
    geometry, first = np.empty((len(wanted), codes.GEOMETRY), np.int64), 0
    for line, lines in zip(geometry, wanted, strict=True):
        line[:] = lines.place(values)
        line[codes.FIRST], line[codes.KIND] = first, _coder_of(lines).kind
        first += lines.layout.groups
    return geometry


def _coder_of(lines: Lines) -> Coder:
    if isinstance(lines.grids, Widths):
        raise TypeError(f"{lines} are uniform grids, which have no coder to pack")
    return lines.grids


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """A chunk's values, with 0 where `raw` is not finite (`raw` is empty where all are), how many those are, its place in the tensor, and max |x|."""

    values: Floats
    raw: Floats
    bad: int
    start: int
    largest: float

    @classmethod
    def clear(cls, raw: Floats, *, start: int = 0) -> Self:
        """A chunk (values,) from its flat place `start` on. On every grid here 0 has no error, or is left out by `raw`."""
        bad, largest = scan(raw)
        if bad:
            return cls(np.where(np.isfinite(raw), raw, np.float32(0)), raw, bad, start, float(largest))
        return cls(raw, raw[:0], 0, start, float(largest))

    def find_extremes(self, layout: Layout) -> tuple[Floats, Floats]:
        """Smallest and largest value of every group, (groups,), widened to hold 0 as every grid does."""
        low, high = np.zeros((2, layout.groups), np.float32)
        extremes(self.values, layout.columns, layout.block_rows, layout.block_columns, low, high)
        return low, high

    def take_sums(self, packing: Packing, grids: Sequence[Grids]) -> tuple[Doubles, Doubles]:
        """The chunk's own sums (MOMENTS,) and those under each grid (SUMS, lines), in the order of the packing's lines."""
        uniform: list[Any] = [grids[i] for i in packing.uniform]
        coded: list[Any] = [grids[i] for i in packing.coded]
        if not coded:
            moments, sums = self._add_uniform(packing, uniform)
            return moments, sums.T
        moments, lines = self._add_coded(packing, coded)
        if not uniform:
            return moments, lines.T
        sums = np.empty((len(packing.uniform_lines) + len(lines), len(codes.SUMS)))
        sums[packing.coded_lines] = lines
        moments, sums[packing.uniform_lines] = self._add_uniform(packing, uniform)
        return moments, sums.T

    def _add_uniform(self, packing: Packing, grids: Sequence[UniformGrids]) -> tuple[Doubles, Doubles]:
        geometry, moments, sums = packing.uniform_geometry.copy(), np.zeros(len(codes.MOMENTS)), np.zeros((len(packing.uniform_lines), len(codes.SUMS)))
        geometry[:, codes.TAME] = self._are_tame(np.concatenate([own.smallest for own in grids]), np.concatenate([own.largest for own in grids]))
        step, inverse = np.concatenate([own.scale.ravel() for own in grids]), np.concatenate([own.inverse.ravel() for own in grids])
        low, high = np.concatenate([own.low.ravel() for own in grids]), np.concatenate([own.high.ravel() for own in grids])
        packing.loop(self.values, self.start, geometry, step, inverse, low, high, moments, sums)
        # The loop counts every y = 0, and on these grids x = 0 always gives y = 0.
        sums[:, codes.ZEROED] -= self.values.size - moments[codes.NONZERO]
        return moments, sums

    def _add_coded(self, packing: Packing, grids: Sequence[Grid]) -> tuple[Doubles, Doubles]:
        geometry, moments, sums = packing.coded_geometry.copy(), np.zeros(len(codes.MOMENTS)), np.zeros((len(grids), len(codes.SUMS)))
        smallest = np.array([grid.smallest for grid in grids])
        # Where 0 is no number of the format, the smallest step has errors even in a tile of zeros.
        has_zero = np.array([grid.coder.kind != codes.SIGN and not grid.centre for grid in grids])
        is_tame = self._are_tame(smallest, np.array([grid.largest for grid in grids])) & (has_zero | (smallest >= SMALLEST_TAME))
        geometry[:, codes.TAME] = is_tame
        parts = np.ascontiguousarray(np.concatenate([grid.parts for grid in grids], axis=1))
        accumulate_coded(self.values, self.raw, self.start, geometry, parts, packing.parameters, moments, sums)
        return moments, sums

    def _are_tame(self, smallest: Doubles, largest: Doubles) -> NDArray[np.bool_]:
        """Whether errors, and errors over steps, can be squared in float32: a stored scale may be far from the data's."""
        # The step of a group without a signal is 1, which is tame for anything that is.
        limit = float(LARGEST_TAME)
        return (largest <= limit) & (self.largest <= limit * smallest)
