"""How are activations called? LAYER:input, LAYER:output, LAYER:keys and LAYER:values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from qanalysis.arrays import Floats

#: What of a layer is looked at: its first input, its output, the keys and values that a cache would hold.
Look = Literal["input", "output", "kv"]
LOOKS: tuple[Look, ...] = get_args(Look)
Side = Literal["input", "output", "keys", "values"]


@dataclass(frozen=True, slots=True)
class Place:
    """One activation of a model: a side of a layer; keys and values part into `heads`."""

    layer: str
    side: Side
    heads: int = 1

    @property
    def name(self) -> str:
        """As tensors are called: the layer, a colon, the side."""
        return f"{self.layer}:{self.side}"


#: Who is told of an activation: which one, its values as (tokens, features) float32, the type that they had.
Take = Callable[[Place, Floats, str], None]
