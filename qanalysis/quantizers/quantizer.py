"""A uniform quantizer with a range: the one object behind a converter and a quantized tensor; and its kin of grouped
grids.

Code c of a converter stands for offset + c * step, in float64. On a grid of groups a number u of the coder stands for u
* scale + centre, in float32. A value is scaled, rounded, clipped to the end codes. `Q(NaN)` is NaN, `Q(+-inf)` an end
level.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self, get_args

import numpy as np
from numpy.typing import ArrayLike

from qanalysis.arrays import Doubles, Floats
from qanalysis.notation import quote
from qanalysis.quantizers.rounding import Rounding

if TYPE_CHECKING:  # a converter needs no tensor's grids, and with them no compiled loops
    from qanalysis.quantizers.grids import Grid
    from qanalysis.quantizers.grouping import Layout


#: By how many steps a converter's range is divided into LSB.
FsOver = Literal["2^n", "2^n-1"]
FS_OVERS: tuple[FsOver, ...] = get_args(FsOver)
NEAREST_EVEN = Rounding()


def check_fs_over(word: str) -> FsOver:
    """The word as a division of the range; ValueError names both."""
    for known in FS_OVERS:
        if known == word:
            return known
    raise ValueError(f"fs_over {quote(word)}: full scale is divided by '2^n' or by '2^n-1'")


def count_steps(bits: int, fs_over: FsOver) -> int:
    """The steps of a range, 2^bits or 2^bits - 1; ValueError for another word.

    >>> count_steps(12, "2^n"), count_steps(12, "2^n-1")
    (4096, 4095)
    """
    return int(2**bits) - (check_fs_over(fs_over) == "2^n-1")


@dataclass(frozen=True, slots=True)
class UniformQuantizer:
    """Codes code_min..code_max at a step of the input's unit, the code 0 at `offset`; all in float64."""

    step: float
    code_min: int
    code_max: int
    offset: float = 0.0
    rounding: Rounding = NEAREST_EVEN

    @classmethod
    def from_range(
        cls, bits: int, low: float, high: float, *, fs_over: FsOver = "2^n", rounding: Rounding | None = None
    ) -> Self:
        """The grid of a converter: codes 0..2^bits-1 over low..high, LSB = FS/2^n, mid-tread.

        With `fs_over="2^n-1"` the top code stands at `high`. Raises ValueError for bits outside 1..32, a range that is
        not finite or not low < high, or another `fs_over`. Source: IEEE 1241-2010, the definition of the code bin
        width.

        >>> UniformQuantizer.from_range(12, 0, 10).half_step
        0.001220703125
        """
        if not 1 <= bits <= 32:
            raise ValueError(f"bits {bits}: a converter has 1 to 32 bits")
        if not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise ValueError(f"range {low}:{high}: needs two finite numbers, the lower one first")
        return cls((high - low) / count_steps(bits, fs_over), 0, 2**bits - 1, float(low), rounding or NEAREST_EVEN)

    @property
    def half_step(self) -> float:
        """LSB/2, the bound on |e| between the end levels (nearest rounding)."""
        return self.step / 2

    @property
    def low(self) -> float:
        """Value of the lowest code."""
        return self.offset + self.code_min * self.step

    @property
    def high(self) -> float:
        """Value of the highest code."""
        return self.offset + self.code_max * self.step

    def encode(self, x: ArrayLike) -> Doubles:
        """Codes of `x`, same shape, as whole floats (NaN stays NaN).

        >>> UniformQuantizer.from_range(8, 0, 12).encode([4.5, 4.51, 99.0])
        array([ 96.,  96., 255.])
        """
        with np.errstate(invalid="ignore", over="ignore"):
            codes = self.rounding((np.asarray(x, np.float64) - self.offset) / self.step)
            return np.clip(codes + 0.0, self.code_min, self.code_max)  # no negative zero

    def decode(self, codes: ArrayLike) -> Doubles:
        """Values of codes, same shape, in the unit of the range."""
        values: Doubles = np.asarray(codes, np.float64) * self.step
        return values + self.offset if self.offset else values

    def round_trip(self, x: ArrayLike) -> Doubles:
        """decode(encode(x)): what the quantizer makes of `x`.

        >>> UniformQuantizer.from_range(8, 0, 12).round_trip([4.51])
        array([4.5])
        """
        return self.decode(self.encode(x))


