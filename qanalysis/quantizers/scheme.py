"""What does the user ask for? A quantization scheme as a value with a text form, and its fit to data.

FORMAT [sym|sym-full|sym-noclip|sym-clip|asym] [tensor|channel[=AXIS]|group=N|block=RxC] [range=RULE] [scale=TYPE] [round=MODE],
in any order; printing is canonical and leaves defaults out. A Scheme is intent; the quantizer it fits is the resolution.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qanalysis.arrays import Floats
from qanalysis.kernels.coded import coded_errors
from qanalysis.kernels.searches import divergence_clips, squared_errors
from qanalysis.quantizers.double_scales import storage_bits, store_scales
from qanalysis.quantizers.formats import FORMATS, CodedFormat, IntegerFormat, NumberFormat, parse_format, resembles_format
from qanalysis.quantizers.grids import DOUBLE, NORMAL_FP8_SCALE, SCALE_TYPES, SYMMETRIES, Grid, ScaleType, Symmetry
from qanalysis.quantizers.grouping import Grouping, Layout, parse_grouping
from qanalysis.quantizers.quantizer import LevelQuantizer, Rounding, UniformQuantizer, parse_rounding
from qanalysis.quantizers.ranges import GridSearch, KullbackLeibler, MinMax, RangeRule, parse_range, shorten_range
from qanalysis.quantizers.statistics import find_statistic

# A divergence search takes up to a millisecond per group, and a sweep must stop within 0.2 s.
GROUPS_PER_CHECK = 64
WHOLE_TENSOR, MINMAX, NEAREST_EVEN = Grouping(), MinMax(), Rounding()


@dataclass(frozen=True, slots=True)
class Scheme:
    """A format and the conventions around it; every part is itself a value with a text form.

    >>> scheme = Scheme.parse("group=128 int4 sym range=mse")
    >>> str(scheme), scheme == Scheme.parse(str(scheme))
    ('int4 group=128 range=mse', True)

    What a format fixes is held here as the format has it, and left out of the text; to ask for anything else is a ValueError.
    """

    format: NumberFormat
    symmetry: Symmetry = SYMMETRIES["sym"]
    grouping: Grouping = WHOLE_TENSOR
    range: RangeRule = MINMAX
    scale: ScaleType = SCALE_TYPES["float32"]
    rounding: Rounding = NEAREST_EVEN

    def __post_init__(self) -> None:
        fixed = _fixed_parts(self.format)
        if self.scale not in self.format.scales and self.scale == _DEFAULTS["scale"]:
            fixed = {"scale": self.format.scales[0], **fixed}
        for part, value in fixed.items():
            if getattr(self, part) != value and getattr(self, part) != _DEFAULTS[part]:
                raise ValueError(_refuse(self.format, part, getattr(self, part)))
            object.__setattr__(self, part, value)
        if self.scale not in self.format.scales:
            raise ValueError(f"{self.format} does not store its scales as {self.scale.name}; it takes {_list_words(self.format.scales)}")
        if isinstance(self.range, KullbackLeibler) and not isinstance(self.format, IntegerFormat):
            raise ValueError(  # noqa: TRY004  the value of one word, not its type
                f"{self.format} has unequal levels, and range={self.range} compares histograms of equal ones; use minmax, percentile:P, meanstd:K or mse:N"
            )

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
        # Formats may store scales of one name in ways of their own.
        if "scale" in parts:
            parts["scale"] = next((scale for scale in parts["format"].scales if scale.name == parts["scale"].name), parts["scale"])
        fixed = _fixed_parts(parts["format"])
        for part, value in parts.items():
            if part in fixed and (value != fixed[part] or part == "rounding"):
                raise ValueError(f"scheme {text!r}: {_refuse(parts['format'], part, value)}")
        try:
            return cls(**parts)
        except ValueError as error:
            raise ValueError(f"scheme {text!r}: {error}") from None

    def __str__(self) -> str:
        fixed = self.format.fixed
        words = [str(self.format)]
        words += [self.symmetry.name] if self.symmetry.name != "sym" and "symmetry" not in fixed else []
        words += [str(self.grouping)] if self.grouping != WHOLE_TENSOR and "grouping" not in fixed else []
        words += [f"range={shorten_range(self.range)}"] if self.range != MINMAX else []
        words += [f"scale={self.scale.name}"] if self.scale != self.format.scales[0] else []
        words += [f"round={self.rounding}"] if self.rounding != NEAREST_EVEN and "rounding" not in fixed else []
        return " ".join(words)

    @property
    def storage_bits(self) -> tuple[int, int]:
        """Bits stored per element and per group: the code; the scale and what else a group needs, as a zero point of the code's width."""
        if isinstance(self.format, CodedFormat):
            code_bits = self.format.bits if self.format.code_bits is None else self.format.code_bits
            return code_bits, self.scale.bits + self.format.group_bits
        return self.format.bits, self.scale.bits + (0 if self.symmetry.signed else self.format.bits)

    def tensor_bits(self, groups: int) -> int:
        """Bits stored once per tensor of so many groups: the outer scale of two-level scales."""
        if self.scale is DOUBLE:
            return storage_bits(groups)
        return 32 if self.format.is_tensor_scaled else 0

    @property
    def is_tensor_scaled(self) -> bool:
        """Whether a group's grid depends on the other groups of its tensor."""
        return self.format.is_tensor_scaled or self.scale is DOUBLE

    def lay_out(self, shape: tuple[int, ...], *, axis: int = 0) -> Layout:
        """The groups of a tensor of this shape; ValueError where there are none, or where fixed blocks do not divide its rows.

        >>> Scheme.parse("mxfp4").lay_out((4, 64)).groups
        8
        """
        layout = self.grouping.lay_out(shape, axis=axis)
        block = self.format.block
        if block and layout.columns % block:
            raise ValueError(
                f"{self.format} codes blocks of {block}, which do not divide a row of {layout.columns}; the format's own tools refuse such a tensor too"
            )
        return layout

    def fit(self, x: ArrayLike, *, axis: int = 0) -> UniformQuantizer | LevelQuantizer:
        """The grid of this scheme over the finite elements of `x`, float32; `axis` is the channel axis.

        Raises ValueError for a 0-d or empty `x`, an axis it does not have, or blocks that do not divide its rows.

        >>> Scheme.parse("int4").fit(np.float32([0.7, -0.3])).round_trip(np.float32([0.7, -0.28]))
        array([ 0.7, -0.3], dtype=float32)
        """
        with np.errstate(over="ignore"):
            values = np.asarray(x, np.float32)
        layout = self.lay_out(values.shape, axis=axis)
        if not values.size:
            raise ValueError(f"a tensor of shape {values.shape} is empty; there is nothing to fit a grid to")
        grid = self.lay_grid(*self.find_range(layout.to_matrix(values), layout))
        if isinstance(self.format, IntegerFormat):
            return UniformQuantizer(grid.scale, grid.zero_point, int(grid.coder.low), int(grid.coder.high), self.rounding, layout=layout)
        return self.quantizer_of(grid, layout)

    def quantizer_of(self, grid: Grid, layout: Layout) -> LevelQuantizer:
        """The quantizer on a grid of this scheme: integers as levels like any other."""
        return LevelQuantizer(grid.scale, grid.inverse, grid.step, grid.coder, grid.ends, layout, self.rounding, grid.centre)

    def lay_grid(self, low: Floats, high: Floats) -> Grid:
        """The grids over the ranges low..high, or over what else the format asks of its groups, (groups,)."""
        if isinstance(self.format, CodedFormat):
            return self.format.lay(self.format.coder, low, high, self.scale)
        if isinstance(self.format, IntegerFormat):
            return self.symmetry.lay_grid(low, high, self.format, scale=self.scale)
        raise TypeError(f"format {self.format!r} is neither an integer nor a coded format")

    def settle(self, low: Floats, high: Floats, *, largest: np.float32 | None = None) -> tuple[Floats, Floats]:
        """What `lay_grid` takes, from the ranges of all groups of a tensor: the same, unless scales depend on the whole tensor.

        Where they depend on its largest magnitude alone, that may be given as `largest` beside the ranges of some groups.
        """
        if not self.is_tensor_scaled:
            return low, high
        absmax = np.maximum(-low, high)
        if self.scale is DOUBLE:
            return -absmax, store_scales(absmax)
        return -absmax, np.full_like(absmax, absmax.max() if largest is None else largest)

    def find_range(self, matrix: NDArray[np.float32], layout: Layout, *, check: Callable[[], None] = lambda: None) -> tuple[Floats, Floats]:
        """The range rule's low and high of every group, or what else the format asks, (groups,); elements that are not finite are left out.

        `check` is called between the candidates of a search and may raise to end it.
        """
        if self.format.statistic != "range":
            return find_statistic(self.format.statistic, matrix, layout)
        low, high = np.zeros((2, layout.groups), np.float32)
        search = GridSearch(lambda groups: self._squared_error_of(groups, check), lambda groups, bins: self._divergence_clip(groups, bins, check))
        for indices, groups in layout.split(matrix):
            low[indices], high[indices] = self.range(_mask_non_finite(groups), symmetric=self.symmetry.signed, search=search)
        return self.settle(low, high)

    def _squared_error_of(self, groups: Floats, check: Callable[[], None]) -> Callable[[Floats, Floats], NDArray[np.float64]]:
        values = np.ascontiguousarray(np.nan_to_num(groups, nan=0.0))
        mode = self.rounding.mode

        # How scales are stored in the end depends on those of all groups, which a search in one does not know.
        judge = replace(self, scale=SCALE_TYPES["float32"]) if self.scale is DOUBLE else self

        def squared_error(low: Floats, high: Floats) -> NDArray[np.float64]:
            check()
            grid = judge.lay_grid(low, high)
            errors = np.empty(len(values))
            if isinstance(self.format, IntegerFormat):
                squared_errors(values, grid.scale, grid.inverse, *grid.ends, mode, errors)
            else:
                coded_errors(values, grid.coder.kind, mode, grid.parts, np.array(grid.coder.parameters, np.float32), errors)
            return errors

        return squared_error

    def _divergence_clip(self, groups: Floats, bins: int, check: Callable[[], None]) -> Floats:
        edges = np.empty(len(groups), np.float32)
        for start in range(0, len(groups), GROUPS_PER_CHECK):
            check()
            part = slice(start, start + GROUPS_PER_CHECK)
            divergence_clips(np.ascontiguousarray(np.nan_to_num(groups[part], nan=0.0)), bins, int(self.format.coder.high), edges[part])
        return edges


