"""Weights in an order that one kind of processor knows are named and not read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import helper

from tests.checkpoints.graphs.packed_models import catch, make_model


def test_their_rows_say_so(tmp_path: Path) -> None:
    node = helper.make_node("QOrderedMatMul", ["x", "s", "W", "s", "s"], ["y"], domain="com.microsoft")
    made = make_model([node], {"W": np.zeros((4, 4), np.int8), "s": np.float32(1)})
    assert catch(tmp_path, made, "W") == (
        "QOrderedMatMul holds its weight in an order of the processor that it is made for"
    )
