"""How is a quantized model repaired? Preparations, then rounding, then corrections, each measured apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qanalysis.models.calibration.samples import Calibration
from qanalysis.models.repairs.inputs import turn_inputs
from qanalysis.models.repairs.moments import Watcher
from qanalysis.models.repairs.rounding import round_layers
from qanalysis.models.repairs.stages import Correction, Draft, Preparation, Repaired, Rounder, Task, ignore
from qanalysis.models.running.runnable import Change, Layer, Runnable
from qanalysis.models.sensitivity.gathering import choose_chunk
from qanalysis.quantizers.scheme import Scheme


@dataclass(frozen=True, slots=True)
class Repair:
    """A repair by its name: what it does in one line, and its stages. A stage that is None is left out; without a
    rounder weights go to the nearest level.
    """

    name: str
    summary: str
    preparation: Preparation | None = None
    rounder: Rounder | None = None
    correction: Correction | None = None

    def make(
        self,
        model: Runnable,
        calibration: Calibration,
        layers: Sequence[Layer],
        scheme: Scheme,
        *,
        activation_scheme: Scheme | None = None,
        seed: int = 0,
        check: Callable[[], None] = ignore,
        is_sequential: bool = True,
    ) -> Repaired:
        """The quantized and repaired `layers`, given in the order of a run; the model itself stays as it is.

        With an `activation_scheme` weights are rounded and corrected for quantized inputs. Those are no part of the
        change: whoever quantizes inputs lays their grids in the repaired model.

        `is_sequential` rounds and corrects each layer for the inputs that it gets from those quantized before it (one
        run of the samples for each), else for those of the float model. `check` is called again and again and may raise
        to end the work.

        Raises ValueError where the model does not run on the samples. What can not be done to one layer leaves it
        rounded to the nearest level, with a note.
        """
        watcher = Watcher(model, calibration, choose_chunk(model, calibration), check)
        draft = Draft()
        task = Task(model, watcher, layers, scheme, activation_scheme, seed, is_sequential)
        if self.preparation:
            self.preparation.prepare(task, draft)
        turn_inputs(task, draft)
        round_layers(task, draft, self.rounder)
        if self.correction:
            self.correction.correct(task, draft)
        notes = draft.notes
        change = Change(dict(draft.weights), dict(draft.float_inputs))
        return Repaired(change, draft.quantizers, notes, sorted(draft.touched), draft.output_scales)

    def then(self, other: Repair) -> Repair:
        """Both repairs, one stage after the other; ValueError where both fill the same stage."""
        stages = {name: (getattr(self, name), getattr(other, name)) for name in STAGES}
        twice = [name for name, pair in stages.items() if None not in pair]
        if twice:
            raise ValueError(f"{self.name} and {other.name} are two ways of {STAGES[twice[0]]}; name one of them")
        chosen = {name: mine or others for name, (mine, others) in stages.items()}
        return Repair(f"{self.name}+{other.name}", f"{self.summary}; {other.summary}", **chosen)


#: What a stage does, in words.
STAGES = {"preparation": "preparing the weights", "rounder": "rounding", "correction": "correcting"}
