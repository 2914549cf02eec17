"""Importance matrices: files of the gguf package and of the older format are read, ours are read by the gguf package."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter

from qanalysis.checkpoints.imatrix import Imatrix, Importance, read_imatrix, write_imatrix
from qanalysis.checkpoints.source import CheckpointError

SUMS = np.array([[2.0, 8.0, 0.0], [3.0, 3.0, 3.0]], np.float32)


def write_gguf(path: Path, tensors: dict[str, np.ndarray], kind: str = "imatrix") -> Path:
    """As llama-imatrix writes it, by the format's own package."""
    writer = GGUFWriter(path, "")
    writer.kv_data[0].clear()
    writer.add_type(kind)
    writer.add_array("imatrix.datasets", ["wiki.txt"])
    writer.add_uint32("imatrix.chunk_count", 7)
    writer.add_uint32("imatrix.chunk_size", 512)
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def pack_legacy(entries: dict[str, tuple[int, list[float]]], tail: bytes = b"") -> bytes:
    packed = struct.pack("<i", len(entries))
    for name, (calls, values) in entries.items():
        raw = name.encode()
        packed += struct.pack(f"<i{len(raw)}sii{len(values)}f", len(raw), raw, calls, len(values), *values)
    return packed + tail


@pytest.mark.parametrize("name", ["imatrix.gguf", "imatrix.dat"])
def test_a_file_of_the_gguf_package_holds_mean_squares(tmp_path: Path, name: str) -> None:
    path = write_gguf(
        tmp_path / name,
        {
            "blk.0.attn_q.weight.in_sum2": SUMS[:1],
            "blk.0.attn_q.weight.counts": np.array([[4.0]], np.float32),
            "blk.0.attn_q.weight.in_sum": SUMS[:1],
            "blk.0.attn_q.weight.in_max": SUMS[:1],
            "blk.0.ffn_up_exps.weight.in_sum2": SUMS,
            "blk.0.ffn_up_exps.weight.counts": np.array([[2.0], [0.0]], np.float32),
        },
    )
    found = read_imatrix(path)
    assert (found.name, found.chunks, found.chunk_size) == (name, 7, 512)
    assert list(found.entries) == ["blk.0.attn_q.weight", "blk.0.ffn_up_exps.weight"]
    query, experts = found.entries.values()
    assert query.squares.tolist() == [[0.5, 2.0, 0.0]]
    assert query.counts.tolist() == [4]
    assert experts.squares.tolist() == [[1.0, 4.0, 0.0], [0.0, 0.0, 0.0]]
    assert experts.counts.tolist() == [2, 0]  # no data for the second


def test_ours_is_read_by_the_gguf_package_and_by_us(tmp_path: Path) -> None:
    squares = np.random.default_rng(0).random((2, 5))
    path = tmp_path / "own.gguf"
    written = Imatrix({"blk.1.ffn_down_exps.weight": Importance(squares, np.array([3.0, 0.0]))}, chunks=4, chunk_size=9)
    write_imatrix(path, written, datasets=("letters.txt",))
    reader = GGUFReader(path)
    assert reader.fields["general.type"].contents() == "imatrix"
    assert "general.architecture" not in reader.fields
    assert reader.fields["imatrix.datasets"].contents() == ["letters.txt"]
    sums, counts = reader.tensors
    assert (sums.name, sums.shape.tolist()) == ("blk.1.ffn_down_exps.weight.in_sum2", [5, 2])
    assert (counts.name, counts.shape.tolist()) == ("blk.1.ffn_down_exps.weight.counts", [1, 2])
    found = read_imatrix(path)
    assert (found.chunks, found.chunk_size) == (4, 9)
    one = found.entries["blk.1.ffn_down_exps.weight"]
    np.testing.assert_allclose(one.squares[0], squares[0], rtol=2**-23)  # sums are float32
    assert one.counts.tolist() == [3, 0]


