"""What is in the stream that torch wrote before 1.6, and still writes when asked to, or in a plain pickle of arrays?

Five pickles one after the other (a magic number, the protocol, facts of the system, the content, the keys of the
storages), then each storage: its number of elements in 8 bytes, then the elements, always little-endian. A pickle of
numpy arrays alone, as some collections of models publish them, holds their bytes itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qanalysis.checkpoints.data_file import DataFile
from qanalysis.checkpoints.mapped_file import SAVE_AGAIN
from qanalysis.checkpoints.source import CheckpointError
from qanalysis.checkpoints.torch.archive import SAVE_STATE_DICT, Saved
from qanalysis.checkpoints.torch.arrays import is_numpy
from qanalysis.checkpoints.torch.dtypes import storage_itemsize
from qanalysis.checkpoints.torch.pickle_walk import PickleEndError, PickleError, walk_pickle
from qanalysis.checkpoints.torch.storages import FileStorage, MissingStorage, Storage
from qanalysis.checkpoints.torch.stubs import Call, Reference

#: How a file begins: the first pickle is this number.
MAGIC = 0x1950A86A20F9469CFC6C
_FIRST_WINDOW = 1 << 20
_PICKLES = 5


def read_legacy(file: DataFile) -> Saved:
    """The content of such a stream. Raises CheckpointError for other pickles, PickleError for damaged ones."""
    parts, end = _walk_head(file)
    if len(parts) == 1:
        missing = MissingStorage("a plain pickle has no storages")
        return Saved(parts[0], lambda _: missing, mapped=False, plain=True)
    content, keys = parts[3], parts[4]
    if not isinstance(keys, list):
        raise CheckpointError(f"{file.name} can not be read: it does not list its storages; {SAVE_AGAIN}")
    itemsizes = _find_itemsizes(content)
    storages: dict[str, Storage] = {}
    for key in keys:
        head = file.read_header(end, 8)
        itemsize = itemsizes.get(key) if isinstance(key, str) else None
        if itemsize is None:
            raise CheckpointError(
                f"{file.name} can not be read: no tensor names storage {str(key)[:20]!r}; {SAVE_AGAIN}"
            )
        size = int.from_bytes(head, "little") * itemsize
        if len(head) < 8 or end + 8 + size > file.size:
            raise CheckpointError(
                f"{file.name} can not be read: storage {key[:20]!r} ends at byte {end + 8 + size}, the file has "
                f"{file.size}; {SAVE_AGAIN}"
            )
        storages[key] = FileStorage(file, end + 8, size)
        end += 8 + size

    def find_storage(key: str) -> Storage:
        return storages.get(key) or MissingStorage(f"its storage {key[:20]!r} is not in the file")

    return Saved(content, find_storage, mapped=True)


def _walk_head(file: DataFile) -> tuple[list[Any], int]:
    """The pickles and where they end. The file is read in windows, each twice as long as the one before, since how
    long its pickles are stands nowhere.
    """
    window = _FIRST_WINDOW
    while True:
        data = file.read_header(0, window)
        try:
            return _walk_all(file, data)
        except PickleEndError:
            if len(data) >= file.size:
                raise
        window *= 2


def _walk_all(file: DataFile, data: bytes) -> tuple[list[Any], int]:
    parts: list[Any] = []
    end = 0
    for _ in range(_PICKLES):
        try:
            part, end = walk_pickle(data, end)
        except PickleError as error:
            if parts:
                raise
            raise _refuse_other(file, str(error)) from None
        parts.append(part)
        if parts[0] != MAGIC:
            if isinstance(part, dict) and any(is_numpy(value) for value in _list_values(part)):
                return parts, end
            kind = part.class_name if isinstance(part, Call) else type(part).__name__
            raise _refuse_other(file, f"it is a pickled {kind}")
    return parts, end


def _refuse_other(file: DataFile, found: str) -> CheckpointError:
    return CheckpointError(f"{file.name} is not a file that torch saved with weights only ({found}); {SAVE_STATE_DICT}")


def _find_itemsizes(content: Any) -> dict[str, int]:
    """Bytes of an element of each storage that the content names."""
    found: dict[str, int] = {}
    for value in _list_values(content):
        pid = value.value if isinstance(value, Reference) else None
        if isinstance(pid, tuple) and len(pid) >= 5 and pid[0] == "storage" and isinstance(pid[2], str):
            found.setdefault(pid[2], storage_itemsize(pid[1]))
    return found


def _list_values(content: Any) -> Iterator[Any]:
    """The containers, calls and references in a content, each once."""
    seen: set[int] = set()
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if id(value) in seen or not isinstance(value, dict | list | tuple | Call | Reference):
            continue
        seen.add(id(value))
        yield value
        if isinstance(value, Reference):
            is_storage = isinstance(value.value, tuple) and value.value[:1] == ("storage",)
            waiting.extend(value.value if isinstance(value.value, tuple) and not is_storage else ())
        elif isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, Call):
            waiting.extend((value.args, value.state, value.items, value.members, value.callee))
        else:
            waiting.extend(value)
