"""What does a browser need of a table of cells besides its picture? Names, blocks, schemes, sizes and reasons."""

from __future__ import annotations

import math
from typing import Any

from qanalysis.charts.cell_table import CellTable
from qanalysis.charts.colour_scale import ColourScale

WHOLE = -1  # stands for every column of a layer


def describe_cells(table: CellTable, scale: ColourScale) -> dict[str, Any]:
    """The facts of a table as JSON; the values are those of the heat maps, one trace per group, in order.

    Keys: `metric` (label, unit, better), `logarithmic` (whether a place is the logarithm of its value), `prefix` and
    `suffix` (what layers' names share), `layers` (name, label, numel), `blocks` (label, start, stop), `schemes`
    (scheme, group, tick), `infinite` (layer, column, sign), `reasons` and `without` (layer, column or WHOLE, number of
    a reason): cells that have no row, or one that is not ok; `otherwise` is the reason of any other cell without a
    value; `width` and `height` (pixels that the
    figure takes). Names are not escaped.
    """
    names, measure = table.names, table.measure
    reasons: dict[str, int] = {}
    return {
        "metric": {"label": measure.label, "unit": measure.unit, "better": measure.better},
        "logarithmic": scale.logarithmic,
        "prefix": names.prefix,
        "suffix": names.suffix,
        "layers": [
            {"name": name, "label": label, "numel": next(row.numel for row in layer if row is not None)}
            for name, label, layer in zip(table.tensors, names.labels, table.cells, strict=True)
        ],
        "blocks": [{"label": block.label, "start": block.start, "stop": block.stop} for block in names.blocks],
        "schemes": [{"scheme": scheme, "group": group, "tick": tick} for group, tick, scheme in table.columns],
        "infinite": [
            [place, column, 1 if value > 0 else -1]
            for place, layer in enumerate(table.values.tolist())
            for column, value in enumerate(layer)
            if math.isinf(value)
        ],
        "without": [cell for place in range(len(table.tensors)) for cell in _find_reasons(table, place, reasons)],
        "reasons": list(reasons),
        "otherwise": table.otherwise,
        "width": table.width,
        "height": table.height,
    }


def _find_reasons(table: CellTable, place: int, reasons: dict[str, int]) -> list[list[int]]:
    """Layer, column and reason of the cells of a layer that are not ok, one entry where all have the same reason.

    New reasons are added to `reasons` under the next number.
    """
    layer = table.cells[place]
    found = [
        (column, reasons.setdefault(table.reason(row), len(reasons)))
        for column, row in enumerate(layer)
        if row is None or row.status != "ok"
    ]
    if len(found) == len(layer) and len({reason for _, reason in found}) == 1:
        return [[place, WHOLE, found[0][1]]]
    return [[place, column, reason] for column, reason in found]
