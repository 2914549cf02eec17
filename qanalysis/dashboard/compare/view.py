"""What does page Compare look at? Two sources or two results, how their names belong together, and what is in sight."""

from __future__ import annotations

from dataclasses import dataclass

from qanalysis.checkpoints.source import SAMPLE_PREFIX
from qanalysis.comparisons.maps import parse_maps
from qanalysis.dashboard.comparisons import QUANTIZED
from qanalysis.dashboard.views import View, bound

#: Which rows are in sight, by their word in the address.
SHOWN = {
    "all": "All",
    "ok": "Compared",
    "fails": "Failing the gate",
    "renamed": "Renamed",
    "only-a": "Only in A",
    "only-b": "Only in B",
    "shape": "Other shape",
    "dtype": "No real numbers",
    "tied": "Tied",
}


def parse_map(text: str) -> str:
    """A name map, REGEX=REPLACEMENT, as it is; ValueError for one that can not be read."""
    parse_maps([text])
    return text


@dataclass(frozen=True, slots=True)
class CompareView(View):
    """Everything that decides what the page shows.

    `a` and `b` are samples, checkpoints or results below the root, or the other one under a scheme; `map` turns names
    of A into names of B. `gate` holds conditions with ; between. `metric` is the column of two results in view, `layer`
    the row in view; None stands for the page's own choice.
    """

    a: str = bound(f"{SAMPLE_PREFIX}digits-cnn", kept=True)
    b: str = bound(QUANTIZED[0], kept=True)
    map: tuple[str, ...] = bound((), parse=parse_map)
    gate: str = bound("")
    show: str = bound("all", choices=tuple(SHOWN))
    find: str = bound("")
    metric: str | None = bound(None)
    layer: str | None = bound(None)
    log: bool = bound(False)
    job: str = bound("", passing=True)