@pytest.mark.parametrize("tail", [b"", struct.pack("<ii", 7, 3) + b"txt"], ids=["bare", "with chunks and data set"])
@pytest.mark.parametrize("name", ["imatrix.dat", "imatrix.gguf"])
def test_the_older_format_holds_means_times_calls(tmp_path: Path, name: str, tail: bytes) -> None:
    path = tmp_path / name
    entries = {"blk.0.attn_q.weight": (4, [2.0, 8.0]), "blk.0.ffn_up_exps.weight": (0, [0.5, 2.0, 1.0, 1.0])}
    path.write_bytes(pack_legacy(entries, tail))
    found = read_imatrix(path)
    assert found.chunks == (7 if tail else 0)
    query, experts = found.entries.values()
    assert query.squares.tolist() == [[0.5, 2.0]]
    assert query.counts.tolist() == [4]
    assert experts.squares.tolist() == [[0.5, 2.0, 1.0, 1.0]]  # no calls: as they are
    rows = experts.split(2)
    assert rows.squares.tolist() == [[0.5, 2.0], [1.0, 1.0]]
    assert rows.counts.tolist() == [1, 0]  # ones stand for an expert without data
    assert query.split(2) is query
    with pytest.raises(ValueError, match=r"holds 4 features and the tensor's rows have 3"):
        experts.split(3)


def test_a_cut_file_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "cut"
    legacy = pack_legacy({"a": (1, [1.0, 2.0]), "b.weight": (2, [3.0])})
    whole = write_gguf(
        tmp_path / "whole.gguf", {"w.in_sum2": SUMS[:1], "w.counts": np.ones((1, 1), np.float32)}
    ).read_bytes()
    end = whole.rfind(np.float32(1).tobytes()) + 4
    for data, length in ((legacy, len(legacy)), (whole, end)):
        for stop in range(1, length):
            path.write_bytes(data[:stop])
            with pytest.raises(CheckpointError) as refused:
                read_imatrix(path)
            assert "\n" not in str(refused.value)
            assert len(str(refused.value)) < 400


ONE = np.ones((1, 1), np.float32)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        pytest.param({"w.in_sum2": SUMS}, r"'w' has sums without counts", id="no counts"),
        pytest.param({"w.in_sum2": SUMS, "w.counts": ONE}, r"'w' has 1 counts for 2 matrices", id="few counts"),
        pytest.param({"w.in_sum2": -SUMS[:1], "w.counts": ONE}, r"negative or not finite", id="negative"),
        pytest.param({"w.in_sum2": SUMS[:1], "w.counts": ONE * np.nan}, r"negative or not finite", id="NaN"),
        pytest.param({"w.weight": SUMS}, r"without sums", id="no sums"),
        pytest.param({"w.in_sum2": SUMS.astype(np.int32), "w.counts": ONE}, r"holds int32", id="integers"),
        pytest.param({"w.in_sum2": np.ones((1, 2, 3), np.float32)}, r"of shape '1x2x3'", id="three axes"),
    ],
)
def test_what_is_wrong_in_a_gguf_file_is_named(tmp_path: Path, tensors: dict, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_imatrix(write_gguf(tmp_path / "wrong.gguf", tensors))


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no importance matrix: its general.type is 'model'"):
        read_imatrix(write_gguf(tmp_path / "model.gguf", {"w.in_sum2": SUMS}, kind="model"))
    with pytest.raises(CheckpointError, match=r"missing"):
        read_imatrix(tmp_path / "missing")
    with pytest.raises(CheckpointError):
        read_imatrix(tmp_path)
    signalling = struct.pack("<I", 0x7F800001)
    (tmp_path / "nan").write_bytes(pack_legacy({"a": (1, [1.0])})[:-4] + signalling)
    with pytest.raises(CheckpointError, match=r"'a' holds sums or counts that are negative or not finite"):
        read_imatrix(tmp_path / "nan")
    rng = np.random.default_rng(1)
    for length in (1, 3, 4, 5, 40, 4000):
        (tmp_path / "noise").write_bytes(b"\x01\x00" + rng.bytes(length))
        with pytest.raises(CheckpointError, match=r"no importance matrix|damaged"):
            read_imatrix(tmp_path / "noise")
