"""How does a torch module run with other weights or other inputs of its layers, and become what it was again?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from inspect import Parameter, signature
from typing import Any

import torch
from torch import Tensor, nn

from qanalysis.arrays import Floats
from qanalysis.checkpoints.entries import Evidence
from qanalysis.checkpoints.source import TensorInfo
from qanalysis.models.calibration.samples import FIRST_INPUT, Batch
from qanalysis.models.factory import describe_error
from qanalysis.models.running.buffers import KeptBuffers
from qanalysis.models.running.call_tree import CallTree, FirstUses, noting, recording, replaying
from qanalysis.models.running.model_folder import ModelFolder
from qanalysis.models.running.runnable import NO_CHANGE, Change, Layer, Receive, Recording, Runnable, Side, Turn
from qanalysis.models.running.silence import kept_apart
from qanalysis.models.running.tensors import Owned, list_names, list_tensors, name_type
from qanalysis.results.identity import SourceIdentity

#: So many samples show the order of the layers: outputs of a language model take much room each.
_LOOKED_AT = 2
#: Words under which a model returns its main output beside others.
_MAIN_OUTPUTS = ("logits", "last_hidden_state", "prediction_logits", "pooler_output")


@dataclass(frozen=True, slots=True)
class Course:
    """The way that a run takes: when each tensor is first used, when each part first runs, which outputs are worth
    keeping, and the outline by which a run that took the same way is known.
    """

    uses: Mapping[str, int]
    enters: Mapping[str, int]
    wanted: frozenset[int]
    outline: Sequence[tuple[int, int, int]]


class TorchRecording(Recording):
    """Outputs, the calls behind them, and the course of the run; None where it took another than was found out."""

    def __init__(self, batch: Batch, outputs: Tensor, tree: CallTree, course: Course | None) -> None:
        super().__init__(batch, outputs)
        self.tree, self.course = tree, course


class TorchModel(Runnable):
    """A module in evaluation mode, on the CPU. `run` calls it; by default inputs go by name, "x" by place, and of
    several outputs the logits, the last hidden state or the first tensor is taken.
    """

    #: How many samples it takes at a time, fewer being filled up with repeats; None for any number.
    batch_size: int | None = None

    def __init__(
        self,
        module: nn.Module,
        name: str,
        *,
        source: SourceIdentity | None = None,
        folder: ModelFolder | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        """`source` is the file that the values came from, None where there is none; `folder` has the tokenizer."""
        self.module, self.name, self.folder, self.notes = module.eval(), name, folder, tuple(notes)
        self.memory_note = "Held in memory once, as the model's own tensors."
        evidence = Evidence(config=folder.config if folder else {})
        self._owned = {one.info.name: one for one in list_tensors(module, evidence)}
        self._names = list_names({name: one.info for name, one in self._owned.items()})
        self.size_bytes = source.size if source else sum(one.value.nbytes for one in self._owned.values())
        self._source = source
        self._buffers = KeptBuffers(module)
        self._course: Course | None = None
        self._used: set[str] | None = None

    @property
    def tensors(self) -> tuple[TensorInfo, ...]:
        return tuple(one.info for one in self._owned.values())

    def find(self, name: str) -> Owned:
        """The tensor of a name, be it an alias; KeyError where there is none."""
        return self._owned[self._names[name]]

    def read(self, info: TensorInfo) -> Floats:
        with torch.no_grad():
            values: Floats = self.find(info.name).value.detach().float().contiguous().numpy()
        return values

    def _hash_content(self) -> hashlib._Hash:
        digest = hashlib.sha256()
        for name, one in self._owned.items():
            digest.update(f"{name}\0{one.info.dtype}\0{one.info.shape}\0".encode())
            digest.update(one.value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return digest

    @cached_property
    def digest(self) -> str:
        """That of the file that the values came from, else of the values."""
        return (self._source and self._source.digest) or f"sha256:{self._hash_content().hexdigest()}"

    @property
    def identity(self) -> SourceIdentity:
        return self._source or super().identity

    @property
    def placed_names(self) -> Sequence[str]:
        """Inputs that are given by place, in their order; all others go by name."""
        return (FIRST_INPUT,)

    @cached_property
    def input_names(self) -> Sequence[str]:
        # a signature with **kwargs says nothing, but those of transformers swallow what they do not know
        return list_input_names(self.module) if self.folder or not takes_any_name(self.module) else ()

    @cached_property
    def layers(self) -> Sequence[Layer]:
        return [
            Layer(one.path or name, one.info, is_linear=_is_linear(one), has_real_input=one.info.role != "embedding")
            for name, one in self._owned.items()
        ]

    def order(self, batch: Batch) -> Sequence[Layer]:
        """The layers in the order in which a run on this batch first uses them; those that it does not use last."""
        course = self._course = self._find_course(batch.cut(0, _LOOKED_AT))
        last = 2 * len(course.outline) + 2
        return sorted(self.layers, key=lambda layer: course.uses.get(layer.tensor.name, last))

    def is_used(self, layer: Layer) -> bool:
        return self._used is None or layer.tensor.name in self._used

    def weigh(self, batch: Batch) -> int:
        found = self.record(batch.cut(0, 1), keep_bytes=1 << 62)
        return found.tree.held_bytes + found.outputs.nbytes

    def record(self, batch: Batch, *, keep_bytes: int = 0) -> TorchRecording:
        if not keep_bytes:
            return self._record(batch, None, 0)
        self._course = self._course or self._find_course(batch)
        found = self._record(batch, self._course, keep_bytes)
        if found.course is None:  # as where other experts are called
            self._course = self._find_course(batch)
            found = self._record(batch, self._course, keep_bytes)
        return found

    def _record(self, batch: Batch, course: Course | None, keep_bytes: int) -> TorchRecording:
        with recording(self.module, course.wanted if course else frozenset(), keep_bytes) as tree:
            outputs = self._run(batch)
        return TorchRecording(batch, outputs, tree, course if course and tree.outline == course.outline else None)

    def rerun(self, recording: Recording, change: Change) -> Tensor:
        with self.changed(change), ExitStack() as stack:
            course = recording.course if isinstance(recording, TorchRecording) else None
            if course is not None and isinstance(recording, TorchRecording):
                # What was not seen in use may be used where data decide, so that nothing is taken for granted.
                moments = [course.uses.get(self._names[name], 0) for name in change.weights]
                moments += [course.enters.get(path, 0) for path in change.inputs]
                stack.enter_context(replaying(recording.tree, min(moments, default=0)))
            return self._run(recording.batch)

    def watch(
        self,
        batch: Batch,
        layers: Sequence[str],
        receive: Receive,
        *,
        side: Side = "input",
        change: Change = NO_CHANGE,
    ) -> Tensor:
        with self.changed(change), ExitStack() as stack:
            for path in layers:
                part = self.module.get_submodule(self._find_path(path))
                hook: Any
                if side == "input":
                    hook = part.register_forward_pre_hook(_tell_input(path, receive), with_kwargs=True)
                else:
                    hook = part.register_forward_hook(_tell_output(path, receive))
                stack.callback(hook.remove)
            return self._run(batch)

    @contextmanager
    def changed(self, change: Change) -> Iterator[None]:
        """The module is changed inside the block, and bit for bit as before after it."""
        with ExitStack() as stack, torch.no_grad():
            for name, values in change.weights.items():
                tensor = self.find(name).value
                stack.callback(_put, tensor, tensor.detach().clone())
                _put(tensor, torch.from_numpy(values).reshape(tensor.shape))
            for path, turn in change.inputs.items():
                part = self.module.get_submodule(self._find_path(path))
                stack.callback(part.register_forward_pre_hook(_turn_input(turn), with_kwargs=True).remove)
            yield

    def _find_path(self, layer: str) -> str:
        """The path of a layer's module: a tensor of the whole model is a layer of its own name, whose path is empty."""
        owned = self._owned.get(layer)
        return layer if owned is None else owned.path

    def _find_course(self, batch: Batch) -> Course:
        owned = list(self._owned.values())
        with recording(self.module, frozenset(), 0) as tree:
            uses = FirstUses(tree, [one.value for one in owned])
            with noting(uses):
                self._run(batch)
        found = {owned[place].info.name: moment for place, moment in uses.moments.items()}
        paths = {id(part): path for path, part in self.module.named_modules()}
        numbers, enters = dict[int, int](), dict[str, int]()
        for number, node in enumerate(tree.root.walk()):
            numbers[id(node)] = number
            enters.setdefault(paths.get(id(node.part), ""), node.began)
        moments = {*found.values(), *enters.values()}
        wanted = {numbers[id(node)] for moment in moments for node in tree.root.find_finished(moment)}
        self._used = {*found, *(self._used or ())}
        return Course(found, enters, frozenset(wanted), tree.outline)

    def compute(self, batch: Batch) -> Tensor:
        """The main output for a batch, with derivatives where they are wanted. Raises as `run_module`."""
        with kept_apart(), _plain_attention(), self._buffers.restored():
            return run_module(self.module, batch, placed=self.placed_names)

    def _run(self, batch: Batch) -> Tensor:
        with torch.no_grad():
            return self.compute(batch)


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Torch's encoder calls its own parts, instead of one operation for all that no hook can see into."""
    was_fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was_fast)


