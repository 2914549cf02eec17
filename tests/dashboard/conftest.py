"""The page as AppTest runs it, waited for until its sweep has ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

APP = Path(__file__).parents[2] / "app.py"
OpenPage = Callable[..., AppTest]


def settle(page: AppTest, *, seconds: float = 60) -> AppTest:
    """Run the page until no sweep is under way."""
    end = time.monotonic() + seconds
    while any(button.key == "cancel" for button in page.button):
        if time.monotonic() > end:
            pytest.fail("the sweep did not end")
        time.sleep(0.05)
        page.run()
    assert not page.exception
    return page


@pytest.fixture
def open_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OpenPage:
    """Opens the page with an address's parameters; the root folder is `tmp_path`."""
    monkeypatch.setenv("QANALYSIS_ROOT", str(tmp_path))

    def open_with(**parameters: str | list[str]) -> AppTest:
        page = AppTest.from_file(str(APP), default_timeout=60)
        for key, value in parameters.items():
            page.query_params[key] = value
        return settle(page.run())

    return open_with
