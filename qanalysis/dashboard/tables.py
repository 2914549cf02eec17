"""How do rows become tables on a page?

Plain frames in the units of the headings, and the headings with their formats.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from qanalysis.checkpoints.source import TensorInfo
from qanalysis.diagnosis.conventions import Convention
from qanalysis.notation import byte_unit
from qanalysis.sweeps.row import METRICS

TINT = "#2f83b540"
_NAMES = ("Scheme", "Convention", "As in")


def build_conventions(conventions: Sequence[Convention]) -> pd.DataFrame:
    """One line per convention: what it costs, what it does, who does it.

    Costs are over the best convention, in dB; an exact one has ∞ dB.
    """
    return pd.DataFrame(
        {
            "Convention": [convention.name for convention in conventions],
            "Cost (dB)": _floats(convention.cost_db for convention in conventions),
            head_metric("sqnr_db"): _floats(convention.sqnr_db for convention in conventions),
            "vs view (dB)": _floats(convention.delta_db for convention in conventions),
            head_metric("bits_per_weight"): _floats(convention.bits_per_weight for convention in conventions),
            "As in": [convention.peers for convention in conventions],
            "What it does": [convention.formula for convention in conventions],
            "Scheme": [convention.scheme for convention in conventions],
            "Note": [convention.row.reason for convention in conventions],
        }
    )


def mark_row(frame: pd.DataFrame, place: int) -> Any:
    """The frame with one row tinted: the one in view.

    `place` counts from 0; the tint suits both themes.
    """
    return frame.style.set_properties(subset=pd.IndexSlice[[place], :], **{"background-color": TINT})


def build_contents(tensors: Sequence[TensorInfo]) -> pd.DataFrame:
    """What a header lists: name, role, layout where values are packed, shape, type, size.

    Shapes with ×; a tensor without dimensions is a "single number".
    """
    return pd.DataFrame(
        {
            "Tensor": [info.name for info in tensors],
            "Role": [info.role for info in tensors],
            **({"Stored as": [info.stored for info in tensors]} if any(info.stored for info in tensors) else {}),
            "Shape": [info.shape_text.replace("x", "×") or "single number" for info in tensors],
            "Type": [info.dtype for info in tensors],
            **_list_sizes([info.size_bytes for info in tensors]),
        }
    )


def head_metric(name: str) -> str:
    """A column's heading, which tells it from all other metrics.

    KeyError for a name that is no metric.

    >>> head_metric("sqnr_db"), head_metric("clipped_fraction"), head_metric("bits_per_weight")
    ('SQNR (dB)', 'Clipped', 'Bits/weight')
    """
    return METRICS[name].heading


def format_columns(frame: pd.DataFrame) -> dict[str, Any]:
    """Column settings for a frame of this module: number formats, and widths in pixels that hold the headings.

    Columns of text get widths only where names are long; costs are bars from 0 to the largest finite one.
    """
    numbers = frame.select_dtypes("number").columns
    config: dict[str, Any] = {
        heading: st.column_config.NumberColumn(format=_choose_format(heading), width=22 + 6 * len(heading))
        for heading in numbers
    }
    config |= {
        heading: st.column_config.TextColumn(width=_fit_names(frame[heading])) for heading in _NAMES if heading in frame
    }
    if "Cost (dB)" in frame:
        finite = frame["Cost (dB)"][np.isfinite(frame["Cost (dB)"])]
        config["Cost (dB)"] = st.column_config.ProgressColumn(
            format="%.2f", min_value=0, max_value=max(finite, default=0) or 1, width=140
        )
        config["vs view (dB)"] = st.column_config.NumberColumn(
            format="%+.2f", width=92, help="SQNR gained over the scheme in view"
        )
    return config


def _fit_names(names: pd.Series) -> int:
    """Pixels for the longest name in the table's font, between what reads well and what the page can spare."""
    # Pixels for the longest name in the table's font, between what the page can spare.
    return int(min(max(names.str.len().max() * 6.5 + 20, 104), 290)) if len(names) else 104


def _choose_format(heading: str) -> str:
    """Shares in percent; two places for what has a unit, sizes and costs among them; four digits for plain numbers."""
    metric = next((one for one in METRICS.values() if one.heading == heading), None)
    if metric is not None and metric.share:
        return "percent"
    return "%.2f" if metric is None or metric.unit else "%.4g"


def _list_sizes(sizes: Sequence[int | None]) -> dict[str, pd.Series]:
    """A column of bytes under its heading, in the binary unit that suits the largest."""
    unit, factor = byte_unit(max((size or 0 for size in sizes), default=0))
    return {f"Size ({unit})": _floats(None if size is None else size / factor for size in sizes)}


def _floats(values: Any) -> pd.Series:
    """A column of numbers, NaN for None; whole numbers too, so that a column has one type."""
    return pd.Series([None if value is None else float(value) for value in values], dtype="float64")
