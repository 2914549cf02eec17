"""Does a result keep what a user asked of it, and how does a workflow hear of it? --fail-if and --github."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qanalysis.commands.deliver import deliver

if TYPE_CHECKING:
    from qanalysis.results.table import Table

_SUMMARY = "GITHUB_STEP_SUMMARY"

FailIf = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-if",
        metavar="CONDITION",
        help="Exit 1 where a row fulfils it or lacks the figure, such as 'delta_sqnr_db<-1'; may be repeated.",
    ),
]
GitHub = Annotated[
    bool, typer.Option("--github", help="Write annotations of a GitHub workflow, and a summary of its step.")
]


def hold_conditions(table: Table[Any], texts: Sequence[str] | None) -> Table[Any]:
    """The table with every condition held against its rows, as totals; itself where there is none.

    Raises ValueError for what is no condition, and for a column that the rows do not have.
    """
    from qanalysis.results.conditions import ConditionCheck, hold_all
    from qanalysis.results.table import Frame

    if not texts:
        return table
    checks = hold_all(table, texts)
    return replace(table, totals=Frame.from_rows(ConditionCheck, checks))


def deliver_gated(
    table: Table[Any],
    targets: Sequence[Path],
    *,
    as_json: bool,
    github: bool,
    file: str,
    findings: Sequence[tuple[str, str]] = (),
    **options: Any,
) -> None:
    """`deliver`, and for a workflow annotations on `file` and a summary, before the exit code.

    `findings` are a title and a sentence for each thing wrong; conditions that are missed are found here. Annotations
    go to standard output, where only a document must stand to standard error, which a workflow reads as well.
    """
    from qanalysis.reports.common_sections import list_missed, name_missed

    every = [*findings, *(("condition missed", name_missed(one)) for one in list_missed(table))]
    if github:
        tell_workflow(table, every, file=file, as_json=as_json)
    deliver(table, targets, as_json=as_json, **options)


def tell_workflow(table: Table[Any], findings: Sequence[tuple[str, str]], *, file: str, as_json: bool) -> None:
    """Annotations of the findings, and the result appended to the step's summary; a note where none can be written,
    which changes nothing of the result and its exit code.
    """
    from qanalysis.notation import quote
    from qanalysis.reports.terminal import print_note
    from qanalysis.reports.workflow import annotate, summarise

    for line in annotate(findings, file=file):
        typer.echo(line, err=as_json)
    place = os.environ.get(_SUMMARY)
    if not place:
        print_note(f"--github: {_SUMMARY} names no file, so that no summary is written")
        return
    try:
        with Path(place).open("a", encoding="utf-8") as summary:
            summary.write(summarise(table, findings))
    except OSError as error:
        print_note(f"--github: no summary is written, {_SUMMARY} names {quote(place)}: {error.strerror or error}")
