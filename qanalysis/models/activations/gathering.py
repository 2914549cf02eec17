"""What passes through the layers of a run? Inputs, outputs, keys and values of each, as matrices, while they pass."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from qanalysis.models.activations.features import find_feature_axis
from qanalysis.models.activations.input_statistics import name_type, to_tokens
from qanalysis.models.activations.key_value import KeysAndValues, find_keys_values
from qanalysis.models.activations.places import LOOKS, Look, Place, Side, Take
from qanalysis.models.calibration.samples import Batch, Calibration
from qanalysis.models.running.runnable import Layer, Runnable
from qanalysis.notation import quote


@dataclass(frozen=True, slots=True)
class Plan:
    """What is looked at: the layers whose inputs and whose outputs, and where keys and values come from."""

    inputs: Sequence[Layer]
    outputs: Sequence[Layer] = ()
    caches: KeysAndValues | None = None

    def list_places(self, model: Runnable) -> list[Place]:
        """Every activation that is asked for, by layers, in the order of the model, keys and values last."""
        sides: tuple[tuple[Side, Sequence[Layer]], ...] = (("input", self.inputs), ("output", self.outputs))
        found = [Place(layer.name, side) for side, layers in sides for layer in layers]
        order = {layer.name: number for number, layer in reversed(list(enumerate(model.layers)))}
        found.sort(key=lambda place: order.get(place.layer, len(order)))
        return found + (self.caches.list_places() if self.caches else [])


def choose_layers(model: Runnable) -> list[Layer]:
    """The layers with a weight of two or more axes, each once, in the order of the model."""
    chosen = dict[str, Layer]()
    for layer in model.layers:
        if layer.tensor.role in ("weight", "embedding") and layer.tensor.is_matrix:
            chosen.setdefault(layer.name, layer)
    return list(chosen.values())


def plan_looks(
    model: Runnable,
    calibration: Calibration,
    layers: Sequence[Layer],
    looks: Sequence[Look],
    is_wanted: Callable[[str], bool] = lambda _name: True,
) -> Plan:
    """What to look at: of `layers` the sides in `looks` whose names are wanted.

    ValueError for an unknown look, for keys and values that nothing tells, and where nothing is left.
    """
    for look in looks:
        if look not in LOOKS:
            raise ValueError(f"side {quote(look)} is none of {', '.join(LOOKS)}")
    caches = find_keys_values(model, calibration.blocks[0]) if "kv" in looks else None
    if "kv" in looks and caches is None:
        raise ValueError(
            "side kv: the model hands out no cache, and none of its layers is named as a projection of keys and "
            "values; leave kv out"
        )
    if caches is not None:
        names = [place.name for place in caches.list_places()]
        caches = replace(caches, wanted=frozenset(filter(is_wanted, names)))
    plan = Plan(
        [one for one in layers if "input" in looks and one.has_real_input and is_wanted(f"{one.name}:input")],
        [one for one in layers if "output" in looks and is_wanted(f"{one.name}:output")],
        caches,
    )
    if not plan.list_places(model):
        raise ValueError(
            f"no activation is left of {len(layers)} layers; names are LAYER:input, LAYER:output, LAYER:keys and "
            "LAYER:values: take other expressions or sides"
        )
    return plan


def stream_activations(
    model: Runnable,
    calibration: Calibration,
    plan: Plan,
    take: Take,
    *,
    batch: int = 64,
    on_progress: Callable[[str, int, int], None] | None = None,
    cancel: threading.Event | None = None,
) -> int:
    """Run all samples and hand every activation of every call to `take`; returns how many samples ran, fewer than all
    where it was cancelled.

    Nothing is kept here. The model runs once for each side. ValueError where it does not run.
    """
    done = 0
    for part in calibration.batches(batch):
        if cancel is not None and cancel.is_set():
            break
        _watch(model, part, plan.inputs, "input", take)
        _watch(model, part, plan.outputs, "output", take)
        if plan.caches is not None:
            plan.caches.watch(model, part, take)
        done += len(part)
        if on_progress is not None:
            on_progress(f"{done} of {len(calibration)} samples", done, len(calibration))
    return done


def _watch(model: Runnable, part: Batch, layers: Sequence[Layer], side: Side, take: Take) -> None:
    by_name = {layer.name: layer for layer in layers}
    places = {name: Place(name, side) for name in by_name}

    def receive(name: str, values: Tensor) -> None:
        axis = find_feature_axis(model, by_name[name], tuple(values.shape))
        take(places[name], to_tokens(values, axis), name_type(values))

    if by_name:
        model.watch(part, list(by_name), receive, side="output" if side == "output" else "input")
