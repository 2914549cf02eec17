"""The frames of page Converter hold what the charts make of each width directly, numbers agree with the tables beside
them, a step moves in place, and the lines of Python make the same numbers.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from qanalysis.charts.linked.scene import pack, read_step, unpack
from qanalysis.dashboard.converter.cache import analyze_simulation, run_simulation, simulation_key
from qanalysis.dashboard.converter.simulate_frames import (
    WHOLE,
    WIDTHS,
    build_simulations,
    index_simulation,
    offer_simulation,
    place_simulation,
    take_values,
)
from qanalysis.dashboard.converter.simulate_panels import draw_kept, draw_view, headline_simulation
from qanalysis.dashboard.converter.textbook_frames import build_textbook
from qanalysis.dashboard.converter.view import SIMULATE_VIEWS, ConverterView
from qanalysis.notation import plain
from tests.dashboard.scenes import read_address

MOST_BYTES = 150_000
VIEW = ConverterView(samples="1024", cycles=31.0, noise_lsb=0.1)


def draw_alone(view: ConverterView) -> dict[str, Any]:
    """The panels of one width as JSON, drawn directly."""
    return {panel.name: panel.describe() for panel in draw_view(view).panels}


@pytest.fixture(scope="module", params=WHOLE)
def whole(request: pytest.FixtureRequest) -> tuple[ConverterView, dict[str, Any]]:
    view = replace(VIEW, sim_view=request.param)
    return view, unpack(pack(build_simulations(view, index_simulation(view))))


def test_every_width_s_frame_is_the_figure_made_directly(whole: tuple[ConverterView, dict[str, Any]]) -> None:
    view, part = whole
    for place, bits in enumerate(WIDTHS):
        drawn = draw_view(replace(view, sim_bits=bits))
        assert read_step(part, place) == draw_alone(replace(view, sim_bits=bits))
        assert part["heads"][place] == drawn.head


def test_a_single_width_is_the_same_as_among_all(whole: tuple[ConverterView, dict[str, Any]]) -> None:
    view, part = whole
    alone = build_simulations(view, index_simulation(view), 9)
    assert read_step(alone, 0) == read_step(part, 9)
    assert alone["heads"] == part["heads"][9:10]


MOVING = {"x", "y", "customdata", "text", "name", "hovertemplate"}


def find_redraws(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """What of a figure differs that the browser can not move in place."""
    found = set() if len(before["data"]) == len(after["data"]) else {"traces"}
    for old, new in zip(before["data"], after["data"], strict=False):
        found |= {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)} - MOVING
    layouts = []
    for figure in (before, after):
        layout = {
            key: value for key, value in figure["layout"].items() if key not in ("title", "shapes", "annotations")
        }
        for name, value in layout.items():
            if name[1:].startswith("axis"):
                layout[name] = {key: part if key != "range" else len(part) for key, part in value.items()}
        layouts.append(layout)
    return found | {key for key in layouts[0].keys() | layouts[1].keys() if layouts[0].get(key) != layouts[1].get(key)}


def test_a_step_of_the_width_moves_every_chart_in_place(whole: tuple[ConverterView, dict[str, Any]]) -> None:
    _, part = whole
    for place in range(1, len(WIDTHS)):
        before, after = read_step(part, place - 1), read_step(part, place)
        for name in after:
            # A source of the ledger that is there at one width alone has a bar of its own.
            if after[name]["kind"] == "chart" and name != "s-ledger":
                assert find_redraws(before[name]["figure"], after[name]["figure"]) == set(), (name, WIDTHS[place])


@pytest.mark.parametrize("samples", ["4096", "65536"])
@pytest.mark.parametrize("sim_view", WHOLE)
def test_all_widths_of_a_view_are_one_message_of_at_most_150_kb(sim_view: str, samples: str) -> None:
    view = ConverterView(sim_view=sim_view, samples=samples, noise_lsb=0.1)
    assert len(pack(build_simulations(view, index_simulation(view)))) <= MOST_BYTES


def test_the_spectrum_s_figures_beside_the_chart_are_the_analysis_of_each_width() -> None:
    view = replace(VIEW, sim_view="spectrum")
    part = build_simulations(view, index_simulation(view))
    for place, bits in enumerate(WIDTHS):
        found = analyze_simulation(simulation_key(replace(view, sim_bits=bits)), "sine", 6)
        lines = read_step(part, place)["s-figures"]["lines"]
        assert [(line["label"], line["text"], line["note"]) for line in lines] == [
            (line.label, line.text, line.convention) for line in found.lines
        ]


def test_the_dials_find_the_part_of_an_amplitude_off_the_slider_s_steps() -> None:
    view = replace(VIEW, amplitude=33.333333, phase=270, sim_bits=7)
    part = build_simulations(replace(VIEW), index_simulation(view), 6)
    assert part["heads"] == [headline_simulation(run_simulation(simulation_key(view)).capture)]
    assert place_simulation(view) == {"step": 7, "amplitude": 33.333333, "phase": 270}


def test_the_scene_does_not_change_while_the_sliders_move() -> None:
    moved = replace(VIEW, sim_bits=3, amplitude=12.5, phase=45)
    assert offer_simulation(moved) == offer_simulation(VIEW)
    assert offer_simulation(replace(VIEW, noise_lsb=0.2)) != offer_simulation(VIEW)
    assert offer_simulation(replace(VIEW, harmonics=9)) == offer_simulation(VIEW)
    spectrum = replace(VIEW, sim_view="spectrum")
    assert offer_simulation(replace(spectrum, harmonics=9)) != offer_simulation(spectrum)


@pytest.mark.parametrize("waveform", ["sine", "gaussian"])
def test_the_sweeps_that_amplitude_does_not_move_lie_in_the_scene(waveform: str) -> None:
    view = replace(VIEW, sim_view="sweeps", waveform=waveform)
    scene = read_address(offer_simulation(view))
    assert [dial["name"] for dial in scene["dials"]] == (
        ["amplitude", "phase"] if waveform == "sine" else ["amplitude"]
    )
    for place in (0, 7, 15):
        kept = draw_kept(replace(view, sim_bits=WIDTHS[place]))
        assert read_step(scene, place) == {panel.name: panel.describe() for panel in kept}


@pytest.mark.parametrize(
    "asked", [{}, {"amplitude": "99"}, {"amplitude": float("nan")}, {"amplitude": 1e9}, {"phase": True}]
)
def test_what_is_no_value_of_a_dial_changes_nothing(asked: dict[str, Any]) -> None:
    assert take_values(VIEW, asked) == {}


def test_a_place_beyond_the_dials_and_the_widths_is_refused() -> None:
    with pytest.raises(LookupError, match="no place of the controls amplitude, phase"):
        build_simulations(VIEW, 10**12)
    with pytest.raises(LookupError, match="99 is no place among 16 widths"):
        build_simulations(VIEW, 0, 99)
    with pytest.raises(LookupError, match="40 is no place among 32 widths"):
        build_textbook(ConverterView(), 0, 40)


def test_textbook_holds_the_curve_and_the_answers_of_all_widths_in_150_kb() -> None:
    view = ConverterView(inputs="4.5", low=0, high=12)
    part = unpack(pack(build_textbook(view, 0)))
    assert len(pack(part)) <= MOST_BYTES
    for place in (0, 7, 31):
        panels = read_step(part, place)
        assert panels == read_step(build_textbook(view, 0, place), 0)
        lines = {line["label"]: line["text"] for line in panels["k-figures"]["lines"]}
        assert part["heads"][place].startswith(f"{place + 1} bit over 12 V: step {lines['Step']}")
        assert f"{place + 1} bit: {lines['Step']}" in panels["k-resolution"]["alt"]


def test_a_width_without_an_answer_says_so_in_its_place() -> None:
    part = build_textbook(ConverterView(low=1.0, high=1.0 + 2**-30), 0)
    assert part["heads"][0].startswith("1 bit over 931.3 pV")
    assert "32 bits" in part["heads"][31]
    assert read_step(part, 31)["k-transfer"]["alt"].startswith("No answer at this width.")
    assert read_step(part, 31)["k-figures"]["lines"] == []


def run_lines(panel: dict[str, Any]) -> dict[str, Any]:
    """What the chart's lines of Python leave behind."""
    names: dict[str, Any] = {}
    exec(compile(panel["python"], panel["name"], "exec"), names)
    return names


