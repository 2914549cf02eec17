"""What is in place when a form was repaired? Weights as the repair left them, inputs on ranges of that model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from torch import Tensor

from qanalysis.models.forms.candidates import Candidate, FormMaker
from qanalysis.models.forms.form import Form
from qanalysis.models.repairs.catalogue import find_repair
from qanalysis.models.running.runnable import Change, Turn

_SCALES_AS_IT_RUNS = "the repair changes inputs of layers as the model runs, which the file does not hold"


def repair_form(
    maker: FormMaker,
    form: Form,
    repair: str,
    *,
    seed: int = 0,
    check: Callable[[], None] = lambda: None,
) -> Candidate:
    """The form after a repair of its weights; the ranges of inputs are calibrated with the repair in place.

    A form whose weights stay float has none. `check` may raise to end the work. Raises ValueError for an unknown repair
    and where the model does not run.
    """
    plain = maker.make(form)
    layers = [layer for layer in maker.layers if layer.tensor.name in plain.quantized]
    if form.weights is None or not layers or plain.refusal:
        why = plain.refusal or "its weights stay float, and repairs are of weights"
        return Candidate(form, repair, plain.make, plain.fit, {}, plain.size_bytes, refusal=why)
    repaired = find_repair(repair).make(
        maker.model,
        maker.calibration,
        layers,
        form.weights,
        activation_scheme=form.activations,
        seed=seed,
        check=check,
    )
    inputs, notes = {}, [*plain.notes, *repaired.notes]
    if form.activations is not None:
        grids = maker.observe([form.activations], change=repaired.change)
        inputs = maker.find_inputs(form.activations, grids)[0]
    change = Change(repaired.change.weights, _join(repaired.change.inputs, maker.turn_inputs(inputs)))
    return Candidate(
        form,
        repair,
        lambda: change,
        lambda: repaired.quantizers,
        inputs,
        plain.size_bytes,
        tuple(notes),
        output_scales=repaired.output_scales,
        unsavable=_SCALES_AS_IT_RUNS if repaired.change.inputs else "",
        quantized=plain.quantized,
    )


def _join(first: Mapping[str, Turn], then: Mapping[str, Turn]) -> dict[str, Turn]:
    """Both turns of each layer, one after the other."""
    names = [*first, *(name for name in then if name not in first)]
    return {name: partial(_turn_twice, [turns[name] for turns in (first, then) if name in turns]) for name in names}


def _turn_twice(turns: Sequence[Turn], values: Tensor) -> Tensor:
    for turn in turns:
        values = turn(values)
    return values
