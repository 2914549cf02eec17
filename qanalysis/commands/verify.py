"""Is the file that came out what was planned? A plan and a file to rows, and exit 1 for any deviation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from qanalysis.commands.deliver import check_outputs
from qanalysis.commands.gating import GitHub, deliver_gated
from qanalysis.commands.options import MISSED, AsJson, Outputs, Partial, Source, cancel_on_interrupt, stop
from qanalysis.commands.plan_file import read_plan
from qanalysis.comparisons.verify_row import ALLOWED_DB

Maps = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="REGEX=REGEX",
        help="Turn names on the left into those on the right, as re.sub does; may be repeated.",
    ),
]


def verify(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="A plan.json that `qanalysis plan` has written.")],
    file: Source,
    *,
    original: Annotated[
        str | None,
        typer.Option("--float", metavar="SOURCE", help="The float model: also hold the error of every tensor to plan."),
    ] = None,
    allow: Annotated[
        float,
        typer.Option(
            metavar="DB",
            help="How much lower than planned the SQNR of weights may be. Tools that round for the sake of the outputs "
            "(GPTQ, AWQ) need a few.",
        ),
    ] = ALLOWED_DB,
    name_maps: Maps = None,
    partial: Partial = False,
    github: GitHub = False,
    out: Outputs = None,
    as_json: AsJson = False,
) -> None:
    """Hold a quantized file against its plan: every tensor's type, bytes and, with the float source, error. Exit 1 if
    any deviates.

    \b
    Examples:
      qanalysis verify plan.json model-q4.gguf
      qanalysis verify plan.json quantized/ --float model.safetensors --out verified.html
    """
    from contextlib import nullcontext

    from qanalysis.checkpoints.catalogue import open_checkpoint
    from qanalysis.comparisons.maps import parse_maps
    from qanalysis.comparisons.verify import verify_plan
    from qanalysis.reports.terminal import show_steps
    from qanalysis.reports.verify_sections import list_deviations

    targets = check_outputs(out, inputs=(plan, file, original))
    if not 0 <= allow < float("inf"):
        raise ValueError(f"--allow {allow:g}: must be a number of dB, 0 or more")
    maps = parse_maps(name_maps or [])
    planned = read_plan(plan)
    with (
        open_checkpoint(file, partial=partial) as opened,
        nullcontext() if original is None else open_checkpoint(original, partial=partial) as source,
    ):
        with cancel_on_interrupt() as cancel, show_steps() as advance:
            asked: dict[str, Any] = {"on_progress": advance} if advance else {}
            table = verify_plan(planned, opened, source, maps=maps, allowed_db=allow, cancel=cancel, **asked)
        if not table.complete:
            stop(
                f"cancelled after {len(table)} tensors; nothing is written, since what was not looked at is not proven"
            )
        deviations = list_deviations(table)
        deliver_gated(table, targets, as_json=as_json, github=github, file=file, findings=deviations)
    if deviations:
        _tell_deviations(deviations)
        raise typer.Exit(MISSED)


def _tell_deviations(deviations: list[tuple[str, str]], most: int = 10) -> None:
    """The deviations on standard error, by name."""
    from qanalysis.reports.terminal import print_note

    for _, text in deviations[:most]:
        print_note(text)
    if len(deviations) > most:
        print_note(f"and {len(deviations) - most:,} more deviations")
