"""Tab Textbook: the answers for n bits over a range with their working, the codes of inputs, code and resolution
tables, the check of a series.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import cast

import numpy as np
import pandas as pd
import streamlit as st

from qanalysis.arrays import Doubles
from qanalysis.converters.converter import LSB_CONVENTIONS
from qanalysis.converters.lines import write_cell
from qanalysis.converters.posterior import (
    GRADE_NOTE,
    Posterior,
    fit_grey_model,
    judge_posterior,
    measure_relative_errors,
)
from qanalysis.converters.textbook.code_table import MOST_ROWS, CodeTable
from qanalysis.converters.textbook.row import tabulate_textbook
from qanalysis.converters.textbook.textbook import PRESETS, Conversion, Textbook, tabulate_resolution
from qanalysis.converters.textbook.worked_steps import work_out
from qanalysis.dashboard.converter.boxes import draw_number
from qanalysis.dashboard.converter.problem import check_problem, solve_view
from qanalysis.dashboard.converter.textbook_frames import offer_textbook, take_textbook
from qanalysis.dashboard.converter.view import SERIES_MODELS, ConverterView, parse_numbers
from qanalysis.dashboard.elements import (
    Fact,
    draw_facts,
    draw_fault,
    draw_findings,
    draw_numbers,
)
from qanalysis.dashboard.export import Extras, draw_export
from qanalysis.dashboard.linked import draw_linked
from qanalysis.dashboard.session import change, keep
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.notation import plain

ROWS_SHOWN, TABLE_HEIGHT = 64, 420
_CODE_COLUMNS = {
    "code": "Code",
    "lower_edge": "Lower edge (V)",
    "centre": "Centre (V)",
    "upper_edge": "Upper edge (V)",
    "level": "Level (V)",
}
_NOT_GIVEN = "not given"
_WAY_OUT = "Correct the number in the controls at the left, or press one of the presets."


def draw_textbook(view: ConverterView) -> None:
    """The tab: controls at the left, answers at the right, tables below.

    A problem without an answer becomes a fault beside the controls, and nothing is drawn below.
    """
    with st.container(horizontal=True):
        for place, (name, preset) in enumerate(PRESETS.items()):
            st.button(name, key=f"k-preset-{place}", on_click=_take_preset, args=(preset,), icon=":material/school:")
    controls, answers = st.columns([2, 7], gap="medium")
    with controls:
        _draw_controls()
    with answers:
        try:
            check_problem(view)
            scene = offer_textbook(view)
            draw_linked(scene, "k-charts", at={"step": view.bits}, on_ask=partial(take_textbook, view))
            problem = solve_view(view)
        except (ValueError, TypeError) as error:
            draw_fault(str(error), _WAY_OUT)
            return
        _draw_inputs(problem)
    _draw_working(problem)
    _draw_tables(problem)
    _draw_posterior(problem, view)
    draw_export(tabulate_textbook(problem), ConverterView, "k-save", Extras())


def _take_preset(preset: Textbook) -> None:
    """Fill the boxes with a worked problem; for a button's callback. What the problem does not state is left empty."""
    converter = preset.converter
    inputs = "; ".join(f"{value:g}" for value in preset.inputs)
    change(
        ConverterView,
        bits=converter.bits,
        low=converter.low,
        high=converter.high,
        inputs=inputs,
        conversion_us=None,
        clock_jitter_ps=None,
        tone_hz=None,
        capacitance_pf=None,
    )


def _draw_controls() -> None:
    """Range and inputs, and in an expander what the noise limits need.

    Volts, µs, ps, hertz and pF, as the labels say; an empty box states nothing. Keys are the fields of the view.
    """
    ends = st.container(horizontal=True, gap="small")
    draw_number("Low end (V)", "low", place=ends)
    draw_number("High end (V)", "high", place=ends)
    st.text_input(
        "Inputs (V)",
        key=keep("inputs"),
        placeholder="4.5; 2.25",
        help="One or several voltages, parted by semicolons; decimal commas are read.",
    )
    with st.expander("More: rate, jitter, kT/C"):
        draw_number("Conversion time (µs)", "conversion_us", empty=_NOT_GIVEN, help="Its inverse is the rate.")
        draw_number("Jitter of the clock (ps rms)", "clock_jitter_ps", empty=_NOT_GIVEN, help="Goes with the tone.")
        help_ = "The sine that the jitter acts on; the two go together."
        draw_number("Tone (Hz)", "tone_hz", empty=_NOT_GIVEN, help=help_)
        draw_number("Capacitor (pF)", "capacitance_pf", empty=_NOT_GIVEN, help="For its kT/C noise at 300 K.")


