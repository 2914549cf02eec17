"""Which rows does a page plan with, and which plan comes of them? Files of rows and plans, and plans that are kept.

A plan is known by its rows and by what was asked for, so that a step back finds it ready.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from qanalysis.charts.plan_sheet import Energies
from qanalysis.checkpoints.folder_choice import is_index
from qanalysis.checkpoints.path_policy import list_files, resolve_inside
from qanalysis.checkpoints.source import CheckpointError
from qanalysis.dashboard.cache import list_paths
from qanalysis.dashboard.runnable_models import RESULT_SUFFIXES
from qanalysis.dashboard.sources import UPLOAD_PREFIX, UploadStore, name_source, read_root
from qanalysis.models.sensitivity.row import SensitivityRow
from qanalysis.notation import quote
from qanalysis.plans.budgets import MOST_BITS
from qanalysis.plans.candidates import gather_candidates
from qanalysis.plans.plan import Plan
from qanalysis.plans.planning import plan_bits
from qanalysis.plans.problem import InfeasibleError
from qanalysis.plans.reopening import choose_again
from qanalysis.plans.row import PlanRow
from qanalysis.quantizers.scheme import Scheme
from qanalysis.results.document import kind_of
from qanalysis.results.table import Table
from qanalysis.sweeps.row import Row

USUAL_BUDGET = 4.5
#: Rows whose scores are drawn anew at once; plans of more take longer than a page that is at rest may.
QUICK_ROWS = 700
_HEAD_BYTES, _TAIL_BYTES = 4096, 1 << 16
_COMMANDS = tuple(f'"command": "{name}"'.encode() for name in ("sweep", "sensitivity", "plan"))
_CSV_MARKS = (b"layer,tensor,target,mode,", b"tensor,")


@st.cache_resource
def get_row_uploads() -> UploadStore:
    """The server's uploaded rows and plans."""
    return UploadStore(suffixes=RESULT_SUFFIXES)


@st.cache_resource(ttl=10, max_entries=4, show_spinner=False)
def list_plan_sources(root: str) -> list[str]:
    """Checkpoints below the root, and files of rows and plans, relative to it; at most 200 of each."""
    rows = [name for name in list_files(Path(root), RESULT_SUFFIXES) if _holds_rows(Path(root, name))]
    return [*rows, *list_paths(root)]


def _holds_rows(path: Path) -> bool:
    """Whether a file looks like rows that are planned with, by its beginning, of Parquet by its end."""
    if is_index(path.name):
        return False
    try:
        with path.open("rb") as file:
            if path.suffix.lower() == ".parquet":
                file.seek(max(path.stat().st_size - _TAIL_BYTES, 0))
                return b"bits_per_weight" in file.read()
            head = file.read(_HEAD_BYTES)
    except OSError:
        return False
    return any(mark in head for mark in _COMMANDS) or (
        head.startswith(_CSV_MARKS) and b"bits_per_weight" in head.partition(b"\n")[0]
    )


def is_rows(text: str) -> bool:
    """Whether a text names a file of rows or of a plan, by its suffix."""
    return Path(text).suffix.lower() in RESULT_SUFFIXES and not is_index(text)


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """Rows in sight, and a name that changes with them."""

    key: str
    table: Table[Any]


def name_held(held: Held) -> str:
    """What streamlit's caches know rows by."""
    return held.key


def holds_plan(text: str) -> bool:
    """Whether a source is a saved plan, whose constraints stand in it already; false for what can not be opened."""
    try:
        return is_rows(text) and isinstance(open_rows(text).table, Plan)
    except (CheckpointError, ValueError, OSError):
        return False


def open_rows(text: str) -> Held:
    """Rows of a sweep or a sensitivity, or a plan, from a file inside the root or an upload.

    Raises ValueError for a file of another command, CheckpointError for a path outside the root.
    """
    path = get_row_uploads().locate(text) if text.startswith(UPLOAD_PREFIX) else resolve_inside(read_root(), text)
    try:
        status = path.stat()
    except OSError as error:
        raise ValueError(f"{name_source(text)}: {error.strerror or error}; choose another file") from None
    file = _File(str(path), text, status.st_size, status.st_mtime_ns)
    return Held(repr(file), _read_rows(file))


@dataclass(frozen=True, slots=True)
class _File:
    """A file as it lies on disk: its path, how a person typed it, and what changes with it."""

    path: str
    text: str
    size: int
    changed: int


@st.cache_resource(max_entries=4, show_spinner=False)
def _read_rows(file: _File) -> Table[Any]:
    from qanalysis.reports.report import read_result

    text = file.text
    try:
        table = read_result(file.path)
    except ValueError as error:
        raise ValueError(str(error).replace(file.path, name_source(text))) from None
    if table.row_type not in (Row, SensitivityRow, PlanRow):
        raise ValueError(
            f"{name_source(text)} holds a result of `qanalysis {kind_of(table).command}`; a plan is made of rows of "
            "`qanalysis sweep` or `qanalysis sensitivity`, or opened again from a plan.json"
        )
    if not len(table):
        raise ValueError(f"{name_source(text)} holds no rows: there is nothing to choose from")
    return table


def split_pin(text: str) -> tuple[str, str]:
    """What stands before the scheme, and the scheme's canonical text; ValueError where either is missing."""
    for place, letter in enumerate(text):
        if letter != "=" or not text[:place].strip():
            continue
        try:
            return text[:place].strip(), str(Scheme.parse(text[place + 1 :]))
        except ValueError:
            continue  # this one belongs to the expression, or to what is no scheme
    raise ValueError(f"{quote(text)}: give an expression, = and a scheme, such as embed=int8 channel")


