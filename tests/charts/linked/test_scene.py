"""What a browser holds of a chart comes back whole at every step, whatever names and numbers the figures have."""

from __future__ import annotations

import json
import zlib
from copy import deepcopy
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qanalysis.charts.linked.scene import (
    Panel,
    apply_changes,
    build_part,
    find_changes,
    pack,
    read_step,
    unpack,
)
from qanalysis.charts.palette import begin, finish

keys = st.sampled_from(["x", "y", "name", "0", "1", "marks", "ünï", "__proto__", ""])
plain = st.one_of(st.integers(-9, 9), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5))
packed = st.builds(lambda text: {"dtype": "f4", "bdata": text}, st.text(max_size=4))
rows_of_values = st.lists(st.one_of(plain, st.none()), max_size=4)
# A figure's attribute keeps its kind: a list of traces never becomes a tree. None stands for an attribute left out.
leaves = st.one_of(plain, packed, rows_of_values)


def trees(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(keys, inner, max_size=5)


def figures() -> st.SearchStrategy[dict[str, Any]]:
    traces = st.lists(trees(leaves), max_size=4)
    layout = trees(st.one_of(leaves, trees(leaves)))
    return st.fixed_dictionaries(
        {"figure": st.fixed_dictionaries({"data": traces, "layout": layout}), "alt": st.text()}
    )


class TestChanges:
    @given(figures(), figures())
    def test_applying_what_was_found_gives_the_other(self, base: dict[str, Any], other: dict[str, Any]) -> None:
        kept = deepcopy((base, other))
        assert apply_changes(base, find_changes(base, other)) == other
        assert (base, other) == kept  # neither is touched

    @given(figures(), figures())
    def test_the_law_holds_after_the_way_to_the_browser(self, base: dict[str, Any], other: dict[str, Any]) -> None:
        sent, changes = (json.loads(json.dumps(tree)) for tree in (base, find_changes(base, other)))
        assert apply_changes(sent, changes) == other

    @given(figures())
    def test_nothing_is_sent_for_equal_trees(self, tree: dict[str, Any]) -> None:
        assert find_changes(tree, deepcopy(tree)) == {}
        assert apply_changes(tree, {}) == tree

    @given(figures(), figures(), figures())
    def test_steps_do_not_lean_on_each_other(
        self, base: dict[str, Any], first: dict[str, Any], second: dict[str, Any]
    ) -> None:
        part = {"panels": base, "changes": [find_changes(base, tree) for tree in (base, first, second)]}
        assert [read_step(part, place) for place in (2, 1, 0)] == [second, first, base]

    def test_one_changed_trace_is_all_that_is_sent(self) -> None:
        data = [{"x": [1, 2], "y": [3, 4]}, {"x": [1, 2], "y": [5, 6]}]
        other = [data[0], {"x": [1, 2], "y": [5, 7]}]
        assert find_changes({"data": data}, {"data": other}) == {"data": {"1": {"y": [5, 7]}}}

    def test_a_packed_array_is_taken_whole(self) -> None:
        first, second = ({"y": {"dtype": "f4", "bdata": text}} for text in ("AAAA", "BBBB"))
        assert find_changes(first, second) == second

    def test_a_trace_more_is_sent_as_the_whole_list(self) -> None:
        assert find_changes({"data": [{"x": 1}]}, {"data": [{"x": 1}, {"x": 2}]}) == {"data": [{"x": 1}, {"x": 2}]}


class TestPacking:
    @given(figures())
    def test_what_is_packed_comes_back(self, tree: dict[str, Any]) -> None:
        assert unpack(pack(tree)) == tree

    def test_it_travels_as_compressed_json(self) -> None:
        assert json.loads(zlib.decompress(pack({"a": [1, "é"]}))) == {"a": [1, "é"]}

    @pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
    def test_a_number_that_json_does_not_have_is_refused(self, number: float) -> None:
        with pytest.raises(ValueError, match="not JSON compliant"):
            pack({"x": number})


def draw(y: Any, *, name: str = "a", title: str = "t", alt: str = "A chart of 1.") -> go.Figure:
    figure = begin(title, "light", subtitle="s", height=300)
    figure.add_scatter(x=[0, 1], y=y, name=name, customdata=[[name, "int4"]] * 2)
    return finish(figure, alt)


HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    'a"b\\c/d',
    "\\u202e literal",
    "\\\\u202e\\",
    "%{x} %{customdata[0]}",
    "line\nbreak\u2028\u2029\x00",
    "עברית ünï 名",
    "\ud800 lone",
    "{'$': 1}",
]


