"""Do two measures rank layers alike, and do damages add up? Points of two figures each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from qanalysis.charts.drawing import Drawing, draw, line
from qanalysis.charts.palette import PALETTES, Theme
from qanalysis.charts.sensitivity_bars import name_axis
from qanalysis.charts.sensitivity_sheet import MEASURES, Look, Sheet, is_logarithmic, tell_value
from qanalysis.charts.wording import count_of, escape
from qanalysis.models.sensitivity.row import SensitivityRow
from qanalysis.notation import NOTHING, percent, plain, shorten, signed

_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star")


def measure_pairs(sheet: Sheet, look: Look, other: str, *, theme: Theme = "light") -> Drawing | None:
    """Every layer of a measurement by two of its figures, the measure in view upwards; None where no layer has both.

    The noise floor of either is a dashed line. The subtitle tells how far the ranks agree, with intervals. A click on a
    point chooses its layer.
    """
    own = look.metric
    rows = [row for row in sheet.choose(look) if None not in (getattr(row, own), getattr(row, other))]
    if not rows or own == other:
        return None
    across, up = ([float(getattr(row, name)) for row in rows] for name in (other, own))
    traces = [
        line(
            x=across,
            y=up,
            mode="markers",
            name="a layer",
            marker={
                "size": 9,
                "color": PALETTES[theme].kept,
                "line": {"width": 1, "color": PALETTES[theme].background},
            },
            customdata=[[row.tensor, row.scheme] for row in rows],
            text=[f"<b>{escape(shorten(row.tensor, 60))}</b>" for row in rows],
            hovertext=[f"{tell_value(own, y)}<br>{tell_value(other, x)}" for x, y in zip(across, up, strict=True)],
            hovertemplate="%{text}<br>%{hovertext}<extra></extra>",
            showlegend=False,
        )
    ]
    floors = {name: sheet.find_floor(name) for name in (own, other)}
    traces += _ring_layer(rows, across, up, look, theme)
    traces += _draw_floors(floors, own, across, up, theme)
    logs = {
        name: is_logarithmic([*values, *([floor] if (floor := floors[name]) is not None else [])])
        for name, values in ((own, up), (other, across))
    }
    title, agreed = f"{MEASURES[own].label} against {MEASURES[other].label}", tell_agreement(sheet, look, other)
    extent = f"{count_of(len(rows), 'layer')}, {look.convention}"
    return draw(
        traces,
        title,
        theme,
        subtitle=escape(agreed or extent),
        alt=f"{title}, {extent}.{f' {agreed}.' if agreed else ''}",
        height=420,
        margin={"t": 90, "b": 60},
        xaxis={"title": {"text": name_axis(other)}, **({"type": "log"} if logs[other] else {})},
        yaxis={"title": {"text": name_axis(own)}, **({"type": "log"} if logs[own] else {})},
        showlegend=True,
    )


def _ring_layer(
    rows: Sequence[SensitivityRow], across: Sequence[float], up: Sequence[float], look: Look, theme: Theme
) -> list[dict[str, Any]]:
    """A ring with its name around the layer in view."""
    place = next((place for place, row in enumerate(rows) if row.tensor == look.layer), None)
    if place is None:
        return []
    ring = {"size": 17, "symbol": "circle-open", "color": PALETTES[theme].text, "line": {"width": 2}}
    name = escape(shorten(rows[place].tensor, 28))
    look_of = {"mode": "markers", "marker": ring, "name": name, "hoverinfo": "skip"}
    return [line(x=[across[place]], y=[up[place]], **look_of)]


def _draw_floors(
    floors: Mapping[str, float | None], own: str, across: Sequence[float], up: Sequence[float], theme: Theme
) -> list[dict[str, Any]]:
    traces = []
    for name, floor in floors.items():
        if floor is None:
            continue
        told = f"noise floor {tell_value(name, floor)}"
        x, y = ([min(across), max(across)], [floor] * 2) if name == own else ([floor] * 2, [min(up), max(up)])
        look = {"color": PALETTES[theme].clipped, "width": 2, "dash": "dash" if name == own else "dot"}
        traces.append(line(x=x, y=y, mode="lines", name=told, line=look, hovertemplate=f"{told}<extra></extra>"))
    return traces


def find_agreement(sheet: Sheet, look: Look, other: str) -> Mapping[str, Any] | None:
    """What the document says of two measures under a scheme, in either order; None where it says nothing."""
    found = sheet.table.more.get("agreement")
    wanted = {look.metric, other}
    for entry in found if isinstance(found, Sequence) else ():
        same = isinstance(entry, Mapping) and {entry.get("a"), entry.get("b")} == wanted
        if same and entry.get("scheme") in (look.scheme, None) and entry.get("target", look.target) == look.target:
            return dict(entry)
    return None


def tell_agreement(sheet: Sheet, look: Look, other: str) -> str:
    """How far two measures rank the layers alike, in words with 95 % intervals; "" where the document does not say.

    A rank agreement of 1 is the same order, 0 is none, −1 the reverse.
    """
    found = find_agreement(sheet, look, other)
    if found is None:
        return ""
    parts = [
        f"{label} {_tell_share(found, name)}" for name, label in (("spearman", "Spearman"), ("kendall", "Kendall"))
    ]
    layers = found.get("layers")
    of = f" over {layers} layers" if isinstance(layers, int) else ""
    return f"Ranks agree{of}: {', '.join(parts)}"


def _tell_share(found: Mapping[str, Any], name: str) -> str:
    value, low, high = (found.get(key) for key in (name, f"{name}_low", f"{name}_high"))
    if not isinstance(value, int | float):
        return NOTHING
    ends = ""
    if isinstance(low, int | float) and isinstance(high, int | float):
        ends = f" [{signed(low, '.2f')}, {signed(high, '.2f')}]"
    return f"{signed(value, '.2f')}{ends}"


def additivity_chart(sheet: Sheet, *, theme: Theme = "light") -> Drawing | None:
    """The sum of single layers' damages against the damage of quantizing them together, a point per joint measurement;
    None where it was not measured.

    On the dashed diagonal damages add up; above it layers hurt more together than apart.
    """
    part = sheet.part("additivity")
    points = [point for point in part.get("points", ()) if _is_point(point)] if isinstance(part, Mapping) else []
    if not points:
        return None
    sums, joints = ([float(point[name]) for point in points] for name in ("sum", "joint"))
    log = is_logarithmic([*sums, *joints])
    known = [*sums, *joints]
    low, high = min(known), max(known)
    diagonal = line(
        x=[low, high],
        y=[low, high],
        mode="lines",
        name="damages add up",
        line={"color": PALETTES[theme].reference, "width": 2, "dash": "dash"},
        hoverinfo="skip",
    )
    floor = sheet.find_floor(str(part.get("metric", "output_nsr")))
    beyond = _draw_floors({"output_nsr": floor}, "output_nsr", sums, joints, theme) if floor is not None else []
    scale = {"type": "log"} if log else {}
    share = part.get("interaction_share")
    told = (
        f"interaction share {percent(abs(share))}"
        if isinstance(share, int | float)
        else count_of(len(points), "joint measurement")
    )
    return draw(
        [*_draw_points(points, theme), diagonal, *beyond],
        "Do damages add up?",
        theme,
        subtitle=escape(f"{told}{'; ' + str(part['warning']) if part.get('warning') else ''}"),
        alt=f"The sum of single layers' damages against {count_of(len(points), 'joint measurement')}: {told}.",
        height=420,
        margin={"t": 90, "b": 60},
        xaxis={"title": {"text": "Sum over single layers (NSR)"}, **scale},
        yaxis={"title": {"text": "Measured together (NSR)"}, **scale},
        showlegend=True,
    )


def _is_point(point: Any) -> bool:
    known = isinstance(point, Mapping) and all(isinstance(point.get(name), int | float) for name in ("sum", "joint"))
    return known and all(math.isfinite(point[name]) for name in ("sum", "joint"))


def _draw_points(points: Sequence[Mapping[str, Any]], theme: Theme) -> list[dict[str, Any]]:
    """One trace for each scheme."""
    colours = PALETTES[theme].categories
    traces = []
    for place, scheme in enumerate(dict.fromkeys(str(point.get("scheme", "")) for point in points)):
        own = [point for point in points if str(point.get("scheme", "")) == scheme]
        traces.append(
            line(
                x=[float(point["sum"]) for point in own],
                y=[float(point["joint"]) for point in own],
                mode="markers",
                name=escape(scheme or "joint"),
                marker={"size": 9, "color": colours[place % len(colours)], "symbol": _SYMBOLS[place % len(_SYMBOLS)]},
                text=[_tell_point(point) for point in own],
                hovertemplate="%{text}<extra>%{fullData.name}</extra>",
            )
        )
    return traces


def _tell_point(point: Mapping[str, Any]) -> str:
    layers = point.get("layers")
    count = len(layers) if isinstance(layers, Sequence) and not isinstance(layers, str) else layers
    of = f"{count} layers<br>" if isinstance(count, int) else ""
    return f"{of}sum {plain(float(point['sum']))}<br>together {plain(float(point['joint']))}"
