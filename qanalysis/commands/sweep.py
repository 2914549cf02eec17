"""What does each scheme cost each tensor? Options to schemes, a sweep that Ctrl-C ends early, its rows to files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from qanalysis.commands.deliver import check_outputs, deliver, makes_page
from qanalysis.commands.options import AsJson, Outputs, Partial, Source, cancel_on_interrupt, stop
from qanalysis.notation import quote

if TYPE_CHECKING:
    from qanalysis.checkpoints.source import TensorInfo, TensorSource
    from qanalysis.diagnosis.findings import Diagnosis
    from qanalysis.diagnosis.profile import LayerProfile
    from qanalysis.quantizers.scheme import Scheme
    from qanalysis.sweeps.row import Row, Rows
    from qanalysis.sweeps.selection import Filter, Roles

_LARGEST_PROFILE = 50_000_000  # elements, 200 MB
_LARGEST_SCRUB = 4_000_000  # elements; 15 profiles take about a second


def sweep(  # one parameter per option
    source: Source,
    *,
    bits: Annotated[
        str | None, typer.Option(metavar="LIST", help="Integer widths, such as 2-8 or 4,8. Default 2-8.")
    ] = None,
    grouping: Annotated[
        str | None,
        typer.Option(
            metavar="LIST", help="tensor, channel, group=N, block=RxC. Default tensor,channel,group=128,group=32."
        ),
    ] = None,
    symmetry: Annotated[
        str | None, typer.Option(metavar="LIST", help="sym, sym-full, sym-noclip, sym-clip, asym. Default sym.")
    ] = None,
    range_rules: Annotated[
        str | None,
        typer.Option("--range", metavar="LIST", help="minmax, percentile:99.9, meanstd:3, mse, kl. Default minmax."),
    ] = None,
    formats: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="LIST",
            help="mxfp4, nf4, gguf:q4_0, ...; instead of the integers, or after those of --bits.",
        ),
    ] = None,
    scheme: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help="A whole scheme, such as 'int4 group=128'; may be repeated. Not together with the lists.",
        ),
    ] = None,
    include: Annotated[str | None, typer.Option(metavar="REGEX", help="Only tensors whose name has a match.")] = None,
    exclude: Annotated[str | None, typer.Option(metavar="REGEX", help="No tensors whose name has a match.")] = None,
    roles: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Measure tensors of these roles, such as weight,norm. Default: weights and embeddings with two or "
            "more dimensions.",
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Measure every tensor, whatever it is for.")] = False,
    weights_only: Annotated[
        bool, typer.Option("--weights-only", help="The default: weights and embeddings of two or more dimensions.")
    ] = False,
    axis: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REGEX=AXIS[,AXIS]",
            help="Axes of the output channels of the tensors whose name has a match; may be repeated.",
        ),
    ] = None,
    partial: Partial = False,
    out: Outputs = None,
    store: Annotated[Path | None, typer.Option(metavar="FILE", help="Not available yet.")] = None,
    no_store: Annotated[
        bool, typer.Option("--no-store", help="Keep no store of finished rows; there is none yet.")
    ] = False,
    workers: Annotated[int | None, typer.Option(help="Threads. Default: one per core.")] = None,
    cluster: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Not available yet.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure the error of every tensor under every scheme. Ctrl-C keeps the rows so far.

    \b
    Examples:
      qanalysis sweep sample:digits-cnn
      qanalysis sweep model.safetensors --bits 4,8 --grouping channel,group=128 --out rows.parquet --out report.html
      qanalysis sweep model.safetensors --bits 4 --format mxfp4,nvfp4,nf4,gguf:q4_0 --grouping group=32,group=64
      qanalysis sweep model.safetensors --scheme 'int8 channel' --scheme 'int4 asym group=64 range=mse'
      qanalysis sweep hf://openai-community/gpt2 --bits 4 --axis 'c_(attn|fc|proj)=1'
    """
    if store is not None and no_store:
        raise ValueError(f"--store {store} and --no-store exclude each other; give one of them")
    for option, value in (("--store", store), ("--cluster", cluster)):
        if value is not None:
            raise ValueError(f"{option} {value}: is not available yet; leave it out")
    schemes = _choose_schemes(
        scheme or [], bits=bits, grouping=grouping, symmetry=symmetry, range=range_rules, format=formats
    )
    from qanalysis.checkpoints.catalogue import open_checkpoint
    from qanalysis.sweeps.selection import Filter, parse_axes

    chosen = _choose_roles(roles, every=every, weights_only=weights_only)
    wanted = Filter(include, exclude, chosen, axis=parse_axes(axis or []))
    targets = check_outputs(out)
    with open_checkpoint(source, partial=partial) as checkpoint:
        if makes_page(targets):
            _check_room(checkpoint, schemes, wanted)
        rows = _run_sweep(checkpoint, schemes, wanted, workers=workers)
        if not rows.complete and not rows:
            stop("cancelled before the first tensor was done; nothing is written")
        prints_summary = not as_json and not targets
        profiles = (
            _profile_worst(checkpoint, rows, wanted, all_bits=makes_page(targets))
            if makes_page(targets) or prints_summary
            else ()
        )
        diagnoses = _diagnose_worst(checkpoint, rows, wanted) if makes_page(targets) else ()
    deliver(rows, targets, as_json=as_json, profiles=profiles, diagnoses=diagnoses)
    _tell_unmeasured(rows)
    if not rows.complete:
        stop(f"cancelled; kept the {len(rows)} rows so far, marked as partial")


