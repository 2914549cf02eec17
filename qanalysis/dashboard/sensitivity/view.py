"""What does page Sensitivity look at? A model and its data, what is measured, and which of the figures are in sight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from qanalysis.charts.sensitivity_sheet import MEASURES
from qanalysis.checkpoints.source import SAMPLE_PREFIX
from qanalysis.dashboard.runnable_models import MODEL_SAMPLES, OWN_DATA
from qanalysis.dashboard.views import Query, View, bound, list_rules
from qanalysis.models.sensitivity.row import MODES, TARGETS
from qanalysis.notation import quote
from qanalysis.quantizers.scheme import Scheme

TABS = {"sensitivity": "Sensitivity", "forms": "Forms", "activations": "Activations"}
DEFAULT_SCHEMES = ("int4 channel", "int8 channel")
SCHEME_CHOICES = (
    *DEFAULT_SCHEMES,
    "int2 channel",
    "int3 channel",
    "int4 group=128",
    "int4 group=32",
    "int8",
    "mxfp4",
    "nf4",
)


def _parse_measure(text: str) -> str:
    """A measure that layers can be ranked by; ValueError for a word that is none."""
    if text not in MEASURES:
        raise ValueError(f"{quote(text)} is none of {', '.join(MEASURES)}")
    return text


@dataclass(frozen=True, slots=True)
class SensitivityView(View):
    """Everything that decides what the page shows.

    `model` is a sample, a folder or file below the root, or a file of rows that were measured before; `data` is
    "sample" or a path. `schemes`, `targets` and `modes` are measured; `scheme`, `target`, `mode` and `layer` are in
    view; `metric` is the measure in view, `against` the one it is held against, `ranking` the one that ranks and ties
    go by. None stands for the page's own choice.
    """

    tab: str = bound("sensitivity", choices=tuple(TABS))
    model: str = bound(f"{SAMPLE_PREFIX}{MODEL_SAMPLES[0]}", kept=True)
    data: str = bound(OWN_DATA, kept=True)
    weights: str = bound("", kept=True)
    include: str = bound("")
    samples: int | None = bound(None, number=int, low=1, high=10**9)
    length: int | None = bound(None, number=int, low=1, high=10**6)
    schemes: tuple[str, ...] = bound(DEFAULT_SCHEMES, parse=Scheme.parse)
    targets: tuple[str, ...] = bound(("weights",), choices=TARGETS)
    modes: tuple[str, ...] = bound(("enable-one",), choices=MODES)
    ranking: str | None = bound(None, parse=_parse_measure)
    metric: str | None = bound(None)
    against: str | None = bound(None)
    scheme: str | None = bound(None)
    target: str | None = bound(None)
    mode: str | None = bound(None)
    layer: str | None = bound(None)

    def settle(self) -> Self:
        """Targets and modes in the order of the rows."""
        targets = tuple(word for word in TARGETS if word in self.targets)
        return replace(self, targets=targets, modes=tuple(word for word in MODES if word in self.modes))

    @classmethod
    def translate(cls, asked: Mapping[str, Sequence[str]]) -> tuple[Query, list[str], list[str]]:
        """`scheme=TEXT` is put in view, and measured along with the others where it is not among them.

        >>> SensitivityView.translate({"scheme": ["int6  channel"]})[0]["schemes"]
        ['int4 channel', 'int8 channel', 'int6 channel']
        """
        query = {key: list(words) for key, words in asked.items()}
        if "scheme" not in query:
            return query, [], []
        try:
            text = str(Scheme.parse(query["scheme"][-1]))
        except ValueError as error:
            return {key: words for key, words in query.items() if key != "scheme"}, [], [str(error)]
        measured = query.get("schemes") or list(list_rules(cls)["schemes"].default)
        query["scheme"] = [text]
        if text not in measured:
            query["schemes"] = [*measured, text]
        return query, [], []
