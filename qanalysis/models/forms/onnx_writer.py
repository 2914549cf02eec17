"""How is a quantized model written as ONNX? Integers, scales and DequantizeLinear in the place of each weight, and
QuantizeLinear and DequantizeLinear on the way into each layer: QDQ, as ONNX Runtime and compilers of chips read it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper, version_converter

from qanalysis.arrays import Floats
from qanalysis.checkpoints.source import TensorInfo
from qanalysis.models.calibration.samples import Batch
from qanalysis.models.factory import describe_error
from qanalysis.models.forms.onnx_codes import BLOCKS_OPSET, Codes, encode, tell_storage
from qanalysis.models.forms.onnx_export import check_outputs, export_torch, match_layers, match_tensors
from qanalysis.models.forms.onnx_nodes import write_activation, write_weight
from qanalysis.models.running.onnx_constants import rename_inputs
from qanalysis.models.running.onnx_layers import Place
from qanalysis.models.running.onnx_model import OnnxModel
from qanalysis.models.running.onnx_parts import open_session
from qanalysis.models.running.runnable import Change, Runnable
from qanalysis.models.running.torch_model import TorchModel
from qanalysis.notation import quote
from qanalysis.quantizers.quantizer import LevelQuantizer
from qanalysis.results.files import write_whole

#: The first version of the operators in which DequantizeLinear has an axis, and the one from which on a model is called
#: by the newest version as it is: nothing but GroupNormalization changed its meaning between the two.
_AXIS_OPSET, _SAME_OPSET = 13, 18
#: The version of the format that has codes of 4 bits.
_BLOCKS_FORMAT = 10
#: Operations that hand a tensor on without changing its numbers.
_CARRIERS = ("Transpose", "Identity", "Cast")
_MAX_BYTES = 2**31 - 1  # of one protobuf message
Quantizers = Mapping[str, LevelQuantizer]


def write_qdq_onnx(
    model: Runnable,
    example: Batch,
    quantizers: Quantizers,
    activations: Quantizers,
    path: str | Path,
    *,
    values: Mapping[str, Floats] | None = None,
) -> None:
    """Write a model with quantized weights (by tensor) and layers' inputs (by layer, one range each) as ONNX.

    `values` are those of tensors that are no longer the model's own, such as repaired weights and biases.

    A torch model is exported with `example` as the samples that it is traced on; the samples' axis stays free. What
    reads the file back finds the tensors under their names, with the values of the quantizers' own round trip bit for
    bit. The file appears at once or not at all.

    Raises ValueError for a model that can not be exported, a format that ONNX can not hold, and a tensor or layer that
    is not there; OSError where the file can not be written.
    """
    other = dict(values or {})
    if isinstance(model, OnnxModel):
        made = _load(model)
        _quantize(made, model, quantizers, activations, other)
    elif isinstance(model, TorchModel):
        with model.changed(Change(other)):
            made = _export(model, example, quantizers, activations)
    else:
        kind = type(model).__name__
        raise TypeError(f"a model of the kind {kind} can not be written as ONNX; give a torch model or one of ONNX")
    _save(made, Path(path))


def _export(model: TorchModel, example: Batch, quantizers: Quantizers, activations: Quantizers) -> ModelProto:
    """The quantized model of a torch module, by way of the float one."""
    with TemporaryDirectory() as folder, OnnxModel(export_torch(model, example, Path(folder))) as other:
        check_outputs(model, other, example)
        tensors = match_tensors(model, other, quantizers)
        layers = match_layers(model, other, activations)
        made = _load(other)
        _quantize(made, other, tensors, layers, {}, is_module=True)
    return made


def _load(model: OnnxModel) -> ModelProto:
    """The model with its weights, as it is in the file."""
    try:
        return onnx.load(str(model.path))
    except Exception as error:  # the file may have gone, or its data beside it
        raise ValueError(f"{quote(model.name)} can not be read again: {describe_error(error)}") from error


def _quantize(
    made: ModelProto,
    model: OnnxModel,
    quantizers: Quantizers,
    activations: Quantizers,
    values: Mapping[str, Floats],
    *,
    is_module: bool = False,
) -> None:
    """Put codes in the place of weights, and quantizers on the way into layers, into each use of a module's."""
    opset = _lift(made)
    uses = [
        (layer, result) for layer in activations for result in _list_uses(made.graph, model, layer, again=is_module)
    ]
    codes = {one.name: one.data_type for one in made.graph.initializer}
    products = {
        one.layer.tensor.name for one in model.places if one.layer.is_linear and one.layer.name not in activations
    }
    first = list[NodeProto]()
    for name, quantizer in quantizers.items():
        info = _find(model, name)
        held = encode(quantizer, values.get(name, model.read(info)), opset=opset, name=name)
        first += _put_weight(made.graph, info, held, is_apart=name in products)
    for name in values.keys() - quantizers.keys():
        _exchange(made.graph, _find(model, name), values[name])
    taken = {name for node in made.graph.node for name in (*node.input, *node.output)}
    for layer, result in uses:
        quantizer, place = activations[layer], _find_place(model, layer)
        at = next(index for index, node in enumerate(made.graph.node) if result in node.output)
        node, operand = made.graph.node[at], place.operand or 0
        code = codes.get(place.layer.tensor.name, TensorProto.FLOAT)
        name = _choose_name(f"{layer}_input", taken)
        written = write_activation(name, node.input[operand], quantizer, code, opset=opset)
        node.input[operand] = written.result
        made.graph.initializer.extend(written.constants)
        for one in reversed(written.nodes):
            made.graph.node.insert(at, one)
    nodes = [*first, *map(_copy, made.graph.node)]
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    notes = tell_storage(quantizers.values(), opset=opset)
    if notes:
        made.metadata_props.add(key="codes", value="; ".join(notes))


