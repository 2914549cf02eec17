"""Do damages add up? Layers measured together, against the sum of what each does alone, on which plans count."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from qanalysis.charts.drawing import Drawing, draw, line
from qanalysis.charts.palette import PALETTES, Theme
from qanalysis.charts.sensitivity_pairs import draw_lines, scale_axis, tell_share
from qanalysis.charts.sensitivity_sheet import MEASURES, Sheet, tell_value
from qanalysis.charts.wording import count_of, escape
from qanalysis.notation import NOTHING

_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star")


def additivity_chart(sheet: Sheet, metric: str = "output_nsr", *, theme: Theme = "light") -> Drawing | None:
    """The sum of single layers' damages against the damage of quantizing them together, a point per set of layers; None
    where it was not measured.

    In `metric` where damages of it were added, else in the first measure that they were. On the dashed diagonal damages
    add up; above it layers hurt more together than apart.
    """
    told = _choose_part(sheet.part("additivity"), metric)
    if told is None:
        return None
    column, points = str(told["metric"]), [point for point in told["points"] if _is_point(point)]
    sums, joints = ([float(point[name]) for point in points] for name in ("sum", "joint"))
    ends = [min(*sums, *joints), max(*sums, *joints)]
    diagonal = line(
        x=ends,
        y=ends,
        mode="lines",
        name="damages add up",
        line={"color": PALETTES[theme].reference, "width": 2, "dash": "dash"},
        hoverinfo="skip",
    )
    floor = sheet.find_floor(column)
    floors = {} if floor is None or (floor <= 0 < ends[0]) else {column: floor}
    share, scale = _tell_share(told, points), scale_axis([*sums, *joints, *floors.values()])
    label = f"{MEASURES[column].label} ({MEASURES[column].unit or 'ratio'})"
    return draw(
        [*_draw_points(points, column, theme), diagonal, *draw_lines(floors, column, sums, joints, theme)],
        "Do damages add up?",
        theme,
        subtitle=escape(share),
        alt=f"The sum of single layers' damages against {count_of(len(points), 'joint measurement')}: {share}.",
        height=420,
        margin={"t": 90, "b": 60},
        xaxis={"title": {"text": f"Sum over layers alone, {label}"}, **scale},
        yaxis={"title": {"text": f"Measured together, {label}"}, **scale},
        showlegend=True,
    )


def _choose_part(part: Any, metric: str) -> Mapping[str, Any] | None:
    """What is told of the measure in view, else of the first one that has points; None where there is none."""
    others = part.get("others") if isinstance(part, Mapping) else None
    parts = [one for one in (part, *(others if isinstance(others, Sequence) else ())) if _has_points(one)]
    return next((one for one in parts if one["metric"] == metric), next(iter(parts), None))


def _has_points(part: Any) -> bool:
    points = part.get("points") if isinstance(part, Mapping) and part.get("metric") in MEASURES else None
    return isinstance(points, Sequence) and any(map(_is_point, points))


def _is_point(point: Any) -> bool:
    known = isinstance(point, Mapping) and all(type(point.get(name)) in (int, float) for name in ("sum", "joint"))
    return known and all(math.isfinite(point[name]) for name in ("sum", "joint"))


def _tell_share(told: Mapping[str, Any], points: Sequence[Mapping[str, Any]]) -> str:
    """How much of the damage only comes about together, with its interval, in words."""
    share, of = tell_share(told, "interaction_share"), f"{count_of(len(points), 'set')} of layers"
    return of if share == NOTHING else f"{of}; interaction share (together − sum) / together: {share}"


def _draw_points(points: Sequence[Mapping[str, Any]], column: str, theme: Theme) -> list[dict[str, Any]]:
    """One trace for each scheme and target."""
    colours, traces = PALETTES[theme].categories, []
    names = [_name(point) for point in points]
    for place, name in enumerate(dict.fromkeys(names)):
        own = [point for point, other in zip(points, names, strict=True) if other == name]
        traces.append(
            line(
                x=[float(point["sum"]) for point in own],
                y=[float(point["joint"]) for point in own],
                mode="markers",
                name=escape(name),
                marker={"size": 9, "color": colours[place % len(colours)], "symbol": _SYMBOLS[place % len(_SYMBOLS)]},
                text=[_tell_point(point, column) for point in own],
                hovertemplate="%{text}<extra>%{fullData.name}</extra>",
            )
        )
    return traces


def _name(point: Mapping[str, Any]) -> str:
    target = str(point.get("target", "weights"))
    return f"{point.get('scheme', 'together')}{'' if target == 'weights' else f', {target}'}"


def _tell_point(point: Mapping[str, Any], column: str) -> str:
    layers, choice = point.get("layers"), point.get("choice")
    of = [f"{layers} layers" if isinstance(layers, int) else "", str(choice) if isinstance(choice, str) else ""]
    figures = [
        f"{word} {tell_value(column, float(point[name]))}" for name, word in (("sum", "sum"), ("joint", "together"))
    ]
    ratio = tell_share(point, "ratio")
    lines = [escape(", ".join(filter(None, of))), *figures, "" if ratio == NOTHING else f"ratio {ratio}"]
    return "<br>".join(filter(None, lines))
