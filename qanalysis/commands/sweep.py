"""What does each scheme cost each tensor? Options to schemes, a sweep that Ctrl-C ends early, its rows to files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qanalysis.commands.deliver import check_outputs, deliver, makes_page
from qanalysis.commands.options import AsJson, Outputs, Partial, Source, cancel_on_interrupt, stop
from qanalysis.commands.schemes import (
    Axis,
    Every,
    Exclude,
    Formats,
    Groupings,
    Include,
    Ranges,
    RoleList,
    SchemeTexts,
    Symmetries,
    choose_roles,
    choose_schemes,
)

if TYPE_CHECKING:
    from qanalysis.checkpoints.source import TensorInfo, TensorSource
    from qanalysis.diagnosis.findings import Diagnosis
    from qanalysis.diagnosis.profile import LayerProfile
    from qanalysis.quantizers.scheme import Scheme
    from qanalysis.sweeps.row import Row, Rows
    from qanalysis.sweeps.selection import Filter

_LARGEST_PROFILE = 50_000_000  # elements, 200 MB
_LARGEST_SCRUB = 4_000_000  # elements; 15 profiles take about a second


def sweep(  # one parameter per option
    source: Source,
    *,
    bits: Annotated[
        str | None, typer.Option(metavar="LIST", help="Integer widths, such as 2-8 or 4,8. Default 2-8.")
    ] = None,
    grouping: Groupings = None,
    symmetry: Symmetries = None,
    range_rules: Ranges = None,
    formats: Formats = None,
    scheme: SchemeTexts = None,
    include: Include = None,
    exclude: Exclude = None,
    roles: RoleList = None,
    every: Every = False,
    weights_only: Annotated[
        bool, typer.Option("--weights-only", help="The default: weights and embeddings of two or more dimensions.")
    ] = False,
    axis: Axis = None,
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
    schemes = choose_schemes(
        scheme or [], bits=bits, grouping=grouping, symmetry=symmetry, range=range_rules, format=formats
    )
    from qanalysis.checkpoints.catalogue import open_checkpoint
    from qanalysis.sweeps.selection import Filter, parse_axes

    chosen = choose_roles(roles, every=every, weights_only=weights_only)
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
