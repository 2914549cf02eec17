"""How does a test open one page of the dashboard by its address, wait until its work has ended, and hear what it says?"""

from __future__ import annotations

import time

from streamlit.testing.v1 import AppTest

_WORDS = ("caption", "markdown", "error", "warning", "info", "success")


def _show_page(path: str) -> None:
    from qanalysis.dashboard.main import PAGES, show_page

    show_page(next(page for page in PAGES if page.path == path))


def prepare_page(path: str, **parameters: str | list[str]) -> AppTest:
    """The page with the parameters of its address, not yet run."""
    page = AppTest.from_function(_show_page, args=(path,), default_timeout=120)
    for key, value in parameters.items():
        page.query_params[key] = value
    return page


def settle(page: AppTest, *, seconds: float = 120) -> AppTest:
    """The page once nothing of its work can be cancelled any more."""
    end = time.monotonic() + seconds
    while any(button.key == "cancel" for button in page.button):
        assert time.monotonic() < end, "the work of the page did not end"
        time.sleep(0.05)
        page.run()
    assert not page.exception
    return page


def told(page: AppTest) -> str:
    """All sentences of the page."""
    return " ".join(element.value.replace("\\", "") for kind in _WORDS for element in page.get(kind))
