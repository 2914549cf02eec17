"""Which charts does the page of a plan have? The front with uniform schemes beside it, and bits along the model."""

from __future__ import annotations

from qanalysis.plans.plan import Plan
from qanalysis.reports.pictures import Chart, make_chart

_FRONT = (
    "Down and left is better: every plan worth having between the smallest and the best one, uniform schemes beside "
    "them, and this plan as a diamond."
)
_BITS = "Layers in the order of the file."


def draw_plan(table: Plan) -> list[Chart]:
    """The charts of a plan with its candidates; none of rows alone, as a CSV has them, and of none."""
    from qanalysis.charts.linked.scene import Panel
    from qanalysis.charts.plan_charts import front_chart, layer_bits
    from qanalysis.charts.plan_sheet import read_sheet

    if not len(table) or not table.candidates:
        return []
    sheet = read_sheet(table)
    return [
        make_chart("Error against size", _FRONT, Panel("front", front_chart(sheet, sheet.chosen))),
        make_chart("Bits along the model", _BITS, Panel("bits", layer_bits(sheet, sheet.chosen))),
    ]
