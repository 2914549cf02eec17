"""Which of an ONNX model's outputs is the main one, and how do those of several pieces become one?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from onnx import TensorProto
from torch import Tensor

from qanalysis.notation import shorten

#: Names under which a model returns its main output beside others.
_MAIN_OUTPUTS = ("logits", "last_hidden_state")
_REAL = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)


def choose_output(outputs: Sequence[Any]) -> str:
    """The main output; ValueError where the model returns no real numbers."""
    codes = {one.name: one.type.tensor_type.elem_type for one in outputs if not one.type.HasField("sequence_type")}
    real = [name for name, code in codes.items() if code in (*_REAL, TensorProto.UNDEFINED)]
    found = next((name for name in _MAIN_OUTPUTS if name in real), next(iter(real), None))
    if found is None:
        raise ValueError(
            f"the model returns no real numbers; its outputs are {', '.join(shorten(name, 60) for name in codes)}"
        )
    return found


def join_outputs(outputs: Sequence[Tensor]) -> Tensor:
    """The outputs of all samples, (samples, ...); ValueError where those of some pieces have another shape."""
    if len(outputs) == 1:
        return outputs[0]
    shapes = {tuple(one.shape[1:]) for one in outputs}
    if len(shapes) > 1:
        raise ValueError(f"the model's outputs have different shapes for different samples, {sorted(shapes)[:4]}")
    return torch.cat(list(outputs))
