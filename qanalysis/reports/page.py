"""One HTML file that answers for itself: headline, sections, charts, every row, definitions, provenance.

It opens without a network: styles, scripts, charts and rows are inside. Names from the input reach the page as escaped
text, or inside compressed data that the script only ever shows as text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from qanalysis.notation import escape
from qanalysis.reports.common_sections import tell_provenance
from qanalysis.reports.every_row import (
    choose_first,
    fits_as_columns,
    is_plain,
    order_leaving_out,
    pack_columns,
    pack_document,
)
from qanalysis.reports.kinds import draw, outline
from qanalysis.reports.pictures import Chart, pack_drawing, pack_json, read_drawing
from qanalysis.results.document import kind_of, write_document
from qanalysis.results.table import Table

if TYPE_CHECKING:
    from qanalysis.diagnosis.findings import Diagnosis
    from qanalysis.diagnosis.profile import LayerProfile

SIZE_LIMIT = 6_000_000


def render_page(
    table: Table[Any],
    *,
    title: str | None = None,
    scheme: str | None = None,
    profiles: Sequence[LayerProfile] = (),
    diagnoses: Sequence[Diagnosis] = (),
    charts: Sequence[Chart] = (),
    created: datetime,
    limit: int = SIZE_LIMIT,
) -> str:
    """The page as text, at most `limit` bytes in UTF-8; columns are left out, in a stated order, where all would be too
    large.

    `scheme`, `profiles` and `diagnoses` are of a sweep: the scheme of the headline and of the worst layers; profiles of
    one layer at several bit widths become one scene with a slider. Raises ValueError for an unknown scheme, for no
    rows, and for more rows than fit.
    """
    told = outline(table, title=title, scheme=scheme, profiles=profiles, diagnoses=diagnoses)
    drawn = [*draw(table, scheme=scheme, profiles=profiles), *charts]
    modules, styles = read_drawing()
    context = {
        "told": told,
        "sections": [*told.lead, *told.rest],
        "kind": kind_of(table),
        "created": created.isoformat(sep=" ", timespec="minutes"),
        "file_name": re.sub(r"[^\w.-]+", "-", table.source.path if table.source else "result")
        + f"-{kind_of(table).schema}",
        "count": len(table),
        "charts": drawn,
        "drawing": pack_drawing() if drawn else None,
        "modules": modules,
        "styles": styles,
        "provenance": tell_provenance(table, created),
        "columns": None,
        "document": None,
    }
    if not fits_as_columns(table):
        packed, left_out = pack_document(table, created=created)
        return _render({**context, "document": packed, "left_out": left_out})
    context |= {
        "facts": {column.name: column for column in table.columns},
        "first": choose_first(table),
        "head": pack_json(write_document(replace(table, rows=table.rows[:0]), created=created)),
    }
    bare = _render(
        {
            **context,
            "columns": {column.name: "" for column in table.columns if is_plain(column)},
            "left_out": order_leaving_out(table.columns),
        }
    )
    columns, left_out = pack_columns(table.rows, limit=limit - len(bare.encode()))
    return _render({**context, "columns": columns, "left_out": left_out})


def _render(context: dict[str, Any]) -> str:
    """The template with everything from the input escaped; an unknown name in it raises UndefinedError."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("qanalysis.reports")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["clean"] = escape
    environment.filters["kind"] = lambda block: type(block).__name__
    return environment.get_template("page.html").render(context)
