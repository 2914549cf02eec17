"""Page Plan: swept samples, files of rows and saved plans; every number that of the plan, links told and never fatal."""

from __future__ import annotations

import base64
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from qanalysis import default_schemes, open_checkpoint, sweep
from qanalysis.dashboard.export import Extras, render_file
from qanalysis.dashboard.plan.patterns import name_all, write_patterns
from qanalysis.dashboard.plan.view import PlanView, parse_pin
from qanalysis.dashboard.plans import holds_plan, list_plan_sources, open_rows
from qanalysis.dashboard.views import read_address, spell_view
from qanalysis.models.sensitivity.row import SensitivityRow
from qanalysis.notation import plain
from qanalysis.plans.plan import Plan
from qanalysis.plans.planning import plan_bits
from qanalysis.plans.reopening import choose_again
from qanalysis.reports.report import read_result, write_report
from qanalysis.results.table import Table
from qanalysis.sweeps.row import Rows
from tests.charts.plans import make_plan
from tests.charts.sensitivities import make_table
from tests.dashboard.opening import prepare_page, settle, told
from tests.dashboard.scenes import ask, read_components, read_scene


def open_plan(**parameters: str | list[str]) -> AppTest:
    return settle(prepare_page("plan", **parameters).run())


def read_choice(page: AppTest) -> dict[str, str]:
    """The scheme of each layer as the browser is told it, from the packed choice."""
    plan, at = read_scene(page, "charts")["plan"], read_components(page)["charts"]["at"]
    starts, schemes = (unpack_array(plan[name]) for name in ("starts", "schemes"))
    return {
        name: plan["words"][schemes[starts[place] + at["exact"]["choice"][place]]]
        for place, name in enumerate(plan["names"])
    }


def unpack_array(packed: dict[str, str]) -> list[int]:
    return np.frombuffer(base64.b64decode(packed["bdata"]), packed["dtype"]).tolist()


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QANALYSIS_ROOT", str(tmp_path))
    return tmp_path


@pytest.fixture
def saved(root: Path) -> Plan:
    plan = make_plan(6)
    write_report(plan, root / "plan.json")
    return plan


@pytest.fixture(scope="module")
def rows() -> Rows:
    with open_checkpoint("sample:digits-mlp") as source:
        return sweep(source, default_schemes())


class TestSweptSample:
    def test_the_plan_is_that_of_the_same_rows_in_python(self, rows: Rows) -> None:
        page = open_plan(source="sample:digits-mlp", budget="5")
        plan = plan_bits(rows, budget_bpw=5)
        assert read_choice(page) == plan.assignments
        assert read_components(page)["charts"]["at"]["step"] == 5

    def test_pooled_figures_are_held_for_every_candidate(self, rows: Rows) -> None:
        plan = read_scene(open_plan(source="sample:digits-mlp"), "charts")["plan"]
        errors, starts = unpack_array(plan["errors"]), unpack_array(plan["starts"])
        by_tensor = {(row.tensor, row.scheme): row.mse * row.numel for row in rows}
        schemes = unpack_array(plan["schemes"])
        for place, name in enumerate(plan["names"]):
            for at in range(starts[place], starts[place + 1]):
                expected = by_tensor[name, plan["words"][schemes[at]]]
                assert errors[at] == pytest.approx(expected, rel=1e-12)

    def test_a_front_fetched_once_serves_all_budgets(self) -> None:
        asked = [open_plan(source="sample:digits-mlp", budget=text) for text in ("3", "7")]  # none of its points
        assert len({read_components(page)["charts"]["scene"] for page in asked}) == 1

    def test_a_budget_below_reach_is_told_with_the_nearest_and_that_is_shown(self) -> None:
        page = open_plan(source="sample:digits-mlp", budget="0.5")
        assert "the budget 0.5 can not be kept: the smallest plan has 2.002 bits per weight" in told(page)
        at = read_components(page)["charts"]["at"]
        assert 1.9 < at["step"] < 2.2

    def test_a_lock_by_hand_is_a_pin_that_can_be_undone(self) -> None:
        page = open_plan(source="sample:digits-mlp", budget="5")
        before = read_choice(page)
        box = next(one for one in page.selectbox if one.key.startswith("scheme "))
        tensor = page.selectbox(key="layer").value
        box.set_value("int8 channel" if before[tensor] != "int8 channel" else "int3 channel")
        page.run()
        settle(page)
        wanted = box.value
        assert read_choice(page)[tensor] == wanted
        assert page.query_params["lock"] in ([f"{tensor}={wanted}"], f"{tensor}={wanted}")
        table = read_scene(page, "charts")["panels"]["p-layers"]["table"]
        locked = next(column["texts"] for column in table["columns"] if column["name"] == "lock")
        assert dict(zip(table["rows"], locked, strict=True))[tensor] == "locked"
        page.button(key="undo").click().run()
        assert read_choice(page) == before
        assert "lock" not in page.query_params


