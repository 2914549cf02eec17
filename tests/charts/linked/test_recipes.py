"""The lines of Python beside a chart run, and make the numbers that the chart shows."""

from __future__ import annotations

from typing import Any

import numpy as np

from qanalysis import open_checkpoint, sweep
from qanalysis.charts.linked.recipes import write_curve, write_levels, write_map, write_profile, write_sweep
from qanalysis.diagnosis.profile import profile_layer
from qanalysis.quantizers.scheme import Scheme

SAMPLE = "sample:digits-cnn"


def run(lines: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(lines, names)
    return names


def test_the_lines_of_a_sweep_make_its_rows_map_and_curve() -> None:
    with open_checkpoint(SAMPLE) as source:
        rows = sweep(source, ["int3", "int4 channel"], exclude="conv2")
    assert run(write_sweep(SAMPLE, rows.settings))["rows"].rows == rows.rows
    layer = rows[0].tensor
    values = run(write_map(SAMPLE, rows.settings, "sqnr_db"))["values"]
    curve = run(write_curve(SAMPLE, rows.settings, layer, "sqnr_db"))["curve"]
    for row in rows:
        assert values.loc[row.tensor, row.scheme] == row.sqnr_db
    assert list(curve["sqnr_db"]) == [row.sqnr_db for row in rows if row.tensor == layer]


def test_the_lines_of_a_profile_make_its_figures() -> None:
    with open_checkpoint(SAMPLE) as source:
        info = next(info for info in source.tensors if len(info.shape) > 1)
        profile = profile_layer(source.read(info), Scheme.parse("int4 channel"), axis=info.view, name=info.name)
    made = run(write_profile(SAMPLE, profile, "figures = profile.channel_share"))
    np.testing.assert_array_equal(made["figures"], profile.channel_share)


def test_the_lines_of_a_map_of_groups_and_of_levels_make_their_numbers() -> None:
    with open_checkpoint(SAMPLE) as source:
        info = next(info for info in source.tensors if info.name == "fc.weight")
        profile = profile_layer(source.read(info), Scheme.parse("int4 group=32"), axis=info.view, name=info.name)
    made = run(write_profile(SAMPLE, profile, "figures = profile.group_mse"))
    np.testing.assert_array_equal(made["figures"], profile.group_mse)
    assert run(write_levels("int3"))["levels"].tolist() == [-3, -2, -1, 0, 1, 2, 3]


def test_names_stand_in_the_lines_as_literals() -> None:
    name = "a'); import os #\u202e\n"
    lines = write_sweep(name, {"schemes": ["int4"]})
    assert repr(name) in lines
    assert "\u202e" not in lines
    assert len(lines.splitlines()) == 7
