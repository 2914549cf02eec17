"""The scenes of a report hold the figures of `charts` at every step, and the numbers of the rows."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qanalysis import open_checkpoint
from qanalysis.charts.channel_charts import channel_errors
from qanalysis.charts.curves import error_curves, mark_point
from qanalysis.charts.heat_map import heat_map
from qanalysis.charts.layer_axes import LayerAxes
from qanalysis.charts.layer_charts import error_histogram, weight_histogram
from qanalysis.charts.linked.scene import Panel, read_step, unpack
from qanalysis.diagnosis.profile import LayerProfile, profile_bits, profile_layer
from qanalysis.quantizers.scheme import Scheme
from qanalysis.reports.layer_scene import draw_layer
from qanalysis.reports.report import write_report
from qanalysis.reports.summary import headline
from qanalysis.sweeps.row import Rows
from qanalysis.sweeps.sweep import sweep
from tests.reports.scenes import read_scenes

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
WIDTHS = range(2, 17)


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    conv = rng.normal(size=(8, 64)).astype(np.float32)
    conv[5] *= 20
    return {"conv": conv, "head": rng.normal(size=(4, 40)).astype(np.float32)}


@pytest.fixture(scope="module")
def rows(arrays: dict[str, np.ndarray]) -> Rows:
    return sweep(arrays, ["int3 channel", "int4 channel", "int8 channel", "nf4 channel"])


@pytest.fixture(scope="module")
def profiles(arrays: dict[str, np.ndarray]) -> tuple[LayerProfile, ...]:
    return profile_bits(arrays["conv"], Scheme.parse("int4 channel"), WIDTHS, name="conv")


@pytest.fixture(scope="module")
def scenes(rows: Rows, profiles: tuple[LayerProfile, ...], tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    target = tmp_path_factory.mktemp("report") / "report.html"
    return read_scenes(write_report(rows, target, profiles=profiles, created=NOON).read_text("utf-8"))


def test_the_overview_of_a_report_is_that_of_charts(rows: Rows, scenes: list[Any]) -> None:
    heat, curves, _layer = scenes
    assert heat["panels"]["heat"] == Panel("heat", heat_map(rows.rows, "sqnr_db"), kind="grid").describe()
    worst = [
        row.tensor for row in sorted((row for row in rows if row.scheme == "nf4 channel"), key=lambda r: r.sqnr_db)
    ]
    assert curves["panels"]["curves"] == Panel("curves", error_curves(rows.rows, worst, "sqnr_db")).describe()


@pytest.mark.parametrize("place", range(len(WIDTHS)), ids=[f"{bits}bit" for bits in WIDTHS])
def test_every_step_of_the_slider_is_the_figures_of_charts(
    place: int, rows: Rows, profiles: tuple[LayerProfile, ...], scenes: list[Any]
) -> None:
    profile, axes, part = profiles[place], LayerAxes.over(profiles), scenes[-1]
    drawn = read_step(part, place)
    expected = {
        "weights": weight_histogram(profile, axes=axes),
        "errors": error_histogram(profile, axes=axes),
        "channels": channel_errors(profile, axes=axes),
        "curves": error_curves(rows.rows, ["conv"], "sqnr_db"),
    }
    assert list(drawn) == list(expected)
    for name, figure in expected.items():
        panel = {key: value for key, value in drawn[name].items() if key != "marks"}
        assert panel == Panel(name, figure).describe()
    bits, told = WIDTHS[place], part["control"]["told"][place]
    assert drawn["curves"]["marks"] == mark_point(expected["curves"], bits, told)
    assert part["control"]["steps"][place] == bits
    assert part["control"]["schemes"][place] == f"int{bits} channel"


def test_a_swept_width_tells_its_row_and_another_one_its_own_figure(
    rows: Rows, profiles: tuple[LayerProfile, ...], scenes: list[Any]
) -> None:
    part = scenes[-1]
    swept = {row.scheme: row.sqnr_db for row in rows if row.tensor == "conv"}
    for place, profile in enumerate(profiles):
        scheme, told = str(profile.scheme), part["control"]["told"][place]
        assert part["control"]["swept"][place] == (scheme in swept)
        if scheme in swept:
            assert told == f"{swept[scheme]:.2f} dB"
            assert part["heads"][place] == headline(rows, scheme)
        else:
            assert told == f"{profile.sqnr_db:.2f} dB, not in the sweep"
            assert part["heads"][place].startswith(f"arrays at {scheme}: not in the sweep")


def test_a_layer_under_one_scheme_has_no_control(rows: Rows, arrays: dict[str, np.ndarray]) -> None:
    profile = profile_layer(arrays["head"], Scheme.parse("nf4 channel"), name="head")
    chart = draw_layer(rows, [profile], "int4 channel")
    assert (chart.heading, chart.caption, chart.step) == ("head at nf4 channel", "", None)
    assert chart.alt.startswith("Histogram of 160 weights of head under nf4 channel")


def test_profiles_of_one_width_are_told_apart_by_their_schemes(rows: Rows, arrays: dict[str, np.ndarray]) -> None:
    profiles = [profile_layer(arrays["head"], Scheme.parse(text), name="head") for text in ("int4", "int4 channel")]
    assert draw_layer(rows, profiles, "int4 channel").step == "int4 channel"


def test_the_slider_starts_at_the_scheme_of_the_report_else_at_the_first_width_that_was_swept(
    rows: Rows, profiles: tuple[LayerProfile, ...]
) -> None:
    starts = {scheme: draw_layer(rows, profiles, scheme).step for scheme in ("int8 channel", "int6 channel", "mxfp4")}
    assert starts == {"int8 channel": 8, "int6 channel": 6, "mxfp4": 3}
    assert draw_layer(rows, profiles[5:6] + profiles[7:], "mxfp4").step == 7


def test_a_layer_that_no_row_knows_is_shown_without_curves(rows: Rows, profiles: tuple[LayerProfile, ...]) -> None:
    stranger = profile_bits(np.ones((2, 4), np.float32), Scheme.parse("int4"), (4, 5), name="elsewhere")
    assert "against bits" not in draw_layer(rows, stranger, "int4").alt
    assert "SQNR of 1 layer against bits" in draw_layer(rows, profiles, "int4 channel").alt


def test_lines_of_python_take_the_part_of_a_layer_that_the_charts_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(3).normal(size=(8, 16)).astype(np.float32)
    np.savez("own.npz", layer=values)
    with open_checkpoint("own.npz") as source:
        rows = sweep(source, ["int4"])
    profile = profile_layer(values[:2], Scheme.parse("int4"), name="layer")
    part = unpack(base64.b64decode(draw_layer(rows, [profile], "int4").scene))
    names: dict[str, Any] = {}
    exec(read_step(part, 0)["weights"]["python"], names)
    np.testing.assert_array_equal(names["figures"], profile.weights.counts)


def test_lines_of_python_stand_only_where_a_file_can_be_opened(scenes: list[Any], tmp_path: Path) -> None:
    assert not any(panel["python"] for scene in scenes for panel in scene["panels"].values())
    with open_checkpoint("sample:digits-cnn") as source:
        rows = sweep(source, ["int4"])
    written = write_report(rows, tmp_path / "report.html", created=NOON).read_text("utf-8")
    assert all(
        "open_checkpoint('sample:digits-cnn')" in scene["panels"][name]["python"]
        for scene in read_scenes(written)
        for name in scene["panels"]
    )
