"""A table of codes of which entries are looked up is one embedding with its scale, however the entries go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, helper

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.quantizers.matrix_view import MatrixView
from tests.checkpoints.graphs.models import model, node, save
from tests.checkpoints.graphs.packed_models import catch, make_model, read_packed, read_values

CODES = np.int8([[-128, 0, 127], [1, 2, 3]])
IDS = np.int64([1, 0])
SCALE, ZERO = np.float32(0.5), np.int8(1)
#: (code - 1) / 2 of the codes above.
WANTED = np.float32([[-64.5, -0.5, 63], [0, 0.5, 1]])
FLOATS = np.random.default_rng(5).normal(size=(48, 16)).astype(np.float32)
ENDS = {
    "DequantizeLinear": [node("DequantizeLinear", ["g", "t_scale", "t_zero_point"], ["y"])],
    "QLinearMatMul": [node("QLinearMatMul", ["g", "t_scale", "t_zero_point", "x", "s", "z", "s", "z"], ["y"])],
    "by the names": [node("MatMulInteger", ["g", "x", "t_zero_point"], ["y"])],
}


def make_table(nodes: list[Any], scale: Any = SCALE, axis: int = 0) -> ModelProto:
    arrays = {"t_quantized": CODES, "i": IDS, "t_scale": scale, "t_zero_point": ZERO, "s": SCALE, "z": ZERO}
    return make_model([node("Gather", ["t_quantized", "i"], ["g"], axis=axis), *nodes], arrays)


@pytest.mark.parametrize("nodes", ENDS.values(), ids=ENDS)
def test_the_table_is_decoded(tmp_path: Path, nodes: list[Any]) -> None:
    packed = read_packed(tmp_path, make_table(nodes), "t_quantized")
    np.testing.assert_array_equal(read_values(packed), WANTED)
    assert (packed.info.role, packed.info.view, packed.info.stored) == ("embedding", MatrixView(), "qdq int8 tensor")
    assert packed.info.size_bytes == CODES.nbytes + SCALE.nbytes + ZERO.nbytes


def test_entries_along_another_axis_are_the_rows(tmp_path: Path) -> None:
    packed = read_packed(tmp_path, make_table(ENDS["DequantizeLinear"], axis=-1), "t_quantized")
    assert packed.info.view == MatrixView((1,))


def test_scales_of_entries_that_are_looked_up_by_another_way_are_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="nothing reads"):
        read_packed(tmp_path, make_table(ENDS["DequantizeLinear"], np.float32([1, 2, 3])), "t_quantized")


def test_a_scale_that_is_computed_is_told(tmp_path: Path) -> None:
    made = make_table([node("DequantizeLinear", ["g", "x", "t_zero_point"], ["y"])])
    assert catch(tmp_path, made, "t_quantized") == "its scale is not a constant"


@pytest.mark.parametrize("kind", ["dynamic", "QOperator", "QDQ"])
def test_what_onnx_runtime_makes_of_an_embedding(tmp_path: Path, kind: str) -> None:
    quantization = pytest.importorskip("onnxruntime.quantization")
    nodes = [node("Gather", ["t", "i"], ["e"]), node("MatMul", ["e", "w"], ["y"])]
    ids = helper.make_tensor_value_info("i", 7, [5])
    made = model(nodes, {"t": FLOATS, "w": FLOATS[:16]}, inputs=[ids])
    made.opset_import[0].version = 17
    before, after = save(tmp_path / "float.onnx", made), tmp_path / "quantized.onnx"
    if kind == "dynamic":
        quantization.quantize_dynamic(str(before), str(after))
    else:
        feed = iter([{"i": np.arange(5)}])

        class Reader(quantization.CalibrationDataReader):
            def get_next(self) -> dict[str, Any] | None:
                return next(feed, None)

        layout = getattr(quantization.QuantFormat, kind)
        quantization.quantize_static(str(before), str(after), Reader(), quant_format=layout)
    with open_checkpoint(after) as source:
        info = next(info for info in source.tensors if info.name == "t_quantized")
        found = source.read(info)
    assert (info.role, info.view) == ("embedding", MatrixView())
    step = 2 * np.abs(FLOATS).max() / 254
    # Codes are rounded to half a step; step and code to float32 each: 2 ulp of the largest value, of 127 steps.
    assert np.abs(found.reshape(FLOATS.shape) - FLOATS).max() <= step * (0.5 + 256 * np.finfo(np.float32).eps)
