"""Which model is meant? The first way of opening one that knows the text; one line of the catalogue each."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from qanalysis.models.model import load_model
from qanalysis.models.running.runnable import Runnable
from qanalysis.models.running.torch_model import TorchModel
from qanalysis.models.running.weights import load_weights


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
    module = load_model(request.text)
    if request.weights is None:
        return TorchModel(module, request.text)
    source = load_weights(module, request.weights, model=request.text)
    return TorchModel(module, request.text, source=source)


def _is_folder(request: ModelRequest) -> bool:
    with suppress(OSError, ValueError):  # of a name that no file can have
        return Path(request.text).is_dir()
    return False


def _open_folder(request: ModelRequest) -> Runnable:
    from qanalysis.models.running.hugging_face import open_folder

    return open_folder(Path(request.text), request.text, weights=request.weights)


def _open_onnx(request: ModelRequest) -> Runnable:
    from qanalysis.models.running.onnx_model import open_onnx  # brings the format's reader along

    return open_onnx(request.text, request.weights)


KINDS: tuple[ModelKind, ...] = (
    ModelKind("Hugging Face folder", _is_folder, _open_folder),
    ModelKind("onnx", lambda request: request.text.lower().endswith(".onnx"), _open_onnx),
    ModelKind("module", lambda _request: True, _open_module),
)
