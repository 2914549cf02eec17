"""What does a report show of one layer? Its charts from inside, linked by a slider where there are several widths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qanalysis.checkpoints.source import ARRAYS
from qanalysis.notation import escape
from qanalysis.notation import measure as tell
from qanalysis.reports.pictures import Chart, make_scene
from qanalysis.reports.summary import NOT_SWEPT, head_scheme
from qanalysis.sweeps.row import Row, Rows

if TYPE_CHECKING:
    from qanalysis.charts.linked.scene import Panel
    from qanalysis.diagnosis.profile import LayerProfile


def draw_layer(rows: Rows, profiles: Sequence[LayerProfile], scheme: str) -> Chart:
    """The charts of one layer, of which there is at least one profile; several are the steps of a slider.

    The slider starts at `scheme` where a profile has it, else at the first that was swept. Figures that the rows hold
    are those of the rows; a width that was not swept has the profile's own SQNR, and says so.
    """
    from qanalysis.charts.curves import mark_point
    from qanalysis.charts.linked.inside import PANELS, draw_steps, tell_part
    from qanalysis.charts.linked.scene import build_part

    name, texts = profiles[0].name, [str(profile.scheme) for profile in profiles]
    own = {row.scheme: row for row in rows if row.tensor == name}
    told = [_tell(profile, own.get(text)) for profile, text in zip(profiles, texts, strict=True)]
    curves = _draw_curves(rows, list(own.values()))
    widths = [profile.scheme.format.bits for profile in profiles]
    marks = [
        {"marks": mark_point(curves.figure, bits, words)} if curves else {}
        for bits, words in zip(widths, told, strict=True)
    ]
    numel = next(iter(own.values())).numel if own else 0
    steps = draw_steps(profiles, source=find_file(rows), numel=numel, curves=curves, marks=marks)
    caption = tell_part(profiles[0], numel)
    if len(profiles) == 1:
        return make_scene(f"{name} at {texts[0]}", caption, build_part(steps, layout="layer", order=PANELS))
    labels: Sequence[Any] = widths if len(set(widths)) == len(widths) else texts
    swept = set(rows.column("scheme"))
    part = build_part(
        steps,
        layout="layer",
        order=PANELS,
        heads=[escape(head_scheme(rows, text)) for text in texts],
        control={
            "label": "Bits in view" if labels is widths else "Scheme in view",
            "unit": "bit" if labels is widths else "",
            "steps": labels,
            "schemes": texts,
            "swept": [text in swept for text in texts],
            "told": told,
        },
    )
    caption = " ".join(filter(None, ["Move the slider through the bit widths.", caption]))
    wanted = scheme if scheme in texts else next((text for text in texts if text in swept), texts[0])
    start = labels[texts.index(wanted)]
    return make_scene(f"{name} at every width", caption, part, step=start)


def _tell(profile: LayerProfile, row: Row | None) -> str:
    """The layer's SQNR as the slider says it."""
    return tell(row.sqnr_db, "dB") if row is not None else f"{tell(profile.sqnr_db, 'dB')}, {NOT_SWEPT}"


def _draw_curves(rows: Rows, own: Sequence[Row]) -> Panel | None:
    """SQNR against bits of the layer whose rows are given; None where no row has a figure."""
    from qanalysis.charts.curves import error_curves
    from qanalysis.charts.linked.recipes import write_curve
    from qanalysis.charts.linked.scene import Panel

    measured = [row for row in own if row.sqnr_db is not None]
    if not measured:
        return None
    name, source = measured[0].tensor, find_file(rows)
    python = write_curve(source, rows.settings, name, "sqnr_db") if source else ""
    return Panel("curves", error_curves(measured, [name], "sqnr_db"), python)


def find_file(rows: Rows) -> str:
    """What opens the checkpoint of a sweep; "" where no file is known, as of arrays, and of rows read from a CSV."""
    path = rows.source.path
    return path if path != ARRAYS and isinstance(rows.settings.get("schemes"), list | tuple) else ""
