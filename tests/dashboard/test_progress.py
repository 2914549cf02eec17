"""Running work on every page: one line per job and a button, wherever the job was started; nothing where nothing runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from qanalysis.dashboard import cache
from qanalysis.dashboard.cache import get_jobs
from qanalysis.dashboard.jobs import Job, SweepRequest
from qanalysis.sweeps.row import Rows
from qanalysis.sweeps.sweep import SweepProgress, sweep

PATHS = ("", "converter")


def _show_page(path: str) -> None:
    from qanalysis.dashboard.main import PAGES, show_page

    show_page(next(page for page in PAGES if page.path == path or (not path and page is PAGES[0])))


def _open(path: str, **parameters: str) -> AppTest:
    page = AppTest.from_function(_show_page, args=(path,), default_timeout=60)
    for key, value in parameters.items():
        page.query_params[key] = value
    page.run()
    assert not page.exception
    return page


def _lines(page: AppTest) -> list[str]:
    return [caption.value for caption in page.caption if "running: " in caption.value.lower()]


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Sweeps under this root report 25 % and then wait for the event, or to be cancelled."""
    monkeypatch.setenv("QANALYSIS_ROOT", str(tmp_path))
    go_on = threading.Event()

    def sweep_late(*arguments: object, **options: object) -> Rows:
        options["on_progress"](SweepProgress("w", 1, 4, 1e6, 3.0, (), 0.25))
        end = time.monotonic() + 60
        while not (go_on.is_set() or options["cancel"].wait(0.01)) and time.monotonic() < end:
            pass
        return sweep(*arguments, **options)

    monkeypatch.setattr(cache, "sweep", sweep_late)
    yield go_on
    go_on.set()
    for job in get_jobs().active():
        assert job.wait(60)


def _start(folder: Path, name: str = "own_model.npz") -> Job:
    np.savez(folder / name, w=np.eye(4, dtype=np.float32))
    job = get_jobs().submit(SweepRequest(name, str(folder), ("int4", "int8")))
    end = time.monotonic() + 20
    while job.snapshot.progress is None:
        assert time.monotonic() < end
        time.sleep(0.01)
    return job


@pytest.mark.parametrize(
    ("path", "label"), [("", "Also running"), ("converter", "Running")], ids=["layers", "converter"]
)
def test_a_job_of_another_session_is_told_and_cancelled_on_every_page(
    path: str, label: str, tmp_path: Path, release: threading.Event
) -> None:
    job = _start(tmp_path)
    page = _open(path)
    assert _lines(page) == [f"{label}: own\\_model\\.npz, 2 schemes, 25 %, 3.0 s left"]
    page.button(key=f"cancel-{job.request.digest}").click().run()
    assert job.wait(5)
    assert job.snapshot.state == "cancelled"
    assert not job.snapshot.rows
    assert _lines(page.run()) == []


@pytest.mark.parametrize("path", PATHS, ids=["layers", "converter"])
def test_the_line_goes_when_the_job_ends_elsewhere(path: str, tmp_path: Path, release: threading.Event) -> None:
    job = _start(tmp_path)
    page = _open(path)
    assert len(_lines(page)) == 1
    release.set()
    assert job.wait(20)
    page.run()
    assert _lines(page) == []
    assert not any((button.key or "").startswith("cancel-") for button in page.button)


def test_a_page_has_no_line_and_no_fragment_that_polls_while_nothing_runs(
    release: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[object] = []
    monkeypatch.setattr("qanalysis.dashboard.progress._poll_others", drawn.append)
    assert _lines(_open("converter")) == []
    assert drawn == []


def test_the_job_of_the_page_stands_in_its_strip_alone(tmp_path: Path, release: threading.Event) -> None:
    np.savez(tmp_path / "mine.npz", w=np.eye(4, dtype=np.float32))
    other = _start(tmp_path)
    page = _open("", source="mine.npz")
    assert [element.proto.text for element in page.get("progress")] == [
        "w: 1 of 4 tensors × 28 schemes, 25 %, 1 M round trips/s, 3.0 s left"
    ]
    assert [line.split(",")[0] for line in _lines(page)] == ["Also running: own\\_model\\.npz"]
    assert sorted(button.key for button in page.button if button.label == "Cancel") == [
        "cancel",
        f"cancel-{other.request.digest}",
    ]


def test_a_source_that_does_not_open_leaves_the_lines_in_sight(tmp_path: Path, release: threading.Event) -> None:
    _start(tmp_path)
    page = _open("", source="missing.npz")
    assert page.error
    assert [line.split(",")[0] for line in _lines(page)] == ["Running: own\\_model\\.npz"]
