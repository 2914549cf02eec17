"""ONNX: initializers, channel axes, external data and its borders."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from qanalysis.checkpoints.catalogue import open_checkpoint
from tests.checkpoints.damage import as_nobody, damaged_copies, find, open_to_others, read_all, read_or_refuse, refusal
from tests.checkpoints.graphs.models import body, function, model, node

Arrays = dict[str, NDArray[np.float32]]


def make_model(tensors: list[TensorProto], nodes: list[NodeProto] | None = None) -> ModelProto:
    return helper.make_model(helper.make_graph(nodes or [], "net", [], [], initializer=tensors))


def external(
    name: str = "w", *, shape: tuple[int, ...] = (4,), data_type: int = TensorProto.FLOAT, **keys: Any
) -> TensorProto:
    tensor = TensorProto(name=name, dims=shape, data_type=data_type, data_location=TensorProto.EXTERNAL)
    for key, value in keys.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def save(path: Path, *tensors: TensorProto, nodes: list[NodeProto] | None = None) -> Path:
    path.write_bytes(make_model(list(tensors), nodes).SerializeToString())
    return path


SMALL = make_model(
    [
        numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3), "w"),
        helper.make_tensor("h", TensorProto.FLOAT16, [2], [1.0, 2.0]),
    ]
).SerializeToString()


def test_inline_initializers_equal_what_was_written(
    tmp_path: Path, weights: Arrays, assert_reads: Callable[[Path, Arrays], None]
) -> None:
    path = save(tmp_path / "m.onnx", *(numpy_helper.from_array(array, name) for name, array in weights.items()))
    assert_reads(path, weights)
    with open_checkpoint(path) as source:
        assert "held in memory with the weights that are short" in source.memory_note
        assert not any(source.is_sliceable(info) for info in source.tensors)


def test_long_values_stay_in_the_model_file(tmp_path: Path, assert_reads: Callable[[Path, Arrays], None]) -> None:
    arrays = {name: np.random.default_rng(1).standard_normal(400).astype(np.float32) for name in ("raw", "listed")}
    listed = helper.make_tensor("listed", TensorProto.FLOAT, [400], arrays["listed"])
    path = save(tmp_path / "m.onnx", numpy_helper.from_array(arrays["raw"], "raw"), listed)
    assert_reads(path, arrays)
    with open_checkpoint(path) as source:
        assert all(source.is_sliceable(info) for info in source.tensors)
        assert "weights are mapped" in source.memory_note


def test_external_data_is_mapped_and_equal(
    tmp_path: Path, weights: Arrays, assert_reads: Callable[[Path, Arrays], None]
) -> None:
    model = make_model([numpy_helper.from_array(array, name) for name, array in weights.items()])
    path = tmp_path / "m.onnx"
    onnx.save(model, path, save_as_external_data=True, location="m.data", size_threshold=0)
    assert_reads(path, weights)
    with open_checkpoint(path) as source:
        assert all(source.is_sliceable(info) for info in source.tensors)
        assert source.size_bytes == path.stat().st_size + (tmp_path / "m.data").stat().st_size
        digest = source.digest
    data = bytearray((tmp_path / "m.data").read_bytes())
    data[3] ^= 1
    (tmp_path / "m.data").write_bytes(data)
    with open_checkpoint(path) as source:
        assert source.digest != digest


FLOATS = {
    "float64": np.float64,
    "float32": np.float32,
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8_e5m2": ml_dtypes.float8_e5m2,
    "float8_e4m3fnuz": ml_dtypes.float8_e4m3fnuz,
    "float8_e5m2fnuz": ml_dtypes.float8_e5m2fnuz,
}


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("raw", [True, False], ids=["raw bytes", "typed field"])
def test_every_float_dtype_reads_from_either_field(tmp_path: Path, name: str, *, raw: bool) -> None:
    array = np.linspace(-3, 3, 12).reshape(3, 4).astype(FLOATS[name])
    data_type = helper.np_dtype_to_tensor_dtype(array.dtype)
    inline = (
        numpy_helper.from_array(array, "w")
        if raw
        else helper.make_tensor("w", data_type, array.shape, array.astype(np.float64).reshape(-1))
    )
    assert inline.HasField("raw_data") == raw
    path = save(tmp_path / "m.onnx", inline)
    np.testing.assert_array_equal(read_all(path)["w"], array.astype(np.float32))
    with open_checkpoint(path) as source:
        assert (source.tensors[0].dtype, source.tensors[0].size_bytes) == (name, array.nbytes)


def test_other_dtypes_scalars_and_empty_tensors_are_listed(tmp_path: Path) -> None:
    tensors = [
        numpy_helper.from_array(np.arange(3), "i"),
        numpy_helper.from_array(np.array([True]), "b"),
        helper.make_tensor("four", TensorProto.INT4, [3], [1, 2, 3]),
        TensorProto(name="t", dims=[1], data_type=TensorProto.STRING, string_data=[b"text"]),
        TensorProto(name="x", dims=[2], data_type=99),
        numpy_helper.from_array(np.array(2.5, dtype=np.float32), "s"),
        numpy_helper.from_array(np.empty((0, 2), dtype=np.float32), "e"),
    ]
    with open_checkpoint(save(tmp_path / "m.onnx", *tensors)) as source:
        assert [(info.name, info.shape, info.dtype, info.decodes, info.size_bytes) for info in source.tensors] == [
            ("i", (3,), "int64", False, 24),
            ("b", (1,), "bool", False, 1),
            ("four", (3,), "int4", False, 2),
            ("t", (1,), "string", False, 0),
            ("x", (2,), "onnx_type_99", False, 0),
            ("s", (), "float32", True, 4),
            ("e", (0, 2), "float32", True, 0),
        ]
        assert source.read(find(source, "s")) == 2.5
        assert source.read(find(source, "e")).shape == (0, 2)


OUTSIDE = {
    "parent folder": "../secret.data",
    "deeper and back": "sub/../../secret.data",
    "absolute": "/etc/passwd",
    "other drive": "C:\\secret.data",
    "nothing": "",
}


@pytest.mark.parametrize("location", OUTSIDE.values(), ids=OUTSIDE.keys())
def test_external_data_outside_the_folder_is_refused(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.data").write_bytes(bytes(16))
    with refusal(r"m.onnx: external data .* is named, which must lie inside the model's folder; move the file there"):
        open_checkpoint(save(folder / "m.onnx", external(location=location)))


def test_external_data_behind_a_link_out_of_the_root_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.data").write_bytes(bytes(16))
    (folder / "m.data").symlink_to(tmp_path / "secret.data")
    path = save(folder / "m.onnx", external(location="m.data"))
    with refusal(r"'m.data' leaves the root folder 'model'"):
        open_checkpoint(path, root=folder)
    assert list(read_all(path)) == ["w"]  # caches of downloads hold links


def test_data_files_that_are_not_there_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", external(location="none.data"))
    with refusal(r"none.data' does not exist"):
        open_checkpoint(path)


def test_one_missing_data_file_of_two_leaves_the_other(tmp_path: Path) -> None:
    (tmp_path / "m.data").write_bytes(np.arange(4, dtype=np.float32).tobytes())
    tensors = [external("w", location="m.data"), external("v", location="none.data")]
    path = save(tmp_path / "m.onnx", *tensors)
    np.testing.assert_array_equal(read_all(path)["w"], [0, 1, 2, 3])
    with open_checkpoint(path) as source:
        assert "does not exist" in find(source, "v").reason


CLAIMS = {
    "offset behind the end": ({"location": "m.data", "offset": 17}, r"claims -1 bytes at 17 of 'm.data'"),
    "negative offset": ({"location": "m.data", "offset": -4}, r"claims 20 bytes at -4"),
    "length behind the end": (
        {"location": "m.data", "offset": 8, "length": 16},
        r"claims 16 bytes at 8 of 'm.data', which has 16 bytes, for 16 bytes",
    ),
    "length unlike the shape": ({"location": "m.data", "length": 8}, r"claims 8 bytes at 0"),
    "offset in words": ({"location": "m.data", "offset": "four"}, r"has the offset or length 'four' .* no number"),
    "offset of many digits": ({"location": "m.data", "offset": "9" * 5000}, r"has the offset or length '9+…9+'"),
}


def reason_of(path: Path, name: str = "w") -> str:
    """Why a tensor does not decode; the others of the file are read."""
    with open_checkpoint(path) as source:
        info = find(source, name)
        assert not info.decodes
        assert len(info.reason) < 300
    read_all(path)
    return info.reason


@pytest.mark.parametrize(("keys", "match"), CLAIMS.values(), ids=CLAIMS.keys())
def test_external_data_that_lies_is_a_row_with_its_reason(tmp_path: Path, keys: dict[str, Any], match: str) -> None:
    (tmp_path / "m.data").write_bytes(bytes(16))
    assert re.match(match, reason_of(save(tmp_path / "m.onnx", external(**keys))))


def test_names_on_the_same_bytes_are_one_tensor(tmp_path: Path) -> None:
    (tmp_path / "m.data").write_bytes(np.arange(4, dtype=np.float32).tobytes())
    tensors = [external(name, location="m.data", length=16) for name in ("w", "v", "u")]
    with open_checkpoint(save(tmp_path / "m.onnx", *tensors)) as source:
        assert [(info.name, info.aliases) for info in source.tensors] == [("w", ("v", "u"))]
        assert source.notes == ("2 tensors lie on the same bytes as another and are counted once",)


def test_thousands_of_names_on_overlapping_bytes_are_not_all_read(tmp_path: Path) -> None:
    (tmp_path / "m.data").write_bytes(bytes(4 << 20))
    tensors = [
        external(f"t{i}", shape=((1 << 20) - i,), location="m.data", offset=4 * i, length=(4 << 20) - 4 * i)
        for i in range(5000)
    ]
    with open_checkpoint(save(tmp_path / "m.onnx", *tensors)) as source:
        assert sum(info.size_bytes for info in source.tensors if info.decodes) <= 2 * (4 << 20)
        assert find(source, "t7").reason == "its bytes overlap those of 't0', which is another tensor"


def test_external_data_without_permission_is_refused(tmp_path: Path) -> None:
    open_to_others(tmp_path)
    (tmp_path / "m.data").write_bytes(bytes(16))
    (tmp_path / "m.data").chmod(0)
    path = save(tmp_path / "m.onnx", external(location="m.data"))
    with refusal(r"m.data' can not be opened: Permission denied; check the path and its permissions"), as_nobody():
        open_checkpoint(path)


UNLIKE = {
    "raw bytes": (
        TensorProto(name="w", dims=[1 << 40, 2], data_type=1, raw_data=bytes(8)),
        r"has the shape \(1099511627776, 2\) of float32, which is 8796093022208 bytes; the model holds 8",
    ),
    "listed": (
        TensorProto(name="w", dims=[3], data_type=1, float_data=[1.0]),
        r".* which is 3 values; the model holds 1",
    ),
    "nothing": (TensorProto(name="w", dims=[2, 2], data_type=1), r".* which is 4 values; the model holds 0"),
    "negative size": (
        TensorProto(name="w", dims=[-3], data_type=1),
        r"claims the shape \(-3\); sizes must be at least 0",
    ),
    "endless": (
        TensorProto(name="w", dims=[1 << 50, 1 << 50], data_type=1),
        r"claims the shape .*, which no array can have",
    ),
    "unknown type": (TensorProto(name="w", dims=[2], data_type=99), r"the element type 99 is not known"),
    "long values of another field": (
        TensorProto(name="w", dims=[600], data_type=10, float_data=[1.0] * 600),
        r"has its values in float_data, which does not go with float16",
    ),
}


@pytest.mark.parametrize(("tensor", "match"), UNLIKE.values(), ids=UNLIKE.keys())
def test_odd_initializers_are_rows_with_their_reason(tmp_path: Path, tensor: TensorProto, match: str) -> None:
    good = numpy_helper.from_array(np.ones((2, 2), dtype=np.float32), "good")
    path = save(tmp_path / "m.onnx", tensor, good)
    assert re.match(match, reason_of(path))
    assert list(read_all(path)) == ["good"]


def test_truncated_and_empty_models_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(SMALL[:-10])
    with refusal(r"m.onnx as an ONNX model can not be read: .*; the file is damaged or was cut short"):
        open_checkpoint(path)
    with refusal(r"holds no tensors; give a file with weights"):
        open_checkpoint(save(path))


def test_models_beyond_two_gigabytes_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    with path.open("wb") as file:
        file.truncate(1 << 31)  # sparse: takes no room on disk
    with refusal(r"m.onnx has 2147483648 bytes, an ONNX model has at most 2 GB; save its weights as external data"):
        open_checkpoint(path)


def test_names_that_are_not_utf8_are_escaped(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(SMALL.replace(b"B\x01w", b"B\x01\x80"))
    assert "\\x80" in read_all(path)


def test_names_that_occur_twice_are_told_apart(tmp_path: Path) -> None:
    tensor = numpy_helper.from_array(np.ones(2, dtype=np.float32), "w")
    assert list(read_all(save(tmp_path / "m.onnx", tensor, tensor))) == ["w", "w (2)"]


RICH = model(
    [
        node(
            "If",
            ["c"],
            ["h"],
            then_branch=body([node("Turn", ["w"], ["o"], domain="local")]),
            else_branch=body([], {"o": np.ones((2, 3), np.float32)}),
        ),
        node("Split", ["h"], ["a", "b"], axis=1, num_outputs=2),
        node("Concat", ["a", "b"], ["d"], axis=0),
        node("Reshape", ["d", "shape"], ["r"]),
        node("Scan", ["r"], ["s"], num_scan_inputs=1, body=body([node("MatMul", ["x", "v"], ["o"])], inputs=["v"])),
        node("Einsum", ["x", "w"], ["y"], equation="...k,kn->...n"),
    ],
    {"w": np.ones((2, 3), np.float32), "c": np.array(True), "shape": np.array([2, -1, 1])},
    functions=[function("Turn", ["v"], [node("Transpose", ["v"], ["o"], perm=[1, 0])])],
).SerializeToString()


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damaged_copies(SMALL) | damaged_copies(RICH))
def test_damaged_models_read_or_are_refused(tmp_path: Path, content: bytes) -> None:
    read_or_refuse(tmp_path / "fuzzed.onnx", content)