class TestWhatCanNotBeKept:
    @pytest.mark.parametrize(
        ("asked", "message"),
        [
            ({"exclude": "("}, "exclude '(' is not a regular expression"),
            ({"pins": ["fc=int8 channel", "fc1=int4 channel"]}, "pins contradict each other"),
            ({"pins": "nothing=int8"}, "matches none of the 3 tensors"),
            ({"most": "1", "pins": ["fc1=int8 channel", "fc2=int4 channel"]}, "at least 2 are needed"),
        ],
        ids=["a broken expression", "two pins of a tensor", "a pin of nothing", "formats against pins"],
    )
    def test_it_is_one_message_in_place_of_the_plan(self, asked: dict[str, str | list[str]], message: str) -> None:
        page = open_plan(source="sample:digits-mlp", **asked)
        assert len(page.error) == 1
        assert message in page.error[0].value.replace("\\", "")
        assert "--" not in page.error[0].value.replace("\\", "")


class TestSavedPlan:
    def test_it_opens_with_its_front_and_is_planned_anew_at_the_budget(self, saved: Plan) -> None:
        page = open_plan(source="plan.json", budget="4")
        assert read_choice(page) == choose_again(saved, budget_bpw=4).assignments
        assert len(unpack_array(read_scene(page, "charts")["plan"]["pointBits"])) == len(saved.front)

    def test_it_opens_as_it_was_saved(self, saved: Plan) -> None:
        page = open_plan(source="plan.json")
        assert read_choice(page) == saved.assignments
        assert read_components(page)["charts"]["at"]["step"] == pytest.approx(saved.bits_per_weight, abs=1e-4)
        assert "budget" not in page.query_params

    def test_charts_ask_for_a_budget_and_a_layer(self, saved: Plan) -> None:
        page = open_plan(source="plan.json")
        other = next(row.tensor for row in saved.rows if row.tensor != read_components(page)["charts"]["at"]["row"])
        page = ask(page, "charts", {"step": 6.05, "row": other, "seq": 1})
        assert not page.exception
        assert read_choice(page) == choose_again(saved, budget_bpw=6.05).assignments
        assert page.query_params["budget"] in (["6.05"], "6.05")
        assert page.selectbox(key="layer").value == other

    @pytest.mark.parametrize(
        "asked", [{"step": "x"}, {"step": None}, {"step": float("1e400")}, {"row": 3}, {"row": "no"}]
    )
    def test_what_a_browser_may_not_ask_changes_nothing(self, saved: Plan, asked: dict) -> None:
        page = open_plan(source="plan.json")
        before = read_choice(page)
        page = ask(page, "charts", {**asked, "seq": 1})
        assert not page.exception
        assert read_choice(page) == before

    def test_a_front_fetched_once_serves_all_budgets(self, saved: Plan) -> None:
        scenes = {read_components(open_plan(source="plan.json", budget=text))["charts"]["scene"] for text in ("3", "7")}
        assert len(scenes) == 1

    def test_a_link_with_words_that_mean_nothing_shows_the_page_and_names_them(self, saved: Plan) -> None:
        page = open_plan(source="plan.json", budget="NaN", lock=["nolayer=int4", "odd"], layer="none", zoom="3")
        notice = told(page)
        for word in ("budget=NaN", "lock=odd", "lock=nolayer=int4", "layer=none", "zoom=3"):
            assert word in notice
        assert read_choice(page)

    def test_patterns_match_the_layers_of_each_scheme_and_no_other(self, saved: Plan) -> None:
        page = open_plan(source="plan.json", patterns="true", budget="4.5")
        plan = choose_again(saved, budget_bpw=4.5)
        shown = [code.value for code in page.code if code.value.startswith("^")]
        assert shown == list(write_patterns(plan.assignments).values())

    def test_the_exported_plan_is_the_plan_in_view(self, saved: Plan, root: Path) -> None:
        plan = choose_again(saved, budget_bpw=4.5)
        (root / "again.json").write_bytes(render_file(plan, ".json", Extras()))
        assert read_result(root / "again.json").assignments == plan.assignments
        assert holds_plan("again.json")
        assert not holds_plan("nothing.json")
        assert list_plan_sources(str(root))[:2] == ["again.json", "plan.json"]


