"""What does the user ask for? A quantization scheme as a value with a text form, and its fit to data.

FORMAT [sym|sym-full|sym-noclip|sym-clip|asym] [tensor|channel[=AXIS]|group=N|block=RxC] [range=RULE] [scale=TYPE] [round=MODE],
in any order; printing is canonical and leaves defaults out. A Scheme is intent; the quantizer it fits is the resolution.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qanalysis import kernels
from qanalysis.formats import FORMATS, SCALE_TYPES, SYMMETRIES, Floats, Grid, IntegerFormat, ScaleType, Symmetry, parse_format
from qanalysis.grouping import Grouping, Layout, parse_grouping
from qanalysis.quantizer import Rounding, UniformQuantizer, parse_rounding
from qanalysis.ranges import GridSearch, MinMax, RangeRule, parse_range, shorten_range

# A divergence search takes up to a millisecond per group, and a sweep must stop within 0.2 s.
GROUPS_PER_CHECK = 64
WHOLE_TENSOR, MINMAX, NEAREST_EVEN = Grouping(), MinMax(), Rounding()


@dataclass(frozen=True, slots=True)
class Scheme:
    """A format and the conventions around it; every part is itself a value with a text form.

    >>> scheme = Scheme.parse("group=128 int4 sym range=mse")
    >>> str(scheme), scheme == Scheme.parse(str(scheme))
    ('int4 group=128 range=mse', True)
    """

    format: IntegerFormat
    symmetry: Symmetry = SYMMETRIES["sym"]
    grouping: Grouping = WHOLE_TENSOR
    range: RangeRule = MINMAX
    scale: ScaleType = SCALE_TYPES["float32"]
    rounding: Rounding = NEAREST_EVEN

    @classmethod
    def parse(cls, text: str) -> Self:
        """The scheme written as `text`; ValueError names the word, the rule and the choices."""
        parts: dict[str, Any] = {}
        for word in text.split():
            part, value = _read_word(word, text)
            if part in parts:
                raise ValueError(f"scheme {text!r} names its {part} twice, the second time as {word!r}; keep one")
            parts[part] = value
        if "format" not in parts:
            raise ValueError(f"scheme {text!r} names no format; begin with one, for example 'int4 group=128'")
        return cls(**parts)

    def __str__(self) -> str:
        words = [str(self.format)]
        words += [self.symmetry.name] if self.symmetry.name != "sym" else []
        words += [str(self.grouping)] if self.grouping != WHOLE_TENSOR else []
        words += [f"range={shorten_range(self.range)}"] if self.range != MINMAX else []
        words += [f"scale={self.scale.name}"] if self.scale.name != "float32" else []
        words += [f"round={self.rounding}"] if self.rounding != NEAREST_EVEN else []
        return " ".join(words)

    @property
    def storage_bits(self) -> tuple[int, int]:
        """Bits stored per element and per group: the code; the scale, and a zero point of the code's width if asymmetric."""
        return self.format.bits, self.scale.bits + (0 if self.symmetry.signed else self.format.bits)

    def fit(self, x: ArrayLike, *, axis: int = 0) -> UniformQuantizer:
        """The grid of this scheme over the finite elements of `x`, float32; `axis` is the channel axis.

        Raises ValueError for a 0-d or empty `x`, or an axis it does not have.

        >>> Scheme.parse("int4").fit(np.float32([0.7, -0.3])).round_trip(np.float32([0.7, -0.28]))
        array([ 0.7, -0.3], dtype=float32)
        """
        values = np.asarray(x, np.float32)
        layout = self.grouping.lay_out(values.shape, axis=axis)
        if not values.size:
            raise ValueError(f"a tensor of shape {values.shape} is empty; there is nothing to fit a grid to")
        grid = self.lay_grid(*self.find_range(layout.to_matrix(values), layout))
        return UniformQuantizer(grid.step, grid.zero_point, grid.code_min, grid.code_max, self.rounding, layout=layout)

    def lay_grid(self, low: Floats, high: Floats) -> Grid:
        """The grids over the ranges low..high, (groups,)."""
        return self.symmetry.lay_grid(low, high, self.format, scale=self.scale)

    def find_range(self, matrix: NDArray[np.float32], layout: Layout, *, check: Callable[[], None] = lambda: None) -> tuple[Floats, Floats]:
        """The range rule's low and high of every group, (groups,); elements that are not finite are left out.

        `check` is called between the candidates of a search and may raise to end it.
        """
        low, high = np.zeros((2, layout.groups), np.float32)
        search = GridSearch(lambda groups: self._squared_error_of(groups, check), lambda groups, bins: self._divergence_clip(groups, bins, check))
        for indices, groups in layout.split(matrix):
            low[indices], high[indices] = self.range(_mask_non_finite(groups), symmetric=self.symmetry.signed, search=search)
        return low, high

    def _squared_error_of(self, groups: Floats, check: Callable[[], None]) -> Callable[[Floats, Floats], NDArray[np.float64]]:
        values = np.ascontiguousarray(np.nan_to_num(groups, nan=0.0))
        mode = self.rounding.mode

        def squared_error(low: Floats, high: Floats) -> NDArray[np.float64]:
            check()
            grid = self.lay_grid(low, high)
            errors = np.empty(len(values))
            kernels.squared_errors(values, grid.step, grid.inverse, *grid.end_codes, mode, errors)
            return errors

        return squared_error

    def _divergence_clip(self, groups: Floats, bins: int, check: Callable[[], None]) -> Floats:
        edges = np.empty(len(groups), np.float32)
        for start in range(0, len(groups), GROUPS_PER_CHECK):
            check()
            part = slice(start, start + GROUPS_PER_CHECK)
            kernels.divergence_clips(np.ascontiguousarray(np.nan_to_num(groups[part], nan=0.0)), bins, self.format.max_code, edges[part])
        return edges


