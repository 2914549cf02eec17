"""How do two models differ, or two results? Two sources tensor by tensor, two tables row by row."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qanalysis.commands.deliver import check_outputs
from qanalysis.commands.gating import FailIf, GitHub, deliver_gated, hold_conditions
from qanalysis.commands.options import AsJson, Outputs, Partial, cancel_on_interrupt, stop
from qanalysis.commands.schemes import Exclude, Include
from qanalysis.notation import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qanalysis.comparisons.compare import CompareProgress
    from qanalysis.results.table import Table

_TABLES = (".json", ".csv", ".parquet")
_INDEX = ".index.json"
_SIDE = "a model as `sweep` takes it (file, folder, sample:NAME, address), or rows (.json, .csv, .parquet)."


def compare(  # one parameter per option
    a: Annotated[str, typer.Argument(metavar="A", help=f"What B is held against: {_SIDE}")],
    b: Annotated[str, typer.Argument(metavar="B", help="The other one, of the same kind.")],
    *,
    maps: Annotated[
        list[str] | None,
        typer.Option(
            "--map", metavar="REGEX=REGEX", help="Turn names of A into names of B, as re.sub does; may be repeated."
        ),
    ] = None,
    include: Include = None,
    exclude: Exclude = None,
    structure: Annotated[
        bool, typer.Option("--structure", help="Names, shapes, types and bytes alone; no value is read.")
    ] = False,
    fail_if: FailIf = None,
    github: GitHub = False,
    partial: Partial = False,
    out: Outputs = None,
    as_json: AsJson = False,
) -> None:
    """Compare B with A: every tensor of two models, or every row of two results. Errors are B minus A.

    Names find each other by themselves: HF and GGUF, prefixes, fused and stacked parts; --map is for the rest.

    \b
    Examples:
      qanalysis compare model.safetensors model-q4_k_m.gguf
      qanalysis compare base/ finetuned/ --map '^backbone\\.=model.' --out compare.html
      qanalysis compare model/ model-gptq/ --fail-if 'sqnr_db<15' --github
      qanalysis compare before.json after.json --fail-if 'delta_sqnr_db<-1'
    """
    from qanalysis.comparisons.maps import parse_maps

    targets = check_outputs(out, inputs=(a, b))
    asked = parse_maps(maps or [])
    if _is_table(a) != _is_table(b):
        rows, model = (a, b) if _is_table(a) else (b, a)
        raise ValueError(
            f"{quote(Path(rows).name)} is a result and {quote(model)} a model: give two models, or two results"
        )
    if _is_table(a):
        _refuse_for_tables({"--include": include, "--exclude": exclude, "--structure": structure, "--partial": partial})
        table = _compare_tables(a, b, asked)
    else:
        table = _compare_sources(
            a, b, asked, include=include, exclude=exclude, structure_only=structure, partial=partial
        )
    complete = table.complete
    held = hold_conditions(table, fail_if)
    deliver_gated(held, targets, as_json=as_json, github=github, file=_name_file(b))
    if not complete and not _is_table(a):
        stop("cancelled; the rows that were measured are kept, marked as partial")


def _is_table(path: str) -> bool:
    return path.lower().endswith(_TABLES) and not path.lower().endswith(_INDEX)


def _refuse_for_tables(given: Mapping[str, object]) -> None:
    used = [option for option, value in given.items() if value]
    if used:
        raise ValueError(f"{used[0]} is for models; two results are compared row by row, without it")


def _name_file(path: str) -> str:
    """The file of a workflow's annotations."""
    return path if Path(path).exists() else ""


def _compare_tables(a: str, b: str, maps: Mapping[str, str]) -> Table[Any]:
    from qanalysis.comparisons.tables import compare_tables
    from qanalysis.reports.report import read_result

    names = (Path(a).name, Path(b).name)
    return compare_tables(read_result(a), read_result(b), names=names, maps=maps or None)


def _compare_sources(a: str, b: str, maps: Mapping[str, str], *, partial: bool, **options: Any) -> Table[Any]:
    """The comparison with a progress line; Ctrl-C ends it after the tensor that is at work."""
    from qanalysis.checkpoints.catalogue import open_checkpoint
    from qanalysis.comparisons.compare import compare as compare_sources
    from qanalysis.reports.terminal import show_steps

    with (
        open_checkpoint(a, partial=partial) as first,
        open_checkpoint(b, partial=partial) as second,
        cancel_on_interrupt() as cancel,
        show_steps() as advance,
    ):

        def tell(progress: CompareProgress) -> None:
            if advance is not None:
                advance(progress.done, progress.total, progress.tensor)

        return compare_sources(first, second, maps=maps, on_progress=tell, cancel=cancel, **options)
