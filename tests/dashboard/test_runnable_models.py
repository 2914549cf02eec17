"""What a page runs: samples, files and folders below the root; no code, nothing outside."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from qanalysis.checkpoints.source import CheckpointError
from qanalysis.dashboard.runnable_models import (
    MODEL_SAMPLES,
    identify_data,
    identify_model,
    list_models,
    locate_data,
    locate_model,
    locate_weights,
)
from qanalysis.reports.report import write_report
from sample_models.evaluate import MODELS
from tests.charts.sensitivities import make_table


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    monkeypatch.setenv("QANALYSIS_ROOT", str(folder))
    return folder


def make_folder(root: Path, name: str = "encoder") -> Path:
    folder = root / name
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    return folder


def test_every_sample_that_is_a_model_is_offered() -> None:
    assert set(MODEL_SAMPLES) == set(MODELS)
    assert [locate_model(f"sample:{name}") for name in MODEL_SAMPLES] == [f"sample:{name}" for name in MODEL_SAMPLES]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("os:abort", "runs code when it is opened, and a page runs none; measure it with `qanalysis sensitivity"),
        ("encoder/os:abort", "runs code when it is opened"),
        ("model.pt2", "runs code when it is opened"),
        ("sample:outliers", "is no sample that runs"),
        ("hf://owner/name", "the page opens no model by its address"),
        ("weights.safetensors", "holds weights without a model that runs"),
        ("bare", "has no config.json"),
        ("leaky", "links to a place outside the root folder"),
    ],
)
def test_what_runs_code_or_is_no_model_is_refused_in_one_line(text: str, told: str, root: Path, tmp_path: Path) -> None:
    make_folder(root)
    (root / "weights.safetensors").write_bytes(b"x")
    (root / "bare").mkdir()
    (tmp_path / "secret.safetensors").write_bytes(b"x")
    (make_folder(root, "leaky") / "linked.safetensors").symlink_to(tmp_path / "secret.safetensors")
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        locate_model(text)
    assert told in str(caught.value)


@pytest.mark.parametrize("text", ["../outside.onnx", "/etc/passwd", "missing.onnx", ""])
def test_paths_outside_and_missing_ones_are_refused(text: str) -> None:
    for locate in (locate_model, lambda one: locate_data(one, "sample:digits-mlp")):
        with pytest.raises(CheckpointError, match="root folder"):
            locate(text)


def test_folders_and_files_below_the_root_are_found(root: Path) -> None:
    folder = make_folder(root)
    (root / "net.onnx").write_bytes(b"x")
    assert locate_model("encoder") == str(folder.resolve())
    assert locate_model("net.onnx") == str((root / "net.onnx").resolve())
    assert locate_weights("") is None
    assert locate_weights("net.onnx") == str((root / "net.onnx").resolve())


def test_suggestions_are_models_and_results_alone(root: Path) -> None:
    make_folder(root)
    (root / "net.onnx").write_bytes(b"x")
    (root / "other.json").write_text(json.dumps({"a": 1}))
    for suffix in (".json", ".csv", ".parquet"):
        write_report(make_table(), root / f"rows{suffix}")
    list_models.clear()
    assert set(list_models(str(root))) == {"encoder", "net.onnx", "rows.json", "rows.csv", "rows.parquet"}


def test_data_of_samples_belongs_to_samples(root: Path) -> None:
    make_folder(root)
    np.save(root / "x.npy", np.zeros((2, 3), np.float32))
    assert locate_data("sample", "sample:digits-mlp") == "sample"
    assert locate_data("x.npy", "encoder") == str((root / "x.npy").resolve())
    with pytest.raises(ValueError, match="'encoder' brings no data of its own; give samples of its inputs"):
        locate_data("sample", "encoder")
    with pytest.raises(ValueError, match="'os:abort' is no file"):
        locate_data("os:abort", "encoder")


def test_identities_change_with_the_files(root: Path) -> None:
    folder = make_folder(root)
    np.save(root / "x.npy", np.zeros((2, 3), np.float32))
    before = identify_model("encoder", ""), identify_data("x.npy", "encoder")
    (folder / "model.safetensors").write_bytes(b"\x03\0\0\0\0\0\0\0{} ")
    np.save(root / "x.npy", np.zeros((3, 3), np.float32))
    after = identify_model("encoder", ""), identify_data("x.npy", "encoder")
    assert before[0] != after[0]
    assert before[1] != after[1]
    assert identify_model("encoder", "x.npy") != after[0]
