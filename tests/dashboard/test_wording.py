"""Words on the page: names stay names, numbers carry units, messages keep the root's place to themselves."""

from __future__ import annotations

import string
from pathlib import Path

import pytest

from qanalysis.checkpoints.source import TensorInfo
from qanalysis.dashboard.jobs import Snapshot, SweepRequest
from qanalysis.dashboard.progress import describe_job, describe_progress
from qanalysis.dashboard.wording import escape_markdown, hide_root
from qanalysis.sweeps.sweep import SweepProgress


def test_every_mark_is_escaped_and_nothing_else() -> None:
    assert escape_markdown(string.punctuation) == "".join(f"\\{mark}" for mark in string.punctuation)
    assert escape_markdown("conv 1 – ÄΩ") == "conv 1 – ÄΩ"


def test_line_breaks_and_controls_become_spaces() -> None:
    assert escape_markdown("a\n# b\x00\u202ec") == "a \\# b  c"


def test_messages_show_paths_from_the_root_on(tmp_path: Path) -> None:
    assert hide_root(f"{tmp_path}/a/w.npz: broken", tmp_path) == "a/w.npz: broken"
    assert hide_root(f"folder {tmp_path} is empty", tmp_path) == f"folder {tmp_path.name} is empty"


def _progress(seconds_left: float | None = 3.0) -> SweepProgress:
    return SweepProgress("conv*1", 4, 10, 2e8, seconds_left, (), 0.45)


@pytest.mark.parametrize(
    ("snapshot", "text"),
    [
        pytest.param(
            None,
            "Not swept yet: 1,000 values × 28 schemes, under a second, under 1 MiB of memory",
            id="not asked for",
        ),
        pytest.param(Snapshot("queued"), "Waiting for its turn", id="queued"),
        pytest.param(Snapshot("running"), "conv\\*0: 0 of 10 tensors × 28 schemes", id="begun"),
        pytest.param(
            Snapshot("running", SweepProgress("conv*0", 0, 10, 0.0, None, (), 0.0)),
            "conv\\*0: 0 of 10 tensors × 28 schemes",
            id="nothing done yet",
        ),
        pytest.param(
            Snapshot("running", _progress()),
            "conv\\*1: 4 of 10 tensors × 28 schemes, 45 %, 200 M round trips/s, 3.0 s left",
            id="running",
        ),
        pytest.param(
            Snapshot("running", _progress(None)),
            "conv\\*1: 4 of 10 tensors × 28 schemes, 45 %, 200 M round trips/s",
            id="no estimate",
        ),
        pytest.param(
            Snapshot("done", _progress(), seconds=2),
            "Complete: 4 of 10 tensors × 28 schemes in 2.0 s, 200 M round trips/s",
            id="done",
        ),
        pytest.param(
            Snapshot("cancelled", _progress()),
            "**Partial**: 4 of 10 tensors × 28 schemes before it was cancelled",
            id="cancelled",
        ),
        pytest.param(Snapshot("cancelled"), "Cancelled before the first tensor", id="cancelled at once"),
        pytest.param(
            Snapshot("cancelled", SweepProgress("conv*0", 0, 10, 2e8, 9.0, (), 0.05)),
            "Cancelled before the first tensor",
            id="cancelled within the first tensor",
        ),
        pytest.param(Snapshot("failed"), "The sweep failed", id="failed"),
    ],
)
def test_the_strip_says_where_a_sweep_stands(snapshot: Snapshot | None, text: str) -> None:
    tensors = [TensorInfo(f"conv*{index}", (10, 10), "float32", 400) for index in range(10)]
    assert describe_progress(snapshot, tensors, schemes=[f"int{bits}" for bits in range(2, 16)] * 2) == text


@pytest.mark.parametrize(
    ("snapshot", "text"),
    [
        (Snapshot("running"), "my\\_w\\.npz, 2 schemes, 0 %"),
        (Snapshot("running", _progress()), "my\\_w\\.npz, 2 schemes, 45 %, 3.0 s left"),
        (Snapshot("running", _progress(None)), "my\\_w\\.npz, 2 schemes, 45 %"),
        (Snapshot("queued"), "my\\_w\\.npz, 2 schemes, waiting for its turn"),
    ],
    ids=["begun", "running", "no estimate", "queued"],
)
def test_a_job_of_another_page_is_told_in_one_line(snapshot: Snapshot, text: str) -> None:
    assert describe_job(SweepRequest("folder/my_w.npz", "v1", ("int4", "int8")), snapshot) == text
