"""What is a chart before plotly checks every property of it? Plain traces and layout, which cost a hundredth.

Where fifteen widths of a layer are drawn at once, plotly's checks would take longer than all else together; a figure
made of a drawing is the same figure.
"""

from __future__ import annotations

import base64
import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from qanalysis.charts.palette import Theme, frame_layout, template

_CODES = ("i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8")


@dataclass(frozen=True, slots=True)
class Drawing:
    """Traces and layout as plotly names them, arrays as numpy arrays; the alternative text, plain."""

    traces: list[dict[str, Any]]
    layout: dict[str, Any]
    alt: str
    theme: Theme

    def to_figure(self) -> go.Figure:
        """The figure, checked by plotly: ValueError for a property that it does not know."""
        return go.Figure(
            data=self.traces, layout={"template": template(self.theme), **self.layout, "meta": {"alt": self.alt}}
        )

    def to_json(self) -> str:
        """The JSON of the figure without its template; arrays of numbers are packed as plotly packs them, and what is
        infinite or no number has no place on an axis: null.
        """
        figure = {"data": self.traces, "layout": {**self.layout, "meta": {"alt": self.alt}}}
        try:
            return json.dumps(figure, default=_pack, allow_nan=False)
        except ValueError:  # rare, and looking at every number takes longer than writing them
            return json.dumps(_leave_gaps(figure), default=_pack, allow_nan=False)


def _leave_gaps(value: Any) -> Any:
    """The same with null for every plain number that is not finite."""
    if isinstance(value, dict):
        return {name: _leave_gaps(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_leave_gaps(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _pack(value: Any) -> Any:
    """A numpy array as plotly's typed array, a numpy number as a plain one; TypeError for anything else."""
    if isinstance(value, np.ndarray) and value.dtype.str[1:] in _CODES:
        little = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
        shape = {} if value.ndim == 1 else {"shape": ", ".join(map(str, value.shape))}
        return {"dtype": value.dtype.str[1:], "bdata": base64.b64encode(little.tobytes()).decode(), **shape}
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no part of a drawing")


def line(**parts: Any) -> dict[str, Any]:
    """A trace of points or lines; parts that are None are left out."""
    return {"type": "scatter", **{name: part for name, part in parts.items() if part is not None}}


def draw(
    traces: list[dict[str, Any]],
    title: str,
    theme: Theme,
    *,
    alt: str,
    subtitle: str = "",
    height: int = 380,
    **layout: Any,
) -> Drawing:
    """A drawing in the common frame of all charts; parameters as `begin` takes them."""
    return Drawing(traces, frame_layout(title, subtitle=subtitle, height=height, **layout), alt, theme)
