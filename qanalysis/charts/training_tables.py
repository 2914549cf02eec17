"""Where does each quantizer stand at a step, what happened when, and what came out? The tables beside the charts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any

import numpy as np

from qanalysis.charts.linked.table import ShownColumn, TablePanel
from qanalysis.charts.training_lines import History, Line
from qanalysis.notation import NOTHING, count, percent, plain
from qanalysis.results.columns import columns_of
from qanalysis.training.configuration import Experiment
from qanalysis.training.row import MODEL, HistoryRow
from qanalysis.training.state import KINDS

MOST_EVENTS = 2000
STATE_HEIGHT, EVENTS_HEIGHT = 360, 330
_COLUMNS = {column.name: column for column in columns_of(HistoryRow)}
_spell = lru_cache(maxsize=65536)(partial(plain, digits=4))


def name_line(line: Line) -> str:
    """A line in one text, which names its row in a table."""
    return " · ".join(line)


def list_lines(history: History) -> dict[str, Line]:
    """Every quantized tensor of every configuration by the name of its row."""
    return {name_line(line): line for line in history.tensors}


def tabulate_plan(experiment: Experiment) -> TablePanel:
    """What is to be trained: a line per configuration with its recipes and how its steps are made."""
    configurations = experiment.configurations
    names = [one.name for one in configurations]
    kinds = [kind for kind in KINDS if any(kind in one.recipes for one in configurations)]
    recipes = {kind: [str(one.recipes.get(kind, NOTHING)) for one in configurations] for kind in kinds}
    optimizers = [f"{one.optimizer}, rate {_spell(one.rate)}" for one in configurations]
    numbers = {name: [float(getattr(one, name)) for one in configurations] for name in ("steps", "batch", "seed")}
    columns = [
        ShownColumn("configuration", "Configuration", names),
        *(ShownColumn(kind, kind.replace("-", " ").capitalize(), texts) for kind, texts in recipes.items()),
        *(_count(name, name.capitalize(), values) for name, values in numbers.items()),
        ShownColumn("optimizer", "Optimizer", optimizers),
    ]
    caption = f"What Run trains on {experiment.model}, one after the other"
    return TablePanel("plan", "Configurations to be trained", columns, names, pick=False, caption=caption)


def _count(name: str, heading: str, values: Sequence[float]) -> ShownColumn:
    return ShownColumn(name, heading, [f"{value:,.0f}" for value in values], values)


class StateBook:
    """The states of all quantizers of a run at any of its steps, a table for each."""

    def __init__(self, history: History) -> None:
        """Read the columns of every line once."""
        self._names, self._lines = list(list_lines(history)), list(list_lines(history).values())
        self._steps = [history.steps_of(line) for line in self._lines]
        self._cells = {
            name: [history.read(line, name) for line in self._lines]
            for name in ("bits", "s", "f", "step_size", "low", "high", "error", "clipped_fraction", "strategy", "event")
        }

    def tabulate(self, step: int) -> TablePanel:
        """One line per configuration, layer and kind as its last row up to `step` tells it; dashes before the first."""
        places = [int(np.searchsorted(steps, step, side="right")) - 1 for steps in self._steps]
        find: Callable[[str], list[Any]] = partial(self._find, places)
        names = zip(("configuration", "layer", "kind"), zip(*self._lines, strict=True), strict=False)
        precisions = [_spell_precision(*pair) for pair in zip(find("s"), find("f"), strict=True)]
        spans = [_spell_span(*pair) for pair in zip(find("low"), find("high"), strict=True)]
        columns = [
            *(_list_words(name, list(words)) for name, words in names),
            _list_numbers("bits", find("bits"), _spell),
            ShownColumn("precision", "s or f", precisions, note="The step: 2^s, or a real number f"),
            _list_numbers("step_size", find("step_size"), _spell),
            ShownColumn("range", "Range", spans, note="Ends of what the quantizer holds"),
            _list_numbers("error", find("error"), _spell),
            _list_numbers("clipped_fraction", find("clipped_fraction"), percent),
            _list_words("strategy", [word or NOTHING for word in find("strategy")]),
        ]
        caption = f"State at step {step:,}: a row chosen here is the tensor of the charts"
        return TablePanel(
            "state",
            f"State of every quantizer at step {step}",
            columns,
            self._names,
            height=STATE_HEIGHT,
            caption=caption,
        )

    def _find(self, places: Sequence[int], name: str) -> list[Any]:
        """A column's cell of each line, None where there is none."""
        return [
            _plain(cells[place]) if place >= 0 else None for cells, place in zip(self._cells[name], places, strict=True)
        ]


