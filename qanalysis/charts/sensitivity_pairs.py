"""Do two measures rank layers alike? Every layer by two of its figures, and how far their ranks agree, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qanalysis.charts.drawing import Drawing, draw, line
from qanalysis.charts.palette import PALETTES, Theme
from qanalysis.charts.sensitivity_bars import name_axis
from qanalysis.charts.sensitivity_sheet import MEASURES, OUTPUTS, USUAL, Look, Sheet, is_logarithmic, tell_value
from qanalysis.charts.wording import count_of, escape
from qanalysis.models.sensitivity.row import SensitivityRow
from qanalysis.notation import NOTHING, shorten, signed

#: Measures that rank layers as the usual one does, being the same figure otherwise written.
_SAME = {"output_relative_l2": USUAL, "output_nsr": USUAL}


def measure_pairs(sheet: Sheet, look: Look, other: str, *, theme: Theme = "light") -> Drawing | None:
    """Every layer of a measurement by two of its figures, the measure in view upwards; None where no layer has both.

    Dashed lines are the loudest layer's noise floor in either measure; layers that do not stand above their own noise
    are hollow. The subtitle tells how far the ranks agree, with intervals. A click on a point chooses its layer.
    """
    own = look.metric
    rows = [row for row in sheet.choose(look) if None not in (getattr(row, own), getattr(row, other))]
    if not rows or own == other:
        return None
    across, up = ([float(getattr(row, name)) for row in rows] for name in (other, own))
    floors = {name: floor for name in (own, other) if (floor := sheet.find_floor(name)) is not None}
    title, agreed = f"{MEASURES[own].label} against {MEASURES[other].label}", tell_agreement(sheet, look, other)
    extent = f"{count_of(len(rows), 'layer')}, {look.convention}"
    return draw(
        [
            *_draw_points(sheet, rows, (other, own), theme),
            *_ring_layer(rows, across, up, look, theme),
            *draw_lines(floors, own, across, up, theme),
        ],
        title,
        theme,
        subtitle=escape(agreed or extent),
        alt=f"{title}, {extent}.{f' {agreed}.' if agreed else ''}",
        height=420,
        margin={"t": 90, "b": 60},
        xaxis={"title": {"text": name_axis(other)}, **scale_axis([*across, *_take(floors, other)])},
        yaxis={"title": {"text": name_axis(own)}, **scale_axis([*up, *_take(floors, own)])},
        showlegend=True,
    )


def _take(floors: Mapping[str, float], name: str) -> list[float]:
    return [floors[name]] if name in floors else []


def scale_axis(values: Sequence[float]) -> dict[str, str]:
    """The kind of an axis that holds these figures: logarithmic where they lie far apart."""
    return {"type": "log"} if is_logarithmic(values) else {}


def _draw_points(
    sheet: Sheet, rows: Sequence[SensitivityRow], names: tuple[str, str], theme: Theme
) -> list[dict[str, Any]]:
    """A point for each layer, in two traces: those that stand above the noise, and hollow ones."""
    colours, traces = PALETTES[theme], []
    noisy = [any(sheet.is_in_noise(row, name) for name in names if name in OUTPUTS) for row in rows]
    for hollow in (False, True):
        own = [row for row, in_noise in zip(rows, noisy, strict=True) if in_noise == hollow]
        if not own:
            continue
        across, up = ([float(getattr(row, name)) for row in own] for name in names)
        told = [[f"{MEASURES[name].label} {tell_value(name, getattr(row, name))}" for name in names] for row in own]
        edge = {"width": 2, "color": colours.kept} if hollow else {"width": 1, "color": colours.background}
        traces.append(
            line(
                x=across,
                y=up,
                mode="markers",
                name="not above the noise" if hollow else "layers",
                marker={
                    "size": 9,
                    "symbol": "circle-open" if hollow else "circle",
                    "color": colours.kept,
                    "line": edge,
                },
                customdata=[[row.tensor, row.scheme] for row in own],
                text=[f"<b>{escape(shorten(row.tensor, 60))}</b>" for row in own],
                hovertext=[f"{y}<br>{x}" for x, y in told],
                hovertemplate="%{text}<br>%{hovertext}<extra></extra>",
            )
        )
    return traces


def _ring_layer(
    rows: Sequence[SensitivityRow], across: Sequence[float], up: Sequence[float], look: Look, theme: Theme
) -> list[dict[str, Any]]:
    """A ring with its name around the layer in view."""
    place = next((place for place, row in enumerate(rows) if row.tensor == look.layer), None)
    if place is None:
        return []
    ring = {"size": 17, "symbol": "circle-open", "color": PALETTES[theme].text, "line": {"width": 2}}
    name = escape(shorten(rows[place].tensor, 28))
    return [line(x=[across[place]], y=[up[place]], mode="markers", marker=ring, name=name, hoverinfo="skip")]


def draw_lines(
    floors: Mapping[str, float], upwards: str, across: Sequence[float], up: Sequence[float], theme: Theme
) -> list[dict[str, Any]]:
    """The loudest noise floors as lines over the points: across for the measure `upwards`, upright for another one."""
    traces = []
    for name, floor in floors.items():
        told = f"loudest noise floor {tell_value(name, floor)}"
        low, high = (min(across), max(across)) if name == upwards else (min(up), max(up))
        ends = [low, high] if high > low else [0.98 * low, 1.02 * low or 1.0]
        x, y = (ends, [floor] * 2) if name == upwards else ([floor] * 2, ends)
        pen = {"color": PALETTES[theme].clipped, "width": 2, "dash": "dash" if name == upwards else "dot"}
        traces.append(line(x=x, y=y, mode="lines", name=told, line=pen, hovertemplate=f"{told}<extra></extra>"))
    return traces


def find_agreement(sheet: Sheet, look: Look, other: str) -> Mapping[str, Any] | None:
    """What the document says of two measures of each layer alone, in either order; None where it says nothing."""
    found = sheet.table.more.get("agreement")
    wanted = {_SAME.get(name, name) for name in (look.metric, other)}
    for entry in found if isinstance(found, Sequence) and look.mode == "enable-one" else ():
        if not isinstance(entry, Mapping) or {entry.get("a"), entry.get("b")} != wanted:
            continue
        if entry.get("scheme") == look.scheme and entry.get("target", look.target) == look.target:
            return dict(entry)
    return None


def tell_agreement(sheet: Sheet, look: Look, other: str) -> str:
    """How far two measures rank the layers alike, in words with 95 % intervals; "" where the document does not say.

    A rank agreement of 1 is the same order, 0 is none, −1 the reverse.
    """
    found = find_agreement(sheet, look, other)
    if found is None:
        return ""
    parts = [f"{label} {tell_share(found, name)}" for name, label in (("spearman", "Spearman"), ("kendall", "Kendall"))]
    layers = found.get("layers")
    of = f" over {layers} layers" if isinstance(layers, int) else ""
    over = found.get("over")
    drawn = f" (95 % with {over} drawn anew)" if isinstance(over, str) else ""
    return f"Rank agreement{of}: {', '.join(parts)}{drawn}"


def tell_share(found: Mapping[str, Any], name: str) -> str:
    """A figure of a part of the document with its interval, two decimals; a dash for none.

    >>> tell_share({"kendall": -0.5, "kendall_low": -1.0, "kendall_high": 0.25}, "kendall")
    '−0.50 [−1.00, 0.25]'
    """
    value, low, high = (found.get(key) for key in (name, f"{name}_low", f"{name}_high"))
    if not isinstance(value, int | float):
        return NOTHING
    known = isinstance(low, int | float) and isinstance(high, int | float)
    ends = f" [{signed(float(low or 0), '.2f')}, {signed(float(high or 0), '.2f')}]" if known else ""
    return f"{signed(value, '.2f')}{ends}"
