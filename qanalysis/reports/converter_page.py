"""One HTML file about a converter or a record: every figure with its convention, what stands out, charts, limits, provenance.

It opens without a network, and every text from the input is escaped.
"""

from __future__ import annotations

import base64
import json
import platform
import re
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from qanalysis.converters.lines import LineTable
from qanalysis.converters.rows import ConverterRows
from qanalysis.converters.textbook.row import TextbookRow, list_input_tables
from qanalysis.reports.converter_figures import LIMIT_COLUMNS, describe_subject, list_limit_lines

if TYPE_CHECKING:
    from qanalysis.reports.page import Chart


MOST_TAKEN_ALONG = 3_000_000  # characters: charts take as much, and both together open at once


def render_converter_page(rows: ConverterRows, *, charts: Sequence[Chart] = (), created: datetime) -> str:
    """The page as text; of a document too large to be taken along, the lists by code are left out, and the page says so."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from qanalysis.reports.converter_files import describe_rows
    from qanalysis.reports.page import pack_plotly

    first = rows.rows[0]
    document, left_out = _pack_document(describe_rows(rows, created=created))
    environment = Environment(loader=PackageLoader("qanalysis"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template("converter.html").render(
        rows=rows,
        created=created.isoformat(sep=" ", timespec="minutes"),
        title=describe_subject(rows),
        headline=first.headline,
        figures=[(figure.label, figure.text, figure.convention) for figure in first.lines],
        findings=[finding for row in rows.rows for finding in row.findings],
        charts=charts,
        parts=_list_parts(rows),
        working=first.working if isinstance(first, TextbookRow) else (),
        provenance=_list_provenance(rows, created),
        file_name=re.sub(r"[^\w.-]+", "-", rows.source.path if rows.source else "converter") + f"-{rows.command}",
        document=document,
        left_out=left_out,
        plotly=pack_plotly() if charts else "",
    )


def _pack_document(document: dict[str, Any]) -> tuple[str, list[str]]:
    """The document in base64, and the columns left out of it."""
    left_out = []
    packed = _to_base64(document)
    if len(packed) > MOST_TAKEN_ALONG:
        left_out = [name for name, value in document["rows"][0].items() if name.endswith("_lsb") and isinstance(value, list)]
        packed = _to_base64({**document, "rows": [{name: value for name, value in row.items() if name not in left_out} for row in document["rows"]]})
    return packed, left_out


def _to_base64(document: dict[str, Any]) -> str:
    return base64.b64encode(json.dumps(document, allow_nan=False, separators=(",", ":")).encode()).decode()


def _list_parts(rows: ConverterRows) -> list[LineTable]:
    """Tables beside the figures: limits, inputs of a textbook problem, harmonics of a record, missing codes."""
    solved = [row for row in rows.rows if isinstance(row, TextbookRow)]
    own = list_input_tables(solved) if solved else rows.rows[0].tables
    return [*([LineTable("Limits", LIMIT_COLUMNS, list_limit_lines(rows.limits))] if rows.limits else []), *own]


def _list_provenance(rows: ConverterRows, created: datetime) -> list[tuple[str, str]]:
    source = rows.source
    facts = [("Input", source.path), ("Input size", f"{source.size:,} B"), ("Input digest", str(source.digest))] if source else []
    made_with = ", ".join([f"{name} {version(name)}" for name in ("qanalysis", "numpy", "scipy")] + [f"Python {platform.python_version()}"])
    facts += [("Made", created.isoformat(timespec="seconds")), ("Made with", made_with)]
    return facts + [
        (f"Setting {name}", ", ".join(map(str, value)) if isinstance(value, list) else str(value)) for name, value in rows.settings.items() if value is not None
    ]
