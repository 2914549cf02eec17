"""A model without its weights: wherever long values lie, they are found in the file, and damage is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.graphs.skeleton import WireError, read_skeleton
from qanalysis.checkpoints.mapped_file import MappedFile
from tests.checkpoints.damage import read_all
from tests.checkpoints.graphs.models import body, function, model, node, save


def long(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((20, 40)).astype(np.float32)


def constant(name: str, array: NDArray[Any]) -> onnx.NodeProto:
    return node("Constant", [], [name], value=numpy_helper.from_array(array, f"{name}_value"))


def make_everywhere() -> tuple[ModelProto, dict[str, NDArray[np.float32]]]:
    """A model with long weights in every kind of place, and what they are."""
    arrays = {
        name: long(seed)
        for seed, name in enumerate(("raw", "listed", "inner", "deep", "node", "local", "given", "default"))
    }
    arrays["doubles"] = long(9)
    deep = body([constant("deep", arrays["deep"]), node("MatMul", ["x", "deep"], ["o"])])
    branch = body([node("If", ["c"], ["o"], then_branch=deep)], {"inner": arrays["inner"]})
    layer = function(
        "Layer",
        ["a"],
        [constant("local", arrays["local"]), *(refer(name) for name in ("given", "default"))],
        outputs=["local"],
        attributes=["given"],
        attribute_protos=[helper.make_attribute("default", numpy_helper.from_array(arrays["default"], "d"))],
    )
    made = model(
        [
            constant("node", arrays["node"]),
            node("If", ["c"], ["t"], then_branch=branch),
            node("Layer", ["x"], ["y"], domain="local", given=numpy_helper.from_array(arrays["given"], "g")),
        ],
        {
            "raw": arrays["raw"],
            "listed": helper.make_tensor("listed", TensorProto.FLOAT, (20, 40), arrays["listed"].reshape(-1)),
            "doubles": helper.make_tensor(
                "doubles", TensorProto.DOUBLE, (20, 40), arrays["doubles"].astype(np.float64).reshape(-1)
            ),
        },
        functions=[layer],
    )
    return made, arrays


def refer(name: str) -> onnx.NodeProto:
    made = node("Constant", [], [name])
    made.attribute.append(onnx.AttributeProto(name="value", ref_attr_name=name, type=onnx.AttributeProto.TENSOR))
    return made


def list_long(message: Any) -> Iterator[bytes]:
    """Raw bytes of every tensor below a message that are long."""
    if isinstance(message, TensorProto):
        yield from [message.raw_data] if len(message.raw_data) > 1024 else []
    for _, content in message.ListFields():
        for part in content if hasattr(content, "__len__") and not isinstance(content, str | bytes) else [content]:
            if hasattr(part, "ListFields"):
                yield from list_long(part)


def test_long_values_are_left_in_the_file_and_read_from_there(tmp_path: Path) -> None:
    made, arrays = make_everywhere()
    path = save(tmp_path / "m.onnx", made)
    left = read_skeleton(MappedFile(path))
    assert len(left) < 4000 < 9 * 20 * 40 * 4 < path.stat().st_size
    assert list(list_long(onnx.load_model_from_string(left))) == []
    values = read_all(path)
    assert set(values) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(values[name], array)
    with open_checkpoint(path) as source:
        assert all(source.is_sliceable(info) for info in source.tensors)


def test_a_model_without_long_values_is_left_as_it_is(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", model([node("MatMul", ["x", "W"], ["y"])], {"W": np.ones((3, 4), np.float32)}))
    assert read_skeleton(MappedFile(path)) == path.read_bytes()


DAMAGE = {
    "a number that does not end": (b"\xff" * 12, r"a number at byte 0 does not end"),
    "a length behind the end": (b"\x3a\xff\x7f", r"ends behind its message"),
    "no such wire type": (b"\x3f", r"has the wire type 7"),
    "no such field": (b"\x00\x00", r"ends behind its message"),
}


@pytest.mark.parametrize(("content", "match"), DAMAGE.values(), ids=DAMAGE.keys())
def test_bytes_that_are_no_message_are_told(tmp_path: Path, content: bytes, match: str) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(WireError, match=match):
        read_skeleton(MappedFile(path))


def wrap(number: int, content: bytes) -> bytes:
    """A field of bytes whose length takes three bytes to write."""
    length = len(content)
    return bytes([number << 3 | 2, length & 0x7F | 0x80, length >> 7 & 0x7F | 0x80, length >> 14]) + content


def test_messages_too_deep_inside_one_another_are_told(tmp_path: Path) -> None:
    graph = bytes(0)
    for _ in range(40):  # three messages each: node, attribute, graph
        graph = wrap(1, wrap(5, wrap(6, graph or wrap(5, bytes(2000)))))
    path = tmp_path / "m.onnx"
    path.write_bytes(wrap(7, graph))
    with pytest.raises(WireError, match=r"messages lie too deep inside one another"):
        read_skeleton(MappedFile(path))


FORGED = {
    "behind the end": ("0:99999", r"names bytes that the model does not have"),
    "no numbers": ("one:two:raw_data", r"names bytes that the model does not have"),
    "another field": ("0:16:double_data", r"has its values in double_data, which does not go with float32"),
}


@pytest.mark.parametrize(("place", "match"), FORGED.values(), ids=FORGED.keys())
def test_a_forged_place_is_a_row_with_its_reason(tmp_path: Path, place: str, match: str) -> None:
    forged = TensorProto(name="w", dims=[4], data_type=1)
    forged.external_data.add(key="qanalysis.inline", value=place)
    with open_checkpoint(save(tmp_path / "m.onnx", model([], {"w": forged}))) as source:
        assert not source.tensors[0].decodes
        assert source.tensors[0].reason == match
