"""How is a stretch of bytes had from an address? By one question, whose answer is believed only where it is exactly
that stretch of the same file.

Redirects are followed a few times, never from https to http and never from a public machine into a private network. A
token goes to the host it is for and to no other. Of an answer that is not what was asked for nothing is read.
"""

from __future__ import annotations

import re
import ssl
import threading
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from urllib.parse import urljoin

from qanalysis.checkpoints.remote.addresses import Url, show_text
from qanalysis.checkpoints.remote.line import READ_TIMEOUT_S, Line
from qanalysis.checkpoints.remote.network import connect
from qanalysis.checkpoints.source import CheckpointError

MOST_REDIRECTS = 5
#: Questions under way at once, to all machines of one source.
MOST_AT_ONCE = 8
_MOST_IDLE = 4
_SMALL = 1 << 14  # bytes of a body that is passed over, so that the connection can be used again
_MOVED = (301, 302, 303, 307, 308)
_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})")
_AGENT = "qanalysis"
_DOWNLOAD = "download the file and open it from disk"
_REFUSALS = {
    401: "asks who you are, as the hub also does for what is not there; check the spelling, set HF_TOKEN for what is "
    "private, or give an address that needs no login",
    403: "may not be read with what was sent; accept the model's terms on the hub and set HF_TOKEN, or take a fresh "
    "link where this one has expired",
    404: "is not there; check the spelling, and set HF_TOKEN where it is private",
    410: "is no longer there; take a fresh link",
    416: "is shorter than it said; open it again",
    429: "was asked for too often; wait a while, or set HF_TOKEN for a higher limit of the hub",
    451: "may not be given out there; take another copy",
}


@dataclass(frozen=True, slots=True)
class Key:
    """A token and the machine that it is for."""

    origin: tuple[str, str, int]
    token: str = ""


@dataclass(frozen=True, slots=True)
class Landing:
    """Where an address led to, and whether machines of the own network were allowed there."""

    url: Url
    allows_private: bool


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes of a file from `start` on; `size` is the whole file's, `tag` what its server says of its version."""

    data: bytearray
    size: int
    tag: str
    landing: Landing


class MovedOnError(CheckpointError):
    """What was asked for is not where an address led to before."""


class BrokenOffError(CheckpointError):
    """The connection ended in the middle of an answer."""


