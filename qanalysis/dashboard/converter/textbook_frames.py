"""What does the browser hold of tab Textbook? The transfer curve, the answers and the resolution at every width."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from qanalysis.charts.converter_charts import mark_width, resolution_curve, transfer_curve
from qanalysis.charts.linked.scene import FactPanel, Panel, build_part
from qanalysis.charts.palette import empty_state
from qanalysis.converters.lines import write_cell
from qanalysis.dashboard.converter.problem import headline_problem, list_answers, solve_view
from qanalysis.dashboard.converter.python_lines import write_resolution, write_textbook
from qanalysis.dashboard.converter.simulate_panels import Drawn, Panels
from qanalysis.dashboard.converter.view import ConverterView
from qanalysis.dashboard.linked import PARTS
from qanalysis.dashboard.session import change
from qanalysis.dashboard.views import list_ends

LEAST, MOST = list_ends(ConverterView, "bits")
WIDTHS = tuple(range(LEAST, MOST + 1))
STATED = (
    *("low", "high", "inputs", "fs_over", "transfer"),
    *("conversion_us", "clock_jitter_ps", "tone_hz", "capacitance_pf"),
)
WAY_OUT = "Correct the number in the controls at the left, or press one of the presets."


def offer_textbook(view: ConverterView) -> str:
    """The address of the scene of the problem that the controls state, at every width.

    ValueError for a problem that has no answer at any width. The charts are made when the browser asks for them.
    """
    key = tuple(getattr(view, name) for name in STATED)
    return PARTS.put(
        build_part(
            [[]],
            layout="converter",
            order=["k-transfer", "k-figures", "k-resolution"],
            wide=["k-resolution"],
            whole=True,
            control={"label": "Bits", "unit": "bit", "steps": WIDTHS},
            dials=[],
            frames=PARTS.offer(("textbook", key), partial(build_textbook, view), way_out=WAY_OUT),
        )
    )


def build_textbook(view: ConverterView, _index: int, place: int | None = None) -> Mapping[str, Any]:
    """The charts and answers at every width, or at the one at `place` alone; LookupError for no such place.

    A width at which the problem has no answer says why instead.
    """
    widths = WIDTHS if place is None else WIDTHS[place : place + 1]
    if not widths:
        raise LookupError(f"{place} is no place among {len(WIDTHS)} widths")
    answered = [bits for bits in WIDTHS if _has_answer(replace(view, bits=bits))]
    resolution = resolution_curve(view.low, view.high, fs_over=view.fs_over, bits=answered)
    drawn = [_draw_width(replace(view, bits=bits)) for bits in widths]
    python = write_resolution(view)
    steps = [
        [*step.panels, Panel("k-resolution", resolution, python, changes=mark_width(resolution, bits))]
        for step, bits in zip(drawn, widths, strict=True)
    ]
    return build_part(steps, heads=[step.head for step in drawn], told=[step.told for step in drawn])


def _has_answer(view: ConverterView) -> bool:
    """Whether the problem has an answer at the view's width."""
    try:
        solve_view(view)
    except ValueError:
        return False
    return True


def _draw_width(view: ConverterView) -> Drawn:
    """The transfer curve with the first input marked, and the answers."""
    try:
        problem = solve_view(view)
    except ValueError as error:
        fault = empty_state("No answer at this width.", str(error), "light")
        none: Panels = [Panel("k-transfer", fault), FactPanel("k-figures", [], str(error))]
        return Drawn(str(error), "no answer", none)
    converter = problem.converter
    head = headline_problem(problem)
    figure = transfer_curve(converter, at=problem.inputs[0] if problem.inputs else None)
    panels: Panels = [
        Panel("k-transfer", figure, write_textbook(problem)),
        FactPanel("k-figures", list_answers(problem), f"Answers: {head}"),
    ]
    return Drawn(head, f"step {write_cell(problem.step, 'V')}", panels)


def take_textbook(view: ConverterView, asked: Mapping[str, Any]) -> None:
    """Put in view the width that the slider asks for; for its callback, whose words may be anything."""
    bits = asked.get("step")
    if type(bits) is int and bits in WIDTHS and bits != view.bits:
        change(ConverterView, bits=bits)
