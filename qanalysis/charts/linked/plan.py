"""What does a browser hold so that a budget moves a whole plan? Each layer's candidates and each point's choice, once.

The panels are drawn once; the script `plan.js` fills in what the choice in view changes of them.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qanalysis.charts.linked.scene import Described, FactPanel, Panel, Tree, build_part
from qanalysis.charts.linked.table import ShownColumn, TablePanel
from qanalysis.charts.plan_charts import front_chart, layer_bits
from qanalysis.charts.plan_sheet import PlanSheet
from qanalysis.charts.wording import escape
from qanalysis.notation import NOTHING, count, percent
from qanalysis.plans.row import PlanRow
from qanalysis.results.columns import columns_of

ORDER = ("p-front", "p-bits", "p-totals", "p-layers")
TABLE_HEIGHT = 420
_COLUMNS = {column.name: column for column in columns_of(PlanRow)}
#: What the choice in view changes of the table: the script fills these columns in.
_MOVING = {
    "scheme": "Scheme",
    "bits_per_weight": "Bits/weight",
    "size_bytes": "Size",
    "sqnr_db": "SQNR (dB)",
    "cost": "Cost",
    "cost_share": "Share of cost",
    "stability": "Stability",
}


def build_plan_part(
    sheet: PlanSheet, locked: Mapping[str, str], *, stability: bool = False, python: str = "", under: str = ""
) -> Tree:
    """The part of a plan's front: slider, chart, bars, totals and table.

    `locked` are the layers that keep a scheme by hand; `stability` says whether plans tell it of their layers. The part
    does not depend on the plan in view, so that a browser fetches it once for all budgets.
    """
    choice = sheet.choices[-1]
    panels: list[Panel | Described] = [
        Panel("p-front", front_chart(sheet, choice), python),
        Panel("p-bits", layer_bits(sheet, choice), python),
        FactPanel("p-totals", (), "Totals of the plan in view"),
        _tabulate(sheet, locked, stability=stability),
    ]
    control = {"label": "Budget", "unit": "bits per weight", "steps": sheet.list_budgets(), "nearest": True}
    return build_part(
        [panels],
        layout="plan",
        control=control,
        plan=_pack_plan(sheet),
        order=ORDER,
        wide=["p-totals", "p-layers"],
        under=under,
    )


def _tabulate(sheet: PlanSheet, locked: Mapping[str, str], *, stability: bool) -> TablePanel:
    """The layers, what moves left blank."""
    layers = sheet.layers
    blank = [""] * len(layers)
    known = any(np.isfinite(layer.errors).any() for layer in layers)
    shown = {"sqnr_db": known, "stability": stability}
    moving = [name for name in _MOVING if shown.get(name, True)]
    notes = {name: _COLUMNS[name].meaning for name in moving if name in _COLUMNS}
    columns = [
        ShownColumn("tensor", "Layer", [layer.label for layer in layers], note=_COLUMNS["tensor"].meaning),
        *(
            ShownColumn(
                name, _MOVING[name], blank, None if name == "scheme" else [None] * len(blank), notes.get(name, "")
            )
            for name in moving
        ),
        ShownColumn("numel", "Elements", [count(one.numel) for one in layers], [float(one.numel) for one in layers]),
        ShownColumn("share", "Share of weights", [percent(one.numel / sheet.numel) for one in layers]),
        ShownColumn("lock", "Lock", ["locked" if one.name in locked else "" for one in layers]),
    ]
    rows = [layer.name for layer in layers]
    return TablePanel("p-layers", "Layers of the plan in view", columns, rows, height=TABLE_HEIGHT)


def _pack_plan(sheet: PlanSheet) -> Tree:
    """Candidates laid end to end with the place where each layer begins, and a line of choices per point."""
    layers = sheet.layers
    starts = np.concatenate([[0], np.cumsum([len(one.costs) for one in layers])])
    wide = max(len(one.costs) for one in layers) > 255
    return {
        "names": [one.name for one in layers],
        "labels": [escape(one.label) for one in layers],
        "numel": _pack([one.numel for one in layers], "f8"),
        "starts": _pack(starts, "u4"),
        "schemes": _pack(_join([one.schemes for one in layers]), "u2"),
        "bits": _pack(_join([one.bits for one in layers]), "f8"),
        "sizes": _pack(_join([one.sizes for one in layers]), "f8"),
        "costs": _pack(_join([one.costs for one in layers]), "f8"),
        "errors": _pack(_join([one.errors for one in layers]), "f8"),
        "signal": _pack([one.signal for one in layers], "f8"),
        "choices": _pack(sheet.choices, "u2" if wide else "u1"),
        "pointBits": _pack(sheet.sum_points("bits"), "f8"),
        "kinds": list(sheet.kinds),
        "words": list(sheet.schemes),
        "formats": list(sheet.formats),
        "formatOf": list(sheet.format_of),
        "uniforms": [
            {"scheme": one.scheme, "bits": one.bits_per_weight, "cost": one.objective} for one in sheet.uniforms
        ],
        "kept": sheet.kept_bytes,
        "float": sheet.float_bytes,
        "objective": sheet.objective,
        "nothing": NOTHING,
    }


def _join(arrays: Sequence[Any]) -> Any:
    return np.concatenate(arrays)


def _pack(values: Any, code: str) -> dict[str, Any]:
    """Numbers as the browser unpacks them: typed, in base64."""
    array = np.ascontiguousarray(values, np.dtype(code).newbyteorder("<"))
    shape = {"shape": ", ".join(map(str, array.shape))} if array.ndim > 1 else {}
    return {"dtype": code, "bdata": base64.b64encode(array.tobytes()).decode(), **shape}
