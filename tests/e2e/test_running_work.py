"""Running work as a person meets it: started on one page, seen and cancelled on another, in a browser."""

from __future__ import annotations

import re

import numpy as np
import pytest

from .conftest import OpenVisit, Server
from .layers_page import wait_until_idle

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # playwright leaves its own pipes to the collector

HEAVY = "swept=2&swept=16&symmetries=sym-clip&symmetries=asym&ranges=minmax&ranges=mse:100&ranges=kl:2048"


def test_a_sweep_is_seen_and_cancelled_on_the_other_page(server: Server, open_visit: OpenVisit) -> None:
    np.save(server.root / "heavy.npy", np.random.default_rng(0).normal(size=(8192, 1024)).astype(np.float32))
    visit = open_visit(f"{server.url}/?source=heavy.npy&{HEAVY}")
    page = visit.page
    page.get_by_text(re.compile(r"Not swept yet: 8\.39 M values × 360 schemes, about .+ of memory")).wait_for()
    page.get_by_role("button", name="Sweep", exact=True).click()
    # Within the one tensor: a share and a speed.
    page.get_by_text(re.compile(r"heavy: 0 of 1 tensors × 360 schemes, .*% ?, .* round trips/s")).wait_for()
    assert page.get_by_text("running:").count() == 0
    page.get_by_role("link", name="Converter").click()
    line = page.get_by_text(re.compile(r"Running: heavy\.npy, 360 schemes, .*%"))
    line.wait_for()
    page.get_by_role("button", name="Cancel", exact=True).click()
    line.wait_for(state="detached")
    wait_until_idle(page)
    assert page.get_by_role("button", name="Cancel", exact=True).count() == 0
    page.get_by_role("link", name="Layers").click()
    page.get_by_text("Cancelled before the first tensor").wait_for()
    assert server.read_trouble() == []
    assert visit.complaints == []
