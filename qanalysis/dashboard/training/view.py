"""What does the training lab look at? One frozen view: the experiment, how it is read, and which of its figures are in
sight.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, cast

import streamlit as st

from qanalysis.dashboard.training.runs import Readings
from qanalysis.dashboard.views import View, bound
from qanalysis.training.presets import PRESETS

MOST_IN_LINK = 2000
"""Characters of an experiment's text that stand in an address; a longer one is kept on the server."""
MOST_KEPT = 64
_KEPT = "kept:"
MEASURES = {"element": "each element", "scalar": "mean error"}
RATIOS = {"deviation": "C, deviations", "variance": "c = C², variances"}
EXPONENTS = ("written", "covering", "library", "source")
MEANS = ("written", "guarded", "literal")


@dataclass(frozen=True, slots=True)
class LabView(View):
    """Everything that decides what the page shows and what its button runs.

    `experiment` is TOML where it is not the preset's own, or the name under which the server keeps a long one.
    `focus`, `layer`, `kind` None are those that the page chooses, `step` None the last one. `measure` is the
    fluctuation whose thresholds are drawn and which a policy of the next run follows; `exponent` and `mean` are
    readings of the next run, `ratio` the posterior error's on the chart.
    """

    preset: str = bound(next(iter(PRESETS)), choices=tuple(PRESETS))
    experiment: str = bound("")
    focus: str | None = bound(None)
    layer: str | None = bound(None)
    kind: str | None = bound(None)
    step: int | None = bound(None, number=int, low=0, passing=True)
    measure: str = bound("element", choices=tuple(MEASURES))
    exponent: str = bound("written", choices=EXPONENTS)
    mean: str = bound("written", choices=MEANS)
    ratio: str = bound("deviation", choices=tuple(RATIOS))

    @property
    def text(self) -> str:
        """The experiment as TOML: the preset's, or a person's own. LookupError for one that is no longer kept."""
        return read_text(self.experiment) if self.experiment else PRESETS[self.preset].experiment.to_toml()

    @property
    def readings(self) -> Readings:
        """How the rules of the next run are read."""
        # The measure of elements is a policy's own: only the other one is a reading.
        words = {
            "exponent": self.exponent if self.exponent != "written" else "",
            "mean": self.mean if self.mean != "written" else "",
            "measure": "scalar" if self.measure == "scalar" else "",
        }
        return Readings(**cast("dict[str, Any]", words))


@st.cache_resource
def _kept_texts() -> OrderedDict[str, str]:
    """Texts too long for an address, by their names; the oldest make room."""
    return OrderedDict()


def keep_text(text: str) -> str:
    """What stands in the view for an experiment's text: itself, or the name under which the server keeps a long one."""
    if len(text) <= MOST_IN_LINK:
        return text.strip()
    name = _KEPT + hashlib.sha256(text.encode()).hexdigest()[:16]
    kept = _kept_texts()
    kept[name] = text
    kept.move_to_end(name)
    while len(kept) > MOST_KEPT:
        kept.popitem(last=False)
    return name


def read_text(word: str) -> str:
    """The text behind what stands in the view; LookupError, with the way out, for one that is no longer kept."""
    if not word.startswith(_KEPT):
        return word
    text = _kept_texts().get(word)
    if text is None:
        raise LookupError(
            "this link's configurations were too long to stand in it, and this server no longer keeps them; "
            "upload their TOML, or choose a preset"
        )
    return text
