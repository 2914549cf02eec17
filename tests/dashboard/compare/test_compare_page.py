"""Page Compare: samples, files and results; every number that of the engine, links told and never fatal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from streamlit.testing.v1 import AppTest

from qanalysis import open_checkpoint, sweep
from qanalysis.charts.comparison_charts import draw_values
from qanalysis.charts.linked.scene import Panel
from qanalysis.checkpoints.source import ArraySource
from qanalysis.comparisons.compare import compare
from qanalysis.comparisons.matching import match_tensors
from qanalysis.comparisons.portrait import draw_portrait
from qanalysis.comparisons.reading import Side
from qanalysis.comparisons.row import ComparisonRow
from qanalysis.comparisons.tables import compare_tables
from qanalysis.dashboard.compare.gate import gated, hold_gate
from qanalysis.dashboard.compare.models import list_pictures
from qanalysis.dashboard.compare.view import CompareView
from qanalysis.dashboard.compared_results import list_results
from qanalysis.dashboard.export import Extras, render_file
from qanalysis.dashboard.views import read_address, spell_view
from qanalysis.reports.report import read_result, write_report
from qanalysis.results.table import Table
from tests.dashboard.opening import prepare_page, settle, told
from tests.dashboard.scenes import ask, read_charts, read_components, read_table


def open_compare(**parameters: str | list[str]) -> AppTest:
    return settle(prepare_page("compare", **parameters).run())


def read_word(page: AppTest, name: str) -> str | None:
    value = page.query_params.get(name)
    return value[-1] if isinstance(value, list) else value


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QANALYSIS_ROOT", str(tmp_path))
    return tmp_path


@pytest.fixture
def arrays(root: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Two files of one model: other names in B, one tensor only in A, one only in B, one of another shape."""
    rng = np.random.default_rng(3)
    a = {f"layer{at}.weight": rng.standard_normal((8, 16), dtype=np.float32) for at in range(4)}
    b = {
        f"model.{name}": x + np.float32(0.01) * rng.standard_normal(x.shape, dtype=np.float32) for name, x in a.items()
    }
    b["model.layer2.weight"][5] += 1
    del b["model.layer0.weight"]
    b["model.layer3.weight"] = np.ones((9, 16), np.float32)
    b["head.scale"] = np.ones(3, np.float32)
    save_file(a, root / "a.safetensors")
    save_file(b, root / "b.safetensors")
    return a, b


