"""How a person takes a file from a page: a click that a run under way swallowed is made again."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import TimeoutError as Unanswered

PATIENCE_MS = (15_000, 15_000, 90_000)


def take_file(page: Any, button: Any) -> Any:
    """The download that a button gives; the last wait is long, for machines that do other work beside."""
    for patience in PATIENCE_MS[:-1]:
        try:
            return _click(page, button, patience)
        except Unanswered:
            continue
    return _click(page, button, PATIENCE_MS[-1])


def _click(page: Any, button: Any, patience: int) -> Any:
    with page.expect_download(timeout=patience) as download:
        button.click()
    return download.value
