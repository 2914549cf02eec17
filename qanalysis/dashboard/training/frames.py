"""What does the browser hold of a run? All charts over its steps, the state of every quantizer at each of them, and its
events: the step moves there, without the server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qanalysis.charts.linked.scene import Described, Panel, Tree, build_part
from qanalysis.charts.training_blocks import block_map, has_blocks
from qanalysis.charts.training_charts import CHARTS, Measure, Ratio, draw_all
from qanalysis.charts.training_lines import History
from qanalysis.charts.training_paths import choose_paths, path_lines
from qanalysis.charts.training_sheet import Look, mark_step
from qanalysis.charts.training_tables import StateBook, name_line, tabulate_events, tabulate_results
from qanalysis.dashboard.linked import PARTS
from qanalysis.dashboard.training.runs import find_thresholds
from qanalysis.dashboard.trainings import TrainingRequest
from qanalysis.notation import percent, plain
from qanalysis.training.row import MODEL

WIDE = ("results", "state", "events")
ORDER = ("results", *CHARTS, "paths", "exponents", "state", "events")
MOST_STEPS = 601
"""Places of the slider; of a longer run every second step, or every third, and so on, and always the last."""
WAY_OUT = "Choose another layer, or press Run again."


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A run in sight, as far as it is: its rows, what is looked at, and which measures the charts take."""

    request: TrainingRequest
    history: History
    look: Look
    measure: Measure
    ratio: Ratio
    paths: Sequence[Mapping[str, Any]] = ()
    ended: bool = True

    @property
    def steps(self) -> tuple[int, ...]:
        """The places of the step slider."""
        steps = self.history.steps
        apart = -(-len(steps) // MOST_STEPS) or 1
        return steps[-1::-apart][::-1]

    @property
    def key(self) -> tuple[object, ...]:
        """Everything that its part depends on."""
        return self.request.digest, len(self.history.rows), self.ended, self.look, self.measure, self.ratio

    def find_step(self, asked: int | None) -> int:
        """The place of the slider at or before a step that was asked for; the last one for None."""
        steps = self.steps
        if asked is None:
            return steps[-1] if steps else 0
        return max((step for step in steps if step <= asked), default=steps[0] if steps else 0)

    def draw(self) -> dict[str, Any]:
        """Every chart of the run by name."""
        look = self.look
        thresholds = find_thresholds(self.request.experiment, look.focus, look.kind)
        charts: dict[str, Any] = draw_all(
            self.history, look, measure=self.measure, ratio=self.ratio, thresholds=thresholds
        )
        paths = choose_paths(self.paths, look)
        if has_blocks(self.history, look):
            charts["exponents"] = block_map(self.history, look)
        if paths:
            charts["paths"] = path_lines(paths, look)
        return charts


def offer_run(shown: Shown) -> str:
    """The address of the charts of a run; they are made when the browser asks for them."""
    return f"{PARTS.offer(('training', shown.key), lambda _index, _place: build_run(shown), way_out=WAY_OUT)}/0"


def build_run(shown: Shown) -> Tree:
    """The part of a run: its charts, and for each step the mark in them and the states.

    While it works there is the last step alone: what moves with every step is made once, when it has ended.
    """
    history, steps, book = shown.history, shown.steps, StateBook(shown.history)
    charts = [Panel(name, drawing, write_python(shown, name)) for name, drawing in shown.draw().items()]
    results = tabulate_results(history)
    events, leads = tabulate_events(history)
    replays = steps if shown.ended else steps[-1:]
    places: list[list[Panel | Described]] = [
        [results, *(replace(chart, changes=mark_step(step)) for chart in charts), book.tabulate(step), events]
        for step in replays
    ]
    return build_part(
        places,
        layout="training",
        order=ORDER,
        wide=WIDE,
        heads=[tell_head(shown)],
        leads={row: shown.find_step(step) for row, step in leads.items()},
        **({"control": {"label": "Step", "steps": steps, "told": tell_steps(shown)}} if shown.ended else {}),
    )


def place_run(shown: Shown, step: int | None, row: str) -> dict[str, Any]:
    """Where the charts stand: the step, and the rows that are marked in the tables: `row`, and what is looked at."""
    return {"step": shown.find_step(step), "row": [row, name_line(shown.look.line), shown.look.focus]}


def tell_head(shown: Shown) -> str:
    """What came out of the configuration in focus, in one line."""
    history, focus = shown.history, shown.look.focus
    told = {kind: _tell_task(history, (focus, MODEL, kind)) for kind in ("held-out", "float", "post-training")}
    now = told["held-out"] or "no held-out figure yet"
    return f"{focus}: {now}" + "".join(f", {kind} {told[kind]}" for kind in ("float", "post-training") if told[kind])


def _tell_task(history: History, line: tuple[str, str, str]) -> str:
    """Accuracy of the last row of a line, its loss where it has no accuracy; "" without a row."""
    accuracy, loss = history.read(line, "accuracy"), history.read(line, "loss")
    if accuracy.size and accuracy[-1] == accuracy[-1]:
        return percent(float(accuracy[-1]))
    return f"loss {plain(float(loss[-1]))}" if loss.size and loss[-1] == loss[-1] else ""


def tell_steps(shown: Shown) -> list[str]:
    """Loss of the batch of each step, as the slider says it; "" for a step without one."""
    line = (shown.look.focus, MODEL, "training")
    held = dict(zip(shown.history.steps_of(line).tolist(), shown.history.read(line, "loss").tolist(), strict=True))
    return [
        f"loss {plain(held[step])}" if held.get(step) == held.get(step) and step in held else "" for step in shown.steps
    ]


def write_python(shown: Shown, chart: str) -> str:
    """The lines that make the numbers of a chart; "" for one whose numbers stand in no column."""
    if chart not in CHARTS:
        return ""
    look, kind = shown.look, CHARTS[chart]
    columns = ["configuration", "step", *(["kind"] if kind.of_model else []), *kind.columns]
    of_tensor = f"(frame['layer'] == {look.layer!r}) & (frame['kind'] == {look.kind!r})"
    chosen = f"frame['layer'] == {MODEL!r}" if kind.of_model else of_tensor
    return "\n".join(
        [
            "from pathlib import Path",
            "from qanalysis.training.configuration import Experiment",
            "from qanalysis.training.loop import train",
            "",
            "experiment = Experiment.from_toml(Path('experiment.toml').read_text())",
            "frame = train(experiment).to_pandas()",
            f"frame[{chosen}][{columns!r}]",
        ]
    )
