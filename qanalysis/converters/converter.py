"""Which code does an ideal converter give, what does the code stand for, and where does it change?

Notation: n bits, range low..high, q = LSB. Code c stands for the level low + c q (mid-rise: + q/2) and is entered at
transition T[c]: mid-tread low + (c - 1/2) q, mid-rise and floor low + c q. Names refer to the low end: with FS/2^n a
range of -FS/2..FS/2 has a level at zero for mid-tread and a transition for mid-rise; with FS/(2^n-1) its levels lie
even about zero, and the two change roles there.
"""

from __future__ import annotations

import operator
from dataclasses import KW_ONLY, dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from qanalysis.arrays import Codes, Doubles
from qanalysis.converters.choices import Transfer, check_transfer
from qanalysis.notation import plain, quote
from qanalysis.quantizers.quantizer import FsOver, UniformQuantizer, count_steps
from qanalysis.quantizers.rounding import Rounding

#: How results name the step.
LsbConvention = Literal["fs/2^n", "fs/(2^n-1)"]
LSB_CONVENTIONS: dict[FsOver, LsbConvention] = {"2^n": "fs/2^n", "2^n-1": "fs/(2^n-1)"}
MOST_BITS_LISTED = 24


@dataclass(frozen=True, slots=True)
class Converter:
    """An ideal n-bit converter of low..high: a uniform quantizer with a range and saturating ends, in float64.

    `bits` 1 to 32; LSB = FS/2^n, or FS/(2^n-1) with `fs_over="2^n-1"` (then the top level of mid-tread stands at
    `high`); `transfer` is mid-tread, mid-rise or floor. TypeError for bits that are no whole number, ValueError for
    anything else that is no converter. Source: IEEE 1241-2010, code transition levels; the three transfers as in every
    data sheet's first figure.

    >>> Converter(8, 0, 12).lsb, Converter(8, 0, 12).half_step
    (0.046875, 0.0234375)
    """

    bits: int
    low: float
    high: float
    _: KW_ONLY
    fs_over: FsOver = "2^n"
    transfer: Transfer = "mid-tread"

    def __post_init__(self) -> None:
        try:
            bits = operator.index(self.bits)
        except TypeError:
            raise TypeError(f"bits {quote(self.bits)}: a converter has a whole number of bits, 1 to 32") from None
        check_transfer(self.transfer)
        low, high = float(self.low), float(self.high)
        step = UniformQuantizer.from_range(bits, low, high, fs_over=self.fs_over).step
        if not 8 * np.spacing(max(abs(low), abs(high))) <= step < np.inf:
            raise ValueError(
                f"range {low}:{high} with {bits} bits has a step of {plain(step)}, which float64 does not "
                "resolve there; "
                "move the range to zero"
            )
        for name, value in (("bits", bits), ("low", low), ("high", high)):
            object.__setattr__(self, name, value)

    @property
    def quantizer(self) -> UniformQuantizer:
        """The same thing as the core's quantizer: it fits wherever a tensor's quantizer does.

        Ties go up, so that every transition belongs to the code it enters; mid-rise is mid-tread moved by half a step.
        """
        rounding = Rounding("floor" if self.transfer == "floor" else "half-up")
        grid = UniformQuantizer.from_range(self.bits, self.low, self.high, fs_over=self.fs_over, rounding=rounding)
        return replace(grid, offset=self.low + self.half_step) if self.transfer == "mid-rise" else grid

    @property
    def codes(self) -> int:
        """Number of codes, 2^n."""
        return int(2**self.bits)

    @property
    def lsb(self) -> float:
        """The step q by the stated convention, in the unit of the range."""
        return (self.high - self.low) / count_steps(self.bits, self.fs_over)

    @property
    def half_step(self) -> float:
        """LSB/2."""
        return self.lsb / 2

    @property
    def error_bound(self) -> float:
        """Largest |e| between the ends: LSB/2, and a whole LSB for floor."""
        return self.lsb if self.transfer == "floor" else self.half_step

    @property
    def lsb_convention(self) -> LsbConvention:
        """How results name the step: "fs/2^n" or "fs/(2^n-1)"."""
        return LSB_CONVENTIONS[self.fs_over]

    @property
    def centre(self) -> float:
        """Middle of the range, where a full-scale sine stands."""
        return self.low / 2 + self.high / 2

    @property
    def amplitude(self) -> float:
        """Peak of a full-scale sine, FS/2: the 0 dBFS of the sine convention."""
        return self.high / 2 - self.low / 2

    def encode(self, x: ArrayLike) -> Codes:
        """Codes 0..2^n-1 of `x`, same shape, saturating; infinities saturate, NaN has no code: ValueError.

        >>> Converter(8, 0, 12).encode([4.5, 4.51, -1.0, 99.0])
        array([ 96,  96,   0, 255])
        """
        codes = self.quantizer.encode(x)
        if np.isnan(codes).any():
            raise ValueError(
                f"{int(np.isnan(codes).sum())} of {codes.size} inputs are NaN, which has no code; drop them first"
            )
        return codes.astype(np.int64)

    def decode(self, codes: ArrayLike) -> Doubles:
        """Levels of `codes`, same shape; ValueError for codes outside 0..2^n-1.

        >>> Converter(8, 0, 5).decode([0, 255])
        array([0.        , 4.98046875])
        """
        codes = np.asarray(codes)
        if codes.size and not (codes.min() >= 0 and codes.max() < self.codes):
            raise ValueError(f"codes {codes.min()}..{codes.max()}: {self.bits} bits have the codes 0..{self.codes - 1}")
        return self.quantizer.decode(codes)

    def round_trip(self, x: ArrayLike) -> Doubles:
        """decode(encode(x)): what the converter makes of `x`."""
        return self.decode(self.encode(x))

    def locate_transitions(self, codes: ArrayLike) -> Doubles:
        """T[c], the input at which code c is entered from below; code 0 has none, its value here is where it would be.

        >>> [Converter(3, 0, 8, transfer=word).locate_transitions([1, 7]) for word in ("mid-tread", "floor")]
        [array([0.5, 6.5]), array([1., 7.])]
        """
        return self.low + (np.asarray(codes, np.float64) - (0.5 if self.transfer == "mid-tread" else 0.0)) * self.lsb

    @property
    def transitions(self) -> Doubles:
        """All 2^n-1 transition levels, ascending;
        ValueError above 24 bits (use `locate_transitions` for some codes).
        """
        return self.locate_transitions(self._list_codes()[1:])

    @property
    def levels(self) -> Doubles:
        """All 2^n reconstruction levels, ascending; ValueError above 24 bits (use `decode` for some codes)."""
        return self.decode(self._list_codes())

    def _list_codes(self) -> Codes:
        if self.bits > MOST_BITS_LISTED:
            raise ValueError(
                f"{self.bits} bits: lists by code stop at {MOST_BITS_LISTED} bits; ask for single codes instead"
            )
        return np.arange(self.codes)
