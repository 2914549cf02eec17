"""How does an ONNX model run with other weights or inputs of its layers? By ONNX Runtime, and it is never changed.

All weights are inputs of the sessions: a change is another value fed. What was computed before the first change comes
from the recording, and a layer's input is changed where the graph is cut right before the layer.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnx import helper
from torch import Tensor

from qanalysis.arrays import Floats
from qanalysis.checkpoints.source import MEASURED_ROLES, CheckpointError, TensorInfo
from qanalysis.models.calibration.samples import Batch
from qanalysis.models.running.convolutions import Convolution
from qanalysis.models.running.model_folder import look_beside
from qanalysis.models.running.onnx_file import Fed, read_file
from qanalysis.models.running.onnx_inputs import Input, Piece, cut_pieces
from qanalysis.models.running.onnx_layers import Place, find_places, read_convolution
from qanalysis.models.running.onnx_outputs import choose_output, join_outputs
from qanalysis.models.running.onnx_parts import MOST_THREADS, Parts, Span, load_runtime, name_turned
from qanalysis.models.running.onnx_weights import read_weights
from qanalysis.models.running.runnable import NO_CHANGE, Change, Layer, Receive, Recording, Runnable, Side, Turn
from qanalysis.models.running.threads import SMALL
from qanalysis.notation import quote
from qanalysis.results.identity import SourceIdentity


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """One piece of a recording: what the model was given, and the values at some cuts."""

    piece: Piece
    values: Mapping[str, Any]
    cuts: Sequence[int]


class OnnxRecording(Recording):
    """Outputs, and for each piece the values at the cuts from which it can be run on."""

    def __init__(self, batch: Batch, outputs: Tensor, kept: Sequence[Kept]) -> None:
        super().__init__(batch, outputs)
        self.kept = kept


class OnnxModel(Runnable):
    """The model of an ONNX file. Inputs go by name, "x" to the first; of several outputs the logits, the last hidden
    state or the first of real numbers is taken.
    """

    def __init__(self, path: Path) -> None:
        load_runtime()
        self.path = path
        self._file = read_file(path)
        self.folder = look_beside(path)
        try:
            self._set_up()
        except BaseException:
            self._file.source.close()
            raise

    def _set_up(self) -> None:
        found, graph = self._file, self._file.graph
        self.name, self.size_bytes = found.source.name, found.source.size_bytes
        self.memory_note = "Weights are mapped or held once, shared by all parts of the graph that run."
        self.notes = (*found.source.notes, *found.notes)
        self._inputs = {key: Input.of(one) for key, one in graph.inputs.items()}
        self._main = choose_output(graph.outputs)
        self._infos = {info.name: info for info in found.tensors}
        self._aliases = {alias: info.name for info in found.tensors for alias in info.aliases}
        self.places = find_places(graph, found.fed, found.tensors)
        self._first = {one.layer.tensor.name: one.first for one in self.places}
        self._entries = _group(found.fed)
        is_small = sum(info.numel for info in found.tensors) < SMALL
        self._parts = Parts(graph, found.constants, found.fed, threads=1 if is_small else MOST_THREADS)
        self._values: dict[str, Any] = {}
        self._other: dict[str, Floats] = {}
        self._source: SourceIdentity | None = None
        self._sizes: dict[str, int] = {}
        self._cuts: list[int] | None = None
        self._parts.open(self._whole, (self._main,))  # which finds out what the runtime does not take

    @property
    def _whole(self) -> Span:
        return Span(0, len(self._file.graph.steps))

    @property
    def tensors(self) -> tuple[TensorInfo, ...]:
        return self._file.tensors

    def read(self, info: TensorInfo) -> Floats:
        """Values of the caller's own: torch warns of arrays that can not be written to, as a mapped file's."""
        return np.require(self._read(info), np.float32, ["C", "W"])

    def exchange(self, text: str) -> None:
        """Take the values of a checkpoint in place of the model's own. ValueError where it does not fit."""
        self._other, self._source = read_weights(self.tensors, text, self.name)
        self._values.clear()

    @property
    def identity(self) -> SourceIdentity:
        return self._source or super().identity

    def _read(self, info: TensorInfo) -> Floats:
        if info.name in self._other:
            return self._other[info.name]
        known = self._infos.get(info.name)
        if known is not None and not known.decodes:
            raise ValueError(f"{quote(info.name)}: {known.reason or f'{known.dtype} is not read as real numbers'}")
        try:
            return self._file.source.read(info)
        except CheckpointError as error:
            raise ValueError(str(error)) from error

    def _hash_content(self) -> hashlib._Hash:
        raise NotImplementedError("the digest is that of the file")

    @cached_property
    def digest(self) -> str:
        return self._file.source.digest

    def close(self) -> None:
        self._values.clear()
        self._file.source.close()

    @property
    def input_names(self) -> Sequence[str]:
        return list(self._inputs)

    @cached_property
    def layers(self) -> Sequence[Layer]:
        return [place.layer for place in self.places]

    def is_used(self, layer: Layer) -> bool:
        """Whether anything computes with the layer's tensor."""
        return self._find_first([layer.tensor.name]) < self._whole.stop

    @cached_property
    def convolutions(self) -> Mapping[str, Convolution]:
        found = dict[str, Convolution]()
        for place in self.places:
            node = self._file.graph.steps[place.step].node if place.step < self._whole.stop else None
            weight = self._file.fed.get(node.input[1]) if node is not None and len(node.input) > 1 else None
            form = read_convolution(node) if node is not None else None
            if form is not None and weight is not None and weight.info.name == place.layer.tensor.name:
                found[place.layer.name] = form
        return found

    def weigh(self, batch: Batch) -> int:
        self._locate(batch)
        kept = {name for cut in self._cuts or () for name in self._parts.find_live(cut)}
        return sum(self._sizes.get(name, 0) for name in {*kept, self._main})

    def record(self, batch: Batch, *, keep_bytes: int = 0) -> OnnxRecording:
        cuts = self._choose_cuts(batch, keep_bytes) if keep_bytes else []
        wanted = list(dict.fromkeys([self._main, *(name for cut in cuts for name in self._parts.find_live(cut))]))
        outputs, kept = list[Any](), list[Kept]()
        for piece in cut_pieces(self._inputs, batch):
            env = self._start(piece)
            found = self._parts.run(self._whole, self._parts.made_in(self._whole, wanted), self._finder(env, {}))
            outputs.append(self._finish(piece, {**env, **found}))
            self._note_codes(found)
            kept.append(Kept(piece, found, cuts))
        return OnnxRecording(batch, join_outputs(outputs), kept)

    def rerun(self, recording: Recording, change: Change) -> Tensor:
        kept = recording.kept if isinstance(recording, OnnxRecording) else self.record(recording.batch).kept
        changed, turns = self._put(change.weights), self._place_turns(change.inputs)
        first = min([self._find_first(change.weights), *turns], default=self._whole.stop)
        return join_outputs([self._finish(one.piece, self._run_on(one, first, changed, turns)) for one in kept])

    def watch(
        self,
        batch: Batch,
        layers: Sequence[str],
        receive: Receive,
        *,
        side: Side = "input",
        change: Change = NO_CHANGE,
    ) -> Tensor:
        changed, turns = self._put(change.weights), self._place_turns(change.inputs)
        names, outputs = self._name_values(layers, side, turns), list[Tensor]()
        for piece in cut_pieces(self._inputs, batch):
            env = self._run_on(Kept(piece, {}, ()), 0, changed, turns, also=list(names.values()))
            for layer, name in names.items():
                value = env[name].numpy()
                if value.dtype.kind == "f":
                    receive(layer, torch.from_numpy(piece.join(value)))
            outputs.append(self._finish(piece, env))
        return join_outputs(outputs)

    def name_result(self, layer: str) -> str:
        """The name of what a layer's operation gives, empty for a layer that is not there."""
        steps = self._file.graph.steps
        found = (steps[one.step].node for one in self.places if one.layer.name == layer and one.step < len(steps))
        return next((node.output[0] for node in found), "")

    def _name_values(self, layers: Sequence[str], side: Side, turns: Container[int]) -> dict[str, str]:
        """What of each layer is watched, in the order of the graph; an input that is changed on its way in, as the
        layer gets it.
        """
        asked, steps = set(layers), self._file.graph.steps
        names: dict[str, str] = {}
        for place in self.places:
            if place.layer.name not in asked or place.step >= len(steps):
                continue
            node = steps[place.step].node
            if side == "output":
                names[place.layer.name] = node.output[0]
            elif place.operand is not None:
                name = name_turned(place.step) if place.step in turns else node.input[place.operand]
                names.setdefault(place.layer.name, name)
        missing = asked - {place.layer.name for place in self.places}
        if missing:
            raise ValueError(f"{quote(min(missing))} is no layer of the model")
        return names

    def _run_on(
        self,
        kept: Kept,
        first: int,
        changed: Mapping[str, Any],
        turns: Mapping[int, tuple[int, Turn]],
        *,
        also: Sequence[str] = (),
    ) -> dict[str, Any]:
        """The main output under a change, from the last cut before it, and other values that are asked for."""
        at = bisect_right(kept.cuts, first)
        env = {**self._start(kept.piece), **(kept.values if at else {})}
        start, operand = kept.cuts[at - 1] if at else 0, None
        for stop in [*sorted(turns), self._whole.stop]:
            wanted = [self._main, *also, *(self._parts.find_live(stop) if stop in turns else ())]
            span = Span(start, stop, operand)
            env |= self._parts.run(span, self._parts.made_in(span, wanted), self._finder(env, changed))
            self._note_codes(env)
            if stop in turns:
                operand, turn = turns[stop]
                env[name_turned(stop)] = self._turn(env[self._file.graph.steps[stop].node.input[operand]], turn)
            start = stop
        return env

    def _start(self, piece: Piece) -> dict[str, Any]:
        return {name: _hold(values) for name, values in piece.feeds.items()}

    def _finder(self, env: Mapping[str, Any], changed: Mapping[str, Any]) -> Callable[[str], Any]:
        """Where a part finds what it needs: changed, computed before, or a constant."""

        def find(name: str) -> Any:
            if name in changed:
                return changed[name]
            return env[name] if name in env else self._find_value(name)

        return find

    def _find_value(self, name: str) -> Any:
        fed = self._file.fed[name]
        if fed.info.name not in self._values:
            self._values[fed.info.name] = _hold(_cast(self._read(fed.info), fed))
        return self._values[fed.info.name]

    def _finish(self, piece: Piece, env: Mapping[str, Any]) -> Tensor:
        values = env[self._main].numpy()
        if values.dtype.kind != "f":
            raise ValueError(f"the output {quote(self._main)} holds {values.dtype}; the model returns no real numbers")
        return torch.from_numpy(piece.join(values))

    def _turn(self, value: Any, turn: Turn) -> Any:
        values = value.numpy()
        if values.dtype.kind != "f":
            raise ValueError(f"the layer's input holds {values.dtype}, which is not quantized")
        return _hold(turn(torch.from_numpy(values)).numpy().astype(values.dtype))

    def _note_codes(self, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            if value.is_tensor():
                self._parts.codes.setdefault(name, value.element_type())

    def _find_names(self, tensor: str) -> list[str]:
        """Where a tensor is fed; ValueError where it is none of the model's or can not be."""
        name = self._aliases.get(tensor, tensor)
        if name not in self._infos:
            raise ValueError(f"{quote(tensor)} is no tensor of the model")
        names = self._entries.get(name)
        if names is None:
            raise ValueError(f"{quote(tensor)} can not be changed: {self._infos[name].reason or 'nothing reads it'}")
        return names

    def _find_first(self, tensors: Iterable[str]) -> int:
        """How many operations run before the first that reads one of these tensors."""
        names = [self._aliases.get(name, name) for name in tensors]
        return min((self._first.get(name, self._whole.stop) for name in names), default=self._whole.stop)

    def _put(self, weights: Mapping[str, Floats]) -> dict[str, Any]:
        changed = dict[str, Any]()
        for tensor, values in weights.items():
            names = self._find_names(tensor)
            self._parts.feed(names, (self._main,))
            fed = self._file.fed[names[0]]
            changed |= dict.fromkeys(names, _hold(_cast(np.reshape(values, fed.info.shape), fed)))
        return changed

    def _place_turns(self, inputs: Mapping[str, Turn]) -> dict[int, tuple[int, Turn]]:
        """The turns by the step that they precede, with the place of the input."""
        found: dict[int, tuple[int, Turn]] = {}
        for layer, turn in inputs.items():
            at = [one for one in self.places if one.layer.name == layer and one.operand is not None]
            if not at:
                raise ValueError(f"{quote(layer)} is no layer whose input is one of real numbers that can be reached")
            found[at[0].step] = (at[0].operand or 0, turn)
        return found

    def _choose_cuts(self, batch: Batch, keep_bytes: int) -> list[int]:
        """The cuts at which a recording keeps values: all, or every second, fourth ... so that they find room."""
        self._locate(batch)
        cuts = self._cuts or []
        while cuts:
            names = {name for cut in cuts for name in self._parts.find_live(cut)}
            if sum(self._sizes[name] for name in names) * len(batch) <= keep_bytes:
                break
            cuts = cuts[1::2]
        return cuts

    def _locate(self, batch: Batch) -> None:
        """Find out, on one sample and once, what could be kept at every cut and how large it is."""
        if self._cuts is not None:
            return
        end = self._whole.stop
        cuts = sorted({one.first for one in self.places if _is_measured(one)} - {0, end})
        piece = next(cut_pieces(self._inputs, batch.cut(0, 1)))
        names = list(dict.fromkeys([self._main, *(name for cut in cuts for name in self._parts.find_live(cut))]))
        find = self._finder(self._start(piece), {})
        try:
            values = self._parts.run(self._whole, self._parts.made_in(self._whole, names), find)
        except ValueError:  # something crosses a cut that is no output, such as a sequence
            cuts, values = [], self._parts.run(self._whole, (self._main,), find)
        self._note_codes(values)
        tensors = {name: value for name, value in values.items() if value.is_tensor()}
        self._sizes = {name: value.tensor_size_in_bytes() // piece.size for name, value in tensors.items()}
        self._cuts = [cut for cut in cuts if all(name in tensors for name in self._parts.find_live(cut))]


def open_onnx(text: str, weights: str | None = None) -> OnnxModel:
    """The model of an .onnx file, with `weights` of a checkpoint. ValueError for one that can not be opened or run, and
    for weights that do not fit.
    """
    model = OnnxModel(Path(text))
    if weights is not None:
        try:
            model.exchange(weights)
        except BaseException:
            model.close()
            raise
    return model


def _group(fed: Mapping[str, Fed]) -> dict[str, list[str]]:
    """Where each tensor is fed."""
    found: dict[str, list[str]] = {}
    for name, one in fed.items():
        found.setdefault(one.info.name, []).append(name)
    return found


def _is_measured(place: Place) -> bool:
    return place.layer.tensor.role in MEASURED_ROLES


def _hold(values: Any) -> Any:
    return load_runtime().OrtValue.ortvalue_from_numpy(np.ascontiguousarray(values))


def _cast(values: Floats, fed: Fed) -> Any:
    """Values in the type of the graph, where the processor can read them."""
    kind = np.dtype(helper.tensor_dtype_to_np_dtype(fed.code))
    return np.require(values, kind, ["C", "A"])