def _choose_roles(text: str | None, *, every: bool, weights_only: bool) -> Roles:
    """The roles that are measured; ValueError where the options contradict each other."""
    given = [
        name
        for name, value in (("--roles", text is not None), ("--all", every), ("--weights-only", weights_only))
        if value
    ]
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)} exclude each other; give one of them")
    if every or text == "all":
        return "all"
    return None if text is None else cast("Roles", [word.strip() for word in text.split(",") if word.strip()])


def _choose_schemes(texts: Sequence[str], **lists: str | None) -> list[Scheme]:
    """The schemes: whole ones in the order given, or lists crossed, groupings outermost and formats innermost.

    Without any option int2 to int8 by tensor, channel, 128 and 32, symmetric, minmax. Raises ValueError for both ways
    together, and for a list that none of the formats leaves open.
    """
    from qanalysis.quantizers.crossing import cross_schemes
    from qanalysis.quantizers.families import integer_format
    from qanalysis.quantizers.grouping import parse_grouping
    from qanalysis.quantizers.number_format import NumberFormat
    from qanalysis.quantizers.ranges import parse_range
    from qanalysis.quantizers.scheme import Scheme
    from qanalysis.quantizers.symmetries import parse_symmetry
    from qanalysis.quantizers.words import parse_bits, parse_format

    given = {name: text.split(",") for name, text in lists.items() if text is not None}
    if texts and given:
        mixed = ", ".join(f"--{name}" for name in given)
        raise ValueError(
            f"--scheme {quote(texts[0])} can not be mixed with {mixed}; "
            "a sweep takes whole schemes or lists to cross, never both"
        )
    if texts:
        return [Scheme.parse(text) for text in texts]
    widths = (
        parse_bits("2-8" if lists["bits"] is None else lists["bits"])
        if "bits" in given or "format" not in given
        else []
    )
    chosen: list[NumberFormat] = [*map(integer_format, widths), *map(parse_format, given.get("format", []))]
    for part in ("grouping", "symmetry", "range"):
        if part in given and all(part in fmt.fixed for fmt in chosen):
            raise ValueError(
                f"--{part} {lists[part]}: no {part} can be chosen for {', '.join(map(str, chosen))}; "
                "leave the option out"
            )
    return cross_schemes(
        chosen,
        groupings=[
            parse_grouping(text) for text in given.get("grouping", ["tensor", "channel", "group=128", "group=32"])
        ],
        symmetries=[parse_symmetry(text) for text in given.get("symmetry", ["sym"])],
        ranges=[parse_range(text) for text in given.get("range", ["minmax"])],
        keep_usual_groups="grouping" not in given,
    )


