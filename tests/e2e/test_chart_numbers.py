"""The button "Numbers" of a chart lists what the chart shows: points of lines, places of levels, cells of a map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from qanalysis.charts.channel_charts import group_errors
from qanalysis.charts.format_levels import format_levels
from qanalysis.charts.layer_charts import weight_histogram
from qanalysis.charts.linked.modules import join_modules
from qanalysis.charts.linked.scene import Panel
from qanalysis.diagnosis.profile import profile_layer
from qanalysis.quantizers.scheme import Scheme

from .conftest import OpenVisit

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # playwright leaves its own pipes to the collector
LIST = "(panel) => window.listFigure(decodeArrays(panel.figure))"
ListNumbers = Callable[[Any], tuple[list[str], list[list[Any]]]]


@pytest.fixture
def list_numbers(open_visit: OpenVisit) -> ListNumbers:
    """The headings and lines of a figure's numbers, as the browser makes them."""
    page = open_visit("about:blank").page
    page.add_script_tag(content=f"{join_modules()}\nObject.assign(window, {{ listFigure, decodeArrays }});")

    def ask(figure: Any) -> tuple[list[str], list[list[Any]]]:
        found = page.evaluate(LIST, Panel("chart", figure).describe())
        return found["heads"], found["lines"]

    return ask


def test_a_map_of_groups_lists_each_cell_with_its_error(list_numbers: ListNumbers) -> None:
    values = np.random.default_rng(0).standard_normal((3, 64)).astype(np.float32)
    values[1, 16:32] = 0  # a group without error has no cell
    profile = profile_layer(values, Scheme.parse("int4 group=16"))
    heads, lines = list_numbers(group_errors(profile))
    assert heads == ["Channel (index)", "Group (index)", "Mean e²"]
    assert [(channel, group) for channel, group, _ in lines] == [
        (channel, group) for group in range(4) for channel in range(3) if (channel, group) != (1, 1)
    ]
    told = np.array([error for *_, error in lines])
    # The chart holds log10 in float32: half an ulp below 8 is 2^-22, times ln 10.
    np.testing.assert_allclose(told, [profile.group_mse[c, g] for c, g, _ in lines], rtol=2.0**-22 * np.log(10))


def test_levels_are_listed_once_and_have_no_height(list_numbers: ListNumbers) -> None:
    assert list_numbers(format_levels(Scheme.parse("int3"))) == (
        ["Series", "Level at scale 1"],
        [["", level] for level in range(-3, 4)],
    )


def test_a_histogram_lists_its_bins_series_by_series(list_numbers: ListNumbers) -> None:
    profile = profile_layer(np.linspace(-1, 1, 999, dtype=np.float32).reshape(3, 333), Scheme.parse("int4"))
    figure = weight_histogram(profile)
    heads, lines = list_numbers(figure)
    assert heads == ["Series", figure.layout.xaxis.title.text, figure.layout.yaxis.title.text]
    shown = [trace for trace in figure.data if trace.hoverinfo != "skip"]
    assert len(shown) > 1
    wanted = [value for trace in shown for value in np.asarray(trace.y, float) if not np.isnan(value)]
    assert [count for _, _, count in lines] == wanted
