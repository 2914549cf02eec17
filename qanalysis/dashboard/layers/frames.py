"""What do the linked charts of page Layers hold? The map of all layers, and for each layer its charts at every width.

The map, the headlines and the families of schemes are one part; a layer under one family, at all its bit widths, is
another, made when a browser asks for it. Widths that were not swept are measured for that layer alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from qanalysis.charts.curves import error_curves, mark_point
from qanalysis.charts.heat_map import heat_map
from qanalysis.charts.linked.inside import draw_steps, tell_part
from qanalysis.charts.linked.recipes import write_curve, write_map
from qanalysis.charts.linked.scene import Panel, build_part
from qanalysis.checkpoints.source import CheckpointError, PickedSource
from qanalysis.dashboard.cache import Origin, Subject, get_uploads, identify, read_values
from qanalysis.dashboard.layers.cache import read_limits, read_profile
from qanalysis.dashboard.layers.shown import Family, Shown
from qanalysis.dashboard.linked import PARTS
from qanalysis.dashboard.sources import name_source, open_source
from qanalysis.dashboard.wording import name_controls
from qanalysis.diagnosis.profile import LayerProfile, profile_bits
from qanalysis.notation import escape
from qanalysis.notation import measure as tell
from qanalysis.quantizers.scheme import Scheme
from qanalysis.reports.summary import NOT_SWEPT, head_scheme, tell_source
from qanalysis.sweeps.row import METRICS, STATUS_WORDS, Row
from qanalysis.sweeps.sweep import sweep


def offer_scene(shown: Shown, names: tuple[str, ...], listed: tuple[str, ...]) -> str:
    """The address of the scene of a result: the map of the layers `listed`, and what leads to each layer of `names`.

    Everything is made when the browser asks for it. What leads to the layers is promised here, at every run of the
    page: a map that is held long after it was made would lead to promises that made room.
    """
    frames = [_offer_layers(shown, names, family) for family in shown.families]
    make = partial(_build_map, shown, names, listed, tuple(zip(shown.families, frames, strict=True)))
    key = (shown.result, shown.view.metric, listed, frames)
    return f"{PARTS.offer(('map', *key), lambda _index, _place: make())}/0"


def _build_map(
    shown: Shown, names: Sequence[str], listed: Sequence[str], families: Sequence[tuple[Family, str]]
) -> Mapping[str, Any]:
    """The part of the whole model: map, headlines, and families with the address that their layers lie under."""
    place = {tensor: index for index, tensor in enumerate(listed)}
    tensors = shown.rows.column("tensor").tolist()
    kept = sorted((index for index, tensor in enumerate(tensors) if tensor in place), key=lambda at: place[tensors[at]])
    rows = tuple(shown.rows.rows.take(np.array(kept, np.intp)))
    sizes = {tensor: row.numel for tensor, row in shown.firsts.items()}
    python = write_map(_name_source(shown), shown.rows.settings, shown.view.metric)
    return build_part(
        [[Panel("heat", heat_map(rows, shown.view.metric), kind="grid", python=python)]],
        layout="layers",
        order=["heat", "weights", "errors", "curves", "channels"],
        control={"label": "Bits in view", "unit": "bit"},
        under=" · ".join(escape(name_controls(line)) for line in tell_source(shown.rows)),
        layers={
            "names": list(names),
            "numel": [sizes.get(name, 0) for name in names],
            "listed": [
                at for at, name in sorted(enumerate(names), key=lambda pair: place.get(pair[1], -1)) if name in place
            ],
        },
        families=[
            {
                "name": family.name,
                "schemes": family.schemes,
                "steps": family.steps,
                "swept": [scheme in shown.schemes for scheme in family.schemes],
                "heads": [escape(head_scheme(shown.rows, scheme)) for scheme in family.schemes],
                "frames": frames,
            }
            for family, frames in families
        ],
    )


def _name_source(shown: Shown) -> str:
    """The source as a person's own script opens it."""
    return name_source(shown.request.source)


def _offer_layers(shown: Shown, names: tuple[str, ...], family: Family) -> str:
    """The address under which the layers lie, by their places in `names`, under one family."""
    view = shown.view
    key = (shown.result, names, family, view.metric, view.axis, view.limits, view.log, view.compared)
    return PARTS.offer(("layers", *key), partial(build_layer, shown, names, family))


