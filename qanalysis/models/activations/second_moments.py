"""Which directions does a layer's input have? C = E[a aᵀ] of its rows a, streamed batch by batch; beyond a stated width
the diagonal alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from qanalysis.arrays import Doubles
from qanalysis.models.calibration.samples import Calibration
from qanalysis.models.running.runnable import Runnable

#: Inputs of more features get the diagonal alone: C of 4096 takes 134 MB.
WIDEST = 4096
#: Values that are widened to float64 at once, 16 MB of them.
_AT_ONCE = 1 << 21


@dataclass(slots=True, eq=False)
class SecondMoments:
    """Sums over the rows of an input, (..., width), in float64; they add, so that batches do not matter.

    `products` is the sum of a aᵀ, (width, width), None where the input is wider than `widest`; `squares` its diagonal;
    `total` the sum of a; `count` the number of rows.
    """

    width: int
    widest: int = WIDEST
    count: int = 0
    products: Doubles | None = None
    squares: Doubles = field(default_factory=lambda: np.zeros(0))
    total: Doubles = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        self.squares, self.total = np.zeros(self.width), np.zeros(self.width)
        if self.width <= self.widest:
            self.products = np.zeros((self.width, self.width))

    def add(self, values: Tensor) -> None:
        """More rows; ValueError where they have another width."""
        if values.shape[-1] != self.width:
            raise ValueError(f"an input of {values.shape[-1]} features after one of {self.width}; both must be alike")
        rows = values.detach().reshape(-1, self.width)
        step = max(_AT_ONCE // max(self.width, 1), self.width)
        for start in range(0, len(rows), step):
            self._add_rows(rows[start : start + step].double().numpy())

    def _add_rows(self, rows: Doubles) -> None:
        self.count += len(rows)
        self.total += rows.sum(axis=0)
        if self.products is None:
            self.squares += np.einsum("ij,ij->j", rows, rows)
            return
        self.products += rows.T @ rows  # numpy sees that both are one and computes half: a third less time than torch
        self.squares[:] = self.products.diagonal()

    @property
    def matrix(self) -> Doubles | None:
        """C = E[a aᵀ], (width, width); None where only the diagonal is known or nothing was seen."""
        return self.products / self.count if self.products is not None and self.count else None

    @property
    def diagonal(self) -> Doubles:
        """E[a²] of each feature, (width,); NaN where nothing was seen."""
        return self.squares / self.count if self.count else np.full(self.width, np.nan)

    @property
    def mean(self) -> Doubles:
        """E[a], (width,); NaN where nothing was seen."""
        return self.total / self.count if self.count else np.full(self.width, np.nan)


def gather_second_moments(
    model: Runnable, calibration: Calibration, layers: Sequence[str], *, batch: int = 64, widest: int = WIDEST
) -> dict[str, SecondMoments]:
    """The moments of the first input of each layer over all samples, by layer; layers that never run are left out."""
    found = dict[str, SecondMoments]()

    def receive(name: str, values: Tensor) -> None:
        if name not in found:
            found[name] = SecondMoments(values.shape[-1], widest)
        found[name].add(values)

    for part in calibration.batches(batch):
        model.watch(part, layers, receive)
    return found
