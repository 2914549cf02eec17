"""How is the plan said in the words of a back end? A tab for each, its files, and what it can not express."""

from __future__ import annotations

from pathlib import PurePath

import streamlit as st

from qanalysis.charts.wording import count_of
from qanalysis.dashboard.plan.patterns import write_patterns
from qanalysis.dashboard.plan.view import PlanView
from qanalysis.dashboard.session import confine, current_view, keep
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.notation import shorten
from qanalysis.plans.plan import Plan
from qanalysis.plans.recipes.catalogue import TARGETS, find_target
from qanalysis.plans.recipes.recipe import Recipe, RecipeFile, Unexpressed

_MOST_SHOWN = 20_000  # characters of a file; the download has all
_LANGUAGES = {".json": "json", ".py": "python", ".yaml": "yaml", ".yml": "yaml", ".sh": "bash", ".toml": "toml"}
_MOST_LISTED = 12


def draw_recipes(plan: Plan) -> None:
    """The back ends as one choice, and the recipe of the one chosen; nothing where there is none."""
    names = [target.name for target in TARGETS]
    if not names:
        return
    st.markdown("**Recipe**, the plan in the words of a back end")
    usual = _choose_usual(plan)
    view = confine(PlanView, "recipe", names, chosen=usual)
    st.segmented_control("Recipe for", names, key=keep("recipe"), label_visibility="collapsed", required=True)
    target = find_target(view.recipe or usual)
    st.caption(escape_markdown(target.about))
    try:
        recipe = target.write(plan, partial=current_view(PlanView).partial)
    except ValueError as error:
        st.warning(escape_markdown(str(error)), icon=":material/block:")
        st.toggle("Write what it knows", key=keep("partial"))
        return
    if view.partial:
        st.toggle("Write what it knows", key=keep("partial"))
    _draw_recipe(recipe)


def _choose_usual(plan: Plan) -> str:
    """The first back end that knows every format of the plan; the first of all where none does."""
    for target in TARGETS:
        try:
            target.write(plan)
        except ValueError:
            continue
        return target.name
    return TARGETS[0].name


def _draw_recipe(recipe: Recipe) -> None:
    for file in recipe.files:
        _draw_file(recipe.target, file)
    for note in recipe.notes:
        st.caption(escape_markdown(note))
    if recipe.unexpressed:
        lines = [_tell_unexpressed(one) for one in recipe.unexpressed[:_MOST_LISTED]]
        more = len(recipe.unexpressed) - len(lines)
        lines += [f"- and {more} more"] if more > 0 else []
        told = count_of(len(recipe.unexpressed), "tensor")
        st.warning(f"It can not express {told} as planned:\n" + "\n".join(lines), icon=":material/rule:")


def _tell_unexpressed(one: Unexpressed) -> str:
    what = (
        f"- **{escape_markdown(shorten(one.tensor))}** at {escape_markdown(one.scheme)}: {escape_markdown(one.reason)}"
    )
    return f"{what}; instead: {escape_markdown(one.instead)}" if one.instead else what


def _draw_file(target: str, file: RecipeFile) -> None:
    """One file: its text with a button that copies it, and the download."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(escape_markdown(file.name), width="stretch")
        st.download_button(
            "Download", file.text, file_name=PurePath(file.name).name, key=f"recipe {target} {file.name}",
            on_click="ignore", icon=":material/download:",
        )  # fmt: skip
    shown = file.text[:_MOST_SHOWN]
    st.code(
        shown, language=_LANGUAGES.get(PurePath(file.name).suffix), height=320 if shown.count("\n") > 12 else "content"
    )
    if len(shown) < len(file.text):
        st.caption(f"The first {_MOST_SHOWN:,} of {len(file.text):,} characters; the download has all.")


def draw_patterns(plan: Plan) -> None:
    """An expression for the layers of each scheme, with a button that copies it; closed, it costs nothing."""
    section = st.expander(
        "Patterns: the layers of each scheme as an expression",
        key=keep("patterns"),
        on_change="rerun",
        icon=":material/regular_expression:",
    )
    if not section.open:
        return
    with section:
        st.caption("To include or to exclude: each matches the whole names of its layers, and of no other.")
        counts = list(plan.assignments.values())
        for scheme, pattern in write_patterns(plan.assignments).items():
            st.markdown(f"**{escape_markdown(scheme)}**, {count_of(counts.count(scheme), 'layer')}")
            st.code(pattern, language=None, wrap_lines=True)