class Session:
    """Connections for the files of one source, of any number of threads.

    `key` names the machine that was chosen by the person who runs the program, which may be one of the own network;
    with `public_only` no other may, at the first address either.
    """

    def __init__(self, *, key: Key | None = None, public_only: bool = False) -> None:
        self._key = key
        self._public_only = public_only
        self._idle: dict[tuple[str, str, int], list[Line]] = {}
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(MOST_AT_ONCE)

    def read(self, url: Url, start: int, stop: int, *, landing: Landing | None = None) -> Stretch:
        """Bytes start..stop of a file, fewer where it ends before; from `landing`, where the address led to before.

        Raises CheckpointError, MovedOnError where that is no longer good.
        """
        with self._places:
            try:
                return self._read(url, start, stop, landing)
            except BrokenOffError:
                return self._read(url, start, stop, landing)

    def read_whole(self, url: Url, limit: int) -> bytearray:
        """All that an address answers with, at most `limit` bytes. Raises CheckpointError."""
        with self._places:
            answer, line, hop = self._follow(url, self._first(url), 0, None, most=limit)
            try:
                _check_status(answer, url, (200,))
                held = _fill(answer, url, limit + 1, is_exact=False)
                if len(held) > limit:
                    raise CheckpointError(f"{url.shown} answers with more than {limit} bytes; {_DOWNLOAD}")
            except BaseException:
                line.close()
                raise
            self._keep(line, hop.url, answer)
            return held

    def _read(self, url: Url, start: int, stop: int, landing: Landing | None) -> Stretch:
        answer, line, hop = self._follow(url, landing or self._first(url), start, stop)
        try:
            found = _take(answer, url, hop, start, stop, is_old=landing is not None)
        except BaseException:
            line.close()
            raise
        self._keep(line, hop.url, answer)
        return found

    def close(self) -> None:
        """Hang up what is not in use; later questions connect anew."""
        with self._lock:
            lines = [line for lines in self._idle.values() for line in lines]
            self._idle.clear()
        for line in lines:
            line.close()

    def _first(self, url: Url) -> Landing:
        is_chosen = self._key is not None and url.origin == self._key.origin
        return Landing(url, is_chosen or not self._public_only)

    def _follow(
        self, url: Url, hop: Landing, start: int, stop: int | None, *, most: int = 0
    ) -> tuple[HTTPResponse, Line, Landing]:
        """The answer at the end of the redirects; the caller reads it or closes the line."""
        seen = {str(hop.url)}
        for _ in range(MOST_REDIRECTS + 1):
            answer, line = self._ask(hop, start, stop, most=most)
            if answer.status not in _MOVED:
                return answer, line, hop
            try:
                target = _read_target(answer, url, hop.url)
            except BaseException:
                line.close()
                raise
            self._pass_over(line, hop.url, answer)
            hop = Landing(target, hop.allows_private and line.is_private)
            if str(target) in seen:
                raise CheckpointError(f"{url.shown} is redirected in a circle; check the address, or {_DOWNLOAD}")
            seen.add(str(target))
        raise CheckpointError(
            f"{url.shown} is redirected more than {MOST_REDIRECTS} times; give the address that it leads to"
        )

    def _ask(self, hop: Landing, start: int, stop: int | None, *, most: int) -> tuple[HTTPResponse, Line]:
        headers = {"User-Agent": _AGENT, "Accept": "*/*", "Accept-Encoding": "identity"}
        if stop is not None:
            headers["Range"] = f"bytes={start}-{stop - 1}"
        if self._key is not None and self._key.token and hop.url.origin == self._key.origin:
            headers["Authorization"] = f"Bearer {self._key.token}"
        expected = most if stop is None else stop - start
        for is_last in (False, True):
            line = None
            try:
                # the second try is made on a fresh connection: a server may have hung up on those that were kept
                line = (None if is_last else self._reuse(hop)) or Line(
                    connect(hop.url, allows_private=hop.allows_private)
                )
                return line.ask(hop.url, headers, expected=expected), line
            except (OSError, HTTPException, UnicodeError) as error:
                if line is not None:
                    line.close()
                if is_last or isinstance(error, TimeoutError | ssl.SSLError | UnicodeError):
                    raise _tell(hop.url, error) from None
            except BaseException:
                if line is not None:
                    line.close()
                raise
        raise AssertionError

    def _reuse(self, hop: Landing) -> Line | None:
        with self._lock:
            kept = self._idle.get(hop.url.origin, [])
            while kept:
                line = kept.pop()
                if line.is_fresh and (hop.allows_private or not line.is_private):
                    return line
                line.close()
        return None

    def _pass_over(self, line: Line, url: Url, answer: HTTPResponse) -> None:
        if answer.length is not None and answer.length <= _SMALL:
            try:
                answer.read()
            except (OSError, HTTPException):
                line.close()
                return
        self._keep(line, url, answer)

    def _keep(self, line: Line, url: Url, answer: HTTPResponse) -> None:
        with self._lock:
            kept = self._idle.setdefault(url.origin, [])
            if answer.isclosed() and not answer.will_close and len(kept) < _MOST_IDLE:
                kept.append(line)
                return
        line.close()


def _read_target(answer: HTTPResponse, url: Url, hop: Url) -> Url:
    place = answer.getheader("Location")
    if not place:
        raise CheckpointError(f"{url.shown} is redirected to nowhere (status {answer.status}); check the address")
    try:
        target = Url.parse(urljoin(str(hop), place))
    except (ValueError, CheckpointError) as error:
        raise CheckpointError(f"{url.shown} is redirected: {error}") from None
    if hop.scheme == "https" and target.scheme == "http":
        raise CheckpointError(
            f"{url.shown} is redirected from https to {target.shown}, which anyone on the way could change; {_DOWNLOAD}"
        )
    return target


