"""What leaves the page: the rows in sight, under a name that any file system takes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qanalysis.dashboard.export import Extras, name_file, render_file
from qanalysis.reports.report import read_rows
from qanalysis.results.identity import SourceIdentity
from qanalysis.sweeps.row import Rows
from qanalysis.sweeps.sweep import sweep


@pytest.fixture(scope="module")
def rows() -> Rows:
    return sweep({"w": np.float32([[0.5, -0.25], [1, 0.75]])}, ["int4", "int8 channel"])


def _rename(rows: Rows, path: str) -> Rows:
    return replace(rows, source=SourceIdentity(path, 1, "sha256:0"))


@pytest.mark.parametrize("suffix", [".csv", ".json", ".parquet"])
def test_a_download_holds_the_rows_exactly(rows: Rows, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows{suffix}"
    path.write_bytes(render_file(rows, suffix, Extras("int4")))
    assert read_rows(path).rows == rows.rows


def test_a_partial_result_says_so_in_the_file_and_in_its_name(rows: Rows) -> None:
    partial = replace(rows, complete=False)
    assert json.loads(render_file(partial, ".json", Extras("int4")))["settings"]["complete"] is False
    assert name_file(_rename(partial, "w.npz"), ".json") == "w-partial.json"


def test_the_report_speaks_of_the_scheme_in_view(rows: Rows) -> None:
    assert b"at int8 channel" in render_file(rows, ".html", Extras("int8 channel"))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("sample:digits-cnn", "digits-cnn.csv"),
        ("own.npz", "own.csv"),
        ("llama-3.1", "llama-3.1.csv"),
        ("a b/<c>.safetensors", "c.csv"),
        ("..", "rows.csv"),
        ("x" * 200, "x" * 60 + ".csv"),
    ],
)
def test_a_download_has_a_plain_name(rows: Rows, path: str, name: str) -> None:
    assert name_file(_rename(rows, path), ".csv") == name