def _mask_non_finite(groups: Floats) -> Floats:
    finite = np.isfinite(groups)
    if finite.all():
        return groups
    # A group without one finite element counts as all zeros; elsewhere NaN marks what a rule must leave out.
    return np.where(finite, groups, np.where(finite.any(axis=1, keepdims=True), np.float32(np.nan), np.float32(0)))


_DEFAULTS: dict[str, Any] = {
    "symmetry": SYMMETRIES["sym"],
    "grouping": WHOLE_TENSOR,
    "range": MINMAX,
    "scale": SCALE_TYPES["float32"],
    "rounding": NEAREST_EVEN,
}


@lru_cache
def _fixed_parts(fmt: NumberFormat) -> dict[str, Any]:
    own = {
        "symmetry": SYMMETRIES[fmt.symmetry],
        "grouping": Grouping(1, fmt.block) if fmt.block else WHOLE_TENSOR,
        "range": MINMAX,
        "scale": fmt.scales[0],
        "rounding": Rounding(fmt.rounding),
    }
    return {part: value for part, value in own.items() if part in fmt.fixed}


def _refuse(fmt: NumberFormat, part: str, value: Any) -> str:
    keys = {"range": "range=", "scale": "scale=", "rounding": "round="}
    word = keys.get(part, "") + (value.name if part in ("symmetry", "scale") else str(value))
    reasons = {
        "symmetry": "its levels are its own",
        "grouping": f"its blocks have {fmt.block} values" if fmt.block else "it has no scales, so nothing is grouped",
        "range": "its scales follow from the values by its own rule",
        "scale": f"its scales are stored as {fmt.scales[0].name}",
        "rounding": "its rounding is part of it",
    }
    return f"{fmt} and {word} do not go together: {reasons[part]}; leave the word out"