def _draw_inputs(problem: Textbook) -> None:
    """Per input a line "k-inputs", and whether it keeps the bound; nothing without inputs."""
    if problem.inputs:
        bound = write_cell(problem.converter.error_bound, "V")
        st.markdown("**Inputs**: the actual error beside the bound")
        draw_numbers(build_conversions(problem), "k-inputs", height="content", alt="Codes and errors of the inputs")
        draw_findings(problem.findings, none=f"Every input keeps the bound of {bound}.")


def _draw_working(problem: Textbook) -> None:
    """Every asked quantity with its formula, the formula with the numbers in it, and the answer in bold."""
    with st.expander("Working, step by step", expanded=True, icon=":material/function:"):
        rows = [
            (step.title, step.formula, step.substitution, f"**{escape_markdown(step.result)}**")
            for step in work_out(problem)
        ]
        frame = pd.DataFrame(
            [(*map(escape_markdown, row[:3]), row[3]) for row in rows],
            columns=["Asked", "Formula", "With numbers", "Answer"],
        )
        st.table(frame, hide_index=True, border="horizontal", alt=f"The working in {len(rows)} steps")


def build_conversions(problem: Textbook) -> pd.DataFrame:
    """One line per input: code, level, actual error, and the code in all formats.

    Columns in volts, LSB and percent, then one column per code format; a relative error of 0 V is empty.
    """
    return pd.DataFrame([_list_conversion(conversion) for conversion in problem.conversions])


def _list_conversion(conversion: Conversion) -> dict[str, object]:
    """One input as a line of the table, heading to value."""
    return {
        "Input (V)": conversion.input,
        "Code": conversion.code,
        "Level (V)": conversion.reconstructed,
        "Actual error (V)": conversion.actual_error,
        "Error (LSB)": conversion.actual_error_lsb,
        "|e|/|x| (%)": conversion.relative_error_percent,
        **{word.format.capitalize(): word.binary for word in conversion.words},
    }


def _draw_tables(problem: Textbook) -> None:
    """Two closed expanders: the code table, and the resolution of other widths; closed, they cost nothing."""
    codes = st.expander(
        "Code table: code, lower edge, centre, upper edge",
        key=keep("code_table"),
        on_change="rerun",
        icon=":material/table:",
    )
    if codes.open:
        with codes:
            _draw_code_table(problem)
    section = st.expander(
        "Resolution of 1 to 24 bits over this range",
        key=keep("resolutions"),
        on_change="rerun",
        icon=":material/stacked_line_chart:",
    )
    if section.open:
        with section:
            draw_numbers(
                build_resolutions(problem), "k-resolutions", height=TABLE_HEIGHT, alt="Resolution of 1 to 24 bits"
            )


def _draw_code_table(problem: Textbook) -> None:
    """64 codes around the first input, or the first codes, as table "k-codes", and the download of up to `MOST_ROWS`.

    The headings are those of the CSV in words; edges, centres and levels are in volts.
    """
    centre = problem.conversions[0].code if problem.inputs else 0
    first, last = _window(centre, problem.converter.codes, ROWS_SHOWN)
    part = CodeTable(problem.converter, first, last)
    st.caption(
        f"Codes {first:,} to {last:,} of {problem.converter.codes:,}"
        + (", around the first input." if problem.inputs else ".")
    )
    frame = pd.DataFrame(cast("dict[str, object]", part.to_columns())).rename(columns=_CODE_COLUMNS)
    draw_numbers(frame, "k-codes", height=TABLE_HEIGHT, alt=f"Code table, codes {first} to {last}")
    low, high = _window(centre, problem.converter.codes, MOST_ROWS)
    rows = high - low + 1
    st.download_button(
        f"Code table, {rows:,} rows (CSV)",
        lambda: "".join(_write_codes(problem, low, high)),
        file_name=f"codes-{problem.converter.bits}bit.csv",
        mime="text/csv",
        key="k-save-codes",
        on_click="ignore",
        icon=":material/download:",
    )


def _write_codes(problem: Textbook, first: int, last: int) -> Iterator[str]:
    """The lines of the code table as CSV, head first, made one by one: a million rows never lie in memory at once."""
    return CodeTable(problem.converter, first, last).write_csv()


