"""What is a file of another machine to a reader? Its size at once, its bytes by ranges: a header in one or two
questions, a tensor or a slice in one.
"""

from __future__ import annotations

import hashlib
import threading
import time
from itertools import count as count_up
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.checkpoints.data_file import DataFile
from qanalysis.checkpoints.remote.addresses import Url
from qanalysis.checkpoints.remote.pages import PAGES, Bytes, Pages, load, save
from qanalysis.checkpoints.remote.session import Landing, MovedOnError, Session
from qanalysis.checkpoints.source import CheckpointError
from qanalysis.notation import shorten

MEMORY_NOTE = "Read by byte ranges over the network: a read costs the tensor or slice asked for."
#: Bytes that a read of a header asks for at the beginning of a file, and elsewhere; twice as many where it goes on, up
#: to the last.
FIRST_BYTES, JUMP_BYTES, MOST_AHEAD = 1 << 16, 1 << 14, 1 << 22
#: Files of ONNX up to this size come whole: their graph is walked over all of them.
WHOLE_BYTES = 1 << 26
#: The longest header; shorter reads of values are made like those of a header.
MOST_HEADER, SHORT_BYTES = 1 << 28, 1 << 12
#: Columns of a table that are kept, and rows that are fetched at once for them.
BAND_BYTES, ROWS_BYTES = 1 << 28, 1 << 26
_SLICES, _BANDS = Pages(1 << 28), Pages(2 * BAND_BYTES)
_LANDING_S = 240.0  # signed addresses of CDNs hold for minutes or more
_NUMBERS = count_up()


