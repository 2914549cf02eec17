"""What is measured? Layers, schemes, targets and modes crossed into cells, in the order in which rows are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qanalysis.models.running.runnable import Layer
from qanalysis.models.sensitivity.row import Mode, Target
from qanalysis.quantizers.scheme import Scheme


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One measurement: `layer` is the one that the row is about, `changed` are all layers that are quantized for it."""

    layer: Layer
    scheme: Scheme
    target: Target
    mode: Mode
    changed: Sequence[Layer]


def list_cells(
    layers: Sequence[Layer], schemes: Sequence[Scheme], targets: Sequence[Target], modes: Sequence[Mode]
) -> list[Cell]:
    """All cells: modes outermost, then targets, then layers as given, in the order of a run, schemes innermost."""
    return [
        Cell(layer, scheme, target, mode, _choose(layers, place, mode))
        for mode in modes
        for target in targets
        for place, layer in enumerate(layers)
        for scheme in schemes
    ]


def _choose(layers: Sequence[Layer], place: int, mode: Mode) -> Sequence[Layer]:
    if mode == "enable-one":
        return (layers[place],)
    return layers[: place + 1] if mode == "cumulative" else (*layers[:place], *layers[place + 1 :])
