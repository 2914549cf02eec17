"""How is the plan said in the words of a back end? A tab for each, its files, and what it can not express."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import PurePath

import streamlit as st

from qanalysis.charts.wording import count_of
from qanalysis.checkpoints.remote.addresses import is_address
from qanalysis.checkpoints.source import CheckpointError
from qanalysis.dashboard.cache import Origin, get_uploads, identify
from qanalysis.dashboard.plan.patterns import write_patterns
from qanalysis.dashboard.plan.view import PlanView
from qanalysis.dashboard.plans import is_rows
from qanalysis.dashboard.session import confine, current_view, keep
from qanalysis.dashboard.sources import name_source, open_source
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.notation import count, shorten
from qanalysis.plans.plan import Plan
from qanalysis.plans.recipes.catalogue import TARGETS, Target, find_target
from qanalysis.plans.recipes.recipe import Recipe, RecipeFile, Unexpressed
from qanalysis.quantizers.scheme import Scheme

MOST_READ_UNASKED = 4_000_000
"""Values of a model that a recipe reads without being asked; of more it waits for a click."""
_PARTIAL = "Write what it knows"
_MOST_SHOWN = 20_000  # characters of a file; the download has all
_LANGUAGES = {".json": "json", ".py": "python", ".yaml": "yaml", ".yml": "yaml", ".sh": "bash", ".toml": "toml"}
_MOST_LISTED = 12


def find_float(source: str, plan: Plan) -> Origin | None:
    """The float model that a plan is of, where this page can open it: its own source, or the one that rows tell of."""
    text = source if not is_rows(source) else plan.source.path if plan.source else ""
    if not text or (is_address(text) and is_rows(source)):
        return None  # a file is no reason to fetch what it speaks of
    try:
        return identify(text)
    except (CheckpointError, ValueError, OSError):
        return None


def draw_recipes(plan: Plan, model: Origin | None) -> None:
    """The back ends as one choice, and the recipe of the one chosen; nothing where there is none.

    `model` is the float model, for back ends that take its values or its graph; None where it is not at hand.
    """
    names = [target.name for target in TARGETS]
    st.markdown("**Recipe**, the plan in the words of a back end")
    usual = _choose_usual(plan)
    view = confine(PlanView, "recipe", names, chosen=usual)
    st.segmented_control("Recipe for", names, key=keep("recipe"), label_visibility="collapsed", required=True)
    target = find_target(view.recipe or usual)
    st.caption(escape_markdown(target.about))
    partial = current_view(PlanView).partial
    fault, recipe = "", None
    if not _waits_for_a_word(plan, target, model):
        try:
            recipe = _write(plan, target, model if target.reads_source else None, partial=partial)
        except (CheckpointError, ValueError, OSError) as error:
            fault = str(error)
            st.warning(escape_markdown(_name_boxes(fault, target)), icon=":material/block:")
    if partial or "--partial" in fault:
        st.toggle(_PARTIAL, key=keep("partial"))
    if recipe:
        _draw_recipe(recipe)


def _write(plan: Plan, target: Target, model: Origin | None, *, partial: bool) -> Recipe:
    """The recipe, with the float model open where it is at hand. Raises what opening and writing raise."""
    if model is None:
        return target.write(plan, partial=partial)
    key = sha256(repr((list(plan.assignments.items()), plan.column("cost").tolist())).encode()).hexdigest()
    return _write_with(_Kept(key, plan), target.name, model, partial=partial)


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """A plan, and a name that changes with what a recipe takes of it."""

    key: str
    plan: Plan


def _name_kept(kept: _Kept) -> str:
    return kept.key


@st.cache_resource(max_entries=12, show_spinner="Writing the recipe", hash_funcs={_Kept: _name_kept})
def _write_with(kept: _Kept, target: str, model: Origin, *, partial: bool) -> Recipe:
    with open_source(model.text, get_uploads()) as source:
        return find_target(target).write(kept.plan, partial=partial, source=source)


def _waits_for_a_word(plan: Plan, target: Target, model: Origin | None) -> bool:
    """Whether a recipe reads so many values that it is not written unasked."""
    values = sum(row.numel for row in plan.rows)
    if model is None or target.needs != "values" or values <= MOST_READ_UNASKED:
        return False
    return not st.toggle(f"Read {count(values, 'values')} of {name_source(model.text)}", key=f"values {target.name}")


def _name_boxes(message: str, target: Target) -> str:
    """A message with what this page has in place of the options of the command."""
    message = message.replace("give --partial for the rest", f"switch on “{_PARTIAL}” below")
    before, option, _after = message.partition("; give --source")
    if not option:
        return message.replace("--source MODEL.onnx", "an ONNX model as the source")
    needed = "an ONNX model" if target.needs == "graph" else "the float model"
    way = f"open {needed} as the source of this page, or save the plan and run `qanalysis recipe plan.json"
    return f"{before}; {way} --target {target.name} --source FILE`"


def _choose_usual(plan: Plan) -> str:
    """The first back end that knows every format of the plan; the first of all where none does."""
    formats = {str(Scheme.parse(text).format) for text in set(plan.assignments.values())}
    return next((one.name for one in TARGETS if all(map(one.knows, formats))), TARGETS[0].name)


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
