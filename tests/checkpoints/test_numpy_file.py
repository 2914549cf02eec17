"""Numpy files: mapped and compressed members, byte and axis order, Python objects, archives that lie."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from numpy.lib import format as npy_format
from numpy.typing import NDArray

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
def test_python_objects_are_refused(tmp_path: Path, *, compressed: bool) -> None:
    array = np.array([{}, 1], dtype=object)
    (np.savez_compressed if compressed else np.savez)(tmp_path / "m.npz", o=array)
    with refusal(r"m.npz: array 'o' holds Python objects, which may run code when read; save it with a number dtype"):
        open_checkpoint(tmp_path / "m.npz")
    np.save(tmp_path / "m.npy", array)
    with refusal(r"m.npy: array 'm' holds Python objects"):
        open_checkpoint(tmp_path / "m.npy")


HEADERS = {
    "more than the file": (
        npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (9, 9)}", bytes(8)),
        r"shape \(9, 9\) of float32, which is 324 bytes, the file holds 8",
    ),
    "absurd shape": (
        npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 8)}"),
        r"shape \(4611686018427387904, 8\)",
    ),
    "negative size": (npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 8)}"), r"shape \(-1, 8\)"),
    "not a header": (npy_header("os.getcwd()"), r"can not be read"),
    "nested": (npy_header("(" * 5000), r"can not be read"),
    "unknown dtype": (npy_header("{'descr': 'q9', 'fortran_order': False, 'shape': ()}"), r"can not be read"),
    "other version": (
        npy_header("", version=b"\x03\x00"),
        r"the .npy version \(3, 0\), only 1.0 and 2.0 hold plain arrays",
    ),
    "cut in the header": (npy_header("{'descr'")[:9], r"can not be read"),
}


@pytest.mark.parametrize(("content", "match"), HEADERS.values(), ids=HEADERS.keys())
def test_broken_arrays_are_refused(tmp_path: Path, content: bytes, match: str) -> None:
    (tmp_path / "m.npy").write_bytes(content)
    with refusal(rf"m.npy: array 'm'.* {match}"):
        open_checkpoint(tmp_path / "m.npy")


def test_header_version_two_reads(tmp_path: Path) -> None:
    with (tmp_path / "m.npy").open("wb") as file:
        npy_format.write_array(file, np.arange(6.0).reshape(2, 3), version=(2, 0))
    np.testing.assert_array_equal(read_all(tmp_path / "m.npy")["m"], np.arange(6, dtype=np.float32).reshape(2, 3))


def test_a_member_that_claims_more_than_it_can_inflate_to_is_refused(tmp_path: Path) -> None:
    content = bytearray(npz_bytes(compressed=True))
    entry = content.index(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = struct.pack("<I", 1 << 30)  # the size after inflating, in the directory
    (tmp_path / "m.npz").write_bytes(content)
    with refusal(r"m.npz: array 'w' claims 1073741824 bytes, more than its \d+ can inflate to"):
        open_checkpoint(tmp_path / "m.npz")


def test_a_member_shorter_than_its_array_is_refused(tmp_path: Path) -> None:
    text = npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (9, 9)}", bytes(8))
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(tmp_path / "m.npz", "w", method) as archive:
            archive.writestr("w.npy", text)
        with refusal(r"m.npz: array 'w' has shape \(9, 9\) of float32, which is 324 bytes, the file holds 8"):
            open_checkpoint(tmp_path / "m.npz")


def test_a_stored_member_behind_the_end_of_the_file_is_refused(tmp_path: Path) -> None:
    content = bytearray(npz_bytes(compressed=False))
    entry = content.index(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = struct.pack("<I", 1 << 20)
    (tmp_path / "m.npz").write_bytes(content)
    with refusal(r"m.npz: array 'w' ends at byte \d+, the file has \d+"):
        open_checkpoint(tmp_path / "m.npz")


def test_names_that_occur_twice_are_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, np.ones(2, dtype=np.float32))
    with zipfile.ZipFile(tmp_path / "m.npz", "w") as archive:
        archive.writestr("w.npy", stream.getvalue())
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("w.npy", stream.getvalue())
    with refusal(r"m.npz: the tensor name 'w' occurs twice"):
        open_checkpoint(tmp_path / "m.npz")


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