def _find(model: OnnxModel, name: str) -> TensorInfo:
    info = next((info for info in model.tensors if info.name == name), None)
    if info is None:
        raise ValueError(f"{quote(name)} is no tensor of {quote(model.name)}")
    if info.stored:
        raise ValueError(f"{quote(name)} is stored as codes already ({info.stored}); quantize the float model")
    return info


def _put_weight(graph: GraphProto, info: TensorInfo, held: Codes, *, is_apart: bool) -> list[NodeProto]:
    """A weight's codes in its place; the operations that decode them."""
    names = (info.name, *info.aliases)
    written = write_weight(info.name, held, _take_constants(graph, names), is_apart=is_apart)
    graph.initializer.extend(written.constants)
    rename_inputs(graph, dict.fromkeys(names, written.result))
    return written.nodes


def _exchange(graph: GraphProto, info: TensorInfo, values: Floats) -> None:
    """Other values of a tensor that stays float, under all its names."""
    names = (info.name, *info.aliases)
    kind = helper.tensor_dtype_to_np_dtype(_take_constants(graph, names))
    held = np.asarray(values).reshape(info.shape).astype(kind)
    graph.initializer.extend(numpy_helper.from_array(held, name) for name in names)


def _find_place(model: OnnxModel, layer: str) -> Place:
    place = next((one for one in model.places if one.layer.name == layer and one.operand is not None), None)
    if place is None:
        raise ValueError(f"{quote(layer)} is no layer whose input is one of real numbers that can be reached")
    return place


def _list_uses(graph: GraphProto, model: OnnxModel, layer: str, *, again: bool) -> list[str]:
    """The results of the layer's operation and, where a module may have been called `again`, of others like it that
    take the same tensor.
    """
    place, result = _find_place(model, layer), model.name_result(layer)
    own = next((node for node in graph.node if result in node.output), None)
    if own is None or result is None:
        raise ValueError(f"{quote(layer)} is no layer whose input is one of real numbers that can be reached")
    if not again:
        return [result]
    info, operand = place.layer.tensor, place.operand or 0
    known = {info.name, *info.aliases}
    for node in graph.node:
        if node.op_type in _CARRIERS and node.input[0] in known:
            known.update(node.output)
    others = [node for node in graph.node if node.op_type == own.op_type and known.intersection(node.input)]
    taken = [node.output[0] for node in others if node.input[operand] not in known and result not in node.output]
    return [result, *taken]


def _choose_name(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "'"
    taken.add(name)
    return name


def _take_constants(graph: GraphProto, names: Sequence[str]) -> int:
    """Take a tensor out of the graph under all its names; its element type."""
    codes = list[int]()
    for name in names:
        for tensor in [one for one in graph.initializer if one.name == name]:
            codes.append(tensor.data_type)
            graph.initializer.remove(tensor)
        for node in [one for one in graph.node if one.op_type == "Constant" and name in one.output]:
            codes += [one.t.data_type for one in node.attribute if one.name == "value"]
            graph.node.remove(node)
        for listed in (graph.input, graph.value_info):
            for value in [one for one in listed if one.name == name]:
                listed.remove(value)
    if not codes:
        raise ValueError(f"{quote(names[0])} is no plain constant of the main graph, which alone can become integers")
    return codes[0]


def _copy(node: NodeProto) -> NodeProto:
    made = NodeProto()
    made.CopyFrom(node)
    return made


def _lift(made: ModelProto) -> int:
    """Bring a model to the version of the operators that has blocks and 4 bits where that changes nothing, else to the
    one that has axes; the version that it has then.
    """
    opset = _read_opset(made)
    if opset < _AXIS_OPSET:
        try:
            made.CopyFrom(version_converter.convert_version(made, _AXIS_OPSET))
        except Exception as error:  # the converter raises what its C++ makes of an operator that it does not know
            raise ValueError(
                f"the model calls operators of version {opset}, DequantizeLinear needs {_AXIS_OPSET}, and onnx's "
                f"version_converter refuses it: {describe_error(error)}"
            ) from error
        return _read_opset(made)
    is_same = all(node.op_type != "GroupNormalization" for node in made.graph.node) and not made.functions
    if _SAME_OPSET <= opset < BLOCKS_OPSET and is_same:
        next(one for one in made.opset_import if one.domain in ("", "ai.onnx")).version = BLOCKS_OPSET
        opset = BLOCKS_OPSET
    if opset >= BLOCKS_OPSET:
        made.ir_version = max(made.ir_version, _BLOCKS_FORMAT)
    return opset


def _read_opset(made: ModelProto) -> int:
    return max((one.version for one in made.opset_import if one.domain in ("", "ai.onnx")), default=1)


def _save(made: ModelProto, path: Path) -> None:
    if made.ByteSize() > _MAX_BYTES:
        raise ValueError(
            f"{quote(path.name)}: the model has {made.ByteSize():,} bytes, one ONNX file has at most 2 GB; quantize "
            "more of its tensors, or to fewer bits"
        )
    data = made.SerializeToString()
    open_session(data)  # what the runtime does not take is not written
    with write_whole(path) as file:
        file.write(data)
