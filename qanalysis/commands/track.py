"""What would other rules have done in a recorded run? Options to a log and recipes, their replay to files or screen."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from qanalysis.commands.deliver import check_outputs, deliver
from qanalysis.commands.options import AsJson, Outputs
from qanalysis.notation import quote

_DEFAULTS = ("up-step + down", "ema", "counts")


def track(
    stats: Annotated[
        str,
        typer.Argument(
            metavar="STATS",
            help="A .csv or .parquet table with step, layer, kind and absmax, best absmin, mean and std of |x| too; "
            "a TensorBoard event file, an nvdlfw-inspect log, a folder of these, or sample:digits-mlp-training.",
        ),
    ],
    *,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help="A rule, such as 'up-step precision=s bits=8 + down n=3' or 'fp8_e4m3 + ema'; may be repeated. "
            "Default: up-step + down, ema, counts.",
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Only these: input, output, weight, input-gradient, output-gradient, weight-gradient.",
        ),
    ] = None,
    include: Annotated[str | None, typer.Option(metavar="REGEX", help="Only layers whose name has a match.")] = None,
    exclude: Annotated[str | None, typer.Option(metavar="REGEX", help="No layers whose name has a match.")] = None,
    epoch: Annotated[
        int | None, typer.Option(metavar="N", help="Steps in an epoch. Default: the whole log is one.")
    ] = None,
    out: Outputs = None,
    as_json: AsJson = False,
) -> None:
    """Replay rules over recorded statistics of a training run: what each would have clipped, rounded and changed.

    A history that `train` wrote is read too. JSON also holds the quantization command that each tensor ends with.

    \b
    Examples:
      qanalysis track stats.csv
      qanalysis track stats.parquet --rule 'up-step + down' --rule 'up-step precision=f + down' --kind weight
      qanalysis track runs/ --rule 'fp8_e4m3 + ema momentum=0.99' --include 'layers\\.[0-3]\\.' --out track.html
    """
    from qanalysis.reports.terminal import print_note
    from qanalysis.training.last_commands import list_commands
    from qanalysis.training.recipe import Recipe
    from qanalysis.training.replays.scopes import choose_series
    from qanalysis.training.statistics.catalogue import read_statistics
    from qanalysis.training.statistics.identity import identify_statistics
    from qanalysis.training.tracker import replay

    targets = check_outputs(out, inputs=[stats])
    if not rule:
        print_note(f"no --rule is given; taken are {', '.join(map(repr, _DEFAULTS))}")
    recipes = [Recipe.parse(text) for text in rule or _DEFAULTS]
    log = choose_series(read_statistics(stats), kinds=_split(kind), include=include or "", exclude=exclude or "")
    table = replay(log, recipes, epoch=epoch, source=identify_statistics(stats))
    for entry in table.coverage:
        print_note(f"{log.source or stats}: {entry['note']}")
    if as_json or any(target.suffix.lower() == ".json" for target in targets):
        table = replace(table, more={**table.more, "commands": list_commands(table)})
    deliver(table, targets, as_json=as_json)


def _split(kinds: str | None) -> list[str]:
    """The kinds in a list with commas; ValueError for an empty one."""
    words = [word.strip() for word in kinds.split(",")] if kinds is not None else []
    if kinds is not None and not all(words):
        raise ValueError(
            f"--kind {quote(kinds)}: a kind is empty; write them with commas between, such as input,weight"
        )
    return words
