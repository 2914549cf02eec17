"""Numbers as they are stored: narrow types from every field, sparse tensors, against onnx's own decoder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.graphs.elements import ELEMENTS
from tests.checkpoints.damage import find, read_all
from tests.checkpoints.graphs.models import find as find_constant
from tests.checkpoints.graphs.models import model, node, open_graph, save

NARROW = [kind for kind, element in ELEMENTS.items() if element.is_narrow]


def decode(tensor: TensorProto) -> Any:
    return numpy_helper.to_array(tensor).astype(np.float32)


def codes_of(kind: int, count: int) -> bytes:
    return np.random.default_rng(kind).integers(0, 256, ELEMENTS[kind].count_bytes(count), dtype=np.uint8).tobytes()


@pytest.mark.parametrize("count", [1, 7, 24, 4099])
@pytest.mark.parametrize("kind", NARROW, ids=lambda kind: ELEMENTS[kind].word)
def test_narrow_types_decode_as_onnx_decodes_them(tmp_path: Path, kind: int, count: int) -> None:
    element = ELEMENTS[kind]
    if element.bits == 6 and not hasattr(TensorProto, "FLOAT6E2M3"):
        pytest.skip("this onnx knows no 6-bit floats")
    tensor = TensorProto(name="w", dims=[count], data_type=kind, raw_data=codes_of(kind, count))
    graph = open_graph(tmp_path, model([], {"w": tensor}))
    constant = find_constant(graph, "w")
    np.testing.assert_array_equal(constant.values.read(0, count), decode(tensor))
    assert constant.info.size_bytes == len(tensor.raw_data)
    assert (constant.dtype, constant.info.decodes) == (element.word, element.kind == "float")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from([kind for kind in NARROW if ELEMENTS[kind].kind == "float"]),
    count=st.integers(1, 90),
    data=st.data(),
)
def test_any_slice_of_a_narrow_float_equals_that_part(
    tmp_path: Path, kind: int, count: int, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, count))
    stop = data.draw(st.integers(start, count))
    tensor = TensorProto(name="w", dims=[count], data_type=kind, raw_data=codes_of(kind, count))
    with open_checkpoint(save(tmp_path / "m.onnx", model([], {"w": tensor}))) as source:
        part = source.read_slice(source.tensors[0], start, stop)
    whole = find_constant(open_graph(tmp_path, model([], {"w": tensor})), "w").values.read(0, count)
    np.testing.assert_array_equal(part, whole[start:stop])


def test_codes_of_four_bits_by_hand(tmp_path: Path) -> None:
    tensor = helper.make_tensor("w", TensorProto.FLOAT4E2M1, (3,), [0.5, -6, 1.5])
    assert list(tensor.int32_data) == [0xF1, 0x03]
    assert read_all(save(tmp_path / "m.onnx", model([], {"w": tensor})))["w"].tolist() == [0.5, -6, 1.5]
    raw = TensorProto(name="w", dims=[3], data_type=TensorProto.FLOAT4E2M1, raw_data=b"\xf1\x03")
    assert read_all(save(tmp_path / "m.onnx", model([], {"w": raw})))["w"].tolist() == [0.5, -6, 1.5]


def test_external_narrow_floats_are_mapped(tmp_path: Path) -> None:
    array = np.linspace(-6, 6, 33).astype(ml_dtypes.float4_e2m1fn)
    tensor = numpy_helper.from_array(array, "w")
    (tmp_path / "m.data").write_bytes(tensor.raw_data)
    outside = TensorProto(name="w", dims=[33], data_type=TensorProto.FLOAT4E2M1, data_location=TensorProto.EXTERNAL)
    outside.external_data.add(key="location", value="m.data")
    path = save(tmp_path / "m.onnx", model([], {"w": outside}))
    np.testing.assert_array_equal(read_all(path)["w"], array.astype(np.float32))
    with open_checkpoint(path) as source:
        assert source.is_sliceable(source.tensors[0])
        assert (source.tensors[0].size_bytes, source.tensors[0].reason) == (17, "")


def sparse(indices: Any, values: Any, shape: tuple[int, ...], name: str = "w") -> Any:
    return helper.make_sparse_tensor(
        numpy_helper.from_array(np.array(values, dtype=np.float32), name),
        numpy_helper.from_array(np.array(indices, dtype=np.int64), "i"),
        shape,
    )


SPARSE = {
    "linear": [5, 1, 11],
    "coordinates": [[1, 1], [0, 1], [2, 3]],
}


@pytest.mark.parametrize("indices", SPARSE.values(), ids=SPARSE.keys())
@pytest.mark.parametrize("place", ["initializer", "Constant"])
def test_sparse_values_go_to_their_places(tmp_path: Path, indices: Any, place: str) -> None:
    tensor = sparse(indices, [2, 3, 4], (3, 4))
    nodes = [node("MatMul", ["x", "w"], ["y"])]
    if place == "Constant":
        made = model([node("Constant", [], ["w"], sparse_value=tensor), *nodes])
    else:
        made = model(nodes)
        made.graph.sparse_initializer.append(tensor)
    path = save(tmp_path / "m.onnx", made)
    np.testing.assert_array_equal(read_all(path)["w"], [[0, 3, 0, 0], [0, 2, 0, 0], [0, 0, 0, 4]])
    with open_checkpoint(path) as source:
        info = find(source, "w")
        assert (info.role, info.view.rows, info.size_bytes) == ("weight", (1,), 3 * 4 + 8 * np.size(indices))


WRONG = {
    "outside": ([12], [1], r"has an index of its sparse values outside the shape \(3, 4\)"),
    "below zero": ([-1], [1], r"has an index of its sparse values outside"),
    "outside an axis": ([[0, 4]], [1], r"has an index of its sparse values outside"),
    "too few": ([1, 2], [1, 2, 3], r"has 3 sparse values and indices of int64 in the shape \(2,\)"),
}


@pytest.mark.parametrize(("indices", "values", "match"), WRONG.values(), ids=WRONG.keys())
def test_sparse_indices_that_lie_are_a_row_with_its_reason(
    tmp_path: Path, indices: Any, values: Any, match: str
) -> None:
    made = model([], {"good": np.ones((2, 2), np.float32)})
    made.graph.sparse_initializer.append(sparse(indices, values, (3, 4)))
    with open_checkpoint(save(tmp_path / "m.onnx", made)) as source:
        info = find(source, "w")
        assert not info.decodes
        assert re.match(match, info.reason)
