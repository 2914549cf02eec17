"""What are the values of torch's own quantized tensors (qint8, quint8, qint32, quint4x2)?

value = (code - zero point) * scale, with one scale and zero point for the tensor or one for each entry of an axis.
Codes of quint4x2 lie two in a byte, the first in the low half. As in `Tensor.dequantize`, the product is taken in the
type of the scales: float64 for those of an axis, float32 for one scale and for scales that are float32 in the file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Floats
from qanalysis.checkpoints.entries import is_raw
from qanalysis.checkpoints.packed.parts import NoValues, RowValues
from qanalysis.checkpoints.source import TensorInfo
from qanalysis.checkpoints.torch.strided import StridedValues, is_contiguous
from qanalysis.checkpoints.torch.stubs import Name
from qanalysis.checkpoints.torch.view import Described, View
from qanalysis.quantizers.matrix_view import ALONG_FIRST, MatrixView

_FORMATS = {"qint8": "int8", "quint8": "uint8", "qint32": "int32", "quint4x2": "uint4", "quint2x4": "uint2"}
_BLOCK = 1 << 18  # values decoded at once: their float64 products stay in cache
_PER_BYTE = {"quint4x2": 2, "quint2x4": 4}


@dataclass(frozen=True)
class QuantizedValues(RowValues):
    """Codes with their scales and zero points: one of each, or one for each entry of `axis`."""

    codes: StridedValues
    shape: tuple[int, ...]
    axis: int | None
    scale: Any
    zero_point: Any
    per_byte: int = 1

    @property
    def columns(self) -> int:
        """Values that follow one another with one scale, the whole tensor without an axis."""
        return math.prod(self.shape if self.axis is None else self.shape[self.axis + 1 :]) or 1

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        if self.axis is None:
            return self._decode(self._read_codes(start, stop), *self._grids)
        return super().read(start, stop)

    def decode(self, first: int, last: int) -> Floats:
        values = np.empty((last - first, self.columns), np.float32)
        rows = max(1, _BLOCK // self.columns)
        scale, zero_point = self._grids
        for start in range(first, last, rows):
            stop = min(start + rows, last)
            codes = self._read_codes(start * self.columns, stop * self.columns).reshape(stop - start, self.columns)
            channel = np.arange(start, stop) % scale.size
            values[start - first : stop - first] = self._decode(codes, scale[channel, None], zero_point[channel, None])
        return values

    def _decode(self, codes: NDArray[Any], scale: NDArray[Any], zero_point: NDArray[Any]) -> Floats:
        values = codes.astype(scale.dtype)
        values -= zero_point
        values *= scale
        return values.astype(np.float32, copy=False)

    @cached_property
    def _grids(self) -> tuple[NDArray[Any], NDArray[Any]]:
        scale, zero_point = _read_grid(self.scale), _read_grid(self.zero_point)
        kind = np.float64 if self.axis is not None and scale.dtype != np.float32 else np.float32
        return scale.astype(kind), zero_point.astype(kind)

    def _read_codes(self, start: int, stop: int) -> NDArray[Any]:
        if self.per_byte == 1:
            return self.codes.read_raw(start, stop)
        first, bits = start // self.per_byte, 8 // self.per_byte
        packed = self.codes.read_raw(first, -(-stop // self.per_byte))
        unpacked = np.empty((packed.size, self.per_byte), np.uint8)
        for place in range(self.per_byte):
            unpacked[:, place] = packed >> np.uint8(bits * place) & np.uint8((1 << bits) - 1)
        codes: NDArray[Any] = unpacked.reshape(-1)[start - first * self.per_byte : stop - first * self.per_byte]
        return codes


def describe_quantized(view: View, quantizer: list[Any]) -> Described:
    """A quantized tensor from its codes and (scheme, scale, zero point) or (scheme, scales, zero points, axis).

    ValueError for another scheme or parameters of another length than the axis.
    """
    scheme = quantizer[0].name if isinstance(quantizer[0], Name) else ""
    if view.dtype not in _FORMATS or scheme not in {
        "per_tensor_affine",
        "per_channel_affine",
        "per_channel_affine_float_qparams",
    }:
        raise ValueError("quantizer")
    axis = None if scheme == "per_tensor_affine" else quantizer[3]
    if axis is not None and (type(axis) is not int or not 0 <= axis < len(view.shape)):
        raise ValueError("axis")
    length = 1 if axis is None else view.shape[axis]
    for parameter in quantizer[1:3]:
        if _length(parameter) != length:
            raise ValueError("scales")
    per_byte = _PER_BYTE.get(view.dtype, 1)
    codes = view
    if per_byte > 1:
        stored = -(-math.prod(view.shape) // per_byte)
        codes = replace(view, shape=(stored,), stride=(1,))
    problem = codes.find_problem()
    if per_byte > 1 and not is_contiguous(view.shape, view.stride):
        problem = "codes of less than a byte in another order than that of the tensor"
    grouping = "tensor" if axis is None else "channel"
    info = TensorInfo(
        "",
        view.shape,
        view.dtype,
        codes.stored_bytes + sum(_stored_bytes(parameter) for parameter in quantizer[1:3]),
        view=MatrixView((axis,)) if axis else ALONG_FIRST,
        decodes=not problem,
        stored=f"torch.ao {_FORMATS[view.dtype]} {grouping}",
        reason=problem,
    )
    values = QuantizedValues(codes.values(), view.shape, axis, quantizer[1], quantizer[2], per_byte)
    identity = (view.key, view.dtype, view.offset, view.shape, view.stride, "quantized") if info.numel else None
    return Described(info, NoValues() if problem else values, identity)


def _length(parameter: Any) -> int:
    if isinstance(parameter, Described):
        if parameter.info.reason or isinstance(parameter.values, NoValues):
            raise ValueError("scales")
        return parameter.info.numel
    if isinstance(parameter, list) and all(isinstance(value, int | float) for value in parameter):
        return len(parameter)
    if isinstance(parameter, int | float):
        return 1
    raise ValueError("scales")


def _stored_bytes(parameter: Any) -> int:
    return parameter.info.size_bytes if isinstance(parameter, Described) else 0


def _read_grid(parameter: Any) -> NDArray[Any]:
    if isinstance(parameter, Described) and is_raw(parameter.values):
        return parameter.values.read_raw(0, parameter.info.numel)
    return np.atleast_1d(np.asarray(parameter, dtype=np.float64))
