"""What does a browser hold so that its charts can move by themselves? Panels, and how each differs from step to step.

A panel is a figure of `charts` with its sentence for those who do not see it and the lines of Python that make its
numbers. A part is packed once and drawn many times: what does not change from step to step is in it once.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from qanalysis.charts.drawing import Drawing

Kind = Literal["chart", "grid", "table", "facts"]
Tree = dict[str, Any]
_STEM = ("template", "height", "uirevision")
# Marks that turn the reading direction, as themselves and as JSON writes them; a backslash that is itself escaped
# begins none.
_TURNING = re.compile(
    r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]|(?<!\\)((?:\\\\)*)\\u(?:061c|200[ef]|202[a-e]|206[6-9])"
)


def without_turning(text: str) -> str:
    """Text without the marks that turn the reading direction, which a name from a file could hide something with."""
    return _TURNING.sub(r"\1", text)


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart of a part: its name, the figure, and lines of Python that remake its numbers ("" for none).

    The figure is that of the light theme; the browser knows which dark colour stands for each light one. `changes` are
    what a step adds to a figure that is drawn once for all of them.
    """

    name: str
    figure: Figure | Drawing
    python: str = ""
    kind: Kind = "chart"
    changes: Mapping[str, Any] = field(default_factory=dict)

    def describe(self) -> Tree:
        """The panel as JSON: name, kind, alternative text, lines of Python, traces, layout, height of the plot.

        Numbers stay as plotly packs them (typed arrays in base64). The template, which all figures share, is left out.
        `changes` are not applied. KeyError for a figure without an alternative text.
        """
        figure = json.loads(without_turning(self.figure.to_json()))
        meta = figure["layout"].pop("meta")
        layout = {key: value for key, value in figure["layout"].items() if key not in _STEM}
        return {
            "name": self.name,
            "kind": self.kind,
            "alt": meta.pop("alt"),
            "python": self.python,
            "meta": meta,
            "height": figure["layout"].get("height"),
            "figure": {"data": figure["data"], "layout": layout},
        }


class Described(Protocol):
    """A panel without a figure, such as a table: its name, and itself as JSON at a step."""

    @property
    def name(self) -> str:
        """What it is known by among the panels of a part."""

    def describe(self) -> Tree:
        """The panel as JSON."""


@dataclass(frozen=True, slots=True)
class FactPanel:
    """A table of a part: its name, quantities with their values and conventions as plain texts, and what it is of."""

    name: str
    facts: Sequence[tuple[str, str, str]]
    alt: str

    def describe(self) -> Tree:
        """The table as JSON; a step changes the texts that differ."""
        lines = [dict(zip(("label", "text", "note"), fact, strict=True)) for fact in self.facts]
        return {"name": self.name, "kind": "facts", "alt": self.alt, "lines": lines}


def find_changes(base: Any, other: Any) -> Any:
    """What turns `base` into `other`: a tree of the parts that differ, None for what `base` has and `other` has not.

    Lists of trees (traces, shapes) of the same length are compared item by item, under the item's number; any other
    value is taken whole. Equal values give an empty tree.

    >>> find_changes({"x": [{"a": 1}, {"a": 2}], "y": [3], "z": 4}, {"x": [{"a": 1}, {"a": 5}], "y": [4], "w": {}})
    {'x': {'1': {'a': 5}}, 'y': [4], 'z': None, 'w': {}}
    """
    if _is_tree(base) and _is_tree(other):
        keys = [*base, *(key for key in other if key not in base)]
        pairs = {key: (base.get(key), other.get(key)) for key in keys}
    elif _is_row(base) and _is_row(other) and len(base) == len(other):
        pairs = {str(place): pair for place, pair in enumerate(zip(base, other, strict=True))}
    else:
        return other
    return {key: find_changes(*pair) for key, pair in pairs.items() if pair[0] != pair[1]}


def apply_changes(base: Any, changes: Any) -> Any:
    """The tree that `find_changes` was given as `other`; neither argument is touched.

    >>> apply_changes({"x": [{"a": 1}, {"a": 2}], "y": 3, "z": 4}, {"x": {"1": {"a": 5}}, "z": None})
    {'y': 3, 'x': [{'a': 1}, {'a': 5}]}
    """
    if not _is_tree(changes):
        return changes
    if _is_row(base):
        return [
            apply_changes(item, changes[str(place)]) if str(place) in changes else item
            for place, item in enumerate(base)
        ]
    if not _is_tree(base):
        return changes
    kept = {key: value for key, value in base.items() if key not in changes}
    return kept | {key: apply_changes(base.get(key), value) for key, value in changes.items() if value is not None}


def _is_tree(value: Any) -> bool:
    """Whether a value is a tree of parts; a packed array is one value."""
    return isinstance(value, Mapping) and "bdata" not in value


def _is_row(value: Any) -> bool:
    """Whether a value is a list of trees, such as traces, shapes and annotations; lists of numbers are one value."""
    return isinstance(value, list) and bool(value) and all(map(_is_tree, value))


def build_part(steps: Sequence[Sequence[Panel | Described]], **facts: Any) -> Tree:
    """Panels at every step of a control as one part: those of the first step, and the changes of each.

    Parameters
    ----------
    steps : the same panels by name at each step, at least one; a chart without a control has one step.
    facts : what else the browser is told, as JSON.

    ValueError where the steps hold different panels.
    """
    described = _describe_all(steps)
    if any(list(panels) != list(described[0]) for panels in described):
        raise ValueError(f"every step needs the panels {list(described[0])}, in this order")
    return {"panels": described[0], "changes": [find_changes(described[0], panels) for panels in described]} | facts


def build_still(panel: Tree) -> Tree:
    """A part of one panel, given as JSON, that no control moves."""
    return {"panels": {panel["name"]: panel}, "changes": [{}]}


def _describe_all(steps: Sequence[Sequence[Panel | Described]]) -> list[Tree]:
    """Every step's panels by name as JSON; a figure that several steps share is described once."""
    known: dict[tuple[int, str], Tree] = {}
    described = []
    for panels in steps:
        found = {}
        for panel in panels:
            if not isinstance(panel, Panel):
                found[panel.name] = panel.describe()
                continue
            key = (id(panel.figure), panel.python)
            if key not in known:
                known[key] = panel.describe()
            found[panel.name] = apply_changes(known[key], panel.changes)
        described.append(found)
    return described


def read_step(part: Mapping[str, Any], place: int) -> Tree:
    """The panels of a part at a step, by name: what the browser draws there; IndexError for no such step."""
    panels: Tree = apply_changes(part["panels"], part["changes"][place])
    return panels


def pack(part: Mapping[str, Any]) -> bytes:
    """A part as it travels: JSON, compressed (zlib). ValueError for a number that JSON does not have."""
    return zlib.compress(json.dumps(part, allow_nan=False, separators=(",", ":")).encode(), 6)


def unpack(packed: bytes) -> Tree:
    """What `pack` was given."""
    part: Tree = json.loads(zlib.decompress(packed))
    return part
