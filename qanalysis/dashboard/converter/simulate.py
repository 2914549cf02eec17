"""Tab Simulate: a converter with its imperfections behind a waveform, seen as transfer and errors, spectrum, sweeps, or
as a DAC.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import streamlit as st

from qanalysis.checkpoints.source import CheckpointError
from qanalysis.converters.choices import DITHER_NAMES, INL_SHAPES
from qanalysis.converters.findings import Finding
from qanalysis.converters.simulation.dac import MOST_SPUR_BITS
from qanalysis.converters.simulation.simulate import SimulatedRecord
from qanalysis.converters.spectrum.row import HARMONIC_COLUMNS, list_harmonic_lines
from qanalysis.dashboard.converter.boxes import draw_number
from qanalysis.dashboard.converter.cache import (
    Simulated,
    analyze_simulation,
    read_worst_spur,
    run_simulation,
    simulation_key,
)
from qanalysis.dashboard.converter.simulate_frames import offer_simulation, place_simulation, take_simulation
from qanalysis.dashboard.converter.view import PERIODIC, SAMPLE_COUNTS, SIMULATE_VIEWS, WAVEFORM_WORDS, ConverterView
from qanalysis.dashboard.elements import draw_fault, draw_findings, draw_lines
from qanalysis.dashboard.export import draw_link
from qanalysis.dashboard.linked import draw_linked
from qanalysis.dashboard.session import keep
from qanalysis.dashboard.views import list_ends
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.notation import decibels


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
            scene = offer_simulation(view)
        except (CheckpointError, ValueError, OSError) as error:
            draw_fault(str(error), "Choose another waveform, or another record in **Capture**.")
            return
        draw_linked(scene, "s-charts", at=place_simulation(view), on_ask=partial(take_simulation, view))
        try:
            simulated = run_simulation(simulation_key(view))
        except (CheckpointError, ValueError, TypeError, OSError):
            return  # the charts say what is wrong, below sliders that can mend it
        _NOTES[view.sim_view](view, simulated)
        with st.container(horizontal=True):
            _draw_save(simulated.capture)
            draw_link(ConverterView)


def _draw_controls(view: ConverterView) -> None:
    """Converter, waveform and imperfections; boxes that the waveform has no use for are not drawn.

    Keys are the fields of the view. Amplitude in percent of half the range, offset, INL and noise in LSB, jitter in ps
    rms, rate in hertz.
    """
    st.selectbox("Waveform", list(WAVEFORM_WORDS), key=keep("waveform"), format_func=WAVEFORM_WORDS.__getitem__)
    if view.waveform in PERIODIC:
        coherent = (
            "Of the record: whole and without a common divisor with M, so that every sample has a phase of its own."
        )
        draw_number("Periods (J)", "cycles", help=coherent)
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


def _keep_period_findings(capture: SimulatedRecord) -> tuple[Finding, ...]:
    """What was found of the number of periods; clipping is told where the errors are shown."""
    return tuple(finding for finding in capture.findings if finding.code != "clipping")


def _draw_spectrum_notes(view: ConverterView, _simulated: Simulated) -> None:
    """Of view "spectrum": findings, and the harmonics as lines "s-lines"; nothing where the charts tell of a fault."""
    try:
        found = analyze_simulation(simulation_key(view), view.full_scale, view.harmonics)
    except ValueError:
        return
    draw_findings(found.findings, none="Nothing stands out in this spectrum.")
    draw_lines(HARMONIC_COLUMNS, list_harmonic_lines(found), "s-lines", alt="Harmonics and the largest spur")


def _draw_error_notes(_view: ConverterView, simulated: Simulated) -> None:
    """Of view "errors": the verdict on the noise model, and findings."""
    _draw_meter(simulated)
    draw_findings(simulated.capture.findings, none="Nothing clips, and the period suits the record.")


def _draw_code_notes(_view: ConverterView, _simulated: Simulated) -> None:
    """Of view "codes": how the ledger is made."""
    st.caption(
        "Each source was switched on alone; what they do together beyond that is the interaction. "
        "The rows sum to the total."
    )


def _draw_sweep_notes(view: ConverterView, simulated: Simulated) -> None:
    """Of view "sweeps": the verdict on J and M for a sine of whole periods."""
    if view.waveform == "sine" and view.cycles.is_integer():
        draw_findings(
            _keep_period_findings(simulated.capture),
            none="J and M share no divisor: the start phase moves SINAD by less than 0.4 dB.",
        )


def _draw_dac_notes(view: ConverterView, simulated: Simulated) -> None:
    """Of view "dac": the worst spur of an ideal sine, for 2 bits and more up to what can be summed, and findings."""
    if 2 <= view.sim_bits <= MOST_SPUR_BITS:
        spur = read_worst_spur(view.sim_bits)
        fit = f"fit {decibels(spur.fit_db)} (8.07 n + 3.29)"
        place = f"HD{spur.order:,}, {decibels(spur.sfdr_db)} below the tone; {fit}"
        text = f"Worst spur of an ideal {spur.bits} bit sine over the whole range: {place}."
        st.info(escape_markdown(text), icon=":material/ssid_chart:")
    findings = _keep_period_findings(simulated.capture)
    draw_findings(findings, none="The period suits the record: every sample has a phase of its own.")


_NOTES = dict(
    zip(
        SIMULATE_VIEWS,
        (_draw_error_notes, _draw_code_notes, _draw_spectrum_notes, _draw_sweep_notes, _draw_dac_notes),
        strict=True,
    )
)
