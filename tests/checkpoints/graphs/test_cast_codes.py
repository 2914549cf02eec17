"""What integers stand for that a graph casts and scales in plain arithmetic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto, helper

from qanalysis.checkpoints.catalogue import open_checkpoint
from tests.checkpoints.graphs.models import save
from tests.checkpoints.graphs.packed_models import make_model, read_packed, read_values, run_model

node = helper.make_node
RNG = np.random.default_rng(15)
CODES = RNG.integers(-128, 128, (6, 8)).astype(np.int8)
CAST = node("Cast", ["W"], ["f"], to=TensorProto.FLOAT)


@pytest.mark.parametrize(
    ("shape", "grouping"),
    [((), "tensor"), ((1,), "tensor"), ((8,), "channel"), ((1, 8), "channel"), ((6, 1), "channel")],
    ids=["scalar", "one", "last axis", "row", "column"],
)
@pytest.mark.parametrize("has_zero", [False, True], ids=["symmetric", "zero point"])
def test_scales_are_broadcast(tmp_path: Path, shape: tuple[int, ...], grouping: str, has_zero: bool) -> None:
    scale, zero = RNG.uniform(0.1, 1, shape).astype(np.float32), RNG.integers(-9, 9, shape).astype(np.float32)
    nodes = [CAST, node("Sub", ["f", "z"], ["g"]), node("Mul", ["g", "s"], ["y"])]
    arrays: dict[str, Any] = {"W": CODES, "s": scale, "z": zero}
    if not has_zero:
        nodes = [CAST, node("Mul", ["s", "f"], ["y"])]
        del arrays["z"]
    made = make_model(nodes, arrays, x=None)
    packed = read_packed(tmp_path, made, "W")
    found = read_values(packed)
    np.testing.assert_array_equal(found, (CODES - (zero if has_zero else np.float32(0))) * scale)
    np.testing.assert_array_equal(found, run_model(made))
    assert (packed.info.stored, packed.output) == (f"cast int8 {grouping}", "y")


def test_blocks_of_a_folded_matrix(tmp_path: Path) -> None:
    codes = RNG.integers(0, 16, (6, 4, 16)).astype(ml_dtypes.uint4)
    scale, zero = (RNG.uniform(1, 9, (6, 4, 1)).astype(np.float32) for _ in range(2))
    nodes = [
        CAST,
        node("Sub", ["f", "z"], ["g"]),
        node("Mul", ["g", "s"], ["v"]),
        node("Reshape", ["v", "d"], ["w"]),
        node("Transpose", ["w"], ["t"], perm=[1, 0]),
        node("MatMul", ["x", "t"], ["y"]),
    ]
    made = make_model(nodes, {"W": codes, "s": scale, "z": zero, "d": np.array([6, 64])})
    with open_checkpoint(str(save(tmp_path / "m.onnx", made))) as source:
        info = next(info for info in source.tensors if info.name == "W")
        np.testing.assert_array_equal(source.read(info), (codes.astype(np.float32) - zero) * scale)
        assert (info.role, info.stored, info.view.sizes(info.shape)) == ("weight", "cast uint4 group=16", (6, 64))


@pytest.mark.parametrize(
    ("nodes", "arrays"),
    [
        ([CAST, node("Add", ["f", "s"], ["y"])], {"s": np.float32(1)}),
        ([CAST, node("Mul", ["f", "x"], ["y"])], {}),
        ([CAST, node("Sub", ["s", "f"], ["g"]), node("Mul", ["g", "s"], ["y"])], {"s": np.float32(1)}),
        ([CAST, node("Mul", ["f", "s"], ["y"])], {"s": np.ones((6, 8), np.float32)}),
        ([CAST, node("Mul", ["f", "s"], ["y"]), node("Neg", ["f"], ["n"])], {"s": np.float32(1)}),
        ([node("Cast", ["W"], ["f"], to=TensorProto.INT32), node("Mul", ["f", "s"], ["y"])], {"s": np.int32(1)}),
    ],
    ids=["sum", "product with the input", "reversed difference", "a scale of each", "two consumers", "integers"],
)
def test_other_arithmetic_is_no_dequantization(tmp_path: Path, nodes: list[Any], arrays: dict[str, Any]) -> None:
    with pytest.raises(LookupError):
        read_packed(tmp_path, make_model(nodes, {"W": CODES} | arrays), "W")
