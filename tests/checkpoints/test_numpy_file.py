"""Numpy files: mapped and compressed members, byte and axis order, Python objects, archives that lie."""

from __future__ import annotations

import io
import math
import re
import resource
import struct
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from qanalysis.checkpoints import numpy_file
from qanalysis.checkpoints.catalogue import open_checkpoint
from tests.checkpoints.damage import damaged_copies, find, read_all, read_or_refuse, refusal

Arrays = dict[str, NDArray[np.float32]]


def npz_bytes(*, compressed: bool) -> bytes:
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(
        stream, w=np.arange(12, dtype=np.float32).reshape(3, 4), h=np.ones(5, dtype=np.float16)
    )
    return stream.getvalue()


def save_arrays(path: Path, arrays: Mapping[str, Any], *, compressed: bool = False) -> None:
    (np.savez_compressed if compressed else np.savez)(path, **arrays)


def npy_header(text: str, data: bytes = b"", *, version: bytes = b"\x01\x00") -> bytes:
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text.encode() + data


def test_stored_members_are_mapped_and_equal(
    tmp_path: Path, weights: Arrays, assert_reads: Callable[[Path, Arrays], None]
) -> None:
    save_arrays(tmp_path / "m.npz", weights)
    assert_reads(tmp_path / "m.npz", weights)
    with open_checkpoint(tmp_path / "m.npz") as source:
        assert source.memory_note.startswith("Mapped")
        assert all(source.is_sliceable(info) for info in source.tensors)


def test_compressed_members_inflate_and_equal(
    tmp_path: Path, weights: Arrays, assert_reads: Callable[[Path, Arrays], None]
) -> None:
    save_arrays(tmp_path / "m.npz", weights, compressed=True)
    assert_reads(tmp_path / "m.npz", weights)
    with open_checkpoint(tmp_path / "m.npz") as source:
        assert "inflated whole" in source.memory_note
        assert not any(source.is_sliceable(info) for info in source.tensors)


@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<f4", ">f4", "<f2", ">f2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_reads_either_byte_and_axis_order(tmp_path: Path, dtype: str, order: str) -> None:
    array = np.linspace(-3, 3, 35).reshape(5, 7).astype(dtype)
    np.save(tmp_path / "w.npy", np.asarray(array, order="F" if order == "F" else "C"))
    np.testing.assert_array_equal(read_all(tmp_path / "w.npy")["w"], array.astype(np.float32))


def test_compressed_columns_read_in_rows(tmp_path: Path) -> None:
    array = np.asfortranarray(np.arange(35, dtype=np.float32).reshape(5, 7))
    np.savez_compressed(tmp_path / "m.npz", w=array)
    np.testing.assert_array_equal(read_all(tmp_path / "m.npz")["w"], array)


def test_other_dtypes_scalars_and_empty_arrays_are_listed(tmp_path: Path) -> None:
    arrays: dict[str, NDArray[Any]] = {
        "i": np.arange(3),
        "b": np.array([True]),
        "c": np.ones(2, dtype=complex),
        "s": np.array(2.5),
        "e": np.empty((0, 2)),
        "t": np.array(["text"]),
    }
    arrays["r"] = np.zeros(2, dtype=[("x", "<f4"), ("y", "<i2")])
    save_arrays(tmp_path / "m.npz", arrays)
    with open_checkpoint(tmp_path / "m.npz") as source:
        assert [(info.name, info.shape, info.dtype, info.decodes) for info in source.tensors] == [
            ("i", (3,), "int64", False),
            ("b", (1,), "bool", False),
            ("c", (2,), "complex128", False),
            ("s", (), "float64", True),
            ("e", (0, 2), "float64", True),
            ("t", (1,), "str128", False),
            ("r", (2,), "void48", False),
        ]
        assert source.read(find(source, "s")) == np.float32(2.5)
        assert source.read(find(source, "e")).shape == (0, 2)


