"""A uniform quantizer with a range: the one object behind a converter and a quantized tensor; and its kin of unequal levels.

Code c stands for offset + (c - zero_point) * step. A value is scaled, rounded to a code, clipped to code_min..code_max.
`Q(NaN)` is NaN, `Q(+-inf)` an end level. Steps may differ per group; then `spread` maps (groups,) to the elements.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qanalysis.arrays import Reals
from qanalysis.kernels import codes

#: By how many steps a converter's range is divided into LSB.
FsOver = Literal["2^n", "2^n-1"]
FS_OVERS: tuple[FsOver, ...] = get_args(FsOver)


def check_fs_over(word: str) -> FsOver:
    """The word as a division of the range; ValueError names both."""
    for known in FS_OVERS:
        if known == word:
            return known
    raise ValueError(f"fs_over {word!r}: full scale is divided by '2^n' or by '2^n-1'")


def count_steps(bits: int, fs_over: FsOver) -> int:
    """The steps of a range, 2^bits or 2^bits - 1; ValueError for another word.

    >>> count_steps(12, "2^n"), count_steps(12, "2^n-1")
    (4096, 4095)
    """
    return int(2**bits) - (check_fs_over(fs_over) == "2^n-1")


@dataclass(frozen=True, slots=True)
class Rounding:
    """How a scaled value becomes a whole number; text form is the word, "stochastic:SEED" for the seeded draw."""

    name: str = "nearest-even"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.name not in ROUNDINGS:
            raise ValueError(f"round {self.name!r} is unknown; modes are {', '.join(ROUNDINGS)} (stochastic:SEED)")

    def __str__(self) -> str:
        return f"stochastic:{self.seed}" if self.name == "stochastic" else self.name

    @property
    def mode(self) -> int:
        """The number by which the compiled loops know it."""
        return codes.ROUNDINGS.index(self.name)

    def __call__(self, scaled: Reals) -> Reals:
        """Round elementwise; the draw of element i depends on the seed and on i (C order) alone.

        >>> Rounding("half-up")(np.array([2.5, -2.5, 0.3]))
        array([ 3., -2.,  0.])
        """
        rounded: Reals = ROUNDINGS[self.name](scaled, self.seed)
        return rounded


def parse_rounding(text: str) -> Rounding:
    """A rounding mode from its text form; ValueError names the forms."""
    name, colon, seed = text.partition(":")
    if name == "stochastic" and colon:
        if not re.fullmatch(r"\d{1,9}", seed):
            raise ValueError(f"round {text!r}: the seed is a whole number of at most 9 digits")
        return Rounding(name, int(seed))
    if name == "stochastic":
        raise ValueError("round 'stochastic' needs its seed, for example stochastic:0: the same input must give the same table")
    return Rounding(text)


def _away(scaled: Reals, _seed: int) -> Reals:
    whole = np.trunc(scaled)
    away: Reals = np.copysign((np.abs(scaled - whole) >= 0.5).astype(scaled.dtype), scaled)
    return whole + away


def _half_up(scaled: Reals, _seed: int) -> Reals:
    whole = np.floor(scaled)
    return whole + (scaled - whole >= 0.5)


def _stochastic(scaled: Reals, seed: int) -> Reals:
    whole = np.floor(scaled)
    draws = draw_uniform(np.arange(scaled.size, dtype=np.uint64), seed).reshape(scaled.shape)
    return whole + (draws < scaled - whole)


def draw_uniform(index: NDArray[np.uint64], seed: int) -> NDArray[np.float32]:
    """Uniform draws in [0, 1) on a grid of 2^-24, one per index: the output function of SplitMix64 (Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        mixed = (index + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed) * np.uint64(0xD1B54A32D192ED03)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)


