"""Which kinds of checkpoint are there, and how is one opened? A kind is one line of `KINDS`: its suffixes, the bytes it
may begin with, and its reader, which is imported only when a file needs it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from qanalysis.checkpoints.data_file import DataFile, Folder
from qanalysis.checkpoints.entries import Content
from qanalysis.checkpoints.evidence import gather_evidence
from qanalysis.checkpoints.file_source import FileSource
from qanalysis.checkpoints.interpretation import interpret
from qanalysis.checkpoints.mapped_file import LocalFolder, read_head
from qanalysis.checkpoints.shards import INDEX_SUFFIX, find_shards, join
from qanalysis.checkpoints.source import SAMPLE_PREFIX, ArraySource, CheckpointError, TensorSource

#: Bytes of a file that tell what it is.
_HEAD = 9


@dataclass(frozen=True, slots=True)
class FileKind:
    """A kind of checkpoint file: `suffixes` in lower case, the `contents` it may have (keys of `_CONTENTS`, None for
    bytes without a signature, such as protobuf), and its `reader`, "file.function" of this folder.
    """

    name: str
    suffixes: tuple[str, ...]
    contents: tuple[str | None, ...]
    reader: str

    def read(self, file: DataFile, folder: Folder) -> Content:
        """The tensors of a file. Raises CheckpointError for a damaged one."""
        module, function = self.reader.rsplit(".", 1)
        read: Callable[..., Content] = getattr(import_module(f"qanalysis.checkpoints.{module}"), function)
        return read(file, folder)


KINDS = (
    FileKind("safetensors", (".safetensors",), ("safetensors", None), "safetensors_file.read_safetensors"),
    FileKind("torch", (".pt", ".pth", ".bin"), ("zip", "pickle", None), "torch_file.read_torch"),
    FileKind("onnx", (".onnx",), (None,), "graphs.reader.read_onnx"),
    FileKind("gguf", (".gguf",), ("gguf",), "gguf_file.read_gguf"),
    FileKind("npz", (".npz",), ("zip",), "numpy_file.read_npz"),
    FileKind("npy", (".npy",), ("npy",), "numpy_file.read_npy"),
)
#: The kind of each suffix, that of an index apart, which ends in two of them.
SUFFIX_KINDS = {suffix: kind for kind in KINDS for suffix in kind.suffixes}

_CONTENTS = {
    "safetensors": "a safetensors header",
    "zip": "a zip archive (.pt or .npz)",
    "pickle": "a Python pickle (.pth)",
    "gguf": "a GGUF header",
    "npy": "a .npy header",
    "hdf5": "an HDF5 file, which is not read",
    "text": "text",
}


def open_checkpoint(
    source: str | os.PathLike[str] | Mapping[str, NDArray[Any]],
    *,
    root: Path | None = None,
    partial: bool = False,
    remote: bool = True,
) -> TensorSource:
    """Open a checkpoint, reading its header only.

    `source` is a .safetensors, .pt, .pth, .bin, .onnx, .gguf, .npz or .npy file, a `*.safetensors.index.json`, a folder
    with an index or with .safetensors files, "sample:NAME", or a mapping of names to arrays. With `root`, no file
    outside that folder is opened; `partial` takes a set of shards of which some are missing; without `remote` no
    address is opened. Raises CheckpointError for what can not be opened and for files without a single tensor; the text
    names the path, the rule and the way out.

    >>> import numpy as np
    >>> with open_checkpoint({"w": np.ones((2, 3), dtype=np.float32)}) as source:
    ...     source.tensors[0].shape
    (2, 3)
    """
    if isinstance(source, Mapping):
        return ArraySource(source)
    text = os.fspath(source)
    if not text:
        raise CheckpointError("the path is empty; give a checkpoint file, a folder of shards, or sample:NAME")
    is_sample = text.startswith(SAMPLE_PREFIX)
    path = locate_sample(text) if is_sample else Path(text)
    opened = _open_path(path, root=None if is_sample else root, name=text if is_sample else "")
    if not opened.tensors:
        opened.close()
        raise CheckpointError(f"{text!r} holds no tensors; give a file with weights in it")
    return opened


def locate_sample(text: str) -> Path:
    """The weights behind "sample:NAME"; CheckpointError lists the samples where there is none of that name."""
    import sample_models  # the samples are data beside the package

    name = text.removeprefix(SAMPLE_PREFIX)
    if name not in sample_models.SAMPLES:
        raise CheckpointError(f"there is no sample {name!r}; the samples are {', '.join(sample_models.SAMPLES)}")
    return sample_models.weights_path(name)


def _open_path(path: Path, *, root: Path | None, name: str) -> TensorSource:
    try:
        is_folder = path.is_dir()
    except OSError as error:
        raise CheckpointError(
            f"{str(path)[:200]!r} can not be opened: {error.strerror}; check the path and its permissions"
        ) from None
    folder = LocalFolder(path if is_folder else path.parent, root=root)
    names = find_shards(folder, None if is_folder else path.name)
    kinds = [identify_file(folder.path / shard) for shard in names]
    contents = [kind.read(folder.open(shard), folder) for kind, shard in zip(kinds, names, strict=True)]
    shown = name or (folder.name if is_folder else path.name)
    joined = join(contents, shown)
    entries = interpret(joined.entries, gather_evidence(folder, joined.metadata))
    return FileSource(shown, entries, files=joined.files, memory_note=joined.memory_note, notes=joined.notes)


def identify_file(path: Path) -> FileKind:
    """The kind of a checkpoint file, by its suffix. Raises CheckpointError where suffix and content disagree."""
    kind = SUFFIX_KINDS.get(path.suffix.lower())
    head = read_head(path, _HEAD)
    if kind is None:
        raise CheckpointError(
            f"{path.name}: the suffix {path.suffix!r} is not known; checkpoints end in {', '.join(SUFFIX_KINDS)} "
            f"or {INDEX_SUFFIX}"
        )
    content = _recognize(head)
    if content not in kind.contents:
        found = _CONTENTS[content] if content else f"bytes that are no {kind.name} file ({head[:4].hex(' ')})"
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
