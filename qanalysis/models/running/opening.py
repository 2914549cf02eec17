"""Which model is meant? The first way of opening one that knows the text; one line of the catalogue each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qanalysis.models.model import load_model
from qanalysis.models.running.runnable import Runnable
from qanalysis.models.running.torch_model import TorchModel


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """What the user typed: which model, weights to load into it, and whether code of the model may be trusted."""

    text: str
    weights: str | None = None
    trust_code: bool = False


@dataclass(frozen=True, slots=True)
class ModelKind:
    """A way of opening a model: whether it knows a text, and how it opens it."""

    name: str
    knows: Callable[[ModelRequest], bool]
    open: Callable[[ModelRequest], Runnable]


def open_model(text: str, *, weights: str | None = None, trust_code: bool = False) -> Runnable:
    """The model that a text names, ready to run, with `weights` of a checkpoint in place of its own.

    Raises ValueError for what can not be opened, is no model, or does not fit the weights.
    """
    request = ModelRequest(text, weights, trust_code)
    kind = next(kind for kind in KINDS if kind.knows(request))
    return kind.open(request)


def _open_module(request: ModelRequest) -> Runnable:
    """A sample, or what a factory of the user's returns."""
    return TorchModel(load_model(request.text), request.text)


def _open_onnx(request: ModelRequest) -> Runnable:
    from qanalysis.models.running.onnx_model import open_onnx  # brings the format's reader along

    return open_onnx(request.text, request.weights)


KINDS: tuple[ModelKind, ...] = (
    ModelKind("onnx", lambda request: request.text.lower().endswith(".onnx"), _open_onnx),
    ModelKind("module", lambda _request: True, _open_module),
)
