"""What leaves the page: the rows in sight, under a name that any file system takes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from plotly.graph_objects import Figure

from qanalysis.charts.layer_charts import weight_histogram
from qanalysis.charts.linked.scene import Panel, pack, read_step, unpack
from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.dashboard.cache import identify
from qanalysis.dashboard.export import Extras, name_file, render_file
from qanalysis.dashboard.jobs import SweepRequest
from qanalysis.dashboard.layers.frames import build_layer, profile_widths
from qanalysis.dashboard.layers.shown import Shown, list_families
from qanalysis.dashboard.layers.view import LayersView
from qanalysis.diagnosis.profile import LayerProfile, profile_bits
from qanalysis.quantizers.scheme import Scheme
from qanalysis.reports.report import read_rows
from qanalysis.results.identity import SourceIdentity
from qanalysis.sweeps.row import Rows
from qanalysis.sweeps.sweep import sweep
from tests.reports.scenes import read_scenes


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


def test_only_the_report_asks_for_profiles_and_pictures(rows: Rows) -> None:
    asked: list[str] = []

    def profile() -> tuple[LayerProfile, ...]:
        asked.append("profiles")
        return profile_bits(np.float32([[0.5, -0.25], [1, 0.75]]), Scheme.parse("int4"), name="w")

    def draw() -> Figure:
        asked.append("picture")
        return weight_histogram(None)

    extras = Extras("int4", profile, pictures=(("Picture", "", draw),))
    for suffix in (".csv", ".json", ".parquet"):
        render_file(rows, suffix, extras)
    assert asked == []
    scenes = read_scenes(render_file(rows, ".html", extras).decode())
    assert sorted(asked) == ["picture", "profiles"]
    assert scenes[-2]["control"]["steps"] == list(range(2, 17))
    assert scenes[-1]["panels"]["chart"] == Panel("chart", weight_histogram(None)).describe()


def test_the_report_of_a_layer_shows_the_numbers_of_the_page() -> None:
    request = SweepRequest(
        "sample:digits-cnn", identify("sample:digits-cnn").identity, ("int3 channel", "int4 channel")
    )
    with open_checkpoint(request.source) as source:
        swept = sweep(source, request.schemes)
    shown = Shown(request, swept, LayersView(), "int4 channel")
    tensor = next(row.tensor for row in swept if row.status == "ok" and "x" in row.shape)
    family = list_families(request.schemes)[0]
    page = build_layer(shown, [tensor], family, 0)
    extras = Extras("int4 channel", lambda: profile_widths(shown, tensor))
    report = read_scenes(render_file(swept, ".html", extras).decode())[-1]
    assert report["control"]["told"] == page["told"]
    for place in range(len(family.schemes)):
        assert read_step(report, place) == read_step(unpack(pack(page)), place)


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
