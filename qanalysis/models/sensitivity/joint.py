"""What do several layers do together? Sets of layers, each under its own scheme, that are quantized at once.

They are those that a planner would choose: of one scheme the least sensitive share of the layers, and mixtures of the
schemes that fit a budget; and, to be fair to it, layers drawn at random.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal

import numpy as np

from qanalysis.models.calibration.samples import Calibration
from qanalysis.models.running.runnable import Change, Runnable
from qanalysis.models.sensitivity.cells import Cell
from qanalysis.models.sensitivity.changes import Changes, Made
from qanalysis.models.sensitivity.gathering import Clock, Gathered, Measurement, gather
from qanalysis.models.sensitivity.tabulating import describe_size

Choice = Literal["all", "least-sensitive", "mixed", "random"]
MIXED = "mixed"
_SHARES = (0.5, 0.25, 0.75)
_RANDOM_SETS = 2
#: At most so many sets beside those of all layers, where the work is little and where it is not, or a fortieth of the
#: cells where that is more.
LITTLE_SETS, MOST_SETS = 12, 4
_CELLS_PER_SET = 40


@dataclass(frozen=True, slots=True, eq=False)
class JointSet:
    """Cells that are changed at once, each of one layer; `budget` is the share of the layers, or of the way from the
    smallest assignment to the largest one. `known` is what was measured of it already.
    """

    choice: Choice
    budget: float
    singles: Sequence[Gathered]
    known: Gathered | None = None

    @property
    def scheme(self) -> str:
        """The scheme of all its layers, or "mixed"."""
        schemes = {str(one.cell.scheme) for one in self.singles}
        return schemes.pop() if len(schemes) == 1 else MIXED

    @property
    def target(self) -> str:
        """What is quantized of all its layers."""
        return self.singles[0].cell.target

    @property
    def tensors(self) -> list[str]:
        """The tensors of its layers."""
        return [one.cell.layer.tensor.name for one in self.singles]

    @property
    def cell(self) -> Cell:
        """What a run is told as."""
        first = self.singles[0].cell
        layer = replace(first.layer, tensor=replace(first.layer.tensor, name=f"{len(self.singles)} layers"))
        return Cell(layer, first.scheme, first.target, "cumulative", [one.cell.layer for one in self.singles])


def count_sets(cells: int, *, is_little: bool) -> int:
    """How many sets there are at most beside those of all layers."""
    return max(LITTLE_SETS if is_little else MOST_SETS, cells // _CELLS_PER_SET)


def choose_sets(gathered: Sequence[Gathered], totals: Sequence[Gathered], *, most: int, seed: int) -> list[JointSet]:
    """The sets for cells of one layer each that were measured: `totals`, all layers of a scheme and target, where each
    of them could be measured alone; then at most so many shares of the layers, mixtures, and layers drawn by `seed`,
    none of them twice.
    """
    columns, broken = dict[tuple[str, str], dict[str, Gathered]](), set[tuple[str, str]]()
    for one in gathered:
        key = (one.cell.target, str(one.cell.scheme))
        if one.cell.mode == "enable-one" and one.status == "ok" and one.parts:
            columns.setdefault(key, {}).setdefault(one.cell.layer.tensor.name, one)
        elif one.cell.mode == "enable-one" and one.status != "unsupported":
            broken.add(key)
    ranked = {key: _rank(list(layers.values())) for key, layers in columns.items()}
    found = dict[frozenset[int], JointSet]()
    for one in totals:
        key = (one.cell.target, str(one.cell.scheme))
        if key in ranked and key not in broken:
            _add(found, JointSet("all", 1.0, ranked[key], one))
    limit = len(found) + most
    for one_set in chain(
        _choose_shares(ranked, _SHARES[:1]),
        _mix(columns),
        _choose_shares(ranked, _SHARES[1:]),
        _choose_random(ranked, seed),
    ):
        _add(found, one_set, limit)
    return list(found.values())


def _add(found: dict[frozenset[int], JointSet], one: JointSet, limit: int | None = None) -> None:
    key = frozenset(map(id, one.singles))
    if len(key) > 1 and (limit is None or len(found) < limit):
        found.setdefault(key, one)


def _rank(layers: list[Gathered]) -> list[Gathered]:
    """The least sensitive first, by the energy of the error."""
    return sorted(layers, key=lambda one: float(one.sums.e2.sum()))


def _choose_shares(ranked: Mapping[tuple[str, str], Sequence[Gathered]], shares: Sequence[float]) -> Iterator[JointSet]:
    for share in shares:
        for layers in ranked.values():
            yield JointSet("least-sensitive", share, layers[: round(share * len(layers))])


def _choose_random(ranked: Mapping[tuple[str, str], Sequence[Gathered]], seed: int) -> Iterator[JointSet]:
    generator = np.random.default_rng(seed)
    for _number in range(_RANDOM_SETS):
        for layers in ranked.values():
            places = np.sort(generator.choice(len(layers), -(-len(layers) // 2), replace=False))
            yield JointSet("random", 0.5, [layers[place] for place in places])


def _mix(columns: Mapping[tuple[str, str], Mapping[str, Gathered]]) -> Iterator[JointSet]:
    """For weights under several schemes: from the smallest scheme of each layer on, that layer becomes larger that
    gains most for its bytes, until the budget is spent.
    """
    options = dict[str, list[tuple[int, float, Gathered]]]()
    for (target, _scheme), layers in columns.items():
        for tensor, one in layers.items() if target == "weights" else ():
            size = describe_size(one.cell.layer.tensor, one.cell.scheme).get("size_bytes")
            if size is not None:
                options.setdefault(tensor, []).append((size, float(one.sums.e2.sum()), one))
    chosen = {tensor: min(kinds, key=lambda kind: kind[:2]) for tensor, kinds in options.items()}
    largest = sum(max(kind[0] for kind in kinds) for kinds in options.values())
    smallest = sum(kind[0] for kind in chosen.values())
    for budget in _SHARES:
        spare = int(budget * (largest - smallest))
        picked = _upgrade(options, chosen, spare)
        if len({str(one.cell.scheme) for one in picked}) > 1:
            yield JointSet("mixed", budget, picked)


def _upgrade(
    options: Mapping[str, Sequence[tuple[int, float, Gathered]]],
    chosen: Mapping[str, tuple[int, float, Gathered]],
    spare: int,
) -> list[Gathered]:
    current = dict(chosen)
    while True:
        steps = [
            ((current[tensor][1] - kind[1]) / (kind[0] - current[tensor][0]), tensor, kind)
            for tensor, kinds in options.items()
            for kind in kinds
            if 0 < kind[0] - current[tensor][0] <= spare and kind[1] < current[tensor][1]
        ]
        if not steps:
            return [kind[2] for kind in current.values()]
        _gain, tensor, kind = max(steps, key=lambda step: step[0])
        spare -= kind[0] - current[tensor][0]
        current[tensor] = kind


def measure_sets(
    model: Runnable,
    calibration: Calibration,
    sets: Sequence[JointSet],
    changes: Changes,
    *,
    chunk: int,
    clock: Clock,
) -> Measurement:
    """Every set over all samples, in their order."""
    if not sets:
        return Measurement((), len(calibration), calibration.tokens, True)
    cells = {one.cell: one for one in sets}

    def make(cell: Cell) -> Made:
        made = [changes.make(single.cell).change for single in cells[cell].singles]
        weights = dict(chain.from_iterable(one.weights.items() for one in made))
        inputs = dict(chain.from_iterable(one.inputs.items() for one in made))
        return Made(Change(weights, inputs))

    return gather(model, calibration, list(cells), make, chunk=chunk, clock=clock)
