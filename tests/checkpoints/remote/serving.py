"""A server of the test's own: byte ranges, the hub's routes, and every way to misbehave."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Asked:
    """One question: path, range, authorization and how many bytes of a body were sent."""

    path: str
    range: str
    token: str
    sent: int = 0


@dataclass
class Site:
    """What a server has (`files` by path, without the first slash), how it behaves, and what it was asked.

    `fault` is one word of `Handler`; it holds for the paths that end in `faulty`, from the question number `after` on.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    fault: str = ""
    faulty: str = ""
    after: int = 0
    target: str = ""
    status: int = 500
    tag: str = '"one"'
    cdn: str = ""
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    url: str = ""

    @property
    def sent(self) -> int:
        return sum(one.sent for one in self.asked)

    def count(self, end: str) -> int:
        return sum(one.path.endswith(end) for one in self.asked)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body go out one after the other
    site: Site

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path).lstrip("/")
        asked = Asked(path, self.headers.get("Range", ""), self.headers.get("Authorization", ""))
        self.site.asked.append(asked)
        self.asked = asked
        faulty = self.site.fault and path.endswith(self.site.faulty) and self.site.count(path) > self.site.after
        if faulty and hasattr(self, f"fault_{self.site.fault}"):
            getattr(self, f"fault_{self.site.fault}")(path)
        elif path.startswith("api/models/"):
            self.answer_list(path)
        elif "/resolve/" in path:
            self.answer_file(path)
        else:
            self.send_range(self.site.files.get(path))

    # the hub's routes

    def answer_list(self, path: str) -> None:
        repository, _, revision = path.removeprefix("api/models/").partition("/revision/")
        files = self.site.repositories.get(repository)
        if files is None or revision not in ("main", "v1", COMMIT):
            return self.refuse(404)
        siblings = [{"rfilename": name, "size": len(data), "blobId": "0"} for name, data in files.items()]
        body = json.dumps({"id": repository, "sha": COMMIT, "siblings": siblings}).encode()
        return self.send_body(200, body)

    def answer_file(self, path: str) -> None:
        repository, _, rest = path.partition("/resolve/")
        revision, _, name = rest.partition("/")
        data = self.site.repositories.get(repository, {}).get(name)
        if data is None or revision != COMMIT:
            return self.refuse(404)
        if self.site.cdn and len(data) > 1000:
            return self.send_body(302, b"moved", Location=f"{self.site.cdn}/{repository}/{name}?Signature=secret")
        return self.send_range(data)

    # answers

    def send_range(self, data: bytes | None, *, tag: str | None = None, **headers: str) -> None:
        if data is None:
            return self.refuse(404)
        said = self.headers.get("Range", "")
        headers["ETag"] = tag or self.site.tag
        if not said:
            return self.send_body(200, data, **headers)
        first, last = said.removeprefix("bytes=").split("-")
        start, stop = int(first), min(int(last) + 1, len(data))
        if start >= len(data):
            return self.refuse(416)
        headers["Content_Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
        return self.send_body(206, data[start:stop], **headers)

    def send_body(self, status: int, body: bytes, *, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        try:
            for start in range(0, len(body), 1 << 16):
                self.wfile.write(body[start : start + (1 << 16)])
                self.asked.sent += len(body[start : start + (1 << 16)])
        except OSError:
            self.close_connection = True

    def refuse(self, status: int) -> None:
        self.send_body(status, b"no")

    # faults

    def fault_whole(self, path: str) -> None:
        self.send_body(200, self.site.files[path])

    def fault_chunked(self, path: str) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        data = self.site.files[path]
        try:
            for start in range(0, len(data), 1 << 14):
                piece = data[start : start + (1 << 14)]
                self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                self.asked.sent += len(piece)
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True

    def fault_range(self, path: str) -> None:
        data = self.site.files[path]
        self.send_body(206, data[:100], Content_Range=f"bytes 7-106/{len(data)}")

    def fault_no_range(self, path: str) -> None:
        self.send_body(206, self.site.files[path][:100])

    def fault_length(self, path: str) -> None:
        data = self.site.files[path]
        self.send_body(206, data, Content_Range=f"bytes 0-{min(len(data), 1 << 16) - 1}/{len(data)}", length=1 << 40)

    def fault_break(self, path: str) -> None:
        data = self.site.files[path]
        first, last = self.asked.range.removeprefix("bytes=").split("-")
        start, stop = int(first), min(int(last) + 1, len(data))
        half = data[start : (start + stop) // 2]
        said = f"bytes {start}-{stop - 1}/{len(data)}"
        self.send_body(206, half, Content_Range=said, ETag=self.site.tag, length=stop - start)
        self.close_connection = True

    def fault_hang_up(self, path: str) -> None:
        self.close_connection = True

    def fault_hang_up_once(self, path: str) -> None:
        self.site.fault = ""
        self.close_connection = True

    def fault_silent(self, path: str) -> None:
        time.sleep(1.5)
        self.close_connection = True

    def fault_drip(self, path: str) -> None:
        self.drip(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50)

    def fault_drip_body(self, path: str) -> None:
        data = self.site.files[path][: 1 << 16]
        head = f"HTTP/1.1 206 OK\r\nContent-Length: {len(data)}\r\nContent-Range: bytes 0-65535/99999999"
        self.wfile.write(head.encode() + b"\r\n\r\n")
        self.drip(data)

    def drip(self, data: bytes) -> None:
        self.close_connection = True
        try:
            for byte in data:
                self.wfile.write(bytes([byte]))
                time.sleep(0.02)
        except OSError:
            pass

    def fault_status(self, path: str) -> None:
        self.send_body(self.site.status, b"no", Retry_After="7")

    def fault_change(self, path: str) -> None:
        self.send_range(self.site.files[path], tag='"two"')

    def fault_grow(self, path: str) -> None:
        self.send_range(self.site.files[path] + b"more")

    def fault_gzip(self, path: str) -> None:
        self.send_range(self.site.files[path], Content_Encoding="gzip")

    def fault_redirect(self, path: str) -> None:
        self.send_body(302, b"moved", Location=self.site.target)

    def fault_circle(self, path: str) -> None:
        self.send_body(302, b"moved", Location=f"/{path}")

    def fault_chain(self, path: str) -> None:
        self.send_body(302, b"moved", Location=f"/x{path}")

    def fault_nonsense(self, path: str) -> None:
        self.wfile.write(b"\x00\x1b[31m what?\r\n\r\n")
        self.close_connection = True


class Server(ThreadingHTTPServer):
    daemon_threads, block_on_close = True, False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that the other side cut is what some tests are about."""


@contextmanager
def serve(site: Site, *, context: ssl.SSLContext | None = None) -> Iterator[Site]:
    """The site on 127.0.0.1, on a free port, until the test ends; over https with a `context`."""

    class Own(Handler):
        pass

    Own.site = site
    server = Server(("127.0.0.1", 0), Own)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    site.url = f"http{'s' if context else ''}://127.0.0.1:{server.server_port}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)
