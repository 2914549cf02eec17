"""How does a training script of one's own record the statistics that the tracker reads? With three lines::

    recorder = Recorder(model, "run.csv", every=10)
    ...  # forward, backward
    recorder.step()  # once per optimizer step, after backward and before optimizer.step()

For each layer and kind of A4 a row per recorded step: input A before a layer, output B after it, weight
W, the gradients that arrive at the output (dB) and leave the input (dA), the weight's gradient dW.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from qanalysis.arrays import Doubles
from qanalysis.notation import quote
from qanalysis.patterns import Pattern
from qanalysis.training.state import KINDS
from qanalysis.training.statistics.tensor_statistics import MOST_GROUPS, merge_calls, parse_layouts, widen
from qanalysis.training.statistics.writing import Row, open_rows

_ABSENT = {
    "input": "the layer was not called with a tensor of floats",
    "output": "the layer was not called, or returned no tensor of floats",
    "weight": "the layer has no weight of its own",
    "input-gradient": "its input needs no gradient, as that of a first layer",
    "output-gradient": "no gradient arrived at its output",
    "weight-gradient": "its weight has no gradient; was it set to None before the step was recorded?",
}
_FIGURES = ("absmax", "absmin", "mean", "std", "low", "high")
Scale = float | Callable[[], float]


@dataclass(frozen=True, slots=True)
class _Place:
    """A layer that is watched: its name, its module, the name of the parameter that is its weight."""

    layer: str
    module: nn.Module
    parameter: str

    @property
    def weight(self) -> Tensor | None:
        """The parameter as it is now; an optimizer may have put another in its place."""
        found = getattr(self.module, self.parameter, None) if self.parameter else None
        return found if isinstance(found, Tensor) else None

    @property
    def is_called(self) -> bool:
        """Whether input and output of the module are those of this layer: further weights of a module have none."""
        return self.parameter in {"", "weight"}


class Recorder:
    """Watches a model through hooks and writes statistics of its tensors to a .csv or .parquet file.

    Parameters
    ----------
    model : the module, on any device, in any floating type, also under autocast or DistributedDataParallel (rank 0
        alone writes).
    path : a .csv, where each recorded step stands as soon as it was recorded, or a .parquet, which `close` writes.
    every : record steps 0, every, 2 every, ...
    layers : regular expression searched in the names of modules; without it all modules with a parameter of two or more
        axes. A parameter that is not called "weight" makes a layer of its own, with weight and its gradient alone.
    kinds : those to record, of the six.
    groups : "layer", or "group=N" for a row per N neighbouring features (last axis; axis 1 of images).
    blocks : a format with power-of-two block scales, such as "mxfp4": the exponents of its scales are counted for each
        tensor whose features its blocks divide. Blocks of zeros have no scale.
    scale : what losses are multiplied by (AMP), a number or a function such as `scaler.get_scale`: gradients are
        divided by it. Call `step` before `scaler.unscale_`.
    start : the number of the first step; above 0 an existing file goes on, at 0 it is replaced.

    A layer that is called several times in a step has one row over all calls. Passes without gradients, as in
    validation, are not recorded. Of several tensors the first of floats is taken. Raises ValueError for options out of
    range, no such layer, and a file that can not be written.

    >>> import tempfile
    >>> model = nn.Linear(2, 1)
    >>> with tempfile.TemporaryDirectory() as folder, Recorder(model, f"{folder}/run.csv") as recorder:
    ...     model(torch.ones(4, 2)).sum().backward()
    ...     recorder.step()
    ...     print(Path(folder, "run.csv").read_text().count("weight-gradient"), recorder.absent)
    1 ('model input-gradient: not available, its input needs no gradient, as that of a first layer',)
    """

    def __init__(
        self,
        model: nn.Module,
        path: str | Path,
        *,
        every: int = 1,
        layers: str = "",
        kinds: Iterable[str] = KINDS,
        groups: str = "layer",
        blocks: str = "",
        scale: Scale = 1.0,
        start: int = 0,
    ) -> None:
        if every < 1 or start < 0 or every != int(every) or start != int(start):
            raise ValueError(
                f"every {every}, start {start}: steps are recorded every 1 or more, from 0 or later, in whole numbers"
            )
        self.every, self.steps = every, start
        self.kinds = _check_kinds(kinds)
        self.absent: tuple[str, ...] = ()
        self._layouts = parse_layouts(groups, blocks)
        self._scale, self._factor, self._closed = scale, math.nan, False
        self._places = _find_places(model, layers)
        self._seen: dict[tuple[str, str], list[Tensor]] = {}
        self._scales: dict[tuple[str, str], list[Tensor]] = {}
        self._labels: dict[tuple[str, str], list[str]] = {}
        self._writes = not torch.distributed.is_available() or not torch.distributed.is_initialized()
        self._writes = self._writes or torch.distributed.get_rank() == 0
        self._file = open_rows(Path(path), resume=start > 0) if self._writes else None
        self._handles = [handle for place in self._places if place.is_called for handle in self._watch(place)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Take the hooks off the model and end the file."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._closed = [], True
        if self._file is not None:
            self._file.close()

    @property
    def is_due(self) -> bool:
        """Whether the step that runs is one that is recorded."""
        return self._writes and self.steps % self.every == 0

    def step(self) -> None:
        """Record what this step has shown, and count it. `absent` then lists layers and kinds that showed nothing.
        Raises ValueError after `close`, when nothing is seen or written any more.
        """
        if self._closed:
            raise ValueError(f"step {self.steps}: the recorder is closed; close it after the last step")
        if self.is_due and self._file is not None:
            for place in self._places:
                weight = place.weight
                if weight is not None:
                    self._take(place.layer, "weight", weight)
                    if weight.grad is not None:
                        self._take_gradient(place.layer, "weight-gradient", weight.grad)
            self._file.write(self._conclude())
            self.absent = tuple(self._list_absent())
        for kept in (self._seen, self._scales, self._labels):
            kept.clear()
        self._factor = math.nan
        self.steps += 1

    def _watch(self, place: _Place) -> Iterator[Any]:
        module, layer = place.module, place.layer
        if {"input", "input-gradient"} & self.kinds:
            yield module.register_forward_pre_hook(_Hook(self._see_input, layer), with_kwargs=True)
        if {"output", "output-gradient"} & self.kinds:
            yield module.register_forward_hook(_Hook(self._see_output, layer))

    def _see_input(self, layer: str, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Take the input; the layer gets a view of it, whose gradient is what leaves this layer and no other."""
        if not (self.is_due and torch.is_grad_enabled()):
            return None
        found = _find_floats([*enumerate(args), *kwargs.items()])
        if found is None:
            return None
        at, x = found
        self._take(layer, "input", x)
        if not x.requires_grad or "input-gradient" not in self.kinds:
            return None
        view: Any = x.view_as(x)
        view.register_hook(_Hook(self._take_gradient, layer, "input-gradient"))
        if isinstance(at, int):
            return (*args[:at], view, *args[at + 1 :]), kwargs
        return args, {**kwargs, at: view}

    def _see_output(self, layer: str, _module: nn.Module, _args: Any, output: Any) -> None:
        if not (self.is_due and torch.is_grad_enabled()):
            return
        parts = (
            output.values() if isinstance(output, Mapping) else output if isinstance(output, tuple | list) else [output]
        )
        found = _find_floats(enumerate(parts))
        if found is None:
            return
        self._take(layer, "output", found[1])
        if found[1].requires_grad and "output-gradient" in self.kinds:
            found[1].register_hook(_Hook(self._take_gradient, layer, "output-gradient"))

    def _take_gradient(self, layer: str, kind: str, gradient: Tensor) -> None:
        if math.isnan(self._factor):
            self._factor = self._read_scale()
        self._take(layer, kind, gradient if self._factor == 1 else widen(gradient.detach()) / self._factor)

    def _read_scale(self) -> float:
        factor = float(self._scale() if callable(self._scale) else self._scale)
        if not (math.isfinite(factor) and factor > 0):
            raise ValueError(f"scale {factor}: losses are multiplied by a finite number above 0")
        return factor

    def _take(self, layer: str, kind: str, x: Tensor) -> None:
        """Keep the statistics of a tensor until the step ends."""
        if kind not in self.kinds:
            return
        with torch.no_grad():
            plain = x.detach().to_dense() if x.layout != torch.strided else x.detach()
            key = (layer, kind)
            self._check_groups(key, plain)
            self._seen.setdefault(key, []).append(self._layouts.observe(plain))
            counts = self._layouts.count_scales(plain)
            if counts is not None:
                self._scales.setdefault(key, []).append(counts)

    def _check_groups(self, key: tuple[str, str], x: Tensor) -> None:
        """Keep the names of the groups; ValueError for too many, and for others than before in the same step."""
        labels = self._layouts.name_groups(x)
        if len(labels) > MOST_GROUPS:
            raise ValueError(
                f"{' '.join(key)}: {len(labels)} groups of {self._layouts.width} features, at most {MOST_GROUPS} are "
                "recorded; take larger groups, or count block scales with `blocks`"
            )
        if self._labels.setdefault(key, labels) != labels:
            raise ValueError(
                f"{' '.join(key)}: has {labels[-1].partition(':')[2]} features here and others earlier in the step; "
                "record it with groups='layer'"
            )

    def _conclude(self) -> list[Row]:
        """The rows of the step, in the order of the layers and kinds."""
        seen, scales = _bring_over(self._seen), _bring_over(self._scales)
        layers = dict.fromkeys(place.layer for place in self._places)
        keys = [(layer, kind) for layer in layers for kind in KINDS if (layer, kind) in seen]
        return [row for key in keys for row in self._tell(key, seen[key], scales.get(key, []))]

    def _tell(self, key: tuple[str, str], calls: list[Doubles], scales: list[Doubles]) -> Iterator[Row]:
        """The rows of one layer and kind, one for each group."""
        merged = merge_calls(calls)
        counts = self._layouts.sum_scales(np.sum(scales, axis=0)) if scales else {}
        for index, group in enumerate(self._labels[key]):
            figures = {name: float(getattr(merged, name)[index]) for name in _FIGURES}
            other = int(merged.non_finite[index])
            yield {
                "step": self.steps,
                "layer": key[0],
                "kind": key[1],
                "group": group,
                **figures,
                "numel": int(merged.count[index]) + other,
                "non_finite": other,
                **{f"scale_exponent_{exponent}": count for exponent, count in counts.items()},
            }

    def _list_absent(self) -> Iterator[str]:
        for place in self._places:
            for kind in KINDS:
                applies = place.is_called or kind.startswith("weight")
                if kind in self.kinds and applies and (place.layer, kind) not in self._seen:
                    yield f"{place.layer} {kind}: not available, {_ABSENT[kind]}"


