"""How do charts get into a page that opens without a network? As the scenes that the dashboard shows, packed, with what
draws them.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qanalysis.charts.linked.scene import Panel


@dataclass(frozen=True, slots=True)
class Chart:
    """One scene of the page.

    Parameters
    ----------
    heading, caption : above it; the caption may be empty.
    alt : a sentence for each of its panels, for those who do not see them.
    scene : the part, packed and in base64.
    step : of its control, where it stands at first; None without a control.
    """

    heading: str
    caption: str
    alt: str
    scene: str
    step: int | str | None = None


def make_chart(heading: str, caption: str, panel: Panel) -> Chart:
    """One panel as a scene without a control."""
    from qanalysis.charts.linked.scene import build_part

    return make_scene(heading, caption, build_part([[panel]]))


def make_scene(heading: str, caption: str, part: Mapping[str, Any], *, step: int | str | None = None) -> Chart:
    """A part as a scene that stands at a `step` of its control first; ValueError for a step that it does not have."""
    from qanalysis.charts.linked.scene import pack, read_step

    place = 0 if step is None else part["control"]["steps"].index(step)
    alt = " ".join(panel["alt"] for panel in read_step(part, place).values())
    return Chart(heading, caption, alt, base64.b64encode(pack(part)).decode(), step)


def pack_json(value: Any) -> str:
    """JSON, compressed (zlib) and in base64: safe inside any HTML, whatever the names in it."""
    return base64.b64encode(
        zlib.compress(json.dumps(value, allow_nan=False, separators=(",", ":")).encode(), 9)
    ).decode()


@cache
def pack_drawing() -> tuple[str, str]:
    """Plotly's script and the colours of both themes, packed: what draws scenes beside the modules."""
    from qanalysis.charts.linked.modules import describe_looks, read_plotly

    return base64.b64encode(zlib.compress(read_plotly(), 9)).decode(), pack_json(describe_looks())


@cache
def read_drawing() -> tuple[str, str]:
    """The modules that draw scenes as one script, and their styles."""
    from qanalysis.charts.linked.modules import join_modules, read_styles

    return join_modules(), read_styles()