def _list_words(scales: Iterable[ScaleType]) -> str:
    return ", ".join(scale.name for scale in scales)


_SCALES = {scale.name: scale for scale in (*SCALE_TYPES.values(), DOUBLE, NORMAL_FP8_SCALE)}


def parse_scale(text: str) -> ScaleType:
    """A scale type from its word; ValueError lists them."""
    known = _SCALES | {scale.name: scale for fmt in FORMATS.values() for scale in fmt.scales if scale.name not in _SCALES}
    if text not in known:
        raise ValueError(f"scale {text!r} is unknown; types are {', '.join(SCALE_TYPES)}; double for nf4")
    return known[text]


_KEYED_WORDS: dict[str, Callable[[str], Any]] = {"range": parse_range, "scale": parse_scale, "round": parse_rounding}


def _read_word(word: str, text: str) -> tuple[str, Any]:
    key, equals, value = word.partition("=")
    if word in SYMMETRIES:
        return "symmetry", SYMMETRIES[word]
    if equals and key in _KEYED_WORDS:
        return {"round": "rounding"}.get(key, key), _KEYED_WORDS[key](value)
    if key in ("tensor", "channel", "group", "block"):
        return "grouping", parse_grouping(word)
    if word in FORMATS or word.startswith("gguf:") or resembles_format(word):
        return "format", parse_format(word)
    raise ValueError(
        f"scheme {text!r}: the word {word!r} is unknown; a scheme is a format (int2 to int16, fp8_e4m3, mxfp4, nf4, gguf:q4_0, ...), then any of "
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
    formats: Iterable[NumberFormat],
    *,
    groupings: Sequence[Grouping] = (WHOLE_TENSOR,),
    symmetries: Sequence[Symmetry] = (SYMMETRIES["sym"],),
    ranges: Sequence[RangeRule] = (MINMAX,),
) -> list[Scheme]:
    """Every combination: grouping outermost, then symmetry, then range, formats innermost.

    What a format fixes is not varied: it takes part with the first of those words alone, and without a range rule that it
    can not take, unless there is no other (ValueError).

    >>> [str(scheme) for scheme in cross_schemes([IntegerFormat(4), FORMATS["mxfp4"]], groupings=[Grouping(), Grouping(1, 64)])]
    ['int4', 'mxfp4', 'int4 group=64']
    """
    schemes = []
    for (g, grouping), (s, symmetry), (r, rule), fmt in product(enumerate(groupings), enumerate(symmetries), enumerate(ranges), list(formats)):
        words: dict[str, tuple[int, Any]] = {"grouping": (g, grouping), "symmetry": (s, symmetry), "range": (r, rule)}
        if "range" not in fmt.fixed and len(ranges) > 1 and isinstance(rule, KullbackLeibler) and not isinstance(fmt, IntegerFormat):
            continue
        if all(words[part][0] == 0 for part in words if part in fmt.fixed):
            schemes.append(Scheme(fmt, **{part: word for part, (_place, word) in words.items() if part not in fmt.fixed}))
    return schemes


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
