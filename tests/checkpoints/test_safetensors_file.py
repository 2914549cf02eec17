"""Safetensors: values against the format's own writers, headers that lie, shards."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import save, save_file
from safetensors.torch import save_file as save_torch_file

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.source import FLOAT_DTYPES
from tests.checkpoints.damage import damaged_copies, find, read_all, read_or_refuse, refusal

Arrays = dict[str, NDArray[np.float32]]
SMALL = save(
    {"w": np.arange(12, dtype=np.float32).reshape(3, 4), "h": np.ones(5, dtype=np.float16), "i": np.arange(3)},
    metadata={"format": "pt"},
)


def write_raw(path: Path, header: Any, data: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def entry(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_values_equal_the_writers_and_the_label_is_the_file_name(tmp_path: Path, weights: Arrays) -> None:
    path = tmp_path / "model.safetensors"
    save_file(weights, path)
    values = read_all(path)
    assert values.keys() == weights.keys()
    for name, array in weights.items():
        np.testing.assert_array_equal(values[name], array)
    with open_checkpoint(path) as source:
        assert source.name == "model.safetensors"
        assert source.size_bytes == path.stat().st_size
        assert source.digest == f"sha256:{sha256(path.read_bytes()).hexdigest()}"
        assert all(source.is_sliceable(info) for info in source.tensors)
        assert "apped" in source.memory_note


@pytest.mark.parametrize("dtype", [getattr(torch, name) for name in FLOAT_DTYPES if hasattr(torch, name)], ids=str)
def test_every_float_dtype_reads_as_torch_widens_it(tmp_path: Path, dtype: torch.dtype) -> None:
    codes = torch.arange(256, dtype=torch.uint8)
    tensor = (
        codes.view(dtype) if dtype.itemsize == 1 else torch.linspace(-70000, 70000, 256, dtype=torch.float64).to(dtype)
    )
    path = tmp_path / "model.safetensors"
    save_torch_file({"w": tensor}, path)
    np.testing.assert_array_equal(read_all(path)["w"], tensor.to(torch.float32).numpy())
    with open_checkpoint(path) as source:
        assert source.tensors[0].dtype == str(dtype).removeprefix("torch.")
        assert source.tensors[0].size_bytes == 256 * dtype.itemsize


@pytest.mark.parametrize(
    ("word", "dtype"), [("I8", "int8"), ("U64", "uint64"), ("BOOL", "bool"), ("C64", "complex64"), ("I32", "int32")]
)
def test_other_dtypes_are_listed_and_refused_when_read(tmp_path: Path, word: str, dtype: str) -> None:
    size = np.dtype(dtype).itemsize
    path = write_raw(tmp_path / "m.safetensors", {"w": entry(word, [2], 0, 2 * size)}, bytes(2 * size))
    with open_checkpoint(path) as source:
        (info,) = source.tensors
        assert (info.dtype, info.decodes, info.size_bytes) == (dtype, False, 2 * size)
        assert not source.is_sliceable(info)
        with refusal(f"m.safetensors: tensor 'w' holds {dtype}.*only floating-point"):
            source.read(info)


@pytest.mark.parametrize(
    ("word", "size_bytes", "dtype"),
    [("F4", 4, "float4_e2m1fn"), ("F6_E2M3", 6, "float6_e2m3fn"), ("X3", 5, "x3"), ("X\n\x1b", 5, r"x\n\x1b")],
)
def test_sub_byte_and_unknown_dtypes_are_listed_only(tmp_path: Path, word: str, size_bytes: int, dtype: str) -> None:
    path = write_raw(tmp_path / "m.safetensors", {"w": entry(word, [8], 0, size_bytes)}, bytes(size_bytes))
    with open_checkpoint(path) as source:
        assert [(info.dtype, info.decodes, info.size_bytes) for info in source.tensors] == [(dtype, False, size_bytes)]


def test_scalars_vectors_and_empty_tensors_are_listed_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_file(
        {
            "s": np.array(2.5, dtype=np.float32),
            "v": np.ones(3, dtype=np.float32),
            "e": np.empty((0, 4), dtype=np.float32),
        },
        path,
    )
    values = read_all(path)
    assert {name: array.shape for name, array in values.items()} == {"s": (), "v": (3,), "e": (0, 4)}
    assert values["s"] == 2.5


def test_threads_reading_at_once_see_the_same_values(tmp_path: Path) -> None:
    array = np.random.default_rng(1).standard_normal((64, 1000)).astype(np.float16)
    path = tmp_path / "m.safetensors"
    save_file({"w": array}, path)
    flat = array.astype(np.float32).reshape(-1)
    with open_checkpoint(path) as source, ThreadPoolExecutor(4) as pool:
        (info,) = source.tensors
        starts = [(7919 * step) % 63_000 for step in range(200)]
        for start, part in zip(
            starts, pool.map(lambda start: source.read_slice(info, start, start + 1000), starts), strict=True
        ):
            np.testing.assert_array_equal(part, flat[start : start + 1000])


def twice(member: bytes) -> bytes:
    """A file whose header holds the same member two times."""
    text = b"{" + member + b"," + member + b"}"
    return struct.pack("<Q", len(text)) + text


HEADERS = {
    "length beyond the file": (
        struct.pack("<Q", 1 << 62) + b"{}",
        r"header claims 4611686018427387904 bytes, it must have 2 to 2",
    ),
    "length of zero": (struct.pack("<Q", 0) + b"{}      ", r"header claims 0 bytes"),
    "shorter than a length": (b"\x02\0\0", r"header claims 0 bytes"),
    "not json": (struct.pack("<Q", 4) + b"{abc", r"not valid JSON"),
    "not utf-8": (struct.pack("<Q", 4) + b'{"\xff"', r"not valid JSON"),
    "a list": (struct.pack("<Q", 2) + b"[]", r"not a JSON object"),
    "nested beyond reason": (struct.pack("<Q", 200_000) + b'{"a":' + b"[" * 199_995, r"not valid JSON"),
    "a name twice": (twice(b'"w":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'), r"name 'w' occurs twice"),
}


@pytest.mark.parametrize(("content", "match"), HEADERS.values(), ids=HEADERS.keys())
def test_broken_headers_are_refused(tmp_path: Path, content: bytes, match: str) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with refusal(rf"bad.safetensors.*{match}.*download or save it again"):
        open_checkpoint(path)


LIES = {
    "shape too large": (
        {"w": entry("F32", [2, 3], 0, 20)},
        20,
        r"tensor 'w' has shape \[2, 3\] of F32, which is 24 bytes, but its data_offsets \[0, 20\] hold 20",
    ),
    "absurd shape": ({"w": entry("F32", [1 << 62, 1 << 62], 0, 4)}, 4, r"tensor 'w' has shape"),
    "half a byte": ({"w": entry("F4", [3], 0, 2)}, 2, r"is 1.5 bytes"),
    "negative size": (
        {"w": entry("F32", [-1], 0, 4)},
        4,
        r"tensor 'w' needs a dtype, a shape and two rising data_offsets",
    ),
    "size of true": ({"w": {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}}, 4, r"tensor 'w' needs"),
    "no shape": ({"w": {"dtype": "F32", "data_offsets": [0, 4]}}, 4, r"tensor 'w' needs"),
    "entry is a number": ({"w": 3}, 0, r"tensor 'w' needs"),
    "falling offsets": ({"w": entry("F32", [1], 4, 0)}, 4, r"tensor 'w' needs"),
    "three offsets": ({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 4]}}, 4, r"tensor 'w' needs"),
    "overlap": (
        {"w": entry("F32", [2], 0, 8), "v": entry("F32", [2], 4, 12)},
        12,
        r"tensor 'v' begin at 4 and overlap those before, which end at 8",
    ),
    "gap": (
        {"w": entry("F32", [1], 0, 4), "v": entry("F32", [1], 8, 12)},
        12,
        r"tensor 'v' begin at 8 and leave a gap",
    ),
    "behind the end": (
        {"w": entry("F32", [4], 0, 16)},
        12,
        r"last 'w'\) end at byte 16 of the data, the file holds 12",
    ),
    "trailing bytes": ({"w": entry("F32", [1], 0, 4)}, 9, r"end at byte 4 of the data, the file holds 9"),
    "unprintable name": ({"\ud800": entry("F32", [1], 0, 4)}, 4, r"name '\\ud800' is not valid Unicode"),
    "too many dimensions": (
        {"w": entry("F32", [1] * 65, 0, 4)},
        4,
        r"tensor 'w' claims the shape \(1, 1, 1, 1, \.\.\.\), which no array can have",
    ),
    "unknown dtype, absurd shape": ({"w": entry("X9", [1 << 62], 0, 4)}, 4, r"which no array can have"),
}


@pytest.mark.parametrize(("header", "data_bytes", "match"), LIES.values(), ids=LIES.keys())
def test_lying_entries_are_refused_by_name(tmp_path: Path, header: Any, data_bytes: int, match: str) -> None:
    path = write_raw(tmp_path / "bad.safetensors", header, bytes(data_bytes))
    with refusal(rf"bad.safetensors: .*{match}"):
        open_checkpoint(path)


def test_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    with refusal(r"holds no tensors; give a file with weights"):
        open_checkpoint(write_raw(tmp_path / "m.safetensors", {"__metadata__": {"a": "b"}}))


def test_a_file_that_changes_while_open_is_refused_at_the_next_read(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(SMALL)
    with open_checkpoint(path) as source:
        path.write_bytes(SMALL[:-20])
        with refusal(r"m.safetensors changed on disk since it was opened; open it again"):
            source.read(find(source, "w"))
        path.unlink()
        with refusal(r"does not exist"):
            source.read(find(source, "w"))


def test_a_closed_source_says_so(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(SMALL)
    with open_checkpoint(path) as source:
        info = find(source, "w")
    with refusal(r"m.safetensors was closed; open it again"):
        source.read(info)


def test_a_tensor_of_another_file_is_refused(tmp_path: Path, weights: Arrays) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(SMALL)
    save_file(weights, tmp_path / "other.safetensors")
    with open_checkpoint(tmp_path / "other.safetensors") as other:
        stranger = other.tensors[0]
    with open_checkpoint(path) as source, refusal(r"tensor 'blocks.0.bias' is not in the file; it holds 3 tensors"):
        source.read(stranger)


@pytest.fixture
def sharded(tmp_path: Path, weights: Arrays) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    shards = {name: f"model-0000{number}-of-00003.safetensors" for number, name in enumerate(weights, start=1)}
    for name, shard in shards.items():
        save_file({name: weights[name]}, folder / shard)
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": 1}, "weight_map": shards})
    )
    return folder


def test_an_index_and_its_folder_read_all_shards(
    sharded: Path, weights: Arrays, assert_reads: Callable[[Path, Arrays], None]
) -> None:
    index = sharded / "model.safetensors.index.json"
    assert_reads(index, weights)
    assert_reads(sharded, weights)
    with open_checkpoint(sharded) as folder, open_checkpoint(index) as source:
        assert (folder.name, source.name) == ("model", "model.safetensors.index.json")
        shards = sorted(sharded.glob("*.safetensors"))
        assert (
            source.digest
            == folder.digest
            == f"sha256:{sha256(b''.join(shard.read_bytes() for shard in shards)).hexdigest()}"
        )
        assert source.size_bytes == sum(shard.stat().st_size for shard in shards)


def test_a_folder_of_shards_without_an_index_reads_in_order_of_names(
    sharded: Path, weights: Arrays, assert_reads: Callable[[Path, Arrays], None]
) -> None:
    (sharded / "model.safetensors.index.json").unlink()
    assert_reads(sharded, weights)


def test_the_same_name_in_two_shards_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_file({"w": np.ones(3, dtype=np.float32)}, tmp_path / f"{name}.safetensors")
    with refusal(r"tensor 'w' is in both a.safetensors and b.safetensors"):
        open_checkpoint(tmp_path)


def test_two_indexes_in_a_folder_are_refused(sharded: Path) -> None:
    (sharded / "model.safetensors.index.json").rename(sharded / "own.safetensors.index.json")
    (sharded / "other.safetensors.index.json").write_text("{}")
    with refusal(r"holds 2 indexes \(other.safetensors.index.json, own.safetensors.index.json"):
        open_checkpoint(sharded)


INDEXES = {
    "missing shard": (
        {"w": "model-9.safetensors"},
        r"0 of 1 shards: model-9.safetensors is missing; download what is missing",
    ),
    "parent folder": (
        {"w": "../x.safetensors"},
        r"names the shard '../x.safetensors'; shards must lie in the folder of the index",
    ),
    "absolute path": ({"w": "/etc/x.safetensors"}, r"names the shard '/etc/x.safetensors'; shards must lie"),
    "other drive": ({"w": "C:\\x.safetensors"}, r"shards must lie"),
    "the folder itself": ({"w": ".."}, r"shards must lie"),
    "no name": ({"w": ""}, r"shards must lie"),
    "a hundred missing": (
        {f"w{number}": f"model-{number}.safetensors" for number in range(100)},
        r"0 of 100 shards: model-0.safetensors and 99 more are missing",
    ),
    "shard is a number": ({"w": 3}, r"no 'weight_map' from tensor names"),
    "shard is a list": ({"w": [["model-00001-of-00003.safetensors"]]}, r"no 'weight_map' from tensor names"),
    "empty map": ({}, r"no 'weight_map'"),
    "no map": (None, r"no 'weight_map'"),
    "tensor not in the shard": (
        {"nope": "model-00001-of-00003.safetensors"},
        r"tensor 'nope' is not in its shard 'model-00001-of-00003.safetensors'",
    ),
}


@pytest.mark.parametrize(("weight_map", "match"), INDEXES.values(), ids=INDEXES.keys())
def test_broken_indexes_are_refused(sharded: Path, weight_map: Any, match: str) -> None:
    (sharded / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with refusal(match):
        open_checkpoint(sharded)


def test_an_index_that_is_a_list_is_refused(sharded: Path) -> None:
    (sharded / "model.safetensors.index.json").write_text("[]")
    with refusal(r"no 'weight_map'"):
        open_checkpoint(sharded)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damaged_copies(SMALL))
def test_damaged_files_read_or_are_refused(tmp_path: Path, content: bytes) -> None:
    read_or_refuse(tmp_path / "fuzzed.safetensors", content)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.text(max_size=3),
        st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(["F32", "BF16", "F4", "I8", "?"]) | st.integers(),
                "shape": st.lists(st.integers(-1, 5) | st.integers(0, 2**70) | st.booleans(), max_size=4),
                "data_offsets": st.lists(st.integers(0, 40), min_size=1, max_size=3),
            }
        ),
        max_size=3,
    )
)
def test_headers_of_plausible_nonsense_read_or_are_refused(tmp_path: Path, header: dict[str, Any]) -> None:
    path = write_raw(tmp_path / "nonsense.safetensors", header, bytes(40))
    read_or_refuse(path, path.read_bytes())
