"""What does the user ask for? A quantization scheme as a value with a text form, and its fit to data.

FORMAT [sym|sym-full|sym-noclip|sym-clip|asym] [tensor|channel[=AXIS]|group=N|block=RxC] [range=RULE] [scale=TYPE]
[round=MODE], in any order; printing is canonical and leaves defaults out. A Scheme is intent; the quantizer it fits is
the resolution.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from qanalysis.arrays import Floats
from qanalysis.notation import quote
from qanalysis.quantizers.coders import Coder
from qanalysis.quantizers.formats import FORMATS
from qanalysis.quantizers.grids import Grid
from qanalysis.quantizers.grouping import Grouping, Layout, parse_grouping
from qanalysis.quantizers.matrix_view import Axes
from qanalysis.quantizers.number_format import NumberFormat
from qanalysis.quantizers.quantizer import LevelQuantizer
from qanalysis.quantizers.ranges import MinMax, RangeRule, list_forms, parse_range, shorten_range
from qanalysis.quantizers.rounding import Rounding, parse_rounding
from qanalysis.quantizers.scales import FLOAT32, ScaleType, store_scales
from qanalysis.quantizers.searches import Search, mask_non_finite
from qanalysis.quantizers.statistics import DoubledScale, LargestOfTensor, Range, Statistic
from qanalysis.quantizers.symmetries import SYMMETRIES, Symmetry, parse_symmetry
from qanalysis.quantizers.words import Part, parse_format, parse_scale, part, resembles_format

WHOLE_TENSOR, MINMAX, NEAREST_EVEN = Grouping(), MinMax(), Rounding()


@dataclass(frozen=True, slots=True)
class Scheme:
    """A format and the conventions around it; every part is itself a value with a text form.

    >>> scheme = Scheme.parse("group=128 int4 sym range=mse")
    >>> str(scheme), scheme == Scheme.parse(str(scheme))
    ('int4 group=128 range=mse', True)

    What a format fixes is held here as the format has it, and left out of the text; to ask for anything else is a
    ValueError.
    """

    format: NumberFormat
    symmetry: Symmetry = part(
        SYMMETRIES["sym"],
        recognize=lambda word: word in SYMMETRIES,
        read=parse_symmetry,
        own=lambda fmt: fmt.symmetry,
        reason=lambda _fmt: "its levels are its own",
    )
    grouping: Grouping = part(
        None,
        recognize=lambda word: word.partition("=")[0] in ("tensor", "channel", "group", "block"),
        read=parse_grouping,
        own=lambda fmt: fmt.own_grouping,
        reason=lambda fmt: (
            f"its blocks have {fmt.block} values" if fmt.block else "it has no scales, so nothing is grouped"
        ),
    )
    range: RangeRule = part(
        MINMAX,
        key="range",
        read=parse_range,
        show=shorten_range,
        own=lambda _fmt: MINMAX,
        reason=lambda _fmt: "its scales follow from the values by its own rule",
    )
    scale: ScaleType = part(
        FLOAT32,
        key="scale",
        read=parse_scale,
        own=lambda fmt: fmt.scales[0],
        reason=lambda fmt: f"its scales are stored as {fmt.scales[0]}",
    )
    rounding: Rounding = part(
        NEAREST_EVEN,
        key="round",
        read=parse_rounding,
        own=lambda fmt: fmt.rounding or NEAREST_EVEN,
        reason=lambda _fmt: "its rounding is part of it",
    )

    def __post_init__(self) -> None:
        fmt = self.format
        for name, facts in PARTS.items():
            asked, own = getattr(self, name), facts.own(fmt)
            names_nothing = name == "grouping" and name in fmt.fixed and asked == WHOLE_TENSOR
            if asked == facts.default or names_nothing:
                object.__setattr__(self, name, own)
            elif name in fmt.fixed and asked != own:
                raise ValueError(facts.refuse(fmt, asked))
        if self.scale not in fmt.scales:
            words = ", ".join(map(str, fmt.scales))
            raise ValueError(f"{fmt} does not store its scales as {self.scale}; it takes {words}")
        if not fmt.takes(self.range):
            *others, last = list_forms(equal_steps=False)
            why = f"range={self.range} {self.range.equal_steps}"
            raise ValueError(f"{fmt} has unequal levels, and {why}; use {', '.join(others)} or {last}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The scheme written as `text`; ValueError names the word, the rule and the choices."""
        parts: dict[str, Any] = {}
        for word in text.split():
            name, value = _read_word(word, text)
            if name in parts:
                raise ValueError(
                    f"scheme {quote(text)} names its {name} twice, the second time as {quote(word)}; keep one"
                )
            parts[name] = value
        if "format" not in parts:
            raise ValueError(f"scheme {quote(text)} names no format; begin with one, for example 'int4 group=128'")
        try:
            scheme = cls(**parts)
        except ValueError as error:
            raise ValueError(f"scheme {quote(text)}: {error}") from None
        for name, value in parts.items():
            # A rounding that is part of a format has no word of its own: the modes only come near to it.
            if getattr(scheme, name) != value or (name == "rounding" and name in scheme.format.fixed):
                raise ValueError(f"scheme {quote(text)}: {PARTS[name].refuse(scheme.format, value)}")
        return scheme

    def __str__(self) -> str:
        return " ".join([str(self.format), *(PARTS[name].print(value) for name, value in self.chosen.items())])

    @property
    def chosen(self) -> dict[str, Any]:
        """The parts, by name, that differ from what the format has where nothing is asked for: those with a word in the
        text.
        """
        asked = {name: getattr(self, name) for name in PARTS}
        return {name: value for name, value in asked.items() if value != PARTS[name].own(self.format)}

    def with_format(self, fmt: NumberFormat) -> Self:
        """The same words with another format: what its own tool means by them. ValueError where they do not go
        together.
        """
        return type(self)(fmt, **self.chosen)

    @property
    def storage_bits(self) -> tuple[int, int]:
        """Bits stored per element and per group: the code; the scale and what else a group needs, as a zero point of
        the code's width.
        """
        code_bits, group_bits = self.format.stored_bits(self.symmetry)
        return code_bits, self.scale.bits + group_bits

    def tensor_bits(self, groups: int) -> int:
        """Bits stored once per tensor of so many groups: what scales share, and the outer scale of two-level ones."""
        return self.scale.tensor_bits(groups) + (self.format.outer.bits if self.format.outer else 0)

    @property
    def coder(self) -> Coder:
        """The numbers that its grids use, at scale 1."""
        return self.format.find_coder(self.symmetry)

    @property
    def has_outer_scale(self) -> bool:
        """Whether grids depend on the largest magnitude of the tensor, and on no other group."""
        return self.format.outer is not None

    @property
    def is_tensor_scaled(self) -> bool:
        """Whether a group's grid depends on the other groups of its tensor."""
        return self.has_outer_scale or self.scale.is_double

    @property
    def takes_extremes(self) -> bool:
        """Whether its grids are laid over the groups' extremes, widened to hold 0, and nothing else need be known of a
        group.
        """
        return self.range == MINMAX and self.format.statistic is Range

    @property
    def peer(self) -> str:
        """Whose values these are, bit for bit; empty where no tool was checked with these words."""
        is_plain = self.range == MINMAX and self.rounding == PARTS["rounding"].own(self.format)
        return self.format.find_peer(self.symmetry, self.scale) if is_plain else ""

    @property
    def ragged(self) -> str:
        """Which tools refuse a row that the groups do not divide, and which take it.

        >>> Scheme.parse("int4 channel").ragged, Scheme.parse("ternary group=64").ragged
        ('there are none: a group holds whole rows', 'no tool checked')
        """
        if self.grouping.columns is None:
            return "there are none: a group holds whole rows" if self.format.is_scaled else "there are no groups"
        return self.format.ragged or "no tool checked"

    def lay_out(self, shape: tuple[int, ...], *, axis: Axes = 0) -> Layout:
        """The groups of a tensor of this shape; ValueError where there are none, or where fixed blocks do not divide
        its rows.

        >>> Scheme.parse("mxfp4").lay_out((4, 64)).groups
        8
        """
        layout = self.grouping.lay_out(shape, axis=axis)
        block = self.format.block
        if block and layout.columns % block:
            raise ValueError(
                f"{self.format} codes blocks of {block}, which do not divide a row of {layout.columns}; the "
                "format's own tools refuse such a tensor too"
            )
        return layout

    def fit(self, x: ArrayLike, *, axis: Axes = 0) -> LevelQuantizer:
        """The quantizer of this scheme over the finite elements of `x`, float32; `axis` is that of the
        channels (or several of them, or a view).

        Raises ValueError for a 0-d or empty `x`, an axis it does not have, or blocks that do not divide its rows.

        >>> Scheme.parse("int4").fit(np.float32([0.7, -0.3])).round_trip(np.float32([0.7, -0.28]))
        array([ 0.7, -0.3], dtype=float32)
        """
        with np.errstate(over="ignore"):
            values = np.asarray(x, np.float32)
        layout = self.lay_out(values.shape, axis=axis)
        if not values.size:
            raise ValueError(f"a tensor of shape {values.shape} is empty; there is nothing to fit a grid to")
        grid = self.lay_grid(self.find_statistic(layout.to_matrix(values), layout))
        return LevelQuantizer(grid, layout, self.rounding)

    def lay_grid(self, found: Statistic) -> Grid:
        """The grids over the statistics of all groups, as `find_statistic` or `settle` gives them."""
        return self.format.lay_grid(found, self.symmetry, self.scale)

    def find_statistic(self, matrix: Floats, layout: Layout, *, check: Callable[[], None] = lambda: None) -> Statistic:
        """What `lay_grid` must know of every group of a whole tensor: its range by the rule, or what else the format
        asks.

        Elements that are not finite are left out. `check` is called between the candidates of a search and may raise to
        end it.
        """
        if self.format.statistic is not Range:
            return self.format.statistic.find(matrix, layout)
        low, high = np.zeros((2, layout.groups), np.float32)
        # How scales are stored in the end depends on those of all groups, which a search in one does not know.
        judge = replace(self, scale=FLOAT32) if self.scale.is_double else self
        search = Search(judge.lay_grid, self.rounding, self.format.largest_code, check)
        for indices, groups in layout.split(matrix):
            found = self.range(mask_non_finite(groups), symmetric=self.symmetry.signed, search=search)
            low[indices], high[indices] = found.low, found.high
        return self.settle(Range(low, high))

    def settle(self, found: Range, *, largest: np.float32 | None = None) -> Statistic:
        """What `lay_grid` takes, from the ranges of all groups of a tensor: the same, unless scales depend on the whole
        tensor.

        Where they depend on its largest magnitude alone, that may be given as `largest` beside the ranges of some
        groups.
        """
        if self.scale.is_double:
            return DoubledScale(found.largest, store_scales(found.largest))
        if self.has_outer_scale:
            tensor = found.largest.max() if largest is None else largest
            return LargestOfTensor(found.largest, np.full_like(found.largest, tensor))
        return found


#: The parts of a scheme by the names of its fields, in the order of its text.
PARTS: dict[str, Part] = {entry.name: entry.metadata["part"] for entry in fields(Scheme) if "part" in entry.metadata}


def _read_word(word: str, text: str) -> tuple[str, Any]:
    for name, facts in PARTS.items():
        if facts.takes(word):
            return name, facts.parse(word)
    if word in FORMATS or resembles_format(word):
        return "format", parse_format(word)
    raise ValueError(
        f"scheme {quote(text)}: the word {quote(word)} is unknown; "
        "a scheme is a format (int2 to int16, fp8_e4m3, mxfp4, nf4, gguf:q4_0, ...), then any of "
        f"{', '.join(SYMMETRIES)}; tensor, channel, group=N, block=RxC; range=RULE; scale=TYPE; round=MODE"
    )
