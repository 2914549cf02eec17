"""What a browser would draw of a written report: the scenes that lie in its HTML."""

from __future__ import annotations

import base64
import re
from typing import Any

from qanalysis.charts.linked.scene import unpack


def read_scenes(page: str) -> list[dict[str, Any]]:
    """The parts in the order of the page."""
    packed = re.findall(r'<script type="application/octet-stream" id="part-\d+">([^<]+)</script>', page)
    return [unpack(base64.b64decode(text)) for text in packed]
