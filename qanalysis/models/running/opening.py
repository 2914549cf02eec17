"""Which model is meant? The first way of opening one that knows the text; one line of the catalogue each."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from qanalysis.models.running.exported import is_program, is_script, open_program, refuse_script
from qanalysis.models.running.modules import open_module
from qanalysis.models.running.runnable import Runnable
from qanalysis.models.running.silence import kept_apart
from qanalysis.notation import quote


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


def _is_folder(request: ModelRequest) -> bool:
    with suppress(OSError, ValueError):  # of a name that no file can have
        return bool(request.text) and Path(request.text).is_dir()
    return False


def _open_folder(request: ModelRequest) -> Runnable:
    from qanalysis.models.running.hugging_face import open_folder

    return open_folder(Path(request.text), request.text, weights=request.weights)


def _open_hub(request: ModelRequest) -> Runnable:
    from qanalysis.models.running.hub import fetch_folder
    from qanalysis.models.running.hugging_face import open_folder

    return open_folder(fetch_folder(request.text), request.text, weights=request.weights)


def _open_program(request: ModelRequest) -> Runnable:
    return open_program(request.text, weights=request.weights, trust_code=request.trust_code)


def _is_file(request: ModelRequest) -> bool:
    with suppress(OSError, ValueError):
        return Path(request.text).is_file()
    return False


def _refuse_file(request: ModelRequest) -> Runnable:
    if is_script(Path(request.text)):
        raise refuse_script(request.text)
    raise ValueError(
        f"{quote(request.text)} is a file that holds no model that runs, as far as its name says; give {_FORMS}, and a "
        "file of weights with --weights"
    )


def _is_module(request: ModelRequest) -> bool:
    return ":" in request.text


def _open_module(request: ModelRequest) -> Runnable:
    with kept_apart():
        return open_module(request.text, weights=request.weights)


def _refuse(request: ModelRequest) -> Runnable:
    raise ValueError(f"there is no model {quote(request.text)}; give {_FORMS}")


def _open_onnx(request: ModelRequest) -> Runnable:
    from qanalysis.models.running.onnx_model import open_onnx  # brings the format's reader along

    return open_onnx(request.text, request.weights)


_FORMS = (
    "sample:NAME, package.module:factory, a Hugging Face folder or hf://owner/repo, an .onnx file, or a .pt2 program"
)
KINDS: tuple[ModelKind, ...] = (
    ModelKind("hub", lambda request: request.text.lower().startswith("hf://"), _open_hub),
    ModelKind("Hugging Face folder", _is_folder, _open_folder),
    ModelKind("onnx", lambda request: request.text.lower().endswith(".onnx"), _open_onnx),
    ModelKind("exported program", lambda request: is_program(Path(request.text)), _open_program),
    ModelKind("other file", _is_file, _refuse_file),
    ModelKind("module", _is_module, _open_module),
    ModelKind("nothing", lambda _request: True, _refuse),
)
