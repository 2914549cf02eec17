"""Sets of files: by index, by number, from any part, with parts missing, and with names that lie."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.header_text import MOST_TENSORS
from tests.checkpoints.damage import refusal

NAMES = ["a.weight", "b.weight", "c.weight"]


def values_of(name: str) -> NDArray[np.float32]:
    return np.full((2, 3), ord(name[0]), np.float32)


def write(path: Path, names: list[str]) -> None:
    """Tensors of these names in a file of the kind that its suffix says."""
    if path.suffix == ".safetensors":
        save_file({name: values_of(name) for name in names}, path)
    else:
        torch.save({name: torch.from_numpy(values_of(name)) for name in names}, path)


def write_set(folder: Path, pattern: str, *, first: int = 1) -> list[str]:
    """Three files of one tensor each."""
    shards = [pattern.format(number + first) for number in range(3)]
    for shard, name in zip(shards, NAMES, strict=True):
        write(folder / shard, [name])
    return shards


def write_index(path: Path, weight_map: Mapping[str, str]) -> Path:
    path.write_text(json.dumps({"metadata": {"total_size": 72, "more": [{}]}, "weight_map": weight_map}))
    return path


def read(path: Path, *, partial: bool = False) -> tuple[list[str], str]:
    """The names of all tensors, their values checked, and the notes as one text."""
    with open_checkpoint(path, partial=partial) as source:
        for info in source.tensors:
            np.testing.assert_array_equal(source.read(info), values_of(info.name))
        return [info.name for info in source.tensors], "; ".join(source.notes)


INDEXES = {
    "safetensors": ("model-0000{}-of-00003.safetensors", "model.safetensors.index.json"),
    "diffusers": ("diffusion-0000{}-of-00003.safetensors", "diffusion_pytorch_model.safetensors.index.json"),
    "torch": ("pytorch_model-0000{}-of-00003.bin", "pytorch_model.bin.index.json"),
    "names without numbers": ("part{}x.safetensors", "model.safetensors.index.json"),
}


@pytest.mark.parametrize(("pattern", "index"), INDEXES.values(), ids=INDEXES.keys())
def test_folder_index_and_any_shard_open_the_whole_set(tmp_path: Path, pattern: str, index: str) -> None:
    shards = write_set(tmp_path, pattern)
    write_index(tmp_path / index, dict(zip(NAMES, shards, strict=True)))
    for place in (tmp_path, tmp_path / index):
        assert read(place) == (NAMES, "")
    for shard in shards:
        names, notes = read(tmp_path / shard)
        assert names == NAMES
        assert notes == f"{shard} is one of several shards; those that {index} names are read together"


NUMBERED = {
    "safetensors": ("model-0000{}-of-00003.safetensors", 1),
    "torch": ("pytorch_model-0000{}-of-00003.bin", 1),
    "torchtune": ("model_0000{}-of-00003.pt", 1),
    "from zero": ("model-0000{}-of-00003.safetensors", 0),
    "short numbers": ("w_{}_of_3.safetensors", 1),
}


@pytest.mark.parametrize(("pattern", "first"), NUMBERED.values(), ids=NUMBERED.keys())
def test_numbers_alone_make_a_set(tmp_path: Path, pattern: str, first: int) -> None:
    shards = write_set(tmp_path, pattern, first=first)
    assert read(tmp_path) == (NAMES, "")
    for shard in shards:
        assert read(tmp_path / shard) == (NAMES, f"{shard} is one of 3 shards; they are read together")


@pytest.mark.parametrize("indexed", [True, False], ids=["with an index", "by number"])
def test_a_missing_shard_is_named_or_noted(tmp_path: Path, *, indexed: bool) -> None:
    shards = write_set(tmp_path, "model-0000{}-of-00003.safetensors")
    if indexed:
        write_index(tmp_path / "model.safetensors.index.json", dict(zip(NAMES, shards, strict=True)))
    (tmp_path / shards[1]).unlink()
    said = "2 of 3 shards: model-00002-of-00003.safetensors is missing"
    for place in (tmp_path, tmp_path / shards[0]):
        with refusal(rf"{said}; download what is missing, or take what is here with --partial"):
            open_checkpoint(place)
        names, notes = read(place, partial=True)
        assert names == ["a.weight", "c.weight"]
        assert said in notes


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("model-00005-of-00003.safetensors", r"model-00005-of-00003.safetensors claims to be number 5 of 3"),
        ("model-00001-of-00000.safetensors", r"claims to be number 1 of 0"),
        ("model-0-of-0.safetensors", r"claims to be number 0 of 0"),
        ("m-1-of-1000000000.safetensors", r"1 of 1000000000 shards: m-2-of-1000000000.safetensors and 999999998 more"),
        ("m-999999999999-of-999999999999.safetensors", r"1 of 999999999999 shards: m-000000000001-of-"),
    ],
)
@pytest.mark.parametrize("partial", [True, False])
def test_numbers_that_lie_are_refused(tmp_path: Path, name: str, match: str, *, partial: bool) -> None:
    write(tmp_path / name, ["a.weight"])
    if "claims" not in match and partial:
        assert read(tmp_path, partial=True)[0] == ["a.weight"]
        return
    for place in (tmp_path, tmp_path / name):
        with refusal(match):
            open_checkpoint(place, partial=partial)


def test_numbers_with_more_digits_than_a_set_has_are_a_name(tmp_path: Path) -> None:
    name = f"m-{'1' * 40}-of-{'9' * 40}.safetensors"
    write(tmp_path / name, ["a.weight"])
    assert read(tmp_path / name) == (["a.weight"], "")


def test_a_tensor_that_its_shard_lacks_is_named_or_noted(tmp_path: Path) -> None:
    write(tmp_path / "m.safetensors", ["a.weight"])
    write_index(tmp_path / "model.safetensors.index.json", {"a.weight": "m.safetensors", "lm_head": "m.safetensors"})
    said = "tensor 'lm_head' is not in its shard 'm.safetensors', which the index names"
    with refusal(rf"{said}; download the shard or its index again"):
        open_checkpoint(tmp_path)
    assert read(tmp_path, partial=True) == (["a.weight"], f"{tmp_path.name}: {said}")


def test_a_tensor_in_two_shards_is_the_one_that_the_index_names(tmp_path: Path) -> None:
    write(tmp_path / "m1.safetensors", ["a.weight", "b.weight"])
    save_file({"a.weight": np.zeros((2, 3), np.float32), "c.weight": values_of("c")}, tmp_path / "m2.safetensors")
    shard_of = {"a.weight": "m1.safetensors", "b.weight": "m1.safetensors", "c.weight": "m2.safetensors"}
    write_index(tmp_path / "model.safetensors.index.json", shard_of)
    assert read(tmp_path) == (NAMES, "")


def test_a_set_whose_parts_hold_one_tensor_twice_is_refused(tmp_path: Path) -> None:
    for number in (1, 2):
        write(tmp_path / f"model-{number}-of-2.safetensors", ["a.weight"])
    with refusal(r"tensor 'a.weight' is in both model-1-of-2.safetensors and model-2-of-2.safetensors"):
        open_checkpoint(tmp_path)


BROKEN = {
    "a name twice": ('{"weight_map": {"a": "x", "a": "y"}}', r"the name 'a' occurs twice"),
    "the map twice": ('{"weight_map": {"a": "x"}, "weight_map": {}}', r"the name 'weight_map' occurs twice"),
    "cut short": ('{"weight_map": {"a": "x"', r"is not valid JSON"),
    "no json": ("\0\1", r"has no 'weight_map'"),
    "nothing but brackets": ('{"metadata": ' + "[" * 200_000, r"'metadata'.* is nested too deeply"),
    "metadata of brackets": ('{"metadata": [' + "[]," * 500_000 + "[]]}", r"'metadata'.* has more than 1048576"),
    "absurdly many": (
        '{"weight_map": {' + ",".join(f'"{number}":"x"' for number in range(MOST_TENSORS + 1)) + "}}",
        rf"has more than {MOST_TENSORS} members",
    ),
    "absurdly long": ('{"a": 1}' + " " * (1 << 25), r"has 33554440 bytes, an index has at most 33554432"),
    "a long name": (json.dumps({"weight_map": {"a": "../" + "x" * 5000}}), r"names the shard '../xxx"),
    "a null byte": (json.dumps({"weight_map": {"a": "x\0y"}}), r"0 of 1 shards"),
}


@pytest.mark.parametrize(("text", "match"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_indexes_are_refused(tmp_path: Path, text: str, match: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(text)
    for place in (tmp_path, tmp_path / "model.safetensors.index.json"):
        with refusal(match):
            open_checkpoint(place)


def test_a_damaged_index_does_not_stop_a_file_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "own.safetensors", ["a.weight"])
    (tmp_path / "model.safetensors.index.json").write_text("{")
    assert read(tmp_path / "own.safetensors") == (["a.weight"], "")


def test_slices_of_the_same_tensors_are_refused_and_one_alone_is_a_model(tmp_path: Path) -> None:
    write(tmp_path / "consolidated.00.pth", ["a.weight"])
    assert read(tmp_path)[0] == read(tmp_path / "consolidated.00.pth")[0] == ["a.weight"]
    write(tmp_path / "consolidated.01.pth", ["a.weight"])
    for place in (tmp_path, tmp_path / "consolidated.00.pth"):
        with refusal(r"consolidated.00.pth, consolidated.01.pth are tensor-parallel slices of the same tensors"):
            open_checkpoint(place)


def test_parts_of_packed_weights_in_two_shards_are_one_tensor(tmp_path: Path) -> None:
    codes = np.random.default_rng(0).integers(-(2**31), 2**31 - 1, (8, 64)).astype(np.int32)
    parts: dict[str, NDArray[Any]] = {
        "l.qweight": codes,
        "l.qzeros": np.full((1, 8), 0x77777777, np.int32),
        "l.scales": np.full((1, 64), 0.5, np.float16),
    }
    shard_of = {}
    for number, (name, part) in enumerate(parts.items(), 1):
        shard_of[name] = f"model-{number}-of-3.safetensors"
        save_file({name: part}, tmp_path / shard_of[name])
    (tmp_path / "config.json").write_text('{"quantization_config": {"quant_method": "gptq", "bits": 4}}')
    save_file(parts, tmp_path / "whole.safetensors")
    with open_checkpoint(tmp_path / "whole.safetensors") as whole:
        expected = whole.read(whole.tensors[0])
    (tmp_path / "whole.safetensors").unlink()
    write_index(tmp_path / "model.safetensors.index.json", shard_of)
    with open_checkpoint(tmp_path) as source:
        assert [(info.name, info.shape) for info in source.tensors] == [("l.weight", (64, 64))]
        np.testing.assert_array_equal(source.read(source.tensors[0]), expected)
