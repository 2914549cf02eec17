"""What do the linked charts of page Layers hold? The map of all layers, and for each layer its charts at every width.

The map, the headlines and the families of schemes are one part; a layer under one family, at all its bit widths, is
another, made when a browser asks for it. Widths that were not swept are measured for that layer alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from qanalysis.charts.channel_charts import draw_channels
from qanalysis.charts.curves import error_curves, mark_point
from qanalysis.charts.heat_map import heat_map
from qanalysis.charts.layer_axes import LayerAxes
from qanalysis.charts.layer_charts import draw_errors, draw_weights
from qanalysis.charts.linked.scene import Panel, build_part
from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.source import SAMPLE_PREFIX
from qanalysis.dashboard.cache import Origin, Subject, channel_axis, get_uploads, read_values
from qanalysis.dashboard.layers.cache import read_limits, read_profile
from qanalysis.dashboard.layers.shown import Shown
from qanalysis.dashboard.layers.view import INTEGERS, family_of, format_of
from qanalysis.dashboard.linked import PARTS
from qanalysis.dashboard.sources import locate_source
from qanalysis.diagnosis.profile import LayerProfile, profile_bits
from qanalysis.notation import count
from qanalysis.notation import measure as tell
from qanalysis.quantizers.families import FEWEST_BITS, MOST_BITS
from qanalysis.quantizers.scheme import Scheme
from qanalysis.reports.summary import headline
from qanalysis.sweeps.row import METRICS, STATUS_WORDS, Row
from qanalysis.sweeps.sweep import sweep

WIDTHS = range(FEWEST_BITS, MOST_BITS + 1)
NOT_SWEPT = "not in the sweep"


@dataclass(frozen=True, slots=True)
class Family:
    """Schemes that differ in their bits alone: the integers under one grouping, symmetry and range; or one format.

    `schemes` are canonical texts, from few bits to many; `steps` their widths, None for a format without widths.
    """

    name: str
    schemes: tuple[str, ...]
    steps: tuple[int, ...] | None


def list_families(schemes: Sequence[str]) -> list[Family]:
    """The families of swept schemes in the order of the sweep; of the integers every width, swept or not.

    >>> [(family.name, len(family.schemes)) for family in list_families(["int4 channel", "int8 channel", "mxfp4"])]
    [('channel', 15), ('mxfp4', 1)]
    """
    found: dict[str, Family] = {}
    for scheme in map(Scheme.parse, schemes):
        if format_of(scheme) == INTEGERS:
            name = family_of(scheme)
            texts = tuple(str(Scheme.parse(f"int{bits} {name}")) for bits in WIDTHS)
            found.setdefault(name, Family(name, texts, tuple(WIDTHS)))
        else:
            found[str(scheme)] = Family(str(scheme), (str(scheme),), None)
    return list(found.values())


def offer_scene(shown: Shown, names: tuple[str, ...], listed: tuple[str, ...]) -> str:
    """The address of the scene of a result: the map of the layers `listed`, and what leads to each layer of `names`.

    Everything is made when the browser asks for it.
    """
    view, result = shown.view, shown.result
    key = (result, names, view.metric, listed)
    return f"{PARTS.offer(('map', *key), lambda _index, _place: _build_map(shown, names, listed))}/0"


def _build_map(shown: Shown, names: Sequence[str], listed: Sequence[str]) -> Mapping[str, Any]:
    """The part of the whole model: map, headlines, families."""
    place = {tensor: index for index, tensor in enumerate(listed)}
    tensors = shown.rows.column("tensor").tolist()
    kept = sorted((index for index, tensor in enumerate(tensors) if tensor in place), key=lambda at: place[tensors[at]])
    rows = tuple(shown.rows.rows.take(np.array(kept, np.intp)))
    swept = dict.fromkeys(shown.rows.column("scheme").tolist())
    sizes = {tensor: row.numel for tensor, row in shown.firsts.items()}
    families = list_families(tuple(swept))
    return build_part(
        [[Panel("heat", heat_map(rows, shown.view.metric), kind="grid", python=_write_map(shown))]],
        layout="layers",
        order=["heat", "weights", "errors", "curves", "channels"],
        control={"label": "Bits in view", "unit": "bit"},
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
                "swept": [scheme in swept for scheme in family.schemes],
                "heads": [_head(shown, scheme, swept) for scheme in family.schemes],
                "frames": _offer_layers(shown, tuple(names), family),
            }
            for family in families
        ],
    )


def _head(shown: Shown, scheme: str, swept: Mapping[str, None]) -> str:
    """The model in one sentence under a scheme; of one that was not swept, that it was not."""
    if scheme in swept:
        return headline(shown.rows, scheme)
    name = shown.rows.source.path.removeprefix(SAMPLE_PREFIX)
    return f"{name} at {scheme}: {NOT_SWEPT}, measured for the layer in view alone"


def _write_map(shown: Shown) -> str:
    """The lines of Python that make the values of the map."""
    table = f"rows.to_pandas().pivot(index='tensor', columns='scheme', values={shown.view.metric!r})"
    return f"{_write_sweep(shown)}\nvalues = {table}"


def _write_sweep(shown: Shown) -> str:
    """The lines of Python that make the rows of the map."""
    request = shown.request
    options = [f"    schemes={list(request.schemes)!r},"]
    options += [f"    include={request.include!r},"] if request.include else []
    options += [f"    exclude={request.exclude!r},"] if request.exclude else []
    lines = [
        "from qanalysis import open_checkpoint, sweep",
        "",
        f"with open_checkpoint({request.source!r}) as source:",
        "    rows = sweep(",
        "        source,",
        *(f"    {line}" for line in options),
        f"        weights_only={request.weights_only},",
        "    )",
    ]
    return "\n".join(lines)


def _offer_layers(shown: Shown, names: tuple[str, ...], family: Family) -> str:
    """The address under which the layers lie, by their places in `names`, under one family."""
    view = shown.view
    key = (shown.result, names, family, view.metric, view.axis, view.limits, view.log, view.compared)
    return PARTS.offer(("layers", *key), partial(build_layer, shown, names, family))


def build_layer(
    shown: Shown, names: Sequence[str], family: Family, index: int, place: int | None = None
) -> Mapping[str, Any]:
    """The part of one layer under a family: its charts at every width, or at the one at `place` alone.

    A layer without figures has no chart, and a note that says why. IndexError for no such layer; raises what reading it
    raises.
    """
    tensor = names[index]
    row = shown.firsts.get(tensor)
    if row is None or row.status != "ok":
        return build_part([[]], note=_explain(row, tensor))
    texts = family.schemes if place is None else family.schemes[place : place + 1]
    subject = Subject(Origin(shown.request.source, shown.request.identity), tensor, texts[0])
    rows = _collect_rows(shown, subject, texts)
    profiles = _profile(subject, family, texts)
    axes = LayerAxes.over(profiles)
    curves = _draw_curves(shown, tensor)
    steps = [
        [
            *_draw_inside(shown, profile, axes),
            replace(curves, changes=_mark(shown, curves, rows[text], swept=text in shown.schemes)),
        ]
        for profile, text in zip(profiles, texts, strict=True)
    ]
    told = [_tell(rows[text], shown) for text in texts]
    note = ""
    if profiles[0].count + profiles[0].non_finite < row.numel:
        part = f"{count(profiles[0].count)} of {count(row.numel)} values"
        note = f"Histograms from the first {part}; the tables count all of them."
    return build_part(steps, told=told, note=note)


def _collect_rows(shown: Shown, subject: Subject, texts: Sequence[str]) -> dict[str, Row]:
    """The layer's rows by scheme: those of the sweep, and for the others those that the engine measures now."""
    known = {row.scheme: row for row in shown.rows_of(subject.tensor) if row.scheme in texts}
    missing = [text for text in texts if text not in known]
    if not missing:
        return known
    with open_checkpoint(locate_source(subject.origin.text, get_uploads())) as source:
        info = next(info for info in source.tensors if info.name == subject.tensor)
        measured = sweep({info.name: source.read(info)}, missing)
    return known | {row.scheme: row for row in measured}


