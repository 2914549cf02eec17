"""Which readings of the rules' sources differ, and by how much? Each choice with its reason and a worked example."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from qanalysis.dashboard.elements import draw_lines
from qanalysis.dashboard.tracker.rules import rewrite_rules
from qanalysis.notation import plain, signed
from qanalysis.quantizers.scheme import Scheme
from qanalysis.training.adapting import adapt
from qanalysis.training.reach import ExponentRule, Reach
from qanalysis.training.recipe import Recipe
from qanalysis.training.state import Observation, QuantizerState

EXPONENTS: tuple[ExponentRule, ...] = ("source", "library", "covering")
MEANS = ("literal", "guarded")
EXPONENT_REASON = (
    "The patent's formula does not always cover the value that triggered it, just below and at a power of two, and "
    "then triggers forever; the library's covers at the power itself; the covering rule always."
)
MEAN_REASON = (
    "A raise takes the mean of all values of the window as claimed; one far lower value pulls that mean below the old "
    "end, so that the raise lowers it. Guarded, the mean of the values above the end is taken there."
)
_WINDOW = (6.1, 6.1, 6.1, 6.1, 1.0)
_START = 6.0


def draw_notes(rules: tuple[str, ...]) -> None:
    """Two choices that rewrite the rules above, "t-exponent" and "t-mean", and an example of each."""
    with st.expander("Where the sources leave a choice: exponent, mean of a raise", icon=":material/balance:"):
        left, right = st.columns(2, gap="large")
        with left:
            _draw_choice("Exponent of up- rules", "exponent", "t-exponent", EXPONENTS, rules, EXPONENT_REASON)
            st.caption("absmax 1.0 with 8 bit:")
            heads = ("rule", "exponent s", "its pos", "covers 1.0")
            draw_lines(heads, list_exponents(1.0, 8), "t-exponents", alt="Three exponents for absmax 1.0 at 8 bit")
        with right:
            _draw_choice("Mean of counts rules", "mean", "t-mean", MEANS, rules, MEAN_REASON)
            values = "; ".join(f"{value:g}" for value in _WINDOW)
            st.caption(f"An end at {_START:g}, a window of {values}: 4 of 5 lie above, a raise.")
            draw_lines(
                ("mean", "new end", "what it is"), list_means(), "t-means", alt="Two readings of a raise by the mean"
            )


def _draw_choice(
    label: str, name: str, key: str, choices: tuple[str, ...], rules: tuple[str, ...], reason: str
) -> None:
    """Buttons that set a key of all rules that have it; none is pressed where they differ or no rule has it."""
    held = {getattr(Recipe.parse(rule).range, name, None) for rule in rules} - {None}
    st.session_state[key] = held.pop() if len(held) == 1 else None
    none = not any(hasattr(Recipe.parse(rule).range, name) for rule in rules)
    st.segmented_control(label, choices, key=key, on_change=_take, args=(name, key), disabled=none)
    st.markdown(reason + (" *No rule above has this key.*" if none else ""))


def _take(name: str, key: str) -> None:
    value = st.session_state.get(key)
    if value is not None:
        rewrite_rules(name, value)


def list_exponents(absmax: float, bits: int) -> list[tuple[str, ...]]:
    """Exponent, pos and whether it covers, by each rule.

    >>> [line[:2] + line[3:] for line in list_exponents(1.0, 8)]
    [('source', '−7', 'no'), ('library', '−6', 'yes'), ('covering', '−6', 'yes')]
    """
    reach, widths = Reach(Scheme.parse(f"int{bits}")), np.array([bits])
    lines: list[tuple[str, ...]] = []
    for rule in EXPONENTS:
        s = float(reach.exponent(np.array([absmax]), widths, rule)[0])
        pos = float(reach.largest(widths)[0]) * 2.0**s
        lines.append((rule, signed(s, ".0f"), plain(pos, digits=4), "yes" if pos >= absmax else "no"))
    return lines


def list_means() -> list[tuple[str, ...]]:
    """Where a raise puts an end, by each reading.

    >>> [line[:2] for line in list_means()]
    [('literal', '5.54'), ('guarded', '6.05')]
    """
    lines: list[tuple[str, ...]] = []
    for mean in MEANS:
        recipe = Recipe.parse(
            f"counts first=0.6 second=0.6 when=window count={len(_WINDOW)} start={_START} mean={mean}"
        )
        state: Any = QuantizerState.blank(1, recipe.bits)
        for step, value in enumerate(_WINDOW):
            state = adapt(recipe, state, Observation.of([value]), step=step, epoch=len(_WINDOW)).state
        end = float(state.high[0])
        lines.append((mean, plain(end, digits=4), "a raise that lowers" if end < _START else "a raise"))
    return lines
