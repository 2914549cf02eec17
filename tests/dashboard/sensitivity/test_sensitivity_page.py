"""Page Sensitivity: a run to its end and one that is cancelled, saved rows, links; every number that of a row."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from qanalysis.dashboard import sensitivities
from qanalysis.dashboard.export import name_file
from qanalysis.dashboard.jobs import Snapshot
from qanalysis.dashboard.progress import describe_job
from qanalysis.dashboard.runnable_models import list_models
from qanalysis.dashboard.sensitivities import (
    SensitivityRequest,
    SensitivityStep,
    get_sensitivities,
    run_sensitivity,
    tell_measurement,
)
from qanalysis.dashboard.sensitivity.running import write_command
from qanalysis.dashboard.sensitivity.view import SensitivityView
from qanalysis.dashboard.views import read_address, spell_view
from qanalysis.notation import count
from qanalysis.reports.kinds import outline
from qanalysis.reports.report import write_report
from qanalysis.reports.sensitivity_sections import outline_sensitivity
from qanalysis.results.document import to_json
from tests.charts.sensitivities import EVIL, TENSORS, make_table
from tests.dashboard.scenes import ask, read_charts, read_components, read_table
from tests.models.running import onnx_models


def _show_page() -> None:
    from qanalysis.dashboard.main import PAGES, show_page

    show_page(next(page for page in PAGES if page.path == "sensitivity"))


def open_sensitivity(**parameters: str | list[str]) -> AppTest:
    page = AppTest.from_function(_show_page, default_timeout=120)
    for key, value in parameters.items():
        page.query_params[key] = value
    page.run()
    assert not page.exception
    return page


def keys(page: AppTest) -> set[str]:
    return {button.key for button in page.button}


def settle(page: AppTest, *, seconds: float = 120) -> AppTest:
    end = time.monotonic() + seconds
    while "cancel" in keys(page):
        assert time.monotonic() < end, "the measurement did not end"
        time.sleep(0.05)
        page.run()
        assert not page.exception
    return page


def told(page: AppTest) -> str:
    kinds = ("caption", "markdown", "error", "warning", "info")
    return " ".join(element.value.replace("\\", "") for kind in kinds for element in page.get(kind))


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QANALYSIS_ROOT", str(tmp_path))
    return tmp_path


@pytest.fixture
def saved(root: Path) -> AppTest:
    """The page with rows that were measured before."""
    write_report(make_table(), root / "rows.json")
    return open_sensitivity(model="rows.json")


class TestSavedRows:
    def test_headline_conditions_and_warning_are_those_of_the_report(self, saved: AppTest) -> None:
        expected = outline_sensitivity(make_table())
        assert expected.headline in told(saved)
        assert " · ".join(expected.under) in told(saved)
        assert expected.warnings[0] in told(saved)
        assert "run" not in keys(saved)

    def test_every_number_of_the_charts_and_the_table_is_that_of_a_row(self, saved: AppTest) -> None:
        rows = {(row.tensor, row.scheme): row for row in make_table() if row.mode == "enable-one"}
        charts = read_charts(saved)
        cells = charts["s-map"]["figure"]["data"][0]["customdata"]
        assert {tuple(cell[:2]): cell[2] for line in cells for cell in line} == {
            place: row.output_sqnr_db for place, row in rows.items()
        }
        for trace in charts["s-bars"]["figure"]["data"]:
            if trace["type"] == "bar":
                for (tensor, scheme), value in zip(trace["customdata"], trace["x"], strict=True):
                    assert value == rows[tensor, scheme].output_sqnr_db
        table = read_table(saved, "ranks")
        assert table["row"] == list(TENSORS)
        assert table["rank"] == [1, 2, 2, 4]
        for name in ("output_sqnr_db", "output_kl", "accuracy", "layer_output_error"):
            assert table[name] == [getattr(rows[tensor, "int4 channel"], name) for tensor in table["row"]]

    def test_a_click_puts_layer_and_scheme_in_view_and_in_the_address(self, saved: AppTest) -> None:
        page = ask(saved, "charts", {"layer": "fc1.weight", "scheme": "int8 channel", "seq": 1})
        assert not page.exception
        assert page.selectbox(key="layer").value == "fc1.weight"
        assert page.selectbox(key="scheme").value == "int8 channel"
        assert dict(page.query_params) == {
            "model": "rows.json",
            "scheme": "int8 channel",
            "layer": "fc1.weight",
        }
        assert read_components(page)["charts"]["at"] == {"layer": "fc1.weight", "scheme": "int8 channel"}

    @pytest.mark.parametrize("asked", [{"layer": "x"}, {"layer": 3, "scheme": None}, {"scheme": ["int8"]}, {"seq": 1}])
    def test_what_a_browser_may_say_besides_changes_nothing(self, saved: AppTest, asked: dict[str, Any]) -> None:
        page = ask(saved, "charts", asked)
        assert not page.exception
        assert page.selectbox(key="layer").value == "conv1.weight"

    def test_another_measure_orders_the_charts_by_it(self, saved: AppTest) -> None:
        page = saved.selectbox(key="metric").set_value("loss_delta").run()
        assert not page.exception
        assert "rank" not in read_table(page, "ranks")
        bars = [trace for trace in read_charts(page)["s-bars"]["figure"]["data"] if trace["type"] == "bar"]
        assert [trace["x"] for trace in bars] == [[row.loss_delta for row in make_table()[:8:2]]]

    def test_the_link_to_page_layers_names_source_layer_and_scheme(self, saved: AppTest) -> None:
        (link,) = saved.get("link_button")
        assert link.proto.url == "./?source=sample%3Adigits-cnn&layer=conv1.weight&scheme=int4+channel"

    def test_a_link_to_what_the_rows_do_not_have_is_told(self, root: Path) -> None:
        write_report(make_table(), root / "rows.json")
        page = open_sensitivity(model="rows.json", layer="gone", metric="hawq", mode="disable-one", ranking="best")
        for word in ("layer=gone", "metric=hawq", "mode=disable-one", "ranking=best"):
            assert word in told(page)
        assert page.selectbox(key="layer").value == "conv1.weight"

    @pytest.mark.parametrize("suffix", [".json", ".parquet", ".csv"])
    def test_rows_of_every_suffix_open(self, root: Path, suffix: str) -> None:
        write_report(make_table(), root / f"rows{suffix}")
        page = open_sensitivity(model=f"rows{suffix}")
        assert "conv1.weight hurts most, Output SQNR 10.00 dB [9.00, 11.00]" in told(page)

    def test_rows_of_another_command_and_no_rows_are_refused_in_one_line(self, root: Path) -> None:
        (root / "rows.csv").write_text("a,b\n1,2\n")
        page = open_sensitivity(model="rows.csv")
        assert len(page.error) == 1
        assert str(root) not in page.error[0].value
        assert EVIL not in told(page)


class TestRun:
    def test_a_small_sample_is_measured_without_a_click_and_found_again(self) -> None:
        words = {"model": "sample:digits-mlp", "samples": "20", "schemes": "int3 channel"}
        page = settle(open_sensitivity(**words))
        (job,) = [one for one in _jobs() if (one.request.samples, one.request.metric) == (20, "output_sqnr_db")]
        rows = job.snapshot.rows
        table = read_table(page, "ranks")
        assert sorted(table["output_sqnr_db"]) == sorted(rows.column("output_sqnr_db").tolist())
        assert outline_sensitivity(rows).headline in told(page)
        assert re.search(r"Complete: \d+ runs of the model in", told(page))
        again = open_sensitivity(**words)
        assert "cancel" not in keys(again)
        assert read_table(again, "ranks") == table
        assert name_file(rows, ".json") == "sensitivity-digits-mlp.json"

    def test_ranks_go_by_another_measure_where_a_person_asks_for_it(self) -> None:
        page = settle(open_sensitivity(model="sample:digits-mlp", samples="20", schemes="int3 channel"))
        page = page.selectbox(key="metric").set_value("loss_delta").run()
        assert "Ranks and ties go by Output SQNR." in told(page)
        assert "rank" not in read_table(page, "ranks")
        page = settle(page.button(key="rank").click().run())
        assert dict(page.query_params)["ranking"] == "loss_delta"
        (job,) = [one for one in _jobs() if one.request.metric == "loss_delta"]
        rows = job.snapshot.rows
        assert rows.settings["metric"] == "loss_delta"
        assert sorted(read_table(page, "ranks")["rank"]) == sorted(row.rank for row in rows)
        assert "--metric loss_delta" in write_command(job.request)

    def test_an_onnx_file_with_data_of_ones_own_is_measured(self, root: Path) -> None:
        rng = np.random.default_rng(0)
        arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in (("a", (6, 8)), ("b", (8, 3)))}
        made = onnx_models.make(
            [onnx_models.node("MatMul", ["x", "a"], ["h"]), onnx_models.node("MatMul", ["h", "b"], ["y"])],
            arrays,
            [onnx_models.value("x", ["n", 6])],
        )
        onnx_models.save(root / "net.onnx", made)
        np.savez(root / "own.npz", x=rng.normal(size=(9, 6)).astype(np.float32), y=rng.integers(0, 3, 9))
        page = open_sensitivity(model="net.onnx", data="own.npz", schemes="int4 channel")
        page = settle(page.button(key="run").click().run())
        assert "does to the output of net.onnx, over 9 samples" in told(page)
        assert sorted(read_table(page, "ranks")["row"]) == ["a", "b"]
        (link,) = page.get("link_button")
        assert "source=net.onnx" in link.proto.url

    def test_a_long_one_waits_for_its_button_and_tells_the_command(self) -> None:
        page = open_sensitivity(model="sample:words-transformer")
        assert "a link never starts a long run" in told(page)
        assert "run" in keys(page)
        (code,) = page.code[:1]
        assert code.value == (
            "qanalysis sensitivity sample:words-transformer --calib sample --scheme 'int4 channel' "
            "--scheme 'int8 channel' --out rows.json"
        )

    @pytest.mark.parametrize(
        ("model", "told_of"),
        [("os:abort", "a page runs none"), ("../x.onnx", "outside the root"), ("missing", "does not exist")],
    )
    def test_what_can_not_be_opened_is_one_fault_and_the_sidebar_stays(self, model: str, told_of: str) -> None:
        page = open_sensitivity(model=model)
        (fault,) = page.error
        assert told_of in fault.value.replace("\\", "")
        assert page.selectbox(key="model").value == model

    def test_data_of_a_wrong_shape_fails_in_one_line(self, root: Path) -> None:
        np.savez(root / "bad.npz", x=np.zeros((3, 5), np.float32))
        page = open_sensitivity(model="sample:digits-mlp", data="bad.npz")
        page = settle(page.button(key="run").click().run())
        (fault,) = page.error
        assert "the model does not run on" in fault.value.replace("\\", "")
        assert str(root) not in fault.value


def _jobs() -> list[Any]:
    return list(get_sensitivities()._jobs.values())


REQUEST = SensitivityRequest("sample:digits-mlp", "sample", "", ("int4 channel",), samples=8)


class TestJobs:
    def test_the_rows_are_those_of_the_command_and_hold_no_path(self, root: Path) -> None:
        rng = np.random.default_rng(0)
        np.savez(root / "mine.npz", x=rng.random((6, 1, 8, 8), np.float32), y=rng.integers(0, 10, 6))
        steps: list[SensitivityStep] = []
        request = SensitivityRequest("sample:digits-mlp", "mine.npz", "", ("int4 channel",), include="fc[12]")
        table = run_sensitivity(request, steps.append, threading.Event())
        assert [row.tensor for row in table] == ["fc1.weight", "fc2.weight"]
        assert table.settings["calibration"] == "mine.npz"
        assert str(root) not in to_json(table)
        shares = [step.share_done for step in steps]
        assert shares == sorted(shares)
        assert 0 < shares[-1] <= 1

    def test_a_cancelled_one_keeps_what_is_done(self) -> None:
        cancel = threading.Event()
        table = run_sensitivity(REQUEST, lambda _step: cancel.set(), cancel)
        assert not table.complete
        assert len(table) < 3

    def test_equal_requests_are_one_job_and_every_part_counts(self) -> None:
        assert (
            REQUEST.digest == SensitivityRequest("sample:digits-mlp", "sample", "", ("int4 channel",), samples=8).digest
        )
        assert len({SensitivityRequest("m", "d", "", ("int4",), **one).digest for one in PARTS}) == len(PARTS)

    @pytest.mark.parametrize(
        ("snapshot", "line"),
        [
            (Snapshot(), "Waiting for another measurement to end"),
            (Snapshot("running"), "Loading the model and its data"),
            (Snapshot("failed"), "The measurement failed"),
            (Snapshot("cancelled"), "Cancelled before the first run"),
            (Snapshot("running", SensitivityStep("fc1", 3, 12, 2.0)), "fc1: 3 of 12 runs of the model, 2.0 s left"),
            (
                Snapshot("cancelled", SensitivityStep("fc1", 3, 12, None)),
                "Incomplete, cancelled: 3 of 12 runs of the model",
            ),
            (Snapshot("failed", SensitivityStep("", 3, 12, None)), "Incomplete, stopped: 3 of 12 runs of the model"),
            (Snapshot("done", SensitivityStep("", 12, 12, 0), seconds=3.2), "Complete: 12 runs of the model in 3.2 s"),
        ],
    )
    def test_where_one_stands_is_told_in_one_line(self, snapshot: Any, line: str) -> None:
        assert tell_measurement(snapshot) == line
        assert describe_job(REQUEST, snapshot).replace("\\", "") == f"the sensitivity of sample:digits-mlp, {line}"


PARTS: list[dict[str, Any]] = [
    {},
    {"targets": ("both",)},
    {"modes": ("cumulative",)},
    {"weights": "w"},
    {"include": "a"},
    {"samples": 3},
    {"length": 3},
    {"kind": "forms"},
    {"metric": "output_kl"},
]


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Measurements tell one step and then wait for the event, or to be cancelled."""
    go_on = threading.Event()

    def run_late(request: Any, on_progress: Any, cancel: threading.Event) -> Any:
        on_progress(SensitivityStep("fc1", 1, 4, 3.0))
        end = time.monotonic() + 60
        while not (go_on.is_set() or cancel.wait(0.01)) and time.monotonic() < end:
            pass
        return make_table(complete=not cancel.is_set())

    monkeypatch.setattr(sensitivities, "run_sensitivity", run_late)
    get_sensitivities.clear()
    yield go_on
    go_on.set()
    for job in get_sensitivities().active():
        assert job.wait(60)
    get_sensitivities.clear()


