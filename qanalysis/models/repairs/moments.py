"""What do a layer's inputs look like as a matrix product sees them? Means and C = E[a aᵀ] of its features, group by
group, in the model as it is or with changes in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from qanalysis.arrays import Doubles
from qanalysis.models.calibration.samples import Calibration
from qanalysis.models.repairs.spreading import Spread
from qanalysis.models.running.runnable import NO_CHANGE, Change, Runnable

#: A layer of more features has no C here: that of 8192 takes 512 MB, and its inverse takes minutes.
WIDEST = 8192
#: How many bytes the matrices of layers that are watched in one run may take.
_HELD_AT_ONCE = 1 << 30


@dataclass(slots=True, eq=False)
class InputMoments:
    """Sums over the features of a layer, (groups, places, width), in float64; they add, so that batches do not matter.

    `products` is the sum of a aᵀ, (groups, width, width), None where it was not asked for; `total` the sum of a,
    (groups, width); `count` the number of places.
    """

    spread: Spread
    has_products: bool = True
    count: int = 0
    products: Doubles | None = None
    total: Doubles = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        groups, width = self.spread.groups, self.spread.width
        self.total = np.zeros((groups, width))
        if self.has_products:
            self.products = np.zeros((groups, width, width))

    def add(self, values: Tensor) -> None:
        """The input of some more samples; ValueError where it does not fit the layer."""
        for part in self.spread.parts(values):
            features = part.double()
            self.count += features.shape[1]
            self.total += features.sum(1).numpy()
            if self.products is not None:
                self.products += (features.transpose(1, 2) @ features).numpy()

    @property
    def matrix(self) -> Doubles | None:
        """C = E[a aᵀ], (groups, width, width); None where it was not asked for or nothing was seen."""
        return self.products / self.count if self.products is not None and self.count else None

    @property
    def mean(self) -> Doubles:
        """E[a], (groups, width); NaN where nothing was seen."""
        return self.total / self.count if self.count else np.full_like(self.total, np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class Watcher:
    """Watches inputs of a model's layers over all samples, `batch` at once; `check` may raise to end the work."""

    model: Runnable
    calibration: Calibration
    batch: int
    check: Callable[[], None] = lambda: None

    def watch(self, layers: Sequence[str], receive: Callable[[str, Tensor], None], change: Change = NO_CHANGE) -> None:
        """Hand the inputs of these layers to `receive`, batch by batch, while a change is in place."""
        for part in self.calibration.batches(self.batch):
            self.check()
            self.model.watch(part, layers, receive, change=change)

    def gather(
        self, spreads: Mapping[str, Spread], *, change: Change = NO_CHANGE, products: bool = True
    ) -> dict[str, InputMoments]:
        """The moments of layers by name; layers that never ran, or whose inputs do not fit them, are left out."""
        found, wrong = dict[str, InputMoments](), set[str]()

        def receive(name: str, values: Tensor) -> None:
            try:
                found.setdefault(name, InputMoments(spreads[name], has_products=products)).add(values)
            except (ValueError, RuntimeError):
                wrong.add(name)

        self.watch(list(spreads), receive, change)
        return {name: moments for name, moments in found.items() if name not in wrong and moments.count}


def part_spreads(spreads: Mapping[str, Spread]) -> Iterator[dict[str, Spread]]:
    """Layers that are watched in one run, in their order, so that their matrices fit the memory set aside for them."""
    part, held = dict[str, Spread](), 0
    for name, spread in spreads.items():
        size = spread.groups * spread.width**2 * 8
        if part and held + size > _HELD_AT_ONCE:
            yield part
            part, held = {}, 0
        part[name] = spread
        held += size
    if part:
        yield part
