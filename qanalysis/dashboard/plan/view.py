"""What does page Plan look at? Rows to choose from, what a plan must keep, and which of its layers is in sight."""

from __future__ import annotations

from dataclasses import dataclass

from qanalysis.checkpoints.source import SAMPLE_PREFIX
from qanalysis.dashboard.plans import split_pin
from qanalysis.dashboard.views import View, bound
from qanalysis.patterns import Pattern
from qanalysis.quantizers.scheme import Scheme

MOST_BUDGET = 64.0
MEASURES = {"weights": "Weights", "outputs": "Outputs"}


def parse_pin(text: str) -> str:
    """A pin, REGEX=SCHEME, in canonical words; ValueError for one that can not be read.

    >>> parse_pin("embed|lm_head = int8  group=64")
    'embed|lm_head=int8 group=64'
    """
    pattern, scheme = split_pin(text)
    Pattern.parse(pattern, "pin")
    return f"{pattern}={scheme}"


def parse_lock(text: str) -> str:
    """A lock, TENSOR=SCHEME, in canonical words; ValueError for one that can not be read."""
    return "=".join(split_pin(text))


@dataclass(frozen=True, slots=True)
class PlanView(View):
    """Everything that decides what the page shows.

    `source` is a sample, a checkpoint below the root, or a file of rows or of a plan; `measure` says what is measured
    of a sample that runs; `schemes` are the candidates, none for the usual ones. `lock` holds layers that keep a scheme
    by hand, TENSOR=SCHEME; `pins` the same by expressions. None stands for the page's own
    choice: of the budget that of a saved plan, or 4.5.
    """

    source: str = bound(f"{SAMPLE_PREFIX}digits-cnn", kept=True)
    measure: str = bound("weights", choices=tuple(MEASURES))
    schemes: tuple[str, ...] = bound((), parse=Scheme.parse)
    include: str = bound("")
    exclude: str = bound("")
    budget: float | None = bound(None, number=float, low=0.01, high=MOST_BUDGET)
    objective: str | None = bound(None)
    pins: tuple[str, ...] = bound((), parse=parse_pin)
    tie: tuple[str, ...] = bound(())
    most: int | None = bound(None, number=int, low=1, high=1000)
    lock: tuple[str, ...] = bound((), parse=parse_lock)
    layer: str | None = bound(None)
    recipe: str | None = bound(None)
    partial: bool = bound(False)
    patterns: bool = bound(False)
    job: str = bound("", passing=True)