def run_module(module: nn.Module, batch: Batch, *, placed: Sequence[str] = (FIRST_INPUT,)) -> Tensor:
    """The main output for a batch, a tensor of real numbers with gradients where they are wanted; inputs that are
    `placed` are given by place, in that order.

    Raises ValueError on one line where the module does not run on the batch or returns no tensor, MemoryError where
    there is no room.
    """
    inputs = {name: values for name, values in batch.inputs.items() if name not in placed}
    first = [batch.inputs[name] for name in placed if name in batch.inputs]
    shapes = ", ".join(f"{name} {_describe(values)}" for name, values in batch.inputs.items())
    options = {"use_cache": False} if "use_cache" in list_input_names(module) else {}
    try:
        outputs = find_main_output(module(*first, **inputs, **options))
    except MemoryError:
        raise MemoryError(f"there is no memory to run the model on {shapes}; measure fewer samples at once") from None
    except (Exception, SystemExit) as error:  # a model of the user's may raise anything
        if "can't allocate memory" in str(error) or "not enough memory" in str(error):
            raise MemoryError(f"there is no memory to run the model on {shapes}; take smaller batches") from error
        raise ValueError(
            f"the model does not run on {shapes}: {describe_error(error)}{_advise(batch, error)}"
        ) from error
    if outputs is None:
        raise ValueError(f"the model returns no tensor of real numbers for {shapes}; its factory must return one")
    return outputs


