"""Operators outside ONNX's own domain: their views against ONNX Runtime, by the law that rows share no output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.checkpoints.graphs.models import model, node, value
from tests.checkpoints.graphs.test_view_law import assert_law, changed, draw, find_rows, open_info

runtime = pytest.importorskip("onnxruntime")

MS = "com.microsoft"


def fused(weight_first: bool, **keys: int) -> Any:
    return node("FusedMatMul", ["W", "x"] if weight_first else ["x", "W"], ["y"], domain=MS, **keys)


CASES = {
    "FusedMatMul right": (fused(False), draw(4, 3), draw(2, 4)),
    "FusedMatMul right transposed": (fused(False, transB=1), draw(3, 4), draw(2, 4)),
    "FusedMatMul left": (fused(True), draw(3, 4), draw(4, 2)),
    "FusedMatMul left transposed": (fused(True, transA=1), draw(4, 3), draw(4, 2)),
    "FusedMatMul right stack": (fused(False, transB=1), draw(2, 3, 4), draw(2, 5, 4)),
    "FusedMatMul right, stack inside": (fused(False, transBatchB=1), draw(4, 2, 3), draw(2, 5, 4)),
    "FusedMatMul right, stack inside, transposed": (fused(False, transB=1, transBatchB=1), draw(3, 2, 4), draw(2, 5, 4)),
    "FusedMatMul left, stack inside": (fused(True, transBatchA=1), draw(3, 2, 4), draw(2, 4, 5)),
    "FusedMatMul left, stack inside, transposed": (fused(True, transA=1, transBatchA=1), draw(4, 2, 3), draw(2, 4, 5)),
    "FusedGemm": (node("FusedGemm", ["x", "W"], ["y"], domain=MS, activation="Relu"), draw(4, 3), draw(2, 4)),
    "FusedGemm transB": (node("FusedGemm", ["x", "W"], ["y"], domain=MS, activation="Relu", transB=1), draw(3, 4), draw(2, 4)),
    "FusedConv": (node("FusedConv", ["x", "W"], ["y"], domain=MS, activation="Relu"), draw(4, 3, 2, 2), draw(1, 3, 4, 4)),
    "ConvTranspose of two groups": (node("ConvTranspose", ["x", "W"], ["y"], group=2), draw(4, 2, 2, 2), draw(1, 4, 3, 3)),
    "DeformConv": (node("DeformConv", ["x", "W", "o"], ["y"]), draw(4, 3, 2, 2), draw(1, 3, 3, 3)),
}  # fmt: skip


@pytest.mark.parametrize(("given", "weight", "x"), CASES.values(), ids=CASES.keys())
def test_rows_share_no_output(tmp_path: Path, given: Any, weight: NDArray[Any], x: NDArray[Any]) -> None:
    offsets = {"o": np.zeros((1, 8, 2, 2), dtype=np.float32)} if given.op_type == "DeformConv" else {}
    made = model([given], {"W": weight, **offsets}, inputs=[value("x", x.shape)])

    def compute(other: NDArray[Any]) -> NDArray[Any]:
        session = runtime.InferenceSession(
            changed(made, "W", other).SerializeToString(), providers=["CPUExecutionProvider"]
        )
        done: NDArray[Any] = session.run(None, {"x": x})[0].reshape(-1)
        return done

    info = open_info(tmp_path, made)
    assert (info.role, info.note) == ("weight", "")
    assert_law(info, find_rows(weight, compute))