class TestFiles:
    def test_rows_of_a_sensitivity_are_planned_by_their_outputs(self, root: Path) -> None:
        write_report(make_table(), root / "rows.json")
        page = open_plan(source="rows.json", budget="6")
        assert read_choice(page) == plan_bits(open_rows("rows.json").table, budget_bpw=6).assignments
        assert read_scene(page, "charts")["plan"]["objective"] == "output_nsr"
        page.selectbox(key="objective").set_value("output_kl").run()
        assert read_scene(page, "charts")["plan"]["objective"] == "output_kl"

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("no.json", "{}"),
            ("bad.csv", "a,b\n1,2\n"),
            ("empty.parquet", ""),
            ("../out.json", None),
            ("gone.json", None),
        ],
        ids=["not a result", "other columns", "broken", "outside the root", "missing"],
    )
    def test_a_file_that_holds_no_rows_is_one_message(self, root: Path, name: str, text: str | None) -> None:
        if text is not None:
            (root / name).write_text(text)
        page = open_plan(source=name)
        assert len(page.error) == 1
        assert str(root) not in page.error[0].value


def make_unsure() -> Table[SensitivityRow]:
    """Rows whose errors may be half or twice as large."""
    rows = [
        replace(
            row, output_relative_l2_low=row.output_relative_l2 / 2, output_relative_l2_high=row.output_relative_l2 * 2
        )
        if row.output_relative_l2
        else row
        for row in make_table()
    ]
    whole = make_table()
    return Table.from_rows(SensitivityRow, rows, source=whole.source, settings=whole.settings, more=whole.more)