@dataclass(frozen=True, slots=True)
class PlanQuestion:
    """What a plan is asked for: a budget in bits per weight (None: the usual one), and what it must
    keep.

    `pins` are texts REGEX=SCHEME and `locks` pairs of a tensor and its scheme; `ties` are presets or expressions.
    `resampled`: plans are made again from scores that are drawn anew, however long that takes.
    """

    budget: float | None
    objective: str | None = None
    exclude: str = ""
    pins: tuple[str, ...] = ()
    locks: tuple[tuple[str, str], ...] = ()
    ties: tuple[str, ...] = ()
    most_formats: int | None = None
    resampled: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A plan, and what is to be told of it: that its budget could not be kept, and which one was taken instead.

    `question` is the one that it answers, with that budget.
    """

    plan: Plan
    question: PlanQuestion
    refusal: str = ""

    @property
    def budget(self) -> float:
        """Bits per weight that it keeps."""
        return self.question.budget or USUAL_BUDGET


def work_out(held: Held, question: PlanQuestion) -> Found:
    """The plan for a question; where no plan keeps the budget, the nearest one with the reason.

    Raises ValueError for what can not be planned at all.
    """
    budget = question.budget or _usual_budget(held)
    asked = replace(question, budget=budget, resampled=question.resampled or is_quick(held))
    if question.budget is None and not question.locks and isinstance(held.table, Plan):
        return Found(held.table, asked)
    try:
        return Found(_plan(held, asked), asked)
    except InfeasibleError as error:
        if budget >= MOST_BITS:
            raise
        free = _plan(held, replace(asked, budget=MOST_BITS, resampled=False))
        least = min((float(point["bits_per_weight"]) for point in free.front), default=free.bits_per_weight)
        nearest = replace(asked, budget=_round_up(least))
        return Found(_plan(held, nearest), nearest, str(error))


def draw_from(held: Held, found: Found) -> Plan:
    """A plan with the front of plans without a budget, which is the same for all budgets: a browser fetches it once."""
    if isinstance(held.table, Plan):
        return found.plan
    free = _plan(held, replace(found.question, budget=MOST_BITS, resampled=False))
    return replace(found.plan, more={**found.plan.more, "front": free.front})


def is_quick(held: Held) -> bool:
    """Whether it is told at once how sure a plan of these rows is; errors of weights are no estimates."""
    return held.table.row_type is not SensitivityRow or len(held.table) <= QUICK_ROWS


def resample(held: Held, question: PlanQuestion) -> Plan:
    """The plan for a question that has one, with its stability; for a thread of its own."""
    return _make_plan(held, replace(question, resampled=True))


def _usual_budget(held: Held) -> float:
    """That of a saved plan, or its size where it has another kind of budget; else the usual one."""
    if not isinstance(held.table, Plan):
        return USUAL_BUDGET
    own = held.table.constraints.get("budget_bpw")
    return float(own) if isinstance(own, int | float) else _round_up(held.table.bits_per_weight)


def _round_up(bits: float) -> float:
    return math.ceil(round(bits * 1e4, 6)) / 1e4


@st.cache_resource(max_entries=24, show_spinner="Working out the plan", hash_funcs={Held: name_held})
def _plan(held: Held, question: PlanQuestion) -> Plan:
    """A plan, kept by the name of its rows and the question."""
    return _make_plan(held, question)


def _make_plan(held: Held, question: PlanQuestion) -> Plan:
    if isinstance(held.table, Plan):
        return choose_again(held.table, budget_bpw=question.budget, pins=dict(question.locks))
    pins = dict(map(split_pin, question.pins))
    asked: dict[str, Any] = {
        "budget_bpw": question.budget,
        "objective": question.objective,
        "exclude": question.exclude,
        "tie": question.ties,
        "most_formats": question.most_formats,
        "pin": pins | {f"^{re.escape(tensor)}$": scheme for tensor, scheme in question.locks},
    }
    given = {name: value for name, value in asked.items() if value}
    return plan_bits(held.table, stability=question.resampled, **given)


@st.cache_resource(max_entries=4, show_spinner=False, hash_funcs={Held: name_held})
def read_energies(held: Held) -> Energies | None:
    """Σe² of every candidate and Σx² of every tensor of a sweep, by tensor; None for rows that do not tell them."""
    if held.table.row_type is not Row:
        return None
    candidates = gather_candidates([held.table])
    return {
        one.tensor.name: (one.errors.tolist(), one.signal)
        for one in candidates.options
        if math.isfinite(one.signal) and np.isfinite(one.errors).all()
    }


def list_objectives(table: Table[Any]) -> list[str]:
    """The columns of some rows that add over tensors and have a figure: what a plan may make small."""
    if table.row_type is PlanRow:
        return []
    names = [one.name for one in table.columns if (one.additive and one.kind == "number") or one.name == "mse"]
    return [name for name in names if np.isfinite(np.asarray(table.column(name), np.float64)).any()]


@st.cache_resource(max_entries=4, show_spinner=False, hash_funcs={Held: name_held})
def list_candidates(held: Held) -> list[str]:
    """What each tensor may be locked to, as texts TENSOR=SCHEME."""
    if isinstance(held.table, Plan):
        return [f"{name}={scheme}" for name, own in held.table.candidates.items() for scheme in own["scheme"]]
    ok = held.table.column("status") == "ok"
    tensors, schemes = held.table.column("tensor")[ok], held.table.column("scheme")[ok]
    return list(dict.fromkeys(f"{tensor}={scheme}" for tensor, scheme in zip(tensors, schemes, strict=True)))