def _window(centre: int, codes: int, rows: int) -> tuple[int, int]:
    """First and last of `rows` codes around `centre`, moved inwards at the ends; all codes where there are fewer.

    Both ends belong to the window.
    """
    first = max(0, min(centre - rows // 2, codes - rows))
    return first, min(first + rows, codes) - 1


def build_resolutions(problem: Textbook) -> pd.DataFrame:
    """One line per width, both steps side by side.

    Volts, percent, ppm and dB; the second step is that of the other convention of the range.
    """
    converter = problem.converter
    lines = tabulate_resolution(converter.low, converter.high, fs_over=converter.fs_over)
    names = {word: name.replace("fs", "FS") for word, name in LSB_CONVENTIONS.items()}
    return pd.DataFrame(
        {
            "Bits": [line.converter.bits for line in lines],
            f"Step {names[converter.fs_over]} (V)": [line.step for line in lines],
            f"Step {names[lines[0].other_convention.converter.fs_over]} (V)": [
                line.other_convention.step for line in lines
            ],
            "LSB/2 (V)": [line.half_step_bound for line in lines],
            "LSB/FS (%)": [line.relative_percent for line in lines],
            "ppm": [line.resolution_ppm for line in lines],
            "dB of FS": [line.resolution_db for line in lines],
            "Ideal SNR (dB)": [line.ideal_snr_db for line in lines],
        }
    )


def _draw_posterior(problem: Textbook, view: ConverterView) -> None:
    """The expander that checks a series against its model: two texts of numbers, facts, and how grades are given.

    Numbers that can not be read, too few of them, or two series of different lengths become a fault in place.
    """
    section = st.expander(
        "Check of a series: mean relative error, C, P, GM(1,1)",
        key=keep("posterior"),
        on_change="rerun",
        icon=":material/grading:",
    )
    if not section.open:
        return
    with section:
        st.text_input("Series x (measured)", key=keep("series"))
        st.selectbox("Its model y", list(SERIES_MODELS), key=keep("model"), format_func=SERIES_MODELS.__getitem__)
        if view.model == "own":
            st.text_input("Model y (predicted)", key=keep("own_model"), placeholder="as many numbers as the series has")
        try:
            series = np.array(parse_numbers(view.series))
            model, note = _model_series(view, series, problem)
            facts = list_posterior(judge_posterior(series, model), series, model)
        except ValueError as error:
            draw_fault(str(error), "Correct the series above.")
            return
        draw_facts(facts, alt="Posterior check of the series")
        st.caption(escape_markdown(f"{note} {GRADE_NOTE}"))


def _model_series(view: ConverterView, series: Doubles, problem: Textbook) -> tuple[Doubles, str]:
    """The model's values, (numbers of the series,), and a sentence that says how they were made.

    "grey" fits GM(1,1), "converter" rounds by the converter above, "own" takes the typed numbers. ValueError for
    numbers that can not be read and for a series that GM(1,1) can not be fitted to.
    """
    match view.model:
        case "grey":
            grey = fit_grey_model(series)
            a, b, following = (
                plain(value, digits=4) for value in (grey.a, grey.b, float(grey.predict(series.size + 1)[-1]))
            )
            note = f"GM(1,1): a = {a}, b = {b}; the next value would be {following}."
            return grey.predict(series.size), note
        case "converter":
            note = f"y is what {problem.converter.bits} bits over {write_cell(problem.full_scale, 'V')} make of x."
            return problem.converter.round_trip(series), note
    return np.array(parse_numbers(view.own_model)), "y as typed."


def list_posterior(found: Posterior, x: Doubles, y: Doubles) -> list[Fact]:
    """C, c, P, the grade, the bias, and mean relative error in both readings, as plain texts; "n/a" where x is
    constant.

    Ratios and shares are plain numbers; a mean relative error leaves out values whose base is 0.
    """
    errors = measure_relative_errors(x, y)
    grade = "n/a" if found.grade is None else f"{found.grade.number}, {found.grade.word}"
    rows = [
        ("Posterior-error ratio C", found.c_std, "S2/S1, standard deviations; graded"),
        ("Posterior-error ratio c", found.c_var, "S2²/S1², variances; not graded"),
        ("Small-error frequency P", found.small_error_frequency, "share of |e − mean e| < 0.6745 S1"),
        ("Bias", found.bias, "mean of e = y − x, which C and P leave out"),
        (
            "Mean relative error over |x|",
            errors.of_measured,
            f"{errors.of_measured_count} of {errors.count} values, x ≠ 0",
        ),
        (
            "Mean relative error over |y|",
            errors.of_predicted,
            f"{errors.of_predicted_count} of {errors.count} values, y ≠ 0",
        ),
    ]
    texts = [(name, "n/a" if value is None else plain(value, digits=4), word) for name, value, word in rows]
    return [("Grade", grade, "the worse of those by C and by P"), *texts]
