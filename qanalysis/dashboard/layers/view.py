"""What is being looked at? One frozen view, read from the widgets, written to them, and put into a link.

A widget's key is its name in the address. What the address says and the widgets can not hold falls back to a valid value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import urlencode

from qanalysis.quantizers.crossing import cross_schemes
from qanalysis.quantizers.formats import FORMATS, integer_format
from qanalysis.quantizers.grouping import parse_grouping
from qanalysis.quantizers.ranges import RANGE_RULES, parse_range
from qanalysis.quantizers.scheme import MINMAX, Scheme
from qanalysis.quantizers.symmetries import SYMMETRIES
from qanalysis.quantizers.words import parse_format
from qanalysis.sweeps.row import METRICS

FEWEST_BITS, MOST_BITS = 2, 16
Axis = Literal["bits", "bits_per_weight"]
AXES: dict[str, Axis] = {"bits": "bits", "true bits per weight": "bits_per_weight"}
ORDERS = ("file order", "worst first", "largest first", "name")
ROW_LIMITS = ("60", "150", "500", "all")
METRIC_LABELS = {metric.label: name for name, metric in METRICS.items()}
GROUPING_CHOICES = ("tensor", "channel", "group=256", "group=128", "group=64", "group=32")
INTEGERS = "integers"
FORMAT_CHOICES = tuple(name for name, fmt in FORMATS.items() if not fmt.is_integer)
RANGE_CHOICES = tuple(rule.example for rule in RANGE_RULES.values())


def _bound(key: str, default: Any) -> Any:
    return field(default=default, metadata={"key": key})


@dataclass(frozen=True, slots=True)
class ViewState:
    """Everything that decides what the page shows, in the widgets' own values; each field's key is in `KEYS`.

    `format` and `family` (a scheme without its format word) are the scheme in view, with `bits` where the format is "integers";
    `formats` are swept beside the integers. `layer` None is the first of the file.
    """

    source: str = _bound("m", "sample:digits-cnn")
    include: str = _bound("inc", "")
    exclude: str = _bound("exc", "")
    weights_only: bool = _bound("w", True)
    bits: int = _bound("v", 4)
    bits_swept: tuple[int, int] = _bound("b", (2, 8))
    formats: tuple[str, ...] = _bound("fmt", ())
    format: str = _bound("fv", INTEGERS)
    family: str = _bound("f", "group=128")
    groupings: tuple[str, ...] = _bound("g", ("tensor", "channel", "group=128", "group=32"))
    symmetries: tuple[str, ...] = _bound("s", ("sym",))
    ranges: tuple[str, ...] = _bound("r", ("minmax",))
    metric_label: str = _bound("x", METRICS["sqnr_db"].label)
    axis_label: str = _bound("h", "bits")
    layer: str | None = _bound("t", None)
    compared: tuple[str, ...] = _bound("c", ())
    find: str = _bound("q", "")
    order: str = _bound("o", ORDERS[0])
    limit: str = _bound("n", ROW_LIMITS[0])
    scrub: bool = _bound("scrub", False)
    log_counts: bool = _bound("l", False)
    own_limits: bool = _bound("lim", False)
    diagnosis: bool = _bound("diag", True)
    conventions: bool = _bound("conv", False)
    card: bool = _bound("card", False)
    bench: bool = _bound("bench", False)

    @property
    def scheme(self) -> str:
        """The scheme in view, canonical text.

        >>> ViewState().scheme, ViewState(formats=("nf4",), format="nf4").scheme
        ('int4 group=128', 'nf4 group=128')
        """
        return str(Scheme.parse(f"{f'int{self.bits}' if self.format == INTEGERS else self.format} {self.family}"))

    @property
    def schemes(self) -> tuple[str, ...]:
        """Every scheme of the sweep, canonical texts in the order of the rows."""
        return tuple(str(scheme) for scheme in self._grid())

    @property
    def families(self) -> tuple[str, ...]:
        """The schemes of the format in view without their format word, in their order: what the scheme in view is chosen from."""
        return tuple(dict.fromkeys(family_of(scheme) for scheme in self._grid() if format_of(scheme) == self.format))

    def _grid(self) -> tuple[Scheme, ...]:
        return _cross(self.bits_swept, self.formats, self.groupings, self.symmetries, self.ranges)

    @property
    def metric(self) -> str:
        """Column of the heat map and the curves."""
        return METRIC_LABELS[self.metric_label]

    @property
    def axis(self) -> Axis:
        """Column on the curves' horizontal axis."""
        return AXES[self.axis_label]


KEYS: dict[str, str] = {entry.metadata["key"]: entry.name for entry in fields(ViewState)}


