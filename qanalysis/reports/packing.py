"""How do all rows fit into one small HTML file? Column by column, compressed, the least needed left out first."""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Sequence
from typing import Any

from qanalysis.results.columns import columns_of
from qanalysis.sweeps.row import COLUMNS, Row

LEAVE_OUT_ORDER = tuple(
    found.name for found in sorted((found for found in columns_of(Row) if found.leave_out is not None), key=lambda found: found.leave_out or 0)
)


def pack_json(value: Any) -> str:
    """JSON, compressed (zlib) and in base64: safe inside any HTML, whatever the names in it."""
    return base64.b64encode(zlib.compress(json.dumps(value, allow_nan=False, separators=(",", ":")).encode(), 9)).decode()


def pack_columns(rows: Sequence[Row], *, limit: int) -> tuple[dict[str, str], list[str]]:
    """Column name to packed list of its values, at most `limit` characters together, and the names of the columns left out.

    Infinite figures are packed as the texts "inf" and "-inf". Raises ValueError where even the columns that always stay are
    too large.
    """
    packed = {name: pack_json([_to_plain(getattr(row, name)) for row in rows]) for name in COLUMNS}
    left_out = []
    for name in LEAVE_OUT_ORDER:
        if sum(map(len, packed.values())) <= limit:
            break
        del packed[name]
        left_out.append(name)
    size = sum(map(len, packed.values()))
    if size > limit:
        raise ValueError(f"{len(rows)} rows need {size:,} bytes, one HTML file has room for {limit:,}; take fewer tensors (--include) or write .parquet")
    return packed, left_out


def _to_plain(value: Any) -> Any:
    return str(value) if isinstance(value, float) and math.isinf(value) else value
