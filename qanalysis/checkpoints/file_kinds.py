"""Which kind of checkpoint is a file, by its suffix and by its first bytes?"""

from __future__ import annotations

from pathlib import Path

from qanalysis.checkpoints.mapped_file import read_head
from qanalysis.checkpoints.source import CheckpointError

INDEX_SUFFIX = ".safetensors.index.json"

SUFFIX_KINDS = {
    ".safetensors": "safetensors",
    ".pt": "torch",
    ".pth": "torch",
    ".bin": "torch",
    ".onnx": "onnx",
    ".gguf": "gguf",
    ".npz": "npz",
    ".npy": "npy",
}

_CONTENTS = {
    "safetensors": "a safetensors header",
    "zip": "a zip archive (.pt or .npz)",
    "pickle": "a Python pickle (.pth)",
    "gguf": "a GGUF header",
    "npy": "a .npy header",
    "hdf5": "an HDF5 file, which is not read",
    "text": "text",
}

# content that a kind may have; None stands for bytes without a signature, such as protobuf
_ALLOWED: dict[str, set[str | None]] = {
    "safetensors": {"safetensors", None},
    "torch": {"zip", "pickle", None},
    "onnx": {None},
    "gguf": {"gguf"},
    "npz": {"zip"},
    "npy": {"npy"},
}


def identify_file(path: Path) -> str:
    """The kind of a checkpoint file, a value of SUFFIX_KINDS or "index". Raises CheckpointError where suffix and
    content disagree.
    """
    if path.name.endswith(INDEX_SUFFIX):
        return "index"
    kind = SUFFIX_KINDS.get(path.suffix.lower())
    head = read_head(path, 9)
    if kind is None:
        raise CheckpointError(
            f"{path.name}: the suffix {path.suffix!r} is not known; checkpoints end in {', '.join(SUFFIX_KINDS)} "
            f"or {INDEX_SUFFIX}"
        )
    content = _recognize(head)
    if content not in _ALLOWED[kind]:
        found = _CONTENTS[content] if content else f"bytes that are no {kind} file ({head[:4].hex(' ')})"
        raise CheckpointError(
            f"{path.name} begins with {found}, which does not go with its suffix {path.suffix!r}; rename it or "
            "save it again"
        )
    return kind


def _recognize(head: bytes) -> str | None:
    signatures = {b"PK\x03\x04": "zip", b"PK\x05\x06": "zip", b"GGUF": "gguf", b"\x93NUMPY": "npy", b"\x89HDF": "hdf5"}
    for signature, content in signatures.items():
        if head.startswith(signature):
            return content
    if head[8:] == b"{":
        return "safetensors"
    if head[:1] == b"\x80" and head[1:2] in b"\x01\x02\x03\x04\x05":
        return "pickle"
    return "text" if head[:1] in b"{<[" or head[:7] == b"version" else None
