"""Measurements as jobs: nothing of torch is left for the collector, steps of activations, saved rows that are damaged."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import pytest

from qanalysis.dashboard.jobs import Snapshot
from qanalysis.dashboard.sensitivities import (
    SensitivityRequest,
    SensitivityStep,
    open_result,
    run_sensitivity,
    tell_measurement,
)


def test_a_measurement_takes_its_libraries_out_of_the_collectors_sight() -> None:
    request = SensitivityRequest("sample:digits-mlp", "sample", "", ("int4 channel",), samples=4, include="fc1")
    run_sensitivity(request, lambda _step: None, threading.Event())
    assert gc.get_freeze_count() > 100_000  # objects; torch alone defines more


def test_activations_count_steps_and_no_runs_of_the_model() -> None:
    request = SensitivityRequest(
        "sample:digits-mlp", "sample", "", ("int4 channel",), samples=4, include="fc1", kind="activations"
    )
    steps: list[SensitivityStep] = []
    run_sensitivity(request, steps.append, threading.Event())
    assert {step.unit for step in steps} == {"steps"}
    assert tell_measurement(Snapshot("done", steps[-1], seconds=2.5)) == "Complete in 2.5 s"
    assert "runs of the model" not in tell_measurement(Snapshot("running", steps[-1]))


def test_damaged_rows_name_the_command_that_writes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QANALYSIS_ROOT", str(tmp_path))
    (tmp_path / "cut.json").write_text('{"rows": [')
    with pytest.raises(ValueError, match=r"^cut\.json: not valid JSON .+`qanalysis sensitivity MODEL --calib DATA"):
        open_result("cut.json")
