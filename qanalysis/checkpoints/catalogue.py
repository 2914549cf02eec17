"""Which kinds of checkpoint are there, and how is one opened? A kind is one line of `KINDS`: its suffixes, the contents
it is told by, and its reader, which is imported only when a file needs it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path, PurePath
from typing import Any

from numpy.typing import NDArray

from qanalysis.checkpoints.data_file import DataFile, Folder
from qanalysis.checkpoints.entries import Content
from qanalysis.checkpoints.evidence import gather_evidence
from qanalysis.checkpoints.facts import read_facts
from qanalysis.checkpoints.file_source import FileSource
from qanalysis.checkpoints.folder_choice import INDEX_SUFFIXES
from qanalysis.checkpoints.interpretation import interpret
from qanalysis.checkpoints.mapped_file import LocalFolder
from qanalysis.checkpoints.natures import name_nature
from qanalysis.checkpoints.remote.addresses import is_address, show
from qanalysis.checkpoints.shard_contents import join
from qanalysis.checkpoints.shards import find_files
from qanalysis.checkpoints.signatures import FOREIGN, is_onnx, recognize
from qanalysis.checkpoints.source import SAMPLE_PREFIX, ArraySource, CheckpointError, TensorSource
from qanalysis.notation import shorten


@dataclass(frozen=True, slots=True)
class FileKind:
    """A kind of checkpoint file: `suffixes` in lower case, the `contents` that make a file one whatever its suffix
    (words of `signatures.recognize`), and its `reader`, "file.function" of this folder. `bare` files are also told by
    their suffix, where their bytes have no signature.
    """

    name: str
    suffixes: tuple[str, ...]
    contents: tuple[str, ...]
    reader: str
    bare: bool = False

    def read(self, file: DataFile, folder: Folder) -> Content:
        """The tensors of a file. Raises CheckpointError for a damaged one."""
        module, function = self.reader.rsplit(".", 1)
        read: Callable[..., Content] = getattr(import_module(f"qanalysis.checkpoints.{module}"), function)
        return read(file, folder)


_TORCH_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".tar")
KINDS = (
    FileKind("safetensors", (".safetensors",), ("safetensors",), "safetensors_file.read_safetensors", bare=True),
    FileKind("torch", _TORCH_SUFFIXES, ("torch zip", "torch pickle", "pickle"), "torch_file.read_torch"),
    FileKind("ONNX", (".onnx",), (), "graphs.reader.read_onnx", bare=True),
    FileKind("GGUF", (".gguf",), ("gguf",), "gguf_file.read_gguf"),
    FileKind("npz", (".npz",), ("npz",), "numpy_file.read_npz"),
    FileKind("npy", (".npy",), ("npy",), "numpy_file.read_npy"),
)
#: The kind that a suffix says, that of an index apart, which ends in two of them; what a file holds goes before it.
SUFFIX_KINDS = {suffix: kind for kind in KINDS for suffix in kind.suffixes}
_CONTENT_KINDS = {content: kind for kind in KINDS for content in kind.contents}
_ONNX = SUFFIX_KINDS[".onnx"]


def open_checkpoint(
    source: str | os.PathLike[str] | Mapping[str, NDArray[Any]],
    *,
    root: Path | None = None,
    partial: bool = False,
    remote: bool = True,
) -> TensorSource:
    """Open a checkpoint, reading its header only.

    `source` is a file of safetensors, torch, ONNX, GGUF or numpy, told by its content; an index of shards or any shard,
    which stand for all of them; a folder with one model; "sample:NAME"; an address, hf://owner/repo[@revision][/file]
    or https://...; or a mapping of names to arrays. With `root`, no file outside that folder is opened; `partial` takes
    a set of shards of which some are missing; without `remote` no address is opened. Raises CheckpointError for what
    can not be opened and for files without a single tensor; the text names the path, the rule and the way out.

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
    if is_address(text):
        if not remote:
            raise CheckpointError(
                f"{show(text)}: addresses are not opened here; download the file, or start the app with --remote"
            )
        return open_address(text, partial=partial)
    is_sample = text.startswith(SAMPLE_PREFIX)
    path = locate_sample(text) if is_sample else Path(text)
    opened = _open_path(path, root=None if is_sample else root, name=text if is_sample else "", partial=partial)
    return _refuse_empty(opened, text)


