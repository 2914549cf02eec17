"""Which values of a checkpoint take the place of an ONNX model's own? All of its parameters, by name and shape."""

from __future__ import annotations

from collections.abc import Sequence

from qanalysis.arrays import Floats
from qanalysis.checkpoints.source import Role, TensorInfo
from qanalysis.models.running.weights import Mismatch, identify, open_weights, read_state
from qanalysis.notation import shorten
from qanalysis.results.identity import SourceIdentity

_PARAMETERS: tuple[Role, ...] = ("weight", "embedding", "norm", "bias")


def read_weights(tensors: Sequence[TensorInfo], text: str, model: str) -> tuple[dict[str, Floats], SourceIdentity]:
    """The values of a checkpoint for these tensors of a model, by name, and which file it was.

    Buffers and constants keep their values where the file has none. Raises ValueError, one line, for a file that can
    not be read or does not fit.
    """
    by_name = {info.name: info for info in tensors if info.decodes}
    with open_weights(text) as source:
        state = read_state(source, text, by_name)
        known = {name for info in by_name.values() for name in (info.name, *info.aliases)}
        parameters = {name: info for name, info in by_name.items() if info.role in _PARAMETERS}
        missing = [name for name in parameters if name not in state]
        extra = [one.name for one in source.tensors if one.role in _PARAMETERS and one.decodes]
        unlike = [
            f"{shorten(name, 80)} {'x'.join(map(str, state[name].shape))} against {info.shape_text or 'one number'}"
            for name, info in by_name.items()
            if name in state and tuple(state[name].shape) != info.shape
        ]
        gone = [name for name in extra if name in state and name not in known]
        Mismatch(len(by_name), missing, gone, unlike).refuse(text, model)
        found: dict[str, Floats] = {name: state[name].numpy() for name in by_name if name in state}
        return found, identify(source, text)