RECHECKS = {
    "s-transfer": lambda names, panel: (names["outputs"][0], unpack_array(panel, 1)[0]),
    "s-errors": lambda names, panel: (names["density"], unpack_array(panel, 0)[1:-1]),
    "s-codes": lambda names, panel: (names["counts"], unpack_array(panel, 0)[1:-1]),
    "s-spectrum": lambda names, panel: (names["spectrum"].power_dbfs.max(), unpack_array(panel, 0).max()),
    "s-bits": lambda names, panel: (names["sqnr_db"], unpack_array(panel, 1)),
    "s-phase": lambda names, panel: (names["sfdr_db"], unpack_array(panel, 0)),
    "s-frequency": lambda names, panel: (names["sfdr_db"], unpack_array(panel, 0)),
    "s-loading": lambda names, panel: (names["sweep"].sqnr_db, unpack_array(panel, 0)),
    "s-amplitude": lambda names, panel: (names["sweep"].correlation, unpack_array(panel, 1)),
    "s-dithers": lambda names, panel: (names["panel"].mean_error_lsb["none"], unpack_array(panel, 0)),
    "s-images": lambda names, panel: (names["output"].level_dbc.max(), unpack_array(panel, 0).max()),
    "s-hold": lambda names, panel: (names["held"], unpack_array(panel, 0)),
}


