"""How does a figure get into a page that opens without a network? Drawn for both themes, packed, with a sentence for
those who do not see it.
"""

from __future__ import annotations

import base64
import json
import pkgutil
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

# Marks that turn the reading direction, as themselves and as JSON writes them.
_TURNING = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]|\\u(?:061c|200[ef]|202[a-e]|206[6-9])")


@dataclass(frozen=True, slots=True)
class Chart:
    """One figure of the page: packed for both themes, with a heading, a sentence for those who do not see it, a
    caption.
    """

    heading: str
    caption: str
    alt: str
    light: str
    dark: str
    half: bool


def make_chart(heading: str, caption: str, draw: Callable[..., Figure], *, half: bool = False) -> Chart:
    """A figure for both themes; `draw` takes the theme. Its sentence for those who do not see it comes from the figure
    itself.
    """
    light, dark = draw(theme="light"), draw(theme="dark")
    alt = str((light.layout.meta or {}).get("alt", heading))
    packed = [pack_json(json.loads(_TURNING.sub("", figure.to_json()))) for figure in (light, dark)]
    return Chart(heading, caption, alt, packed[0], packed[1], half)


def pack_json(value: Any) -> str:
    """JSON, compressed (zlib) and in base64: safe inside any HTML, whatever the names in it."""
    return base64.b64encode(
        zlib.compress(json.dumps(value, allow_nan=False, separators=(",", ":")).encode(), 9)
    ).decode()


@cache
def pack_plotly() -> str:
    """The script that draws figures, packed."""
    script = pkgutil.get_data("plotly", "package_data/plotly.min.js")
    return base64.b64encode(zlib.compress(script or b"", 9)).decode()
