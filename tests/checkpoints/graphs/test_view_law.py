"""The law of a view, found by running the model: elements in different rows share no output, those of one row do.

Each element of a small weight is changed alone and the outputs that move are noted. Elements that have an output in
common belong together; what belongs together, directly or through others, is a row. That partition knows nothing of
operations, axes or graphs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.source import TensorInfo
from qanalysis.quantizers.matrix_view import MatrixView
from tests.checkpoints.damage import find
from tests.checkpoints.graphs.models import body, function, model, node, save

Array = NDArray[Any]
RNG = np.random.default_rng(0)


def draw(*shape: int) -> NDArray[np.float32]:
    return RNG.uniform(0.5, 1.5, shape).astype(np.float32)


class Case(NamedTuple):
    made: ModelProto
    x: Array
    name: str = "W"


def case(
    nodes: Sequence[Any], weight: Array, x: Array, *, name: str = "W", functions: Sequence[Any] = (), **others: Any
) -> Case:
    return Case(model(nodes, {"W": weight, **others}, functions=functions), x, name)


def ints(*numbers: int) -> Array:
    return np.array(numbers, dtype=np.int64)


def matmul(*before: Any, operand: str = "V", left: bool = False) -> list[Any]:
    return [*before, node("MatMul", [operand, "x"] if left else ["x", operand], ["y"])]


LIN = function("Lin", ["a", "w"], [node("Transpose", ["w"], ["t"], perm=[1, 0]), node("MatMul", ["a", "t"], ["o"])])
FLIP = function("Flip", ["w"], [node("Transpose", ["w"], ["o"], perm=[1, 0])])
RUN = body(
    [node("MatMul", ["h", "w"], ["h_out"]), node("Identity", ["w"], ["w_out"]), node("Identity", ["go"], ["on"])],
    inputs=["i", "go", "h", "w"],
    outputs=["on", "h_out", "w_out"],
)
STEP = body([node("MatMul", ["s", "w"], ["t"])], inputs=["w"], outputs=["t"])
SCAN = body([node("MatMul", ["x", "w"], ["t"])], inputs=["w"], outputs=["t"])

CASES = {
    "MatMul right": case(matmul(operand="W"), draw(4, 3), draw(2, 4)),
    "MatMul left": case(matmul(operand="W", left=True), draw(3, 4), draw(4, 2)),
    "MatMul stacked right": case(matmul(operand="W"), draw(2, 4, 3), draw(2, 5, 4)),
    "MatMul stacked left": case(matmul(operand="W", left=True), draw(2, 3, 4), draw(2, 4, 5)),
    "MatMul four axes": case(matmul(operand="W"), draw(2, 2, 4, 3), draw(2, 2, 5, 4)),
    "Gemm": case([node("Gemm", ["x", "W"], ["y"])], draw(4, 3), draw(2, 4)),
    "Gemm transB": case([node("Gemm", ["x", "W"], ["y"], transB=1)], draw(3, 4), draw(2, 4)),
    "Gemm A": case([node("Gemm", ["W", "x"], ["y"])], draw(3, 4), draw(4, 2)),
    "Gemm transA": case([node("Gemm", ["W", "x"], ["y"], transA=1)], draw(4, 3), draw(4, 2)),
    "Conv": case([node("Conv", ["x", "W"], ["y"], pads=[1] * 4)], draw(4, 3, 3, 3), draw(1, 3, 5, 5)),
    "Conv grouped": case([node("Conv", ["x", "W"], ["y"], group=2)], draw(4, 2, 2, 2), draw(1, 4, 4, 4)),
    "Conv depthwise": case([node("Conv", ["x", "W"], ["y"], group=3)], draw(3, 1, 3, 3), draw(1, 3, 5, 5)),
    "Conv of one axis": case([node("Conv", ["x", "W"], ["y"])], draw(4, 3, 2), draw(1, 3, 6)),
    "ConvTranspose": case([node("ConvTranspose", ["x", "W"], ["y"])], draw(3, 4, 2, 2), draw(1, 3, 3, 3)),
    "ConvTranspose depthwise": case([node("ConvTranspose", ["x", "W"], ["y"], group=3)], draw(3, 1, 2, 2), draw(1, 3, 3, 3)),
    "Einsum": case([node("Einsum", ["x", "W"], ["y"], equation="bik,ekn->bien")], draw(2, 4, 3), draw(1, 2, 4)),
    "Einsum stacked": case([node("Einsum", ["x", "W"], ["y"], equation="ebk,ekn->ebn")], draw(2, 4, 3), draw(2, 2, 4)),
    "Einsum implied": case([node("Einsum", ["x", "W"], ["y"], equation="bk,nk")], draw(3, 4), draw(2, 4)),
    "Einsum dots": case([node("Einsum", ["x", "W"], ["y"], equation="...k,...kn->...n")], draw(2, 4, 3), draw(2, 4)),
    "Einsum heads": case([node("Einsum", ["x", "W"], ["y"], equation="bthd,hdo->bto")], draw(2, 4, 3), draw(1, 2, 2, 4)),
    "Cast": case(matmul(node("Cast", ["W"], ["V"], to=1)), draw(4, 3).astype(np.float16), draw(2, 4)),
    "CastLike": case(matmul(node("CastLike", ["W", "like"], ["V"])), draw(4, 3).astype(np.float16), draw(2, 4), like=draw(1)),
    "Identity twice": case(matmul(node("Identity", ["W"], ["U"]), node("Identity", ["U"], ["V"])), draw(4, 3), draw(2, 4)),
    "Dropout": case(matmul(node("Dropout", ["W"], ["V"])), draw(4, 3), draw(2, 4)),
    "Transpose": case(matmul(node("Transpose", ["W"], ["V"], perm=[1, 0])), draw(3, 4), draw(2, 4)),
    "Transpose by default": case(matmul(node("Transpose", ["W"], ["V"])), draw(3, 4), draw(2, 4)),
    "Transpose of three": case(matmul(node("Transpose", ["W"], ["V"], perm=[2, 0, 1])), draw(4, 3, 2), draw(2, 5, 4)),
    "Reshape merges": case(matmul(node("Reshape", ["W", "d"], ["V"])), draw(2, 3, 4), draw(2, 6), d=ints(6, -1)),
    "Reshape merges outputs": case(matmul(node("Reshape", ["W", "d"], ["V"])), draw(4, 2, 3), draw(2, 4), d=ints(0, -1)),
    "Reshape splits": case(matmul(node("Reshape", ["W", "d"], ["V"])), draw(8, 3), draw(2, 2, 4), d=ints(2, 4, 3)),
    "Reshape splits outputs": case(matmul(node("Reshape", ["W", "d"], ["U"]), node("Transpose", ["U"], ["V"], perm=[1, 0, 2])), draw(4, 6), draw(2, 5, 4), d=ints(4, 2, 3)),
    "Flatten": case([node("Flatten", ["W"], ["V"], axis=1), node("Gemm", ["x", "V"], ["y"], transB=1)], draw(3, 2, 2), draw(2, 4)),
    "Squeeze": case(matmul(node("Squeeze", ["W", "d"], ["V"])), draw(4, 3, 1, 1), draw(2, 4), d=ints(2, -1)),
    "Squeeze all": case(matmul(node("Squeeze", ["W"], ["V"])), draw(1, 4, 1, 3), draw(2, 4)),
    "Unsqueeze": case([node("Unsqueeze", ["W", "d"], ["V"]), node("Conv", ["x", "V"], ["y"])], draw(3, 4), draw(1, 4, 3), d=ints(-1)),
    "Expand": case(matmul(node("Expand", ["W", "d"], ["V"])), draw(1, 4, 3), draw(2, 5, 4), d=ints(2, 4, 3)),
    "Tile": case(matmul(node("Tile", ["W", "d"], ["V"])), draw(1, 4, 3), draw(2, 5, 4), d=ints(2, 1, 1)),
    "Slice of outputs": case(matmul(node("Slice", ["W", "b", "e", "a"], ["V"])), draw(4, 6), draw(2, 4), b=ints(0), e=ints(3), a=ints(1)),
    "Split of outputs": case([node("Split", ["W", "n"], ["U", "V"], axis=1), *matmul()[:1], node("MatMul", ["x", "U"], ["z"])], draw(4, 6), draw(2, 4), n=ints(2, 4)),
    "Split of three, folded heads": case([node("Split", ["W"], ["Q", "K", "R"], axis=0, num_outputs=3), node("Reshape", ["Q", "d"], ["V"]), node("Einsum", ["x", "V"], ["y"], equation="bc,hdc->bhd")], draw(12, 3), draw(2, 3), d=ints(2, 2, 3)),
    "Concat": case([node("Concat", ["W", "o"], ["V"], axis=1), node("MatMul", ["x", "V"], ["y"])], draw(4, 3), draw(2, 4), o=draw(4, 2)),
    "Pad": case(matmul(node("Pad", ["W", "p"], ["V"])), draw(4, 3), draw(2, 5), p=ints(0, 0, 1, 2)),
    "Mul by a scalar": case(matmul(node("Mul", ["W", "s"], ["V"])), draw(4, 3), draw(2, 4), s=draw()),
    "Mul by a vector of outputs": case(matmul(node("Mul", ["s", "W"], ["V"])), draw(4, 3), draw(2, 4), s=draw(3)),
    "Div and Add": case(matmul(node("Div", ["W", "s"], ["U"]), node("Add", ["U", "t"], ["V"])), draw(4, 3), draw(2, 4), s=draw(3), t=draw(1, 3)),
    "a computed scale": case(matmul(node("Sqrt", ["s"], ["r"]), node("Mul", ["W", "r"], ["V"])), draw(4, 3), draw(2, 4), s=draw(3)),
    "Gather of a stack": case(matmul(node("Gather", ["W", "i"], ["V"])), draw(1, 4, 3), draw(2, 4), i=np.array(0)),
    "local function": case([node("Lin", ["x", "W"], ["y"], domain="local")], draw(3, 4), draw(2, 4), functions=[LIN]),
    "out of a local function": case(matmul(node("Flip", ["W"], ["V"], domain="local")), draw(3, 4), draw(2, 4), functions=[FLIP]),
    "Loop": case([node("Loop", ["n", "c", "x", "W"], ["y", "last"], body=RUN)], draw(3, 3), draw(2, 3), n=np.array(1), c=np.array(True)),
    "Scan of slices": case([node("Scan", ["W"], ["y"], body=SCAN, num_scan_inputs=1)], draw(2, 4, 3), draw(2, 4)),
    "If": case([node("If", ["c"], ["y"], then_branch=body([node("MatMul", ["x", "W"], ["o"])]), else_branch=body([node("Identity", ["x"], ["o"])]))], draw(3, 3), draw(2, 3), c=np.array(True)),
    "out of an If": case([node("If", ["c"], ["V"], then_branch=body([node("Transpose", ["W"], ["o"])]), else_branch=body([node("Identity", ["U"], ["o"])])), node("MatMul", ["x", "V"], ["y"])], draw(3, 3), draw(2, 3), c=np.array(True), U=draw(3, 3)),
}  # fmt: skip


def run(made: ModelProto, x: Array) -> Array:
    """All outputs of a model, 1-D."""
    return np.concatenate([np.asarray(value).reshape(-1) for value in ReferenceEvaluator(made).run(None, {"x": x})])


def changed(made: ModelProto, name: str, weight: Array) -> ModelProto:
    copy = ModelProto()
    copy.CopyFrom(made)
    place = next(index for index, tensor in enumerate(copy.graph.initializer) if tensor.name == name)
    copy.graph.initializer[place].CopyFrom(numpy_helper.from_array(weight, name))
    return copy


def find_rows(weight: Array, compute: Callable[[Array], Array]) -> NDArray[np.int64]:
    """The row of each element of the weight: the smallest element that is connected with it by common outputs."""
    before = compute(weight)
    moved = []
    for element in range(weight.size):
        other = weight.copy()
        other.reshape(-1)[element] *= 1.5
        moved.append(compute(other) != before)
    together = np.array(moved, dtype=np.int64) @ np.array(moved, dtype=np.int64).T > 0
    for _ in range(weight.size.bit_length()):
        together = (together.astype(np.int64) @ together.astype(np.int64)) > 0
    rows = np.where(together.any(axis=1), together.argmax(axis=1), -1)
    return rows.reshape(weight.shape)


def open_info(tmp_path: Path, made: ModelProto, name: str = "W") -> TensorInfo:
    with open_checkpoint(save(tmp_path / "m.onnx", made)) as source:
        return find(source, name)


def assert_law(info: TensorInfo, rows: NDArray[np.int64]) -> None:
    assert (rows >= 0).any()  # the others were sliced away and move no output
    of_rows = [set(row[row >= 0].tolist()) for row in info.view.to_matrix(rows)]
    assert all(len(found) <= 1 for found in of_rows), f"a row of {info.view} holds several channels"
    channels = [channel for found in of_rows for channel in found]
    assert len(channels) == len(set(channels)), f"a channel lies in several rows of {info.view}"


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_rows_of_the_view_are_what_shares_outputs(tmp_path: Path, case: Case) -> None:
    info = open_info(tmp_path, case.made, case.name)
    assert (info.role, info.note) == ("weight", "")
    weight = numpy_helper.to_array(next(t for t in case.made.graph.initializer if t.name == case.name))
    assert_law(info, find_rows(weight, lambda other: run(changed(case.made, case.name, other), case.x)))


@pytest.mark.parametrize("groups", [2, 3])
def test_rows_of_a_grouped_transposed_convolution(tmp_path: Path, groups: int) -> None:
    """Against torch: the reference evaluator of ONNX can not run several outputs per group."""
    weight, x = draw(6, 2, 2, 2), torch.from_numpy(draw(1, 6, 3, 3))
    info = open_info(tmp_path, model([node("ConvTranspose", ["x", "W"], ["y"], group=groups)], {"W": weight}))

    def compute(other: Array) -> Array:
        done: Array = torch.nn.functional.conv_transpose2d(x, torch.from_numpy(other), groups=groups).numpy()
        return done.reshape(-1)

    assert info.view == MatrixView((0, 2), (groups, 6 // groups, 2, 2, 2))
    assert_law(info, find_rows(weight, compute))


RECURRENT = {"RNN": 1, "GRU": 3, "LSTM": 4}


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("operation", RECURRENT)
def test_rows_of_recurrent_weights_are_directions_and_gates(tmp_path: Path, operation: str, directions: int) -> None:
    gates, hidden, inputs = RECURRENT[operation], 2, 3
    arrays = {
        "W": draw(directions, gates * hidden, inputs),
        "R": draw(directions, gates * hidden, hidden),
        "B": draw(directions, 2 * gates * hidden),
        "h0": draw(directions, 4, hidden),
    }
    given = node(
        operation,
        ["x", "W", "R", "B", "", "h0"],
        ["y"],
        hidden_size=hidden,
        direction="bidirectional" if directions == 2 else "forward",
    )
    with open_checkpoint(save(tmp_path / "m.onnx", model([given], arrays))) as source:
        found = {info.name: (info.role, info.view.sizes(info.shape)) for info in source.tensors}
    rows = directions * gates * hidden
    assert found["W"] == ("weight", (rows, inputs))
    assert found["R"] == ("weight", (rows, hidden))
    assert (found["B"][0], found["h0"][0]) == ("bias", "constant")
