"""Packed weights that are known for what they are: one line a layer, with the reason and the bytes of all parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.checkpoints.packed.written import read_logical


def zeros(dtype: str, *shape: int) -> NDArray[np.generic]:
    return np.zeros(shape, dtype)


LAYERS = {
    "EXL2": {
        "q_weight": zeros("int32", 40, 8),
        "q_scale": zeros("int32", 2, 1),
        "q_scale_max": zeros("float16", 2),
        "q_groups": zeros("int16", 4),
        "q_invperm": zeros("int16", 64),
    },
    "EXL3": {"trellis": zeros("int16", 4, 4, 32), "suh": zeros("float16", 64), "svh": zeros("float16", 64)},
    "AQLM": {
        "codes": zeros("int8", 8, 4, 1),
        "codebooks": zeros("float16", 1, 256, 1, 8),
        "scales": zeros("float16", 8, 1, 1, 1),
    },
    "QuIP#": {"Qidxs": zeros("int16", 8, 4), "SU": zeros("float16", 32), "SV": zeros("float16", 8)},
    "VPTQ": {"indices": zeros("int32", 1, 4, 4), "centroids.weight": zeros("float16", 1, 64)},
    "SpQR": {
        "dense_weights": zeros("int64", 64),
        "row_offsets": zeros("int32", 9),
        "col_vals": zeros("int32", 5),
    },
    "HIGGS": {"weight": zeros("int16", 8, 8), "scales": zeros("float16", 1, 8), "tables": zeros("float16", 4, 2)},
    "fp_quant": {
        "qweight": zeros("uint8", 8, 16),
        "scales": zeros("uint8", 8, 1),
        "forward_hadamard_matrix": zeros("float16", 32, 32),
    },
    "ParoQuant": {
        "qweight": zeros("int32", 64, 1),
        "qzeros": zeros("int32", 1, 1),
        "scales": zeros("float16", 1, 8),
        "theta": zeros("float16", 4, 32),
        "pairs": zeros("int16", 4, 64),
    },
    "EETQ": {"weight": zeros("int8", 32, 8), "weight_scales": zeros("float16", 8)},
    "SINQ": {
        "W_q": zeros("uint8", 8, 16),
        "scale": zeros("float16", 8, 1),
        "zero": zeros("float16", 8, 1),
        "scale2": zeros("float16", 32),
    },
    "BitNet": {"weight": zeros("uint8", 2, 16), "weight_scale": zeros("float32", 1)},
}


@pytest.mark.parametrize("word", LAYERS)
def test_a_layer_is_one_line_with_its_reason_and_all_bytes(tmp_path: Path, word: str) -> None:
    parts = {f"model.l.{name}": part for name, part in LAYERS[word].items()}
    found = read_logical(tmp_path, parts | {"model.l.bias": zeros("float32", 8)})
    assert list(found) == ["model.l.weight", "model.l.bias"]
    info = found["model.l.weight"].info
    assert info.reason.startswith(f"already quantized ({word}: ")
    assert info.reason.endswith("; recognised, not decoded")
    assert info.size_bytes == sum(part.nbytes for part in parts.values())
    assert not info.decodes


@pytest.mark.parametrize("word", [word for word in LAYERS if word != "SINQ"])  # whose codes may be viewed as floats
def test_floats_of_the_same_names_are_left_alone(tmp_path: Path, word: str) -> None:
    parts = {f"l.{name}": np.zeros(part.shape, np.float32) for name, part in LAYERS[word].items()}
    assert list(read_logical(tmp_path, parts)) == list(parts)