def test_members_that_are_no_arrays_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "m.npz").write_bytes(npz_bytes(compressed=False))
    with zipfile.ZipFile(tmp_path / "m.npz", "a") as archive:
        archive.writestr("readme.txt", "text")
    assert list(read_all(tmp_path / "m.npz")) == ["w", "h"]


@pytest.mark.parametrize("compressed", [True, False], ids=["compressed", "stored"])
def test_python_objects_are_a_row_with_a_reason_beside_the_others(tmp_path: Path, *, compressed: bool) -> None:
    array = np.array([{}, 1], dtype=object)
    save_arrays(tmp_path / "m.npz", {"o": array, "w": np.ones((2, 3))}, compressed=compressed)
    with open_checkpoint(tmp_path / "m.npz") as source:
        objects, weights = source.tensors
        assert (objects.name, objects.decodes) == ("o", False)
        assert objects.reason == "Python objects, which may run code when read; save it with a number dtype"
        np.testing.assert_array_equal(source.read(weights), np.ones((2, 3)))
    np.save(tmp_path / "m.npy", array)
    with refusal(r"m.npy: array 'm': Python objects, which may run code"):
        open_checkpoint(tmp_path / "m.npy")


@pytest.mark.parametrize("compressed", [True, False], ids=["compressed", "stored"])
def test_types_that_numpy_wrote_without_their_name(tmp_path: Path, *, compressed: bool) -> None:
    values = np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)
    arrays = {
        name: values.astype(getattr(ml_dtypes, name)) for name in ("bfloat16", "float8_e5m2", "float8_e4m3fn", "int4")
    }
    save_arrays(tmp_path / "m.npz", {**arrays, "w": values}, compressed=compressed)
    with open_checkpoint(tmp_path / "m.npz") as source:
        found = {info.name: info for info in source.tensors}
        assert [info.decodes for info in found.values()] == [True, True, False, False, True]
        for name in ("bfloat16", "float8_e5m2"):
            assert found[name].dtype == name
            assert f"is read as {name}" in found[name].note
            np.testing.assert_array_equal(source.read(found[name]), arrays[name].astype(np.float32))
        for name in ("float8_e4m3fn", "int4"):
            assert found[name].reason == "one-byte type of unknown kind (float8 or int4): numpy kept no name"
        np.testing.assert_array_equal(source.read(found["w"]), values)


def npz_with(path: Path, content: bytes, *, method: int = zipfile.ZIP_STORED) -> Path:
    """One member of these bytes, and a sound array w beside it."""
    stream = io.BytesIO()
    np.save(stream, np.ones((2, 3), np.float32))
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("odd.npy", content)
        archive.writestr("w.npy", stream.getvalue())
    return path


def assert_odd_member(path: Path, reason: str) -> None:
    """The member named odd is a row with that reason, w is read."""
    with open_checkpoint(path) as source:
        odd, weights = source.tensors
        assert (odd.name, odd.decodes) == ("odd", False)
        assert re.search(reason, odd.reason), odd.reason
        assert len(odd.reason) < 300
        with refusal("odd"):
            source.read(odd)
        np.testing.assert_array_equal(source.read(weights), np.ones((2, 3)))


HEADERS = {
    "more than the file": (
        npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (9, 9)}", bytes(8)),
        r"shape \(9, 9\) of float32 is 324 bytes, the file holds 8",
    ),
    "absurd shape": (
        npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 8)}"),
        r"shape \(4611686018427387904, 8\)",
    ),
    "negative size": (npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 8)}"), r"shape \(-1, 8\)"),
    "not a header": (npy_header("os.getcwd()"), r"can not be read"),
    "nested": (npy_header("(" * 5000), r"its header is no dictionary"),
    "a sum in it": (
        npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (2**9,)}"),
        r"its header is no dictionary as Python writes one;",
    ),
    "unknown dtype": (
        npy_header("{'descr': 'q9', 'fortran_order': False, 'shape': ()}"),
        r"numpy does not know the type 'q9'",
    ),
    "other version": (npy_header("{}  ", version=b"\x04\x00"), r".npy version \(4, 0\) is not known"),
    "cut in the header": (npy_header("{'descr'")[:9], r"does not begin as a .npy array"),
    "header longer than the file": (npy_header("{}  ")[:10] + b"{}", r"its header claims 4 bytes, there are 2"),
    "keys of another kind": (npy_header("{'descr': '<f4'}"), r"its header is none of descr, fortran_order, shape"),
    "shape of text": (
        npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': 'ab'}"),
        r"its header has the shape ab and the order False",
    ),
}