def _check_status(answer: HTTPResponse, url: Url, wanted: tuple[int, ...], *, is_old: bool = False) -> None:
    status = answer.status
    if status not in wanted:
        said = _REFUSALS.get(status) or (
            "can not be had from its server now; try again later" if status >= 500 else f"can not be read; {_DOWNLOAD}"
        )
        wait = answer.getheader("Retry-After", "")
        waits = f" (in {wait} s)" if wait.isdecimal() and len(wait) < 7 else ""
        kind = MovedOnError if is_old and status in (400, 401, 403, 404, 410) else CheckpointError
        raise kind(f"{url.shown} {said}{waits} (status {status})")
    coding = answer.getheader("Content-Encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise CheckpointError(
            f"{url.shown} comes compressed ({show_text(coding, 40)}) although it was asked for as it is, so that byte "
            f"ranges mean nothing; {_DOWNLOAD}"
        )


def _take(answer: HTTPResponse, url: Url, hop: Landing, start: int, stop: int, *, is_old: bool) -> Stretch:
    if answer.status == 416 and not start:
        raise CheckpointError(f"{url.shown} is empty (0 bytes); give another file")
    _check_status(answer, url, (200, 206), is_old=is_old)
    if answer.status == 206:
        size, count = _read_range(answer, url, start, stop)
        data = _fill(answer, url, count)
    else:
        data = _take_whole(answer, url, start, stop)
        size = len(data)
    tag = answer.getheader("ETag") or answer.getheader("Last-Modified") or ""
    return Stretch(data, size, tag.removeprefix("W/")[:200], hop)


def _take_whole(answer: HTTPResponse, url: Url, start: int, stop: int) -> bytearray:
    """The body of an answer that is the whole file, which is taken where it is no longer than what was asked for."""
    is_short = answer.length is not None and answer.length <= stop
    if not start and is_short:
        return _fill(answer, url, answer.length or 0)
    if not start and answer.chunked:
        data = _fill(answer, url, stop + 1, is_exact=False)
        if len(data) <= stop:
            return data
    raise CheckpointError(f"{url.shown}: its server ignores byte ranges and sends the whole file; {_DOWNLOAD}")


def _read_range(answer: HTTPResponse, url: Url, start: int, stop: int) -> tuple[int, int]:
    """Bytes of the file and of the stretch that is coming."""
    said = answer.getheader("Content-Range", "")
    found = _RANGE.fullmatch(said.strip())
    first, last, size = map(int, found.groups()) if found else (0, 0, 0)
    count = last + 1 - first
    ends = answer.chunked or answer.length == count  # a body that only ends with the connection may lack its end
    if not found or first != start or last != min(stop, size) - 1 or not ends:
        raise CheckpointError(
            f"{url.shown}: bytes {start} to {stop - 1} were asked for, its server sends {show_text(said, 60)!r} in "
            f"{'a body without end' if answer.length is None else f'{answer.length} bytes'}; {_DOWNLOAD}"
        )
    return size, count


def _fill(answer: HTTPResponse, url: Url, count: int, *, is_exact: bool = True) -> bytearray:
    held = bytearray(count)
    view, got = memoryview(held), 0
    try:
        while got < count:
            more = answer.readinto(view[got:])
            if not more:
                break
            got += more
    except (OSError, HTTPException) as error:
        raise _tell(url, error, f" after {got} of {count} bytes") from None
    finally:
        view.release()
    if got < count and is_exact:
        raise BrokenOffError(
            f"{url.shown}: its server broke off after {got} of {count} bytes; try again, or {_DOWNLOAD}"
        )
    del held[got:]
    return held


def _tell(url: Url, error: Exception, where: str = "") -> CheckpointError:
    if isinstance(error, TimeoutError):
        return CheckpointError(
            f"{url.shown}: its server is too slow{where}: no answer within {READ_TIMEOUT_S:.0f} s, or less than 64 KiB "
            f"a second; try again later, or {_DOWNLOAD}"
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return CheckpointError(
            f"{url.shown}: the certificate of its server is not to be trusted ({error.verify_message}); check the "
            "address and the clock, or name your own authority with SSL_CERT_FILE"
        )
    reason = show_text(getattr(error, "strerror", None) or str(error) or type(error).__name__, 120)
    fault = "broke off" if where else "can not be reached or does not speak HTTP"
    kind = BrokenOffError if where else CheckpointError
    return kind(f"{url.shown}: its server {fault}{where} ({reason}); check the address and the network, or {_DOWNLOAD}")