class _Hook:
    """A method with its first arguments. Copies of the model, as for averaged weights, do not take it along."""

    def __init__(self, see: Callable[..., Any], *first: str) -> None:
        self._see, self._first = see, first

    def __call__(self, *rest: Any) -> Any:
        return self._see(*self._first, *rest)

    def __reduce__(self) -> tuple[Any, ...]:
        return _make_idle_hook, ()


def _make_idle_hook() -> Callable[..., None]:
    return _pass_by


def _pass_by(*_rest: Any) -> None:
    """The hook of a copied model: nothing is recorded of it."""


def _check_kinds(kinds: Iterable[str]) -> frozenset[str]:
    chosen = frozenset([kinds] if isinstance(kinds, str) else kinds)
    unknown = sorted(chosen - set(KINDS))
    if unknown or not chosen:
        told = f"kind {quote(unknown[0])} is unknown" if unknown else "no kind is chosen"
        raise ValueError(f"{told}; kinds are {', '.join(KINDS)}")
    return chosen


def _find_places(model: nn.Module, layers: str) -> list[_Place]:
    """The layers to watch; ValueError for an expression that is none or finds none."""
    inner = model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model
    named = {name or "model": module for name, module in inner.named_modules()}
    wanted = Pattern.parse(layers, "layers").select(named)
    places = []
    for name, module in named.items():
        if name not in wanted:
            continue
        own = [
            key
            for key, value in module.named_parameters(recurse=False)
            if value.ndim >= 2 or (layers and key == "weight")
        ]
        if layers and "weight" not in own:
            places.append(_Place(name, module, ""))
        places += [_Place(name if key == "weight" else f"{name}.{key}", module, key) for key in own]
    if any(isinstance(place.module, torch.jit.ScriptModule) for place in places):
        raise ValueError("the model is scripted and takes no hooks; record the module that it was made from")
    if not places:
        shown = ", ".join(quote(name, 40) for name in list(named)[:5])
        raise ValueError(
            f"layers {quote(layers)}: the model has no such module with a weight; its modules are {shown}, ..."
            if layers
            else "the model has no parameter of two or more axes; name the modules to record with `layers`"
        )
    return places


def _find_floats(parts: Iterable[tuple[Any, Any]]) -> tuple[Any, Any] | None:
    """The first tensor of floats among named parts, with its name."""
    return next(((at, x) for at, x in parts if isinstance(x, Tensor) and x.is_floating_point()), None)


def _bring_over(found: Mapping[tuple[str, str], list[Tensor]]) -> dict[tuple[str, str], list[Doubles]]:
    """Arrays of all tensors, brought from each device in one piece."""
    flat = [(key, tensor) for key, tensors in found.items() for tensor in tensors]
    brought: dict[tuple[str, str], list[Doubles]] = {key: [] for key in found}
    for device in dict.fromkeys(tensor.device for _, tensor in flat):
        here = [(key, tensor) for key, tensor in flat if tensor.device == device]
        joined = torch.cat([tensor.reshape(-1) for _, tensor in here]).cpu().numpy().astype(np.float64)
        ends = np.cumsum([tensor.numel() for _, tensor in here])
        for (key, tensor), part in zip(here, np.split(joined, ends[:-1]), strict=True):
            brought[key].append(part.reshape(tuple(tensor.shape)))
    return brought
