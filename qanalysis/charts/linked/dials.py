"""Which part of a scene do its continuous controls ask for? Each value lies on a fine lattice; the values of all dials
make one whole number, which names the part.

The browser counts in the same way: `dials.js`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Dial:
    """A control from `low` to `high` whose slider moves by `step`; every value is told apart to `digits` decimals.

    `name` is its word in what the browser asks for, `label` its heading, `unit` stands behind its value.
    """

    name: str
    label: str
    unit: str
    low: float
    high: float
    step: float
    digits: int = 0

    @property
    def places(self) -> int:
        """How many values can be told apart."""
        return round((self.high - self.low) * 10.0**self.digits) + 1

    def describe(self) -> dict[str, Any]:
        """The dial as the browser is told of it."""
        ends = {"min": self.low, "max": self.high, "step": self.step, "grain": 10.0**-self.digits}
        return {"name": self.name, "label": self.label, "unit": self.unit, "digits": self.digits, **ends}

    def take(self, value: object) -> float | None:
        """A value that a browser sent, on the lattice; None for what is no number within the ends."""
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            return None
        return round(float(value), self.digits) if self.low <= value <= self.high else None


def place_values(dials: Sequence[Dial], values: Mapping[str, float]) -> int:
    """The whole number of the dials' values, each within its ends; the last dial runs fastest.

    >>> place_values((Dial("a", "A", "", 0, 2, 1), Dial("b", "B", "", 0.1, 0.5, 0.1, 1)), {"a": 2, "b": 0.3})
    12
    """
    index = 0
    for dial in dials:
        index = index * dial.places + round((values[dial.name] - dial.low) * 10.0**dial.digits)
    return index


def read_values(dials: Sequence[Dial], index: int) -> dict[str, float]:
    """The values behind a whole number; LookupError for one beyond all that the dials have.

    >>> read_values((Dial("a", "A", "", 0, 2, 1), Dial("b", "B", "", 0.1, 0.5, 0.1, 1)), 12)
    {'a': 2.0, 'b': 0.3}
    """
    if not 0 <= index < math.prod(dial.places for dial in dials):
        raise LookupError(f"{index} is no place of the controls {', '.join(dial.name for dial in dials)}")
    values = {}
    for dial in reversed(dials):
        index, place = divmod(index, dial.places)
        values[dial.name] = round(dial.low + place / 10.0**dial.digits, dial.digits)
    return {dial.name: float(values[dial.name]) for dial in dials}