def _check_room(checkpoint: TensorSource, schemes: Sequence[Scheme], wanted: Filter) -> None:
    """Whether a page has room for that many rows, found out before they are measured."""
    from qanalysis.reports.every_row import MOST_ROWS
    from qanalysis.sweeps.selection import select_tensors

    count = len(select_tensors(checkpoint.tensors, wanted).tensors) * len(schemes)
    if count > MOST_ROWS:
        raise ValueError(
            f"--out .html: {count:,} rows, one HTML file has room for {MOST_ROWS:,} at most; "
            "take fewer tensors (--include) or write .parquet"
        )


def _run_sweep(checkpoint: TensorSource, schemes: list[Scheme], wanted: Filter, *, workers: int | None) -> Rows:
    """The sweep with a progress line; Ctrl-C ends it early, and its rows so far are kept."""
    from qanalysis.reports.terminal import show_progress
    from qanalysis.sweeps.sweep import sweep as measure_checkpoint

    with cancel_on_interrupt() as cancel, show_progress() as advance:
        return measure_checkpoint(
            checkpoint,
            schemes,
            include=wanted.include,
            exclude=wanted.exclude,
            roles=wanted.roles,
            axis=wanted.axis,
            workers=workers,
            on_progress=advance,
            cancel=cancel,
        )


def _find_worst(checkpoint: TensorSource, rows: Rows, wanted: Filter) -> Iterator[tuple[Row, TensorInfo]]:
    """The worst layer at the scheme of the summary; none where nothing was measured or it is too large for one look."""
    from qanalysis.reports.summary import choose_scheme, select_worst
    from qanalysis.sweeps.selection import turn_views

    for worst in select_worst(rows, choose_scheme(rows), count=1):
        if worst.numel <= _LARGEST_PROFILE:
            found = next(info for info in checkpoint.tensors if info.name == worst.tensor)
            yield worst, turn_views([found], wanted.axis)[0]


def _profile_worst(checkpoint: TensorSource, rows: Rows, wanted: Filter, *, all_bits: bool) -> Sequence[LayerProfile]:
    """Profiles of the worst layer: as it is, or integers at 2 to 16 bits for a page unless the layer is large.

    Beyond 50 million elements there is none, beyond 4 million no slider: 15 profiles of them would take seconds.
    """
    from qanalysis.diagnosis.profile import profile_bits, profile_layer
    from qanalysis.quantizers.scheme import Scheme

    for worst, info in _find_worst(checkpoint, rows, wanted):
        values, scheme = checkpoint.read(info), Scheme.parse(worst.scheme)
        if all_bits and worst.numel <= _LARGEST_SCRUB and scheme.format.is_integer:
            return profile_bits(values, scheme, axis=info.view, name=info.name)
        return (profile_layer(values, scheme, axis=info.view, name=info.name),)
    return ()


def _diagnose_worst(checkpoint: TensorSource, rows: Rows, wanted: Filter) -> Sequence[Diagnosis]:
    """What is wrong with the worst layer, and what helps; empty where there is none or it is too large."""
    from qanalysis.diagnosis.findings import diagnose
    from qanalysis.quantizers.scheme import Scheme

    worst = _find_worst(checkpoint, rows, wanted)
    return [
        diagnose(checkpoint.read(info), Scheme.parse(row.scheme), axis=info.view, name=info.name) for row, info in worst
    ]


def _tell_unmeasured(rows: Rows) -> None:
    """A note on how many rows hold no figures, where there are any."""
    from qanalysis.reports.sweep_sections import count_unmeasured
    from qanalysis.reports.terminal import print_note

    told = count_unmeasured(rows)
    if told:
        print_note(told)
