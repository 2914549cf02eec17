"""Which charts stand in the page of a sensitivity? The dashboard's, for what the summary speaks of."""

from __future__ import annotations

from typing import Any

from qanalysis.reports.pictures import Chart, make_chart
from qanalysis.results.table import Table


def draw_sensitivity(table: Table[Any]) -> list[Chart]:
    """The map of layers by schemes, ranked bars, the curve along the model, two measures against one another, whether
    damages add up, calls of experts: those that the rows and their document have.
    """
    from qanalysis.charts.linked.scene import Panel
    from qanalysis.charts.sensitivity_panels import draw_all, name_other
    from qanalysis.charts.sensitivity_sheet import Sheet

    sheet = Sheet(table)
    if not sheet.looks:
        return []
    look = sheet.open()
    drawn = draw_all(sheet, look, name_other(sheet, look))
    return [
        make_chart(_HEADINGS[name], "" if name in _ALONE else f"{look.convention}.", Panel(name, figure))
        for name, figure in drawn.items()
    ]


_HEADINGS = {
    "s-map": "Every layer under every scheme",
    "s-bars": "Which layers hurt most",
    "s-curve": "Layer after layer",
    "s-pairs": "Do two measures agree?",
    "s-sums": "Do damages add up?",
    "s-experts": "Calls of experts",
}
_ALONE = {"s-curve", "s-sums", "s-experts"}
