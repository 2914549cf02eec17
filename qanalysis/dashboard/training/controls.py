"""What is to be trained? A preset with its lesson, configurations in boxes or as TOML, and what a person typed wrong
beside the box where it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from qanalysis.dashboard.session import change, keep
from qanalysis.dashboard.training.view import LabView, keep_text
from qanalysis.dashboard.trainings import read_experiment
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.training.configuration import Configuration, Experiment
from qanalysis.training.gradient_rules import GRADIENT_RULES
from qanalysis.training.presets import PRESETS
from qanalysis.training.range_rules import Down
from qanalysis.training.recipe import RANGE_RULES
from qanalysis.training.state import KINDS
from qanalysis.training.width_rules import Average, WidthGrowth
from qanalysis.training.words import Rule, keys_of, spell_key, write_value

MOST_CONFIGURATIONS = 3
_FIRST_KINDS = ("weight", "input")
_NUMBERS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "steps": ("Steps", {"min_value": 1, "max_value": 5000, "step": 50}),
    "seed": ("Seed", {"min_value": 0, "max_value": 2**31 - 1, "step": 1}),
    "rate": ("Rate", {"min_value": 0.0, "format": "%g", "step": 0.005}),
}
_FAULTS, _DRAWN = "lab-faults", "lab-drawn"
_TOML = "lab-toml"
_RECIPE_HELP = "Empty: not quantized. Such as int4 channel + minmax + ewgs delta=0.2; see *Words of recipes*."


def read_faults() -> dict[str, str]:
    """What is wrong with the boxes, by the box's key."""
    faults: dict[str, str] = st.session_state.setdefault(_FAULTS, {})
    return faults


def draw_preset(view: LabView) -> None:
    """The choice of a preset with its lesson; a choice lets go of a person's own text."""
    titles = {name: preset.title for name, preset in PRESETS.items()}
    st.selectbox("Preset", list(titles), key=keep("preset"), format_func=titles.__getitem__, on_change=_take_preset)
    preset = PRESETS[view.preset]
    st.markdown(f"{escape_markdown(preset.lesson)} **Look at** {escape_markdown(preset.look_at)}.")
    if view.experiment:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption("The configurations below are edited, no longer the preset's own.", width="stretch")
            st.button("Back to the preset", key="lab-back", on_click=_take_preset)


def draw_configurations(experiment: Experiment) -> None:
    """A column of boxes for each configuration, and the words that recipes are made of; open where a box is wrong."""
    names = ", ".join(one.name for one in experiment.configurations)
    with st.expander(f"Configurations: {escape_markdown(names)}", expanded=bool(read_faults()), icon=":material/tune:"):
        _sync(experiment)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(
                f"Model {escape_markdown(experiment.model)}. A recipe for each kind of data: its grid, how its range "
                "follows the data, and how its gradient is corrected.",
                width="stretch",
            )
            with st.popover("Words of recipes", icon=":material/menu_book:"):
                _draw_words()
        more = any(kind not in _FIRST_KINDS for one in experiment.configurations for kind in one.recipes)
        every = st.toggle("All six kinds of data", value=more, key="lab-kinds")
        kinds = KINDS if every or more else _FIRST_KINDS
        many = len(experiment.configurations)
        for place, (column, one) in enumerate(zip(st.columns(many), experiment.configurations, strict=True)):
            with column:
                _draw_one(experiment, place, kinds)
                if many > 1:
                    st.button(
                        "Remove", key=f"lab-{place}-remove", on_click=_remove, args=(experiment, place), help=one.name
                    )
        if many < MOST_CONFIGURATIONS:
            st.button("Add a configuration", key="lab-add", icon=":material/add:", on_click=_add, args=(experiment,))


def _draw_one(experiment: Experiment, place: int, kinds: tuple[str, ...]) -> None:
    """The boxes of one configuration; those of numbers side by side."""
    _draw_text(experiment, place, "name", "Name")
    for kind in kinds:
        _draw_text(experiment, place, kind, kind.replace("-", " ").capitalize(), help=_RECIPE_HELP)
    boxes = st.container(horizontal=True, gap="small")
    for name, (label, ends) in _NUMBERS.items():
        key = _key(place, name)
        boxes.number_input(label, key=key, on_change=_edit, args=(experiment, place, name), width=110, **ends)
    boxes.selectbox(
        "Optimizer",
        ("sgd", "adam"),
        key=_key(place, "optimizer"),
        on_change=_edit,
        args=(experiment, place, "optimizer"),
        width=110,
    )
    for name in (*_NUMBERS, "optimizer"):
        _tell_fault(_key(place, name))
    others = _list_others(experiment.configurations[place])
    if others:
        st.caption(f"Also {escape_markdown(others)}: change these in the TOML below.")


def _draw_text(experiment: Experiment, place: int, name: str, label: str, *, help: str | None = None) -> None:
    key = _key(place, name)
    st.text_input(label, key=key, on_change=_edit, args=(experiment, place, name), help=help)
    _tell_fault(key)


def _tell_fault(key: str) -> None:
    if key in read_faults():
        st.error(escape_markdown(read_faults()[key]), icon=":material/error:")


def _list_others(configuration: Configuration) -> str:
    """What is set that has no box."""
    boxes = {"name", *KINDS, *_NUMBERS, "optimizer"}
    return ", ".join(f"{name} = {value}" for name, value in configuration.to_words().items() if name not in boxes)


