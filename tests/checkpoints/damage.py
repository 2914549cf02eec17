"""Reading everything that a file offers, and damaging files on purpose."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.source import CheckpointError, TensorInfo, TensorSource


def read_all(path: Path) -> dict[str, NDArray[np.float32]]:
    """Every tensor that decodes, after a check that a slice equals that part of the whole."""
    with open_checkpoint(path) as source:
        whole = {info.name: source.read(info) for info in source.tensors if info.decodes}
        for info in source.tensors:
            if info.decodes:
                start, stop = info.numel // 3, info.numel - info.numel // 4
                part = source.read_slice(info, start, stop)
                assert part.dtype == np.float32
                assert whole[info.name].flags.c_contiguous
                np.testing.assert_array_equal(part, whole[info.name].reshape(-1)[start:stop])
                assert whole[info.name].shape == info.shape
    return whole


def damaged_copies(data: bytes) -> st.SearchStrategy[bytes]:
    """The same bytes with up to four of them replaced, then perhaps cut short. The header, where damage bites, is hit more often."""
    position = st.integers(0, len(data) - 1) | st.integers(0, min(len(data) - 1, 400))
    edits = st.lists(st.tuples(position, st.integers(0, 255)), max_size=4)
    length = st.just(len(data)) | st.integers(0, len(data))

    def damage(changes: list[tuple[int, int]], size: int) -> bytes:
        copy = bytearray(data)
        for index, byte in changes:
            copy[index] = byte
        return bytes(copy[:size])

    return st.builds(damage, edits, length)


def read_or_refuse(path: Path, content: bytes) -> None:
    """Any other exception than CheckpointError fails the test that calls this."""
    path.write_bytes(content)
    with suppress(CheckpointError):
        read_all(path)


@contextmanager
def refusal(match: str) -> Iterator[None]:
    """The block must raise a CheckpointError that fits `match` and fits on a few lines of a terminal."""
    with pytest.raises(CheckpointError, match=match) as caught:
        yield
    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)


def find(source: TensorSource, name: str) -> TensorInfo:
    """The tensor of that name."""
    return next(info for info in source.tensors if info.name == name)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's right to read everything."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def open_to_others(folder: Path) -> None:
    """Let another user pass through pytest's temporary folders, which are its owner's alone."""
    for path in (folder, folder.parent, folder.parent.parent):
        path.chmod(0o755)
