"""What lies in an ONNX file that is to run? Tensors as a sweep sees them, the graph, and where each tensor enters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
from onnx import ModelProto, TensorProto, external_data_helper

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.source import CheckpointError, Role, TensorInfo, TensorSource
from qanalysis.models.factory import describe_error
from qanalysis.models.running.onnx_constants import gather_constants
from qanalysis.models.running.onnx_graph import Graph
from qanalysis.models.running.onnx_halves import HALVES, widen_halves, widen_tensor
from qanalysis.models.running.onnx_unpacking import unpack
from qanalysis.notation import quote

#: Roles whose tensors are inputs from the start; of the others those that are long.
_MEASURED: tuple[Role, ...] = ("weight", "embedding", "norm", "bias")
_LONG_BYTES = 1024
_REAL = (TensorProto.FLOAT, TensorProto.DOUBLE, *HALVES)
_NO_PLACE = "it is no constant of the main graph or of a body in it, so that no other values can be put in its place"


@dataclass(frozen=True, slots=True, eq=False)
class Fed:
    """A constant that can be fed: the tensor of the source, and its type (an element type of ONNX) in the graph.
    `is_early` says that it is an input from the start; of the others the graph holds the values.
    """

    info: TensorInfo
    code: int
    is_early: bool


@dataclass(frozen=True, slots=True, eq=False)
class OnnxFile:
    """`source` lists the tensors and reads them, `tensors` are the same with the reasons why some can not be changed.
    `fed` are places by name, `constants` all others and those that are not fed from the start. `notes` say what was
    changed.
    """

    source: TensorSource
    tensors: tuple[TensorInfo, ...]
    graph: Graph
    constants: Mapping[str, TensorProto]
    fed: Mapping[str, Fed]
    notes: tuple[str, ...]


def read_file(path: Path) -> OnnxFile:
    """Tensors and graph of a model. ValueError for a file that is none."""
    try:
        source = open_checkpoint(path)
    except CheckpointError as error:
        raise ValueError(str(error)) from error
    try:
        model = onnx.load(str(path), load_external_data=False)
        return _arrange(model, source, path.parent)
    except ValueError:
        source.close()
        raise
    except Exception as error:  # protobuf, numpy, the file system: whatever damaged bytes make of a parser
        source.close()
        raise ValueError(f"{quote(path.name)} can not be read as an ONNX model: {describe_error(error)}") from error


def _arrange(model: ModelProto, source: TensorSource, folder: Path) -> OnnxFile:
    has_halves = any(one.data_type in HALVES for one in model.graph.initializer)
    found = gather_constants(model.graph)
    plain = [info for info in source.tensors if not info.stored and info.decodes]
    fed = {
        name: Fed(info, _widen_code(found[name].data_type), _is_early(info))
        for info in plain
        for name in (info.name, *info.aliases)
        if name in found and found[name].data_type in _REAL and tuple(found[name].dims) == info.shape
    }
    early = {name for name, one in fed.items() if one.is_early}
    constants = {name: _keep(tensor, name, folder) for name, tensor in found.items() if name not in early}
    light = ModelProto()
    light.CopyFrom(model)  # without the memory of the weights
    widen_halves(light)
    packed = [info for info in source.tensors if info.stored and info.decodes]
    names, reasons = unpack(light, packed)
    fed |= {name: Fed(info, TensorProto.FLOAT, True) for info in packed for name in names.get(info.name, ())}
    placed = {one.info.name for one in fed.values()}
    reasons |= {info.name: _NO_PLACE for info in plain if info.name not in placed}
    notes = ("halves are computed in float32, with the values that the file holds",) if has_halves else ()
    graph = Graph.of(light, {**constants, **dict.fromkeys(fed, TensorProto())})
    return OnnxFile(source, tuple(_mark(source.tensors, reasons)), graph, constants, fed, notes)


def _is_early(info: TensorInfo) -> bool:
    return info.role in _MEASURED or info.size_bytes > _LONG_BYTES


def _widen_code(code: int) -> int:
    return TensorProto.FLOAT if code in HALVES else code


def _keep(tensor: TensorProto, name: str, folder: Path) -> TensorProto:
    """A constant with its values, of float32 where it was of halves."""
    made = TensorProto()
    made.CopyFrom(tensor)
    if made.data_location == TensorProto.EXTERNAL:
        external_data_helper.load_external_data_for_tensor(made, str(folder))
        made.data_location = TensorProto.DEFAULT
        del made.external_data[:]
    widen_tensor(made)
    made.name = name
    return made


def _mark(tensors: Iterable[TensorInfo], reasons: Mapping[str, str]) -> Iterable[TensorInfo]:
    for info in tensors:
        reason = reasons.get(info.name)
        yield replace(info, decodes=False, reason=reason) if reason and info.decodes else info
