"""Which numpy array stands in a pickle? Its sizes, its type and its bytes, as numpy writes them, 1 and 2 alike.

An array is `numpy.core.multiarray._reconstruct(numpy.ndarray, ...)` with the state (version, shape, dtype, Fortran
order, bytes); a dtype is `numpy.dtype(text, ...)` with the state (version, byte order, ...). Bytes are text decoded
from Latin-1 in protocol 2.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.checkpoints.source import FLOAT_DTYPES, TensorInfo, widen
from qanalysis.checkpoints.torch.stubs import Call
from qanalysis.checkpoints.torch.view import Described, read_sizes

_RECONSTRUCT = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")
_FROM_BUFFER = ("numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer")  # of protocol 5
_SCALAR = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
_NUMBERS = re.compile(r"(b1|[iu][1248]|f[248]|c8|c16)")


@dataclass(frozen=True)
class PickledValues:
    """An array whose bytes stand in the pickle itself; they are turned into numbers at each read and not kept."""

    data: bytes | str
    dtype: np.dtype
    shape: tuple[int, ...]
    fortran_order: bool
    sliceable: bool = False

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        return widen(self.read_raw(start, stop))

    def read_raw(self, start: int, stop: int) -> NDArray[Any]:
        data = self.data.encode("latin-1") if isinstance(self.data, str) else self.data
        flat = np.frombuffer(data, self.dtype)
        if self.fortran_order:
            flat = flat.reshape(self.shape[::-1]).T.reshape(-1)
        return flat[start:stop].astype(self.dtype.newbyteorder("="))

    def read_columns(self, width: int, first: int, last: int) -> NDArray[Any]:
        return self.read_raw(0, math.prod(self.shape)).reshape(-1, width)[:, first:last]


def is_numpy(value: Any) -> bool:
    """Whether a call stands for an array, a scalar or a type of numpy."""
    return isinstance(value, Call) and value.calls(
        *_RECONSTRUCT, *_FROM_BUFFER, *_SCALAR, "numpy.dtype", "numpy.ndarray"
    )


def describe_array(value: Any) -> Described | None:
    """The array of numbers that a call stands for; None for scalars, text, objects and damaged ones."""
    if not isinstance(value, Call):
        return None
    if value.calls(*_RECONSTRUCT) and isinstance(value.state, tuple) and len(value.state) == 5:
        _version, sizes, kind, fortran_order, data = value.state
    elif value.calls(*_FROM_BUFFER) and isinstance(value.args, tuple) and len(value.args) == 4:
        data, kind, sizes, order = value.args
        fortran_order = order == "F"
    else:
        return None
    if isinstance(data, Call) and data.calls("_codecs.encode") and isinstance(data.args, tuple) and data.args:
        data = data.args[0]
    try:
        shape = read_sizes(sizes)
    except ValueError:
        return None
    dtype = _read_dtype(kind)
    if dtype is None or not isinstance(data, bytes | str) or len(data) != math.prod(shape) * dtype.itemsize:
        return None
    word = dtype.name
    info = TensorInfo("", shape, word, len(data), decodes=word in FLOAT_DTYPES)
    return Described(info, PickledValues(data, dtype, shape, fortran_order is True), (id(value),))


def _read_dtype(kind: Any) -> np.dtype | None:
    if not isinstance(kind, Call) or not kind.calls("numpy.dtype") or not isinstance(kind.args, tuple) or not kind.args:
        return None
    text, state = kind.args[0], kind.state
    if not isinstance(text, str) or not _NUMBERS.fullmatch(text):
        return None
    order = state[1] if isinstance(state, tuple) and len(state) > 1 else "="
    return np.dtype(text).newbyteorder(">" if order == ">" else "<" if order == "<" else "=")