@pytest.mark.parametrize(("content", "match"), HEADERS.values(), ids=HEADERS.keys())
def test_broken_arrays_are_refused(tmp_path: Path, content: bytes, match: str) -> None:
    (tmp_path / "m.npy").write_bytes(content)
    with refusal(rf"m.npy: array 'm'.* {match}"):
        open_checkpoint(tmp_path / "m.npy")
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        assert_odd_member(npz_with(tmp_path / "m.npz", content, method=method), match)


def test_header_version_two_reads(tmp_path: Path) -> None:
    with (tmp_path / "m.npy").open("wb") as file:
        npy_format.write_array(file, np.arange(6.0).reshape(2, 3), version=(2, 0))
    np.testing.assert_array_equal(read_all(tmp_path / "m.npy")["m"], np.arange(6, dtype=np.float32).reshape(2, 3))


@pytest.mark.parametrize("size", [30, 100_000], ids=["small", "large"])
def test_a_member_that_claims_more_than_it_holds_is_found(tmp_path: Path, size: int) -> None:
    np.savez_compressed(tmp_path / "m.npz", w=np.arange(size, dtype=np.float32), h=np.ones(5))
    content = bytearray((tmp_path / "m.npz").read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = struct.pack("<I", 1 << 20)  # the size after inflating, in the directory
    (tmp_path / "m.npz").write_bytes(content)
    said = rf"it holds {128 + 4 * size} bytes where the archive says 1048576 bytes"
    with open_checkpoint(tmp_path / "m.npz") as source:
        info = find(source, "w")
        assert info.decodes == (size > 30)  # what fits into the look at the header is known then
        if info.decodes:
            with refusal(rf"m.npz: tensor 'w' can not be read: {said}"):
                source.read(info)
        else:
            assert said in info.reason
        assert source.read(find(source, "h")).tolist() == [1.0] * 5


def test_a_stored_member_behind_the_end_of_the_file_is_a_row(tmp_path: Path) -> None:
    content = bytearray(npz_bytes(compressed=False))
    entry = content.index(b"PK\x01\x02")
    content[entry + 20 : entry + 28] = struct.pack("<II", 1 << 20, 1 << 20)
    (tmp_path / "m.npz").write_bytes(content)
    with open_checkpoint(tmp_path / "m.npz") as source:
        assert re.search(r"it ends at byte \d+, the file has \d+", find(source, "w").reason)
        assert source.read(find(source, "h")).tolist() == [1.0] * 5


METHODS = {"deflate": zipfile.ZIP_DEFLATED, "bzip2": zipfile.ZIP_BZIP2, "lzma": zipfile.ZIP_LZMA}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
def test_every_compression_reads_the_same(tmp_path: Path, method: int) -> None:
    array = np.random.default_rng(4).integers(-9, 9, (300, 1000)).astype(np.float32)
    stream = io.BytesIO()
    np.save(stream, array)
    with zipfile.ZipFile(tmp_path / "m.npz", "w", method) as archive:
        archive.writestr("w.npy", stream.getvalue())
    np.testing.assert_array_equal(read_all(tmp_path / "m.npz")["w"], array)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
def test_a_bomb_is_a_row_and_takes_no_memory(tmp_path: Path, method: int) -> None:
    head = npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (400, 1000000)}".ljust(118) + "\n")
    path = npz_with(tmp_path / "m.npz", head + bytes(1 << 25), method=method)
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = struct.pack("<I", len(head) + 1_600_000_000)
    path.write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert_odd_member(
        path, r"16000001\d\d bytes when inflated, more than the 268435456 that are.*QANALYSIS_INFLATE_LIMIT"
    )
    # KiB: the header, a piece of 1 MiB and the compressed block; bzip2 and LZMA hold a few MiB of their own
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


