"""Which tensor does a call of one of torch's rebuilders stand for?

The rebuilders are functions of `torch._utils`; each is known by name, and what it would do is done here: a storage, an
offset, sizes and strides become a line of the header and the means to read it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from qanalysis.checkpoints.packed.parts import NoValues
from qanalysis.checkpoints.source import TensorInfo
from qanalysis.checkpoints.torch.dtypes import read_dtype
from qanalysis.checkpoints.torch.quantized import describe_quantized
from qanalysis.checkpoints.torch.stubs import Call, Name
from qanalysis.checkpoints.torch.view import Described, FindStorage, describe_view, read_sizes, read_view

_LAYERS = 16  # rebuilders around one another: a parameter of a subclass of a tensor
_UNWRAPPED = frozenset(
    (
        "torch._utils._rebuild_parameter",
        "torch._utils._rebuild_parameter_with_state",
        "torch._utils._rebuild_device_tensor_from_cpu_tensor",
        "torch._utils._rebuild_device_tensor_from_numpy",
        "torch._utils._rebuild_xla_tensor",
        "torch.nn.parameter.Parameter",
        "torch.nn.parameter.Buffer",
    )
)
_FROM_TYPE = ("torch._tensor._rebuild_from_type_v2", "torch._tensor._rebuild_from_type")


class NotATensorError(ValueError):
    """A call that names a rebuilder of tensors and does not have its arguments."""


def unwrap(value: Any) -> Any:
    """What a parameter or a plain subclass of a tensor wraps, else the value itself."""
    for _layer in range(_LAYERS):
        if not isinstance(value, Call) or not isinstance(value.args, tuple) or not isinstance(value.callee, Name):
            return value
        if value.callee.text in _UNWRAPPED and value.args:
            value = value.args[0]
        elif value.callee.text in _FROM_TYPE and len(value.args) >= 3:
            made = Call(value.args[0], value.args[2])
            if made.calls("torch._utils._rebuild_wrapper_subclass"):
                return value
            value = made
        else:
            return value
    return value


def describe_tensor(value: Any, find_storage: FindStorage) -> Described | None:
    """The tensor that an unwrapped value stands for, None where it is none of those below.

    Raises NotATensorError where the arguments are not those of the rebuilder.
    """
    if not isinstance(value, Call) or not isinstance(value.callee, Name):
        return None
    describe = _REBUILDERS.get(value.callee.text)
    if describe is None:
        return None
    try:
        return describe(value.args, find_storage)
    except (TypeError, ValueError, IndexError, KeyError, AttributeError) as error:
        raise NotATensorError(f"{value.callee} has other arguments than torch gives it") from error


def _describe_plain(args: Any, find_storage: FindStorage) -> Described:
    metadata = args[6] if len(args) > 6 else None
    negated = isinstance(metadata, dict) and metadata.get("neg") is True
    return describe_view(read_view(args, find_storage), negated=negated)


def _describe_typed(args: Any, find_storage: FindStorage) -> Described:
    dtype = read_dtype(args[6])
    if not dtype:
        raise ValueError("dtype")
    metadata = args[7] if len(args) > 7 else None
    negated = isinstance(metadata, dict) and metadata.get("neg") is True
    return describe_view(read_view(args, find_storage, dtype=dtype), negated=negated)


def _describe_meta(args: Any, _find_storage: FindStorage) -> Described:
    dtype, shape = read_dtype(args[0]), read_sizes(args[1])
    info = TensorInfo("", shape, dtype, 0, decodes=False, reason="no values stored (meta tensor)")
    return Described(info, NoValues())


def _describe_sparse(args: Any, find_storage: FindStorage) -> Described:
    layout, data = args
    named = layout.args[0] if isinstance(layout, Call) and isinstance(layout.args, tuple) and layout.args else layout
    # A damaged pickle may put anything in its place, however deep.
    text = str(named) if isinstance(named, str | Name) else ""
    word = text.rpartition(".")[2].removeprefix("sparse_").upper()[:8]
    parts = [describe_tensor(unwrap(part), find_storage) for part in data]
    tensors = [part.info for part in parts if part is not None]
    values = tensors[-1]  # the indices come first
    sizes = next(read_sizes(part) for part, made in zip(data[2:], parts[2:], strict=True) if made is None)
    stored, numel = values.numel, math.prod(sizes)
    info = TensorInfo(
        "",
        sizes,
        values.dtype,
        sum(tensor.size_bytes for tensor in tensors),
        decodes=False,
        reason=f"sparse ({word}, {stored:,} of {numel:,} values stored)",
    )
    return Described(info, NoValues())


def _describe_quantized(args: Any, find_storage: FindStorage) -> Described:
    parameters = [describe_tensor(unwrap(part), find_storage) or part for part in args[4]]
    return describe_quantized(read_view(args, find_storage), parameters)


_REBUILDERS: dict[str, Callable[[Any, FindStorage], Described]] = {
    "torch._utils._rebuild_tensor": _describe_plain,
    "torch._utils._rebuild_tensor_v2": _describe_plain,
    "torch._utils._rebuild_tensor_v3": _describe_typed,
    "torch._utils._rebuild_qtensor": _describe_quantized,
    "torch._utils._rebuild_sparse_tensor": _describe_sparse,
    "torch._utils._rebuild_meta_tensor_no_storage": _describe_meta,
}