@dataclass(frozen=True, slots=True, eq=False)
class LevelQuantizer:
    """A scheme fitted to a tensor: the grids of its groups, the layout that spreads them over the tensor, the rounding.

    Parts of a grid are float32 (groups,); tensors have the layout's shape.
    """

    grid: Grid
    layout: Layout
    rounding: Rounding = NEAREST_EVEN

    @property
    def scale(self) -> Floats:
        """What the numbers of each group are multiplied by."""
        return self.grid.scale

    @property
    def zero_point(self) -> Floats:
        """The code of 0 in each group: 0 unless integers are asymmetric."""
        return self.grid.zero_point

    @property
    def step(self) -> Floats:
        """The widest gap between neighbouring levels of each group; the step of a uniform grid."""
        return self.grid.step

    @property
    def half_step(self) -> Floats:
        """Half the widest gap, the bound on |e| between the end levels (nearest rounding)."""
        return self.step / np.float32(2)

    @property
    def low(self) -> Floats:
        """The lowest level of each group."""
        return self._end_levels(self.grid.ends[0])

    @property
    def high(self) -> Floats:
        """The highest level of each group."""
        return self._end_levels(self.grid.ends[1])

    def _end_levels(self, ends: Floats) -> Floats:
        levels: Floats = ends * self.scale
        return levels + self.grid.centre[1] if self.grid.centre else levels

    @property
    def code_min(self) -> int:
        """The code of the lowest number."""
        return self._code_of(self.grid.coder.low)

    @property
    def code_max(self) -> int:
        """The code of the highest number."""
        return self._code_of(self.grid.coder.high)

    def _code_of(self, number: float) -> int:
        return int(self.grid.coder.to_codes(np.array([number], np.float32))[0])

    def encode(self, x: ArrayLike) -> Floats:
        """Codes of `x`, same shape, as whole floats: integers, bit patterns of floats, places in a table (NaN stays
        NaN).
        """
        kept, _wanted = self._code(self.layout.to_matrix(np.asarray(x, np.float32)))
        codes = self.grid.coder.to_codes(kept)
        if self.grid.zero_points is not None:
            codes = codes + self.layout.spread(self.grid.zero_points)
        return self.layout.from_matrix(codes)

    def decode(self, codes: ArrayLike) -> Floats:
        """Values of codes, same shape; ValueError for a code that the format does not have."""
        matrix = self.layout.to_matrix(np.asarray(codes, np.float32))
        numbers = matrix if self.grid.zero_points is None else matrix - self.layout.spread(self.grid.zero_points)
        return self.layout.from_matrix(self._restore(self.grid.coder.from_codes(numbers)))

    def round_trip(self, x: ArrayLike) -> Floats:
        """What the quantizer makes of `x`."""
        kept, _wanted = self._code(self.layout.to_matrix(np.asarray(x, np.float32)))
        return self.layout.from_matrix(self._restore(kept))

    def _code(self, matrix: Floats) -> tuple[Floats, Floats]:
        """Numbers at scale 1 as the coder keeps them, and as it wants them before clipping."""
        with np.errstate(invalid="ignore", over="ignore"):
            centred = matrix - self.layout.spread(self.grid.centre[0]) if self.grid.centre else matrix
            wanted = self.grid.coder.round(centred, self.layout.spread(self.grid.coding), self.rounding)
            low, high = (self.layout.spread(end) if end.size > 1 else end for end in self.grid.ends)
            return np.clip(wanted, low, high), wanted

    def _restore(self, numbers: Floats) -> Floats:
        restored: Floats = numbers * self.layout.spread(self.scale)
        return restored + self.layout.spread(self.grid.centre[1]) if self.grid.centre else restored
