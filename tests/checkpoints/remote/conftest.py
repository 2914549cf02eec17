"""Servers on this machine, and an environment in which no other is ever asked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.checkpoints.remote.serving import Site, serve


@pytest.fixture(autouse=True)
def _no_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "HF_TOKEN",
        "HF_HUB_OFFLINE",
        "QANALYSIS_CACHE",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # where nothing listens


@pytest.fixture
def site() -> Iterator[Site]:
    with serve(Site()) as one:
        yield one


@pytest.fixture
def cdn() -> Iterator[Site]:
    with serve(Site()) as one:
        yield one