def unpack_array(panel: dict[str, Any], trace: int, axis: str = "y") -> Any:
    """The numbers of a trace."""
    packed = panel["figure"]["data"][trace][axis]
    if isinstance(packed, list):
        return np.array(packed)
    return np.frombuffer(base64.b64decode(packed["bdata"]), packed["dtype"])


@pytest.mark.parametrize("sim_view", SIMULATE_VIEWS)
def test_the_lines_of_python_of_every_chart_make_its_numbers(sim_view: str) -> None:
    view = replace(VIEW, sim_view=sim_view, inl_shape="bow", offset_lsb=1.5, dither="tpdf", harmonics=4, osr=2)
    panels = {panel.name: panel.describe() for panel in (*draw_view(view).panels, *draw_kept(view))}
    for name, panel in panels.items():
        if panel["kind"] != "chart":
            continue
        names = run_lines(panel)
        if name == "s-ledger":
            bars = panel["figure"]["data"][0]
            assert all(any(plain(power) in label for power in names["powers"].values()) for label in bars["y"])
        else:
            # Charts of spectra are drawn in float32: 2^-24 of 200 dB.
            np.testing.assert_allclose(*RECHECKS[name](names, panel), rtol=0, atol=200 * 2.0**-24)


def test_the_lines_of_python_of_the_textbook_make_its_numbers() -> None:
    panels = read_step(build_textbook(ConverterView(bits=8, high=12, inputs="4.5"), 0, 7), 0)
    names = run_lines(panels["k-transfer"])
    assert (int(names["code"]), float(names["converter"].lsb)) == (96, 0.046875)  # 12 V / 256
    assert np.abs(unpack_array(panels["k-transfer"], 2)).max() <= 0.5 + np.abs(names["errors_lsb"]).max()
    assert run_lines(panels["k-resolution"])["steps"] == unpack_array(panels["k-resolution"], 0).tolist()
