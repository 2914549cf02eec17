"""Page Precision tracker: what it shows are values of rows; rules, clicks and links lead where they say; faults are told in place."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from qanalysis.charts.tracked import SeriesName
from qanalysis.dashboard.export import Extras, render_file
from qanalysis.dashboard.tracker import replaying
from qanalysis.dashboard.tracker.cache import find_log, get_logs, join_tables
from qanalysis.dashboard.tracker.frames import Scene
from qanalysis.dashboard.tracker.page import list_pictures, take_choice
from qanalysis.dashboard.tracker.view import DEFAULT_RULES, TrackerView
from qanalysis.notation import decibels
from qanalysis.training.recipe import Recipe
from qanalysis.training.statistics.catalogue import read_statistics
from qanalysis.training.tracker import replay
from sample_models import statistics_path
from tests.charts.tracks import A6, A6_STEPS
from tests.dashboard.scenes import ask, read_charts, read_components, read_scene, read_table

A6_CSV = "step,layer,kind,absmax,mean,std\n" + "".join(
    f"{step},fc,input,{value},{value / 5},{value / 6}\n" for step, value in enumerate(A6)
)


def _show_page() -> None:
    from qanalysis.dashboard.main import PAGES, show_page

    show_page(next(page for page in PAGES if page.path == "tracker"))


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QANALYSIS_ROOT", str(tmp_path))
    (tmp_path / "a6.csv").write_text(A6_CSV, encoding="utf-8")
    return tmp_path


def open_page(**parameters: Any) -> AppTest:
    page = AppTest.from_function(_show_page, default_timeout=60)
    for key, value in parameters.items():
        page.query_params[key] = value
    page.run()
    assert not page.exception
    return page


def texts(page: AppTest) -> str:
    elements = (*page.markdown, *page.caption, *page.error, *page.warning, *page.info)
    return "\n".join(element.value for element in elements).replace("\\", "")


def rules_of(page: AppTest) -> list[str]:
    return [box.value for box in page.text_input if box.key.startswith("rule-")]


def trace_of(page: AppTest, panel: str, name: str) -> dict[str, Any]:
    return next(trace for trace in read_charts(page)[panel]["figure"]["data"] if trace.get("name") == name)


def decode(packed: Any) -> list[float]:
    return np.frombuffer(base64.b64decode(packed["bdata"]), packed["dtype"]).tolist() if "bdata" in packed else packed


def test_the_example_is_analysed_at_once_and_shows_the_totals_of_the_engine() -> None:
    page = open_page()
    log = read_statistics(statistics_path("digits-mlp-training"))
    totals = [replay(log, [Recipe.parse(rule)]).totals[0] for rule in DEFAULT_RULES]
    shown = read_table(page, "rules-table")
    assert shown["row"] == list(DEFAULT_RULES)
    for column in ("sqnr_db", "adjustments", "checks", "clipping", "relative_clipped_energy"):
        assert shown[column] == [getattr(one, column) for one in totals]
    best = max(totals, key=lambda one: (one.sqnr_db, -one.adjustments))
    assert f"{best.configuration} loses least: SQNR {decibels(best.sqnr_db)} (estimated)" in texts(page)
    assert "3 layers, 17 series, steps 0 to 199, 3,400 rows" in texts(page)


def test_a_log_of_ones_own_shows_the_sequence_of_a6() -> None:
    page = open_page(log="a6.csv", rules=["up-step + down"])
    assert decode(trace_of(page, "t-precision", "up-step + down")["y"]) == list(A6_STEPS)
    assert decode(trace_of(page, "t-range", "absmax")["y"]) == list(A6)
    told = read_table(page, "events-table")
    assert told["step"] == [1, 3, 4, 5, 6, 8]
    assert told["event"][0] == "absmax 3 ≥ pos 0.9922: s −7 → −5"


def test_a_wrong_rule_is_told_at_its_box_and_the_result_stays() -> None:
    page = open_page(log="a6.csv", rules=["up-step + down"])
    page.text_input(key="rule-0").set_value("up-stp + down").run()
    assert page.text_input(key="rule-0").value == "up-stp + down"
    assert "rule 'up-stp' is unknown; did you mean up-step? ranges are" in texts(page)
    assert decode(trace_of(page, "t-precision", "up-step + down")["y"]) == list(A6_STEPS)
    page.text_input(key="rule-0").set_value("up-gradual bits=8 + down").run()
    assert "is unknown" not in texts(page)
    assert page.text_input(key="rule-0").value == "up-gradual + down"
    # A7, the same sequence
    assert decode(trace_of(page, "t-precision", "up-gradual + down")["y"]) == [-7, -6, -5, -4, -4, -5, -6, -6, -7]


def test_rules_are_added_by_a_pick_or_a_text_and_taken_out() -> None:
    page = open_page(log="a6.csv", rules=["up-step + down"])
    page.selectbox(key="rule-new").set_value("minmax").run()
    assert rules_of(page) == ["up-step + down", "minmax"]
    assert page.selectbox(key="rule-new").value is None
    page.selectbox(key="rule-new").set_value("minmax").run()
    assert "stands there already" in texts(page)
    page.button(key="remove-0").click().run()
    assert rules_of(page) == ["minmax"]
    assert "stands there already" not in texts(page)
    assert page.button(key="remove-0").disabled
    page.text_input(key="rule-0").set_value("lsq").run()
    assert "lsq learns by gradient; statistics hold none" in texts(page)
    assert read_table(page, "rules-table")["row"] == ["minmax"]


def test_a_click_on_the_map_an_event_and_a_rule_is_followed() -> None:
    page = open_page()
    ask(page, "charts", {"layer": "fc1", "scheme": "weight", "step": 199})
    assert (page.selectbox(key="layer").value, page.selectbox(key="kind").value) == ("fc1", "weight")
    assert read_charts(page)["t-range"]["alt"].startswith("absmax of fc1 · weight over 200 steps")
    ask(page, "charts", {"step": 17})
    assert read_components(page)["charts"]["at"]["step"] == 17
    page.segmented_control(key="events").set_value("all").run()
    told = read_table(page, "events-table")
    ask(page, "events-table", {"row": told["row"][5]})
    assert read_components(page)["charts"]["at"]["step"] == told["step"][5]
    assert " · ".join(page.selectbox(key=key).value for key in ("layer", "kind")) == told["series"][5]
    ask(page, "rules-table", {"row": "ema"})
    page.selectbox(key="cells").set_value("sqnr").run()
    assert read_charts(page)["t-map"]["alt"].endswith("Rule: ema.")


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"step": "5"},
        {"step": True},
        {"step": 99},
        {"layer": "x", "scheme": "weight"},
        {"layer": ["fc1"], "scheme": 1},
    ],
)
def test_words_that_mean_nothing_change_nothing(asked: dict[str, Any]) -> None:
    take_choice({"step": 1, "layer": "a", "scheme": "input"}, frozenset({("a", "input")}), frozenset({1, 5}), asked)


def test_the_slider_tells_how_each_rule_stands_at_each_step() -> None:
    page = open_page(log="a6.csv", rules=["up-step + down"], step="3")
    assert read_scene(page, "charts")["control"]["steps"] == list(range(9))
    (fact,) = read_charts(page)["t-facts"]["lines"]
    assert fact["text"] == "s = −3, pos 15.88"
    assert "absmax 12 ≥ pos 3.969: s −5 → −3" in fact["note"]
    assert read_charts(page)["t-range"]["marks"]["shapes"][0]["x0"] == 3


def test_block_scales_are_shown_where_they_were_recorded() -> None:
    assert "t-blocks" in read_charts(open_page(layer="fc2", kind="weight", step="10"))
    assert "t-blocks" not in read_charts(open_page(log="a6.csv"))


def test_a_link_says_what_it_could_not_mean() -> None:
    page = open_page(log="a6.csv", rules=["up-step", "foo"], layer="nolayer", kind="weight", step="77", zoom="3")
    (notice,) = [element.value.replace("\\", "") for element in page.warning]
    for word in ("zoom=3", "rules=foo", "layer=nolayer", "kind=weight", "step=77"):
        assert word in notice
    assert page.selectbox(key="layer").value == "fc"
    assert "layer" not in page.query_params


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("empty.csv", "step,layer,kind,absmax\n", "holds no row of statistics"),
        ("other.csv", "a,b\n1,2\n", "without the columns step, layer, absmax"),
        ("blank.csv", "step,layer,kind,absmax\n0,fc,input,\n1,fc,input,\n", "has no absmax in any row"),
        ("below.csv", "step,layer,kind,absmax\n-1,fc,input,1\n", "step -1 is below 0"),
        ("kind.csv", "step,layer,kind,absmax\n0,fc,wgrad,1\n", "kind is 'wgrad'"),
    ],
)
def test_a_log_that_can_not_be_read_is_told_in_place(root: Path, name: str, content: str, told: str) -> None:
    (root / name).write_text(content, encoding="utf-8")
    page = open_page(log=name)
    assert told in texts(page)
    assert not read_components(page)


@pytest.mark.parametrize(
    ("lines", "steps"),
    [
        (["7,fc,input,1,0.2,0.1"], [7]),
        (["0,fc,input,0,0,0", "1,fc,input,0,0,0"], [0, 1]),
        (["0,fc,input,inf,,"], [0]),
        (["2,fc,input,3,0.2,0.1", "0,fc,input,1,0.2,0.1", "0,fc,input,2,0.2,0.1", "1,fc,input,,,"], [0, 2]),
        (["0,<b>x</b>%{y},input,1,0.2,0.1", "5,<b>x</b>%{y},input,inf,0.2,0.1"], [0, 5]),
    ],
    ids=["one row", "zeros", "nothing finite", "gaps, repeated and unsorted", "markup and an infinite step"],
)
def test_odd_logs_are_drawn(root: Path, lines: list[str], steps: list[int]) -> None:
    (root / "odd.csv").write_text("\n".join(["step,layer,kind,absmax,mean,std", *lines]) + "\n", encoding="utf-8")
    page = open_page(log="odd.csv", rules=["up-step + down", "ema", "minmax", "counts", "fp8_e4m3 + ema", "asym + ema"])
    assert set(read_scene(page, "charts")["control"]["steps"]) <= set(steps)
    assert not page.error
    assert read_charts(page)["t-range"]["alt"]


def test_a_thousand_layers_are_drawn_in_part(root: Path) -> None:
    lines = [
        f"{step},layer.{place}.weight_of_a_long_name,weight,{place + step + 1},0.3,0.2"
        for place in range(1000)
        for step in range(3)
    ]
    (root / "wide.csv").write_text("\n".join(["step,layer,kind,absmax,mean,std", *lines]) + "\n", encoding="utf-8")
    page = open_page(log="wide.csv", layer="layer.900.weight_of_a_long_name", events="all")
    shown = read_charts(page)["t-map"]
    assert "24 of 1000 layers" in shown["figure"]["layout"]["title"]["subtitle"]["text"]
    assert "t-raster" in read_charts(page)
    assert len(read_table(page, "events-table")["row"]) <= 500


@pytest.mark.parametrize("text", ["missing.csv", "../other.csv", "sample:none", "upload:00/none.csv"])
def test_a_log_that_is_not_there_is_told_without_a_trace(text: str) -> None:
    page = open_page(log=text)
    assert page.error
    assert str(Path.cwd()) not in texts(page)


def test_layers_are_narrowed_by_a_pattern_and_a_wrong_one_is_told() -> None:
    page = open_page(find="fc[12]")
    assert page.selectbox(key="layer").options == ["fc1", "fc2"]
    page.text_input(key="find").set_value("[").run()
    assert "is not a regular expression" in texts(page)
    page.text_input(key="find").set_value("nothing").run()
    assert "no row is left of the kinds and layers asked for" in texts(page)


def test_an_upload_is_read_as_any_other_log() -> None:
    text = get_logs().save("mine.csv", A6_CSV.encode())
    page = open_page(log=text, rules=["up-step + down"])
    assert "mine.csv: up-step + down" in texts(page)
    assert "mine.csv" in page.code[2].value


def test_a_folder_with_a_link_that_leaves_the_root_is_refused(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "secret.log"
    outside.write_text("x", encoding="utf-8")
    (root / "logs").mkdir()
    (root / "logs" / "a.log").symlink_to(outside)
    assert "leaves the root folder" in texts(open_page(log="logs"))


def test_the_choices_of_the_sources_rewrite_the_rules() -> None:
    page = open_page(log="a6.csv", rules=["up-step", "counts", "minmax"])
    assert page.segmented_control(key="t-exponent").value == "covering"
    page.segmented_control(key="t-exponent").set_value("source").run()
    page.segmented_control(key="t-mean").set_value("literal").run()
    assert rules_of(page) == ["up-step exponent=source", "counts mean=literal", "minmax"]
    examples = [frame.value.iloc[:, :2].to_numpy().tolist() for frame in page.dataframe if frame.value.shape[1] > 2]
    assert [["source", "−7"], ["library", "−6"], ["covering", "−6"]] in examples
    assert [["literal", "5.54"], ["guarded", "6.05"]] in examples


def test_the_downloads_hold_all_rules_and_the_lines_of_python_make_the_same(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_page(log="a6.csv", rules=["up-step + down", "minmax"])
    recorded = find_log("a6.csv", "")
    table = join_tables(recorded, ("up-step + down", "minmax"), None)
    document = json.loads(render_file(table, ".json", Extras()))
    assert len(document["rows"]) == 18
    assert [one["configuration"] for one in document["totals"]] == ["up-step + down", "minmax"]
    assert document["settings"]["rule"] == ["up-step + down", "minmax"]
    command, python = (element.value for element in page.code[1:3])
    assert command == "qanalysis track a6.csv --rule 'up-step + down' --rule minmax --out track.csv"
    monkeypatch.chdir(root)
    made: dict[str, Any] = {}
    exec(python, made)
    assert made["rows"].rows == table.rows
    assert made["rows"].totals == table.totals
    assert dict(made["rows"].settings) == dict(table.settings)


def test_a_link_to_rules_that_this_log_can_not_replay_tells_it_at_their_boxes(root: Path) -> None:
    (root / "bare.csv").write_text("step,layer,kind,absmax\n0,fc,input,1\n1,fc,input,3\n", encoding="utf-8")
    page = open_page(log="bare.csv", rules=["up-distribution", "up-step"])
    assert "up-distribution goes by mean and std of |x|, and bare.csv lacks mean and std" in texts(page)
    assert read_table(page, "rules-table")["row"] == ["up-step"]
    assert "no error energy is known" in texts(page)
    page = open_page(log="bare.csv", rules=["up-distribution"])
    assert "No rule can be replayed over this log" in texts(page)


def test_a_long_replay_is_asked_for_and_can_be_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replaying, "estimate_seconds", lambda _log: 100.0)
    page = open_page(log="a6.csv", rules=["up-step bits=7"])
    assert "charts" not in read_components(page)
    assert "Replay 9 steps, rules: 1, about" in page.button(key="replay").label
    page.button(key="replay").click().run()
    assert "charts" in read_components(page)


def test_the_example_is_opened_by_its_name_everywhere() -> None:
    page = open_page(rules=["up-step"])
    assert page.code[1].value == "qanalysis track sample:digits-mlp-training --rule up-step --out track.csv"
    made: dict[str, Any] = {}
    exec(page.code[2].value, made)
    assert len(made["rows"]) == 3400


def test_the_report_holds_the_charts_of_the_series_in_view() -> None:
    scene = Scene(find_log("a6.csv", ""), ("up-step + down",), None, SeriesName("fc", "input"), "absmax", 0)
    table = join_tables(scene.recorded, scene.rules, scene.epoch)
    page = render_file(table, ".html", Extras(pictures=list_pictures(scene))).decode()
    for heading in ("Range over absmax", "Precision", "Error energy", "Checks and changes"):
        assert heading in page


@pytest.mark.parametrize("name", ["events.out.tfevents.1", "nvdlfw_inspect_globalrank-0.log"])
def test_logs_of_other_tools_are_opened(root: Path, name: str) -> None:
    data = Path(__file__).parents[2] / "training" / "statistics" / "data"
    shutil.copy(data / name, root / name)
    page = open_page(log=name, rules=["up-step + down"])
    assert read_charts(page)["t-range"]["alt"].startswith("absmax of ")


def test_undo_takes_a_rule_back() -> None:
    page = open_page(log="a6.csv", rules=["up-step"])
    page.selectbox(key="rule-new").set_value("minmax").run()
    page.button(key="undo").click().run()
    assert rules_of(page) == ["up-step"]
    assert TrackerView().rules == DEFAULT_RULES
