"""What does tab Simulate show of a simulation? Its headline, and the charts and figures of each view."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qanalysis.charts.converter_charts import code_histogram, error_density, ledger_bars, simulated_transfer
from qanalysis.charts.dac_charts import hold_curve, output_spectrum
from qanalysis.charts.linked.scene import FactPanel, Panel
from qanalysis.charts.spectrum_charts import FLOOR_DB, spectrum_chart
from qanalysis.charts.sweep_charts import (
    dither_curves,
    error_against_amplitude,
    loading_curve,
    sqnr_against_bits,
    tone_curves,
)
from qanalysis.converters.choices import Signal
from qanalysis.converters.simulation.dac import list_images, trace_output
from qanalysis.converters.simulation.simulate import SimulatedRecord, Simulation
from qanalysis.dashboard.converter import python_lines as python
from qanalysis.dashboard.converter.cache import (
    Simulated,
    analyze_simulation,
    compare_dithers,
    run_simulation,
    simulation_key,
    sweep_range,
    sweep_simulation,
    sweep_sizes,
    sweep_tone,
)
from qanalysis.dashboard.converter.view import DEFAULT, ConverterView
from qanalysis.dashboard.elements import Fact
from qanalysis.dashboard.views import list_ends
from qanalysis.notation import decibels, plain, signed
from qanalysis.theory.lines import sine_sqnr_db

MOST_WIDTH = list_ends(ConverterView, "sim_bits")[1]
Panels = list[Panel | FactPanel]


def headline_simulation(capture: SimulatedRecord) -> str:
    """Width, SQNR in the band, and the ideal beside it; plain text.

    The ideal is that of a full-scale sine, 6.0206 b + 1.7609 dB; "no signal" where the input is constant.
    """
    bits = capture.simulation.converter.bits
    return f"{bits} bit: {tell_quality(capture)}; 6.02 b + 1.76 = {decibels(sine_sqnr_db(bits))}"


def tell_quality(capture: SimulatedRecord) -> str:
    """SQNR in the band in words."""
    snr = capture.in_band_snr_db
    return "no signal" if snr is None else f"SQNR {decibels(snr)}"


@dataclass(frozen=True, slots=True)
class Drawn:
    """A view at one setting: the headline, how the slider says it, and the charts with their figures."""

    head: str
    told: str
    panels: Panels


def draw_view(view: ConverterView) -> Drawn:
    """The view `sim_view` of the simulation that the controls state.

    Raises what the simulation raises: ValueError for controls that contradict each other, or what reading a record
    does.
    """
    simulated = run_simulation(simulation_key(view))
    capture = simulated.capture
    return Drawn(headline_simulation(capture), tell_quality(capture), _DRAWERS[view.sim_view](view, simulated))


def draw_kept(view: ConverterView) -> Panels:
    """What the view shows that neither amplitude nor phase moves: in view "sweeps" loading, sizes and dithers.

    Sizes are swept with a Gaussian where the waveform is one, else with a sine.
    """
    if view.sim_view != "sweeps":
        return []
    signal: Signal = "gaussian" if view.waveform == "gaussian" else "sine"
    sizes = error_against_amplitude(sweep_sizes(signal, view.dither), signal=signal)
    return [
        Panel("s-loading", loading_curve(sweep_range(view.sim_bits)), python.write_loading(view.sim_bits)),
        Panel("s-amplitude", sizes, python.write_sizes(signal, view.dither)),
        Panel("s-dithers", dither_curves(compare_dithers()), python.write_dithers()),
    ]


def _draw_errors(view: ConverterView, simulated: Simulated) -> Panels:
    """Transfer, density of the errors in LSB, and the figures."""
    capture = simulated.capture
    simulation = capture.simulation
    converter = simulation.converter
    lines = python.write_simulation(simulation, view)
    density = error_density(capture.errors / converter.lsb, transfer=converter.transfer)
    return [
        Panel("s-transfer", simulated_transfer(simulation), python.write_transfer(lines)),
        Panel("s-errors", density, python.write_errors(lines)),
        FactPanel("s-figures", list_errors(simulated, view), headline_simulation(capture)),
    ]


def _draw_codes(view: ConverterView, simulated: Simulated) -> Panels:
    """How often each code came, and which source makes how much of the error power, in LSB².

    Sources below a billionth of the total are left out: they are rounding of the sums.
    """
    capture, ledger = simulated.capture, simulated.ledger
    converter = capture.simulation.converter
    lines = python.write_simulation(capture.simulation, view)
    rows = [row for row in ledger.rows if abs(row.power) > 1e-9 * ledger.total]
    scale = converter.lsb**2
    bars = ledger_bars([row.source for row in rows], [row.power / scale for row in rows], total=ledger.total / scale)
    return [
        Panel("s-codes", code_histogram(capture.codes, bits=converter.bits), python.write_codes(lines)),
        Panel("s-ledger", bars, python.write_ledger(lines)),
    ]


def _draw_spectrum(view: ConverterView, simulated: Simulated) -> Panels:
    """The spectrum and its figures; ValueError for a record too short for its band."""
    simulation = simulated.capture.simulation
    found = analyze_simulation(simulation_key(view), view.full_scale, view.harmonics)
    lines = python.write_spectrum(python.write_simulation(simulation, view), simulation, view)
    facts = [(line.label, line.text, line.convention) for line in found.lines]
    chart = spectrum_chart(found, levels=choose_levels(simulation))
    return [Panel("s-spectrum", chart, lines), FactPanel("s-figures", facts, found.headline)]


def choose_levels(simulation: Simulation) -> tuple[float, float]:
    """Ends of the axis of a spectrum at every width, in dBFS: from below the noise of the finest one in a bin, or from
    the floor of the chart where shaping sinks it, to above full scale.
    """
    if simulation.shaping_order:
        return FLOOR_DB, 10.0
    bin_db = -sine_sqnr_db(MOST_WIDTH) - 10 * math.log10(max(simulation.samples / 2, 1))
    return max(10 * math.floor((bin_db - 25) / 10), FLOOR_DB), 10.0


def _draw_sweeps(view: ConverterView, simulated: Simulated) -> Panels:
    """SQNR against bits; for a sine of whole periods also SINAD and SFDR against start phase and number of periods.

    ValueError for a tone outside the band.
    """
    key = simulation_key(view)
    lines = python.write_simulation(simulated.capture.simulation, view)
    against_bits = sqnr_against_bits(sweep_simulation(replace(key, sim_bits=DEFAULT.sim_bits)), bits=view.sim_bits)
    panels: Panels = [Panel("s-bits", against_bits, python.write_bits(lines))]
    if view.waveform != "sine" or not view.cycles.is_integer():
        return panels
    phases = tone_curves(sweep_tone(key, "phase"), title="Start phase", at=float(view.phase))
    frequencies = tone_curves(sweep_tone(key, "frequency"), title="Frequency", at=view.cycles)
    return [
        Panel("s-phase", phases, python.write_tone(lines, "phase")),
        Panel("s-frequency", frequencies, python.write_tone(lines, "frequency")),
        *panels,
    ]


def _draw_dac(view: ConverterView, simulated: Simulated) -> Panels:
    """The held output's spectrum with its images, and the output in time.

    Images are marked for a sine within the band.
    """
    capture = simulated.capture
    simulation = capture.simulation
    tone = view.cycles * simulation.fs_hz / simulation.samples
    inside = view.waveform == "sine" and 0 < tone < simulation.fs_hz / 2
    images = list_images(tone, simulation.fs_hz, zones=2) if inside else ()
    lines = python.write_simulation(simulation, view)
    output = output_spectrum(trace_output(capture.values, simulation.fs_hz), images)
    hold = hold_curve(capture.values, capture.ideal, fs_hz=simulation.fs_hz)
    return [
        Panel("s-images", output, python.write_output(lines)),
        Panel("s-hold", hold, python.write_hold(lines)),
    ]


def list_errors(simulated: Simulated, view: ConverterView) -> list[Fact]:
    """The figures of a simulated record with their conventions, plain texts.

    Errors are in LSB, powers over q²/12. "n/a" stands for a ratio without a signal, or a correlation with a constant.
    """
    capture, meter = simulated.capture, simulated.meter
    simulation, stats = capture.simulation, capture.stats
    lsb, snr = simulation.converter.lsb, capture.in_band_snr_db
    band = "whole band" if simulation.osr == 1 else f"0 to fs/{2 * simulation.osr}"
    facts = [
        ("SQNR", "n/a" if snr is None else decibels(snr), f"AC signal over error, {band}"),
        (
            "Error rms",
            _in_steps(np.sqrt(np.mean(np.square(capture.errors))) / lsb),
            f"LSB = {simulation.converter.lsb_convention.replace('fs', 'FS')}",
        ),
        ("Bias", _in_steps(np.mean(capture.errors) / lsb), "mean of e = y − x"),
        (
            "Largest error",
            _in_steps(np.abs(capture.errors).max() / lsb),
            f"{view.transfer}: bound {plain(simulation.converter.error_bound / lsb)} LSB",
        ),
        (
            "Error power over q²/12",
            plain(meter.power_ratio, digits=4),
            f"the quantizer's own; model {plain(meter.expected_ratio)} ± {plain(meter.power_limit, digits=2)}",
        ),
        (
            "corr(e, x)",
            _correlation(meter.correlation),
            f"the quantizer's own; model 0 ± {plain(meter.correlation_limit, digits=2)}",
        ),
        (
            "Largest line over the mean bin",
            plain(meter.line_ratio),
            f"whiteness; model below {plain(meter.line_limit)}",
        ),
    ]
    if stats.error_signal_correlation is not None:
        facts.append(("corr of the whole error", _correlation(stats.error_signal_correlation), "all sources"))
    return facts


def _in_steps(error: np.floating[Any]) -> str:
    """An error in LSB with four digits."""
    return f"{signed(float(error), '.4f')} LSB"


def _correlation(value: float | None) -> str:
    """A correlation with four digits and its sign; "n/a" where one side does not vary."""
    return "n/a" if value is None else signed(value, ".4f")


_DRAWERS: dict[str, Callable[[ConverterView, Simulated], Panels]] = {
    "errors": _draw_errors,
    "codes": _draw_codes,
    "spectrum": _draw_spectrum,
    "sweeps": _draw_sweeps,
    "dac": _draw_dac,
}
