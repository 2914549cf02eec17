"""Which rules are replayed? Text boxes, one for each, with what is wrong with a text below its own box.

A text that is no rule stays in its box and takes no part: the rules of the view, and with them the charts, stay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import pandas as pd
import streamlit as st

from qanalysis.dashboard.session import change, current_view
from qanalysis.dashboard.tracker.view import MOST_RULES, TrackerView
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.notation import quote
from qanalysis.training.range_rules import Down
from qanalysis.training.recipe import RANGE_RULES, Recipe
from qanalysis.training.width_rules import Average, WidthGrowth
from qanalysis.training.words import Rule, keys_of, spell_key, write_value

NEW = "rule-new"
_BOX = 238  # pixels: four boxes beside one another on a laptop
_DRAFTS = "drafts of rules"
FindFault = Callable[[str], str]
"""What the log has against a rule, by its canonical text; "" for one that it can replay."""
_BESIDE: tuple[type[Rule], ...] = (Down, Average, WidthGrowth)
REPLAYED = {name: rule for name, rule in RANGE_RULES.items() if not rule.is_learned}


def list_offers() -> dict[str, str]:
    """Rules to pick, each with what it does; those that go up alone also with `down`."""
    offers = {}
    for name, rule in REPLAYED.items():
        offers[name] = rule.meaning
        if name.startswith("up-"):
            offers[f"{name} + down"] = f"{rule.meaning}, and down again"
    offers["up-step + average"] = "checks rarely while the scale is steady (A14)"
    offers["up-step + width-growth"] = WidthGrowth.meaning
    return offers


def draw_rules(view: TrackerView, faults: Mapping[str, str], find_fault: FindFault) -> None:
    """The boxes "rule-0" and on, a button to remove each, and the box "rule-new" to pick or type another.

    `faults` are what the log has against rules of the view, by their text; `find_fault` says that of a rule that is
    about to be one.
    """
    drafts = _recall_drafts(view.rules)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**Rules**, replayed over the log")
        with st.popover("Words", icon=":material/menu_book:", width=120, help="The words that rules are made of"):
            draw_words()
        _draw_new(find_fault, full=len(view.rules) >= MOST_RULES)
    _draw_fault(drafts.get(len(view.rules), ("", ""))[1])
    with st.container(horizontal=True, gap="small"):
        for place, rule in enumerate(view.rules):
            text, fault = drafts.get(place, (rule, faults.get(rule, "")))
            with st.container(width=_BOX):
                _draw_box(place, text, find_fault, can_leave=len(view.rules) > 1)
                _draw_fault(fault)


def _draw_box(place: int, text: str, find_fault: FindFault, *, can_leave: bool) -> None:
    """The box of one rule, holding `text`, and the button that takes the rule out."""
    key = f"rule-{place}"
    st.session_state[key] = text
    with st.container(horizontal=True, gap=None):
        st.text_input(
            f"Rule {place + 1}", key=key, on_change=take_rule, args=(place, find_fault), label_visibility="collapsed"
        )  # fmt: skip
        st.button(
            ":material/close:", key=f"remove-{place}", on_click=remove_rule, args=(place,), type="tertiary",
            disabled=not can_leave, help=f"Remove rule {place + 1}",
        )  # fmt: skip


def _draw_new(find_fault: FindFault, *, full: bool) -> None:
    offers = list_offers()
    st.selectbox(
        "Add a rule",
        list(offers),
        key=NEW,
        index=None,
        placeholder=f"At most {MOST_RULES} rules" if full else "Add a rule: pick one or type it",
        format_func=lambda text: f"{text}: {offers[text]}" if text in offers else text,
        accept_new_options=True,
        on_change=add_rule,
        args=(find_fault,),
        disabled=full,
        label_visibility="collapsed",
    )


def _draw_fault(fault: str) -> None:
    if fault:
        st.markdown(f":red[:small[{escape_markdown(fault)}]]")


def draw_words() -> None:
    """The catalogue: every word, what it does, and its keys with their defaults."""
    st.markdown(
        "A rule is a line such as `int8 channel + up-step exponent=source + down`: a grid (int8 where none is said), "
        "a range rule, and what stands beside it. `bits=6` stands for `int6`."
    )
    lines = [(name, rule.meaning, _list_keys(rule)) for name, rule in {**REPLAYED, **_by_name(_BESIDE)}.items()]
    frame = pd.DataFrame([map(escape_markdown, line) for line in lines], columns=["Word", "What it does", "Keys"])
    st.table(frame, hide_index=True, border="horizontal", alt="The words that rules are made of")


def _by_name(rules: Sequence[type[Rule]]) -> dict[str, Any]:
    return {rule.name: rule for rule in rules}


def _list_keys(rule: type[Rule]) -> str:
    """Keys as they are written, with their defaults; those without one by their name."""
    return " ".join(
        f"{spell_key(one.name)}={'' if one.default is None else write_value(one.default)}" for one in keys_of(rule)
    )


def take_rule(place: int, find_fault: FindFault) -> None:
    """Take the text of a box as its rule; an empty box leaves the rule out; for the box's callback."""
    rules = list(current_view(TrackerView).rules)
    text = str(st.session_state.get(f"rule-{place}") or "").strip()
    if not text and len(rules) > 1:
        remove_rule(place)
        return
    canonical = _read(text, rules[:place] + rules[place + 1 :], place, find_fault)
    if canonical is not None:
        rules[place] = canonical
        _put(rules)


