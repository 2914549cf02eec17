"""What of a plan takes too long for a page at rest? Plans from resampled scores and a run of the model: as jobs."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import streamlit as st

from qanalysis.checkpoints.source import SAMPLE_PREFIX
from qanalysis.dashboard.jobs import ENGINE_VERSION, Job, JobManager
from qanalysis.dashboard.plan.view import PlanView
from qanalysis.dashboard.plans import Found, Held, is_quick, resample
from qanalysis.dashboard.progress import SETTLE_S
from qanalysis.dashboard.runnable_models import MODEL_SAMPLES, OWN_DATA, locate_data, locate_model
from qanalysis.dashboard.wording import escape_markdown
from qanalysis.notation import shorten
from qanalysis.plans.plan import Plan
from qanalysis.reports.plan_parts import find_part

POLL_S = 0.5
Kind = Literal["resample", "run"]
_AHEAD = {
    "resample": "How sure each layer is of its scheme, from 20 plans of resampled scores",
    "run": "What it does to the outputs: the model under the whole plan, on its own data",
}
_BUTTONS = {"resample": "Resample", "run": "Run the plan"}


@dataclass(frozen=True, slots=True, eq=False)
class CheckRequest:
    """What to find out of a plan: of rows and a question, and of a sample for a run. Equal digests are one job."""

    kind: Kind
    held: Held
    found: Found
    model: str = ""

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits over what the answer depends on."""
        known = "certainty" in self.found.plan.more
        parts = (ENGINE_VERSION, self.kind, self.held.key, self.found.question, self.model, known)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    @property
    def subject(self) -> str:
        """What a sentence calls the work."""
        return "the resampling of the plan" if self.kind == "resample" else "the run of the plan"


@dataclass(frozen=True, slots=True)
class CheckStep:
    """How far a run is: `done` of `total` steps."""

    done: int
    total: int

    @property
    def share_done(self) -> float:
        """The part that is done."""
        return self.done / self.total if self.total else 0.0


Checks = JobManager[CheckRequest, CheckStep, Plan]


@st.cache_resource
def get_plan_checks() -> Checks:
    """The server's checks of plans, one at a time; the last twelve are kept."""
    return JobManager(_check, turns=1)


def _check(request: CheckRequest, on_progress: Callable[[CheckStep], None], cancel: threading.Event) -> Plan:
    if request.kind == "resample":
        return resample(request.held, request.found.question)
    from qanalysis.models.calibration.opening import open_calibration
    from qanalysis.models.running.opening import open_model
    from qanalysis.plans.proof import prove_plan

    plan = request.found.plan
    with open_model(locate_model(request.model)) as model:
        data = open_calibration(locate_data(OWN_DATA, request.model), model)
        forward = prove_plan(
            plan, model, data, on_progress=lambda step: on_progress(CheckStep(step.done, step.total)), cancel=cancel
        )
    return _add_run(plan, forward)


def _add_run(plan: Plan, forward: Any) -> Plan:
    return replace(plan, more={**plan.more, "proof": {**find_part(plan, "proof"), "forward": dict(forward)}})


def check_plan(held: Held, found: Found, view: PlanView) -> tuple[Found, list[CheckRequest]]:
    """The plan with what was found out of it, and what can be."""
    offered = []
    if not is_quick(held) and not found.question.resampled:
        asked = CheckRequest("resample", held, found)
        plan = _read(asked)
        found = found if plan is None else replace(found, plan=plan)
        offered.append(asked)
    model = _find_model(held, view)
    if model:
        asked = CheckRequest("run", held, found, model)
        plan = _read(asked)
        found = found if plan is None else replace(found, plan=plan)
        offered.append(asked)
    return found, offered


def _read(request: CheckRequest) -> Plan | None:
    job = get_plan_checks().find(request.digest)
    return job.snapshot.rows if job is not None else None


def _find_model(held: Held, view: PlanView) -> str:
    """The sample that the rows are of, where it runs; empty for others."""
    of = held.table.source.path if held.table.source else ""
    for text in (view.source, of):
        if text.startswith(SAMPLE_PREFIX) and text.removeprefix(SAMPLE_PREFIX) in MODEL_SAMPLES:
            return text
    return ""


def draw_checks(offered: list[CheckRequest]) -> None:
    """A button for each check that is not made, a bar for one at work."""
    ahead = [one for one in offered if _is_open(one)]
    if not ahead:
        return
    working = any(_find(one) for one in ahead)
    st.fragment(_draw, run_every=POLL_S if working else None)(ahead, working=working)


def _find(request: CheckRequest) -> Job[CheckRequest, CheckStep, Plan] | None:
    """The job of a request that waits or works."""
    job = get_plan_checks().find(request.digest)
    return job if job is not None and job.snapshot.is_active else None


def _is_open(request: CheckRequest) -> bool:
    job = get_plan_checks().find(request.digest)
    return job is None or job.snapshot.rows is None


def _draw(offered: list[CheckRequest], *, working: bool) -> None:
    for one in offered:
        job = _find(one)
        with st.container(horizontal=True, vertical_alignment="center", key=f"check-{one.kind}"):
            if job is None:
                st.button(_BUTTONS[one.kind], key=f"check {one.kind}", on_click=_start, args=(one,), width=140)
                st.caption(_tell(one), width="stretch")
            else:
                st.progress(job.snapshot.share_done, text=escape_markdown(f"At work: {shorten(one.subject)}"))
    if any(_find(one) for one in offered) != working:
        st.rerun()


def _tell(request: CheckRequest) -> str:
    """What a check is for, or why it has failed."""
    job = get_plan_checks().find(request.digest)
    if job is None or job.snapshot.state != "failed":
        return _AHEAD[request.kind]
    return f":red[{escape_markdown(job.snapshot.message)}]"


def _start(request: CheckRequest) -> None:
    get_plan_checks().submit(request, again=True).wait(SETTLE_S)
