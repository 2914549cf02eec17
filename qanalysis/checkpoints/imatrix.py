"""What does an importance matrix of llama.cpp say? Mean squares of the inputs of each weight over a calibration run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qanalysis.arrays import Doubles


@dataclass(frozen=True, slots=True, eq=False)
class Importance:
    """Of one weight: `squares` (matrices, width) are the mean squares of each input feature, one row for each expert of
    a stack and one for any other weight; `counts` (matrices,) how many inputs went into each, 0 for no data.
    """

    squares: Doubles
    counts: Doubles


@dataclass(frozen=True, slots=True, eq=False)
class Imatrix:
    """Importances by the weights' names in the file; which data they were taken on and in how many chunks of how many
    tokens, as far as the file says.
    """

    entries: Mapping[str, Importance]
    datasets: tuple[str, ...] = ()
    chunks: int = 0
    chunk_size: int = 0
    name: str = field(default="an imatrix")