def _mask_non_finite(groups: Floats) -> Floats:
    finite = np.isfinite(groups)
    if finite.all():
        return groups
    # A group without one finite element counts as all zeros; elsewhere NaN marks what a rule must leave out.
    return np.where(finite, groups, np.where(finite.any(axis=1, keepdims=True), np.float32(np.nan), np.float32(0)))


def parse_scale(text: str) -> ScaleType:
    """A scale type from its word; ValueError lists them."""
    if text not in SCALE_TYPES:
        raise ValueError(f"scale {text!r} is unknown; types are {', '.join(SCALE_TYPES)}")
    return SCALE_TYPES[text]


_KEYED_WORDS: dict[str, Callable[[str], Any]] = {"range": parse_range, "scale": parse_scale, "round": parse_rounding}


def _read_word(word: str, text: str) -> tuple[str, Any]:
    key, equals, value = word.partition("=")
    if word in SYMMETRIES:
        return "symmetry", SYMMETRIES[word]
    if equals and key in _KEYED_WORDS:
        return {"round": "rounding"}.get(key, key), _KEYED_WORDS[key](value)
    if key in ("tensor", "channel", "group", "block"):
        return "grouping", parse_grouping(word)
    if word in FORMATS or re.fullmatch(r"int\d+", word):
        return "format", parse_format(word)
    raise ValueError(
        f"scheme {text!r}: the word {word!r} is unknown; a scheme is a format (int2 to int16), then any of "
        f"{', '.join(SYMMETRIES)}; tensor, channel, group=N, block=RxC; range=RULE; scale=TYPE; round=MODE"
    )


def parse_symmetry(text: str) -> Symmetry:
    """A symmetry convention from its word; ValueError lists them."""
    if text not in SYMMETRIES:
        raise ValueError(f"symmetry {text!r} is unknown; conventions are {', '.join(SYMMETRIES)}")
    return SYMMETRIES[text]


def parse_bits(text: str) -> list[int]:
    """Bit widths from "2-8" or "2,3,4,8" or a mix, in the order written, repeats kept.

    >>> parse_bits("2-4,8")
    [2, 3, 4, 8]
    """
    widths: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        if match is None:
            raise ValueError(f"bits {text!r}: {part!r} is neither a number nor a span like 2-8")
        first, last = int(match[1]), int(match[2] or match[1])
        outside = [width for width in (first, last) if not 2 <= width <= 16]
        if outside:
            raise ValueError(f"bits {text!r}: {outside[0]} is outside 2 to 16, the widths of integer formats; write for example 2-8 or 4,8")
        if last < first:
            raise ValueError(f"bits {text!r}: the span {part.strip()} runs backwards; write {last}-{first}")
        widths += range(first, last + 1)
    return widths


def cross_schemes(
    formats: Iterable[IntegerFormat],
    *,
    groupings: Sequence[Grouping] = (WHOLE_TENSOR,),
    symmetries: Sequence[Symmetry] = (SYMMETRIES["sym"],),
    ranges: Sequence[RangeRule] = (MINMAX,),
) -> list[Scheme]:
    """Every combination: grouping outermost, then symmetry, then range, formats innermost."""
    widths = list(formats)
    return [Scheme(fmt, symmetry, grouping, rule) for grouping in groupings for symmetry in symmetries for rule in ranges for fmt in widths]


def default_schemes() -> list[Scheme]:
    """The 28 schemes of a sweep without wishes: int2..int8 x tensor, channel, group=128, group=32.

    >>> len(default_schemes()), str(default_schemes()[-1])
    (28, 'int8 group=32')
    """
    groupings = [parse_grouping(text) for text in ("tensor", "channel", "group=128", "group=32")]
    return cross_schemes([IntegerFormat(bits) for bits in range(2, 9)], groupings=groupings)


def with_bits(scheme: Scheme, bits: int) -> Scheme:
    """The same conventions at another integer width."""
    return replace(scheme, format=IntegerFormat(bits))
