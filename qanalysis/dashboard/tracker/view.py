"""What does page Precision tracker look at? A log, the rules over it, and one series at one step."""

from __future__ import annotations

from dataclasses import dataclass

from qanalysis.charts.tracker_maps import MEASURES
from qanalysis.checkpoints.source import SAMPLE_PREFIX
from qanalysis.dashboard.views import View, bound
from qanalysis.training.recipe import Recipe
from sample_models import STATISTICS

DEFAULT_RULES = ("up-step + down", "ema", "counts")
MOST_RULES = 8
CELL_WORDS = {name: measure.label for name, measure in MEASURES.items()}
EVENT_WORDS = {"series": "This series", "all": "All series"}


@dataclass(frozen=True, slots=True)
class TrackerView(View):
    """Everything that decides what the page shows.

    `rule`, `layer`, `kind`, `group` and `step` are in view; None stands for the page's own choice. `find` leaves the
    layers whose name holds it (a regular expression); `epoch` is the number of steps in one, None for the whole log.
    """

    log: str = bound(f"{SAMPLE_PREFIX}{STATISTICS[0]}", kept=True)
    rules: tuple[str, ...] = bound(DEFAULT_RULES, parse=Recipe.parse)
    find: str = bound("")
    epoch: int | None = bound(None, number=int, low=1, high=10**9)
    rule: str | None = bound(None)
    layer: str | None = bound(None)
    kind: str | None = bound(None)
    group: str | None = bound(None)
    step: int | None = bound(None, number=int, low=0, high=2**53)
    cells: str = bound("absmax", choices=tuple(MEASURES))
    events: str = bound("series", choices=tuple(EVENT_WORDS))
