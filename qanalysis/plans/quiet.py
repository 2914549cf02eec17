"""How does a solver keep quiet? HiGHS, as scipy 1.17 has it, prints lines of its own into results on a pipe."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Iterator

_STDOUT = 1
_lock = threading.Lock()


@contextlib.contextmanager
def keep_stdout() -> Iterator[None]:
    """What compiled code writes to the standard output meanwhile is dropped; Python's own is written before.

    For one thread at a time, others wait. Where there is no standard output nothing is done.
    """
    with _lock:
        try:
            kept = os.dup(_STDOUT)
        except OSError:
            yield
            return
        _flush()
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, _STDOUT)
        os.close(nothing)
        try:
            yield
        finally:
            _flush()
            os.dup2(kept, _STDOUT)
            os.close(kept)


def _flush() -> None:
    """Write out what Python and the C library hold back."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("ucrtbase" if os.name == "nt" else None).fflush(None)
