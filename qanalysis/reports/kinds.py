"""Which results are there, and how is each told? One line per kind: row type, class of its table, outline.

Kinds stand here by name, so that a command loads the rooms of its own result and no others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from qanalysis.reports.list_sections import outline_plain
from qanalysis.reports.outline import Outline
from qanalysis.reports.pictures import Chart
from qanalysis.results.table import Table


@dataclass(frozen=True, slots=True)
class _Kind:
    """Names below the package: of the row type, of the function that tells a table of it, of the table's class, and of
    the function that draws its charts.
    """

    row: str
    outline: str
    table: str = "results.table.Table"
    charts: str = ""


# Files that name no command are of the first kind.
_ALL = (
    _Kind(
        "sweeps.row.Row",
        "reports.sweep_sections.outline_sweep",
        table="sweeps.row.Rows",
        charts="reports.sweep_sections.draw_sweep",
    ),
    _Kind("converters.spectrum.row.RecordRow", "reports.converter_sections.outline_converter"),
    _Kind("converters.linearity.row.LinearityRow", "reports.converter_sections.outline_converter"),
    _Kind("converters.textbook.row.TextbookRow", "reports.converter_sections.outline_converter"),
    _Kind("checkpoints.inventory.TensorRow", "reports.list_sections.outline_tensors"),
    _Kind("validation.table.CheckRow", "reports.list_sections.outline_checks"),
    _Kind(
        "models.forms.row.FormRow", "reports.forms_sections.outline_forms", charts="reports.forms_sections.draw_forms"
    ),
    _Kind(
        "models.sensitivity.row.SensitivityRow",
        "reports.sensitivity_sections.outline_sensitivity",
        charts="reports.sensitivity_charts.draw_sensitivity",
    ),
    _Kind(
        "plans.row.PlanRow",
        "reports.plan_sections.outline_plan",
        table="plans.plan.Plan",
        charts="reports.plan_charts.draw_plan",
    ),
    _Kind(
        "comparisons.row.ComparisonRow",
        "reports.comparison_sections.outline_comparison",
        charts="reports.comparison_pictures.draw_comparison",
    ),
    *(
        _Kind(
            f"comparisons.table_rows.{name}Comparison",
            "reports.table_comparison_sections.outline_tables",
            charts="reports.comparison_pictures.draw_tables",
        )
        for name in ("Sweep", "Sensitivity", "Forms", "Plan", "Record", "Linearity")
    ),
    _Kind("comparisons.verify_row.VerifyRow", "reports.verify_sections.outline_verify"),
    _Kind(
        "training.row.HistoryRow",
        "reports.history_sections.outline_history",
        charts="reports.history_charts.draw_history",
    ),
    _Kind(
        "training.row.TrackRow",
        "reports.history_sections.outline_track",
        charts="reports.history_charts.draw_track",
    ),
)


@cache
def load_kinds() -> dict[Any, type[Table[Any]]]:
    """Row types of the files that can be read, and the class of a table of each; loads the rooms of all."""
    return {_load(kind.row): _load(kind.table) for kind in _ALL}


def outline(table: Table[Any], **options: Any) -> Outline:
    """A result as it is told; `options` are those of its kind, those given as None or empty left aside.

    A row type that is not listed here is told by its columns alone. Raises TypeError for an option of another kind.
    """
    tell: Callable[..., Outline] = next((_load(kind.outline) for kind in _find(table)), outline_plain)
    return tell(table, **{name: value for name, value in options.items() if value})


def draw(table: Table[Any], **options: Any) -> list[Chart]:
    """The charts that a result has of its own, on its page; `options` as in `outline`."""
    make: Callable[..., list[Chart]] = next((_load(kind.charts) for kind in _find(table) if kind.charts), _draw_nothing)
    return make(table, **{name: value for name, value in options.items() if value})


def _find(table: Table[Any]) -> Iterator[_Kind]:
    own = f"{table.row_type.__module__}.{table.row_type.__qualname__}".removeprefix("qanalysis.")
    return (kind for kind in _ALL if kind.row == own)


def _draw_nothing(_table: Table[Any]) -> list[Chart]:
    return []


def _load(name: str) -> Any:
    module, _, part = name.rpartition(".")
    return getattr(import_module(f"qanalysis.{module}"), part)
