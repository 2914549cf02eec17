"""Four traps of these methods: which reading of a rule is taken, why, and the worked example that tells them apart."""

from __future__ import annotations

from functools import cache

import numpy as np
import streamlit as st

from qanalysis.converters.posterior import GRADES, judge_posterior
from qanalysis.dashboard.session import keep
from qanalysis.dashboard.training.view import EXPONENTS, MEANS, MEASURES, RATIOS
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.notation import plain, true_minus
from qanalysis.quantizers.scheme import Scheme
from qanalysis.training.adapting import adapt
from qanalysis.training.policies import v_elem, v_scalar
from qanalysis.training.reach import Reach
from qanalysis.training.recipe import Recipe
from qanalysis.training.state import Observation, QuantizerState

_RESIDUALS = (0.45, -0.45, 0.45, -0.45)
_SEEN = (6.1, 6.1, 6.1, 6.1, 1.0)
_SERIES = (2.67, 3.13, 3.25, 3.36, 3.56, 3.72)


def draw_readings() -> None:
    """The four choices, each with its one reason; they change what is drawn, or what the next run takes."""
    st.selectbox(
        "Fluctuation of",
        list(MEASURES),
        key=keep("measure"),
        format_func=MEASURES.__getitem__,
        help="A weight that flips keeps |r| near one half: the mean error stands still while the weight oscillates. "
        "Sets the thresholds drawn, and what a policy of the next run follows.",
    )
    st.selectbox(
        "Exponent rule",
        EXPONENTS,
        key=keep("exponent"),
        format_func=_name_reading,
        help="At a power of two the source's rule gives a grid that does not hold the value, and asks again for ever. "
        "Taken by every up- rule of the next run.",
    )
    st.selectbox(
        "Mean of counts",
        MEANS,
        key=keep("mean"),
        format_func=_name_reading,
        help="The mean of all values may lie below the end, so that a raise lowers it; guarded takes those beyond it. "
        "Taken by every counts rule of the next run.",
    )
    st.selectbox(
        "Posterior error",
        list(RATIOS),
        key=keep("ratio"),
        format_func=RATIOS.__getitem__,
        help="Limits of grades belong to a ratio of deviations; for variances each is squared. Sets the chart.",
    )


def _name_reading(word: str) -> str:
    return "as written in the recipe" if word == "written" else word


def draw_examples() -> None:
    """The worked example of each reading, worked out here by the same rules as in a training."""
    with st.expander("Four traps, each with its example", icon=":material/balance:"):
        for heading, told in list_examples():
            st.markdown(f"**{escape_markdown(heading)}** {escape_markdown(told)}")


@cache
def list_examples() -> tuple[tuple[str, str], ...]:
    """Heading and sentence of each."""
    return (
        ("Scalar or element fluctuation.", _tell_fluctuation()),
        ("Source, library or covering exponent.", _tell_exponents()),
        ("Literal or guarded mean.", _tell_means()),
        ("Deviations or variances.", _tell_ratios()),
    )


def _tell_fluctuation() -> str:
    scalar, element = work_out_fluctuation()
    flips = true_minus(", ".join(f"{r:+g}" for r in _RESIDUALS))
    return f"r = {flips}: V_scalar = {plain(scalar)}, V_elem = {element:.4f}. The first misses oscillation."


def _tell_exponents() -> str:
    ends = work_out_exponents()
    told = ", ".join(f"{name} s = {true_minus(str(s))}" for name, (s, _covers) in ends.items())
    fails = " and ".join(name for name, (_s, covers) in ends.items() if not covers)
    return f"Largest value 1.0 at 8 bits: {told}. The grid of {fails} ends at 127 · 2⁻⁷ = 0.992 and does not cover it."


def _tell_means() -> str:
    means = work_out_means()
    seen = ", ".join(map(str, _SEEN))
    raised = f"literal {means['literal']:.2f}, which lowers it, guarded {means['guarded']:.2f}"
    return f"End 6, seen {seen}: 4 of 5 lie beyond, so the end is raised: {raised}."


def _tell_ratios() -> str:
    deviation, variance = work_out_ratios()
    limit = GRADES[0].c_below
    return (
        f"Six values rounded to halves: C = {deviation:.4f}, c = C² = {variance:.4f}. {GRADES[0].word.capitalize()} is "
        f"C < {limit:g}, which is c < {limit**2:.4f}; c held against {limit:g} would pass."
    )


def work_out_fluctuation() -> tuple[float, float]:
    """Both measures of a weight that flips between r = +0.45 and -0.45: (0, 1.55884573)."""
    r = np.array(_RESIDUALS)
    errors = np.abs(r)  # E of a tensor of one weight
    return v_scalar(errors.tolist()), v_elem(np.array([r.mean()]), np.array([(r**2).mean()]))


def work_out_exponents() -> dict[str, tuple[int, bool]]:
    """The exponent for a largest value of 1 at 8 bits by each rule, and whether its grid holds that value."""
    reach, amount, bits = Reach(Scheme.parse("int8")), np.array([1.0]), np.array([8])
    found = {}
    for rule in ("source", "library", "covering"):
        s = int(reach.exponent(amount, bits, rule)[0])
        found[rule] = s, bool(reach.largest(bits)[0] * 2.0**s >= 1.0)
    return found


def work_out_means() -> dict[str, float]:
    """The end after five values under each reading of the mean update: 5.54 and 6.05."""
    found = {}
    for mean in ("literal", "guarded"):
        recipe = Recipe.parse(f"counts second=0.6 when=window count=5 start=6 mean={mean}")
        state = QuantizerState.blank(1, 8)
        for step, value in enumerate(_SEEN):
            state = adapt(recipe, state, Observation.of([value]), step=step, epoch=100).state
        found[mean] = float(state.high[0])
    return found


def work_out_ratios() -> tuple[float, float]:
    """C and c = C² of six values rounded to halves: 0.38627685 and 0.14920980."""
    x = np.array(_SERIES)
    judged = judge_posterior(x, np.rint(2 * x) / 2)
    return judged.c_std or 0.0, judged.c_var or 0.0
