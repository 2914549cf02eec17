"""In which order are forms measured? All of them at once as they are, then each repair by itself, so that no more than
one repaired model is held.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qanalysis.models.activations.input_statistics import Averaging
from qanalysis.models.calibration.samples import Calibration
from qanalysis.models.forms.candidates import Candidate, FormMaker
from qanalysis.models.forms.form import Form
from qanalysis.models.forms.loading import load_form
from qanalysis.models.forms.measuring import Comparison, compare_forms
from qanalysis.models.forms.repairing import repair_form
from qanalysis.models.forms.row import FormRow
from qanalysis.models.forms.saving import save_form
from qanalysis.models.forms.tabulating import tabulate
from qanalysis.models.running.runnable import Layer, Runnable
from qanalysis.models.sensitivity.gathering import Clock
from qanalysis.models.sensitivity.intervals import Resampling


class CancelledError(Exception):
    """Somebody asked to stop while a repair was made."""


class Work:
    """One measurement of forms; `layers` are those that are quantized, in the order of a run."""

    def __init__(
        self,
        model: Runnable,
        calibration: Calibration,
        layers: Sequence[Layer],
        *,
        chunk: int,
        clock: Clock,
        seed: int = 0,
        averaging: Averaging = "none",
    ) -> None:
        self.complete = True
        self._averaging = averaging
        self._model, self._calibration, self._layers = model, calibration, layers
        self._chunk, self._clock, self._seed = chunk, clock, seed

    def measure(self, plan: Sequence[Form], repairs: Sequence[str], save: Path | None) -> list[FormRow]:
        """The rows of all forms, each followed by those of its repairs; the one form is saved where asked for."""
        schemes = list(dict.fromkeys(form.activations for form in plan if form.activations is not None))
        maker = FormMaker(self._model, self._calibration, self._layers, averaging=self._averaging)
        maker.calibrate(schemes)
        plain = [maker.make(form) for form in plan]
        first = self._compare(plain)
        found = {row.form: [row] for row in self._tabulate(first)}
        last = plain[-1]
        for form in plan if self.complete else ():
            for repair in repairs if form.weights is not None else ():
                candidate = self._repair(maker, form, repair)
                if candidate is None:
                    continue
                part = self._compare([candidate])
                if self.complete:
                    found[form.name] += self._tabulate(part)
                    last = candidate
        if save is not None and self.complete:
            self._save(save, last)
        return [row for rows in found.values() for row in rows]

    def _save(self, path: Path, candidate: Candidate) -> None:
        if path.suffix.lower() != ".onnx":
            save_form(path, self._model, candidate)
            return
        from qanalysis.models.forms.onnx_saving import save_onnx  # brings the format's package along

        save_onnx(path, self._model, candidate, self._calibration.blocks[0].cut(0, 16))

    def measure_saved(self, path: Path) -> list[FormRow]:
        """The row of the form that a file holds, as it comes out of the file."""
        found = load_form(path, self._model)
        candidate = Candidate(found.form, found.repair, lambda: found.change, dict, {}, found.size_bytes)
        return self._tabulate(self._compare([candidate]))

    def _repair(self, maker: FormMaker, form: Form, repair: str) -> Candidate | None:
        """The repaired form, or why there is none; None where the work was cancelled."""
        try:
            self._check()
            candidate = repair_form(maker, form, repair, seed=self._seed, check=self._check)
        except CancelledError:
            self.complete = False
            return None
        except (ValueError, MemoryError) as error:
            plain = maker.make(form)
            candidate = Candidate(form, repair, plain.make, plain.fit, {}, plain.size_bytes, refusal=str(error))
        self._clock.step(f"{form}, {repair}")
        return candidate

    def _check(self) -> None:
        if self._clock.is_cancelled:
            raise CancelledError

    def _compare(self, candidates: Sequence[Candidate]) -> Comparison:
        clock = self._clock
        found = compare_forms(self._model, self._calibration, candidates, self._layers, chunk=self._chunk, clock=clock)
        self.complete = self.complete and found.complete
        return found

    def _tabulate(self, comparison: Comparison) -> list[FormRow]:
        is_enough = comparison.samples > 1
        resampling = Resampling.draw(comparison.samples, seed=self._seed) if is_enough else None
        total = sum(info.size_bytes for info in self._model.tensors)
        return tabulate(comparison, resampling, float_bytes=total, loss=self._calibration.loss)
