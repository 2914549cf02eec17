"""GGUF: values against the format's own writer and decoder, and headers that lie."""

from __future__ import annotations

import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize, quantize
from hypothesis import HealthCheck, given, settings

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.header_text import MOST_TENSORS
from tests.checkpoints.damage import damaged_copies, find, read_all, read_or_refuse, refusal

Kind = GGMLQuantizationType
PLAIN_FLOATS = {Kind.F32: "float32", Kind.F16: "float16", Kind.F64: "float64", Kind.BF16: "bfloat16"}
INTEGERS = {Kind.I8: "int8", Kind.I16: "int16", Kind.I32: "int32", Kind.I64: "int64"}
WITHOUT_DECODER = {kind for kind in Kind if kind.name in ("Q8_1", "Q8_K", "Q1_0")}
BLOCKS = sorted(set(Kind) - PLAIN_FLOATS.keys() - INTEGERS.keys() - WITHOUT_DECODER)


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def tensor(name: str, shape: tuple[int, ...], kind: int, offset: int) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def gguf(
    *tensors: bytes,
    fields: bytes = b"",
    field_count: int = 0,
    data: bytes = b"",
    count: int | None = None,
    version: int = 3,
) -> bytes:
    head = (
        b"GGUF"
        + struct.pack("<IQQ", version, len(tensors) if count is None else count, field_count)
        + fields
        + b"".join(tensors)
    )
    return head + bytes(-len(head) % 32) + data