def _refuse_empty(opened: TensorSource, text: str) -> TensorSource:
    if not opened.tensors:
        opened.close()
        raise CheckpointError(f"{shorten(text, 160)!r} holds no tensors; give a file with weights in it")
    return opened


def open_address(text: str, *, partial: bool = False, public_only: bool = False) -> TensorSource:
    """Open what lies behind an hf://, https:// or http:// address, reading its header by byte ranges.

    With `public_only` no machine of a private network is reached, but that of HF_ENDPOINT. Raises CheckpointError.
    """
    from qanalysis.checkpoints.remote.opening import find_place  # brings ssl and http along
    from qanalysis.checkpoints.remote.remote_file import MEMORY_NOTE

    place = find_place(text, public_only=public_only)
    try:
        opened = open_in(place.folder, place.name, shown=place.shown, partial=partial)
    except BaseException:
        place.close()
        raise
    opened.memory_note, opened.notes = MEMORY_NOTE, place.notes + opened.notes
    return _refuse_empty(opened, place.shown)


def locate_sample(text: str) -> Path:
    """The weights behind "sample:NAME"; CheckpointError lists the samples where there is none of that name."""
    import sample_models  # the samples are data beside the package

    name = text.removeprefix(SAMPLE_PREFIX)
    if name not in sample_models.SAMPLES:
        raise CheckpointError(
            f"there is no sample {shorten(name, 80)!r}; the samples are {', '.join(sample_models.SAMPLES)}"
        )
    return sample_models.weights_path(name)


def _open_path(path: Path, *, root: Path | None, name: str, partial: bool) -> TensorSource:
    try:
        is_folder = path.is_dir()
    except (OSError, ValueError):  # the opener says why
        is_folder = False
    folder = LocalFolder(path if is_folder else path.parent, root=root)
    shown = name or (folder.name if is_folder else path.name)
    return open_in(folder, None if is_folder else path.name, shown=shown, partial=partial)


def open_in(folder: Folder, name: str | None, *, shown: str, partial: bool = False) -> TensorSource:
    """The model that a file of a folder stands for, or with None the folder itself; `shown` is what people call it.

    Raises CheckpointError as `open_checkpoint` does.
    """
    files = find_files(folder, name, partial=partial)
    contents: list[Content] = []
    try:
        contents.extend(_read_file(folder, one) for one in files.names)
        joined = join(contents, files, shown=shown, partial=partial)
        evidence = gather_evidence(folder, joined.metadata)
        entries = interpret(joined.entries, evidence)
        source = FileSource(shown, entries, files=joined.files, memory_note=joined.memory_note)
        source.facts = read_facts(joined.metadata, evidence.config)
        told = files.tell(file.name for file in joined.files)
        source.notes = (*told, *joined.notes, *name_nature(source.tensors, evidence))
        return source
    except BaseException:
        for file in (file for content in contents for file in content.files):
            file.close()
        raise


def _read_file(folder: Folder, name: str) -> Content:
    file = folder.open(name)
    try:
        kind = identify_file(file)
        content = kind.read(file, folder)
    except BaseException:
        file.close()
        raise
    said = SUFFIX_KINDS.get(_suffix(file.name))
    if said in (None, kind):
        return content
    note = f"{shorten(file.name, 80)} is read as {kind.name}, which its content is whatever its suffix says"
    return replace(content, notes=(note, *content.notes))


def identify_file(file: DataFile) -> FileKind:
    """The kind of a checkpoint file: what its bytes say, and where they say nothing its suffix.

    Raises CheckpointError for files of other programs, by name, and for those that neither tells.
    """
    content, name = recognize(file), shorten(file.name, 80)
    if content in _CONTENT_KINDS:
        return _CONTENT_KINDS[content]
    said = SUFFIX_KINDS.get(_suffix(file.name))
    if content in FOREIGN:
        raise CheckpointError(f"{name} is {FOREIGN[content]}")
    if said and said.bare:
        return said
    if is_onnx(file):
        return _ONNX
    head = file.read_header(0, 4).hex(" ")
    if said:
        raise CheckpointError(
            f"{name} begins with bytes that are no {said.name} file ({head}), which its suffix says; download or save "
            "it again"
        )
    raise CheckpointError(
        f"{name}: neither its first bytes ({head}) nor its suffix say what it is; checkpoints end in "
        f"{', '.join(SUFFIX_KINDS)} or {INDEX_SUFFIXES[0]}"
    )


def _suffix(name: str) -> str:
    return PurePath(name).suffix.lower()
