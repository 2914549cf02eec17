"""Page Layers without a browser: its numbers against the engine, its links, and what it says when there is nothing to show."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.dashboard import cache, main, progress
from qanalysis.dashboard.layers.view import LayersView, expand_scheme
from qanalysis.dashboard.views import spell_view
from qanalysis.diagnosis.own_limits import describe_limits, find_limits
from qanalysis.quantizers.crossing import default_schemes
from qanalysis.quantizers.scheme import Scheme
from qanalysis.reports.summary import choose_scheme, headline, select_worst
from qanalysis.sweeps.row import Rows
from qanalysis.sweeps.sweep import sweep
from tests.dashboard.conftest import OpenPage, settle
from tests.dashboard.scenes import (
    ask,
    read_charts,
    read_components,
    read_family,
    read_headline,
    read_layer,
    read_scene,
    read_table,
)

STRIP = r"Not swept|Waiting|Complete|Cancelled|The sweep failed|\*\*Partial"
PANELS = {"heat", "weights", "errors", "curves", "channels"}


@pytest.fixture(scope="module")
def expected() -> Rows:
    with open_checkpoint("sample:digits-cnn") as source:
        return sweep(source, default_schemes())


def _strip(page: AppTest) -> str:
    running = [element.proto.text for element in page.get("progress")]
    told = [caption.value for caption in page.caption if re.match(STRIP, caption.value)]
    (words,) = running or told
    return words


def _link(page: AppTest) -> dict[str, str | list[str]]:
    query = parse_qs(urlsplit(page.code[0].value).query, keep_blank_values=True)
    return {key: values if len(values) > 1 else values[0] for key, values in query.items()}


def _plain(element: Any) -> str:
    return re.sub(r"\\(.)", r"\1", element.value)


def _charts(page: AppTest) -> dict[str, dict[str, Any]]:
    return {name: panel for name, panel in read_charts(page).items() if panel["kind"] != "table"}


def _at(page: AppTest) -> tuple[str, str]:
    at = read_components(page)["charts"]["at"]
    return at["layer"], at["scheme"]


def _bits(page: AppTest) -> int:
    return Scheme.parse(read_components(page)["charts"]["at"]["scheme"]).format.bits


def _outlier_model(*, loudest: float) -> np.ndarray:
    weights = np.random.default_rng(5).uniform(-1, 1, (16, 64)).astype(np.float32)
    weights[:, 0] = 1  # every channel's largest magnitude
    weights[5] *= loudest
    return weights


def _save(folder: Path, **tensors: np.ndarray) -> str:
    np.savez(folder / "own.npz", **tensors)
    return "own.npz"


def test_opening_shows_a_sample_already_swept(open_page: OpenPage, expected: Rows) -> None:
    page = open_page()
    assert read_headline(page) == headline(expected, "int4 group=128")
    assert set(_charts(page)) == PANELS
    assert not page.error
    assert not page.warning


@pytest.mark.parametrize(
    ("loudest", "named"), [(2.9, "largest"), (3.0, "outlier")], ids=["below three times the median", "three times"]
)
def test_the_headline_is_the_sentence_of_the_command_line_and_the_channel_is_told_beside_it(
    open_page: OpenPage, tmp_path: Path, loudest: float, named: str
) -> None:
    path, scheme = tmp_path / _save(tmp_path, w=_outlier_model(loudest=loudest)), "int4 group=32"
    with open_checkpoint(path) as source:
        rows = sweep(source, default_schemes())
    page = open_page(source="own.npz", grouping="group=32")
    assert read_headline(page) == headline(rows, scheme)
    told = read_charts(page)["channels"]["figure"]["layout"]["title"]["subtitle"]["text"]
    assert f"{named} channel 5: max|x|" in told


def test_the_installed_page_runs_without_the_checkout_s_script(open_page: OpenPage, expected: Rows) -> None:
    page = settle(AppTest.from_file(str(Path(main.__file__).with_name("app.py")), default_timeout=60).run())
    assert read_headline(page).startswith(headline(expected, "int4 group=128"))


def test_every_chart_says_its_number_in_words(open_page: OpenPage) -> None:
    charts = _charts(open_page())
    assert all(re.search(r"\d", panel["alt"]) for panel in charts.values())
    assert len({panel["alt"] for panel in charts.values()}) == len(PANELS)


def test_the_tables_hold_the_engine_s_numbers(open_page: OpenPage, expected: Rows) -> None:
    page = open_page()
    totals, layers = read_table(page, "totals"), read_table(page, "layers")
    assert totals["scheme"] == totals["row"] == [row.scheme for row in expected.totals]
    assert totals["sqnr_db"] == [row.sqnr_db for row in expected.totals]
    assert totals["bits_per_weight"] == [row.bits_per_weight for row in expected.totals]
    assert totals["size_bytes"] == [row.size_bytes for row in expected.totals]
    rows = [row for row in expected if row.scheme == "int4 group=128"]
    assert layers["row"] == [row.tensor for row in rows]
    assert layers["sqnr_db"] == [row.sqnr_db for row in rows]
    assert layers["half_step_bound"] == [row.half_step_bound for row in rows]
    assert layers["zeroed_fraction"] == [row.zeroed_fraction for row in rows]


def test_moving_the_bits_shows_the_rows_of_the_new_scheme(open_page: OpenPage, expected: Rows) -> None:
    page = settle(ask(open_page(), "charts", {"scheme": "int6 group=128", "seq": 1}))
    assert " at int6 group=128: " in read_headline(page)
    assert read_table(page, "layers")["sqnr_db"] == [row.sqnr_db for row in expected if row.scheme == "int6 group=128"]


def test_any_column_is_a_metric(open_page: OpenPage, expected: Rows) -> None:
    page = settle(open_page().selectbox(key="metric").set_value("max_abs_error").run())
    layers = read_table(page, "layers")
    assert list(layers)[3] == "max_abs_error"
    assert layers["max_abs_error"] == [row.max_abs_error for row in expected if row.scheme == "int4 group=128"]


def test_search_order_and_limit_narrow_the_layer_table(open_page: OpenPage, expected: Rows) -> None:
    page = open_page(find="conv2|fc", order="worst")
    rows = [row for row in expected if row.scheme == "int4 group=128" and re.search("conv2|fc", row.tensor)]
    assert read_table(page, "layers")["row"] == [row.tensor for row in sorted(rows, key=lambda row: row.sqnr_db or 0)]


def test_a_search_without_a_match_says_how_to_get_back(open_page: OpenPage) -> None:
    page = open_page(find="zzz")
    assert "clear the box" in page.info[0].value
    assert len(read_table(page, "layers")["row"]) == 0


def test_the_choice_of_tensors_adds_the_vectors(open_page: OpenPage) -> None:
    page = open_page(roles="all")
    with open_checkpoint("sample:digits-cnn") as source:
        assert len(read_table(page, "layers")["row"]) == len(source.tensors)


def test_a_link_brings_back_the_same_numbers(open_page: OpenPage) -> None:
    asked = {
        "source": "sample:outliers",
        "bits": "3",
        "swept": ["3", "5"],
        "groupings": ["channel", "group=48"],
        "symmetries": "asym",
        "ranges": "percentile:99.9",
    }
    first = open_page(
        **asked,
        grouping="asym group=48 range=percentile:99.9",
        metric="enob",
        axis="bits_per_weight",
        find="a",
        log="true",
    )
    assert " at int3 asym group=48 range=percentile:99.9: " in read_headline(first)
    assert not first.warning
    link = _link(first)
    assert {key: link[key] for key in asked} == asked
    second = open_page(**link)
    assert read_headline(second) == read_headline(first)
    for key in ("totals", "layers"):
        assert read_table(second, key) == read_table(first, key)
    assert _link(second) == link


def test_a_scheme_in_a_link_is_put_in_view(open_page: OpenPage) -> None:
    page = open_page(scheme="int5 asym channel")
    assert " at int5 asym channel: " in read_headline(page)
    assert read_components(page)["charts"]["at"]["scheme"] == "int5 asym channel"
    assert page.pills(key="symmetries").value == ["sym", "asym"]
    assert not page.warning


def test_a_scheme_in_a_link_ends_as_a_link(open_page: OpenPage) -> None:
    first = open_page(scheme="int6 group=50 asym", find="conv")
    address = dict(first.query_params)
    assert address.pop("job")
    assert address == {
        "find": "conv",
        **{key: values if len(values) > 1 else values[0] for key, values in _expanded("int6 asym group=50").items()},
    }
    again = open_page(**first.query_params)
    assert read_headline(again) == read_headline(first)
    assert " at int6 asym group=50: " in read_headline(again)
    assert again.query_params == first.query_params
    moved = settle(ask(first, "charts", {"scheme": "int3 asym group=50", "seq": 1}))
    assert " at int3 asym group=50: " in read_headline(moved)


def _expanded(scheme: str) -> dict[str, list[str]]:
    return spell_view(expand_scheme(scheme, LayersView()))


def test_formats_are_swept_beside_the_integers(open_page: OpenPage) -> None:
    page = open_page(
        source="sample:outliers", formats=["mxfp4", "nf4"], groupings=["channel", "group=64"], swept=["3", "4"]
    )
    schemes = ["int3 channel", "int4 channel", "mxfp4", "nf4 channel", "int3 group=64", "int4 group=64", "nf4"]
    with open_checkpoint("sample:outliers") as source:
        rows = sweep(source, schemes)
    assert read_table(page, "totals")["scheme"] == schemes
    assert read_table(page, "totals")["sqnr_db"] == [row.sqnr_db for row in rows.totals]
    page = settle(page.selectbox(key="format").set_value("nf4").run())
    assert page.selectbox(key="grouping").options == ["channel", "group=64"]
    page = settle(page.selectbox(key="grouping").set_value("group=64").run())
    assert read_headline(page).startswith(headline(rows, "nf4"))
    assert read_table(page, "layers")["sqnr_db"] == [row.sqnr_db for row in rows if row.scheme == "nf4"]
    assert read_family(page)[0]["steps"] is None  # nothing to move


def test_the_bits_come_back_after_another_format_was_in_view(open_page: OpenPage) -> None:
    page = settle(ask(open_page(formats="mxfp4"), "charts", {"scheme": "int6 group=32", "seq": 1}))
    page = settle(page.selectbox(key="format").set_value("mxfp4").run())
    assert " at mxfp4: " in read_headline(page)
    assert page.selectbox(key="grouping").disabled
    page = settle(page.selectbox(key="format").set_value("integers").run())
    assert " at int6 group=32: " in read_headline(page)


@pytest.mark.parametrize("scheme", ["gguf:q8_0", "fp8_e5m2 group=48 range=percentile:99.9", "bfloat16"])
def test_any_format_in_a_link_is_put_in_view(open_page: OpenPage, scheme: str) -> None:
    page = open_page(scheme=scheme, include="conv3")
    assert f" at {scheme}: " in read_headline(page)
    assert not page.warning
    again = open_page(**_link(page))
    assert read_headline(again) == read_headline(page)
    for key in ("totals", "layers"):
        assert read_table(again, key) == read_table(page, key)


def test_the_limits_of_the_layer_in_view_are_said_in_numbers(open_page: OpenPage, expected: Rows) -> None:
    page = open_page(limits="true")
    in_view = read_components(page)["charts"]["at"]
    row = next(row for row in expected if row.scheme == in_view["scheme"] and row.tensor == in_view["layer"])
    with open_checkpoint("sample:digits-cnn") as source:
        limits = find_limits(
            source.read(next(info for info in source.tensors if info.name == row.tensor)), name=row.tensor
        )
    sentence = describe_limits(limits, bits=4, bits_per_weight=row.bits_per_weight, sqnr_db=row.sqnr_db)
    assert sentence in [re.sub(r"\\(.)", r"\1", caption.value) for caption in page.caption]
    assert set(_charts(page)) == PANELS


def test_values_without_spread_have_no_limits(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(source=_save(tmp_path, w=np.ones((4, 8), np.float32)), limits="true")
    assert any("the limits need finite values that differ" in caption.value for caption in page.caption)
    assert not page.exception


def test_a_layer_that_blocks_do_not_divide_says_why(open_page: OpenPage) -> None:
    page = open_page(scheme="mxfp4", layer="conv1.weight")
    assert "blocks of 32, which do not divide a row of 9" in read_layer(page)["note"]


def test_a_layer_that_the_first_scheme_can_take_says_why_another_can_not(open_page: OpenPage, tmp_path: Path) -> None:
    good = np.linspace(-1, 1, 16 * 64, dtype=np.float32).reshape(16, 64)
    page = open_page(source=_save(tmp_path, odd=good[:, :9], good=good), scheme="mxfp4", layer="odd")
    assert set(_charts(page)) == {"heat"}
    assert {"odd", "good"} == set(read_table(page, "layers")["row"])
    page = settle(page.selectbox(key="layer").set_value("good").run())
    assert set(_charts(page)) == PANELS


def test_tensors_that_no_scheme_can_take_are_left_out_of_the_map_and_told(
    open_page: OpenPage, tmp_path: Path, expected: Rows
) -> None:
    weights = np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8)
    ids = np.arange(16).reshape(1, 16)
    page = open_page(
        source=_save(tmp_path, position_ids=ids, mask=ids > 3, good=weights, zero=0 * weights), roles="all"
    )
    heat = json.dumps(read_charts(page)["heat"])
    assert all((name in heat) is shown for name, shown in {"position_ids": False, "mask": False, "good": True}.items())
    assert "zero" in heat  # it has a place, which says why it is empty
    told = next(text for text in map(_plain, page.caption) if text.startswith("Left out of the heat map"))
    assert "1 × dtype I64" in told or "1 × dtype int64" in told
    assert len(read_table(page, "layers")["row"]) == 4
    assert _strip(page).startswith("Complete: 1 of 4 tensors × 28 schemes in ")
    assert _strip(page).endswith("; 3 without figures")
    assert not any("Left out" in caption.value for caption in open_page().caption)


def test_the_worst_measured_layer_opens(open_page: OpenPage, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    fine, coarse = rng.uniform(-1, 1, (8, 32)), rng.standard_t(2, (8, 32))
    tensors = {"fine": fine.astype(np.float32), "coarse": coarse.astype(np.float32)}
    page = open_page(source=_save(tmp_path, position_ids=np.arange(64).reshape(1, 64), **tensors))
    with open_checkpoint(tmp_path / "own.npz") as source:
        rows = sweep(source, default_schemes())
    worst = select_worst(rows, choose_scheme(rows), count=1)[0].tensor
    assert read_components(page)["charts"]["at"]["layer"] == worst == "coarse"
    assert set(_charts(page)) == PANELS
    assert page.selectbox(key="layer").value == worst
    assert "layer" not in page.query_params


@pytest.mark.parametrize("bits", [9, 16])
def test_a_width_that_was_not_swept_is_measured_for_the_layer_in_view(
    open_page: OpenPage, expected: Rows, bits: int
) -> None:
    page = settle(ask(open_page(), "charts", {"scheme": f"int{bits} group=128", "seq": 1}))
    assert "not in the sweep" in read_headline(page)
    assert set(_charts(page)) == PANELS
    assert f"int{bits} group=128" in read_charts(page)["weights"]["figure"]["layout"]["title"]["text"]
    assert any("is not in the sweep" in _plain(info) for info in page.info)
    layers = read_table(page, "layers")["sqnr_db"]
    assert layers == [row.sqnr_db for row in expected if row.scheme == "int8 group=128"]
    page = settle(page.button(key="widen").click().run())
    assert f" at int{bits} group=128: " in read_headline(page)
    assert "not in the sweep" not in read_headline(page)
    assert read_table(page, "layers")["sqnr_db"] != layers


HOSTILE = [
    {},
    {"layer": None, "scheme": None},
    {"layer": "gone.weight", "scheme": "int99"},
    {"layer": ["conv1.weight"], "scheme": {"a": 1}},
    {"layer": 3, "scheme": 4.5, "seq": "x"},
    {"layer": "<img src=x onerror=alert(1)>", "scheme": "nf4"},
    {"scheme": "int4 group=64"},
    {"scheme": "int4 group=128 "},
    {"layer": "x" * 100_000, "scheme": "y" * 100_000, "seq": [1]},
    {"seq": {"$": 1}, "extra": "\ud800"},
    ["layer", "scheme"],
    "int6 group=128",
    7,
    None,
    True,
]


@pytest.mark.parametrize("asked", HOSTILE, ids=range(len(HOSTILE)))
def test_what_a_browser_makes_up_changes_nothing(open_page: OpenPage, asked: object) -> None:
    page = open_page(layer="fc.weight")
    told = read_components(page)["charts"]
    page = settle(ask(page, "charts", asked))
    after = read_components(page)["charts"]
    assert (after["at"], after["scene"]) == (told["at"], told["scene"])
    assert isinstance(after["seq"], int)
    assert page.button(key="undo").disabled


def test_a_choice_in_the_charts_is_one_step_that_can_be_undone_and_done_again(open_page: OpenPage) -> None:
    page = open_page(layer="fc.weight")
    steps = [("fc.weight", "int4 group=128"), ("fc.weight", "int7 group=128"), ("conv1.weight", "int7 channel")]
    for seq, (layer, scheme) in enumerate(steps[1:], start=1):
        page = settle(ask(page, "charts", {"layer": layer, "scheme": scheme, "seq": seq}))
        assert read_components(page)["charts"]["seq"] == seq
        assert not page.button(key="undo").disabled
    assert _at(page) == steps[2]
    assert (page.query_params["layer"], page.query_params["grouping"]) == ("conv1.weight", "channel")
    for step in (steps[1], steps[0]):
        page = settle(page.button(key="undo").click().run())
        assert _at(page) == step
    assert page.button(key="undo").disabled
    for step in steps[1:]:
        assert not page.button(key="redo").disabled
        page = settle(page.button(key="redo").click().run())
        assert _at(page) == step
    assert page.button(key="redo").disabled


def test_every_chart_has_lines_of_python_that_name_no_folder(open_page: OpenPage) -> None:
    panels = read_charts(open_page(card="true", map="true"))
    charts = {name: panel["python"] for name, panel in panels.items() if panel["kind"] != "table"}
    assert set(charts) == {"heat", "weights", "errors", "curves", "channels", "groups", "levels"}
    for name, lines in charts.items():
        assert "from qanalysis import" in lines, name
        assert name == "levels" or "'sample:digits-cnn'" in lines, name


def test_what_the_components_are_told_is_small(open_page: OpenPage) -> None:
    page = open_page(card="true", map="true")
    assert {"charts", "levels", "groups"} <= {element.key for element in page.get("bidi_component")}
    for element in page.get("bidi_component"):
        assert element.proto.ByteSize() <= 10_000, element.key


def test_an_impossible_scheme_in_a_link_is_named_in_one_notice(open_page: OpenPage) -> None:
    page = open_page(scheme="int99 channel")
    assert len(page.warning) == 1
    assert "2 to 16 bits" in page.warning[0].value
    assert " at int4 group=128: " in read_headline(page)


def test_stale_and_unknown_parameters_fall_back_with_one_notice(open_page: OpenPage) -> None:
    page = open_page(
        bits="99", layer="gone.weight", zoom="3", metric="Beauty", groupings=["group=0", "tensor", "group=128"]
    )
    assert len(page.warning) == 1
    notice = re.sub(r"\\(.)", r"\1", page.warning[0].value)
    assert notice.endswith(": bits=99; zoom=3; metric=Beauty; groupings=group=0; layer=gone.weight")
    assert page.multiselect(key="groupings").value == ["tensor", "group=128"]
    assert set(page.query_params) == {"groupings", "job"}
    assert " at int4 group=128: " in read_headline(page)
    page.button(key="dismiss").click().run()
    assert not page.warning


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("missing.safetensors", "does not exist in the root folder"),
        ("../outside.npz", "lies outside the root folder"),
        ("sample:none", "the samples are digits-mlp"),
        ("upload:0123/gone.npz", "upload the file again"),
        ("broken.safetensors", "broken.safetensors"),
        ("empty", "holds no weights and no index of shards"),
        ("notes.npz", "notes.npz"),
    ],
    ids=["missing", "outside", "no sample", "expired upload", "truncated", "empty folder", "not an archive"],
)
def test_a_source_that_can_not_be_opened_is_one_message_with_a_way_out(
    open_page: OpenPage, tmp_path: Path, source: str, message: str
) -> None:
    (tmp_path / "broken.safetensors").write_bytes(b"\xff\xff\xff\xff\0\0\0\0{}")
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.npz").write_text("these are notes")
    page = open_page(source=source)
    assert len(page.error) == 1
    text = re.sub(r"\\(.)", r"\1", page.error[0].value)
    assert message in text
    assert str(tmp_path) not in text
    assert "The samples always open" in text


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"include": "nothing$"}, "include 'nothing$' matches none of the"),
        ({"exclude": "."}, "exclude '.' leaves none of the"),
        ({"include": "("}, "include '(' is not a regular expression"),
    ],
    ids=["include", "exclude", "invalid"],
)
def test_a_filter_that_leaves_nothing_says_so(open_page: OpenPage, parameters: dict[str, str], message: str) -> None:
    page = open_page(**parameters)
    assert message in re.sub(r"\\(.)", r"\1", page.error[0].value)
    settle(page.button(key="reset").click().run())
    assert not page.error
    assert "digits-cnn at int4 group=128" in read_headline(page)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.zeros((4, 4), np.float32), "status is zero: every element is 0"),
        (np.full((4, 4), np.nan, np.float32), "status is non-finite: no element is finite"),
        (np.empty((0, 4), np.float32), "status is empty: the tensor has no elements"),
        (np.eye(4, dtype=np.int64), "status is unsupported: "),
    ],
    ids=["zeros", "NaN", "empty", "integers"],
)
def test_a_layer_without_figures_says_why(open_page: OpenPage, tmp_path: Path, values: np.ndarray, says: str) -> None:
    good = np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8)
    page = open_page(source=_save(tmp_path, odd=values, good=good), layer="odd", roles="all")
    assert says in read_layer(page)["note"]
    assert set(_charts(page)) == {"heat"}
    assert "worst: good" in read_headline(page)
    page = settle(page.selectbox(key="layer").set_value("good").run())
    assert set(_charts(page)) == PANELS
    assert not read_layer(page)["note"]


def test_a_model_of_one_value_is_shown(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(source=_save(tmp_path, one=np.float32([[0.3]])), roles="all")
    assert "own.npz at int4 group=128" in read_headline(page)
    assert not page.error


def test_a_model_without_any_figure_is_shown(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(source=_save(tmp_path, zero=np.zeros((3, 3), np.float32)))
    assert "no tensor could be measured" in read_headline(page) or "pooled" not in read_headline(page)
    assert "status is zero: every element is 0" in read_layer(page)["note"]


def test_names_from_a_file_are_shown_as_text(open_page: OpenPage, tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)> **bold** :red[x] $x$ [y](javascript:z)"
    page = open_page(source=_save(tmp_path, **{name: np.float32([[0.3, -0.7], [0.1, 0.2]])}))
    assert f"worst: {name}" in read_headline(page)
    assert read_scene(page, "charts")["layers"]["names"] == [name]
    shown = [element.value for element in (*page.markdown, *page.caption, *page.info) if "onerror" in element.value]
    assert all(
        "\\<img" in value and "\\*\\*bold" in value and "\\$x" in value and "\\[y" in value and "\\:red" in value
        for value in shown
    )


def test_an_upload_is_opened_at_once(open_page: OpenPage, tmp_path: Path) -> None:
    np.save(tmp_path / "w.npy", np.float32([[0.5, -0.25], [1, 0.75]]))
    page = open_page()
    page = settle(page.file_uploader[0].upload("my w.npy", (tmp_path / "w.npy").read_bytes()).run())
    assert page.selectbox(key="source").value.startswith("upload:")
    assert "my_w.npy at int4 group=128" in read_headline(page)


def test_undo_takes_one_step_back_and_reset_all(open_page: OpenPage) -> None:
    page = open_page(source="sample:digits-mlp")
    assert page.button(key="undo").disabled
    page = settle(ask(page, "charts", {"scheme": "int6 group=128", "seq": 1}))
    page = settle(ask(page, "charts", {"scheme": "int7 group=128", "seq": 2}))
    page = settle(page.button(key="undo").click().run())
    assert _bits(page) == 6
    page = settle(page.button(key="reset").click().run())
    assert _bits(page) == 4
    assert page.selectbox(key="source").value == "sample:digits-mlp"


def test_a_large_model_waits_for_the_button(
    open_page: OpenPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "MOST_UNASKED", 99)
    source = _save(tmp_path, w=np.float32([[0.5, -0.25], [1, 0.75]]))
    page = open_page(source=source)
    assert _strip(page) == "Not swept yet: 4 values × 28 schemes, under a second, under 1 MiB of memory"
    assert list(page.dataframe[0].value["Tensor"]) == ["w"]
    page = settle(page.button(key="sweep").click().run())
    assert "own.npz at int4 group=128" in read_headline(page)
    assert page.query_params["job"]


def test_the_job_in_a_link_starts_a_large_sweep(
    open_page: OpenPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = _save(tmp_path, w=np.float32([[0.5, -0.25], [1, 0.7]]))
    link = _link(open_page(source=source))
    cache.get_jobs.clear()
    monkeypatch.setattr(progress, "MOST_UNASKED", 0)
    assert "own.npz at int4" in read_headline(open_page(**link))


def test_the_last_result_stays_in_sight_and_cancel_ends_the_new_one(
    open_page: OpenPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_page(source=_save(tmp_path, a=np.eye(4, dtype=np.float32), swept=np.eye(8, dtype=np.float32)))
    before = read_headline(page)
    gate = threading.Event()

    def sweep_late(*arguments: object, **options: object) -> Rows:
        options["cancel"].wait(20)
        gate.set()
        return sweep(*arguments, **options)

    monkeypatch.setattr(cache, "sweep", sweep_late)
    page.multiselect(key="groupings").set_value(["tensor", "group=128"]).run()
    assert read_headline(page) == before
    assert _strip(page) == "a: 0 of 2 tensors × 14 schemes"
    page.button(key="cancel").click().run()
    assert gate.wait(5)
    page = settle(page)
    assert _strip(page) == "Cancelled before the first tensor"
    assert read_headline(page) == before


def test_a_second_tab_finds_the_running_job(
    open_page: OpenPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, started, release = _save(tmp_path, w=np.eye(6, dtype=np.float32)), [], threading.Event()

    def sweep_late(*arguments: object, **options: object) -> Rows:
        started.append(1)
        release.wait(20)
        return sweep(*arguments, **options)

    monkeypatch.setattr(cache, "sweep", sweep_late)
    tabs = [AppTest.from_file(str(Path(__file__).parents[3] / "app.py"), default_timeout=60) for _ in range(2)]
    for tab in tabs:
        tab.query_params["source"] = source
        tab.run()
        assert any(button.key == "cancel" for button in tab.button)
    release.set()
    assert all(read_headline(settle(tab)).startswith("own.npz at int4") for tab in tabs)
    assert len(started) == 1


def test_a_sweep_that_fails_is_one_message(
    open_page: OpenPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> Rows:
        raise MemoryError("no room for tensor 'w'")

    monkeypatch.setattr(cache, "sweep", fail)
    page = open_page(source=_save(tmp_path, w=np.eye(5, dtype=np.float32)))
    assert "no room for tensor" in page.error[0].value
    monkeypatch.undo()


def test_the_loops_are_warmed_once_per_server(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    done = threading.Event()

    def count(*arguments: object, **options: object) -> Rows:
        rows = sweep(*arguments, **options)
        calls.append(len(rows))
        done.set()
        return rows

    monkeypatch.setattr(cache, "sweep", count)
    cache.warm_kernels.clear()
    cache.warm_kernels()
    assert done.wait(60)
    cache.warm_kernels()
    assert calls == [28]


def test_the_worst_layer_is_that_of_the_width_in_view(open_page: OpenPage, tmp_path: Path) -> None:
    # One large value in each group widens its step sixteenfold, which costs the others some 24 dB.
    rng = np.random.default_rng(3)
    gaussian = rng.standard_normal((16, 128)).astype(np.float32)
    spiked = np.where(np.arange(128) == 0, np.float32(60), gaussian)
    page = open_page(source=_save(tmp_path, gaussian=gaussian, spiked=spiked.astype(np.float32)), bits="8")
    rows = sweep({"gaussian": gaussian, "spiked": spiked.astype(np.float32)}, ["int8 group=128"])
    page = settle(page.button(key="worst").click().run())
    assert page.selectbox(key="layer").value == min(rows, key=lambda row: row.sqnr_db).tensor
