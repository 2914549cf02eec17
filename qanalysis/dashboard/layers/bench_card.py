"""What would a converter bench say of the layer in view?

Its loading, the error's correlation, C, P and ENOB, as a section of page Layers.
"""

from __future__ import annotations

import streamlit as st

from qanalysis.converters.posterior import GRADE_NOTE, Posterior
from qanalysis.converters.simulation.noise_model import gaussian_moments
from qanalysis.dashboard.cache import Subject
from qanalysis.dashboard.elements import Fact, draw_facts
from qanalysis.dashboard.layers.cache import read_posterior
from qanalysis.dashboard.session import keep
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.notation import count, si, signed
from qanalysis.sweeps.row import Row


def draw_bench_card(subject: Subject, row: Row) -> None:
    """The section for the layer and scheme of `row`, whose status is ok; closed, it costs nothing.

    The expander's key is "bench", a field of the view. Of a layer larger than `MOST_PROFILED` C and P are those of its
    first values, which the card says.
    """
    section = st.expander(
        "Converter bench: loading, correlation, C, P, ENOB",
        key=keep("bench"),
        on_change="rerun",
        icon=":material/show_chart:",
    )
    if not section.open:
        return
    with section:
        found = read_posterior(subject)
        if found.count + found.non_finite < row.numel:
            part = f"{count(found.count)} of {count(row.numel)} values"
            st.caption(f"C and P from the first {part}; the other figures count all of them.")
        draw_facts(list_bench(row, found), alt=f"Converter bench of {row.tensor} under {row.scheme}")
        st.caption(escape_markdown(GRADE_NOTE))


def list_bench(row: Row, found: Posterior) -> list[Fact]:
    """The layer as a converter's input: each figure, and what it follows; "n/a" where it is undefined.

    `row` has status ok.

    Loading is in steps, ENOB in bits, SQNR in dB; C, c, P and the correlation are plain numbers. A constant layer has
    neither loading nor C, one without steps neither loading nor power.
    """
    loading = found.std_x / row.step_mean if found.std_x and row.step_mean else None
    expected = gaussian_moments(loading).correlation if loading else None
    power = None if row.rmse_in_steps is None else 12 * row.rmse_in_steps**2
    model = "n/a" if expected is None else signed(expected, ".4f")
    grade = "n/a" if found.grade is None else f"{found.grade.number}, {found.grade.word}"
    return [
        ("Loading", _write(loading, 4, "steps"), "standard deviation of the weights over the mean step"),
        (
            "corr(e, x)",
            _write(row.error_signal_correlation, 4),
            f"error and weights; a Gaussian of this loading on an endless grid: {model}",
        ),
        ("Error power over q²/12", _write(power, 4), "steps of each group; the noise model has 1, without clipping"),
        ("SQNR", _write(row.sqnr_db, 2, "dB"), "weights over error"),
        ("ENOB", _write(row.enob, 2, "bit"), "(SQNR − 1.7609) / 6.0206"),
        ("Posterior-error ratio C", _write(found.c_std, 6), "S2/S1, standard deviations; graded"),
        ("Posterior-error ratio c", _write(found.c_var, 6), "variances, C²; not graded"),
        ("Small-error frequency P", _write(found.small_error_frequency, 6), "share of |e − mean e| < 0.6745 S1"),
        ("Grade", grade, "the worse of those by C and by P"),
        (
            "Mean relative error",
            "n/a" if row.mean_relative_error is None else si(100 * row.mean_relative_error, "%", digits=4),
            "|e|/|x|, weights that are not 0",
        ),
    ]


def _write(value: float | None, digits: int, unit: str = "") -> str:
    """A figure with so many decimals, a true minus and its unit; "n/a" for None."""
    return "n/a" if value is None else f"{signed(value, f'.{digits}f')} {unit}".rstrip()