class TestModels:
    def test_the_page_opens_with_a_sample_against_its_own_quantized_form(self) -> None:
        page = open_compare()
        table = read_table(page, "rows")
        with open_checkpoint("sample:digits-cnn") as source:
            rows = sweep(source, ["int4 channel"])
        expected = {row.tensor: row.sqnr_db for row in rows}
        shown = dict(zip(table["row"], table["sqnr_db"], strict=True))
        # A sweep's differences are float32: 2⁻²³ of Σe² is 5·10⁻⁷ dB.
        assert {name: shown[name] for name in expected} == pytest.approx(expected, abs=1e-6)
        sizes = dict(zip(table["row"], table["size_bytes_b"], strict=True))
        assert {row.tensor: sizes[row.tensor] for row in rows} == {row.tensor: row.size_bytes for row in rows}
        theory = dict(zip(table["row"], table["theory_sqnr_db"], strict=True))
        assert {row.tensor: theory[row.tensor] for row in rows} == pytest.approx(
            {row.tensor: row.theory_sqnr_db for row in rows}, rel=1e-6
        )

    def test_rows_are_those_of_the_engine_the_worst_first(self, arrays: tuple) -> None:
        a, b = arrays
        page = open_compare(a="a.safetensors", b="b.safetensors")
        expected = compare(a, b)
        table = read_table(page, "rows")
        by_name = {row.tensor_a or row.tensor_b: row for row in expected}
        assert sorted(table["row"]) == sorted(by_name)
        for name, sqnr, status in zip(table["row"], table["sqnr_db"], table["status"], strict=True):
            assert (sqnr, status) == (by_name[name].sqnr_db, by_name[name].status)
        assert table["row"][:2] == ["layer2.weight", "layer1.weight"]
        assert f"worst: layer2.weight, {by_name['layer2.weight'].sqnr_db:.2f} dB" in told(page)

    def test_a_pair_is_looked_at_on_common_axes_and_its_worst_channel_named(self, arrays: tuple) -> None:
        a, b = arrays
        charts = read_charts(open_compare(a="a.safetensors", b="b.safetensors"))
        assert {"c-ranks", "c-places", "c-values", "c-difference"} <= set(charts)
        assert "output channel 5" in charts["c-places"]["alt"]
        x, y = a["layer2.weight"], b["model.layer2.weight"]
        largest = float(np.abs(y.astype(np.float64) - x).max())
        assert f"the largest is {largest:.3g}" in charts["c-difference"]["alt"]

    def test_a_click_on_a_bar_or_a_row_chooses_a_layer(self, arrays: tuple) -> None:
        page = open_compare(a="a.safetensors", b="b.safetensors")
        page = ask(page, "charts", {"layer": "layer1.weight", "scheme": "", "seq": 1})
        assert read_word(page, "layer") == "layer1.weight"
        page = ask(page, "rows", {"row": "layer0.weight", "seq": 1})
        assert read_word(page, "layer") == "layer0.weight"
        assert "B has no such tensor" in told(page)
        assert "c-values" not in read_charts(page)

    @pytest.mark.parametrize("asked", [{"layer": 3}, {"layer": "no"}, {"row": None}, "odd"])
    def test_what_a_browser_may_not_ask_changes_nothing(self, arrays: tuple, asked: object) -> None:
        page = ask(open_compare(a="a.safetensors", b="b.safetensors"), "charts", asked)
        assert not page.exception
        assert read_word(page, "layer") is None

    def test_a_swap_turns_both_sides_and_can_be_undone(self, arrays: tuple) -> None:
        page = open_compare(a="a.safetensors", b="b.safetensors")
        page = settle(page.button(key="swap").click().run())
        assert (read_word(page, "a"), read_word(page, "b")) == ("b.safetensors", "a.safetensors")
        table = read_table(page, "rows")
        expected = {row.tensor_a or row.tensor_b: row.sqnr_db for row in compare(arrays[1], arrays[0])}
        assert dict(zip(table["row"], table["sqnr_db"], strict=True)) == expected
        page = settle(page.button(key="undo").click().run())
        assert (read_word(page, "a"), read_word(page, "b")) == ("a.safetensors", "b.safetensors")

    def test_a_gate_marks_the_rows_that_fail_and_shows_them_alone(self, arrays: tuple) -> None:
        page = open_compare(a="a.safetensors", b="b.safetensors", gate="sqnr_db<30; size_bytes_b>1000000", show="fails")
        table = read_table(page, "rows")
        assert table["row"] == ["layer2.weight", "layer0.weight", "layer3.weight", "head.scale"]
        assert table["gate"][0] == "✗ sqnr_db < 30"
        assert table["gate"][1] == "✗ no sqnr_db; no size_bytes_b"
        assert "sqnr_db < 30" in told(page)

    def test_a_gate_that_can_not_be_read_is_one_line_beside_the_rows(self, arrays: tuple) -> None:
        page = open_compare(a="a.safetensors", b="b.safetensors", gate="sqnr<30")
        assert len(page.warning) == 1
        assert "there is no column 'sqnr'" in told(page)
        assert read_table(page, "rows")["row"]

    def test_names_are_mapped_by_expressions(self, root: Path) -> None:
        rng = np.random.default_rng(0)
        a, b = ({f"{word}{at}": rng.standard_normal((4, 4), dtype=np.float32) for at in range(2)} for word in "pq")
        save_file(a, root / "p.safetensors")
        save_file(b, root / "q.safetensors")
        page = open_compare(a="p.safetensors", b="q.safetensors")
        assert len(page.error) == 1
        assert "the box Names of A in B" in told(page)
        page = open_compare(a="p.safetensors", b="q.safetensors", map="^p=q")
        assert set(read_table(page, "rows")["matched_by"]) == {"map"}

    def test_tensors_are_found_by_either_name(self, arrays: tuple) -> None:
        page = open_compare(a="a.safetensors", b="b.safetensors", find=r"model\.layer[12]")
        assert sorted(read_table(page, "rows")["row"]) == ["layer1.weight", "layer2.weight"]

    def test_large_sources_wait_for_a_click_with_their_structure_in_sight(
        self, arrays: tuple, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("qanalysis.dashboard.compare.running.MOST_UNASKED", 0)
        save_file({**arrays[0], "more.weight": np.ones((2, 2), np.float32)}, root / "a2.safetensors")
        page = open_compare(a="a2.safetensors", b="b.safetensors", gate="sqnr_db<30")
        table = read_table(page, "rows")
        assert "sqnr_db" not in table
        assert sorted(set(table["status"])) == ["ok", "only-a", "only-b", "shape"]
        assert "Not compared yet" in told(page)
        page = settle(page.button(key="run").click().run())
        assert read_table(page, "rows")["sqnr_db"][0] is not None

    def test_a_comparison_is_cancelled_and_keeps_what_it_has(self) -> None:
        page = prepare_page("compare")
        page.query_params["a"], page.query_params["b"] = "sample:outliers", "quantized:int8 group=16 range=mse:2000"
        page.run()
        page.button(key="cancel").click().run()
        settle(page)
        assert "cancelled" in told(page)
        table = read_table(page, "rows")
        assert table["sqnr_db"][-1] is None
        assert page.button(key="again").label == "Compare again"

    def test_leads_name_the_layer_on_either_side(self, arrays: tuple) -> None:
        page = open_compare(a="a.safetensors", b="b.safetensors")
        urls = [element.proto.url for element in page.get("link_button")]
        assert any("source=a.safetensors&layer=layer2.weight" in url for url in urls)
        assert any("source=b.safetensors&layer=model.layer2.weight" in url for url in urls)

    def test_the_exported_rows_open_again_with_the_gate(self, arrays: tuple, root: Path) -> None:
        table = compare(*arrays)
        held = gated(table, hold_gate(table, "sqnr_db<30"))
        (root / "again.json").write_bytes(render_file(held, ".json", Extras()))
        again = read_result(root / "again.json")
        assert list(again) == list(table)
        assert [check.condition for check in again.totals] == ["sqnr_db < 30"]

    def test_a_report_of_the_page_holds_its_charts(self, arrays: tuple) -> None:
        a, b = map(ArraySource, arrays)
        pair = next(one for one in match_tensors(a.tensors, b.tensors) if one.fits)
        panel = Panel("c-values", draw_values(draw_portrait(pair, Side(a), Side(b))))
        page = render_file(compare(a, b), ".html", Extras(pictures=list_pictures([panel]))).decode()
        for heading in ("Tensors by their error", "Values of the layer in view"):
            assert page.count(f"{heading}</h2>") == 1


class TestResults:
    @pytest.fixture
    def tables(self, root: Path) -> tuple[Table, Table]:
        rng = np.random.default_rng(1)
        arrays = {f"layer{at}.weight": rng.standard_normal((8, 32), dtype=np.float32) for at in range(3)}
        worse = arrays | {"layer1.weight": arrays["layer1.weight"] ** 3}
        tables = []
        for name, values in (("before.json", arrays), ("after.parquet", worse)):
            tables.append(sweep(values, ["int4 channel", "int8 channel"]))
            write_report(tables[-1], root / name)
        return tables[0], tables[1]

    def test_rows_have_both_figures_and_the_change_the_greatest_loss_first(self, tables: tuple) -> None:
        page = open_compare(a="before.json", b="after.parquet")
        table, expected = read_table(page, "rows"), compare_tables(*tables)
        worst = min(expected, key=lambda row: row.delta_sqnr_db)
        assert table["row"][0] == f"{worst.tensor}, {worst.scheme}"
        assert table["delta_sqnr_db"][0] == worst.delta_sqnr_db < 0
        assert (table["sqnr_db_a"][0], table["sqnr_db_b"][0]) == (worst.sqnr_db_a, worst.sqnr_db_b)

    def test_totals_stand_beside_each_other(self, tables: tuple) -> None:
        table = read_table(open_compare(a="before.json", b="after.parquet"), "totals")
        for at, (ours, theirs) in enumerate(zip(tables[0].totals, tables[1].totals, strict=True)):
            assert table["scheme"][at] == ours.scheme
            assert table["delta_sqnr_db"][at] == pytest.approx(theirs.sqnr_db - ours.sqnr_db, rel=1e-12)

    def test_the_row_in_view_has_a_difference_row(self, tables: tuple) -> None:
        page = open_compare(a="before.json", b="after.parquet", layer="layer1.weight, int8 channel")
        table = read_table(page, "difference")
        row = next(
            row for row in compare_tables(*tables) if (row.tensor, row.scheme) == ("layer1.weight", "int8 channel")
        )
        assert table["row"] == ["A", "B", "B − A"]
        assert table["mse"] == [row.mse_a, row.mse_b, row.delta_mse]
        assert table["numel"] == [256, 256, 0]

    def test_another_figure_and_a_gate(self, tables: tuple) -> None:
        page = open_compare(a="before.json", b="after.parquet", metric="mse", gate="delta_sqnr_db<-1")
        assert page.selectbox(key="metric").value == "mse"
        table = read_table(page, "rows")
        assert table["delta_mse"] == sorted(table["delta_mse"], reverse=True)
        failing = {name for name, words in zip(table["row"], table["gate"], strict=True) if words}
        assert failing == {f"{row.tensor}, {row.scheme}" for row in compare_tables(*tables) if row.delta_sqnr_db < -1}

    def test_files_that_look_like_results_are_offered(self, tables: tuple, root: Path) -> None:
        (root / "config.json").write_text("{}")
        (root / "model.safetensors.index.json").write_text('{"command": 1}')
        assert list_results(root) == ["after.parquet", "before.json"]


class TestFaults:
    @pytest.mark.parametrize(
        ("a", "b", "words"),
        [
            ("sample:digits-mlp", "before.json", "give two models, or two results"),
            ("before.json", "before.json", "before.json"),
            ("sample:digits-mlp", "../x.safetensors", "outside the root"),
            ("sample:digits-mlp", "quantized:int44", "2 to 16 bits"),
            ("quantized:int4", "quantized:int8", "one of them must be"),
            ("sample:digits-mlp", "sample:outliers", "no tensor of"),
            ("sample:digits-mlp", "https://example.org/x.safetensors", "--remote"),
            ("sample:digits-mlp", "upload:none/x.npz", "upload the file again"),
        ],
        ids=["a result", "no result", "outside", "no scheme", "both forms", "no match", "an address", "an upload"],
    )
    def test_each_is_one_message_with_a_way_out(self, root: Path, a: str, b: str, words: str) -> None:
        (root / "before.json").write_text("{}")
        page = open_compare(a=a, b=b)
        assert len(page.error) == 1
        assert words in page.error[0].value.replace("\\", "")
        assert "Choose another **A** or **B**" in page.error[0].value
        assert str(root) not in page.error[0].value

    def test_a_link_with_words_that_mean_nothing_shows_the_page_and_names_them(self) -> None:
        page = open_compare(show="some", map="(=x", layer="none", zoom="3")
        for word in ("show=some", "map=(=x", "layer=none", "zoom=3"):
            assert word in told(page)
        assert "rows" in read_components(page)

    def test_a_view_is_its_own_address(self) -> None:
        view = CompareView(a="x.gguf", b="y", map=("^a=b", r"(c)=\1d"), gate="sqnr_db<3", show="only-a", log=True)
        assert read_address(CompareView, spell_view(view)).view == view


def test_a_row_without_the_figure_misses_the_gate() -> None:
    rows = Table.from_rows(ComparisonRow, [ComparisonRow(tensor_b="w", status="only-b")])
    assert hold_gate(rows, "sqnr_db<3").missed == ("no sqnr_db",)
