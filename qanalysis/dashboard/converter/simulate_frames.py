"""What does the browser hold of tab Simulate? One scene for each view: sliders of bits, amplitude and phase, and behind
each pair of amplitude and phase the charts, at every width or at one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from qanalysis.charts.linked.dials import Dial, place_values, read_values
from qanalysis.charts.linked.scene import build_part
from qanalysis.dashboard.converter.cache import AMPLITUDE_DIGITS, simulation_key
from qanalysis.dashboard.converter.recordings import find_recording
from qanalysis.dashboard.converter.simulate_panels import draw_kept, draw_view
from qanalysis.dashboard.converter.view import DEFAULT, PHASED, ConverterView
from qanalysis.dashboard.linked import PARTS
from qanalysis.dashboard.session import change
from qanalysis.dashboard.views import list_ends

AMPLITUDE = Dial("amplitude", "Amplitude", "%", *list_ends(ConverterView, "amplitude"), 0.1, AMPLITUDE_DIGITS)
PHASE = Dial("phase", "Start phase", "°", *list_ends(ConverterView, "phase"), 1)
WIDTHS = tuple(range(list_ends(ConverterView, "sim_bits")[0], list_ends(ConverterView, "sim_bits")[1] + 1))
WAY_OUT = "Change the control that the message names, or press Reset in the sidebar."
ORDER = (
    *("s-transfer", "s-errors", "s-codes", "s-ledger", "s-spectrum", "s-phase", "s-frequency"),
    *("s-bits", "s-amplitude", "s-loading", "s-dithers", "s-images", "s-hold", "s-figures"),
)
WIDE = ("s-spectrum", "s-images", "s-hold", "s-figures")
# The sweeps of one width take as long as the charts of all widths in the other views.
WHOLE = ("errors", "codes", "spectrum", "dac")


def list_dials(view: ConverterView) -> tuple[Dial, ...]:
    """The continuous controls of a view: the start phase only where the waveform has one."""
    return (AMPLITUDE, PHASE) if view.waveform in PHASED else (AMPLITUDE,)


def place_simulation(view: ConverterView) -> dict[str, Any]:
    """Where the sliders stand."""
    values = {dial.name: round(getattr(view, dial.name), dial.digits) for dial in list_dials(view)}
    return {"step": view.sim_bits, **values}


def offer_simulation(view: ConverterView) -> str:
    """The address of the scene of the view `sim_view`: its sliders, and what leads to the charts of each setting.

    Everything is made when the browser asks for it.
    """
    still = _hold_still(view)
    origin = find_recording(view) if view.waveform == "record" else None
    key = (still, origin)
    return f"{PARTS.offer(('simulation', key), lambda _index, _place: _build_scene(still, key), way_out=WAY_OUT)}/0"


def _hold_still(view: ConverterView) -> ConverterView:
    """The view with what the sliders move at its defaults, and with nothing that the charts do not depend on."""
    still = replace(
        simulation_key(view),
        sim_view=view.sim_view,
        sim_bits=DEFAULT.sim_bits,
        amplitude=DEFAULT.amplitude,
        phase=DEFAULT.phase,
    )
    if view.sim_view != "spectrum":
        return still
    return replace(still, full_scale=view.full_scale, harmonics=view.harmonics)


def _build_scene(still: ConverterView, key: object) -> Mapping[str, Any]:
    """The part of a whole view: its sliders, and the charts that only the width moves."""
    kept = [draw_kept(replace(still, sim_bits=bits)) for bits in WIDTHS]
    return build_part(
        kept if kept[0] else [[]],
        layout="converter",
        order=ORDER,
        wide=WIDE,
        whole=still.sim_view in WHOLE,
        control={"label": "Bits", "unit": "bit", "steps": WIDTHS},
        dials=[dial.describe() for dial in list_dials(still)],
        frames=PARTS.offer(("simulations", key), partial(build_simulations, still), way_out=WAY_OUT),
    )


def build_simulations(still: ConverterView, index: int, place: int | None = None) -> Mapping[str, Any]:
    """The part of one amplitude and phase, by the place of their dials: the charts at every width, or at the one at
    `place` alone.

    LookupError for no such place; raises what the simulation raises.
    """
    view = replace(still, **take_values(still, read_values(list_dials(still), index)))
    widths = WIDTHS if place is None else WIDTHS[place : place + 1]
    if not widths:
        raise LookupError(f"{place} is no place among {len(WIDTHS)} widths")
    drawn = [draw_view(replace(view, sim_bits=bits)) for bits in widths]
    steps = [step.panels for step in drawn]
    return build_part(steps, heads=[step.head for step in drawn], told=[step.told for step in drawn])


def index_simulation(view: ConverterView) -> int:
    """The place of a view's part among those of its scene."""
    return place_values(list_dials(view), place_simulation(view))


def take_values(view: ConverterView, values: Mapping[str, object]) -> dict[str, Any]:
    """The fields of the view behind what the dials hold; what is no value of theirs is left out."""
    taken = {dial.name: dial.take(values.get(dial.name)) for dial in list_dials(view)}
    kinds = {name: type(getattr(DEFAULT, name)) for name in taken}
    return {name: kinds[name](value) for name, value in taken.items() if value is not None}


def take_simulation(view: ConverterView, asked: Mapping[str, Any]) -> None:
    """Put in view what the sliders ask for; for their callback, whose words may be anything."""
    bits = asked.get("step")
    wanted = take_values(view, asked) | ({"sim_bits": bits} if type(bits) is int and bits in WIDTHS else {})
    moved = {name: value for name, value in wanted.items() if value != getattr(view, name)}
    if moved:
        change(ConverterView, **moved)