def _profile(subject: Subject, family: Family, texts: Sequence[str]) -> Sequence[LayerProfile]:
    """What the layer looks like under each of the schemes."""
    if len(texts) == 1:
        return [read_profile(subject)]
    axis, values = channel_axis(subject.origin, subject.tensor), read_values(subject.origin, subject.tensor)
    return profile_bits(values, Scheme.parse(texts[0]), family.steps or (), axis=axis, name=subject.tensor)


def _draw_inside(shown: Shown, profile: LayerProfile, axes: LayerAxes) -> list[Panel]:
    """The charts of a layer from inside, under one scheme."""
    python = "\n".join(
        [
            "from qanalysis import Scheme, open_checkpoint",
            "from qanalysis.diagnosis.profile import profile_layer",
            "",
            f"with open_checkpoint({shown.request.source!r}) as source:",
            f"    info = next(info for info in source.tensors if info.name == {profile.name!r})",
            "    values = source.read(info)",
            f"profile = profile_layer(values, Scheme.parse({str(profile.scheme)!r}), axis=info.channel_axis)",
        ]
    )
    weights = draw_weights(profile, axes, log_counts=shown.view.log)
    return [
        Panel("weights", weights, f"{python}\ncounts = profile.weights.counts"),
        Panel("errors", draw_errors(profile, axes), f"{python}\ncounts = profile.error_in_steps.counts"),
        Panel("channels", draw_channels(profile, axes), f"{python}\nshares = profile.channel_share"),
    ]


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
    chosen = f"[['scheme', 'bits', 'bits_per_weight', {view.metric!r}]]"
    python = f"curve = frame[frame['tensor'] == {tensor!r}]{chosen}"
    return Panel("curves", figure, f"{_write_sweep(shown)}\nframe = rows.to_pandas()\n{python}")


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
