"""Tab Simulate: a converter with its imperfections behind a waveform, seen as transfer and errors, spectrum, sweeps, or
as a DAC.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from qanalysis.charts.converter_charts import code_histogram, error_density, ledger_bars, simulated_transfer
from qanalysis.charts.dac_charts import hold_curve, output_spectrum
from qanalysis.charts.spectrum_charts import spectrum_chart
from qanalysis.charts.sweep_charts import (
    dither_curves,
    error_against_amplitude,
    loading_curve,
    sqnr_against_bits,
    tone_curves,
)
from qanalysis.checkpoints.source import CheckpointError
from qanalysis.converters.choices import DITHER_NAMES, INL_SHAPES, Signal, WaveformName
from qanalysis.converters.findings import Finding
from qanalysis.converters.simulation.dac import MOST_SPUR_BITS, list_images, trace_output
from qanalysis.converters.simulation.simulate import SimulatedRecord
from qanalysis.converters.simulation.sweeps import sweep_loading
from qanalysis.converters.spectrum.row import HARMONIC_COLUMNS, list_harmonic_lines
from qanalysis.dashboard.converter.boxes import draw_number
from qanalysis.dashboard.converter.cache import (
    Simulated,
    analyze_simulation,
    compare_dithers,
    read_worst_spur,
    run_simulation,
    simulation_key,
    sweep_simulation,
    sweep_sizes,
    sweep_tone,
)
from qanalysis.dashboard.converter.figures import draw_figures
from qanalysis.dashboard.converter.view import SAMPLE_COUNTS, SIMULATE_VIEWS, WAVEFORM_WORDS, ConverterView
from qanalysis.dashboard.elements import Fact, draw_chart, draw_facts, draw_fault, draw_findings, draw_lines, read_theme
from qanalysis.dashboard.export import draw_link
from qanalysis.dashboard.session import keep
from qanalysis.dashboard.views import list_ends
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.notation import decibels, plain, signed
from qanalysis.theory.lines import sine_sqnr_db

_PERIODIC: tuple[WaveformName, ...] = ("sine", "triangle", "two-tone")


def draw_simulate(view: ConverterView) -> None:
    """The tab: controls at the left; a move reruns it alone.

    The part in view is one of `SIMULATE_VIEWS`. Controls that contradict each other become a fault in place of the
    figures; the controls stay, so that they can be corrected.
    """
    st.segmented_control(
        "View",
        list(SIMULATE_VIEWS),
        key=keep("sim_view"),
        format_func=SIMULATE_VIEWS.__getitem__,
        required=True,
        label_visibility="collapsed",
    )
    controls, figures = st.columns([2, 7], gap="medium")
    with controls:
        _draw_controls(view)
    with figures:
        try:
            simulated = run_simulation(simulation_key(view))
        except (CheckpointError, ValueError, TypeError, OSError) as error:
            draw_fault(str(error), "Change the control that the message names, or press **Reset** in the sidebar.")
            return
        st.markdown(f"#### {escape_markdown(headline_simulation(simulated.capture))}")
        _DRAWERS[view.sim_view](view, simulated)
        with st.container(horizontal=True):
            _draw_save(simulated.capture)
            draw_link(ConverterView)


def _draw_controls(view: ConverterView) -> None:
    """Converter, waveform and imperfections; boxes that the waveform has no use for are not drawn.

    Keys are the fields of the view. Amplitude in percent of half the range, offset, INL and noise in LSB, jitter in ps
    rms, rate in hertz.
    """
    _draw_slider("Bits", "sim_bits", "%d bit")
    st.selectbox("Waveform", list(WAVEFORM_WORDS), key=keep("waveform"), format_func=WAVEFORM_WORDS.__getitem__)
    _draw_slider("Amplitude", "amplitude", "%g %%", step=0.1, help="Peak, in percent of half the range (−1 to 1 V).")
    if view.waveform in _PERIODIC:
        coherent = (
            "Of the record: whole and without a common divisor with M, so that every sample has a phase of its own."
        )
        draw_number("Periods (J)", "cycles", help=coherent)
    if view.waveform in _PERIODIC[:2]:
        _draw_slider("Start phase", "phase", "%d°")
    st.selectbox("Samples (M)", SAMPLE_COUNTS, key=keep("samples"))
    st.selectbox("Dither", DITHER_NAMES, key=keep("dither"))
    _draw_slider("Noise", "noise_lsb", "%g LSB", step=0.05, help="Gaussian, rms, before the quantizer.")
    with st.expander("Imperfections", expanded=True):
        boxes = st.container(horizontal=True, gap="small")
        draw_number("Offset (LSB)", "offset_lsb", place=boxes)
        draw_number("Gain error (%)", "gain_percent", place=boxes)
        boxes.selectbox("INL shape", INL_SHAPES, key=keep("inl_shape"))
        draw_number("INL peak (LSB)", "inl_lsb", place=boxes)
        draw_number("Jitter (ps rms)", "jitter_ps", place=boxes)
        draw_number("Rate (Hz)", "sim_rate_hz", place=boxes)
        osr = "Oversampling ratio: the band that counts ends at fs/(2 OSR)."
        draw_number("OSR", "osr", place=boxes, help=osr)
        draw_number("Shaping order", "shaping_order", place=boxes)


def _draw_slider(label: str, field: str, form: str, *, step: float | None = None, help: str | None = None) -> None:
    """A slider over all that the view's field may hold, with the field's name as its key.

    `form` spells the number and its unit, `step` is None for a field of whole numbers.
    """
    st.slider(label, *list_ends(ConverterView, field), step=step, key=keep(field), format=form, help=help)


def _draw_save(capture: SimulatedRecord) -> None:
    """The button "s-save": the simulated record as CSV, written only when it is pressed."""
    name = f"simulated-{capture.simulation.converter.bits}bit.csv"
    label = f"Record, {capture.codes.size:,} samples (CSV)"
    st.download_button(
        label,
        lambda: write_capture(capture),
        file_name=name,
        mime="text/csv",
        key="s-save",
        on_click="ignore",
        icon=":material/download:",
    )


def write_capture(capture: SimulatedRecord) -> str:
    """The record as CSV: time, ideal input, code, value; numbers read back equal.

    One line per sample; volts and seconds without prefixes, a dot as decimal point.
    """
    times = np.arange(capture.codes.size) / capture.simulation.fs_hz
    columns = zip(*(part.tolist() for part in (times, capture.ideal, capture.codes, capture.values)), strict=True)
    return "time (s),input (V),code,value (V)\n" + "".join(
        f"{time!r},{x!r},{code},{y!r}\n" for time, x, code, y in columns
    )


def headline_simulation(capture: SimulatedRecord) -> str:
    """Width, SQNR in the band, and the ideal beside it; plain text.

    The ideal is that of a full-scale sine, 6.0206 b + 1.7609 dB; "no signal" where the input is constant.
    """
    simulation, snr = capture.simulation, capture.in_band_snr_db
    ideal = sine_sqnr_db(simulation.converter.bits)
    quality = "no signal" if snr is None else f"SQNR {decibels(snr)}"
    return f"{simulation.converter.bits} bit: {quality}; 6.02 b + 1.76 = {decibels(ideal)}"


def _draw_errors(view: ConverterView, simulated: Simulated) -> None:
    """View "errors": transfer, histogram of the errors in LSB, the verdict on the noise model, findings, figures.

    Charts "s-transfer" and "s-errors".
    """
    capture, theme = simulated.capture, read_theme()
    simulation = capture.simulation
    converter = simulation.converter
    left, right = st.columns(2, gap="medium")
    with left:
        draw_chart(simulated_transfer(simulation, theme=theme), "s-transfer")
    with right:
        draw_chart(error_density(capture.errors / converter.lsb, transfer=converter.transfer, theme=theme), "s-errors")
        _draw_meter(simulated)
    draw_findings(capture.findings, none="Nothing clips, and the period suits the record.")
    draw_facts(list_errors(simulated, view), alt=headline_simulation(capture))


def _draw_codes(_view: ConverterView, simulated: Simulated) -> None:
    """View "codes": how often each code came, and which source makes how much of the error power, in LSB².

    Charts "s-codes" and "s-ledger". Sources below a billionth of the total are left out: they are rounding of the sums.
    """
    capture, theme = simulated.capture, read_theme()
    converter = capture.simulation.converter
    left, right = st.columns(2, gap="medium")
    with left:
        draw_chart(code_histogram(capture.codes, bits=converter.bits, theme=theme), "s-codes")
    with right:
        rows = [row for row in simulated.ledger.rows if abs(row.power) > 1e-9 * simulated.ledger.total]
        scale = converter.lsb**2
        draw_chart(
            ledger_bars(
                [row.source for row in rows],
                [row.power / scale for row in rows],
                total=simulated.ledger.total / scale,
                theme=theme,
            ),
            "s-ledger",
        )
    st.caption(
        "Each source was switched on alone; what they do together beyond that is the interaction. "
        "The rows sum to the total."
    )


def _draw_meter(simulated: Simulated) -> None:
    """Whether the noise model holds, as a green, amber or red box with the reason in words."""
    meter = simulated.meter
    looks = {
        "holds": (st.success, ":material/check_circle:"),
        "power only": (st.warning, ":material/warning:"),
        "fails": (st.error, ":material/cancel:"),
    }
    draw, icon = looks[meter.verdict]
    draw(f"**Does the noise model hold here?** {escape_markdown(meter.text)}", icon=icon)


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


def _draw_spectrum(view: ConverterView, _simulated: Simulated) -> None:
    """View "spectrum": chart "s-spectrum", findings, figures and the harmonics as lines "s-lines".

    A record too short for its band becomes a fault in place of them.
    """
    try:
        found = analyze_simulation(simulation_key(view), view.full_scale, view.harmonics)
    except ValueError as error:
        draw_fault(str(error), "Choose more samples, or a lower oversampling.")
        return
    draw_chart(spectrum_chart(found, theme=read_theme()), "s-spectrum")
    draw_findings(found.findings, none="Nothing stands out in this spectrum.")
    draw_figures(found, alt=found.headline)
    draw_lines(HARMONIC_COLUMNS, list_harmonic_lines(found), "s-lines", alt="Harmonics and the largest spur")


def _draw_sweeps(view: ConverterView, simulated: Simulated) -> None:
    """View "sweeps": SQNR against bits and loading, error against the signal's size, the dithers side by side.

    Charts "s-bits", "s-loading", "s-amplitude" and "s-dithers"; for a sine of whole periods also phase and frequency.
    Sizes are swept with a Gaussian where the waveform is one, else with a sine.
    """
    theme = read_theme()
    if view.waveform == "sine" and view.cycles.is_integer():
        _draw_tone_sweeps(view, simulated)
    left, right = st.columns(2, gap="medium")
    with left:
        draw_chart(sqnr_against_bits(sweep_simulation(simulation_key(view)), bits=view.sim_bits, theme=theme), "s-bits")
        draw_chart(loading_curve(sweep_loading(view.sim_bits), theme=theme), "s-loading")
    with right:
        signal: Signal = "gaussian" if view.waveform == "gaussian" else "sine"
        draw_chart(error_against_amplitude(sweep_sizes(signal, view.dither), signal=signal, theme=theme), "s-amplitude")
        draw_chart(dither_curves(compare_dithers(), theme=theme), "s-dithers")


def _draw_tone_sweeps(view: ConverterView, simulated: Simulated) -> None:
    """SINAD and SFDR against start phase and number of periods, charts "s-phase" and "s-frequency", with the verdict on
    J and M below.

    A tone outside the band becomes a fault in place of them.
    """
    theme, key = read_theme(), simulation_key(view)
    try:
        phases, frequencies = sweep_tone(key, "phase"), sweep_tone(key, "frequency")
    except ValueError as error:
        draw_fault(str(error), "Set **Periods** to a whole number within the band.")
        return
    left, right = st.columns(2, gap="medium")
    with left:
        draw_chart(tone_curves(phases, title="Start phase", at=float(view.phase), theme=theme), "s-phase")
    with right:
        draw_chart(tone_curves(frequencies, title="Frequency", at=view.cycles, theme=theme), "s-frequency")
    draw_findings(
        _keep_period_findings(simulated.capture),
        none="J and M share no divisor: the start phase moves SINAD by less than 0.4 dB.",
    )


def _draw_dac(view: ConverterView, simulated: Simulated) -> None:
    """View "dac": the held output's spectrum with its images, the output in time, the worst spur of an ideal sine.

    Charts "s-images" and "s-hold". Images are marked for a sine within the band; the spur is told for 2 bits and more,
    up to what can be summed.
    """
    capture, theme = simulated.capture, read_theme()
    simulation = capture.simulation
    tone = view.cycles * simulation.fs_hz / simulation.samples
    images = (
        list_images(tone, simulation.fs_hz, zones=2)
        if view.waveform == "sine" and 0 < tone < simulation.fs_hz / 2
        else ()
    )
    draw_chart(output_spectrum(trace_output(capture.values, simulation.fs_hz), images, theme=theme), "s-images")
    draw_chart(hold_curve(capture.values, capture.ideal, fs_hz=simulation.fs_hz, theme=theme), "s-hold")
    if 2 <= view.sim_bits <= MOST_SPUR_BITS:
        spur = read_worst_spur(view.sim_bits)
        place = (
            f"HD{spur.order:,}, {decibels(spur.sfdr_db)} below the tone; fit {decibels(spur.fit_db)} (8.07 n + 3.29)"
        )
        text = f"Worst spur of an ideal {spur.bits} bit sine over the whole range: {place}."
        st.info(escape_markdown(text), icon=":material/ssid_chart:")
    draw_findings(
        _keep_period_findings(capture), none="The period suits the record: every sample has a phase of its own."
    )


def _keep_period_findings(capture: SimulatedRecord) -> tuple[Finding, ...]:
    """What was found of the number of periods; clipping is told where the errors are shown."""
    return tuple(finding for finding in capture.findings if finding.code != "clipping")


_DRAWERS = dict(zip(SIMULATE_VIEWS, (_draw_errors, _draw_codes, _draw_spectrum, _draw_sweeps, _draw_dac), strict=True))