def draw_toml(text: str) -> None:
    """The whole experiment as text: to be edited, copied, uploaded and saved, with the command that trains the same."""
    with st.expander("TOML and the command line", icon=":material/code:"):
        st.text_area("Experiment as TOML", key=_TOML, height=280, on_change=_take_text, args=(_TOML,))
        _tell_fault(_TOML)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            key = f"lab-upload-{st.session_state.get('lab-uploads', 0)}"
            st.file_uploader(
                "Upload TOML", type=["toml"], key=key, on_change=_take_upload, args=(key,), max_upload_size=1
            )
            st.download_button(
                "TOML", text, file_name="experiment.toml", mime="application/toml", key="save-toml", on_click="ignore"
            )
        st.caption("What Run trains, and the command that writes the same history:")
        st.code(text, language="toml")
        st.code("qanalysis train experiment.toml --out history.parquet", language="shell")


def _sync(experiment: Experiment) -> None:
    """Let the boxes hold the experiment's own values where it is another than the one drawn before; what is typed wrong
    stays.
    """
    text, faults = experiment.to_toml(), read_faults()
    if st.session_state.get(_DRAWN) == text and _key(0, "name") in st.session_state:
        return
    st.session_state[_DRAWN] = text
    for place, one in enumerate(experiment.configurations):
        texts = {kind: str(one.recipes[kind]) if kind in one.recipes else "" for kind in KINDS}
        numbers = {name: getattr(one, name) for name in ("name", *_NUMBERS, "optimizer")}
        for name, value in (texts | numbers).items():
            if _key(place, name) not in faults:
                st.session_state[_key(place, name)] = value
    if _TOML not in faults:
        st.session_state[_TOML] = text


def _key(place: int, name: str) -> str:
    """The key of a configuration's box."""
    return f"lab-{place}-{name}"


def _edit(experiment: Experiment, place: int, name: str) -> None:
    """Take what a box holds into the experiment, or keep why it can not be; for the callback of the box."""
    key, faults = _key(place, name), read_faults()
    try:
        words = experiment.configurations[place].to_words() | {name: st.session_state[key]}
        changed = Configuration.from_words(words)
        configurations = list(experiment.configurations)
        configurations[place] = changed
        edited = Experiment(experiment.model, experiment.data, tuple(configurations))
    except ValueError as error:
        faults[key] = str(error)
        return
    faults.pop(key, None)
    _take(edited)


def _take(experiment: Experiment) -> None:
    """Put an experiment in view; one that equals the preset's own is the preset again."""
    preset = PRESETS.get(str(st.session_state.get("preset")))
    own = preset.experiment if preset else None
    change(LabView, experiment="" if experiment == own else keep_text(experiment.to_toml()))


def _take_preset() -> None:
    """Let go of edits and of what was looked at; for callbacks."""
    read_faults().clear()
    change(LabView, experiment="", focus=None, layer=None, kind=None, step=None)


def _take_text(key: str) -> None:
    """Take the experiment that a box of TOML holds, or keep why it can not be; for its callback."""
    _take_toml(str(st.session_state[key]), place="the TOML")


def _take_upload(key: str) -> None:
    """Take an uploaded experiment; a new key empties the uploader."""
    file = st.session_state.get(key)
    if file is None:
        return
    st.session_state["lab-uploads"] = st.session_state.get("lab-uploads", 0) + 1
    text = file.getvalue().decode("utf-8", errors="replace")
    st.session_state[_TOML] = text
    _take_toml(text, place=file.name)


def _take_toml(text: str, *, place: str) -> None:
    faults = read_faults()
    try:
        experiment = read_experiment(text, place=place)
        if len(experiment.configurations) > MOST_CONFIGURATIONS:
            raise ValueError(
                f"{place}: {len(experiment.configurations)} configurations; the page holds at most "
                f"{MOST_CONFIGURATIONS} side by side, `qanalysis train` takes any number"
            )
    except ValueError as error:
        faults[_TOML] = str(error)
        return
    faults.clear()
    st.session_state.pop(_DRAWN, None)
    _take(experiment)


def _remove(experiment: Experiment, place: int) -> None:
    read_faults().clear()
    kept = tuple(one for other, one in enumerate(experiment.configurations) if other != place)
    _take(Experiment(experiment.model, experiment.data, kept))


def _add(experiment: Experiment) -> None:
    """One more configuration, like the last one under a name that is free."""
    last = experiment.configurations[-1].to_words()
    names = {one.name for one in experiment.configurations}
    name = next(name for rank in range(2, 9) if (name := f"{last['name']} {rank}") not in names)
    added = Configuration.from_words(last | {"name": name})
    _take(Experiment(experiment.model, experiment.data, (*experiment.configurations, added)))


@dataclass(frozen=True, slots=True)
class _Words:
    """A table of rules under one heading."""

    heading: str
    rules: Mapping[str, type[Rule]]


_CATALOGUE = (
    _Words("How the range follows the data (one)", RANGE_RULES),
    _Words("Beside it", {one.name: one for one in (Down, Average, WidthGrowth)}),
    _Words("How the gradient is corrected (at most one, of weights)", GRADIENT_RULES),
)


def _draw_words() -> None:
    """Every word of a recipe with its meaning and its keys."""
    st.markdown(
        "Parts are joined by ` + `: a grid, a range rule, and what stands beside them. "
        "A grid is a scheme as on page Layers: `int4 channel`, `int8 asym`, `mxfp4`, `nvfp4`, `fp8_e4m3`."
    )
    for words in _CATALOGUE:
        st.markdown(f"**{words.heading}**")
        lines = [
            f"| `{name}` | {escape_markdown(rule.meaning)} | {_list_keys(rule)} |" for name, rule in words.rules.items()
        ]
        st.markdown("\n".join(["| word | meaning | keys and their defaults |", "| --- | --- | --- |", *lines]))


def _list_keys(rule: type[Rule]) -> str:
    keys = [f"`{spell_key(one.name)}={write_value(one.default)}`" for one in keys_of(rule) if one.default is not None]
    return " ".join(keys)