def test_the_limit_can_be_set_and_counts_values_as_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "m.npz", w=np.ones((700, 500), np.float16))  # 0.7 MB, 1.4 MB as float32
    monkeypatch.setenv("QANALYSIS_INFLATE_LIMIT_MIB", "1")
    with open_checkpoint(tmp_path / "m.npz") as source:
        assert "1400000 bytes when inflated, more than the 1048576 that are" in source.tensors[0].reason
    monkeypatch.setenv("QANALYSIS_INFLATE_LIMIT_MIB", "2")
    assert read_all(tmp_path / "m.npz")["w"].shape == (700, 500)


@pytest.mark.parametrize(("method", "word"), [(9, "deflate64"), (93, "zstd"), (77, "unknown")])
def test_other_compressions_are_named(tmp_path: Path, method: int, word: str) -> None:
    path = npz_with(tmp_path / "m.npz", npy_header("{}"))
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[entry + 10 : entry + 12] = struct.pack("<H", method)
    path.write_bytes(content)
    assert_odd_member(path, rf"compression method {method} \({word}\) is not read")


def test_names_that_occur_twice_are_told_apart(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.npz", "w") as archive:
        for value in (1, 2):
            stream = io.BytesIO()
            np.save(stream, np.full(2, value, np.float32))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # zipfile warns of the second name
                archive.writestr("w.npy", stream.getvalue())
    values = read_all(tmp_path / "m.npz")
    assert {name: array.tolist() for name, array in values.items()} == {"w": [1, 1], "w (2)": [2, 2]}


@pytest.mark.parametrize("compressed", [True, False], ids=["compressed", "stored"])
def test_truncated_archives_are_refused(tmp_path: Path, *, compressed: bool) -> None:
    (tmp_path / "m.npz").write_bytes(npz_bytes(compressed=compressed)[:-30])
    with refusal(r"m.npz can not be read: File is not a zip file; the file is damaged or was cut short"):
        open_checkpoint(tmp_path / "m.npz")


def test_damage_inside_a_compressed_member_is_found_by_its_checksum(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "m.npz", w=np.random.default_rng(0).standard_normal(100_000))
    content = bytearray((tmp_path / "m.npz").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "m.npz").write_bytes(content)
    with (
        open_checkpoint(tmp_path / "m.npz") as source,
        refusal(r"m.npz: tensor 'w' can not be read: .*; the file is damaged"),
    ):
        source.read(source.tensors[0])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damaged_copies(npz_bytes(compressed=False)) | damaged_copies(npz_bytes(compressed=True)))
def test_damaged_archives_read_or_are_refused(tmp_path: Path, content: bytes) -> None:
    read_or_refuse(tmp_path / "fuzzed.npz", content)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damaged_copies(npy_header("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3)}", bytes(24))))
def test_damaged_arrays_read_or_are_refused(tmp_path: Path, content: bytes) -> None:
    read_or_refuse(tmp_path / "fuzzed.npy", content)


@pytest.mark.parametrize("shape", [(7, 5), (6, 4, 3), (1, 9), (9, 1), (2, 3, 2, 5)])
def test_a_large_column_major_array_is_read_in_bands(
    tmp_path: Path, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numpy_file, "_BAND_VALUES", 8)
    x = np.arange(math.prod(shape), dtype=np.float32).reshape(shape)
    np.save(tmp_path / "f.npy", np.asfortranarray(x))
    with open_checkpoint(tmp_path / "f.npy") as source:
        (info,) = source.tensors
        assert source.read(info).tolist() == x.tolist()
        for start in range(x.size):
            for stop in range(start, x.size + 1):
                assert source.read_slice(info, start, stop).tolist() == x.reshape(-1)[start:stop].tolist()