def _advise(batch: Batch, error: BaseException) -> str:
    """The way out where whole numbers meet weights of real ones."""
    whole = [name for name, values in batch.inputs.items() if not values.is_floating_point()]
    named = any(word in str(error) for word in ("Long", "long", "Char", "Byte", "Int"))
    return f"; where the model takes real numbers, save {whole[0]} as float32" if whole and named else ""


def find_main_output(value: Any) -> Tensor | None:
    """Of what a model returns the logits, else the last hidden state, else the first tensor of real numbers."""
    if isinstance(value, Tensor):
        return value if value.is_floating_point() else None
    if isinstance(value, Mapping):
        ordered = [value[name] for name in _MAIN_OUTPUTS if value.get(name) is not None]
        return next(filter(_is_real, map(find_main_output, [*ordered, *value.values()])), None)
    if isinstance(value, tuple | list):
        return next(filter(_is_real, map(find_main_output, value)), None)
    if is_dataclass(value) and not isinstance(value, type):
        return find_main_output({entry.name: getattr(value, entry.name) for entry in fields(value)})
    return None


def _is_real(value: Tensor | None) -> bool:
    return value is not None


def list_input_names(module: nn.Module) -> tuple[str, ...]:
    """What the module's `forward` takes by name; empty where its signature does not say."""
    return tuple(
        one.name for one in _list_parameters(module) if one.kind in {one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY}
    )


def takes_any_name(module: nn.Module) -> bool:
    """Whether the module's `forward` takes names that its signature does not have."""
    return any(one.kind == one.VAR_KEYWORD for one in _list_parameters(module))


def _list_parameters(module: nn.Module) -> Sequence[Parameter]:
    try:
        return list(signature(module.forward).parameters.values())
    except (TypeError, ValueError):
        return ()


def _is_linear(one: Owned) -> bool:
    named = name_type(one.module) in {"Linear", "Conv1D"} or isinstance(one.module, nn.Linear)
    return named and one.attribute == "weight"


def _put(tensor: Tensor, values: Tensor) -> None:
    with torch.no_grad():
        tensor.data.copy_(values)  # .data: no version of the tensor changes


def _describe(values: Tensor) -> str:
    return f"{str(values.dtype).removeprefix('torch.')} {tuple(values.shape)}"


def _is_real_tensor(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _turn_input(turn: Turn) -> Callable[..., Any]:
    def before(_part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        first = next((one for one in (*args, *kwargs.values()) if _is_real_tensor(one)), None)
        if first is None:
            return None
        turned = turn(first)  # the same tensor as query, key and value is one input
        placed = tuple(turned if one is first else one for one in args)
        return placed, {name: turned if one is first else one for name, one in kwargs.items()}

    return before


def _tell_input(path: str, receive: Receive) -> Callable[..., None]:
    def before(_part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        real = list(filter(_is_real_tensor, (*args, *kwargs.values())))
        if real:
            receive(path, real[0].detach())

    return before


def _tell_output(path: str, receive: Receive) -> Callable[..., None]:
    def after(_part: nn.Module, _inputs: Any, value: Any) -> None:
        found = find_main_output(value)
        if found is not None:
            receive(path, found.detach())

    return after