class TestRunning:
    def test_progress_is_told_and_cancel_keeps_the_rows(self, slow: threading.Event) -> None:
        page = open_sensitivity(model="sample:digits-mlp", samples="7")
        assert "cancel" in keys(page)
        other = open_sensitivity(model="sample:digits-mlp", samples="7")  # another tab, or this one after a reload
        assert "cancel" in keys(other)
        page = settle(page.button(key="cancel").click().run())
        assert "Incomplete, cancelled: 1 of 4 runs of the model" in told(page)
        assert "cancelled, rows so far" in told(page)
        assert "Partial: the measurement was cancelled" in told(page)
        assert read_table(page, "ranks")["row"] == list(TENSORS)
        assert "again" in keys(page)


class TestView:
    def test_one_scheme_in_a_link_is_put_in_view_and_measured_along(self) -> None:
        address = read_address(SensitivityView, {"scheme": ["int6   channel"]})
        assert address.view.scheme == "int6 channel"
        assert address.view.schemes == ("int4 channel", "int8 channel", "int6 channel")
        assert read_address(SensitivityView, spell_view(address.view)).view == address.view

    def test_a_scheme_that_is_none_is_refused_with_a_reason(self) -> None:
        address = read_address(SensitivityView, {"scheme": ["int99"]})
        assert address.view == SensitivityView()
        assert address.refusals

    def test_the_command_spells_every_choice(self) -> None:
        request = SensitivityRequest(
            "encoder", "text.txt", "", ("int4",), ("weights", "both"), ("cumulative",), "w.npz", "q|k", 5, 64
        )
        assert write_command(request) == (
            "qanalysis sensitivity encoder --calib text.txt --scheme int4 --target weights,both --mode cumulative "
            "--weights w.npz --include 'q|k' --samples 5 --length 64 --out rows.json"
        )


