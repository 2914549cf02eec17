"""How does a part of an ONNX graph run by itself? It becomes a model of its own, whose inputs are what it needs.

Constants that are fed are inputs of every part, so that the values are held once and shared; a session then holds
little but its operations. No operation is fused with another: what a part gives is, bit for bit, what the whole gives.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnx import NodeProto, TensorProto, helper

from qanalysis.models.factory import describe_error
from qanalysis.models.running.onnx_file import Fed
from qanalysis.models.running.onnx_graph import Graph

#: Where a part is cut: how many operations run before it.
Cut = int
MOST_THREADS = 2
_SILENT = 4
_NO_MEMORY = re.compile(r"bad allocation|bad_alloc|failed to allocate|out of memory", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Span:
    """Operations start..stop; with `turned` the first of them reads its input of that place under another name."""

    start: Cut
    stop: Cut
    turned: int | None = None


def name_turned(step: Cut) -> str:
    """What the input of an operation is called that was changed on its way in."""
    return f"{step}: changed on the way in"


class Parts:
    """The parts of a graph, made when asked for and kept. `codes` are the element types of values by name, which must
    be known of what crosses a cut.
    """

    def __init__(
        self,
        graph: Graph,
        constants: Mapping[str, TensorProto],
        fed: Mapping[str, Fed],
        *,
        threads: int = MOST_THREADS,
    ) -> None:
        self._graph, self._constants, self._fed = graph, constants, fed
        self.codes = {name: one.type.tensor_type.elem_type for name, one in graph.inputs.items()}
        self._sessions: dict[tuple[Span, tuple[str, ...]], tuple[Any, tuple[str, ...]]] = {}
        self._live: dict[Cut, list[str]] = {}
        self._threads = threads
        self.early = {name for name, one in fed.items() if one.is_early}
        self._outputs = {one.name for one in graph.outputs}
        self._made = {name: place for place, step in enumerate(graph.steps) for name in step.makes}
        self._last = {name: place for place, step in enumerate(graph.steps) for name in step.uses}

    def feed(self, names: Iterable[str], outputs: tuple[str, ...]) -> None:
        """From now on these constants are inputs, too. ValueError where an operation needs one of them to be fixed."""
        new = set(names) - self.early
        if new:
            before, self._sessions = self._sessions, {}
            self.early |= new
            try:
                self.open(Span(0, len(self._graph.steps)), outputs)
            except ValueError:
                self.early -= new
                self._sessions = before
                raise

    def find_live(self, cut: Cut) -> list[str]:
        """The values that were computed before a cut and are needed after it."""
        if cut not in self._live:
            self._live[cut] = [
                name
                for name, place in self._made.items()
                if place < cut and (self._last.get(name, -1) >= cut or name in self._outputs)
            ]
        return self._live[cut]

    def made_in(self, span: Span, names: Iterable[str]) -> tuple[str, ...]:
        """Those of some names that the operations of a span compute."""
        return tuple(dict.fromkeys(name for name in names if span.start <= self._made.get(name, -1) < span.stop))

    def run(self, span: Span, outputs: Sequence[str], find: Callable[[str], Any]) -> dict[str, Any]:
        """Values that the operations of a span compute, as the runtime holds them; `find` gives what they need.

        Raises ValueError where the runtime does not take the operations or they fail, MemoryError.
        """
        if not outputs:
            return {}
        session, needed = self.open(span, tuple(outputs))
        try:
            values = session.run_with_ort_values(list(outputs), {name: find(name) for name in needed}, _run_silently())
        except Exception as error:  # the runtime has a type of its own for each kind of failure
            raise _translate(error, "ONNX Runtime does not run the model") from error
        return dict(zip(outputs, values, strict=True))

    def open(self, span: Span, outputs: tuple[str, ...]) -> tuple[Any, tuple[str, ...]]:
        """The session of a part, and the names of what it needs."""
        key = (span, outputs)
        if key not in self._sessions:
            model, needed = self._write(span, outputs)
            self._sessions[key] = (open_session(model, threads=self._threads), needed)
        return self._sessions[key]

    def _write(self, span: Span, outputs: Sequence[str]) -> tuple[bytes, tuple[str, ...]]:
        steps = self._graph.steps[span.start : span.stop]
        nodes = [step.node for step in steps]
        used, turned = set[str]().union(*(step.uses for step in steps)), ""
        if span.turned is not None:
            turned = nodes[0].input[span.turned]
            nodes[0] = _turn(nodes[0], span)
            used = set[str]().union(nodes[0].input, steps[0].uses - set(steps[0].node.input))
            used = used.union(*(step.uses for step in steps[1:]))
        inside = {name for step in steps for name in step.makes}
        held = [self._constants[name] for name in sorted(used) if name in self._constants and name not in self.early]
        known = inside | {one.name for one in held}
        needed = tuple(sorted(name for name in used if name and name not in known))
        inputs = [self._describe(turned if name == name_turned(span.start) else name, name) for name in needed]
        ends = [helper.make_empty_tensor_value_info(name) for name in outputs]
        return self._graph.wrap(nodes, inputs, ends, held), needed

    def _describe(self, value: str, name: str) -> Any:
        """What a part is given under a name: a constant, an input of the model, or a value that was computed before."""
        if value in self._fed:
            return helper.make_tensor_value_info(name, self._fed[value].code, self._fed[value].info.shape)
        if name in self._graph.inputs:
            return self._graph.inputs[name]
        return helper.make_tensor_value_info(name, self.codes.get(value, TensorProto.FLOAT), None)


def _turn(node: NodeProto, span: Span) -> NodeProto:
    made = NodeProto()
    made.CopyFrom(node)
    made.input[span.turned or 0] = name_turned(span.start)
    return made


def open_session(model: bytes, *, threads: int = MOST_THREADS) -> Any:
    """A session that says nothing on stderr and takes so many threads at most. ValueError where the runtime refuses."""
    runtime = load_runtime()
    options = runtime.SessionOptions()
    options.log_severity_level = _SILENT
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = min(threads, os.cpu_count() or 1)
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime has a type of its own for each kind of refusal
        raise _translate(error, "ONNX Runtime does not take the model") from error


def load_runtime() -> Any:
    """The package onnxruntime, told to say nothing. ValueError with the way out where it is not installed."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ValueError(
            "running an ONNX model needs ONNX Runtime, which is not installed; pip install 'qanalysis[onnx]'"
        ) from error
    onnxruntime.set_default_logger_severity(_SILENT)
    return onnxruntime


def _run_silently() -> Any:
    options = load_runtime().RunOptions()
    options.log_severity_level = _SILENT
    return options


def _translate(error: Exception, what: str) -> Exception:
    """An error of the runtime as one of ours, on one line."""
    if isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)):
        return MemoryError("there is no memory to run the model; take smaller batches")
    text = re.sub(r"\[ONNXRuntimeError\] : \d+ : ", "", str(error))
    return ValueError(f"{what}: {describe_error(type(error)(text))}")
