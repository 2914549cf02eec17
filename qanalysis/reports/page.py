"""One HTML file that answers for itself: headline, totals, charts, worst layers, every row, definitions, provenance.

It opens without a network: styles, scripts, charts and rows are inside. Names from the input reach the page as escaped text, or
inside compressed data that the script only ever shows as text.
"""

from __future__ import annotations

import base64
import json
import math
import pkgutil
import platform
import re
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache, partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from qanalysis.reports.definitions import DEFINITIONS, STATUS_WORDS
from qanalysis.reports.packing import LEAVE_OUT_ORDER, pack_columns, pack_json
from qanalysis.reports.summary import choose_scheme, find_worst_channel, format_bytes, format_db, headline, select_worst
from qanalysis.results.document import write_document
from qanalysis.sweeps.row import COLUMNS, Row, Rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from plotly.graph_objects import Figure

    from qanalysis.diagnosis import Diagnosis
    from qanalysis.diagnosis.profile import LayerProfile

SIZE_LIMIT = 6_000_000
CURVE_LAYERS = 3
UNMEASURED_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Chart:
    """One figure of the page: packed for both themes, with a heading, a sentence for those who do not see it, a caption."""

    heading: str
    caption: str
    alt: str
    light: str
    dark: str
    half: bool


def render_page(
    rows: Rows,
    *,
    title: str | None = None,
    scheme: str | None = None,
    profiles: Sequence[LayerProfile] = (),
    diagnoses: Sequence[Diagnosis] = (),
    created: datetime,
    limit: int = SIZE_LIMIT,
) -> str:
    """The page as text, at most `limit` bytes in UTF-8; columns are left out, in a stated order, where all would be too large.

    `scheme` is the one of the headline and of the worst layers. Profiles of one layer at several bit widths become one chart with a
    slider. Raises ValueError for an unknown scheme, for no rows, and for
    more rows than fit.
    """
    chosen = scheme or choose_scheme(rows)
    sentence = headline(rows, chosen, worst_channel=find_worst_channel(rows, chosen, profiles))
    context = {
        "created": created.isoformat(sep=" ", timespec="minutes"),
        "file_name": re.sub(r"[^\w.-]+", "-", rows.source.path) + "-rows",
        "text_columns": [name for name, one in DEFINITIONS.items() if one.kind == "text"],
        "full_bar_db": max((row.sqnr_db for row in rows.totals or rows if row.sqnr_db is not None and math.isfinite(row.sqnr_db)), default=1.0),
        "title": title or f"Quantization error of {rows.source.path.removeprefix('sample:')}",
        "headline": sentence,
        "scheme": chosen,
        "rows": rows,
        "tiles": _list_tiles(rows, chosen),
        "charts": _draw_charts(rows, chosen, profiles),
        "worst": select_worst(rows, chosen),
        "diagnoses": [(found, _largest_gain(found)) for found in diagnoses],
        "unmeasured": _list_unmeasured(rows),
        "definitions": DEFINITIONS,
        "status_words": STATUS_WORDS,
        "provenance": _list_provenance(rows, created),
        "head": pack_json(write_document(replace(rows, rows=rows.rows[:0]), created=created)),
        "plotly": pack_plotly(),
    }
    bare = _render({**context, "columns": dict.fromkeys(COLUMNS, ""), "left_out": list(LEAVE_OUT_ORDER)})
    columns, left_out = pack_columns(rows.rows, limit=limit - len(bare.encode()))
    return _render({**context, "columns": columns, "left_out": left_out})


