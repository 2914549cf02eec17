"""A server of the dashboard on a free port of the loopback, and fresh browser profiles that note what goes wrong."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
TROUBLE = ("Traceback", "WARNING", "Warning", "ERROR", "deprecated", "Exception")


@pytest.fixture(scope="session")
def browser_path() -> str:
    """Chromium on the PATH; without it the browser tests are skipped, except where CI=true."""
    for name in BROWSERS:
        found = shutil.which(name)
        if found:
            return found
    reason = f"no browser found: install one of {', '.join(BROWSERS)} (on Debian: apt install chromium)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass
class Server:
    """A running dashboard: its address, its log, and its root folder."""

    url: str
    log: Path
    root: Path

    def read_trouble(self) -> list[str]:
        """Lines of the log that a clean run does not have."""
        return [
            line for line in self.log.read_text(encoding="utf-8").splitlines() if any(word in line for word in TROUBLE)
        ]


@pytest.fixture(scope="module")
def server(browser_path: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The dashboard over an empty root folder, started as a user does from another folder."""

    def command(root: Path, port: int) -> list[str]:
        return ["qanalysis.cli", "app", "--root", str(root), "--port", str(port)]

    with start_server(command, tmp_path_factory, cwd=tmp_path_factory.mktemp("elsewhere")) as started:
        yield started


@contextmanager
def start_server(
    command: Callable[[Path, int], list[str]], folders: pytest.TempPathFactory, *, cwd: Path
) -> Iterator[Server]:
    """A dashboard over an empty root folder on a free port, until the block ends; exactly this process is ended then."""
    root, log = folders.mktemp("root"), folders.mktemp("log") / "server.log"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", *command(root, port)],
            cwd=cwd,
            env={**os.environ, "QANALYSIS_ROOT": str(root)},
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_for_health(f"http://127.0.0.1:{port}/_stcore/health", process)
        yield Server(f"http://127.0.0.1:{port}", log, root)
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:  # a machine so busy that the server does not get to its end
            process.kill()
            process.wait()


def _wait_for_health(url: str, process: subprocess.Popen[bytes], *, seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1) as reply:
                if reply.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    pytest.fail(f"the server did not come up (exit code {process.poll()})")


@dataclass
class Visit:
    """A page in a profile of its own: what its console complained about, and the messages to and from the server."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    sent: list[Any] = field(default_factory=list)
    received: list[Any] = field(default_factory=list)

    def watch(self) -> None:
        """Note what happens from now on."""
        self.page.on(
            "console",
            lambda message: self.complaints.append(message.text) if message.type in ("error", "warning") else None,
        )
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("requestfailed", self._note_failure)
        self.page.on("websocket", self._watch_socket)

    def wait_for_silence(self) -> None:
        """Until the server has sent nothing for a second: what an earlier step asked for has arrived."""
        for _ in range(30):
            before = len(self.received)
            self.page.wait_for_timeout(1000)
            if len(self.received) == before:
                return
        pytest.fail("the server goes on sending")

    def _note_failure(self, request: Any) -> None:
        """A page that is left lets go of the neighbours that it was fetching, and a link that becomes a download ends as a
        request of the page; every other failure is one.
        """
        let_go = any(part in request.url for part in ("/linked/frames/", "/media/"))
        if not let_go or request.failure != "net::ERR_ABORTED":
            self.complaints.append(request.url)

    def _watch_socket(self, opened: Any) -> None:
        opened.on("framesent", self._note_sent)
        opened.on("framereceived", self._note_received)

    def _note_sent(self, payload: Any) -> None:
        self.sent.append(payload)

    def _note_received(self, payload: Any) -> None:
        self.received.append(payload)


OpenVisit = Callable[..., Visit]


@pytest.fixture(scope="module")
def browser(browser_path: str) -> Iterator[Any]:
    """One Chromium for the tests of a file; what it is told and keeps belongs to the profile of each visit."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=browser_path, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture
def open_visit(browser: Any) -> Iterator[OpenVisit]:
    """Opens an address in a fresh profile: `open_visit(url, scheme="dark", size=(1440, 900), still=True)`.

    `prepare(page)` is called before the address is opened.
    """
    contexts = []

    def visit(
        url: str,
        *,
        scheme: str = "light",
        size: tuple[int, int] = (1400, 1000),
        still: bool = False,
        prepare: Callable[[Any], None] | None = None,
    ) -> Visit:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,
            reduced_motion="reduce" if still else "no-preference",
        )
        contexts.append(context)
        opened = Visit(context.new_page())
        opened.watch()
        if prepare:
            prepare(opened.page)
        opened.page.goto(url)
        return opened

    yield visit
    for context in contexts:
        context.close()
