"""Which layer hurts? A model and data to rows that say what quantizing each layer does to the output."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qanalysis.commands.deliver import check_outputs, deliver
from qanalysis.commands.model_options import (
    AVERAGINGS,
    Averaging,
    BatchSize,
    Calib,
    Length,
    Model,
    Samples,
    TrustCode,
    Weights,
    read_word,
    read_words,
    running,
)
from qanalysis.commands.options import AsJson, Outputs, cancel_on_interrupt, stop
from qanalysis.commands.schemes import (
    Axis,
    ChannelGroupings,
    Every,
    Exclude,
    Formats,
    Include,
    Ranges,
    RoleList,
    SchemeTexts,
    Symmetries,
    choose_roles,
    choose_schemes,
)

if TYPE_CHECKING:
    from qanalysis.models.sensitivity.gathering import SensitivityProgress
    from qanalysis.results.table import Table


def sensitivity(
    model: Model,
    *,
    calib: Calib,
    weights: Weights = None,
    bits: Annotated[
        str | None, typer.Option(metavar="LIST", help="Integer widths, such as 2-8 or 4,8. Default 4,8.")
    ] = None,
    grouping: ChannelGroupings = None,
    symmetry: Symmetries = None,
    range_rules: Ranges = None,
    formats: Formats = None,
    scheme: SchemeTexts = None,
    target: Annotated[
        str, typer.Option(metavar="LIST", help="weights, activations (each layer's input), both.")
    ] = "weights",
    mode: Annotated[
        str,
        typer.Option(metavar="LIST", help="enable-one, disable-one (all but this layer), cumulative along the graph."),
    ] = "enable-one",
    metric: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="What layers are ranked by. Default output_sqnr_db.")
    ] = None,
    measures: Annotated[
        str,
        typer.Option(
            metavar="LIST", help="Closed forms beside it: layer_output_error, imatrix_mse, fisher, hawq; all or none."
        ),
    ] = "all",
    floor: Annotated[bool, typer.Option(help="Measure the noise floor of every layer.")] = True,
    additivity: Annotated[
        bool, typer.Option(help="Measure layers together too, to see whether damages add up.")
    ] = True,
    averaging: Averaging = "none",
    include: Include = None,
    exclude: Exclude = None,
    roles: RoleList = None,
    every: Every = False,
    axis: Axis = None,
    imatrix: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="An importance matrix of llama.cpp, whose weights imatrix_mse takes. Default: own."
        ),
    ] = None,
    samples: Samples = None,
    length: Length = None,
    batch: BatchSize = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the samples drawn for intervals.")] = 0,
    trust_code: TrustCode = False,
    out: Outputs = None,
    as_json: AsJson = False,
) -> None:
    """Measure what quantizing each layer does to the output of a model. Ctrl-C keeps what is done.

    \b
    Examples:
      qanalysis sensitivity sample:digits-cnn --calib sample
      qanalysis sensitivity models/encoder --calib sentences.txt --bits 4 --grouping group=64 --out rows.json
      qanalysis sensitivity mymodels.small:make --weights best.safetensors --calib digits.npz --target weights,both
    """
    schemes = choose_schemes(
        scheme or [],
        bits_by_default="4,8",
        groupings_by_default="channel",
        bits=bits,
        grouping=grouping,
        symmetry=symmetry,
        range=range_rules,
        format=formats,
    )
    chosen = choose_roles(roles, every=every, weights_only=False)
    asked: dict[str, Any] = {
        "targets": read_words(target, "--target", TARGETS),
        "modes": read_words(mode, "--mode", MODES),
        "include": include,
        "exclude": exclude,
        "roles": chosen,
        "batch": batch,
        "seed": seed,
        "averaging": read_word(averaging, "--averaging", AVERAGINGS),
        "measures": _read_measures(measures),
        "floor": floor,
        "additivity": additivity,
        **({"metric": metric} if metric else {}),
    }
    outputs = check_outputs(out)
    from qanalysis.checkpoints.imatrix import read_imatrix
    from qanalysis.models.calibration.opening import open_calibration
    from qanalysis.sweeps.selection import parse_axes

    if imatrix is not None:
        asked["imatrix"] = read_imatrix(imatrix)
    with running(model, weights=weights, trust_code=trust_code) as opened:
        data = open_calibration(calib, opened, samples=samples, length=length)
        table = _measure(opened, data, schemes, axis=parse_axes(axis or []), **asked)
    if not table.complete and not table:
        stop("cancelled before the first layer was done; nothing is written")
    deliver(table, outputs, as_json=as_json)
    if not table.complete:
        stop(f"cancelled; kept the {len(table)} rows so far, marked as partial")


MEASURES = ("layer_output_error", "imatrix_mse", "fisher", "hawq")
TARGETS = ("weights", "activations", "both")
MODES = ("enable-one", "disable-one", "cumulative")


def _read_measures(text: str) -> list[str]:
    every: dict[str, list[str]] = {"all": list(MEASURES), "none": []}
    return every[text] if text in every else read_words(text, "--measures", MEASURES)


def _measure(opened: Any, data: Any, schemes: Sequence[Any], **asked: Any) -> Table[Any]:
    """The measurement with a progress line; Ctrl-C ends it early, and what is done is kept."""
    from qanalysis.models.sensitivity.sensitivity import measure_sensitivity
    from qanalysis.reports.terminal import show_steps

    with cancel_on_interrupt() as cancel, show_steps() as advance:

        def tell(progress: SensitivityProgress) -> None:
            if advance is not None:
                advance(progress.done, progress.total, progress.label)

        return measure_sensitivity(opened, data, schemes, on_progress=tell, cancel=cancel, **asked)
