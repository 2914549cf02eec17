"""Does a chart whose figures are not all finite still leave the program?"""

from __future__ import annotations

import json

import numpy as np

from qanalysis.charts.drawing import draw, line


def test_what_has_no_place_on_an_axis_is_null() -> None:
    traces = [line(x=[1.0, float("inf"), float("nan")], y=["a", "b", "c"], customdata=np.array([1.0, np.nan]))]
    told = json.loads(draw(traces, "Figures", "light", alt="Three figures.").to_json())
    assert told["data"][0]["x"] == [1.0, None, None]
    assert told["data"][0]["y"] == ["a", "b", "c"]
