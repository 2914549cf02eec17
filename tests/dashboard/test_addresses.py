"""Addresses on a page: closed unless the server was started for them, and then to public servers alone."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest
from safetensors.numpy import save
from streamlit.testing.v1 import AppTest

from qanalysis.checkpoints.source import CheckpointError
from qanalysis.dashboard.sources import UploadStore, identify_source, locate_source, open_source
from tests.checkpoints.remote.serving import Site, serve
from tests.dashboard.conftest import OpenPage

FILE = save({"layer.weight": np.random.default_rng(3).standard_normal((24, 32), dtype=np.float32)})


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with serve(Site(repositories={"o/r": {"model.safetensors": FILE}})) as site:
        monkeypatch.setenv("HF_ENDPOINT", site.url)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield site


def read_errors(page: AppTest) -> str:
    """The faults that the page tells, without Markdown's backslashes."""
    return re.sub(r"\\(.)", r"\1", " ".join(str(error.value) for error in page.error))


@pytest.mark.parametrize("switch", [None, "0", "yes"])
def test_without_the_switch_a_page_opens_no_address_and_names_it(
    switch: str | None, hub: Site, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    if switch is None:
        monkeypatch.delenv("QANALYSIS_REMOTE", raising=False)
    else:
        monkeypatch.setenv("QANALYSIS_REMOTE", switch)
    page = open_page(source="hf://o/r")
    told = read_errors(page)
    assert "hf://o/r: addresses are opened only where the app was started with" in told
    assert "--remote" in told
    assert hub.asked == []


def test_with_the_switch_a_page_opens_a_typed_address(
    hub: Site, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QANALYSIS_REMOTE", "1")
    page = open_page(source="hf://o/r")
    assert not page.error
    assert page.selectbox(key="source").value == "hf://o/r"
    assert page.selectbox(key="layer").value == "layer.weight"
    assert hub.asked


@pytest.mark.parametrize("text", ["https://127.0.0.1/m.safetensors", "http://localhost:9/m.safetensors"])
def test_with_the_switch_no_private_address_opens(
    text: str, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QANALYSIS_REMOTE", "1")
    page = open_page(source=text)
    assert "private network" in read_errors(page)


def test_the_identity_is_that_of_the_commit_and_asked_for_once(hub: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QANALYSIS_REMOTE", "1")
    uploads = UploadStore()
    first = identify_source("hf://o/r@v1", uploads)
    assert identify_source("hf://o/r@v1", uploads) == first
    assert len(hub.asked) == 1
    assert identify_source("hf://o/r@v1/model.safetensors", uploads) != first
    with open_source("hf://o/r@v1", uploads) as source:
        assert source.tensors[0].name == "layer.weight"


@pytest.mark.parametrize("text", ["hf://o/r", "HTTPS://host/x.npz", "http://host/x.npz"])
def test_an_address_is_no_path_below_the_root(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QANALYSIS_REMOTE", raising=False)
    with pytest.raises(CheckpointError, match="--remote"):
        locate_source(text, UploadStore())
