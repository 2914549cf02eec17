"""What tensors are in a file that torch saved (.pt, .pth, .bin), or in a pickle of numpy arrays (.pkl)?

The pickle in it is walked and never unpickled: no code of the file runs, and torch is not needed. Values are read from
where they lie, in the zip that torch writes since 1.6 and in the older stream alike.
"""

from __future__ import annotations

import gc
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

from qanalysis.checkpoints.data_file import DataFile, Folder, Stream
from qanalysis.checkpoints.entries import Content
from qanalysis.checkpoints.file_source import refuse_broken
from qanalysis.checkpoints.mapped_file import SAVE_AGAIN
from qanalysis.checkpoints.source import CheckpointError
from qanalysis.checkpoints.torch.archive import SAVE_STATE_DICT, Saved, read_archive
from qanalysis.checkpoints.torch.arrays import is_numpy
from qanalysis.checkpoints.torch.legacy import read_legacy
from qanalysis.checkpoints.torch.parallel import name_part_by_content, name_part_by_file
from qanalysis.checkpoints.torch.pickle_walk import PickleError
from qanalysis.checkpoints.torch.storages import MAX_INFLATED
from qanalysis.checkpoints.torch.stubs import Call
from qanalysis.checkpoints.torch.tensors import NotATensorError, describe_tensor, unwrap
from qanalysis.checkpoints.torch.walk import Walk
from qanalysis.notation import size

MAPPED_NOTE = "Mapped: values are read from disk when asked for; the system may keep pages that were read."
PICKLED_NOTE = "Held in memory: the arrays stand in one pickle, which is read whole."
INFLATED_NOTE = (
    f"Not mapped: compressed members are inflated whole, one at a time, up to {size(MAX_INFLATED)} each; saved again "
    "with `torch.save` they would be mapped."
)

_CONTAINERS = ("collections.OrderedDict", "collections.Counter", "collections.defaultdict")


def read_torch(file: DataFile, _folder: Folder) -> Content:
    """Tensors of a saved state dict, however deeply nested: {"model": {"w": tensor}} gives "model.w"; other objects are
    left out, and what stands in objects of unknown classes is read as data.

    Raises CheckpointError for damaged files, programs, whole models and parts of models cut over machines.
    """
    part = name_part_by_file(file.name)
    if part:
        raise CheckpointError(f"{file.name} is {part}")
    with _collection_paused():
        saved = _read_saved(file)
        _refuse_objects(file, saved)
        with _refused(file):
            found = Walk(saved.find_storage).collect(saved.content)
    part = name_part_by_content(file.name, saved.content, (entry.info.name for entry in found.entries))
    if part:
        raise CheckpointError(f"{file.name} is {part}")
    if not found.entries:
        told = f" ({found.notes[0]})" if found.notes else ""
        raise CheckpointError(
            f"{file.name} holds no tensors{told}, its content is of type {type(saved.content).__name__}; "
            f"{SAVE_STATE_DICT}"
        )
    note = PICKLED_NOTE if saved.plain else MAPPED_NOTE if saved.mapped else INFLATED_NOTE
    return Content(found.entries, [file], note, tuple(found.notes), found.metadata)


def _read_saved(file: DataFile) -> Saved:
    with _refused(file):
        is_zip = file.read_header(0, 2) == b"PK" or zipfile.is_zipfile(Stream(file))
        return read_archive(file) if is_zip else read_legacy(file)


def _refuse_objects(file: DataFile, saved: Saved) -> None:
    """Refuse a file whose content is an object of a class: its code would have to run."""
    content = unwrap(saved.content)
    if not isinstance(content, Call) or content.calls(*_CONTAINERS) or is_numpy(content):
        return
    with _refused(file):
        if describe_tensor(content, saved.find_storage) is None:
            raise CheckpointError(
                f"{file.name} asks to run {content.class_name!r}: it holds an object of this class, and only tensors "
                f"and plain containers are read, never code. {SAVE_STATE_DICT[0].upper()}{SAVE_STATE_DICT[1:]}"
            )


@contextmanager
def _collection_paused() -> Iterator[None]:
    """Without the collector of circles, which looks at each of the many objects of a large header again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def _refused(file: DataFile) -> Iterator[None]:
    """Damage of the file as one clear message."""
    try:
        with refuse_broken(file.name):
            yield
    except CheckpointError as error:
        if isinstance(error.__cause__, PickleError | NotATensorError):
            raise CheckpointError(
                f"{file.name} can not be read as a file that torch saved with weights only: {error.__cause__}; "
                f"{SAVE_AGAIN}, or {SAVE_STATE_DICT}"
            ) from error.__cause__
        raise
