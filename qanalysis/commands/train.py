"""How does a network fare when it trains quantized? A written experiment to its history, which Ctrl-C ends early."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qanalysis.commands.deliver import check_outputs, deliver, keep_typed
from qanalysis.commands.options import MISSED, AsJson, Outputs, cancel_on_interrupt, stop

if TYPE_CHECKING:
    from qanalysis.results.table import Table
    from qanalysis.training.configuration import Experiment
    from qanalysis.training.row import HistoryRow

_LONGEST = 1_000_000  # bytes of an experiment's text


def train(  # one parameter per option
    config: Annotated[
        Path | None,
        typer.Argument(metavar="CONFIG", help="A .toml file; `--example` prints one.", show_default=False),
    ] = None,
    *,
    preset: Annotated[
        str | None, typer.Option(metavar="ID", help="A ready experiment instead of CONFIG, such as oscillation.")
    ] = None,
    example: Annotated[
        bool, typer.Option("--example", help="Print an experiment as TOML, or that of --preset, and train nothing.")
    ] = False,
    checkpoint: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Save the state here as the training goes on.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Go on from a saved state, and keep saving there.")
    ] = None,
    min_accuracy: Annotated[
        float | None,
        typer.Option(metavar="F", help="Exit 1 if a configuration ends with less held-out accuracy, such as 0.95."),
    ] = None,
    out: Outputs = None,
    as_json: AsJson = False,
) -> None:
    """Train a network quantized, as a TOML file says, and tell every step. Ctrl-C keeps what was trained so far. Exit 1
    if a limit is missed.

    CONFIG may name a Python function (model = "package.module:factory"), which is then run: read a stranger's file
    first.

    \b
    Examples:
      qanalysis train --example > experiment.toml
      qanalysis train experiment.toml --out history.parquet --out report.html
      qanalysis train --preset oscillation
    """
    experiment = _choose_experiment(config, preset, example=example)
    if example:
        for option, value in {"--out": out, "--checkpoint": checkpoint, "--resume": resume, "--json": as_json}.items():
            if value:
                raise ValueError(f"{option} and --example exclude each other: nothing is trained; leave one out")
        typer.echo(_read_example() if preset is None else experiment.to_toml(), nl=False)
        return
    if checkpoint is not None and resume is not None:
        raise ValueError(
            f"--checkpoint {checkpoint} and --resume {resume} exclude each other: --resume keeps saving to its file; "
            "leave --checkpoint out"
        )
    if min_accuracy is not None and not 0 <= min_accuracy <= 1:
        raise ValueError(f"--min-accuracy {min_accuracy}: a share from 0 to 1 is expected, such as 0.95")
    saved = resume or checkpoint
    if saved is not None and (saved.is_dir() or not saved.parent.is_dir()):
        raise ValueError(f"{saved}: can not be saved to, it is no file name in a folder that is there; give one")
    targets = check_outputs(out)
    table = keep_typed(_run_training(experiment, saved, resume=resume is not None), preset=preset)
    deliver(table, targets, as_json=as_json)
    if not table.complete:
        done = sum(total.steps for total in table.totals)
        stop(f"cancelled after {done} steps; kept the {len(table)} rows so far, marked as partial")
    if min_accuracy is not None:
        _hold_limit(table, min_accuracy)


def _choose_experiment(config: Path | None, preset: str | None, *, example: bool) -> Experiment:
    """That of the file or of the preset; with `example` alone the example. ValueError for both, and for none."""
    from qanalysis.training.configuration import Experiment
    from qanalysis.training.presets import find_preset

    if config is not None and (preset is not None or example):
        raise ValueError(
            f"CONFIG {config} and {'--preset' if preset else '--example'} exclude each other; leave one out"
        )
    if preset is not None:
        return find_preset(preset).experiment
    if config is not None:
        return Experiment.from_toml(_read_config(config), place=str(config))
    if example:
        return Experiment.from_toml(_read_example())
    raise ValueError("there is nothing to train; give a CONFIG, or --preset ID, or print a file with --example")


def _read_example() -> str:
    from qanalysis.training.presets import EXAMPLE

    return EXAMPLE


def _read_config(path: Path) -> str:
    """The text of a file; ValueError where it can not be read, is far too long or not UTF-8."""
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST + 1)
    except OSError as error:
        raise ValueError(f"{path} can not be read: {error.strerror}; `qanalysis train --example` prints one") from None
    if len(content) > _LONGEST:
        raise ValueError(f"{path} is longer than {_LONGEST:,} bytes, so it is no experiment; give the .toml file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None


def _run_training(experiment: Experiment, saved: Path | None, *, resume: bool) -> Table[HistoryRow]:
    """The training with a progress line; Ctrl-C ends it early, and its rows so far are kept."""
    from qanalysis.reports.terminal import print_note, show_steps
    from qanalysis.training.loop import Progress, Trainer

    for configuration in experiment.configurations:
        if configuration.is_float:
            print_note(f"{configuration.name}: no kind of data has a recipe, so it trains in float")
    with cancel_on_interrupt() as cancel, show_steps() as advance:

        def tell(progress: Progress) -> None:
            if advance is not None:
                advance(progress.done, progress.steps, progress.configuration)

        def check() -> None:
            if cancel.is_set():
                raise _CancelledError

        trainer = Trainer(experiment, saved=saved)
        if resume:
            trainer.resume()
        try:
            return trainer.train(tell, check)
        except _CancelledError:
            return trainer.history(complete=False)


class _CancelledError(Exception):
    """The user asked to stop."""


def _hold_limit(table: Table[HistoryRow], min_accuracy: float) -> None:
    """A note for each configuration that misses the limit, then exit code 1; nothing where all meet it."""
    from qanalysis.reports.common_sections import name_missed
    from qanalysis.reports.terminal import print_note
    from qanalysis.results.gates import Gate

    gate = Gate("--min-accuracy", "final_accuracy", "at least", min_accuracy)
    missed = [(total.configuration, limit) for total in table.totals if not (limit := gate.hold(total)).met]
    for name, limit in missed:
        print_note(f"{name}: {name_missed(limit, 'it ended without a held-out accuracy')}")
    if missed:
        raise typer.Exit(MISSED)