def add_rule(find_fault: FindFault) -> None:
    """Take what was picked or typed as one more rule; for the callback of the box "rule-new"."""
    rules = list(current_view(TrackerView).rules)
    text = str(st.session_state.get(NEW) or "").strip()
    canonical = _read(text, rules, len(rules), find_fault) if text else None
    if canonical is not None and len(rules) < MOST_RULES:
        st.session_state[NEW] = None
        _put([*rules, canonical])


def remove_rule(place: int) -> None:
    """Leave a rule out, unless it is the only one; for callbacks."""
    rules = list(current_view(TrackerView).rules)
    if len(rules) > 1 and place < len(rules):
        del rules[place]
        _put(rules)


def rewrite_rules(name: str, value: str) -> None:
    """Set a key of every range rule that has it, such as exponent=source; for callbacks."""
    rules = []
    for text in current_view(TrackerView).rules:
        recipe = Recipe.parse(text)
        has_it = any(one.name == name for one in fields(recipe.range))
        rules.append(str(_set_key(recipe, name, value)) if has_it else text)
    _put(list(dict.fromkeys(rules)))


def _set_key(recipe: Recipe, name: str, value: str) -> Recipe:
    return replace(recipe, range=replace(recipe.range, **{name: value}))


def _put(rules: Sequence[str]) -> None:
    st.session_state.pop(_DRAFTS, None)
    change(TrackerView, rules=tuple(rules))


def _read(text: str, others: Sequence[str], place: int, find_fault: FindFault) -> str | None:
    """The canonical text; None with a draft and a sentence for what is no rule, what the log can not replay, and what
    stands there already.
    """
    drafts = _recall_drafts(current_view(TrackerView).rules)
    try:
        canonical = str(Recipe.parse(text))
        if canonical in others:
            raise ValueError(f"{quote(canonical)} stands there already; each rule is replayed once")
        fault = find_fault(canonical)
    except ValueError as error:
        fault = str(error)
    if fault:
        st.session_state[_DRAFTS] = (current_view(TrackerView).rules, {**drafts, place: (text, fault)})
        return None
    return canonical


def _recall_drafts(rules: tuple[str, ...]) -> dict[int, tuple[str, str]]:
    """Texts that are no rules, with what is wrong, by their place; none where the rules are others by now."""
    held = st.session_state.get(_DRAFTS)
    return dict(held[1]) if held and held[0] == rules else {}