FIELDS = (
    text("general.alignment")
    + struct.pack("<II", 4, 32)
    + text("names")
    + struct.pack("<IIQ", 9, 8, 2)
    + text("a")
    + text("bc")
)
SMALL = gguf(
    tensor("w", (4, 2), Kind.F32, 0),
    tensor("q", (32,), Kind.Q8_0, 32),
    fields=FIELDS,
    field_count=2,
    data=bytes(range(66)),
)


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_values_of_the_formats_writer_read_with_shapes_row_major(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    values = np.random.default_rng(3).standard_normal((6, 512)).astype(np.float32)
    writer = GGUFWriter(path, "llama")
    writer.add_token_list(["a", "bb", ""] * 50)
    writer.add_array("sizes", [1, 2, 3])
    writer.add_float32("scale", 0.5)
    writer.add_tensor("blk.0.f32", values)
    writer.add_tensor("blk.0.f16", values.astype(np.float16))
    writer.add_tensor("blk.0.f64", values.astype(np.float64))
    writer.add_tensor("blk.0.bf16", quantize(values, Kind.BF16), raw_dtype=Kind.BF16)
    writer.add_tensor("blk.0.q8_0", quantize(values, Kind.Q8_0), raw_dtype=Kind.Q8_0)
    writer.add_tensor("norm", values[0])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    read = read_all(path)
    assert [array.shape for array in read.values()] == [(6, 512)] * 5 + [(512,)]
    np.testing.assert_array_equal(read["blk.0.f32"], values)
    np.testing.assert_array_equal(read["blk.0.f16"], values.astype(np.float16).astype(np.float32))
    np.testing.assert_array_equal(read["blk.0.f64"], values)
    np.testing.assert_array_equal(read["blk.0.bf16"], dequantize(quantize(values, Kind.BF16), Kind.BF16))
    np.testing.assert_array_equal(read["blk.0.q8_0"], dequantize(quantize(values, Kind.Q8_0), Kind.Q8_0))
    with open_checkpoint(path) as source:
        assert [info.dtype for info in source.tensors] == [
            "float32",
            "float16",
            "float64",
            "bfloat16",
            "q8_0",
            "float32",
        ]
        assert "apped" in source.memory_note


@pytest.mark.parametrize("kind", BLOCKS, ids=lambda kind: kind.name.lower())
def test_every_block_type_decodes_as_its_package_does_and_in_parts(tmp_path: Path, kind: GGMLQuantizationType) -> None:
    length, size = GGML_QUANT_SIZES[kind]
    rows = 5
    blocks = np.random.default_rng(int(kind)).integers(0, 256, (rows, 3 * size), dtype=np.uint8)
    content = gguf(tensor("w", (3 * length, rows), kind, 0), data=blocks.tobytes())
    with np.errstate(all="ignore"):
        expected = dequantize(blocks, kind)
    with open_checkpoint(write(tmp_path / "m.gguf", content)) as source:
        (info,) = source.tensors
        assert (info.shape, info.dtype, info.size_bytes) == ((rows, 3 * length), kind.name.lower(), blocks.nbytes)
        assert source.is_sliceable(info)
        np.testing.assert_array_equal(source.read(info), expected)
        for start, stop in [
            (0, 1),
            (length - 1, length + 1),
            (length, 7 * length + 3),
            (rows * 3 * length - 1, rows * 3 * length),
            (5, 5),
        ]:
            np.testing.assert_array_equal(source.read_slice(info, start, stop), expected.reshape(-1)[start:stop])


def test_long_tensors_decode_the_same_in_pieces(tmp_path: Path) -> None:
    blocks = np.random.default_rng(5).integers(0, 60, (40, 300, 34), dtype=np.uint8)
    content = gguf(tensor("w", (300 * 32, 40), Kind.Q8_0, 0), data=blocks.tobytes())
    read = read_all(write(tmp_path / "m.gguf", content))["w"]
    np.testing.assert_array_equal(read, dequantize(blocks.reshape(40, -1), Kind.Q8_0))


@pytest.mark.parametrize("kind", sorted(INTEGERS), ids=lambda kind: kind.name.lower())
def test_integers_are_listed_only(tmp_path: Path, kind: GGMLQuantizationType) -> None:
    size = GGML_QUANT_SIZES[kind][1]
    with open_checkpoint(write(tmp_path / "m.gguf", gguf(tensor("i", (3,), kind, 0), data=bytes(3 * size)))) as source:
        assert [(info.dtype, info.decodes, info.size_bytes) for info in source.tensors] == [
            (INTEGERS[kind], False, 3 * size)
        ]


@pytest.mark.parametrize("kind", sorted(WITHOUT_DECODER), ids=lambda kind: kind.name.lower())
def test_blocks_that_the_package_can_not_decode_are_listed_only(tmp_path: Path, kind: GGMLQuantizationType) -> None:
    length, size = GGML_QUANT_SIZES[kind]
    with open_checkpoint(write(tmp_path / "m.gguf", gguf(tensor("w", (length,), kind, 0), data=bytes(size)))) as source:
        assert [(info.dtype, info.decodes) for info in source.tensors] == [(kind.name.lower(), False)]


def test_types_of_the_future_are_listed_only(tmp_path: Path) -> None:
    content = gguf(tensor("w", (4,), Kind.F32, 0), tensor("x", (4,), 999, 32), data=bytes(64))
    with open_checkpoint(write(tmp_path / "m.gguf", content)) as source:
        assert [(info.dtype, info.decodes) for info in source.tensors] == [("float32", True), ("ggml_type_999", False)]
        with refusal(r"m.gguf: tensor 'x' holds ggml_type_999"):
            source.read(find(source, "x"))


def test_version_two_alignment_nested_arrays_and_empty_tensors_read(tmp_path: Path) -> None:
    nested = (
        text("n")
        + struct.pack("<IIQ", 9, 9, 2)
        + struct.pack("<IQ3B", 0, 3, 1, 2, 3)
        + struct.pack("<IQ", 8, 1)
        + text("z")
    )
    aligned = text("general.alignment") + struct.pack("<II", 4, 1)
    head = (
        b"GGUF"
        + struct.pack("<IQQ", 2, 2, 2)
        + nested
        + aligned
        + tensor("w", (2,), Kind.F32, 0)
        + tensor("e", (0, 4), Kind.F32, 8)
    )
    read = read_all(write(tmp_path / "m.gguf", head + struct.pack("<2f", 1.5, -2.0)))
    np.testing.assert_array_equal(read["w"], [1.5, -2.0])
    assert read["e"].shape == (4, 0)


def test_threads_decoding_at_once_see_the_same_values(tmp_path: Path) -> None:
    values = np.random.default_rng(2).standard_normal((16, 2048)).astype(np.float32)
    blocks = quantize(values, Kind.Q4_0)
    path = write(tmp_path / "m.gguf", gguf(tensor("w", (2048, 16), Kind.Q4_0, 0), data=blocks.tobytes()))
    flat = dequantize(blocks, Kind.Q4_0).reshape(-1)
    with open_checkpoint(path) as source, ThreadPoolExecutor(4) as pool:
        starts = range(0, 32_000, 250)
        for start, part in zip(
            starts,
            pool.map(lambda start: source.read_slice(source.tensors[0], start, start + 500), starts),
            strict=True,
        ):
            np.testing.assert_array_equal(part, flat[start : start + 500])


HUGE = 1 << 62
W = tensor("w", (2,), Kind.F32, 0)
LIES = {
    "tensor count": (
        gguf(count=HUGE),
        r"the tensor count at byte 24 claims 4611686018427387904 entries of 24 or more bytes, \d+ bytes are left",
    ),
    "metadata count": (gguf(field_count=HUGE), r"the metadata count at byte 24 claims 4611686018427387904 entries"),
    "name length": (
        gguf(struct.pack("<Q", HUGE), data=bytes(64)),
        r"a tensor name at byte 32 claims 4611686018427387904 entries",
    ),
    "key length": (gguf(W, fields=struct.pack("<Q", HUGE), field_count=1), r"a metadata key at byte 32 claims"),
    "text length": (
        gguf(W, fields=text("k") + struct.pack("<IQ", 8, HUGE), field_count=1),
        r"metadata text at byte \d+ claims",
    ),
    "array of numbers": (
        gguf(W, fields=text("k") + struct.pack("<IIQ", 9, 10, HUGE), field_count=1),
        r"a metadata value at byte \d+ claims",
    ),
    "array of text": (
        gguf(W, fields=text("k") + struct.pack("<IIQ", 9, 8, HUGE), field_count=1),
        r"metadata text at byte \d+ claims",
    ),
    "array of arrays": (
        gguf(W, fields=text("k") + struct.pack("<IIQ", 9, 9, HUGE), field_count=1),
        r"a metadata array at byte \d+ claims",
    ),
    "arrays without end": (
        gguf(W, fields=text("k") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 60, field_count=1),
        r"has the unknown type 9",
    ),
    "metadata type": (
        gguf(W, fields=text("k") + struct.pack("<I", 77), field_count=1),
        r"metadata at byte \d+ has the unknown type 77",
    ),
    "alignment of zero": (
        gguf(W, fields=text("general.alignment") + struct.pack("<II", 4, 0), field_count=1),
        r"general.alignment is 0, it must be a power of two",
    ),
    "alignment of three": (
        gguf(W, fields=text("general.alignment") + struct.pack("<II", 4, 3), field_count=1),
        r"general.alignment is 3",
    ),
    "dimensions": (gguf(tensor("w", (1,) * 9, Kind.F32, 0)), r"tensor 'w' claims 9 dimensions, GGUF has at most 4"),
    "absurd size": (
        gguf(tensor("w", (HUGE, HUGE), Kind.F32, 0), data=bytes(8)),
        r"tensor 'w' claims bytes 0 to \d+ of the data, but tensors before it end at 0 and the file holds 8",
    ),
    "offset": (gguf(tensor("w", (2,), Kind.F32, HUGE), data=bytes(8)), r"tensor 'w' claims bytes 4611686018427387904"),
    "overlap": (
        gguf(W, tensor("v", (2,), Kind.F32, 4), data=bytes(32)),
        r"tensor 'v' claims bytes 4 to 12 of the data, but tensors before it end at 8",
    ),
    "row of half a block": (
        gguf(tensor("w", (33,), Kind.Q8_0, 0), data=bytes(99)),
        r"tensor 'w' has rows of 33 values, q8_0 needs a multiple of 32",
    ),
    "no data at all": (gguf(W)[:60], r"tensor 'w'.* claims"),
    "name not utf-8": (
        gguf(struct.pack("<Q", 2) + b"\xff\xfe", data=bytes(64)),
        r"a tensor name at byte 32 is not UTF-8 text",
    ),
    "version one": (gguf(W, version=1), r"GGUF version 0x1 is not read"),
    "big-endian": (
        b"GGUF" + struct.pack(">IQQ", 3, 0, 0),
        r"is a big-endian GGUF file, which is not read",
    ),
    "cut after the magic": (
        b"GGUF\x03\x00",
        r"the version at byte 4 claims 1 entries of 4 or more bytes, 2 bytes are left",
    ),
    "unknown type, absurd shape": (
        gguf(tensor("w", (HUGE, HUGE), 999, 0), data=bytes(8)),
        r"tensor 'w' claims the shape .* which no array can have",
    ),
}


@pytest.mark.parametrize(("content", "match"), LIES.values(), ids=LIES.keys())
def test_headers_that_lie_are_refused(tmp_path: Path, content: bytes, match: str) -> None:
    with refusal(rf"bad.gguf.*{match}"):
        open_checkpoint(write(tmp_path / "bad.gguf", content))


def text_field(key: str, value: str) -> bytes:
    return text(key) + struct.pack("<I", 8) + text(value)


def number_field(key: str, value: int, *, kind: int = 4, form: str = "I") -> bytes:
    return text(key) + struct.pack(f"<I{form}", kind, value)


def write_part(folder: Path, number: int, *names: str, count: int = 3, tensors: int = 2) -> Path:
    """One part of a split set, as llama.cpp writes them: the first has the metadata and may have no tensors."""
    values = np.ones(8, np.float32).tobytes()
    fields = number_field("split.no", number - 1, kind=2, form="H") + number_field(
        "split.count", count, kind=2, form="H"
    )
    fields += number_field("split.tensors.count", tensors, kind=5, form="i")
    infos = [tensor(name, (2, 4), Kind.F32, 32 * place) for place, name in enumerate(names)]
    content = gguf(*infos, fields=fields, field_count=3, data=values * len(names))
    return write(folder / f"m-{number:05}-of-{count:05}.gguf", content)


def test_any_part_opens_a_split_set(tmp_path: Path) -> None:
    parts = [write_part(tmp_path, 1), write_part(tmp_path, 2, "a"), write_part(tmp_path, 3, "b")]
    for place in (*parts, tmp_path):
        assert {name: array.shape for name, array in read_all(place).items()} == {"a": (4, 2), "b": (4, 2)}


def test_a_split_set_lacks_neither_parts_nor_tensors(tmp_path: Path) -> None:
    write_part(tmp_path, 1)
    write_part(tmp_path, 2, "a")
    with refusal(r"2 of 3 shards: m-00003-of-00003.gguf is missing"):
        open_checkpoint(tmp_path / "m-00001-of-00003.gguf")
    with open_checkpoint(tmp_path, partial=True) as source:
        assert [info.name for info in source.tensors] == ["a"]
        assert "2 of 3 shards: m-00003-of-00003.gguf is missing" in source.notes
    write_part(tmp_path, 3)
    with refusal(r"1 of 2 tensors, as split.tensors.count says; put the parts into one folder"):
        open_checkpoint(tmp_path)
    (tmp_path / "m-00002-of-00003.gguf").rename(tmp_path / "renamed.gguf")
    with refusal(r"renamed.gguf: 1 of 3 parts, as split.count says; put the parts into one folder under the names"):
        open_checkpoint(tmp_path / "renamed.gguf")
    with open_checkpoint(tmp_path / "renamed.gguf", partial=True) as source:
        assert "renamed.gguf: 1 of 3 parts, as split.count says" in source.notes


def test_statistics_are_no_model_and_parts_of_one_are_named(tmp_path: Path) -> None:
    def open_as(word: str, key: str = "general.type") -> tuple[str, ...]:
        path = write(tmp_path / "m.gguf", gguf(W, fields=text_field(key, word), field_count=1, data=bytes(8)))
        with open_checkpoint(path) as source:
            return source.notes

    with refusal(r"m.gguf is an importance matrix \(imatrix\): statistics, not weights"):
        open_as("imatrix")
    assert open_as("model") == ()
    assert "an adapter of a base model, as general.type says" in open_as("adapter")
    for word, key in (("mmproj", "general.type"), ("clip", "general.architecture")):
        assert "a multimodal projector (mmproj), not the language model" in open_as(word, key)


def test_blocks_state_their_layout_and_true_bits_and_experts_their_rows(tmp_path: Path) -> None:
    blocks = np.zeros((6, 34), np.uint8).tobytes()
    content = gguf(
        tensor("blk.0.ffn_up_exps.weight", (32, 3, 2), Kind.Q8_0, 0),
        tensor("blk.0.norm", (2,), Kind.F32, 224),
        data=blocks + bytes(20) + bytes(8),
    )
    with open_checkpoint(write(tmp_path / "m.gguf", content)) as source:
        experts, norm = source.tensors
        assert (experts.shape, experts.stored, experts.dtype) == ((2, 3, 32), "gguf:q8_0", "q8_0")
        assert experts.stored_bits == 8.5  # 34 bytes for 32 values
        assert experts.view.rows == (0, 1)
        assert norm.stored == ""


def test_more_tensors_than_any_model_has_are_refused_before_they_are_read(tmp_path: Path) -> None:
    one = tensor("t", (0,), Kind.F32, 0)
    content = b"GGUF" + struct.pack("<IQQ", 3, MOST_TENSORS + 1, 0) + one * (MOST_TENSORS + 1)
    with refusal(rf"m.gguf claims {MOST_TENSORS + 1} tensors, more than the {MOST_TENSORS} that are read"):
        open_checkpoint(write(tmp_path / "m.gguf", content))


def test_names_longer_than_a_window_of_the_header_read(tmp_path: Path) -> None:
    name = "n" * (3 << 20)
    content = gguf(tensor(name, (2,), Kind.F32, 0), tensor("w", (2,), Kind.F32, 32), data=bytes(40))
    with open_checkpoint(write(tmp_path / "m.gguf", content)) as source:
        assert [info.name for info in source.tensors] == [name, "w"]


def test_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    with refusal(r"holds no tensors"):
        open_checkpoint(write(tmp_path / "m.gguf", gguf()))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damaged_copies(SMALL))
def test_damaged_files_read_or_are_refused(tmp_path: Path, content: bytes) -> None:
    read_or_refuse(tmp_path / "fuzzed.gguf", content)
