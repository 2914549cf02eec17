"""Parts of whatever shapes, types and contents: a listing, and values or one clear message, never anything else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.source import CheckpointError
from tests.checkpoints.packed.written import write_file

STATE = {"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": [4, 32], "nested_blocksize": 256}
TYPES = [np.uint8, np.int8, np.int32, np.uint32, np.float16, np.float32, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn]


def as_text(content: Any) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(content).encode(), np.uint8)


LAYERS: dict[str, dict[str, NDArray[Any]]] = {
    "bitsandbytes": {
        "l.weight": np.zeros((64, 1), np.uint8),
        "l.weight.absmax": np.ones(2, np.uint8),
        "l.weight.quant_map": np.ones(16, np.float32),
        "l.weight.nested_absmax": np.ones(1, np.float32),
        "l.weight.nested_quant_map": np.ones(256, np.float32),
        "l.weight.quant_state.bitsandbytes__nf4": as_text(STATE),
    },
    "LLM.int8": {
        "l.weight": np.ones((4, 8), np.int8),
        "l.SCB": np.ones(4, np.float32),
        "l.weight_format": np.array(0, np.uint8),
    },
    "mlx": {
        "l.weight": np.ones((4, 16), np.uint32),
        "l.scales": np.ones((4, 2), np.float16),
        "l.biases": np.ones((4, 2), np.float16),
    },
    "gpt-oss": {"l_blocks": np.ones((2, 3, 4, 16), np.uint8), "l_scales": np.ones((2, 3, 4), np.uint8)},
    "hqq": {
        "l.W_q": np.ones((2, 8), np.uint8),
        "l.scale": np.ones((4, 1), np.float32),
        "l.zero": np.ones((4, 1), np.float32),
        "l.nbits": np.array(4, np.int32),
        "l.axis": np.array(1, np.int32),
        "l.group_size": np.array(8, np.int32),
        "l.shape": np.array([4, 8]),
    },
    "quanto": {
        "l.weight._data._data": np.ones((2, 8), np.uint8),
        "l.weight._scale": np.ones((4, 1), np.float32),
        "l.weight._shift": np.ones((4, 1), np.float32),
        "l.bias": np.ones(2, np.float32),
    },
    "torchao": {
        "l._weight_qdata": np.ones((4, 8), np.int8),
        "l._weight_scale": np.ones((4, 2), np.float32),
        "l._weight_zero_point": np.ones((4, 2), np.int8),
    },
    "qanalysis": {
        "l.weight.q_layout": as_text({"scheme": "int4 asym group=8", "shape": [4, 16], "view": "0"}),
        "l.weight.q_codes": np.ones((4, 8), np.uint8),
        "l.weight.q_scales": np.ones((4, 2), np.float32),
        "l.weight.q_zeros": np.ones((4, 2), np.int8),
    },
    "weight norm": {"l.weight_g": np.ones((4, 1), np.float32), "l.weight_v": np.ones((4, 8), np.float32)},
}
METADATA = {"l.weight": json.dumps({"_type": "Int8Tensor", "_data": {"block_size": [1, 4]}})}


@st.composite
def spoil(draw: st.DrawFn, parts: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """One or two parts left out, of another shape or type, or with other bytes."""
    spoiled = dict(parts)
    for name in draw(st.lists(st.sampled_from(sorted(parts)), min_size=1, max_size=2, unique=True)):
        how = draw(st.sampled_from(["gone", "shape", "type", "bytes"]))
        if how == "gone":
            del spoiled[name]
        elif how == "shape":
            shape = draw(st.lists(st.integers(0, 9), max_size=4))
            spoiled[name] = np.ones(shape, parts[name].dtype)
        elif how == "type":
            spoiled[name] = np.ones(parts[name].shape, draw(st.sampled_from(TYPES)))
        else:
            size = parts[name].nbytes
            content = np.frombuffer(draw(st.binary(min_size=size, max_size=size)), parts[name].dtype)
            spoiled[name] = content.reshape(parts[name].shape)
    return spoiled


@pytest.mark.parametrize("layer", LAYERS)
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_parts_are_listed_and_read_or_refused(tmp_path: Path, layer: str, data: st.DataObject) -> None:
    parts = data.draw(spoil(LAYERS[layer]))
    path = write_file(tmp_path / "model.safetensors", parts, METADATA if layer == "torchao" else None)
    if not parts:
        return
    with open_checkpoint(path) as source:
        for info in source.tensors:
            assert info.decodes or info.reason or info.dtype
            if info.decodes:
                assert source.read(info).shape == info.shape
            else:
                with pytest.raises(CheckpointError):
                    source.read(info)


@pytest.mark.parametrize("layer", LAYERS)
def test_parts_as_they_are_make_one_tensor_that_is_read(tmp_path: Path, layer: str) -> None:
    path = write_file(tmp_path / "model.safetensors", LAYERS[layer], METADATA if layer == "torchao" else None)
    with open_checkpoint(path) as source:
        packed = [info for info in source.tensors if info.stored]
        assert len(packed) == 1
        assert np.isfinite(source.read(packed[0])).all()


@given(
    changes=st.dictionaries(
        st.sampled_from([*STATE, "nested_offset", "quant_type"]),
        st.one_of(
            st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(), st.lists(st.integers())
        ),
    )
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_hostile_quant_state_is_bounded(tmp_path: Path, changes: dict[str, Any]) -> None:
    text = as_text(STATE | changes)
    parts = LAYERS["bitsandbytes"] | {"l.weight.quant_state.bitsandbytes__nf4": text}
    with open_checkpoint(write_file(tmp_path / "model.safetensors", parts)) as source:
        for info in source.tensors:
            assert len(info.reason) < 400
            if info.decodes:
                assert source.read(info).size <= 1 << 20
