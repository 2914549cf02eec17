"""Columns of values cost the columns, and are those of the values read whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx.numpy_helper import from_array

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.entries import read_float_columns
from tests.checkpoints.graphs.models import model, node, save


class Counted:
    """Numbers from 0 that count how many of them are read at once."""

    sliceable = True

    def __init__(self) -> None:
        self.most = 0

    def read(self, start: int, stop: int) -> Any:
        self.most = max(self.most, stop - start)
        return np.arange(start, stop, dtype=np.float32)


def test_values_without_columns_are_read_some_rows_at_a_time() -> None:
    values = Counted()
    found = read_float_columns(values, 1000, 5_001_000, width=1000, first=10, last=12)
    assert found.shape == (5000, 2)
    np.testing.assert_array_equal(found[:, 0], np.arange(1000, 5_001_000, 1000) + 10)
    assert values.most <= 1 << 20


def test_no_rows_have_no_columns() -> None:
    assert read_float_columns(Counted(), 30, 30, width=10, first=2, last=5).shape == (0, 3)


@pytest.mark.parametrize("columns", [64, 63], ids=["rows on bytes", "rows within bytes"])
@pytest.mark.parametrize("is_typed", [False, True], ids=["raw", "listed"])
@pytest.mark.parametrize(
    "dtype",
    [np.float32, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float4_e2m1fn],
    ids=["fp32", "bf16", "fp8", "fp4"],
)
def test_columns_of_a_file_are_those_of_the_whole(tmp_path: Path, dtype: Any, is_typed: bool, columns: int) -> None:
    w = np.random.default_rng(16).normal(size=(20, columns)).astype(dtype)
    tensor = from_array(w, "W")
    if is_typed and dtype == ml_dtypes.float4_e2m1fn:
        listed = TensorProto(name="W", data_type=tensor.data_type, dims=tensor.dims)
        listed.int32_data.extend(tensor.raw_data)
        tensor = listed
    elif is_typed:
        tensor = helper.make_tensor("W", tensor.data_type, w.shape, w.astype(np.float32).reshape(-1))
    path = save(tmp_path / "m.onnx", model([node("MatMul", ["x", "W"], ["y"])], {"W": tensor}))
    with open_checkpoint(str(path)) as source:
        (info,) = source.tensors
        found = source.read_columns(info, 2 * columns, 19 * columns, width=columns, first=3, last=50)
        np.testing.assert_array_equal(found, w.astype(np.float32)[2:19, 3:50])
