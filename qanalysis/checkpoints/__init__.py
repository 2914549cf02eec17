"""How is a checkpoint opened, whatever its format? `open_checkpoint` picks the reader; each is imported only when it is needed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from qanalysis.checkpoints.file_kinds import INDEX_SUFFIX, identify_file
from qanalysis.checkpoints.source import SAMPLE_PREFIX, ArraySource, CheckpointError, TensorInfo, TensorSource

__all__ = ["ArraySource", "CheckpointError", "TensorInfo", "TensorSource", "open_checkpoint"]


def open_checkpoint(source: str | os.PathLike[str] | Mapping[str, NDArray[Any]]) -> TensorSource:
    """Open a checkpoint, reading its header only.

    `source` is a .safetensors, .pt, .pth, .bin, .onnx, .gguf, .npz or .npy file, a `*.safetensors.index.json`, a folder with an index
    or with .safetensors files, "sample:NAME", or a mapping of names to arrays. Raises CheckpointError for what can not be opened and
    for files without a single tensor; the text names the path, the rule and the way out.

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
    opened = _open_file(locate_sample(text), name=text) if is_sample else _open_path(Path(text))
    if not opened.tensors:
        opened.close()
        raise CheckpointError(f"{text!r} holds no tensors; give a file with weights in it")
    return opened


def locate_sample(text: str) -> Path:
    """The file with the weights of "sample:NAME"; CheckpointError names the samples where there is none of that name."""
    import sample_models  # the samples are data beside the package

    name = text.removeprefix(SAMPLE_PREFIX)
    if name not in sample_models.SAMPLES:
        raise CheckpointError(f"there is no sample {name!r}; the samples are {', '.join(sample_models.SAMPLES)}")
    return sample_models.weights_path(name)


def _open_path(path: Path) -> TensorSource:
    try:
        is_folder = path.is_dir()
    except OSError as error:
        raise CheckpointError(
            f"{str(path)[:200]!r} can not be opened: {error.strerror}; check the path and its permissions"
        ) from None
    return _open_folder(path) if is_folder else _open_file(path, name=path.name)


def _open_folder(folder: Path) -> TensorSource:
    name = folder.resolve().name
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    except OSError as error:
        raise CheckpointError(f"{str(folder)!r} can not be listed: {error.strerror}; check its permissions") from None
    indexes = [path for path in files if path.name.endswith(INDEX_SUFFIX)]
    shards = [path for path in files if path.suffix.lower() == ".safetensors"]
    if len(indexes) > 1:
        raise CheckpointError(
            f"folder {str(folder)!r} holds {len(indexes)} indexes ({indexes[0].name}, {indexes[1].name}, ...); open one of them"
        )
    if indexes:
        return _open_file(indexes[0], name=name)
    if not shards:
        raise CheckpointError(
            f"folder {str(folder)!r} holds no .safetensors file and no *{INDEX_SUFFIX}; open a checkpoint file of it by name"
        )
    from qanalysis.checkpoints.safetensors_file import open_safetensors

    for path in shards:
        identify_file(path)
    return open_safetensors(shards, name=name)


def _open_file(path: Path, *, name: str) -> TensorSource:
    kind = identify_file(path)
    if kind == "safetensors":
        from qanalysis.checkpoints.safetensors_file import open_safetensors

        return open_safetensors([path], name=name)
    if kind == "index":
        from qanalysis.checkpoints.safetensors_file import open_safetensors_index

        return open_safetensors_index(path, name=name)
    if kind == "torch":
        from qanalysis.checkpoints.torch_file import open_torch

        return open_torch(path, name=name)
    if kind == "onnx":
        from qanalysis.checkpoints.onnx_file import open_onnx

        return open_onnx(path, name=name)
    if kind == "gguf":
        from qanalysis.checkpoints.gguf_file import open_gguf

        return open_gguf(path, name=name)
    from qanalysis.checkpoints.numpy_file import open_npy, open_npz

    return (open_npy if kind == "npy" else open_npz)(path, name=name)