class TestHowSure:
    """Plans are made anew from the intervals of rows."""

    def test_layers_box_table_and_totals_tell_it(self, root: Path) -> None:
        write_report(make_unsure(), root / "rows.json")
        page = open_plan(source="rows.json", budget="6")
        plan = plan_bits(open_rows("rows.json").table, budget_bpw=6)
        exact, names = read_components(page)["charts"]["at"]["exact"], read_scene(page, "charts")["plan"]["names"]
        rows = {row.tensor: row for row in plan.rows}
        assert exact["stability"] == [rows[name].stability for name in names]
        assert exact["kept"] == [f"{20 * rows[name].stability:.0f} of 20" for name in names]
        columns = [column["name"] for column in read_scene(page, "charts")["panels"]["p-layers"]["table"]["columns"]]
        assert "stability" in columns
        facts = {fact["label"]: fact["text"] for fact in exact["facts"]}
        low, high = (plan.more["certainty"][f"predicted_{end}"] for end in ("low", "high"))
        assert facts["Predicted"] == f"{plain(low)} to {plain(high)}"
        row = rows[page.selectbox(key="layer").value]
        assert f"{20 * row.stability:.0f} of 20 resamples keep it at {row.scheme}" in told(page)

    def test_a_saved_plan_tells_it_until_the_budget_moves(self, root: Path) -> None:
        plan = plan_bits(make_unsure(), budget_bpw=6)
        write_report(plan, root / "plan.json")
        exact = read_components(open_plan(source="plan.json"))["charts"]["at"]["exact"]
        assert exact["kept"] == [f"{20 * row.stability:.0f} of 20" for row in plan.rows]
        moved = read_components(open_plan(source="plan.json", budget="4.6"))["charts"]["at"]["exact"]
        assert "kept" not in moved
        assert moved["facts"] == []

    def test_more_rows_than_a_page_at_rest_may_resample_wait_for_a_click(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("qanalysis.dashboard.plans.QUICK_ROWS", 0)
        write_report(make_unsure(), root / "rows.json")
        page = open_plan(source="rows.json", budget="5.5")
        assert "kept" not in read_components(page)["charts"]["at"]["exact"]
        page.button(key="check resample").click().run()
        exact = wait_for_fact(page, "Stability")
        assert all(text.endswith(" of 20") for text in exact["kept"])
        assert not [button for button in page.button if button.key == "check resample"]

    def test_a_run_of_the_model_stands_beside_the_plan(self) -> None:
        page = open_plan(source="sample:digits-mlp", budget="5")
        page.button(key="check run").click().run()
        facts = {fact["label"]: fact for fact in wait_for_fact(page, "Output SQNR")["facts"]}
        assert "450 samples of sample:digits-mlp" in facts["Output SQNR"]["note"]
        assert "of the float model" in facts["Accuracy"]["note"]

    def test_a_plan_of_another_model_can_not_be_run_and_stays(self, root: Path) -> None:
        write_report(make_table(), root / "rows.json")  # says that it is of sample:digits-cnn, with other layers
        page = open_plan(source="rows.json", budget="6")
        page.button(key="check run").click().run()
        end = time.monotonic() + 60
        while "are not in" not in told(page):
            assert time.monotonic() < end, told(page)
            time.sleep(0.05)
            page.run()
        assert not page.error
        assert read_choice(page)


def wait_for_fact(page: AppTest, label: str, *, seconds: float = 60) -> dict:
    """What the charts are told, as soon as a line of that name is among the facts."""
    end = time.monotonic() + seconds
    while True:
        exact = read_components(page)["charts"]["at"]["exact"]
        if any(fact["label"] == label for fact in exact["facts"]):
            return exact
        assert time.monotonic() < end, told(page)
        time.sleep(0.05)
        page.run()
        assert not page.exception


class TestRecipes:
    def test_the_first_back_end_that_knows_the_formats_opens(self) -> None:
        page = open_plan(source="sample:digits-mlp", budget="5")
        assert "quantization_config of config.json" in told(page)

    def test_one_that_does_not_is_told_by_the_names_of_the_page(self) -> None:
        page = open_plan(source="sample:digits-mlp", budget="5", recipe="llama.cpp")
        (warning,) = page.warning
        assert "has no format" in warning.value
        assert "switch on “Write what it knows” below" in warning.value
        assert "--" not in warning.value
        page.toggle(key="partial").set_value(True).run()
        assert not [one for one in page.warning if "has no format int" in one.value and "switch on" in one.value]

    def test_one_that_takes_values_is_given_the_source(self) -> None:
        page = open_plan(source="sample:digits-mlp", budget="5", recipe="aimet")
        assert not page.warning
        assert any('"encodings"' in code.value for code in page.code)

    @pytest.mark.parametrize("target", ["aimet", "matmul-nbits"])
    def test_without_it_the_way_is_told(self, saved: Plan, target: str) -> None:
        page = open_plan(source="plan.json", recipe=target, partial="true", budget="8.5")
        (warning,) = page.warning
        assert "as the source of this page" in warning.value
        assert f"qanalysis recipe plan.json --target {target} --source FILE" in warning.value.replace("\\", "")


class TestWords:
    @pytest.mark.parametrize(
        ("names", "others"),
        [
            (["layers.0.q.weight", "layers.11.q.weight"], ["layers.1.q.weight", "layersx0.q.weight"]),
            (["a.weight", "b(1).weight"], ["aXweight", "a.weight2"]),
            (["h.0.mlp.10.w", "h.0.mlp.2.w", "h.1.mlp.2.w"], ["h.1.mlp.10.w"]),
        ],
        ids=["one number", "marks", "two numbers"],
    )
    def test_an_expression_matches_its_names_alone(self, names: list[str], others: list[str]) -> None:
        pattern = name_all(names)
        assert all(re.search(pattern, name) for name in names)
        assert not [name for name in others if re.search(pattern, name)]

    def test_a_pin_takes_schemes_with_an_equals_sign(self) -> None:
        assert parse_pin("a=b$ = int4  group=32") == "a=b$=int4 group=32"

    def test_a_view_is_its_own_address(self) -> None:
        view = PlanView(budget=3.25, lock=("a.w=int4 group=32",), tie=("vllm",), most=2, pins=("e=int8",))
        assert read_address(PlanView, spell_view(view)).view == view
