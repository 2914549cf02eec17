"""What does quantizing activations cost? A model and data to rows of a sweep over what passes through its layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qanalysis.commands.deliver import check_outputs, deliver
from qanalysis.commands.model_options import Calib, Length, Model, Samples, TrustCode, Weights, read_words, running
from qanalysis.commands.options import AsJson, Outputs, cancel_on_interrupt, stop
from qanalysis.commands.schemes import (
    Exclude,
    Formats,
    Include,
    Ranges,
    SchemeTexts,
    Symmetries,
    choose_schemes,
)

if TYPE_CHECKING:
    from qanalysis.models.activations.activations import ActivationProgress
    from qanalysis.results.table import Table

GROUPINGS = "tensor,channel,channel=1"
SIDES = ("input", "output", "kv")
_MOST_TOLD = 3


def activations(
    model: Model,
    *,
    calib: Calib,
    weights: Weights = None,
    side: Annotated[
        str,
        typer.Option(metavar="LIST", help="input and output of each layer, kv: keys and values as a cache holds them."),
    ] = "input",
    bits: Annotated[
        str | None, typer.Option(metavar="LIST", help="Integer widths, such as 2-8 or 4,8. Default 4,8.")
    ] = None,
    grouping: Annotated[
        str | None, typer.Option(metavar="LIST", help=f"tensor, channel, channel=1, group=N. Default {GROUPINGS}.")
    ] = None,
    symmetry: Symmetries = None,
    range_rules: Ranges = None,
    formats: Formats = None,
    scheme: SchemeTexts = None,
    include: Include = None,
    exclude: Exclude = None,
    samples: Samples = None,
    length: Length = None,
    batch: Annotated[int, typer.Option(metavar="N", help="Samples at once; changes no figure.")] = 64,
    disk: Annotated[float, typer.Option(metavar="GIB", help="Room for values in a temporary file.")] = 4.0,
    cures: Annotated[
        bool, typer.Option("--cures/--no-cures", help="Try smoothing and rotation on every linear layer.")
    ] = True,
    trust_code: TrustCode = False,
    workers: Annotated[int | None, typer.Option(help="Threads. Default: one per core.")] = None,
    out: Outputs = None,
    as_json: AsJson = False,
) -> None:
    """Measure the error of every activation under every scheme: inputs, outputs, keys and values. Ctrl-C keeps what is
    done.

    An activation is a matrix, rows are tokens and columns are features. tensor: one static range over all calibration
    values. channel: a range of each token, made when it runs. channel=1: one static range of each feature. group=N and
    blocks run along the features of a token. Of keys channel is a channel of a head, of values a token of a head.

    \b
    Examples:
      qanalysis activations sample:words-transformer --calib sample
      qanalysis activations models/encoder --calib sentences.txt --side input,kv --bits 8 --grouping tensor,channel
      qanalysis activations mymodels.small:make --calib digits.npz --scheme 'int8 channel=1 range=mse' --out rows.json
    """
    schemes = choose_schemes(
        scheme or [],
        bits_by_default="4,8",
        groupings_by_default=GROUPINGS,
        bits=bits,
        grouping=grouping,
        symmetry=symmetry,
        range=range_rules,
        format=formats,
    )
    looks = read_words(side, "--side", SIDES)
    if not disk > 0:
        raise ValueError(f"--disk {disk:g}: give room above 0 GiB")
    outputs = check_outputs(out)
    from qanalysis.models.calibration.opening import open_calibration

    with running(model, weights=weights, trust_code=trust_code) as opened:
        data = open_calibration(calib, opened, samples=samples, length=length)
        table = _measure(
            opened,
            data,
            schemes,
            looks=looks,
            include=include,
            exclude=exclude,
            cures=cures,
            batch=batch,
            disk_bytes=int(disk * 2**30),
            workers=workers,
        )
    deliver(table, outputs, as_json=as_json)
    if not as_json and not outputs:
        _tell(table.more["activations"])
    if not table.complete:
        stop(f"cancelled; kept the {len(table)} rows so far, marked as partial")


def _measure(opened: Any, data: Any, schemes: Sequence[Any], **asked: Any) -> Table[Any]:
    """The measurement with a progress line; Ctrl-C ends it early, and what is done is kept."""
    from qanalysis.models.activations.activations import measure_activations
    from qanalysis.reports.terminal import show_steps

    with cancel_on_interrupt() as cancel, show_steps() as advance:

        def tell(progress: ActivationProgress) -> None:
            if advance is not None:
                advance(progress.done, progress.total, progress.label)

        return measure_activations(opened, data, schemes, on_progress=tell, cancel=cancel, **asked)


def _tell(found: dict[str, Any]) -> None:
    """Notes on outliers, on the cures that gain most, and on what calibration never reached."""
    from qanalysis.notation import decibels, quote, shorten
    from qanalysis.reports.terminal import print_note

    outlying = sorted(
        (one for one in found["layers"] if one["outliers"]), key=lambda one: -one["outliers"][0]["times_median"]
    )
    for one in outlying[:_MOST_TOLD]:
        first = one["outliers"][0]
        print_note(
            f"{quote(shorten(one['name']))}: {one['outlier_features']} of {one['features']} features are outliers, "
            f"feature {first['feature']} with {first['times_median']:.3g} times the median"
        )
    gains = ("best_smooth_gain_db", "hadamard_gain_db")
    cured = [(one[name], name, one) for one in found["cures"] for name in gains if one[name] is not None]
    for gain, name, one in sorted(cured, key=lambda entry: -entry[0])[:_MOST_TOLD]:
        what = "rotating" if name == "hadamard_gain_db" else f"smoothing with α = {one['best_alpha']:g}"
        print_note(f"{quote(shorten(one['layer']))}, {one['scheme']}: {what} gains {decibels(gain)} at the output")
    for experts in found["experts"]:
        if experts["never_seen"]:
            count = len(experts["never_seen"])
            print_note(f"{quote(shorten(experts['layer']))}: {count} of {experts['experts']} experts were never seen")
