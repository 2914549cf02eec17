"""How long from the budget slider to the painted plan of 300 layers with 28 candidates each? In Chromium; run alone."""

from __future__ import annotations

import numpy as np
import pytest

from qanalysis.reports.report import write_report
from tests.charts.plans import make_plan

from ..e2e.conftest import OpenVisit, Server
from ..e2e.test_plan_page import STEPS, open_plan

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # playwright leaves its own pipes to the collector
PAINTED_MS = 100
SHARED_MACHINE = 2  # the target holds on a quiet machine; the gate leaves room for a busy one


@pytest.mark.parametrize("layers", [6, 300, 1000])
def test_from_the_budget_to_the_painted_plan(
    server: Server, open_visit: OpenVisit, capsys: pytest.CaptureFixture[str], layers: int
) -> None:
    write_report(make_plan(layers), server.root / f"plan{layers}.json")
    page = open_plan(open_visit, server, f"source=plan{layers}.json&budget=4", size=(1440, 900)).page
    times = page.evaluate(STEPS, 60)
    p50, p95 = (float(np.percentile(times, share)) for share in (50, 95))
    with capsys.disabled():
        print(f"\n{layers} layers x 28: p50 {p50:.0f} ms, p95 {p95:.0f} ms, n {len(times)}; target p95 {PAINTED_MS} ms")
    if layers <= 300:
        assert p95 <= PAINTED_MS * SHARED_MACHINE
