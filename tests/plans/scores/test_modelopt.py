"""What ModelOpt chose becomes pins: each word its scheme, what it leaves out stays as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qanalysis.plans.scores.catalogue import holds_pins, read_pins, read_scores
from qanalysis.plans.scores.modelopt import Pins
from tests.plans.tables import sweep_candidates

SHAPES = {"model.layers.0.up.weight": (8, 64), "model.layers.0.down.weight": (8, 64), "lm_head.weight": (8, 64)}
SCHEMES = ("nvfp4", "fp8_e4m3", "int4 sym-full group=32", "int8 channel")


def _pin(folder: Path, part: Any) -> Pins:
    path = folder / "hf_quant_config.json"
    path.write_text(json.dumps({"producer": {"name": "modelopt", "version": "0.40"}, "quantization": part}))
    assert holds_pins(path)
    return read_pins(path, sweep_candidates(SHAPES, SCHEMES))


def test_each_layer_has_its_own_format(tmp_path: Path) -> None:
    layers = {
        "model.layers.0.up": {"quant_algo": "NVFP4", "group_size": 16},
        "model.layers.0.down": {"quant_algo": "W4A16_AWQ", "group_size": 32},
    }
    pins = _pin(tmp_path, {"quant_algo": "MIXED_PRECISION", "quantized_layers": layers, "exclude_modules": ["lm_head"]})
    assert pins.schemes == {
        "model.layers.0.up.weight": "nvfp4",
        "model.layers.0.down.weight": "int4 sym-full group=32",
    }
    assert list(pins.excluded) == ["lm_head.weight"]
    assert list(pins.notes) == []


@pytest.mark.parametrize(
    "pattern", ["lm_head", "lm*", "*head", "lm_head*"], ids=["name", "begin", "end", "name-and-more"]
)
def test_one_format_is_that_of_all_others(tmp_path: Path, pattern: str) -> None:
    pins = _pin(tmp_path, {"quant_algo": "FP8", "exclude_modules": [pattern]})
    assert set(pins.schemes.values()) == {"fp8_e4m3"}
    assert (len(pins.schemes), list(pins.excluded)) == (2, ["lm_head.weight"])


def test_a_module_above_leaves_out_all_below_it(tmp_path: Path) -> None:
    pins = _pin(tmp_path, {"quant_algo": "FP8", "exclude_modules": ["model.layers.0"]})
    assert list(pins.schemes) == ["lm_head.weight"]


def test_a_format_without_rows_is_told(tmp_path: Path) -> None:
    pins = _pin(tmp_path, {"quant_algo": "MXFP8"})
    assert "3 tensors have no row of the format that it chose" in pins.notes[0]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"quant_algo": "INT3_MAGIC"}, "quant_algo is 'INT3_MAGIC', known are NVFP4"),
        ({"quant_algo": "W4A16_AWQ", "group_size": -2}, "group_size beside quant_algo is -2"),
        ({"quant_algo": "MIXED_PRECISION", "quantized_layers": {"elsewhere": {"quant_algo": "FP8"}}}, "none of its 1"),
        ({"quant_algo": "MIXED_PRECISION", "quantized_layers": {"a": "FP8"}}, "is not of the form"),
        ({"quant_algo": "FP8", "exclude_modules": 3}, "is not of the form"),
    ],
    ids=["unknown", "group", "another-model", "no-record", "no-list"],
)
def test_damaged_and_foreign_files_are_refused_on_one_line(tmp_path: Path, part: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        _pin(tmp_path, part)
    assert "\n" not in str(caught.value)


def test_chosen_formats_are_no_scores(tmp_path: Path) -> None:
    path = tmp_path / "hf_quant_config.json"
    path.write_text(json.dumps({"quantization": {"quant_algo": "FP8"}}))
    with pytest.raises(ValueError, match="no scores: they are pins"):
        read_scores(path, sweep_candidates(SHAPES, SCHEMES))
