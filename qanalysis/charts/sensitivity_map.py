"""Where does quantization hurt the model's output? Layers by schemes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.charts.colour_scale import find_ticks
from qanalysis.charts.drawing import Drawing, draw, line
from qanalysis.charts.palette import MAGNITUDE, PALETTES, Theme
from qanalysis.charts.sensitivity_bars import tell_floor
from qanalysis.charts.sensitivity_sheet import MEASURES, Look, Sheet, is_logarithmic, tell_interval, tell_value
from qanalysis.charts.wording import count_of, escape, label_layers, name_power
from qanalysis.models.sensitivity.row import STATUS_WORDS, SensitivityRow
from qanalysis.notation import plain, shorten, signed

MOST_LAYERS = 60
TEXT_CELLS, TEXT_COLUMNS = 300, 8
_ROW, _HEADER = 24, 72
_MARK = "≈"


def sensitivity_map(sheet: Sheet, look: Look, *, theme: Theme = "light") -> Drawing:
    """Layers downwards in the order of a run by the schemes of the target and mode in view, coloured by the measure;
    bright is good. A click chooses layer and scheme, the scheme in view is framed.

    Cells at or beyond the noise floor carry a mark, the floor stands beside the colours; cells without a figure are
    crossed out and say why. Of more than MOST_LAYERS layers the worst are drawn, in their order.
    """
    schemes, metric = sheet.schemes_of(look), look.metric
    cells = {(row.tensor, row.scheme): row for row in sheet.rows if (row.target, row.mode) == (look.target, look.mode)}
    tensors = _choose_layers(sheet, look, [name for name in sheet.tensors if (name, look.scheme) in cells])
    rows = [[cells.get((tensor, scheme)) for scheme in schemes] for tensor in tensors]
    values = np.array([[_read(row, metric) for row in line] for line in rows], float).reshape(len(rows), len(schemes))
    log = is_logarithmic(values[np.isfinite(values)].tolist())
    left_out = len(sheet.tensors) - len(tensors)
    notes = (
        f" · the worst {len(tensors)} of {len(sheet.tensors)}" if left_out > 0 and len(tensors) == MOST_LAYERS else ""
    )
    labels = label_layers(tensors, 28)
    noise = tell_floor(sheet, metric)
    is_any = any(sheet.is_in_noise(row, metric) for line in rows for row in line if row is not None)
    marked = f"{noise}, {_MARK} not above it" if is_any else noise
    return draw(
        [_draw_cells(rows, values, sheet, look, log=log), *_cross_out(rows, values, theme)],
        f"{MEASURES[metric].label}: {count_of(len(tensors), 'layer')} × {count_of(len(schemes), 'scheme')}",
        theme,
        subtitle=f"{escape(_tell_change(look))}{marked}{notes}",
        alt=_describe(rows, look, noise),
        height=max(260, _HEADER + 110 + _ROW * len(tensors)),
        margin={"t": _HEADER + 58, "b": 12, "l": 12, "r": 12},
        showlegend=False,
        xaxis=still_axis([_name_scheme(scheme) for scheme in schemes])
        | {"side": "top", "range": [-0.5, len(schemes) - 0.5], "tickangle": 0 if len(schemes) <= 4 else -60},
        yaxis=still_axis([escape(labels[name]) for name in tensors]) | {"range": [len(tensors) - 0.5, -0.5]},
        shapes=_frame_scheme(schemes, look, len(tensors), theme),
    )


def _choose_layers(sheet: Sheet, look: Look, tensors: Sequence[str]) -> list[str]:
    if len(tensors) <= MOST_LAYERS:
        return list(tensors)
    worst = {row.tensor for row in sheet.rank(look)[:MOST_LAYERS]}
    return [name for name in tensors if name in worst] or list(tensors[:MOST_LAYERS])


def _read(row: SensitivityRow | None, metric: str) -> float:
    value = None if row is None else getattr(row, metric)
    return math.nan if value is None else float(value)


def _tell_change(look: Look) -> str:
    return look.convention.removesuffix(f" at {look.scheme}")


def _name_scheme(scheme: str) -> str:
    """A scheme over its column: format above the rest."""
    head, _, rest = scheme.partition(" ")
    return escape(f"{head}\n{shorten(rest, 18)}" if rest else head).replace("\n", "<br>")


def _draw_cells(
    rows: Sequence[Sequence[SensitivityRow | None]], values: Doubles, sheet: Sheet, look: Look, *, log: bool
) -> dict[str, Any]:
    metric = look.metric
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    shown = np.clip(np.where(np.isinf(values), np.where(values > 0, high, low), values), low, high)
    if log:
        shown, low, high = np.log10(shown), math.log10(low), math.log10(high)
    high = high if high > low else low + 1.0
    texts = [[_write_cell(row, sheet, metric) for row in line] for line in rows]
    told = [["" if row is None else _tell_cell(row, metric) for row in line] for line in rows]
    named = [[_name_cell(row, metric) for row in line] for line in rows]
    written = values.size <= TEXT_CELLS and values.shape[1] <= TEXT_COLUMNS
    return {
        "type": "heatmap", "z": shown, "zmin": low, "zmax": high, "x0": 0, "dx": 1, "y0": 0, "dy": 1,
        "text": texts if written else told, "texttemplate": "%{text}" if written else None, "customdata": named,
        "hovertext": told, "colorscale": MAGNITUDE, "reversescale": MEASURES[metric].better == "lower",
        "colorbar": _draw_bar(low, high, sheet.find_floor(metric), metric, log=log),
        "xgap": 1, "ygap": 1, "hoverongaps": False, "hovertemplate": "%{hovertext}<extra></extra>",
        "textfont": {"size": 11}, "showlegend": False, "meta": ["Layer", "Scheme", MEASURES[metric].heading],
    }  # fmt: skip


def _draw_bar(low: float, high: float, floor: float | None, metric: str, *, log: bool) -> dict[str, Any]:
    """The colours' own axis: round numbers, or whole powers of ten, and the noise floor where it lies on it."""
    if log:
        powers = list(range(math.ceil(low), math.floor(high) + 1))
        ticks = {float(power): name_power(10.0**power) for power in powers} or {
            low: plain(10**low),
            high: plain(10**high),
        }
    else:
        ticks = {tick: plain(tick) for tick in find_ticks(low, high)}
    if floor is not None and (floor > 0 or not log):
        place = math.log10(floor) if log else floor
        if low <= place <= high:
            near = 0.12 * (high - low)  # a line of text in a map of few layers
            ticks = {tick: text for tick, text in ticks.items() if abs(tick - place) > near} | {place: "floor"}
    title = {"text": MEASURES[metric].heading, "side": "right", "font": {"size": 12}}
    return {
        "thickness": 12, "outlinewidth": 0, "title": title, "tickvals": list(ticks), "ticktext": list(ticks.values()),
    }  # fmt: skip


