"""How are cross-checks run beside a page? As the command runs them, in a process of its own, once for all who look.

The libraries that judge are large, print, and change settings of the process they are loaded into.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from typing import Any

COMMAND = (sys.executable, "-m", "qanalysis.cli", "validate", "--json")


class BackgroundChecks:
    """`qanalysis validate` in the background: its `document` once it has ended, or its `fault`.

    Safe to ask from every session's thread. Before the first start there is neither a document nor a fault.
    """

    def __init__(self) -> None:
        self.document: dict[str, Any] | None = None
        self.fault = ""
        self.started_s = 0.0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        """Between `start` and the end of the process."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Run the checks, again where they have ended; a run under way is left alone.

        What an earlier run has left is forgotten at once: a page never shows old verdicts beside a run under way.
        """
        with self._lock:
            if not self.running:
                self.document, self.fault, self.started_s = None, "", time.monotonic()
                self._thread = threading.Thread(target=self._run, name="checks", daemon=True)
                self._thread.start()

    def wait(self, timeout_s: float) -> None:
        """Until the checks have ended or the time is over."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        """Wait for the command and take its document; where it printed none, its last line of complaint becomes the
        fault.

        Checks that fail are no fault: the document holds them with their verdicts.
        """
        done = subprocess.run(COMMAND, capture_output=True, text=True, check=False)  # noqa: S603  our own command, nothing of a user's in it
        try:
            self.document = json.loads(done.stdout)
        except ValueError:
            last_line = next(reversed(done.stderr.strip().splitlines()), "no output")
            self.fault = f"the checks ended with code {done.returncode}: {last_line}"
