"""How does a plan become a recipe? In the words of one back end, with what it can not express beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qanalysis.commands.options import AsJson
from qanalysis.commands.plan_file import read_plan
from qanalysis.notation import escape, shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qanalysis.plans.plan import Plan
    from qanalysis.plans.recipes.catalogue import Target
    from qanalysis.plans.recipes.recipe import Recipe, RecipeFile, Unexpressed

_LONGEST = 100


def recipe(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="A .json or .parquet file of `qanalysis plan`.")],
    *,
    target: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The back end that the recipe is for. Without it they are listed."),
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Write the rest where the back end lacks a format of the plan.")
    ] = False,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="The float model that the plan was made of: for back ends that take scales or names of nodes.",
        ),
    ] = None,
    out: Annotated[
        list[str] | None,
        typer.Option(
            "--out", metavar="FILE|FOLDER", help="Write the first file, or all into a folder; may be repeated."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a plan in the words of the back end that will run it.

    The first file goes to standard output; what must be known to apply it, and every tensor that the back end can not
    treat as planned, to standard error.

    \b
    Example:
      qanalysis recipe plan.json --target llama.cpp --out tensor_types.txt
    """
    from qanalysis.plans.recipes.catalogue import TARGETS, find_target
    from qanalysis.reports.terminal import print_note

    if target is None:
        for one in TARGETS:
            print_note(f"{one.name}: {one.about}")
        raise ValueError(f"--target is missing; give one of {', '.join(one.name for one in TARGETS)}")
    back_end = find_target(target)
    made = _write(back_end, read_plan(plan), partial=partial, source=source)
    for path in _place_files(out or [], made.files, plan):
        print_note(f"wrote {path}")
    if as_json:
        typer.echo(_describe(made))
    elif not out:
        typer.echo(made.files[0].text, nl=not made.files[0].text.endswith("\n"))
    _tell(made)


def _write(back_end: Target, plan: Plan, *, partial: bool, source: str | None) -> Recipe:
    """The recipe, with the float model open where it is given."""
    if source is None:
        return back_end.write(plan, partial=partial)
    from qanalysis.checkpoints.catalogue import open_checkpoint

    with open_checkpoint(source) as opened:
        return back_end.write(plan, partial=partial, source=opened)


def _place_files(targets: Sequence[str], files: Sequence[RecipeFile], plan: Path) -> list[Path]:
    """Writes the files where --out says: into a folder all of them, to a file the first; returns what was written.

    All places are checked before the first file is written; the plan itself is none.
    """
    from qanalysis.reports.terminal import print_note
    from qanalysis.results.files import check_targets, write_whole

    jobs: list[tuple[Path, RecipeFile]] = []
    for target in targets:
        if _is_folder(target, several=len(files) > 1):
            if Path(target).parent.is_dir():
                Path(target).mkdir(exist_ok=True)
            jobs += [(Path(target) / file.name, file) for file in files]
            continue
        jobs.append((Path(target), files[0]))
        if Path(target).resolve() == plan.resolve():
            raise ValueError(f"--out {target}: is the plan itself; choose another file")
        if len(files) > 1:
            print_note(f"{target} is the first of {len(files)} files; give a folder to have {files[1].name} too")
    paths = check_targets(
        [path for path, _file in jobs], suffixes=tuple({path.suffix.lower() for path, _file in jobs}), what="a recipe"
    )
    for path, (_place, file) in zip(paths, jobs, strict=True):
        with write_whole(path) as stream:
            stream.write(file.text.encode())
    return paths


def _is_folder(target: str, *, several: bool) -> bool:
    """Whether a place is a folder: one that is there, one that is written so, or one without a suffix where several
    files go.
    """
    path = Path(target)
    return path.is_dir() or target.endswith(("/", "\\")) or (several and not path.suffix and not path.exists())


def _describe(made: Recipe) -> str:
    """The recipe as one JSON document."""
    import json
    from dataclasses import asdict

    return json.dumps(asdict(made), indent=1, ensure_ascii=False)


def _tell(made: Recipe) -> None:
    """Notes, and what can not be expressed, on standard error."""
    from qanalysis.reports.terminal import print_note

    for note in made.notes:
        print_note(note)
    if not made.unexpressed:
        return
    count = len({one.tensor for one in made.unexpressed})
    print_note(f"{count} tensor{'s' * (count > 1)} of the plan can not be expressed:")
    grouped: dict[tuple[str, str], list[Unexpressed]] = {}
    for one in made.unexpressed:
        grouped.setdefault((one.reason, one.instead), []).append(one)
    for (reason, instead), those in grouped.items():
        print_note(f"{len(those)}: {reason}{f'; instead: {instead}' if instead else ''}")
        for one in those:
            print_note(f"- {shorten(escape(one.tensor), _LONGEST)}: {one.scheme}")
