"""What tensors are in a file that torch saved (.pt, .pth, .bin)?

Read with torch's weights-only unpickler, which builds tensors and plain containers and runs no code of the file. Zip
files with stored members, as torch writes them since 1.6, are mapped; the older pickle streams are read whole. The only
reader that imports torch.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qanalysis.checkpoints.data_file import DataFile, Folder
from qanalysis.checkpoints.entries import Content, Entry
from qanalysis.checkpoints.file_source import refuse_broken
from qanalysis.checkpoints.mapped_file import SAVE_AGAIN, MappedFile, check_unchanged, stamp_file
from qanalysis.checkpoints.source import FLOAT_DTYPES, CheckpointError, TensorInfo, widen

MAPPED_NOTE = "Mapped: values are read from disk when asked for; the system may keep pages that were read."
WHOLE_NOTE = (
    "Not mapped: this older or compressed layout is read whole into memory. Saved again with `torch.save` it would "
    "be mapped."
)

_MAX_DEPTH = 32
_SAVE_STATE_DICT = "save `model.state_dict()` instead, best as .safetensors"
_CODES = {1: torch.uint8, 2: torch.int16}  # integers that numpy knows, by the size of the float viewed through them


@dataclass(frozen=True, slots=True)
class TorchValues:
    """The numbers of a strided tensor on the CPU, possibly mapped from the file."""

    tensor: torch.Tensor
    path: Path
    stamp: tuple[int, int, int]

    @property
    def sliceable(self) -> bool:
        return self.tensor.is_contiguous()

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        check_unchanged(self.path, self.stamp)
        return widen(_as_array(self.tensor.reshape(-1)[start:stop].resolve_neg()))


def read_torch(file: DataFile, _folder: Folder) -> Content:
    """Tensors of a saved state dict, however deeply nested: {"model": {"w": tensor}} gives "model.w"; other objects are
    left out.

    Raises CheckpointError for damaged files and for those that hold more than tensors and plain containers.
    """
    if not isinstance(file, MappedFile):
        raise CheckpointError(f"{file.name} lies elsewhere; download it to read it")
    path = file.path
    stamp = stamp_file(path)
    mapped = _is_mappable(path)
    content = _load(path, mapped=mapped)
    tensors = list(_flatten(content, seen=set()))
    if not tensors:
        raise CheckpointError(
            f"{path.name} holds no tensors, its content is of type {type(content).__name__}; {_SAVE_STATE_DICT}"
        )
    entries = [Entry(_describe(key, tensor, place=path), TorchValues(tensor, path, stamp)) for key, tensor in tensors]
    return Content(entries, [file], MAPPED_NOTE if mapped else WHOLE_NOTE)


def _is_mappable(path: Path) -> bool:
    with refuse_broken(path.name):
        if not zipfile.is_zipfile(path):
            return False
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    if any(Path(member.filename).name == "constants.pkl" for member in members):
        raise CheckpointError(f"{path.name} is a TorchScript program, not weights; {_SAVE_STATE_DICT}")
    # torch maps compressed members as if they were values
    return all(member.compress_type == zipfile.ZIP_STORED for member in members)


def _load(path: Path, *, mapped: bool) -> Any:
    try:
        with refuse_broken(path.name), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of foreign pickles, which the refusal below says in our words
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except CheckpointError as error:
        if not isinstance(error.__cause__, pickle.UnpicklingError):
            raise
        refused = re.search(r"GLOBAL (\S+)|global (\S+)|module (\S+) is blocked", str(error.__cause__))
    if refused is None:
        raise CheckpointError(f"{path.name} is not a file that torch saved with weights only; {_SAVE_STATE_DICT}")
    called = next(filter(None, refused.groups()))
    raise CheckpointError(
        f"{path.name} asks to run {called!r}; only tensors and plain containers are read, never code. "
        f"{_SAVE_STATE_DICT.capitalize()}"
    )


def _flatten(content: Any, *, seen: set[int], key: str = "", depth: int = 0) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(content, torch.Tensor):
        yield key or "tensor", content.detach()
    elif isinstance(content, Mapping | list | tuple) and depth < _MAX_DEPTH and id(content) not in seen:
        seen.add(id(content))  # a few bytes of containers that hold one another twice could be walked for ever
        items = content.items() if isinstance(content, Mapping) else enumerate(content)
        for name, value in items:
            yield from _flatten(value, seen=seen, key=f"{key}.{name}" if key else f"{name}", depth=depth + 1)


def _describe(name: str, tensor: torch.Tensor, *, place: Path) -> TensorInfo:
    word = str(tensor.dtype).removeprefix("torch.")
    size_bytes = tensor.numel() * tensor.element_size()
    decodes = word in FLOAT_DTYPES and tensor.layout == torch.strided and tensor.device.type == "cpu"
    if decodes and size_bytes > max(tensor.untyped_storage().nbytes(), place.stat().st_size):
        # a few bytes expanded with stride 0 may claim any size
        raise CheckpointError(
            f"{place.name}: tensor {name!r} claims {size_bytes} bytes, more than the file has; {SAVE_AGAIN}"
        )
    return TensorInfo(name, tuple(tensor.shape), word, size_bytes, decodes=decodes)


def _as_array(tensor: torch.Tensor) -> NDArray[Any]:
    word = str(tensor.dtype).removeprefix("torch.")
    if word in ("float64", "float32", "float16"):
        return tensor.numpy()
    codes: NDArray[Any] = tensor.view(_CODES[tensor.element_size()]).numpy()
    return codes.view(FLOAT_DTYPES[word])
