"""Which charts stand in the page of a training, and of rules over statistics? The dashboard's, for one tensor."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from qanalysis.reports.pictures import Chart, make_chart
from qanalysis.results.table import Frame, Table
from qanalysis.training.row import MODEL

_HEADINGS = {
    "loss": "Loss",
    "accuracy": "Accuracy",
    "range": "Range over the values seen",
    "fluctuation": "Fluctuation of the error",
    "error": "Error E",
    "step": "Step and width",
    "gradient": "Gradient",
    "flips": "Flips and clipping",
    "streams": "Old and new data",
}


def draw_history(table: Table[Any]) -> list[Chart]:
    """Loss and accuracy of all configurations, and the tensor with the most events, else the first one quantized."""
    from qanalysis.charts.linked.scene import Panel
    from qanalysis.charts.training_charts import draw_all
    from qanalysis.charts.training_lines import History
    from qanalysis.charts.training_sheet import Look

    history = History.of(table.rows)
    if not history.layers:
        return []
    layer, kind = _choose_tensor(table)
    look = Look(layer, kind, history.configurations[0], history.last_step + 1)
    drawn = draw_all(history, look, measure="element", ratio="deviation")
    own = f"{kind} of {layer}"
    return [
        make_chart(heading, "" if name in ("loss", "accuracy", "streams") else f"{own}.", Panel(name, drawn[name]))
        for name, heading in _HEADINGS.items()
        if name in drawn
    ]


def draw_track(table: Table[Any]) -> list[Chart]:
    """The series whose largest value moves over the most powers of two, under every rule."""
    from qanalysis.charts.linked.scene import Panel
    from qanalysis.charts.tracked import Tracked
    from qanalysis.charts.tracker_charts import clipped_chart, energy_chart, precision_chart, range_chart

    tracked = Tracked(_split_rules(table))
    name = tracked.find_busiest()
    lines = tracked.lines(name)
    own = f"{name.kind} of {name.layer}{f', group {name.group}' if name.group else ''}."
    figures = {
        "Largest magnitude and what each rule holds": range_chart(lines, name),
        "Precision": precision_chart(lines, name),
        "Clipped share": clipped_chart(lines, name),
        "Error energy": energy_chart(lines, name),
    }
    return [
        make_chart(heading, own, Panel(f"track-{place}", figure))
        for place, (heading, figure) in enumerate(figures.items())
    ]


def _choose_tensor(table: Table[Any]) -> tuple[str, str]:
    """Layer and kind with the most events; else the first one that has bits, else the first of any layer."""
    layers, kinds = table.column("layer"), table.column("kind")
    events = np.array([bool(event) for event in table.column("event")])
    own = layers != MODEL
    quantized = own & np.isfinite(table.column("bits"))
    if (events & quantized).any():
        places = np.flatnonzero(events & quantized)
        found = Counter((str(layers[place]), str(kinds[place])) for place in places)
        return found.most_common(1)[0][0]
    first = int(np.argmax(quantized if quantized.any() else own))
    return str(layers[first]), str(kinds[first])


def _split_rules(table: Table[Any]) -> list[Table[Any]]:
    """One table per rule, in their order."""
    words = table.column("configuration")
    found = []
    for rule in dict.fromkeys(words.tolist()):
        chosen = np.flatnonzero(words == rule)
        rows = Frame(table.row_type, {name: cells[chosen] for name, cells in table.rows.cells.items()})
        totals = [total for total in table.totals if total.configuration == rule]
        found.append(replace(table, rows=rows, totals=Frame.from_rows(table.totals.row_type, totals)))
    return found