ROUNDINGS: dict[str, Callable[[Reals, int], Reals]] = {
    "nearest-even": lambda scaled, _seed: np.rint(scaled),
    "nearest-away": _away,
    "half-up": _half_up,
    "floor": lambda scaled, _seed: np.floor(scaled),
    "ceil": lambda scaled, _seed: np.ceil(scaled),
    "to-zero": lambda scaled, _seed: np.trunc(scaled),
    "stochastic": _stochastic,
}


class GroupLayout(Protocol):
    """What a quantizer needs of a grouping: tensor to matrix view, back, and one value per group to one per element."""

    def to_matrix(self, x: NDArray[Any]) -> NDArray[Any]: ...
    def from_matrix(self, matrix: NDArray[Any]) -> NDArray[Any]: ...
    def spread(self, values: NDArray[Any]) -> NDArray[Any]: ...


@dataclass(frozen=True, eq=False)
class UniformQuantizer:
    """A fitted uniform grid. `step` and `zero_point` are floats, or arrays (groups,) with the `layout` that spreads them.

    Tensor grids compute in the dtype of `step` (float32); `from_range` makes float64 grids with the bottom level at `offset`.
    """

    step: Any
    zero_point: Any
    code_min: int
    code_max: int
    rounding: Rounding = Rounding()
    offset: float = 0.0
    layout: GroupLayout | None = None

    @classmethod
    def from_range(cls, bits: int, low: float, high: float, *, fs_over: FsOver = "2^n", rounding: Rounding | None = None) -> Self:
        """The grid of a converter: codes 0..2^bits-1 over low..high, LSB = FS/2^n, mid-tread, in float64.

        With `fs_over="2^n-1"` the top code stands at `high`. Raises ValueError for bits outside 1..32, a range that is not
        finite or not low < high, or another `fs_over`. Source: IEEE 1241-2010, the definition of the code bin width.

        >>> UniformQuantizer.from_range(12, 0, 10).half_step
        0.001220703125
        """
        if not 1 <= bits <= 32:
            raise ValueError(f"bits {bits}: a converter has 1 to 32 bits")
        if not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise ValueError(f"range {low}:{high}: needs two finite numbers, the lower one first")
        step = (high - low) / count_steps(bits, fs_over)
        return cls(step, 0.0, 0, 2**bits - 1, rounding or Rounding(), float(low))

    @property
    def half_step(self) -> Any:
        """LSB/2, the bound on |e| between the end levels (nearest rounding)."""
        return self.step / 2

    @property
    def low(self) -> Any:
        """Value of the lowest code."""
        return self.offset + (self.code_min - self.zero_point) * self.step

    @property
    def high(self) -> Any:
        """Value of the highest code."""
        return self.offset + (self.code_max - self.zero_point) * self.step

    def encode(self, x: ArrayLike) -> NDArray[Any]:
        """Codes of `x`, same shape, as whole floats (NaN stays NaN).

        >>> UniformQuantizer.from_range(8, 0, 12).encode([4.5, 4.51, 99.0])
        array([ 96.,  96., 255.])
        """
        matrix, step, zero_point = self._view(x)
        one = matrix.dtype.type(1)
        with np.errstate(invalid="ignore", over="ignore"):
            scaled = (matrix - self.offset if self.offset else matrix) * (one / step) if self.layout else (matrix - self.offset) / step
            codes = np.clip(self.rounding(scaled) + zero_point, self.code_min, self.code_max)
        return self._unview(codes.astype(matrix.dtype, copy=False))

    def decode(self, codes: ArrayLike) -> NDArray[Any]:
        """Reals of codes, same shape."""
        matrix, step, zero_point = self._view(codes)
        values = (matrix - zero_point) * step
        return self._unview(values + self.offset if self.offset else values)

    def round_trip(self, x: ArrayLike) -> NDArray[Any]:
        """decode(encode(x)): what the quantizer makes of `x`.

        >>> UniformQuantizer.from_range(8, 0, 12).round_trip([4.51])
        array([4.5])
        """
        return self.decode(self.encode(x))

    def _view(self, x: ArrayLike) -> tuple[NDArray[Any], Any, Any]:
        if self.layout is None:
            return np.asarray(x, np.float64), self.step, self.zero_point
        matrix = self.layout.to_matrix(np.asarray(x, self.step.dtype))
        return matrix, self.layout.spread(self.step), self.layout.spread(self.zero_point)

    def _unview(self, matrix: NDArray[Any]) -> NDArray[Any]:
        return matrix if self.layout is None else self.layout.from_matrix(matrix)