def _render(context: dict[str, Any]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(loader=PackageLoader("qanalysis"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(db=format_db, size=format_bytes, percent=_format_percent, share=_share, signed=_format_signed)
    return environment.get_template("report.html").render(context)


def _draw_charts(rows: Rows, scheme: str, profiles: Sequence[LayerProfile]) -> list[Chart]:
    from qanalysis import charts

    worst = [row.tensor for row in select_worst(rows, scheme, count=CURVE_LAYERS)]
    drawn = []
    if any(row.sqnr_db is not None for row in rows):
        drawn.append(
            make_chart("Every layer under every scheme", "Bright is good; a cell tells its figure on hover.", partial(charts.heat_map, rows.rows, "sqnr_db"))
        )
    if worst:
        caption = f"The {len(worst)} worst layers at {scheme}, beside what theory allows."
        drawn.append(make_chart("Error against bits", caption, partial(charts.error_curves, rows.rows, worst, "sqnr_db")))
    for name in dict.fromkeys(profile.name for profile in profiles):
        drawn += _draw_layer([profile for profile in profiles if profile.name == name], scheme)
    return drawn


def _draw_layer(profiles: Sequence[LayerProfile], scheme: str) -> list[Chart]:
    from qanalysis import charts

    name = profiles[0].name
    if len(profiles) > 1:
        bits = next((profile.scheme.format.bits for profile in profiles if str(profile.scheme) == scheme), None)
        caption = "Move the slider through the bit widths."
        return [make_chart(f"Weights and error of {name}", caption, partial(charts.scrub, profiles, bits=bits))]
    return [
        make_chart(f"Weights of {name}", "", partial(charts.weight_histogram, profiles[0]), half=True),
        make_chart(f"Error of {name}", "", partial(charts.error_histogram, profiles[0]), half=True),
    ]


def make_chart(heading: str, caption: str, draw: Callable[..., Figure], *, half: bool = False) -> Chart:
    """A figure for both themes; `draw` takes the theme. Its sentence for those who do not see it comes from the figure itself."""
    light, dark = draw(theme="light"), draw(theme="dark")
    alt = str((light.layout.meta or {}).get("alt", heading))
    packed = [pack_json(json.loads(figure.to_json())) for figure in (light, dark)]
    return Chart(heading, caption, alt, packed[0], packed[1], half)


def _list_tiles(rows: Rows, scheme: str) -> list[tuple[str, str, str]]:
    """Label, figure, remark."""
    of_scheme = [row for row in rows if row.scheme == scheme]
    measured = sum(row.status == "ok" for row in of_scheme)
    tiles = [("Tensors", f"{measured:,}", f"of {len(of_scheme):,} measured")]
    total = next((row for row in rows.totals if row.scheme == scheme), None)
    if total is not None:
        bits = "–" if total.bits_per_weight is None else f"{total.bits_per_weight:.4g}"
        tiles += [
            ("Values", f"{total.numel:,}", "in measured tensors"),
            ("Pooled SQNR", format_db(total.sqnr_db), f"at {scheme}"),
            ("Bits per weight", bits, "scales included"),
            ("Size", format_bytes(total.size_bytes), f"input {format_bytes(rows.source.size)}"),
        ]
    worst = select_worst(rows, scheme, count=1)
    return tiles + [("Worst tensor", format_db(row.sqnr_db), row.tensor) for row in worst]


def _list_unmeasured(rows: Rows) -> list[Row]:
    """One row per tensor and status that has no figures, the first of the file first."""
    return list({(row.tensor, row.status): row for row in reversed(rows.rows) if row.status != "ok"}.values())[::-1][:UNMEASURED_SHOWN]


def _list_provenance(rows: Rows, created: datetime) -> list[tuple[str, str]]:
    packages = ["qanalysis", "numpy", "plotly", *(name for name in ("torch",) if name in sys.modules)]
    made_with = ", ".join([f"{name} {version(name)}" for name in packages] + [f"Python {platform.python_version()}"])
    settings = {key: value for key, value in rows.settings.items() if key != "created" and value is not None}
    facts = [
        ("Input", rows.source.path),
        ("Input size", f"{rows.source.size:,} B"),
        ("Input digest", rows.source.digest or "not taken: the sweep was cancelled"),
        ("Rows", f"{len(rows):,}" + ("" if rows.complete else ", partial: the sweep was cancelled")),
        ("Swept", str(rows.settings.get("created", created.isoformat(timespec="seconds")))),
        ("Report made", created.isoformat(timespec="seconds")),
        ("Made with", made_with),
    ]
    return facts + [(f"Setting {key}", ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)) for key, value in settings.items()]


@cache
def pack_plotly() -> str:
    """The script that draws figures, packed."""
    script = pkgutil.get_data("plotly", "package_data/plotly.min.js")
    return base64.b64encode(zlib.compress(script or b"", 9)).decode()


def _format_percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.3g} %"


def _format_signed(value: float) -> str:
    return f"{value:+.2f}".replace("inf", "∞").replace("-", "−")


def _largest_gain(found: Diagnosis) -> float:
    """Decibels of a full bar."""
    return max((cure.gain_db for cure in found.cures if math.isfinite(cure.gain_db)), default=0.0)


def _share(value: float | None, whole: float) -> int:
    """Length of a bar in percent."""
    return 0 if value is None or whole <= 0 else round(100 * min(1.0, max(0.0, value / whole)))
