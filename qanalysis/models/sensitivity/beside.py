"""What is measured beside the cells? The noise floors, all layers at once, and sets of layers together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from qanalysis.models.calibration.samples import Calibration
from qanalysis.models.running.runnable import Layer, Runnable
from qanalysis.models.sensitivity.cells import Cell
from qanalysis.models.sensitivity.changes import Changes
from qanalysis.models.sensitivity.floors import Effort, Floors, count_runs, measure_floors
from qanalysis.models.sensitivity.gathering import Clock, Gathered, Measurement, gather
from qanalysis.models.sensitivity.joint import JointSet, choose_sets, count_sets, measure_sets
from qanalysis.models.sensitivity.row import Target
from qanalysis.quantizers.scheme import Scheme
from qanalysis.sweeps.row import TOTAL_NAME

#: Up to so many products of a weight and a token, over one run for every layer, the work is little, some seconds.
LITTLE_WORK = 2e10


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What is wanted: the layers under which schemes and targets, and whether floors and joint sets are measured."""

    layers: Sequence[Layer]
    schemes: Sequence[Scheme]
    targets: Sequence[Target]
    floor: bool
    additivity: bool
    seed: int

    def is_little(self, calibration: Calibration) -> bool:
        """Whether one run over all samples for every layer is little work."""
        weights = sum(layer.tensor.numel for layer in self.layers)
        return weights * calibration.tokens * len(self.layers) <= LITTLE_WORK

    def choose_effort(self, calibration: Calibration, cells: int) -> Effort:
        """How much is run for the floors."""
        return Effort.choose(len(calibration), len(self.layers), cells, is_little=self.is_little(calibration))


@dataclass(frozen=True, slots=True, eq=False)
class Beside:
    """What was found; `notes` say what is missing, a sentence each."""

    floors: Floors | None = None
    totals: Sequence[Gathered] = ()
    sets: Sequence[JointSet] = ()
    joint: Sequence[Gathered] = ()
    notes: Sequence[str] = field(default_factory=list)
    is_complete: bool = True


def count_all(asked: Asked, calibration: Calibration, cells: int, *, chunk: int) -> int:
    """How many runs the cells and what stands beside them take at most."""
    sets = count_sets(cells, is_little=asked.is_little(calibration)) if asked.additivity else 0
    chunks = sum(1 for _ in calibration.batches(chunk))
    effort = asked.choose_effort(calibration, cells)
    floors = count_runs(calibration, asked.layers, effort, chunk=chunk) if asked.floor else 0
    return chunks * (cells + len(asked.schemes) * len(asked.targets) + sets) + floors


def measure_beside(
    model: Runnable,
    calibration: Calibration,
    asked: Asked,
    measurement: Measurement,
    changes: Changes,
    *,
    chunk: int,
    clock: Clock,
) -> Beside:
    """All of it, after the cells; nothing where those were cancelled. What fails is left out with a note."""
    if not measurement.complete:
        return Beside(is_complete=False)
    floors, notes = None, list[str]()
    if asked.floor:
        effort = asked.choose_effort(calibration, len(measurement.gathered))
        try:
            floors = measure_floors(model, calibration, asked.layers, changes.make, effort, chunk=chunk, clock=clock)
        except ValueError as error:
            notes.append(f"no noise floor: the model does not run on other batches ({error})")
    totals = gather(model, calibration, _list_totals(asked), changes.make, chunk=chunk, clock=clock)
    whole = [one for one in totals.gathered if totals.complete]
    sets = list[JointSet]()
    if asked.additivity and totals.complete:
        most = count_sets(len(measurement.gathered), is_little=asked.is_little(calibration))
        sets = choose_sets(measurement.gathered, whole, most=most, seed=asked.seed)
    reused = {id(one): one.known for one in sets if one.known is not None}
    new = [one for one in sets if one.known is None]
    clock.total = clock.done + len(new) * sum(1 for _ in calibration.batches(chunk))
    joint = measure_sets(model, calibration, new, changes, chunk=chunk, clock=clock)
    if not joint.complete:
        return Beside(floors, whole, notes=notes, is_complete=False)
    ran = dict(zip(map(id, new), joint.gathered, strict=True))
    complete = totals.complete and (floors is None or floors.is_complete)
    return Beside(floors, whole, sets, [(reused | ran)[id(one)] for one in sets], notes, complete)


def _list_totals(asked: Asked) -> list[Cell]:
    """All layers at once, of each scheme and target."""
    if not asked.layers:
        return []
    layer = replace(asked.layers[0], name=TOTAL_NAME, tensor=replace(asked.layers[0].tensor, name=TOTAL_NAME))
    return [
        Cell(layer, scheme, target, "cumulative", asked.layers) for scheme in asked.schemes for target in asked.targets
    ]