class Levels(Protocol):
    """What a quantizer needs of a coder: its numbers at scale 1, the rounding to them, and their codes."""

    @property
    def edges(self) -> tuple[float, float] | None: ...
    def round(self, x: Reals, inverse: Reals, rounding: Callable[[Reals], Reals]) -> Reals: ...
    def to_codes(self, numbers: Reals) -> Reals: ...
    def from_codes(self, codes: Reals) -> Reals: ...


@dataclass(frozen=True, eq=False)
class LevelQuantizer:
    """A fitted grid of any levels: a number u of `coder` within `ends` stands for u * scale + centre, group by group.

    Arrays are float32 (groups,), spread by `layout`; `inverse` multiplies values to scale 1 (or is a sign coder's
    threshold), `centre` is what is subtracted before coding and what is added after decoding, `step` the widest gap.
    """

    scale: NDArray[np.float32]
    inverse: NDArray[np.float32]
    step: NDArray[np.float32]
    coder: Levels
    ends: tuple[NDArray[np.float32], NDArray[np.float32]]
    layout: GroupLayout
    rounding: Rounding = Rounding()
    centre: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None

    @property
    def half_step(self) -> NDArray[np.float32]:
        """Half the widest gap, the bound on |e| between the end levels (nearest rounding)."""
        return self.step / np.float32(2)

    def encode(self, x: ArrayLike) -> NDArray[Any]:
        """Codes of `x`, same shape, as whole floats: integers, bit patterns of floats, places in a table (NaN stays NaN)."""
        kept, _wanted = self._code(self.layout.to_matrix(np.asarray(x, np.float32)))
        return self.layout.from_matrix(self.coder.to_codes(kept))

    def decode(self, codes: ArrayLike) -> NDArray[Any]:
        """Reals of codes, same shape; ValueError for a code that the format does not have."""
        return self.layout.from_matrix(self._restore(self.coder.from_codes(self.layout.to_matrix(np.asarray(codes, np.float32)))))

    def round_trip(self, x: ArrayLike) -> NDArray[Any]:
        """What the quantizer makes of `x`."""
        kept, _wanted = self._code(self.layout.to_matrix(np.asarray(x, np.float32)))
        return self.layout.from_matrix(self._restore(kept))

    def inspect(self, matrix: Reals) -> tuple[Reals, NDArray[np.bool_]]:
        """The round trip of a matrix in the layout's view, and which elements lie outside the codes."""
        kept, wanted = self._code(matrix)
        edges = self.coder.edges
        if edges is None:
            return self._restore(kept), kept != wanted
        level = self.layout.spread(np.where(self.scale == 0, np.float32(np.inf), np.abs(self.scale)))
        return self._restore(kept), (matrix < np.float32(edges[0]) * level) | (matrix > np.float32(edges[1]) * level)

    def _code(self, matrix: Reals) -> tuple[Reals, Reals]:
        with np.errstate(invalid="ignore", over="ignore"):
            centred = matrix - self.layout.spread(self.centre[0]) if self.centre else matrix
            wanted = self.coder.round(centred, self.layout.spread(self.inverse), self.rounding)
            low, high = (self.layout.spread(end) if end.size > 1 else end for end in self.ends)
            return np.clip(wanted, low, high), wanted

    def _restore(self, numbers: Reals) -> Reals:
        restored: Reals = numbers * self.layout.spread(self.scale)
        return restored + self.layout.spread(self.centre[1]) if self.centre else restored
