"""How large is an error where the inputs are? Energies of a tensor's outputs, exactly and weighted by squared inputs.

With e the error and w the tensor itself, both as the matrix (outputs, width) of each part, C = E[a aT] of its input and
m the diagonal of C:

    layer output error   sum n tr(E C ET) / sum n tr(W C WT): the error energy of the outputs of all n rows over theirs,
                         biases left out
    weighted error       sum m_j e_ij^2 / sum m_j w_ij^2, what llama.cpp's imatrix holds the m for

A row of a table that is looked up n times adds n |e|^2 to the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from qanalysis.arrays import Doubles
from qanalysis.models.measures.uses import Use

#: Elements that are widened to float64 at once, 16 MB of them.
_AT_ONCE = 1 << 21


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """A tensor's elements in the order of memory, (elements,); with `base` the differences from those of it."""

    memory: Tensor
    base: Tensor | None = None

    def list_rows(self, use: Use) -> Iterator[tuple[int, Tensor]]:
        """Some rows of a part after another, (rows, width) in float64, and the number of the first of them."""
        matrix = use.take(self.memory)
        base = None if self.base is None else use.take(self.base)
        step = max(_AT_ONCE // max(use.width, 1), 1)
        for start in range(0, use.outputs, step):
            rows = matrix[start : start + step].double()
            yield start, rows if base is None else rows - base[start : start + step].double()


def sum_output_energy(values: Values, products: Mapping[Use, Doubles], lookups: Mapping[Use, Doubles]) -> float:
    """The energy of all outputs: `products` are the sums of a aT (width, width) over the rows that each part met,
    `lookups` how often each row of a table was taken.
    """
    total = 0.0
    for use, sums in products.items():
        weights = torch.from_numpy(sums)
        for _start, rows in values.list_rows(use):
            total += float(torch.dot((rows @ weights).reshape(-1), rows.reshape(-1)))
    for use, counts in lookups.items():
        times = torch.from_numpy(counts)
        for start, rows in values.list_rows(use):
            total += float(rows.square().sum(1) @ times[start : start + len(rows)])
    return total


def sum_weighted_energy(values: Values, squares: Mapping[Use, Doubles]) -> float:
    """Squared elements, each weighted by the mean square of the input that it meets, (width,) for each part."""
    total = 0.0
    for use, mean_squares in squares.items():
        weights = torch.from_numpy(mean_squares)
        for _start, rows in values.list_rows(use):
            total += float((rows.square() @ weights).sum())
    return total
