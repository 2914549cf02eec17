"""What is a file, by its bytes? A word for each content, whatever the file is called.

Most formats begin with bytes of their own. A safetensors file begins with the length of its header, 8 bytes, and a
brace; a zip archive is told by the names of its members; an ONNX model has no signature, but its outermost fields of
protobuf fill the file exactly and one of them is a graph.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from qanalysis.checkpoints.archive import open_archive
from qanalysis.checkpoints.data_file import DataFile
from qanalysis.checkpoints.file_source import refuse_broken

#: Contents that are no checkpoints here: what each is, and what to do.
FOREIGN = {
    "hdf5": "an HDF5 file (Keras .h5), which is not read; save the weights as .safetensors or .npz",
    "zip": "a zip archive with neither torch's data.pkl nor .npy arrays in it; unpack it or save the weights again",
    "tar": "a tar archive (or a file of torch before 0.4), which is not read; unpack it, or save it again with torch",
    "compressed": "a compressed file, which is not read as it is; decompress it first",
    "ggml": "a GGML file from before GGUF, which is not read; convert the model to GGUF again",
    "tflite": "a TensorFlow Lite model, which is not read; save the weights as .onnx or .npz",
    "parquet": "a Parquet table, not a checkpoint; give the file that holds the weights",
    "pointer": "a Git LFS pointer that stands for the file; fetch the file itself with `git lfs pull`",
    "text": "text, not weights; give the file that holds them, or download it again",
}
_LEGACY_TORCH = bytes.fromhex("80028a0a6cfc9c46f920 6aa85019")
_SIGNATURES = {
    b"GGUF": "gguf",
    b"\x93NUMPY": "npy",
    b"\x89HDF": "hdf5",
    _LEGACY_TORCH: "torch pickle",
    b"\x1f\x8b": "compressed",
    b"\x28\xb5\x2f\xfd": "compressed",
    b"\xfd7zXZ": "compressed",
    b"7z\xbc\xaf\x27\x1c": "compressed",
    b"BZh": "compressed",
    b"PAR1": "parquet",
    b"version https://git-lfs": "pointer",
    b"lmgg": "ggml",
    b"fmgg": "ggml",
    b"tjgg": "ggml",
    b"algg": "ggml",
}
_HEAD = 512
_TAR, _TAR_AT = b"ustar", 257
_LAST_FIELD, _GRAPH = 26, 7  # of ONNX's ModelProto
_MOST_FIELDS = 10_000
_VARINT, _WIDE, _BYTES, _NARROW = 0, 1, 2, 5


def recognize(file: DataFile) -> str | None:
    """A key of `FOREIGN`, or "safetensors", "torch zip", "torch pickle", "pickle", "gguf", "npy", "npz", or None for
    bytes without a signature. Raises CheckpointError for a zip archive that is damaged.
    """
    head = file.read_header(0, _HEAD)
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _look_into_archive(file, head)
    signed = next((content for signature, content in _SIGNATURES.items() if head.startswith(signature)), None)
    return signed or next((content for content, fits in _FORMS.items() if fits(head)), None)


_FORMS: dict[str, Callable[[bytes], bool]] = {
    "safetensors": lambda head: head[8:9] == b"{" and head[4:8] == bytes(4),
    "tflite": lambda head: head[4:8] == b"TFL3",
    "tar": lambda head: head[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR,
    "pickle": lambda head: head[:1] == b"\x80" and head[1:2] in (b"\x01", b"\x02", b"\x03", b"\x04", b"\x05"),
    "text": lambda head: head[:1] in (b"{", b"<", b"[") or head[:7] == b"version",
}


def _look_into_archive(file: DataFile, head: bytes) -> str:
    length = struct.unpack("<H", head[26:28])[0] if len(head) >= 30 else 0
    first = _name_content(head[30 : 30 + length].decode("utf-8", "replace"))
    if first and head[:4] == b"PK\x03\x04":
        return first
    with refuse_broken(f"{file.name}, which begins as a zip archive,"):
        names = open_archive(file).namelist()
    found = {_name_content(name) for name in names}
    return next((content for content in ("torch zip", "npz") if content in found), "zip")


def _name_content(member: str) -> str:
    if member.rpartition("/")[2] in ("data.pkl", "constants.pkl"):  # the second of a TorchScript program
        return "torch zip"
    return "npz" if member.endswith(".npy") else ""


def is_onnx(file: DataFile) -> bool:
    """Whether the outermost fields of protobuf fill the file, are those of a model, and one of them is its graph."""
    at, graphs = 0, 0
    for _ in range(_MOST_FIELDS):
        if at == file.size:
            return graphs == 1
        head = file.read_header(at, 20)
        tag, used = _read_varint(head, 0)
        field, wire = tag >> 3, tag & 7
        value, after = _read_varint(head, used) if wire in (_VARINT, _BYTES) else (0, used)
        length = {_VARINT: after, _WIDE: used + 8, _BYTES: after + value, _NARROW: used + 4}.get(wire, 0)
        if not length or not used or not after or not 0 < field <= _LAST_FIELD or at + length > file.size:
            return False
        graphs += field == _GRAPH and wire == _BYTES
        at += length
    return False


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """A number and the place behind it; place 0 where it does not end within ten bytes."""
    value = 0
    for place, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    return 0, 0