def _write_cell(row: SensitivityRow | None, sheet: Sheet, metric: str) -> str:
    """A figure as a cell has room for it, marked where noise begins."""
    value = _read(row, metric)
    if row is None or math.isnan(value):
        return ""
    column = MEASURES[metric]
    text = (
        signed(value, ".1f")
        if column.unit == "dB"
        else tell_value(metric, value)
        if column.share
        else plain(value, digits=2)
    )
    return f"{text} {_MARK}" if sheet.is_in_noise(row, metric) else text


def _tell_cell(row: SensitivityRow, metric: str) -> str:
    value = tell_interval(row, metric) if getattr(row, metric) is not None else escape(_tell_reason(row))
    return f"<b>{escape(row.tensor)}</b><br>{escape(row.scheme)}<br>{MEASURES[metric].label} {value}"


def _tell_reason(row: SensitivityRow) -> str:
    return shorten(row.reason or (STATUS_WORDS[row.status] if row.status != "ok" else "not measured"), 120)


def _name_cell(row: SensitivityRow | None, metric: str) -> list[Any]:
    if row is None:
        return ["", "", None]
    value = _read(row, metric)
    return [row.tensor, row.scheme, float(value) if math.isfinite(value) else None if math.isnan(value) else "∞"]


def _cross_out(rows: Sequence[Sequence[SensitivityRow | None]], values: Doubles, theme: Theme) -> list[dict[str, Any]]:
    """Crosses on cells without a figure, which say why on hover."""
    missing = [(x, y, rows[y][x]) for y, x in np.argwhere(np.isnan(values)).tolist()]
    if not missing:
        return []
    told = [escape("not measured" if row is None else _tell_reason(row)) for _, _, row in missing]
    cross = {"symbol": "x-thin", "size": 9, "line": {"width": 1.5, "color": PALETTES[theme].muted}}
    x, y = [x for x, _, _ in missing], [y for _, y, _ in missing]
    return [
        line(
            x=x, y=y, text=told, mode="markers", marker=cross, name="no figure", hovertemplate="%{text}<extra></extra>"
        )
    ]


def _frame_scheme(schemes: Sequence[str], look: Look, layers: int, theme: Theme) -> list[dict[str, Any]]:
    if look.scheme not in schemes or len(schemes) < 2:
        return []
    x = schemes.index(look.scheme)
    pen = {"color": PALETTES[theme].clipped, "width": 2}
    place = {"x0": x - 0.5, "x1": x + 0.5, "y0": -0.5, "y1": layers - 0.5, "xref": "x", "yref": "y"}
    return [{"name": "mark-scheme", "type": "rect", "line": pen, **place}]


def still_axis(labels: Sequence[str]) -> dict[str, Any]:
    """An axis of names that can not be zoomed."""
    return {
        "tickmode": "array",
        "tickvals": list(range(len(labels))),
        "ticktext": list(labels),
        "showgrid": False,
        "showline": False,
        "ticks": "",
        "fixedrange": True,
        "tickfont": {"size": 12},
    }


def _describe(rows: Sequence[Sequence[SensitivityRow | None]], look: Look, noise: str) -> str:
    label = MEASURES[look.metric].label
    extent = f"{label} of {count_of(len(rows), 'layer')} under {count_of(len(rows[0]) if rows else 0, 'scheme')}"
    known = [row for line in rows for row in line if row is not None and getattr(row, look.metric) is not None]
    if not known:
        return f"{extent}: no figure."
    sign = -1 if MEASURES[look.metric].better == "higher" else 1
    worst = max(known, key=lambda row: sign * float(getattr(row, look.metric)))
    told = f"{extent}; the worst is {worst.tensor} under {worst.scheme} with {tell_interval(worst, look.metric)}"
    return f"{told}{noise.replace(' · ', '; ')}."
