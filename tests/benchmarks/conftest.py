"""The server and the browser of the page benchmarks are those of the browser tests."""

from __future__ import annotations

from ..e2e.conftest import browser, browser_path, open_visit, server

__all__ = ["browser", "browser_path", "open_visit", "server"]