class TestOtherKinds:
    def test_forms_are_measured_by_their_button_and_shown_as_rows(self) -> None:
        page = open_sensitivity(model="sample:digits-mlp", samples="12", tab="forms")
        assert "qanalysis forms sample:digits-mlp --calib sample --samples 12 --out rows.json" in page.code[0].value
        page = settle(page.button(key="run").click().run())
        (job,) = [one for one in _jobs() if one.request.kind == "forms"]
        rows = job.snapshot.rows
        table = read_table(page, "forms-table")
        assert table["form"] == [row.form for row in rows]
        assert table["accuracy"] == [row.accuracy for row in rows]
        assert table["size_bytes"] == [row.size_bytes for row in rows]
        assert outline(rows).headline in told(page)
        assert name_file(rows, ".csv") == "forms-digits-mlp.csv"
        other = open_sensitivity(model="sample:digits-mlp", samples="12", tab="forms", schemes="int2 channel")
        assert "run" not in keys(other)  # schemes are none of theirs

    def test_activations_are_measured_by_their_button_and_shown_as_rows(self) -> None:
        page = open_sensitivity(model="sample:digits-mlp", samples="12", tab="activations", schemes="int4 channel")
        page = settle(page.button(key="run").click().run())
        (job,) = [one for one in _jobs() if one.request.kind == "activations"]
        rows, seen = job.snapshot.rows, job.snapshot.rows.more["activations"]
        assert {row.kind for row in rows} == {"activation"}
        cells = read_charts(page)["a-map"]["meta"]["cells"]
        assert [layer["name"] for layer in cells["layers"]] == [row.tensor for row in rows]
        assert read_table(page, "seen-table")["crest_db"] == [layer["crest_db"] for layer in seen["layers"]]
        assert read_table(page, "cures-table")["plain_db"] == [cure["plain_db"] for cure in seen["cures"]]
        assert "over 12 samples" in told(page)

    @pytest.mark.parametrize("command", ["forms", "activations"])
    def test_their_saved_rows_open_too(self, command: str, root: Path) -> None:
        request = SensitivityRequest("sample:digits-mlp", "sample", "", ("int4 channel",), samples=6, kind=command)
        table = run_sensitivity(request, lambda _step: None, threading.Event())
        write_report(table, root / "rows.json")
        assert str(root) not in (root / "rows.json").read_text()
        page = open_sensitivity(model="rows.json")
        assert not page.error
        assert f"{count(len(table), 'rows')} with every column" in told(page)
        list_models.clear()
        assert list_models(str(root)) == ["rows.json"]