@lru_cache(maxsize=64)
def _cross(
    bits: tuple[int, int], formats: tuple[str, ...], groupings: tuple[str, ...], symmetries: tuple[str, ...], ranges: tuple[str, ...]
) -> tuple[Scheme, ...]:
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
    """What the scheme's format is called as the format in view: its name, or "integers"."""
    return INTEGERS if scheme.format.is_integer else str(scheme.format)


def family_of(scheme: Scheme) -> str:
    """A scheme's canonical text without the format word; its grouping where nothing is left.

    >>> [family_of(Scheme.parse(text)) for text in ("int4 asym channel", "int4", "mxfp4")]
    ['asym channel', 'tensor', 'group=32']
    """
    return str(scheme).partition(" ")[2] or str(scheme.grouping)


def put_in_view(scheme: Scheme) -> dict[str, Any]:
    """Widget key to value that bring a scheme of the sweep into view.

    >>> put_in_view(Scheme.parse("int6 channel")), put_in_view(Scheme.parse("mxfp4"))
    ({'v': 6, 'fv': 'integers', 'f': 'channel'}, {'fv': 'mxfp4', 'f': 'group=32'})
    """
    width = {"v": scheme.format.bits} if scheme.format.is_integer else {}
    return width | {"fv": format_of(scheme), "f": family_of(scheme)}


