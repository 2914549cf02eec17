"""What does quantizing the whole model cost and save? A model and data to rows of forms: weights, activations, both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qanalysis.commands.deliver import check_outputs, deliver
from qanalysis.commands.model_options import (
    AVERAGINGS,
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

if TYPE_CHECKING:
    from qanalysis.models.forms.form import Form
    from qanalysis.models.sensitivity.gathering import SensitivityProgress
    from qanalysis.results.table import Table

_TARGETS = ("weights", "activations", "both")


def forms(
    model: Model,
    *,
    calib: Calib,
    weights: Weights = None,
    bits: Annotated[
        str | None, typer.Option(metavar="LIST", help="Widths, each for weights, activations and both. Default 8,4,1.")
    ] = None,
    grouping: Annotated[
        str, typer.Option(metavar="WORD", help="Of integer weights: tensor, channel, group=N. Binary has rows.")
    ] = "channel",
    scheme: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="A whole scheme, such as 'nf4 group=64'; beside the widths, if any."),
    ] = None,
    form: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="One form, such as W4A8 or 'W(nf4 group=64)A8'; may be repeated."),
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="LIST", help="weights, activations, both. Default: all three.")
    ] = None,
    keep: Annotated[
        str | None, typer.Option(metavar="REGEX", help="Tensors with a match in their name stay float.")
    ] = None,
    keep_ends: Annotated[bool, typer.Option("--keep-ends", help="The first and the last layer stay float.")] = False,
    averaging: Annotated[
        str,
        typer.Option(metavar="none|moving", help="Ends of minmax ranges of activations: of all, or moving averages."),
    ] = "none",
    repair: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Measured before and after each: bias, equalise, adaround, gptq, gptq:act-order, smoothquant, "
            "smoothquant:best; several at once joined by +.",
        ),
    ] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the one form as .safetensors (codes, scales) or .onnx.")
    ] = None,
    load: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Measure the form that --save wrote to a .safetensors file.")
    ] = None,
    samples: Samples = None,
    length: Length = None,
    batch: BatchSize = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the samples drawn for intervals.")] = 0,
    trust_code: TrustCode = False,
    out: Outputs = None,
    as_json: AsJson = False,
) -> None:
    """Quantize the whole model: weights, activations, both, at 8 bit, 4 bit, binary. Size, layer error, accuracy.

    \b
    Examples:
      qanalysis forms sample:digits-cnn --calib sample
      qanalysis forms models/encoder --calib sentences.txt --bits 8,4 --grouping group=64 --out forms.html
      qanalysis forms mymodels.small:make --calib digits.npz --form W4A8 --form W8A8 --keep-ends
      qanalysis forms sample:digits-mlp --calib sample --form W4A4 --repair gptq --save w4a4.safetensors
    """
    from qanalysis.models.forms.forms import measure_forms

    is_asked = form or scheme or bits or target or not load
    plan = choose_forms(form or [], scheme or [], bits=bits, target=target, grouping=grouping) if is_asked else []
    outputs = check_outputs(out)
    if save is not None:
        check_save(save, {"the model": model, "--weights": weights, "--calib": calib, "--load": load})
    from qanalysis.models.calibration.opening import open_calibration
    from qanalysis.reports.terminal import show_steps

    with running(model, weights=weights, trust_code=trust_code) as opened:
        data = open_calibration(calib, opened, samples=samples, length=length)
        with cancel_on_interrupt() as cancel, show_steps() as advance:

            def tell(progress: SensitivityProgress) -> None:
                if advance is not None:
                    advance(progress.done, progress.total, progress.label)

            asked: dict[str, Any] = {"keep": keep, "keep_ends": keep_ends, "batch": batch, "seed": seed}
            asked |= {"averaging": read_word(averaging, "--averaging", AVERAGINGS)}
            asked |= {"repairs": read_repairs(repair), "save": save, "load": load}
            table = measure_forms(opened, data, plan, on_progress=tell, cancel=cancel, **asked)
    if save is not None and table.complete:
        from qanalysis.reports.terminal import print_note

        print_note(f"wrote {save}, {save.stat().st_size:,} bytes")
    _deliver(table, outputs, as_json=as_json)


def read_repairs(text: str | None) -> list[str]:
    """The repairs of a list with commas, each once."""
    return list(dict.fromkeys(word.strip() for word in text.split(","))) if text else []


def check_save(path: Path, inputs: Mapping[str, object]) -> None:
    """ValueError for a place that can not be written, or that is one of the inputs."""
    from qanalysis.models.forms.saving import check_place
    from qanalysis.results.files import check_targets

    check_targets([path], suffixes=(".safetensors", ".onnx"), what="a form", option="--save")
    check_place(path, inputs)


def _deliver(table: Table[Any], outputs: Sequence[Any], *, as_json: bool) -> None:
    if not table.complete and not table:
        stop("cancelled before the first form was done; nothing is written")
    deliver(table, outputs, as_json=as_json)
    if not table.complete:
        stop(f"cancelled; kept the {len(table)} rows so far, marked as partial")


def choose_forms(
    texts: Sequence[str], schemes: Sequence[str], *, bits: str | None, target: str | None, grouping: str
) -> list[Form]:
    """The forms: those that are written, or targets by widths and schemes; ValueError for both ways together."""
    from qanalysis.models.forms.form import Form, cross_forms
    from qanalysis.models.forms.forms import WIDTHS
    from qanalysis.quantizers.grouping import parse_grouping

    parse_grouping(grouping)
    crossed = {"--bits": bits, "--scheme": schemes, "--target": target}
    given = [name for name, value in crossed.items() if value]
    if texts and given:
        raise ValueError(f"--form and {', '.join(given)} exclude each other: a form says itself what is quantized, how")
    if texts:
        return [Form.parse(text, grouping=grouping) for text in texts]
    widths = [word.strip() for word in bits.split(",")] if bits else [] if schemes else list(WIDTHS)
    targets: Any = read_words(target, "--target", _TARGETS) if target else _TARGETS
    return cross_forms([*widths, *schemes], targets=targets, grouping=grouping)
