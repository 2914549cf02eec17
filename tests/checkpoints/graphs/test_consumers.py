"""What an operand is for: one model of many operations, and the cases where consumers differ or say nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.source import Consumer, TensorInfo
from qanalysis.quantizers.matrix_view import MatrixView
from tests.checkpoints.graphs.models import body, model, node, save

MS = "com.microsoft"


def read(tmp_path: Path, nodes: Sequence[Any], arrays: Mapping[str, NDArray[Any]]) -> dict[str, TensorInfo]:
    with open_checkpoint(save(tmp_path / "m.onnx", model(nodes, arrays))) as source:
        return {info.name: info for info in source.tensors}


def ones(*shape: int) -> NDArray[np.float32]:
    return np.ones(shape, dtype=np.float32)


ROLES = {
    "BatchNormalization": (
        [node("BatchNormalization", ["x", "g", "b", "m", "v"], ["y"])],
        {"g": "norm", "b": "norm", "m": "buffer", "v": "buffer"},
    ),
    "LayerNormalization": ([node("LayerNormalization", ["x", "g", "b"], ["y"])], {"g": "norm", "b": "norm"}),
    "SkipLayerNormalization": (
        [node("SkipLayerNormalization", ["x", "x", "g", "b", "c"], ["y"], domain=MS)],
        {"g": "norm", "b": "norm", "c": "bias"},
    ),
    "bias of Gemm": ([node("Gemm", ["x", "W", "b"], ["y"])], {"W": "weight", "b": "bias"}),
    "bias of a MatMul": (
        [node("MatMul", ["x", "W"], ["t"]), node("Reshape", ["t", "d"], ["u"]), node("Add", ["b", "u"], ["y"])],
        {"W": "weight", "b": "bias", "d": "constant"},
    ),
    "a vector added to anything else": ([node("Add", ["x", "b"], ["y"])], {"b": "constant"}),
    "layer norm in parts": (
        [
            node("Sub", ["x", "m"], ["c"]),
            node("Sqrt", ["v"], ["s"]),
            node("Div", ["c", "s"], ["n"]),
            node("Mul", ["n", "g"], ["t"]),
            node("Add", ["t", "b"], ["y"]),
        ],
        {"g": "norm", "b": "norm"},
    ),
    "rms norm in parts": (
        [
            node("Sqrt", ["x"], ["s"]),
            node("Reciprocal", ["s"], ["r"]),
            node("Mul", ["x", "r"], ["n"]),
            node("Cast", ["n"], ["c"], to=1),
            node("Mul", ["g", "c"], ["y"]),
        ],
        {"g": "norm"},
    ),
    "quantizer of activations": ([node("QuantizeLinear", ["x", "s", "z"], ["y"])], {"s": "scale", "z": "scale"}),
    "shape, indices, limits": (
        [
            node("Reshape", ["x", "d"], ["t"]),
            node("Gather", ["t", "i"], ["u"]),
            node("Clip", ["u", "lo", "hi"], ["y"]),
        ],
        {"d": "constant", "i": "constant", "lo": "constant", "hi": "constant"},
    ),
    "recurrent": (
        [node("GRU", ["x", "W", "R", "b"], ["y"], hidden_size=2)],
        {"W": "weight", "R": "weight", "b": "bias"},
    ),
    "mixture of experts": (
        [node("MoE", ["x", "p", "W", "b", "V", "c"], ["y"], domain=MS)],
        {"W": "weight", "b": "bias", "V": "weight", "c": "bias"},
    ),
    "attention": (
        [node("Attention", ["x", "W", "b"], ["y"], domain=MS, num_heads=2)],
        {"W": "weight", "b": "bias"},
    ),
    "embedding layer": (
        [node("EmbedLayerNormalization", ["x", "", "E", "P", "", "g", "b"], ["y"], domain=MS)],
        {"E": "embedding", "P": "embedding", "g": "norm", "b": "norm"},
    ),
    "first state of a loop": (
        [node("Loop", ["n", "", "h"], ["y"], body=body([node("MatMul", ["h", "x"], ["o"])], inputs=["i", "c", "h"], outputs=["c", "o"]))],
        {"n": "constant", "h": "constant"},
    ),
}  # fmt: skip
SHAPES = {"W": (4, 6, 6), "V": (4, 6, 6), "R": (1, 6, 2), "E": (9, 4), "P": (9, 4), "h": (3, 3), "x": (2,)}
INTEGERS = {"d": np.array([6, 6]), "i": np.array([0, 1]), "n": np.array(3), "z": np.zeros((), dtype=np.int8)}
SCALARS = {"s", "lo", "hi"}


@pytest.mark.parametrize(("nodes", "roles"), ROLES.values(), ids=ROLES.keys())
def test_the_operation_says_what_its_operand_is_for(tmp_path: Path, nodes: list[Any], roles: dict[str, str]) -> None:
    arrays = {
        name: INTEGERS[name] if name in INTEGERS else ones(*(() if name in SCALARS else SHAPES.get(name, (6,))))
        for name in roles
    }
    found = read(tmp_path, nodes, arrays)
    assert {name: found[name].role for name in roles} == roles


VIEWS = {
    "Gather": (node("Gather", ["W", "x"], ["y"]), (9, 4), "embedding", (0,)),
    "Gather along the last axis": (node("Gather", ["W", "x"], ["y"], axis=-1), (4, 9), "embedding", (1,)),
    "GatherElements": (node("GatherElements", ["W", "x"], ["y"], axis=1), (4, 9), "embedding", (1,)),
    "NhwcConv": (node("NhwcConv", ["x", "W"], ["y"], domain=MS), (4, 3, 3, 2), "weight", (0,)),
    "MatMul of a vector": (node("MatMul", ["x", "W"], ["y"]), (4,), "weight", ()),
    "MoE": (node("MoE", ["x", "p", "W"], ["y"], domain=MS), (2, 4, 3), "weight", (0, 1)),
    "Attention": (node("Attention", ["x", "W"], ["y"], domain=MS), (4, 12), "weight", (1,)),
    "LongformerAttention, global": (node("LongformerAttention", ["x", "", "", "", "W"], ["y"], domain=MS), (4, 12), "weight", (1,)),
    "TransposeMatMul": (node("TransposeMatMul", ["x", "W"], ["y"], domain=MS, transB=1), (4, 12), "weight", (0,)),
    "GemmFloat8": (node("GemmFloat8", ["x", "W"], ["y"], domain=MS, transB=1), (4, 12), "weight", (0,)),
    "Mul of a table": (node("Mul", ["x", "W"], ["y"]), (309, 1, 1), "constant", (0,)),
    "Mul of a matrix": (node("Mul", ["x", "W"], ["y"]), (30, 4), "constant", (0,)),
    "Einsum without a sum": (node("Einsum", ["x", "W"], ["y"], equation="ij,ij->ij"), (30, 4), "constant", (0,)),
}  # fmt: skip


@pytest.mark.parametrize(("made", "shape", "role", "rows"), VIEWS.values(), ids=VIEWS.keys())
def test_views_that_no_evaluator_runs(
    tmp_path: Path, made: Any, shape: tuple[int, ...], role: str, rows: tuple[int, ...]
) -> None:
    info = read(tmp_path, [made], {"W": ones(*shape)})["W"]
    assert (info.role, info.view, info.note) == (role, MatrixView(rows), "")


def test_a_table_that_is_looked_up_and_multiplied_with_is_an_embedding(tmp_path: Path) -> None:
    nodes = [
        node("Gather", ["E", "x"], ["h"]),
        node("Transpose", ["E"], ["T"], perm=[1, 0]),
        node("MatMul", ["h", "T"], ["y"]),
    ]
    info = read(tmp_path, nodes, {"E": ones(9, 4)})["E"]
    assert (info.role, info.view) == ("embedding", MatrixView((0,)))


def test_entries_of_a_stack_that_are_multiplied_with_are_weights(tmp_path: Path) -> None:
    nodes = [node("Gather", ["W", "i"], ["V"]), node("MatMul", ["x", "V"], ["y"])]
    info = read(tmp_path, nodes, {"W": ones(3, 5, 4), "i": np.array(1)})["W"]
    assert (info.role, info.view) == ("weight", MatrixView((0, 2)))


def test_fixed_entries_of_a_table_that_is_added_are_an_embedding(tmp_path: Path) -> None:
    nodes = [node("Gather", ["P", "i"], ["p"]), node("Add", ["x", "p"], ["y"])]
    info = read(tmp_path, nodes, {"P": ones(9, 4), "i": np.arange(5)})["P"]
    assert (info.role, info.view) == ("embedding", MatrixView((0,)))


def test_a_table_that_is_added_whole_is_told_by_its_name(tmp_path: Path) -> None:
    nodes = [node("Add", ["x", "pos_embed"], ["t"]), node("Add", ["t", "table"], ["y"])]
    found = read(tmp_path, nodes, {"pos_embed": ones(1, 9, 4), "table": ones(1, 9, 4)})
    assert (found["pos_embed"].role, found["pos_embed"].view.sizes((1, 9, 4))) == ("embedding", (9, 4))
    assert found["table"].role == "constant"


def test_most_consumers_decide_and_then_the_first(tmp_path: Path) -> None:
    left, right = node("MatMul", ["W", "x"], ["a"]), node("MatMul", ["x", "W"], ["b"])
    again = node("MatMul", ["a", "W"], ["c"])
    assert read(tmp_path, [left, right], {"W": ones(4, 4)})["W"].view == MatrixView((0,))
    assert read(tmp_path, [left, right, again], {"W": ones(4, 4)})["W"].view == MatrixView((1,))


def test_of_two_constants_that_are_multiplied_the_larger_is_the_weight(tmp_path: Path) -> None:
    nodes = [node("Mul", ["g", "W"], ["V"]), node("MatMul", ["x", "V"], ["y"])]
    found = read(tmp_path, nodes, {"W": ones(4, 6), "g": ones(1, 6)})
    assert (found["W"].role, found["g"].role) == ("weight", "constant")


def test_a_chain_that_can_not_be_followed_is_told(tmp_path: Path) -> None:
    told = "the axis of its outputs could not be followed through {}; axis 0 taken; override with --axis"
    lost = [node("CumSum", ["W", "i"], ["V"]), node("MatMul", ["x", "V"], ["y"])]
    info = read(tmp_path, lost, {"W": ones(4, 6), "i": np.array(0)})["W"]
    assert (info.role, info.view, info.note) == ("weight", MatrixView((0,)), told.format("CumSum"))
    odd = [node("Reshape", ["W", "d"], ["V"]), node("MatMul", ["x", "V"], ["y"])]
    assert read(tmp_path, odd, {"W": ones(4, 6), "d": np.array([3, 8])})["W"].note == told.format("Reshape")
    foreign = [node("Fancy", ["x", "W"], ["y"], domain="local")]
    assert read(tmp_path, foreign, {"W": ones(4, 6)})["W"].note == told.format("local.Fancy")


def test_what_nothing_consumes_is_left_to_its_name(tmp_path: Path) -> None:
    found = read(tmp_path, [], {"fc.weight": ones(4, 6), "bn.running_var": ones(6), "ids": np.arange(4)})
    assert {name: info.role for name, info in found.items()} == {
        "fc.weight": "weight",
        "bn.running_var": "buffer",
        "ids": "buffer",
    }


def test_fills_are_no_weights(tmp_path: Path) -> None:
    fill = helper.make_tensor("v", 1, [1], [2.0])
    nodes = [node("ConstantOfShape", ["d"], ["W"], value=fill), node("MatMul", ["x", "W"], ["y"])]
    assert list(read(tmp_path, nodes, {"d": np.array([4, 6])})) == ["d"]


def test_weights_in_constant_nodes_are_told(tmp_path: Path) -> None:
    stored = numpy_helper.from_array(ones(4, 6))
    nodes = [
        node("Constant", [], ["W"], value=stored),
        node("MatMul", ["x", "W"], ["t"]),
        node("MatMul", ["t", "V"], ["y"]),
    ]
    with open_checkpoint(save(tmp_path / "m.onnx", model(nodes, {"V": ones(6, 4)}))) as source:
        assert [(info.name, info.role) for info in source.tensors] == [("V", "weight"), ("W", "weight")]
        assert source.notes == ("weights in Constant nodes, not in initializers: 1 of 2",)


def test_a_quantized_table_that_is_looked_up_and_multiplied_with_is_an_embedding(tmp_path: Path) -> None:
    arrays = {"E": np.ones((9, 4), dtype=np.int8), "s": ones(9)}
    nodes = [
        node("DequantizeLinear", ["E", "s"], ["D"], axis=0),
        node("Gather", ["D", "x"], ["h"]),
        node("Transpose", ["D"], ["T"], perm=[1, 0]),
        node("MatMul", ["h", "T"], ["y"]),
    ]
    found = read(tmp_path, nodes, arrays)
    assert {name: (info.role, info.view) for name, info in found.items()} == {"E": ("embedding", MatrixView((0,)))}


@pytest.mark.parametrize("places", [[], [2], [5, 2]], ids=["one", "some", "some for each"])
def test_a_matrix_that_is_chosen_of_a_stack_at_run_time_is_a_weight(tmp_path: Path, places: list[int]) -> None:
    nodes = [node("Gather", ["W", "i"], ["w"]), node("Cast", ["w"], ["t"], to=1), node("MatMul", ["t", "x"], ["y"])]
    chosen = helper.make_tensor_value_info("i", 7, places)
    made = model(nodes, {"W": ones(3, 4, 6)}, inputs=[helper.make_tensor_value_info("x", 1, None), chosen])
    with open_checkpoint(save(tmp_path / "m.onnx", made)) as source:
        assert [(info.role, info.view, info.note) for info in source.tensors] == [("weight", MatrixView((0, 1)), "")]


def test_rows_of_a_table_that_are_looked_up_are_no_weight_of_what_takes_them(tmp_path: Path) -> None:
    nodes = [node("Gather", ["E", "x"], ["e"]), node("MatMul", ["e", "W"], ["y"])]
    found = read(tmp_path, nodes, {"E": ones(9, 4), "W": ones(4, 6)})
    assert [(info.role, info.view) for info in found.values()] == [
        ("embedding", MatrixView((0,))),
        ("weight", MatrixView((1,))),
    ]


def test_numbers_that_only_steer_an_operation_on_a_weight_are_constants(tmp_path: Path) -> None:
    nodes = [
        node("Slice", ["W", "from", "to"], ["a"]),
        node("Reshape", ["a", "shape"], ["b"]),
        node("Where", ["mask", "b", "none"], ["c"]),
        node("MatMul", ["x", "c"], ["y"]),
    ]
    steering = {"from": np.array([0]), "to": np.array([4]), "shape": np.array([6, 4]), "mask": ones(6, 4) > 0}
    found = read(tmp_path, nodes, {"W": ones(8, 6), **steering, "none": ones()})
    assert {name: info.role for name, info in found.items()} == {
        "W": "weight", **dict.fromkeys((*steering, "none"), "constant")
    }  # fmt: skip


def test_weights_that_are_reshaped_and_then_joined_are_followed(tmp_path: Path) -> None:
    nodes = [
        *(node("Unsqueeze", [name, "zero"], [f"{name}3"]) for name in "fb"),
        node("Concat", ["f3", "b3"], ["W"], axis=0),
        node("LSTM", ["x", "W", "R"], ["y"], hidden_size=3, direction="bidirectional"),
    ]
    found = read(tmp_path, nodes, {"f": ones(12, 5), "b": ones(12, 5), "R": ones(2, 12, 3), "zero": np.array([0])})
    assert [(found[name].view, found[name].note) for name in "fb"] == [(MatrixView((0,)), "")] * 2


def test_a_weight_that_is_stored_flat_is_the_matrix_that_it_is_folded_to(tmp_path: Path) -> None:
    nodes = [node("Reshape", ["W", "shape"], ["V"]), node("MatMul", ["x", "V"], ["y"])]
    info = read(tmp_path, nodes, {"W": ones(24), "shape": np.array([4, 6])})["W"]
    assert (info.role, info.view, info.is_matrix) == ("weight", MatrixView((1,), (4, 6)), True)


@pytest.mark.parametrize(
    "name", ["rotary_emb.cos_cached", "model.layers.0.self_attn.rotary_emb.sin", "cos", "inv_freq"]
)
def test_a_table_that_is_looked_up_and_named_as_computed_is_a_buffer(tmp_path: Path, name: str) -> None:
    nodes = [node("Gather", [name, "p"], ["c"]), node("Mul", ["x", "c"], ["y"])]
    assert read(tmp_path, nodes, {name: ones(9, 4), "p": np.arange(5)})[name].role == "buffer"


def test_a_tensor_knows_the_operations_that_take_it_and_whether_they_take_it_directly(tmp_path: Path) -> None:
    nodes = [
        node("Gather", ["table", "x"], ["rows"], name="look_up"),
        node("Transpose", ["table"], ["turned"], perm=[1, 0]),
        node("MatMul", ["rows", "turned"], ["logits"], name="head"),
        node("Gemm", ["logits", "w", "b"], ["y"], transB=1),
    ]
    found = read(tmp_path, nodes, {"table": ones(8, 4), "w": ones(3, 8), "b": ones(3)})
    assert found["table"].consumers == (
        Consumer("Gather", "look_up", "rows", 0),
        Consumer("MatMul", "head", "logits", None),
    )
    assert found["w"].consumers == (Consumer("Gemm", "", "y", 1),)
    assert found["w"].consumers[0].name == "y"  # a node without a name is called by its output
    assert found["b"].consumers == (Consumer("Gemm", "", "y", 2),)