class RemoteFile(DataFile):
    """A file behind an address, for any number of threads.

    `size` and `pinned` are what the one says that names it: its bytes, and that they never change under this address
    (the address names a commit). Without them its server is asked, and each later answer must be of the same size and
    version. Raises CheckpointError.
    """

    def __init__(self, session: Session, url: Url, name: str, *, size: int | None = None, pinned: bool = False) -> None:
        self.name, self._url, self._session = name, url, session
        self._landing: tuple[Landing, float] | None = None
        self._tags: dict[tuple[str, str, int], str] = {}
        self._is_open, self._ahead = True, FIRST_BYTES
        self._columns = threading.Lock()
        self._is_pinned = pinned and size is not None
        self.size = size or 0
        self.version = f"{url}\0{size}"
        if size is None or not pinned:
            self._meet(size)
        if not self.size:
            raise CheckpointError(f"{url.shown} is empty (0 bytes); give another file")
        if name.lower().endswith(".onnx") and self.size <= WHOLE_BYTES:
            self._ahead = self.size

    def _meet(self, size: int | None) -> None:
        """Ask for the beginning, whose answer says the size and the version."""
        found = self._session.read(self._url, 0, FIRST_BYTES)
        if size not in (None, found.size):
            raise self._tell_change()
        self.size = found.size
        self._remember(found.landing, found.tag)
        # what its server gives no version of may be another file the next time
        self.version = f"{self._url}\0{found.size}\0{found.tag or next(_NUMBERS)}"
        self._is_pinned = bool(found.tag)
        PAGES.put(self.version, 0, found.data)

    def read_header(self, offset: int, length: int) -> bytes:
        stop = min(offset + length, self.size)
        if stop - offset > MOST_HEADER:
            raise CheckpointError(
                f"{self._url.shown} can only be read as a whole, and {stop - offset} bytes are more than the "
                f"{MOST_HEADER} that are fetched for that; download the file and open it from disk"
            )
        parts, place = [], offset
        while place < stop:
            begin, page = PAGES.find(self.version, place) or self._read_ahead(place, stop)
            parts.append(bytes(page[place - begin : stop - begin]))
            place += len(parts[-1])
        return b"".join(parts)

    def read_array(self, offset: int, *, dtype: np.dtype, count: int) -> NDArray[Any]:
        stop = offset + count * dtype.itemsize
        if offset < 0 or stop > self.size:
            raise ValueError(f"bytes {offset} to {stop} of a file of {self.size} were asked for")
        if stop - offset < SHORT_BYTES:
            return np.frombuffer(bytearray(self.read_header(offset, stop - offset)), dtype)
        for kept in (PAGES, _SLICES):
            begin, page = kept.find(self.version, offset) or (0, b"")
            if stop <= begin + len(page):
                return np.frombuffer(page, dtype, count, offset - begin).copy()
        data = self._fetch(offset, stop)
        _SLICES.put(self.version, offset, bytes(data))  # a sweep may pass over a tensor twice
        return np.frombuffer(data, dtype)

    def read_columns(
        self, offset: int, *, dtype: np.dtype, count: int, width: int, first: int, last: int
    ) -> NDArray[Any]:
        """Columns lie apart in a file: all of the table is fetched, in stretches of whole rows. As many columns as
        `BAND_BYTES` hold are kept, one after another, for those that are asked for next.
        """
        rows = count // width
        column_bytes = rows * dtype.itemsize
        version = f"{self.version}\0{offset} {count} {width} {dtype}"
        with self._columns:  # the next thread then finds what this one fetches
            begin, band = _BANDS.find(version, first * column_bytes) or (0, memoryview(b""))
            if last * column_bytes > begin + len(band):
                begin = first * column_bytes
                end = min(width, max(last, first + BAND_BYTES // max(column_bytes, 1)))
                band = self._read_band(offset, dtype, rows, width, slice(first, end))
                _BANDS.put(version, begin, band)
        values = np.frombuffer(band, dtype, (last - first) * rows, first * column_bytes - begin)
        return values.reshape(last - first, rows).T

    def _read_band(self, offset: int, dtype: np.dtype, rows: int, width: int, columns: slice) -> memoryview:
        """Those columns one after another."""
        row_bytes = width * dtype.itemsize
        at_once = max(1, ROWS_BYTES // max(row_bytes, 1))
        turned = np.empty((columns.stop - columns.start, rows), dtype)
        for row in range(0, rows, at_once):
            stop = min(rows, row + at_once)
            data = self._fetch(offset + row * row_bytes, offset + stop * row_bytes)
            turned[:, row:stop] = np.frombuffer(data, dtype).reshape(-1, width)[:, columns].T
        return turned.reshape(-1).view(np.uint8).data

    def hash_into(self, _digest: hashlib._Hash) -> None:
        raise CheckpointError(f"{self._url.shown} has no digest here, which would cost a download of {self.size} bytes")

    def close(self) -> None:
        """Hang up. The beginning of the file stays at hand for the next that opens it, until others need its room."""
        self._is_open = False
        self._session.close()
        _SLICES.forget(self.version)
        _BANDS.forget(self.version)

    def _read_ahead(self, start: int, stop: int) -> tuple[int, Bytes]:
        """A stretch that holds bytes start..stop, and where it begins."""
        if start and start >= self.size - FIRST_BYTES:  # archives are read from their end
            start, stop = max(0, self.size - FIRST_BYTES), self.size
        elif start:
            goes_on = PAGES.find(self.version, start - 1) is not None
            self._ahead = min(2 * self._ahead, MOST_AHEAD) if goes_on else JUMP_BYTES
        data = self._fetch(start, min(max(stop, start + self._ahead), self.size))
        PAGES.put(self.version, start, data)
        return start, data

    def _fetch(self, start: int, stop: int) -> bytes | bytearray:
        """Bytes start..stop, all of them. CheckpointError where they can not be had or the file is another by now."""
        if not self._is_open:
            raise CheckpointError(f"{shorten(self.name, 80)} was closed; open it again to read from it")
        kept = load(self.version, start, stop) if self._is_pinned else None
        if kept is not None:
            return kept
        landing = self._landing[0] if self._landing and time.monotonic() < self._landing[1] else None
        try:
            found = self._session.read(self._url, start, stop, landing=landing)
        except MovedOnError:
            found = self._session.read(self._url, start, stop)
        if found.size != self.size or not self._remember(found.landing, found.tag):
            raise self._tell_change()
        if len(found.data) != stop - start:
            raise CheckpointError(f"{self._url.shown}: {len(found.data)} bytes came for {stop - start}; open it again")
        if self._is_pinned:
            save(self.version, start, found.data)
        return found.data

    def _remember(self, landing: Landing, tag: str) -> bool:
        """Whether a machine says the version that it said before."""
        if landing.url != self._url:
            self._landing = landing, time.monotonic() + _LANDING_S
        return self._tags.setdefault(landing.url.origin, tag) == tag

    def _tell_change(self) -> CheckpointError:
        return CheckpointError(f"{self._url.shown} changed on its server since it was opened; open it again")
