"""What weights are in an ONNX model?

The initializers of the main graph. Constant nodes, sparse initializers and the bodies of If and Loop are left out.
External data is read only from the model's own folder: a model must not be able to name other files of the reader's
machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from qanalysis.checkpoints.data_file import DataFile, Folder
from qanalysis.checkpoints.entries import Content, Entry
from qanalysis.checkpoints.file_source import refuse_broken
from qanalysis.checkpoints.mapped_file import SAVE_AGAIN, StoredValues
from qanalysis.checkpoints.source import FLOAT_DTYPES, CheckpointError, TensorInfo, widen
from qanalysis.quantizers.matrix_view import MatrixView

INLINE_NOTE = (
    "The model is parsed whole and held in memory; Constant nodes are not read. Weights in external data would be "
    "mapped."
)
EXTERNAL_NOTE = (
    "The graph is parsed whole; weights in external data are mapped, a read costs the tensor or the slice. "
    "Constant nodes are not read."
)

_MAX_MODEL_BYTES = 2**31 - 1  # of one protobuf message
_BITS = {"int2": 2, "uint2": 2, "int4": 4, "uint4": 4, "float4_e2m1fn": 4, "float6_e2m3fn": 6, "float6_e3m2fn": 6}


@dataclass(frozen=True, slots=True)
class InlineValues:
    """An initializer inside the parsed model: any part costs a copy of the whole."""

    tensor: TensorProto
    sliceable: bool = False

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        return widen(numpy_helper.to_array(self.tensor).reshape(-1)[start:stop])


def read_onnx(file: DataFile, folder: Folder) -> Content:
    """Initializers of an ONNX model in the order of the graph. Raises CheckpointError.

    The view is that of the outputs: the last axis for the right operand of MatMul, 1 for that of Gemm with transB=0
    and for the weight of ConvTranspose, else 0.
    """
    if file.size > _MAX_MODEL_BYTES:
        raise CheckpointError(
            f"{file.name} has {file.size} bytes, an ONNX model has at most 2 GB; save its weights as external data"
        )
    with refuse_broken(f"{file.name} as an ONNX model"):
        graph = onnx.load_model_from_string(file.read_header(0, file.size)).graph
    axes = _find_channel_axes(graph)
    external = _ExternalData(folder)
    entries = []
    for tensor in graph.initializer:
        place = f"{file.name}: initializer {tensor.name!r}"
        with refuse_broken(place):
            entries.append(_read_initializer(tensor, axes.get(tensor.name, 0), external=external, place=place))
    files = list(external.files.values())
    return Content(entries, [file, *files], EXTERNAL_NOTE if files else INLINE_NOTE)


class _ExternalData:
    """The data files beside a model, each opened once."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self.files: dict[str, DataFile] = {}

    def locate(self, location: str, place: str) -> DataFile:
        named_outside = (
            PurePosixPath(location).is_absolute()
            or PureWindowsPath(location).anchor
            or ".." in PureWindowsPath(location).parts
        )
        if not location or named_outside:
            raise CheckpointError(
                f"{place} names the external data {location!r}; it must lie inside the model's folder, so move the "
                "file there"
            )
        if location not in self.files:
            self.files[location] = self._folder.open(location)
        return self.files[location]


def _find_channel_axes(graph: GraphProto) -> dict[str, int]:
    ranks = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    axes: dict[str, int] = {}
    for operand, axis in (pair for node in graph.node for pair in _find_operand_axes(node)):
        if ranks.get(operand, 0) > 1:
            axes.setdefault(operand, axis if axis >= 0 else ranks[operand] - 1)
    return axes


def _find_operand_axes(node: NodeProto) -> Iterator[tuple[str, int]]:
    if len(node.input) < 2:
        return
    if node.op_type == "MatMul":
        yield node.input[1], -1
    elif node.op_type == "Gemm":
        yield node.input[1], int(not any(attribute.name == "transB" and attribute.i for attribute in node.attribute))
    elif node.op_type == "ConvTranspose":
        yield node.input[1], 1


def _read_initializer(tensor: TensorProto, axis: int, *, external: _ExternalData, place: str) -> Entry:
    shape, word = tuple(tensor.dims), _name_dtype(tensor.data_type)
    if min(shape, default=0) < 0:
        raise CheckpointError(f"{place} has the shape {str(shape)[:80]}, sizes must be at least 0; {SAVE_AGAIN}")
    decodes = word in FLOAT_DTYPES
    bits = _BITS.get(word, 8 * FLOAT_DTYPES[word].itemsize if decodes else _count_bits(tensor.data_type))
    info = TensorInfo(
        tensor.name, shape, word, -(-math.prod(shape) * bits // 8), view=MatrixView((axis,)), decodes=decodes
    )
    if tensor.data_location == TensorProto.EXTERNAL:
        return Entry(info, _map_external(tensor, info, external=external, place=place))
    if decodes:
        _check_inline(tensor, info, place=place)
    return Entry(info, InlineValues(tensor))


def _name_dtype(data_type: int) -> str:
    if data_type == TensorProto.STRING:
        return "string"
    if data_type not in helper.get_all_tensor_dtypes():
        return f"onnx_type_{data_type}"
    return helper.tensor_dtype_to_np_dtype(data_type).name


def _count_bits(data_type: int) -> int:
    known = data_type in helper.get_all_tensor_dtypes() and data_type != TensorProto.STRING
    return 8 * helper.tensor_dtype_to_np_dtype(data_type).itemsize if known else 0


def _check_inline(tensor: TensorProto, info: TensorInfo, *, place: str) -> None:
    if tensor.HasField("raw_data"):
        held, needed, unit = len(tensor.raw_data), info.size_bytes, "bytes"
    else:
        held, needed, unit = len(getattr(tensor, helper.tensor_dtype_to_field(tensor.data_type))), info.numel, "values"
    if held != needed:
        raise CheckpointError(
            f"{place} has shape {info.shape} of {info.dtype}, which is {needed} {unit}, the model holds {held}; "
            f"{SAVE_AGAIN}"
        )


def _map_external(tensor: TensorProto, info: TensorInfo, *, external: _ExternalData, place: str) -> StoredValues:
    keys = {entry.key: entry.value for entry in tensor.external_data}
    file = external.locate(keys.get("location", ""), place)
    offset = int(keys.get("offset", "0"))
    length = int(keys.get("length", str(file.size - offset)))
    if offset < 0 or offset + length > file.size or (info.decodes and length != info.size_bytes):
        claim = f"claims {length} bytes at {offset} of {keys['location']!r} for {info.size_bytes} bytes of {info.dtype}"
        raise CheckpointError(f"{place} {claim}, which has {file.size} bytes; {SAVE_AGAIN}")
    dtype = FLOAT_DTYPES.get(info.dtype, np.dtype(np.uint8))
    return StoredValues(file, offset, dtype, info.size_bytes // dtype.itemsize)
