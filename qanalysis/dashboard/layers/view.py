"""What does page Layers look at? One frozen view: the source, what is swept of it, which of its figures and which
layer are in sight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Self

from qanalysis.charts.curves import HORIZONTALS, Horizontal
from qanalysis.dashboard.jobs import ROLE_CHOICES, WEIGHTS
from qanalysis.dashboard.views import Query, View, bound, name_parameter, spell_view
from qanalysis.notation import quote
from qanalysis.quantizers.crossing import cross_schemes
from qanalysis.quantizers.families import FEWEST_BITS, MOST_BITS, integer_format
from qanalysis.quantizers.formats import FORMATS
from qanalysis.quantizers.grouping import parse_grouping
from qanalysis.quantizers.ranges import RANGE_RULES, parse_range
from qanalysis.quantizers.scheme import MINMAX, Scheme
from qanalysis.quantizers.symmetries import SYMMETRIES
from qanalysis.quantizers.words import parse_format
from qanalysis.sweeps.row import METRICS

AXES: dict[Horizontal, str] = {"bits": "bits", "bits_per_weight": "true bits per weight"}
ORDERS = {"file": "file order", "worst": "worst first", "largest": "largest first", "name": "name"}
ROW_LIMITS = ("60", "150", "500", "all")
GROUPING_CHOICES = ("tensor", "channel", "group=256", "group=128", "group=64", "group=32")
INTEGERS = "integers"
FORMAT_CHOICES = tuple(name for name, fmt in FORMATS.items() if not fmt.is_integer)
RANGE_CHOICES = tuple(rule.example for rule in RANGE_RULES.values())


@dataclass(frozen=True, slots=True)
class LayersView(View):
    """Everything that decides what the page shows.

    `format` and `grouping` (a scheme without its format word) are the scheme in view, with `bits` where the format is
    "integers"; `formats` are swept beside the integers. `bits` need not be among the widths `swept`: they are measured
    for the layer in view then. `layer` None is the one that the page chooses. `job` names a sweep that may be long.
    """

    source: str = bound("sample:digits-cnn", kept=True)
    include: str = bound("")
    exclude: str = bound("")
    roles: str = bound(WEIGHTS, choices=ROLE_CHOICES)
    axes: str = bound("")
    bits: int = bound(4, low=FEWEST_BITS, high=MOST_BITS)
    swept: tuple[int, int] = bound((2, 8), low=FEWEST_BITS, high=MOST_BITS)
    formats: tuple[str, ...] = bound((), choices=FORMAT_CHOICES)
    format: str = bound(INTEGERS, choices=(INTEGERS, *FORMAT_CHOICES))
    grouping: str = bound("group=128")
    groupings: tuple[str, ...] = bound(("tensor", "channel", "group=128", "group=32"), parse=parse_grouping)
    symmetries: tuple[str, ...] = bound(("sym",), choices=tuple(SYMMETRIES))
    ranges: tuple[str, ...] = bound(("minmax",), parse=parse_range)
    metric: str = bound("sqnr_db", choices=tuple(METRICS))
    axis: Horizontal = bound("bits", choices=HORIZONTALS)
    layer: str | None = bound(None)
    compared: tuple[str, ...] = bound(())
    find: str = bound("")
    order: str = bound("file", choices=tuple(ORDERS))
    show: str = bound("60", choices=ROW_LIMITS)
    log: bool = bound(False)
    limits: bool = bound(False)
    diagnosis: bool = bound(False)
    map: bool = bound(False)
    conventions: bool = bound(False)
    card: bool = bound(False)
    bench: bool = bound(False)
    job: str = bound("", passing=True)

    @property
    def scheme(self) -> str:
        """The scheme in view, canonical text.

        >>> LayersView().scheme, LayersView(formats=("nf4",), format="nf4").scheme
        ('int4 group=128', 'nf4 group=128')
        """
        return str(Scheme.parse(f"{f'int{self.bits}' if self.format == INTEGERS else self.format} {self.grouping}"))

    @property
    def schemes(self) -> tuple[str, ...]:
        """Every scheme of the sweep, canonical texts in the order of the rows.

        Formats outermost, as `cross_schemes` orders them; words that contradict a format are left out there.
        """
        return tuple(str(scheme) for scheme in self._grid())

    @property
    def families(self) -> tuple[str, ...]:
        """The schemes of the format in view without their format word, in their order: what the grouping in view is
        chosen from.
        """
        return tuple(dict.fromkeys(family_of(scheme) for scheme in self._grid() if format_of(scheme) == self.format))

    def _grid(self) -> tuple[Scheme, ...]:
        """The schemes as values, in the order of the rows."""
        return _cross(self.swept, self.formats, self.groupings, self.symmetries, self.ranges)

    def settle(self) -> Self:
        """The lower end of the swept widths first, format and grouping in view among those swept."""
        view = replace(self, swept=(min(self.swept), max(self.swept)))
        view = replace(view, format=view.format if view.format in view.formats else INTEGERS)
        families, usual = view.families, LayersView().grouping
        if view.grouping in families:
            return view
        return replace(view, grouping=usual if usual in families else families[0])

    @classmethod
    def translate(cls, asked: Mapping[str, Sequence[str]]) -> tuple[Query, list[str], list[str]]:
        """`scheme=TEXT` becomes the page's own parameters and goes before those beside it, so that the page's address
        is a link too.

        >>> LayersView.translate({"scheme": ["int6 channel"], "groupings": ["tensor"]})
        ({'bits': ['6'], 'grouping': ['channel']}, ['groupings=tensor'], [])
        """
        query = {key: list(words) for key, words in asked.items() if key != "scheme"}
        if "scheme" not in asked:
            return query, [], []
        try:
            expanded = spell_view(expand_scheme(asked["scheme"][-1], cls()))
        except ValueError as error:
            return query, [], [str(error)]
        replaced = [key for key in _SCHEME_FIELDS if key in query and query[key] != expanded.get(key)]
        left_out = [name_parameter(key, query[key]) for key in replaced]
        return {key: words for key, words in query.items() if key not in _SCHEME_FIELDS} | expanded, left_out, []


_SCHEME_FIELDS = ("bits", "swept", "formats", "format", "grouping", "groupings", "symmetries", "ranges")


@lru_cache(maxsize=64)
def _cross(
    bits: tuple[int, int],
    formats: tuple[str, ...],
    groupings: tuple[str, ...],
    symmetries: tuple[str, ...],
    ranges: tuple[str, ...],
) -> tuple[Scheme, ...]:
    """The schemes of the sweep; kept for the last 64 choices, since every run asks several times."""
    rules = [parse_range(word) for word in ranges]
    if formats and all(rule.needs_equal_steps for rule in rules):
        rules.append(MINMAX)  # a divergence needs equal steps, which no format beside the integers has
    return tuple(
        cross_schemes(
            [*map(integer_format, range(bits[0], bits[1] + 1)), *map(parse_format, formats)],
            groupings=[parse_grouping(word) for word in groupings],
            symmetries=[SYMMETRIES[word] for word in symmetries],
            ranges=rules,
        )
    )


def format_of(scheme: Scheme) -> str:
    """What the scheme's format is called as the format in view: its name, or "integers".

    Every integer width has the same word: the width is another field.
    """
    return INTEGERS if scheme.format.is_integer else str(scheme.format)


def family_of(scheme: Scheme) -> str:
    """A scheme's canonical text without the format word; its grouping where nothing is left.

    >>> [family_of(Scheme.parse(text)) for text in ("int4 asym channel", "int4", "mxfp4")]
    ['asym channel', 'tensor', 'group=32']
    """
    return str(scheme).partition(" ")[2] or str(scheme.grouping)


def put_in_view(text: str) -> dict[str, Any]:
    """The fields that bring a scheme of the sweep into view.

    ValueError for a text that is no scheme.

    >>> put_in_view("int6 channel"), put_in_view("mxfp4")
    ({'bits': 6, 'format': 'integers', 'grouping': 'channel'}, {'format': 'mxfp4', 'grouping': 'group=32'})
    """
    scheme = Scheme.parse(text)
    width = {"bits": scheme.format.bits} if scheme.format.is_integer else {}
    return width | {"format": format_of(scheme), "grouping": family_of(scheme)}


def expand_scheme(text: str, view: LayersView) -> LayersView:
    """The view with one scheme in it: swept along with the rest and put in view.

    Raises ValueError for an unknown word, and for words that no widget holds (scale, rounding).

    >>> expand_scheme("int6 asym group=64", LayersView()).scheme, expand_scheme("nvfp4", LayersView()).scheme
    ('int6 asym group=64', 'nvfp4')
    """
    scheme = Scheme.parse(text)
    words = {
        "groupings": ("grouping", str(scheme.grouping)),
        "symmetries": ("symmetry", scheme.symmetry.name),
        "ranges": ("range", str(scheme.range)),
    }
    free: dict[str, Any] = {
        name: _with(getattr(view, name), word)
        for name, (part, word) in words.items()
        if part not in scheme.format.fixed
    }
    if scheme.format.is_integer:
        bits = scheme.format.bits
        free |= {"bits": bits, "swept": (min(view.swept[0], bits), max(view.swept[1], bits)), "format": INTEGERS}
    else:
        free |= {"formats": _with(view.formats, str(scheme.format)), "format": str(scheme.format)}
    expanded = replace(view, grouping=family_of(scheme), **free)
    if expanded.grouping not in expanded.families:
        raise ValueError(
            f"scheme {quote(text)}: the page sweeps formats, grouping, symmetry and range; "
            "use `qanalysis sweep --scheme` for scale and rounding"
        )
    return expanded


def _with(words: tuple[str, ...], word: str) -> tuple[str, ...]:
    """Words with one more at the end, unless it is among them."""
    return words if word in words else (*words, word)