def read_view(session: Mapping[str, Any]) -> ViewState:
    """The view that the widgets hold; a missing or impossible value becomes the default or the nearest valid one."""
    given = {name: session[key] for key, name in KEYS.items() if session.get(key) is not None}
    given |= {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
    view = ViewState(**given)
    default = ViewState()
    low, high = _clamp_bits(min(view.bits_swept)), _clamp_bits(max(view.bits_swept))
    view = replace(
        view,
        source=view.source.strip() or default.source,
        bits_swept=(low, high),
        bits=min(max(view.bits, low), high),
        groupings=_keep_valid(view.groupings, parse_grouping) or default.groupings,
        ranges=_keep_valid(view.ranges, parse_range) or default.ranges,
        symmetries=tuple(word for word in view.symmetries if word in SYMMETRIES) or default.symmetries,
        formats=tuple(dict.fromkeys(word for word in view.formats if word in FORMAT_CHOICES)),
        metric_label=view.metric_label if view.metric_label in METRIC_LABELS else default.metric_label,
        axis_label=view.axis_label if view.axis_label in AXES else default.axis_label,
        order=view.order if view.order in ORDERS else default.order,
        limit=view.limit if view.limit in ROW_LIMITS else default.limit,
    )
    view = replace(view, format=view.format if view.format in view.formats else INTEGERS)
    return replace(view, family=view.family if view.family in view.families else _default_family(view))


def _clamp_bits(bits: int) -> int:
    return min(max(int(bits), FEWEST_BITS), MOST_BITS)


def _keep_valid(words: Iterable[str], parse: Callable[[str], Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(parse(word.strip())) for word in words if _is_valid(word, parse)))


def _is_valid(word: str, parse: Callable[[str], Any]) -> bool:
    try:
        parse(word.strip())
    except ValueError:
        return False
    return True


def _default_family(view: ViewState) -> str:
    return ViewState().family if ViewState().family in view.families else view.families[0]


def write_view(view: ViewState) -> dict[str, Any]:
    """Widget key to value, for presets, undo and reset; a layer of None is left to its widget.

    >>> write_view(ViewState())["v"]
    4
    """
    values = {key: getattr(view, name) for key, name in KEYS.items()}
    values = {key: list(value) if isinstance(value, tuple) and key != "b" else value for key, value in values.items()}
    return {key: value for key, value in values.items() if value is not None}


def write_query(view: ViewState) -> dict[str, list[str]]:
    """The view as address parameters, defaults left out, in the widgets' own spelling.

    >>> write_query(ViewState(bits=6, weights_only=False))
    {'w': ['false'], 'v': ['6']}
    """
    return spell_changes(view, KEYS)


def spell_changes(view: Any, keys: Mapping[str, str]) -> dict[str, list[str]]:
    """What differs from the defaults of a view, by widget key; `keys` names the field behind each key."""
    default = type(view)()
    return {key: _spell(getattr(view, name)) for key, name in keys.items() if getattr(view, name) != getattr(default, name)}


def write_link(base: str, view: ViewState, job: str = "") -> str:
    """The address that shows this view in a fresh browser; `job` lets it pick up a long sweep."""
    return join_link(base, write_query(view) | ({"job": [job]} if job else {}))


def join_link(base: str, query: Mapping[str, Sequence[str]]) -> str:
    """An address with other parameters."""
    return f"{base.partition('?')[0]}?{urlencode(query, doseq=True)}" if query else base.partition("?")[0]


def _spell(value: Any) -> list[str]:
    if isinstance(value, bool):
        return [str(value).lower()]
    if isinstance(value, tuple):
        return [str(part) for part in value] or [""]
    return [str(value)]


def expand_scheme(text: str, view: ViewState) -> ViewState:
    """The view with one scheme in it: swept along with the rest and put in view.

    Raises ValueError for an unknown word, and for words that no widget holds (scale, rounding).

    >>> expand_scheme("int6 asym group=64", ViewState()).scheme, expand_scheme("nvfp4", ViewState()).scheme
    ('int6 asym group=64', 'nvfp4')
    """
    scheme = Scheme.parse(text)
    words = {"groupings": str(scheme.grouping), "symmetries": scheme.symmetry.name, "ranges": str(scheme.range)}
    free: dict[str, Any] = {name: _with(getattr(view, name), word) for name, word in words.items() if _PARTS[name] not in scheme.format.fixed}
    if scheme.format.is_integer:
        bits = scheme.format.bits
        view = replace(view, bits=bits, bits_swept=(min(view.bits_swept[0], bits), max(view.bits_swept[1], bits)))
    else:
        view = replace(view, formats=_with(view.formats, str(scheme.format)), format=str(scheme.format))
    expanded = replace(view, family=family_of(scheme), **free)
    if expanded.family not in expanded.families:
        raise ValueError(f"scheme {text!r}: the page sweeps formats, grouping, symmetry and range; use `qanalysis sweep --scheme` for scale and rounding")
    return expanded


_PARTS = {"groupings": "grouping", "symmetries": "symmetry", "ranges": "range"}


def _with(words: tuple[str, ...], word: str) -> tuple[str, ...]:
    return words if word in words else (*words, word)


_SCHEME_KEYS = ("v", "b", "fmt", "fv", "f", "g", "s", "r")
_TYPED_WORDS: dict[str, Callable[[str], Any]] = {"g": parse_grouping, "r": parse_range}


def tidy_query(asked: Mapping[str, Sequence[str]]) -> tuple[dict[str, list[str]], list[str], list[str]]:
    """An address as the widgets can hold it, what was left out as "zoom=3", and why a scheme could not be shown.

    `scheme=TEXT` becomes the widgets' own parameters and goes before those beside it, so that the address of the page is a link
    too. Unknown names go, and so do words of a list that takes any word but can not mean this one.

    >>> tidy_query({"scheme": ["int6 channel"], "g": ["tensor"], "zoom": ["3"]})
    ({'v': ['6'], 'f': ['channel']}, ['zoom=3', 'g=tensor'], [])
    >>> tidy_query({"g": ["group=0", "tensor"]})
    ({'g': ['tensor']}, ['g=group=0'], [])
    """
    query = {key: list(values) for key, values in asked.items() if key in KEYS or key == "job"}
    left_out = [_name_parameter(key, asked[key]) for key in asked if key not in query and key != "scheme"]
    refusals = []
    if "scheme" in asked:
        try:
            expanded = write_query(expand_scheme(asked["scheme"][-1], ViewState()))
            left_out += [_name_parameter(key, query[key]) for key in _SCHEME_KEYS if key in query and query[key] != expanded.get(key)]
            query = {key: values for key, values in query.items() if key not in _SCHEME_KEYS} | expanded
        except ValueError as error:
            refusals.append(str(error))
    for key, parse in _TYPED_WORDS.items():
        wrong = [word for word in query.get(key, []) if not _is_valid(word, parse)]
        if wrong:
            left_out.append(_name_parameter(key, wrong))
            query[key] = [word for word in query[key] if word not in wrong]
    return {key: values for key, values in query.items() if values}, left_out, refusals


def _name_parameter(key: str, values: Sequence[str]) -> str:
    return f"{key}={','.join(values)}"[:80]


def name_ignored(asked: Mapping[str, Sequence[str]], session: Mapping[str, Any], keys: Mapping[str, str] = KEYS) -> list[str]:
    """Parameters of a tidied address whose values the widgets replaced, as "v=99"; `keys` are those of the page.

    >>> name_ignored({"v": ["99"], "w": ["true"], "job": ["0f"]}, {"v": 4, "w": True})
    ['v=99']
    """
    kept = {key: _spell(tuple(value) if isinstance(value, list) else value) for key, value in session.items() if key in keys}
    return [_name_parameter(key, asked[key]) for key in asked if key in keys and sorted(asked[key]) != sorted(kept.get(key, []))]
