"""Weights as this program stores them: every format and grouping comes back to the values of its quantizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.source import CheckpointError, TensorInfo
from qanalysis.models.forms.packing import pack, refuse_scheme
from qanalysis.quantizers.formats import FORMATS
from qanalysis.quantizers.matrix_view import MatrixView
from qanalysis.quantizers.scheme import Scheme
from tests.checkpoints.packed.written import write_file

GROUPINGS = ("tensor", "channel", "group=32", "group=5", "block=3x7")
INTEGERS = [f"int{bits} {symmetry} {grouping}" for bits, symmetry, grouping in zip(
    (2, 3, 4, 5, 6, 7, 8, 8, 4, 3),
    ("sym", "asym", "sym-full", "sym-noclip", "sym-clip", "asym", "sym", "asym", "sym", "sym"),
    GROUPINGS * 2,
    strict=True,
)]  # fmt: skip
SCHEMES = [*INTEGERS, "int4 group=32 scale=float16", "int4 asym channel scale=bfloat16", "binary channel", *FORMATS]
SHAPES = [
    pytest.param((6, 64), "0", id="rows"),
    pytest.param((64, 8), "1", id="turned"),
    pytest.param((4, 3, 8, 8), "0", id="convolution"),
    pytest.param((2, 6, 64), "0,1", id="experts"),
    pytest.param((4, 2, 32), "0,2 of 2x2x2x32", id="grouped-transposed-convolution"),
    pytest.param((64,), "0", id="one-row"),
]


def write(path: Path, parts: dict[str, NDArray[Any]]) -> Path:
    return write_file(path, {f"l.kernel{ending}": part for ending, part in parts.items()})


@pytest.mark.parametrize(("shape", "view"), SHAPES)
def test_every_scheme_comes_back_bit_for_bit_and_in_slices(tmp_path: Path, shape: tuple[int, ...], view: str) -> None:
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    values[0] = 0  # a group without a signal
    for text in SCHEMES:
        scheme = Scheme.parse(text)
        if refuse_scheme(scheme):
            continue
        try:
            quantizer = scheme.fit(values, axis=MatrixView.parse(view))
        except ValueError:  # fixed blocks that do not divide these rows
            continue
        y = quantizer.round_trip(values) + np.float32(0)
        parts = pack(TensorInfo("l.kernel", shape, "float32", values.nbytes), y, quantizer, scheme)
        with open_checkpoint(write(tmp_path / "model.safetensors", parts)) as source:
            (info,) = source.tensors
            assert (info.name, info.shape, info.stored) == ("l.kernel", shape, f"qanalysis {scheme}")
            assert np.array_equal(source.read(info), y), text
            assert np.array_equal(source.read_slice(info, 5, 17), y.reshape(-1)[5:17]), text


def test_codes_of_4_bits_take_half_a_byte_and_binary_an_eighth(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(16, 64)).astype(np.float32)
    sizes = {}
    for text in ("int8 channel", "int4 channel", "binary channel"):
        scheme = Scheme.parse(text)
        quantizer = scheme.fit(values)
        parts = pack(TensorInfo("w", (16, 64), "float32", 0), quantizer.round_trip(values), quantizer, scheme)
        sizes[text] = parts[".q_codes"].nbytes, parts[".q_scales"].nbytes
    assert sizes == {"int8 channel": (1024, 64), "int4 channel": (512, 64), "binary channel": (128, 64)}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({".q_codes": np.ones((4, 9), np.uint8)}, "must be uint8 of shape", id="codes"),
        pytest.param({".q_scales": np.ones((4, 3), np.float32)}, "must be float32, float16, bfloat16", id="scales"),
        pytest.param({".q_zeros": np.ones((4, 2), np.int8)}, "has no zero points", id="zeros"),
        pytest.param({"scheme": "int4 asym group=8"}, "needs zero points", id="no-zeros"),
        pytest.param({"scheme": "int16"}, "at most 8 are stored so", id="wide"),
        pytest.param({"scheme": "gguf:q4_1", "shape": [2, 32]}, "adds the low end", id="offset"),
        pytest.param({"scheme": "int4 group=x"}, "grouping 'group=x' is unknown", id="scheme"),
        pytest.param({"scheme": 4}, "must be texts", id="scheme-number"),
        pytest.param({"shape": [4, -16]}, "must be a list of sizes", id="shape"),
        pytest.param({"shape": [2**40, 2**40]}, "more values than a file", id="vast"),
        pytest.param({"view": "7"}, "axis 7 of a tensor with 2", id="view"),
        pytest.param({".q_layout": np.frombuffer(b"[1, 2]", np.uint8)}, "no JSON with scheme", id="list"),
        pytest.param({".q_layout": np.frombuffer(b"{ ", np.uint8)}, "no JSON with scheme", id="cut"),
        pytest.param({".q_layout": np.zeros(5000, np.uint8)}, "JSON of 2 to 4096 bytes", id="long"),
    ],
)
def test_parts_that_do_not_fit_say_why(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    told = {"scheme": "int4 group=8", "shape": [4, 16], "view": "0"}
    told |= {name: value for name, value in changes.items() if name in told}
    parts: dict[str, NDArray[Any]] = {
        ".q_layout": np.frombuffer(json.dumps(told).encode(), np.uint8),
        ".q_codes": np.ones((4, 8), np.uint8),
        ".q_scales": np.ones((4, 2), np.float32),
    }
    parts |= {name: value for name, value in changes.items() if name.startswith(".")}
    with open_checkpoint(write(tmp_path / "model.safetensors", parts)) as source:
        found = next(info for info in source.tensors if info.stored == "qanalysis")
        assert not found.decodes
        assert reason in found.reason
        assert len(found.reason) < 400
        with pytest.raises(CheckpointError):
            source.read(found)


def test_what_no_layout_holds_is_told_in_one_line() -> None:
    info = TensorInfo("w", (2, 32), "float32", 256)
    values = np.ones((2, 32), np.float32)
    for text, reason in (("int16", "more than 8 bits"), ("gguf:q4_1", "adds the low end")):
        scheme = Scheme.parse(text)
        with pytest.raises(ValueError, match=reason):
            pack(info, values, scheme.fit(values), scheme)
    scheme = Scheme.parse("int4")
    with pytest.raises(ValueError, match="w holds NaN or infinities"):
        pack(info, values * np.float32(np.nan), scheme.fit(values), scheme)
    with pytest.raises(ValueError, match="not on the grid of int4"):
        pack(info, values * np.float32(0.03), scheme.fit(values), scheme)
