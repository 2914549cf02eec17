"""What does quantizing activations cost? A model and data to the rows of a sweep over its activations, and what was
seen of each: outliers, cures, heads, experts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qanalysis.arrays import Floats
from qanalysis.models.activations.activation_sums import DEFINITIONS
from qanalysis.models.activations.cures import ALPHAS, Cure, LinearLayer, try_cures
from qanalysis.models.activations.experts import count_expert_calls
from qanalysis.models.activations.heads import measure_heads
from qanalysis.models.activations.places import Look
from qanalysis.models.activations.rule_ranges import choose_formats, list_ranges
from qanalysis.models.activations.source import ActivationSource, label
from qanalysis.models.activations.spilling import DISK_BYTES
from qanalysis.models.calibration.samples import Calibration
from qanalysis.models.running.runnable import Runnable
from qanalysis.models.running.threads import on_few_threads
from qanalysis.patterns import Pattern
from qanalysis.quantizers.scheme import Scheme
from qanalysis.results.document import without_infinity
from qanalysis.results.table import Frame
from qanalysis.sweeps.row import Row, Rows
from qanalysis.sweeps.sweep import sweep

#: Cures are tried on so many tokens at most, evenly drawn; on fewer of a layer so large that one product would take
#: more multiplications than the second says, but never on fewer than the third.
CURE_TOKENS = 2048
_CURE_PRODUCTS, _LEAST_TOKENS = 1 << 32, 64
CURE_BASIS = (
    "exact on the tokens that are counted beside it, by y = a Wᵀ of the layer itself; ranges are those of these tokens"
)


@dataclass(frozen=True, slots=True)
class ActivationProgress:
    """Where the work stands: what is at work, `done` of `total` of it."""

    label: str
    done: int
    total: int


@on_few_threads
def measure_activations(
    model: Runnable,
    calibration: Calibration,
    schemes: Sequence[Scheme | str],
    *,
    looks: Sequence[Look] = ("input",),
    include: str | None = None,
    exclude: str | None = None,
    cures: bool = True,
    cure_tokens: int = CURE_TOKENS,
    batch: int = 64,
    disk_bytes: int = DISK_BYTES,
    workers: int | None = None,
    on_progress: Callable[[ActivationProgress], None] | None = None,
    cancel: threading.Event | None = None,
) -> Rows:
    """The error of every activation under every scheme; `more["activations"]` holds what was seen of each.

    `include` and `exclude` are searched in names, LAYER:input and the like. When cancelled, rows are of the samples
    that ran, and of the activations that were done. Raises ValueError where nothing is left, the model does not run, or
    no scheme is given.
    """
    plan = [scheme if isinstance(scheme, Scheme) else Scheme.parse(scheme) for scheme in schemes]
    tell = on_progress or (lambda _progress: None)
    with ActivationSource(
        model,
        calibration,
        looks=looks,
        is_wanted=_make_filter(include, exclude),
        batch=batch,
        disk_bytes=disk_bytes,
        on_progress=lambda label, done, total: tell(ActivationProgress(label, done, total)),
        cancel=cancel,
    ) as source:
        if not source.tensors:
            raise ValueError(
                f"no activation was seen: {len(source.unseen)} layers never ran on {label(calibration.name)}"
            )
        rows = sweep(
            source,
            plan,
            workers=workers,
            on_progress=lambda progress: tell(ActivationProgress(progress.tensor, progress.done, progress.total)),
            cancel=cancel,
        )
        most = cure_tokens if cures else 0
        found = describe_activations(
            model, calibration, source, plan, cure_tokens=most, batch=batch, tell=tell, cancel=cancel
        )
        asked = {"side": list(looks), "include": include, "exclude": exclude}
        return _tabulate(rows, source, found, {**asked, "model": label(model.name), "calib": label(calibration.name)})


def _tabulate(rows: Rows, source: ActivationSource, found: Mapping[str, Any], asked: Mapping[str, Any]) -> Rows:
    """The rows of the sweep as rows over activations: sides in place of roles, and what was seen beside them."""
    sides = ", ".join(dict.fromkeys(seen.place.side for seen in source.seen))
    return replace(
        rows,
        rows=_name_sides(rows.rows),
        settings={"schemes": rows.settings["schemes"], **asked, "samples": source.samples},
        complete=rows.complete and source.complete,
        coverage=[
            *({**entry, "role": sides if entry["role"] else ""} for entry in rows.coverage),
            *_note_experts(found),
        ],
        more={**rows.more, "activations": without_infinity(dict(found))},
    )


def describe_activations(
    model: Runnable,
    calibration: Calibration,
    source: ActivationSource,
    schemes: Sequence[Scheme],
    *,
    cure_tokens: int = CURE_TOKENS,
    batch: int = 64,
    tell: Callable[[ActivationProgress], None] = lambda _progress: None,
    cancel: threading.Event | None = None,
) -> dict[str, Any]:
    """What was seen of each activation, as a document holds it: figures, cures of linear layers, heads, experts."""
    formats = choose_formats(schemes)
    layers = [
        {
            "name": seen.place.name,
            "layer": seen.place.layer,
            "side": seen.place.side,
            "heads": seen.place.heads,
            "dtype": seen.dtype,
            "tokens_kept": source.count_kept(seen.place.name)[0],
            **seen.sums.describe(),
            "ranges": list_ranges(seen.sums, formats),
        }
        for seen in source.seen
    ]
    cured = list[Cure]()
    chosen = list(_list_linear(model, source, cure_tokens)) if cure_tokens else []
    for done, make in enumerate(chosen):
        if cancel is not None and cancel.is_set():
            break
        layer = make()
        tell(ActivationProgress(f"cures of {layer.name}", done, len(chosen)))
        cured += try_cures(layer, schemes)
    experts = count_expert_calls(model, calibration, batch=batch)
    return {
        "samples": source.samples,
        "tokens": calibration.tokens,
        "notes": list(source.notes),
        "definitions": DEFINITIONS,
        "layers": layers,
        "never_seen": [place.name for place in source.unseen],
        "cures": [cure.describe() for cure in cured],
        "cure_basis": CURE_BASIS,
        "cure_alphas": list(ALPHAS),
        "heads": measure_heads(source, schemes),
        "experts": [one.describe() for one in experts],
        "expert_calls": {one.layer: one.calls for one in experts if one.calls is not None},
    }


def _list_linear(model: Runnable, source: ActivationSource, most: int) -> Iterator[Callable[[], LinearLayer]]:
    """The linear layers whose inputs were seen, their values read when asked for."""
    infos = {info.name: info for info in source.tensors}
    for layer in source.plan.inputs:
        info = infos.get(f"{layer.name}:input")
        if layer.is_linear and info is not None and info.numel:
            seen = source.count_kept(info.name)[1]

            def make(layer: Any = layer, info: Any = info, seen: int = seen) -> LinearLayer:
                values = source.read(info)
                room = max(_CURE_PRODUCTS // layer.tensor.numel, _LEAST_TOKENS)
                tokens = np.ascontiguousarray(values[:: -(-len(values) // min(most, room))])
                tokens = tokens[np.isfinite(tokens).all(axis=1)]
                weight: Floats = layer.tensor.view.to_matrix(model.read(layer.tensor))
                return LinearLayer(layer.name, layer.tensor, tokens, np.ascontiguousarray(weight), seen)

            yield make


def _make_filter(include: str | None, exclude: str | None) -> Callable[[str], bool]:
    wanted = Pattern.parse(include, "include") if include else None
    unwanted = Pattern.parse(exclude, "exclude") if exclude else None

    def is_wanted(name: str) -> bool:
        return (wanted is None or name in wanted.select([name])) and (
            unwanted is None or name not in unwanted.select([name])
        )

    return is_wanted


def _name_sides(rows: Frame[Row]) -> Frame[Row]:
    """The side of each activation in place of the role that tensors of a checkpoint have."""
    sides = [name.rpartition(":")[2] for name in rows.cells["tensor"]]
    return Frame(rows.row_type, {**rows.cells, "role": sides})


def _note_experts(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What coverage says of experts that no token was routed to, and of those that can not be known."""
    for one in found["experts"]:
        if one["never_seen"]:
            text = f"never seen in calibration: {len(one['never_seen'])} of {one['experts']} experts of {one['layer']}"
            yield _note(f"{text}, {', '.join(map(str, one['never_seen'][:8]))}")
        elif one["calls"] is None:
            yield _note(f"calls of the {one['experts']} experts of {one['layer']} are {one['how']}")


def _note(text: str) -> dict[str, Any]:
    return {"part": "note", "role": "", "reason": text, "tensors": None, "values": None}
