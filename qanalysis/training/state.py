"""What is seen of a tensor at one step, and in which state are its quantizers? One record for every rule.

Both hold arrays of shape (n,): n groups of one tensor where a network trains, n series where a log is replayed. A range
that was never set is NaN. Statistics are over finite elements; mean and std are those of |x|, so E x^2 = mean^2 +
std^2.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qanalysis.arrays import Codes, Doubles
from qanalysis.notation import quote
from qanalysis.quantizers.observing import Observed
from qanalysis.quantizers.rounding import parse_rounding

#: The six kinds of data whose precision is adjusted (A4): input and output neurons, weights, and their gradients.
KindOfData = Literal["input", "output", "weight", "input-gradient", "output-gradient", "weight-gradient"]
KINDS: tuple[KindOfData, ...] = get_args(KindOfData)
#: By an exponent (step 2^s) or by a real step f.
Precision = Literal["s", "f"]


@dataclass(frozen=True, slots=True, eq=False)
class Observation(Observed):
    """Statistics of n tensors or groups at one step, as `Observed`, float64 (n,) each; NaN where unknown.

    `absmax` may be infinite where nothing finite was seen; `mean_quantized` is the mean of |Q(x)|.
    """

    mean_quantized: Doubles

    @classmethod
    def of(cls, absmax: ArrayLike, **others: ArrayLike) -> Self:
        """An observation from what is known; the range is then -absmax..absmax, counts of non-finite values are 0, the
        rest is NaN.

        >>> Observation.of([2.0], mean=[0.5]).low
        array([-2.])
        """
        largest = np.atleast_1d(np.asarray(absmax, np.float64))
        blank = np.full(largest.shape, np.nan)
        given = {name: np.atleast_1d(np.asarray(value, np.float64)) for name, value in others.items()}
        unknown = {one.name: blank for one in fields(cls)}
        return cls(
            **{**unknown, "absmax": largest, "low": -largest, "high": largest, "non_finite": np.zeros_like(largest)}
            | given
        )

    @property
    def known(self) -> NDArray[np.bool_]:
        """Where something finite was seen, so that a rule may act; (n,)."""
        return np.isfinite(self.absmax)

    def merge(self, other: Observation) -> Observation:
        """Both as one: the wider extremes, pooled moments; counts that are unknown weigh alike."""
        own, its = np.where(np.isnan(self.count), 1, self.count), np.where(np.isnan(other.count), 1, other.count)
        total = np.where(own + its > 0, own + its, np.nan)
        mean = (_weigh(own, self.mean) + _weigh(its, other.mean)) / total
        squares = (_weigh(count, part.mean**2 + part.std**2) for count, part in ((own, self), (its, other)))
        square = sum(squares, np.zeros(())) / total
        return Observation(
            np.fmax(self.absmax, other.absmax),
            np.fmin(self.absmin, other.absmin),
            mean,
            np.sqrt(np.maximum(square - mean**2, 0)),
            np.fmin(self.low, other.low),
            np.fmax(self.high, other.high),
            self.count + other.count,
            self.non_finite + other.non_finite,
            (_weigh(own, self.mean_quantized) + _weigh(its, other.mean_quantized)) / total,
        )


def _weigh(count: Doubles, values: Doubles) -> Doubles:
    """Values times their counts; nothing of a part without finite elements, whose statistics are NaN."""
    return np.where(count == 0, 0, count * values)


@dataclass(frozen=True, slots=True, eq=False)
class QuantizerState:
    """n quantizers at one moment: `bits` (n,) int64, the range `low`..`high` (n,) float64, and what rules remember.

    `memory` maps a word of a rule to an array (n,) float64. A range that was never set is NaN.
    """

    bits: Codes
    low: Doubles
    high: Doubles
    memory: Mapping[str, Doubles] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def blank(cls, n: int, bits: int) -> Self:
        """N quantizers that have seen nothing."""
        return cls(np.full(n, bits, np.int64), np.full(n, np.nan), np.full(n, np.nan))

    @property
    def has_range(self) -> NDArray[np.bool_]:
        """Where a range stands; (n,)."""
        return np.isfinite(self.high)

    def with_range(self, low: Doubles, high: Doubles) -> Self:
        """The same quantizers over another range."""
        return replace(self, low=low, high=high)

    def remember(self, **memory: Doubles) -> Self:
        """The same quantizers with other memories."""
        return replace(self, memory=MappingProxyType({**self.memory, **memory}))

    def recall(self, name: str, default: float = 0.0) -> Doubles:
        """A memory, (n,); the default where there is none yet."""
        found = self.memory.get(name)
        return np.full(self.high.shape, default) if found is None else found

    def choose(self, where: NDArray[np.bool_], other: QuantizerState) -> QuantizerState:
        """`other` where the mask (n,) is true, these elsewhere."""
        if where.all() and self.memory.keys() <= other.memory.keys():
            return other
        names = {*self.memory, *other.memory}
        memory = {name: np.where(where, other.recall(name), self.recall(name)) for name in names}
        return QuantizerState(
            np.where(where, other.bits, self.bits),
            np.where(where, other.low, self.low),
            np.where(where, other.high, self.high),
            MappingProxyType(memory),
        )


@dataclass(frozen=True, slots=True)
class Decision:
    """What a rule made of a state, and why: index among the n to a reason, for those that changed by an event."""

    state: QuantizerState
    reasons: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Command:
    """A quantization command (A5): which data, whether its precision is discrete (step 2^value) or continuous (step
    value), the width and the rounding. Raises ValueError for what no quantizer can do.
    """

    kind: KindOfData
    type: Literal["discrete", "continuous"]
    value: float
    bits: int
    rounding: str = "nearest-even"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind {quote(self.kind)} is unknown; kinds are {', '.join(KINDS)}")
        if self.type not in ("discrete", "continuous"):
            raise ValueError(f"type {quote(self.type)} is unknown; a precision is discrete or continuous")
        if not np.isfinite(self.value) or (self.type == "discrete" and self.value != int(self.value)):
            raise ValueError(f"value {self.value}: a discrete precision is a whole exponent, a continuous one a number")
        if self.type == "continuous" and self.value <= 0:
            raise ValueError(f"value {self.value}: a step is above 0")
        if self.bits < 2:
            raise ValueError(f"bits {self.bits}: an integer grid has at least 2")
        parse_rounding(self.rounding)

    @property
    def step(self) -> float:
        """The step of the grid, in the unit of the data."""
        return float(2.0**self.value) if self.type == "discrete" else self.value

    @property
    def positive_end(self) -> float:
        """Pos = (2^(bits-1) - 1) step, the largest value that it holds (CN111832695A).

        >>> Command("weight", "discrete", -7, 8).positive_end
        0.9921875
        """
        return float(2 ** (self.bits - 1) - 1) * self.step

    def to_json(self) -> str:
        """One object; `from_json` gives an equal record back."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """A command from its object; ValueError for text that is none."""
        try:
            found: Any = json.loads(text)
            return cls(**found)
        except TypeError as error:
            names = ", ".join(one.name for one in fields(cls))
            raise ValueError(f"a quantization command is an object with {names}; found {quote(text)}") from error
