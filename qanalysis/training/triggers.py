"""When is an adjustment run? Never, at every step, every k steps, once per epoch, or at doubling gaps (A12).

A trigger remembers, per quantizer, the next step to check and the gap; what was seen without a finite element does not
use a check up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Doubles
from qanalysis.notation import quote
from qanalysis.training.state import QuantizerState

_FORMS = "never, every, every:K, epoch, doubling:CAP"
_NEXT, _GAP = "next_check", "check_gap"


@dataclass(frozen=True, slots=True)
class Trigger:
    """How often: `mode` is never, every, epoch or doubling; `steps` the interval of every, the cap of doubling."""

    mode: str = "every"
    steps: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """The trigger written as `text`; ValueError names the forms.

        >>> str(Trigger.parse("every:1")), str(Trigger.parse("doubling:32"))
        ('every', 'doubling:32')
        """
        match = re.fullmatch(r"(never|epoch|every|doubling)(?::(\d{1,9}))?", text)
        if match is None or (match[1] in ("never", "epoch") and match[2]):
            raise ValueError(f"trigger {quote(text)} is unknown; triggers are {_FORMS}")
        if match[1] == "doubling" and not match[2]:
            raise ValueError("trigger 'doubling' needs the longest gap, such as doubling:32")
        if match[2] and int(match[2]) < 1:
            raise ValueError(f"trigger {quote(text)}: the number of steps is at least 1")
        return cls(match[1], int(match[2] or 1))

    def __str__(self) -> str:
        if self.mode == "doubling":
            return f"doubling:{self.steps}"
        return f"every:{self.steps}" if self.mode == "every" and self.steps > 1 else self.mode

    @property
    def is_always(self) -> bool:
        """Whether every step is a check."""
        return self.mode == "every" and self.steps == 1

    def is_due(self, state: QuantizerState, step: int, epoch: int) -> NDArray[np.bool_]:
        """Which quantizers check at this step, (n,); `epoch` is the steps in one. A quantizer without a range always
        does.
        """
        n = state.high.size
        match self.mode:
            case "never":
                due = np.zeros(n, np.bool_)
            case "doubling":
                due = step >= state.recall(_NEXT)
            case _:
                due = np.full(n, step % (epoch if self.mode == "epoch" else self.steps) == 0)
        return due | ~state.has_range

    def advance(
        self, state: QuantizerState, step: int, checked: NDArray[np.bool_], changed: NDArray[np.bool_]
    ) -> QuantizerState:
        """The state after a check: doubling gaps begin anew at 1 after a change, else double up to the cap.

        Checks go 0, 1, 3, 7, 15 where nothing changes, and 0, 1, 2, 4, 8 where the second still did.
        """
        if self.mode != "doubling":
            return state
        gap: Doubles = state.recall(_GAP, 0.5)
        gap = np.where(changed, 1.0, np.minimum(np.maximum(2 * gap, 1), self.steps))
        return state.remember(
            **{
                _NEXT: np.where(checked, step + gap, state.recall(_NEXT)),
                _GAP: np.where(checked, gap, state.recall(_GAP, 0.5)),
            }
        )
