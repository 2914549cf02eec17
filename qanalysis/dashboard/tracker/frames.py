"""What does the browser hold of page Precision tracker? One scene: a slider over the steps of the series in view, and
every chart with the step marked on it.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qanalysis.charts.linked.scene import FactPanel, Panel, build_part
from qanalysis.charts.tracked import RuleLine, SeriesName, Tracked, thin_steps
from qanalysis.charts.tracker_charts import (
    block_charts,
    clipped_chart,
    energy_chart,
    mark_step,
    precision_chart,
    range_chart,
)
from qanalysis.charts.tracker_maps import check_raster, series_map
from qanalysis.charts.tracker_tables import tell_steps
from qanalysis.dashboard.linked import PARTS
from qanalysis.dashboard.tracker.cache import Recorded, read_log, track
from qanalysis.notation import plain
from qanalysis.training.statistics.log import StatisticsLog

MOST_STEPS = 400
"""Places of the slider; of a longer log every so-manieth step, and the one that was asked for."""
WAY_OUT = "Choose another log, or take a step back with Undo."
ORDER = ("t-map", "t-range", "t-facts", "t-precision", "t-clipped", "t-energy", "t-blocks", "t-raster")


@dataclass(frozen=True, slots=True)
class Scene:
    """What the charts depend on: the log, the rules and the steps in an epoch; the series, what the map shows and of
    which rule; and a step that the slider must have.
    """

    recorded: Recorded
    rules: tuple[str, ...]
    epoch: int | None
    name: SeriesName
    cells: str
    rule: int
    step: int | None = None

    @property
    def tracked(self) -> Tracked:
        """The rules over the log."""
        return track(self.recorded, self.rules, self.epoch)

    def list_steps(self) -> list[int]:
        """Where the slider can stand."""
        steps = self.tracked.lines(self.name)[0].step
        return thin_steps(steps, MOST_STEPS, () if self.step is None else (self.step,))


def offer_scene(scene: Scene) -> str:
    """The address of the scene, which is made when the browser asks for it."""
    steps = scene.list_steps()
    if scene.step is not None and scene.step in replace(scene, step=None).list_steps():
        scene = replace(scene, step=None)  # the same slider whatever the step in view
    return f"{PARTS.offer(('tracker', scene), lambda _index, _place: build_scene(scene, steps), way_out=WAY_OUT)}/0"


def build_scene(scene: Scene, steps: Sequence[int]) -> Mapping[str, Any]:
    """The part of the whole page: charts drawn once, and at each of the steps its mark, the block scales and how each
    rule stands.
    """
    lines = scene.tracked.lines(scene.name)
    still = draw_still(scene, lines)
    blocks = draw_blocks(scene, steps)
    facts = tell_steps(lines, steps)
    places: list[list[Panel | FactPanel]] = []
    for place, step in enumerate(steps):
        mark = mark_step(step)
        moving = [panel if panel.name == "t-map" else replace(panel, changes=mark) for panel in still]
        places.append([*moving, *([blocks[place]] if blocks else []), facts[place]])
    return build_part(
        places,
        layout="converter",
        order=ORDER,
        wide=("t-facts", "t-raster") if blocks else ("t-facts",),
        control={"label": "Step", "unit": "", "steps": list(steps), "told": tell_seen(lines[0], steps)},
    )


def draw_still(scene: Scene, lines: Sequence[RuleLine]) -> list[Panel]:
    """The charts that no step changes but for its mark."""
    name, tracked = scene.name, scene.tracked
    python = write_python(scene.recorded, scene.rules, scene.epoch)

    def pick(*columns: str) -> str:
        return f"{python}\nseries = {write_picked(name)}[{['configuration', 'step', *columns]}]"

    figures = {
        "t-map": (series_map(tracked, scene.rule, scene.cells, name), python),
        "t-range": (range_chart(lines, name), pick("absmax", "low", "high", "event")),
        "t-precision": (precision_chart(lines, name), pick("s", "f", "bits")),
        "t-clipped": (clipped_chart(lines, name), pick("clipped_fraction")),
        "t-energy": (energy_chart(lines, name), pick("rounding_energy", "clipped_energy", "mean", "std")),
        "t-raster": (check_raster(tracked, name), f"{python}\nchecks = table[table.checked]"),
    }
    return [Panel(key, figure, text) for key, (figure, text) in figures.items()]


def draw_blocks(scene: Scene, steps: Sequence[int]) -> list[Panel]:
    """The block scales at each step; nothing where the log counts none of the series."""
    log, name = read_log(scene.recorded), scene.name
    rows = find_rows(log, name)
    counts = {exponent: column[rows] for exponent, column in log.scale_exponents.items()}
    used = {exponent: column for exponent, column in counts.items() if np.nansum(column) > 0}
    if not used:
        return []
    python = "\n".join([*open_log(scene.recorded), "counts = log.scale_exponents"])
    return [Panel("t-blocks", figure, python) for figure in block_charts(used, log.step[rows], steps)]


def find_rows(log: StatisticsLog, name: SeriesName) -> slice:
    """Where a series stands in a log; an empty place for one that is not there."""
    return next((one.rows for one in log.series() if (one.layer, one.kind, one.group) == name), slice(0, 0))


def tell_seen(one: RuleLine, steps: Sequence[int]) -> list[str]:
    """What the slider says behind each step: the largest magnitude there."""
    seen = dict(zip(one.step.tolist(), one.absmax.tolist(), strict=True))
    return [f"absmax {plain(seen[step], digits=4)}" if step in seen else "" for step in steps]


def open_log(recorded: Recorded, *imports: str) -> list[str]:
    """The lines that read the `log`, below `imports` of the same package."""
    needed = ["from qanalysis.training.statistics.catalogue import read_statistics", *imports]
    return [*sorted(needed), "", f"log = read_statistics({recorded.name!r})"]


def write_python(recorded: Recorded, rules: Sequence[str], epoch: int | None) -> str:
    """The lines that make the rows of all rules."""
    imports = ["from qanalysis.training.recipe import Recipe", "from qanalysis.training.tracker import replay"]
    imports += ["from qanalysis.training.replays.scopes import choose_series"] if recorded.find else []
    stated = "" if epoch is None else f", epoch={epoch}"
    lines = [
        *open_log(recorded, *imports),
        *([f"log = choose_series(log, include={recorded.find!r})"] if recorded.find else []),
        "rules = [",
        *(f"    {rule!r}," for rule in rules),
        "]",
        f"rows = replay(log, [Recipe.parse(rule) for rule in rules]{stated})",
        "table = rows.to_pandas()",
    ]
    return "\n".join(lines)


def write_picked(name: SeriesName) -> str:
    """The expression that takes one series out of the table."""
    group = f" & (table.group == {name.group!r})" if name.group else ""
    return f"table[(table.layer == {name.layer!r}) & (table.kind == {name.kind!r}){group}]"


def write_command(recorded: Recorded, rules: Sequence[str], epoch: int | None) -> str:
    """The command that makes the same rows, as a shell takes it."""
    words = "".join(f" --rule {shlex.quote(rule)}" for rule in rules)
    stated = "" if epoch is None else f" --epoch {epoch}"
    only = f" --include {shlex.quote(recorded.find)}" if recorded.find else ""
    return f"qanalysis track {shlex.quote(recorded.name)}{words}{stated}{only} --out track.csv"