class TestPanel:
    @pytest.mark.parametrize("name", HOSTILE)
    def test_a_name_comes_back_as_it_is(self, name: str) -> None:
        told = unpack(pack(build_part([[Panel(name, draw([1, 2], name=name, title=name, alt=name), python=name)]])))
        (panel,) = told["panels"].values()
        assert panel["name"] == panel["python"] == panel["alt"] == name
        assert panel["figure"]["layout"]["title"]["text"] == name
        assert panel["figure"]["data"][0]["name"] == name
        assert panel["figure"]["data"][0]["customdata"][0] == [name, "int4"]

    def test_marks_that_turn_the_reading_direction_are_left_out(self) -> None:
        name = "a\u202eb\u2066\u2069\u200f\\\u202ec\\\\\u202d"
        panel = Panel("p", draw([1, 2], title=name)).describe()
        assert panel["figure"]["layout"]["title"]["text"] == "ab\\c\\\\"

    def test_the_numbers_are_the_figure_s(self) -> None:
        y = np.array([0.1, np.nan, 3], np.float32)
        (trace,) = Panel("p", draw(y)).describe()["figure"]["data"]
        assert trace["y"]["dtype"] == "f4"
        plotly = json.loads(draw(y).to_json())
        assert trace == plotly["data"][0]

    def test_theme_and_height_stand_outside_the_figure(self) -> None:
        panel = Panel("p", draw([1, 2]), kind="grid", python="x = 1").describe()
        assert not {"template", "height", "meta", "uirevision"} & set(panel["figure"]["layout"])
        assert (panel["height"], panel["kind"], panel["alt"], panel["python"]) == (
            300,
            "grid",
            "A chart of 1.",
            "x = 1",
        )

    def test_a_figure_without_an_alternative_text_is_refused(self) -> None:
        with pytest.raises(KeyError):
            Panel("p", begin("t", "light")).describe()


class TestParts:
    def test_every_step_is_the_panel_drawn_alone(self) -> None:
        steps = [[Panel("one", draw([1, step], title=f"step {step}")), Panel("two", draw([5, 5]))] for step in range(4)]
        part = unpack(pack(build_part(steps, told=list("abcd"), note="n")))
        for place, panels in enumerate(steps):
            assert read_step(part, place) == {panel.name: panel.describe() for panel in panels}
        assert (part["told"], part["note"]) == (list("abcd"), "n")
        assert part["changes"][0] == {}
        assert all("two" not in changes for changes in part["changes"])  # what stays is not sent again

    def test_what_a_step_adds_stands_in_that_step_alone(self) -> None:
        figure = draw([1, 2])
        steps = [[Panel("one", figure, changes={"marks": {"shapes": [{"x0": at}]}})] for at in (2, 3)]
        part = build_part(steps)
        assert [read_step(part, place)["one"]["marks"]["shapes"][0]["x0"] for place in (0, 1)] == [2, 3]
        assert "marks" not in Panel("one", figure).describe()

    def test_steps_with_other_panels_are_refused(self) -> None:
        with pytest.raises(ValueError, match="every step needs the panels"):
            build_part([[Panel("one", draw([1, 2]))], [Panel("two", draw([1, 2]))]])

    def test_there_is_no_step_beyond_the_last(self) -> None:
        with pytest.raises(IndexError):
            read_step(build_part([[Panel("one", draw([1, 2]))]]), 1)
