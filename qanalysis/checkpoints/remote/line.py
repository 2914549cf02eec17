"""What is one connection to a server? Questions and answers one after another, each with an end in time."""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Mapping
from http.client import HTTPResponse
from typing import Any, cast

from qanalysis.checkpoints.remote.addresses import Url
from qanalysis.checkpoints.remote.network import Link

#: Seconds in which a server must send something, and in which an answer must be there with no more bytes than these.
READ_TIMEOUT_S, TOTAL_S = 20.0, 60.0
#: Longer answers may take longer: a server that sends fewer bytes a second is given up.
SLOWEST = 1 << 16
_FRESH_S = 30.0  # connections that rest longer may be cut on their way without a word


class _Timed(io.RawIOBase):
    """What comes from a connection until its deadline."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._line.limit_wait()
        return self._line.socket.recv_into(buffer)


class Line:
    """A connection to the machine of one address, for one thread at a time. OSError where it breaks or is too slow."""

    def __init__(self, link: Link) -> None:
        self.socket: socket.socket = link.socket
        self.is_private = link.is_private
        self._deadline = self._used = 0.0

    def ask(self, url: Url, headers: Mapping[str, str], *, expected: int) -> HTTPResponse:
        """The head of the answer to a GET; `expected` bytes of a body may follow. HTTPException for what is none."""
        self._deadline = time.monotonic() + TOTAL_S + expected / SLOWEST
        lines = [f"GET {url.target} HTTP/1.1", f"Host: {url.authority}", *(f"{k}: {v}" for k, v in headers.items())]
        self.limit_wait()
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode("ascii", "strict"))
        answer = HTTPResponse(cast("socket.socket", self), method="GET")
        answer.begin()
        return answer

    @property
    def is_fresh(self) -> bool:
        """Whether it was in use a moment ago."""
        return time.monotonic() - self._used < _FRESH_S

    def limit_wait(self) -> None:
        """Let the next wait end with the deadline. TimeoutError behind it."""
        self._used = time.monotonic()
        left = self._deadline - self._used
        if left <= 0:
            raise TimeoutError
        self.socket.settimeout(min(READ_TIMEOUT_S, left))

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What `HTTPResponse` reads from; closing it leaves the connection open for the next question."""
        return io.BufferedReader(_Timed(self), 1 << 16)

    def close(self) -> None:
        """Hang up."""
        self.socket.close()