def build_layer(
    shown: Shown, names: Sequence[str], family: Family, index: int, place: int | None = None
) -> Mapping[str, Any]:
    """The part of one layer under a family: its charts at every width, or at the one at `place` alone.

    A layer without figures has no chart, and a note that says why. IndexError for no such layer; CheckpointError where
    the file is not the one that was swept; raises what reading it raises.
    """
    tensor = names[index]
    # What stands in the way of a layer depends on the format and the grouping, not on the bits.
    row = next((row for row in shown.rows_of(tensor) if row.scheme in family.schemes), None)
    if row is None or row.status != "ok":
        return build_part([[]], note=_explain(row, tensor))
    texts = family.schemes if place is None else family.schemes[place : place + 1]
    subject = Subject(_find_origin(shown), tensor, texts[0], shown.request.axes)
    rows = _collect_rows(shown, subject, texts)
    profiles = _profile(subject, family, texts)
    curves = _draw_curves(shown, tensor)
    steps = draw_steps(
        profiles,
        source=_name_source(shown),
        numel=row.numel,
        log_counts=shown.view.log,
        curves=curves,
        marks=[_mark(shown, curves, rows[text], swept=text in shown.schemes) for text in texts],
    )
    told = [_tell(rows[text], shown) for text in texts]
    return build_part(steps, told=told, note=tell_part(profiles[0], row.numel))


def profile_widths(shown: Shown, tensor: str) -> Sequence[LayerProfile]:
    """A layer with figures under every scheme of the family in view: what its part at all widths is drawn from."""
    family = next(family for family in shown.families if shown.scheme in family.schemes)
    return _profile(shown.subject(tensor), family, family.schemes)


def _find_origin(shown: Shown) -> Origin:
    """The file that was swept; CheckpointError where another one lies in its place since."""
    swept = Origin(shown.request.source, shown.request.identity)
    if identify(swept.text) != swept:
        raise CheckpointError(f"{swept.text} has changed since it was swept; reload the page to sweep it again")
    return swept


def _collect_rows(shown: Shown, subject: Subject, texts: Sequence[str]) -> dict[str, Row]:
    """The layer's rows by scheme: those of the sweep, and for the others those that the engine measures now."""
    known = {row.scheme: row for row in shown.rows_of(subject.tensor) if row.scheme in texts}
    missing = [text for text in texts if text not in known]
    if not missing:
        return known
    with open_source(subject.origin.text, get_uploads()) as source:
        measured = sweep(PickedSource(source, [subject.info]), missing, roles="all")
    return known | {row.scheme: row for row in measured}


def _profile(subject: Subject, family: Family, texts: Sequence[str]) -> Sequence[LayerProfile]:
    """What the layer looks like under each of the schemes."""
    if len(texts) == 1:
        return [read_profile(subject)]
    axis, values = subject.info.view, read_values(subject.origin, subject.tensor)
    return profile_bits(values, Scheme.parse(texts[0]), family.steps or (), axis=axis, name=subject.tensor)


def _draw_curves(shown: Shown, tensor: str) -> Panel:
    """Error against bits of the layer and of those compared with it; the mark moves, the lines stay."""
    view = shown.view
    tensors = tuple(dict.fromkeys((tensor, *view.compared)))
    limits = None
    if view.limits and view.metric == "sqnr_db":
        try:
            limits = read_limits(Origin(shown.request.source, shown.request.identity), tensor)
        except (ValueError, TypeError):
            limits = None  # values without spread have no limits of their own
    rows = [row for name in tensors for row in shown.rows_of(name)]
    figure = error_curves(rows, tensors, view.metric, horizontal=view.axis, limits=limits)
    return Panel("curves", figure, write_curve(_name_source(shown), shown.rows.settings, tensor, view.metric))


def _mark(shown: Shown, curves: Panel, row: Row, *, swept: bool) -> Mapping[str, Any]:
    """What the mark on the curves adds to their figure at one width."""
    view = shown.view
    note = tell(getattr(row, view.metric), METRICS[view.metric].unit) + ("" if swept else f", {NOT_SWEPT}")
    return {"marks": mark_point(curves.figure, getattr(row, view.axis), note)}


def _tell(row: Row, shown: Shown) -> str:
    """The layer's SQNR as the slider says it."""
    swept = row.scheme in shown.schemes
    return tell(row.sqnr_db, "dB") + ("" if swept else f", {NOT_SWEPT}")


def _explain(row: Row | None, tensor: str) -> str:
    """Why a layer shows no charts: not swept yet, or its status with the row's own reason."""
    if row is None:
        return f"{tensor} is not in the rows shown; they change when the sweep is complete."
    reason = row.reason or STATUS_WORDS[row.status]
    way_out = "Choose another layer, or click one in the heat map."
    return f"{tensor} ({row.shape}, {row.dtype}) has no figures, its status is {row.status}: {reason}. {way_out}"
