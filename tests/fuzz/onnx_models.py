"""Which graphs does the fuzz begin with, and how are they changed? Constants of all forms, bodies, functions, external
data, and quantized weights; any field of any message is changed by what protobuf knows of it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ml_dtypes
import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from onnx import ModelProto, TensorProto, helper, numpy_helper

from tests.checkpoints.graphs.models import body, function, model, node
from tests.checkpoints.graphs.packed_models import pack_rows
from tests.fuzz.case import Case, Reader
from tests.fuzz.odd_values import NUMBERS, TEXTS

MS = {"domain": "com.microsoft"}
_OPERATORS = [
    "MatMul",
    "Gemm",
    "Conv",
    "ConvTranspose",
    "LSTM",
    "GRU",
    "RNN",
    "Gather",
    "Add",
    "Mul",
    "Reshape",
    "Transpose",
    "Cast",
    "Identity",
    "Squeeze",
    "Unsqueeze",
    "DequantizeLinear",
    "QuantizeLinear",
    "DynamicQuantizeLinear",
    "MatMulInteger",
    "QLinearConv",
    "QLinearMatMul",
    "ConvInteger",
    "If",
    "Loop",
    "Scan",
    "Constant",
    "ConstantOfShape",
    "Einsum",
    "MatMulNBits",
    "MatMulBnb4",
    "QMoE",
    "MoE",
    "Attention",
    "FusedMatMul",
    "GatherBlockQuantized",
    "QAttention",
    "Split",
    "Concat",
    "Slice",
    "Expand",
    "Pad",
    "Flatten",
    "Where",
    "BatchNormalization",
    "LayerNormalization",
    "Resize",
    "Clip",
    "Shape",
]


@dataclass(frozen=True, slots=True)
class Saved:
    """A model, and the external data beside it."""

    made: ModelProto
    data: bytes = b""


def make_models() -> list[Saved]:
    rng = np.random.default_rng(6)

    def f4(*shape: int) -> Any:
        return rng.normal(size=shape).astype(np.float32)

    def ints(*shape: int, word: Any = np.int8) -> Any:
        return rng.integers(0, 100, shape).astype(word)

    layers = model(
        [
            node("Conv", ["x", "conv.weight", "conv.bias"], ["c"]),
            node("ConvTranspose", ["c", "up.weight"], ["d"], group=2),
            node("BatchNormalization", ["d", "g", "b", "m", "v"], ["e"]),
            node("Cast", ["W16"], ["W"], to=1),
            node("MatMul", ["e", "W"], ["f"]),
            node("Transpose", ["V"], ["Vt"], perm=[1, 0]),
            node("Gemm", ["f", "Vt", "bias"], ["h"], transB=1),
            node("LSTM", ["h", "lstm.W", "lstm.R", "lstm.B"], ["i"], hidden_size=4),
            node("Gather", ["table", "i"], ["j"]),
            node("Reshape", ["j", "shape"], ["k"]),
            node("Add", ["k", "offset"], ["y"]),
        ],
        {
            "conv.weight": f4(4, 3, 3, 3), "conv.bias": f4(4), "up.weight": f4(4, 2, 3, 3), "g": f4(4), "b": f4(4),
            "m": f4(4), "v": f4(4), "W16": f4(8, 6).astype(np.float16), "V": f4(6, 5), "bias": f4(5),
            "lstm.W": f4(1, 16, 5), "lstm.R": f4(1, 16, 4), "lstm.B": f4(1, 32), "table": f4(10, 4),
            "shape": np.array([1, -1]), "offset": f4(1, 4, 1),
        },
    )  # fmt: skip
    values = numpy_helper.from_array(f4(5), "values")
    sparse = helper.make_sparse_tensor(values, numpy_helper.from_array(np.arange(5), "indices"), [4, 8])
    constants = model(
        [
            node("Constant", [], ["W"], value=numpy_helper.from_array(f4(8, 6), "W")),
            node("Constant", [], ["f"], value_floats=[1.0, 2.0, 3.0]),
            node("Constant", [], ["i"], value_ints=[1, 2]),
            node("Constant", [], ["s"], value_string="x"),
            node("Constant", [], ["sp"], sparse_value=sparse),
            node("ConstantOfShape", ["i"], ["z"], value=numpy_helper.from_array(np.float32([1.0]))),
            node("MatMul", ["x", "W"], ["a"]),
            node("MatMul", ["a", "sp"], ["b"]),
            node("Einsum", ["b", "E"], ["y"], equation="abc,cd->abd"),
        ],
        {"E": f4(4, 8)},
    )
    inner = body([node("MatMul", ["x", "B"], ["t"]), node("Add", ["t", "W2"], ["o"])], {"B": f4(4, 8)})
    bodies = model(
        [
            node("If", ["c"], ["p"], then_branch=inner, else_branch=inner),
            node("Loop", ["n", "c", "p"], ["q"], body=inner),
            node("Layer", ["q", "W2"], ["y"], domain="local"),
        ],
        {"W2": f4(8, 8), "c": np.array(True), "n": np.array(3)},
        functions=[
            function(
                "Layer",
                ["x", "w"],
                [
                    node("Constant", [], ["k"], value=numpy_helper.from_array(f4(8, 8), "k")),
                    node("MatMul", ["x", "k"], ["m"]),
                    node("MatMul", ["m", "w"], ["o"]),
                ],
            )
        ],
    )
    quantized = model(
        [
            node("DequantizeLinear", ["Q", "s", "z"], ["W"], axis=0),
            node("MatMul", ["x", "W"], ["a"]),
            node("DequantizeLinear", ["Q4", "s4"], ["V"], axis=1, block_size=8),
            node("Gemm", ["a", "V"], ["b"], transB=1),
            node("QLinearMatMul", ["b", "one", "zero", "U", "su", "zu", "one", "zero"], ["c"]),
            node("MatMulInteger", ["c", "U", "zero", "zu"], ["d"]),
            node("ConvInteger", ["d", "C"], ["y"]),
        ],
        {
            "Q": ints(8, 6), "s": f4(8), "z": ints(8), "Q4": ints(6, 16).astype(ml_dtypes.int4), "s4": f4(6, 2),
            "one": np.float32(1), "zero": np.uint8(0), "U": ints(8, 6, word=np.uint8), "su": f4(6),
            "zu": ints(6, word=np.uint8), "C": ints(4, 2, 3, 3, word=np.uint8),
        },
    )  # fmt: skip
    contrib = model(
        [
            node("MatMulNBits", ["x", "N", "ns", "nz"], ["a"], K=64, N=8, bits=4, block_size=32, **MS),
            node("MatMulBnb4", ["a", "M", "absmax"], ["b"], K=32, N=4, block_size=16, quant_type=1, **MS),
            node("GatherBlockQuantized", ["G", "i", "gs"], ["c"], block_size=16, gather_axis=0, quantize_axis=1, **MS),
            node("QMoE", ["c", "r", "E", "es", "", "F", "fs"], ["d"], k=1, expert_weight_bits=4, **MS),
            node("FusedMatMul", ["d", "P"], ["e"], transB=1, **MS),
            node("Attention", ["e", "A", "ab"], ["y"], num_heads=2, **MS),
        ],
        {
            "N": ints(8, 2, 16, word=np.uint8), "ns": f4(8, 2), "nz": ints(8, 1, word=np.uint8), "i": np.arange(2),
            "M": ints(64, word=np.uint8), "absmax": f4(8), "G": ints(4, 32).astype(ml_dtypes.uint4), "gs": f4(4, 2),
            "r": f4(2, 2), "E": pack_rows(rng.integers(0, 16, (2, 8, 16)), 4), "es": f4(2, 8),
            "F": pack_rows(rng.integers(0, 16, (2, 16, 8)), 4), "fs": f4(2, 16), "P": f4(4, 8), "A": f4(8, 24), "ab": f4(24),
        },
    )  # fmt: skip
    external = ModelProto()
    external.CopyFrom(layers)
    data = b""
    for tensor in external.graph.initializer:
        place, raw = len(data), tensor.raw_data
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", "weights.bin"), ("offset", str(place)), ("length", str(len(raw)))):
            tensor.external_data.add(key=key, value=value)
        data += raw
    return [*map(Saved, (layers, constants, bodies, quantized, contrib)), Saved(external, data)]


def walk(message: Message) -> Iterator[tuple[Message, FieldDescriptor]]:
    """Every field that is set, of the message and of all those in it."""
    for field, value in message.ListFields():
        yield message, field
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for inner in value if field.is_repeated else [value]:
                yield from walk(inner)


def change(rng: random.Random, saved: Saved, models: Sequence[Saved]) -> Saved:
    if saved.data and rng.random() < 0.1:
        return replace(saved, data=saved.data[: rng.randrange(len(saved.data) + 1)])
    made = ModelProto()
    made.CopyFrom(saved.made)
    places = list(walk(made))
    if not places:
        return rng.choice(models)
    holder, field = rng.choice(places)
    value = getattr(holder, field.name)
    if rng.random() < 0.05:
        _bury(rng, made)
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        _change_messages(rng, holder, field, places)
    elif field.is_repeated:
        _change_list(rng, value, field)
    elif rng.random() < 0.15:
        holder.ClearField(field.name)
    else:
        setattr(holder, field.name, _draw(rng, field, value))
    return replace(saved, made=made)


def _bury(rng: random.Random, made: ModelProto) -> None:
    """Bodies within bodies, or a long chain of operators behind a weight."""
    if rng.random() < 0.5:
        deep = body([node("MatMul", ["x", "B"], ["o"])])
        for _ in range(rng.choice((2, 10, 28))):
            deep = body([node("If", ["c"], ["o"], then_branch=deep)])
        made.graph.node.append(node("If", ["c"], ["deep"], then_branch=deep))
        return
    weight = rng.choice([one.name for one in made.graph.initializer] or ["x"])
    count, names = rng.choice((3, 300, 3000)), [weight]
    for k in range(count):
        names.append(f"chain.{k}")
        made.graph.node.append(node(rng.choice(("Identity", "Transpose", "Cast")), names[-2:-1], names[-1:]))
    made.graph.node.append(node("MatMul", ["x", names[rng.choice((-1, 0, count // 2))]], ["end"]))


def _change_messages(
    rng: random.Random, holder: Message, field: FieldDescriptor, places: Sequence[tuple[Message, FieldDescriptor]]
) -> None:
    value = getattr(holder, field.name)
    others = [
        one
        for inside, known in places
        if known.message_type is field.message_type
        for one in (getattr(inside, known.name) if known.is_repeated else [getattr(inside, known.name)])
    ]
    other = type(others[0])()
    other.CopyFrom(rng.choice(others))
    if not field.is_repeated:
        if rng.random() < 0.3:
            holder.ClearField(field.name)
        else:
            value.CopyFrom(other)
        return
    match rng.randrange(4):
        case 0:
            del value[rng.randrange(len(value))]
        case 1:
            value.append(other)
        case 2:
            value[rng.randrange(len(value))].CopyFrom(other)
        case _:
            value.reverse()


def _change_list(rng: random.Random, value: Any, field: FieldDescriptor) -> None:
    match rng.randrange(5):
        case 0:
            del value[rng.randrange(len(value))]
        case 1:
            value.append(_draw(rng, field, value[0]))
        case 2:
            value.extend([value[0]] * rng.choice((1, 70, 3000)))
        case _:
            value[rng.randrange(len(value))] = _draw(rng, field, value[0])


def _draw(rng: random.Random, field: FieldDescriptor, known: Any) -> Any:
    if field.type == FieldDescriptor.TYPE_STRING:
        return rng.choice((rng.choice(TEXTS), rng.choice(_OPERATORS), known + "x", "W", "Q", "com.microsoft"))
    if field.type == FieldDescriptor.TYPE_BYTES:
        data = bytes(known)
        return rng.choice(
            (
                b"",
                data[: rng.randrange(len(data) + 1)],
                data * 2,
                bytes(len(data)),
                b"\xff" * len(data),
                rng.randbytes(9),
            )
        )
    if field.type == FieldDescriptor.TYPE_ENUM:
        return rng.choice(sorted(field.enum_type.values_by_number))
    if field.cpp_type in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return rng.choice((0.0, -1.0, 1e30, float("nan"), float("inf")))
    bits = 31 if field.cpp_type in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_UINT32) else 63
    number = rng.choice((*NUMBERS, *range(30)))
    number = min(max(number, -(1 << bits)), (1 << bits) - 1)
    return abs(number) if field.cpp_type in (FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64) else number


def write(_rng: random.Random, saved: Saved) -> Case:
    files = {"model.onnx": saved.made.SerializeToString()}
    return Case(files | ({"weights.bin": saved.data} if saved.data else {}), "model.onnx")


def make_reader() -> Reader:
    return Reader(make_models(), write, change)