def tabulate_events(history: History) -> tuple[TablePanel, Mapping[str, int]]:
    """What changed and why, in the order of the steps, at most `MOST_EVENTS`; and the step behind each row's name."""
    events = history.rows.cells["event"].tolist()
    places = [place for place, event in enumerate(events) if event]
    steps = history.rows.cells["step"]
    places.sort(key=lambda place: int(steps[place]))
    shown = places[:MOST_EVENTS]
    rows = [f"event {rank + 1}" for rank in range(len(shown))]
    told = [int(steps[place]) for place in shown]
    columns = [
        ShownColumn("step", "Step", [f"{step:,}" for step in told], [float(step) for step in told]),
        *(_list_words(name, history.rows.cells[name][shown].tolist()) for name in ("configuration", "layer", "kind")),
        ShownColumn("event", "What changed and why", [events[place] for place in shown]),
    ]
    more = f", the first {MOST_EVENTS:,} here" if len(places) > len(shown) else ""
    caption = (
        f"{count(len(places))} events{more}; one chosen here moves the step to it" if places else "No events so far"
    )
    panel = TablePanel("events", "Events of the training", columns, rows, height=EVENTS_HEIGHT, caption=caption)
    return panel, MappingProxyType(dict(zip(rows, told, strict=True)))


def find_event_line(history: History, row: str) -> Line | None:
    """The line of an event by its row's name; None for no event, or one of the whole network."""
    panel, _steps = tabulate_events(history)
    if row not in panel.rows:
        return None
    place = panel.rows.index(row)
    configuration, layer, kind = (column.texts[place] for column in panel.columns[1:4])
    return (configuration, layer, kind) if layer != MODEL else None


def tabulate_results(history: History) -> TablePanel:
    """Float, post-training and fine-tuned figures of each configuration side by side, as far as it has come.

    Accuracies where there are any, else losses; then the last loss on held-out data, steps, events and flips.
    """
    names = history.configurations
    kinds = {"float": "Float", "post-training": "Post-training", "held-out": "Fine-tuned"}
    found = {kind: [_find_last(history, name, kind) for name in names] for kind in kinds}
    has_accuracy = any(one["accuracy"] is not None for held in found.values() for one in held)
    figure, spell = ("accuracy", percent) if has_accuracy else ("loss", _spell)
    columns = [ShownColumn("configuration", "Configuration", list(names))]
    for kind, heading in kinds.items():
        values = [one[figure] for one in found[kind]]
        note = f"{figure.capitalize()} on held-out data"
        columns.append(ShownColumn(f"{kind}_{figure}", f"{heading}, {figure}", _write(values, spell), values, note))
    losses = [one["loss"] for one in found["held-out"]]
    if has_accuracy:
        note = "On held-out data, in nat"
        columns.append(ShownColumn("held-out_loss", "Held-out loss", _write(losses, _spell), losses, note))
    counted = [_count_line(history, name) for name in names]
    for key, heading in (("steps", "Steps"), ("events", "Events"), ("flips", "Flips")):
        counts = [one[key] for one in counted]
        columns.append(_count(key, heading, counts))
    caption = "Float, post-training and fine-tuned side by side: a row chosen here is the configuration in view"
    return TablePanel("results", "Configurations side by side", columns, list(names), caption=caption)


def _find_last(history: History, configuration: str, kind: str) -> dict[str, float | None]:
    """Loss and accuracy of the last row of the whole network of a kind."""
    line = (configuration, MODEL, kind)
    return {
        name: _plain(cells[-1]) if len(cells := history.read(line, name)) else None for name in ("loss", "accuracy")
    }


def _count_line(history: History, configuration: str) -> dict[str, float]:
    """Steps, events and flips of a configuration."""
    lines = [line for line in history.places if line[0] == configuration]
    trained = history.steps_of((configuration, MODEL, "training"))
    events = sum(sum(map(bool, history.read(line, "event").tolist())) for line in lines)
    flips = sum(float(np.nansum(history.read(line, "flips"))) for line in lines)
    return {"steps": float(trained[-1] + 1) if len(trained) else 0.0, "events": float(events), "flips": flips}


def _list_numbers(name: str, values: Sequence[float | None], spell: Callable[[float], str]) -> ShownColumn:
    column = _COLUMNS[name]
    return ShownColumn(name, column.heading, _write(values, spell), values, column.meaning)


def _list_words(name: str, words: Sequence[str]) -> ShownColumn:
    column = _COLUMNS[name]
    return ShownColumn(name, column.label, words, note=column.meaning)


def _write(values: Sequence[float | None], spell: Callable[[float], str]) -> list[str]:
    return [NOTHING if value is None else spell(value) for value in values]


def _plain(value: Any) -> Any:
    """A cell as Python holds it; None for NaN."""
    found = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(found, float) and math.isnan(found) else found


def _spell_precision(s: float | None, f: float | None) -> str:
    if s is not None:
        return f"s = {s:.0f}".replace("-", "−")
    return NOTHING if f is None else f"f = {_spell(f)}"


def _spell_span(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return NOTHING
    return f"±{_spell(high)}" if low == -high else f"{_spell(low)} to {_spell(high)}"
