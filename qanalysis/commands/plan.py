"""Which scheme should each layer get under a budget? Rows to a plan, what it was held against, and its files."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qanalysis.commands.deliver import check_outputs, deliver
from qanalysis.commands.model_options import BatchSize, Length, Samples, TrustCode, Weights, running
from qanalysis.commands.options import AsJson, Outputs, cancel_on_interrupt, stop

if TYPE_CHECKING:
    from qanalysis.checkpoints.source import TensorInfo
    from qanalysis.models.calibration.samples import Calibration
    from qanalysis.models.running.runnable import Runnable
    from qanalysis.models.sensitivity.gathering import SensitivityProgress
    from qanalysis.plans.plan import Plan
    from qanalysis.plans.request import Request
    from qanalysis.plans.row import PointRow
    from qanalysis.results.table import Table

_LOOK_S = 0.1
#: How long what is at work may take to end after Ctrl-C.
_END_S = 3.0


def plan(  # one parameter per option
    rows: Annotated[
        list[Path],
        typer.Argument(
            metavar="ROWS...",
            help="Rows of a sweep or of a sensitivity: .json, .parquet or .csv; those of several files of one source "
            "are put together.",
        ),
    ],
    *,
    budget_bpw: Annotated[
        float | None,
        typer.Option("--budget-bpw", metavar="F", help="Bits per weight over the planned tensors, scales counted."),
    ] = None,
    budget_bytes: Annotated[
        str | None,
        typer.Option("--budget-bytes", metavar="N", help="Bytes of all that is stored: 4GiB, 800MB, 1.5e9."),
    ] = None,
    fit_gib: Annotated[
        float | None,
        typer.Option("--fit-gib", metavar="F", help="GiB for weights and, with --config, keys and values."),
    ] = None,
    min_sqnr: Annotated[
        float | None,
        typer.Option("--min-sqnr", metavar="DB", help="The smallest plan whose pooled SQNR is at least that."),
    ] = None,
    max_loss: Annotated[
        float | None,
        typer.Option("--max-loss", metavar="F", help="The smallest plan whose objective sums to at most that."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="config.json", help="The model's: heads and widths, active experts.")
    ] = None,
    context: Annotated[
        int | None, typer.Option(metavar="N", help="Tokens whose keys and values have to fit too. Default: all.")
    ] = None,
    kv_dtype: Annotated[
        str | None, typer.Option("--kv-dtype", metavar="TYPE", help="Of keys and values. Default float16.")
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="A column that adds over tensors. Default relative_error_energy, or output_nsr."
        ),
    ] = None,
    pin: Annotated[
        list[str] | None, typer.Option(metavar="REGEX=SCHEME", help="One scheme for matching tensors; repeatable.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="REGEX", help="Matching tensors stay as they are; repeatable.")
    ] = None,
    tie: Annotated[
        list[str] | None,
        typer.Option(
            metavar="vllm|llama.cpp|REGEX",
            help="One scheme for what a runtime joins, or for tensors whose groups capture the same; repeatable.",
        ),
    ] = None,
    pool: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=BYTES:REGEX", help="Where matching tensors lie, and how much fits; repeatable."),
    ] = None,
    pool_schemes: Annotated[
        list[str] | None,
        typer.Option("--pool-schemes", metavar="NAME=REGEX", help="Schemes that a pool may hold; repeatable."),
    ] = None,
    most_formats: Annotated[
        int | None, typer.Option("--most-formats", metavar="K", help="At most so many formats (int4, nf4, ...).")
    ] = None,
    monotone: Annotated[
        bool,
        typer.Option("--monotone", help="Bits never fall from the first block to the last, of tensors of one kind."),
    ] = False,
    monotone_names: Annotated[
        str | None, typer.Option("--monotone-names", metavar="REGEX", help="The same for matching tensors only.")
    ] = None,
    min_layer_sqnr: Annotated[
        float | None, typer.Option("--min-layer-sqnr", metavar="DB", help="The least SQNR of every tensor.")
    ] = None,
    active_experts: Annotated[
        str | None,
        typer.Option(
            "--active-experts",
            metavar="K/N|config",
            help="Count experts with the share that works on a token, as given or as --config says.",
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="The file that the rows are of: what else it holds, and that it is that one."
        ),
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Scores of another tool that weigh the candidates: imatrix, mlx sensitivities, EXL3 measurement, "
            "calibration csv; or a ModelOpt result, whose choices are pins.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="MODEL", help="Run it under the plan, to see whether the prediction holds."),
    ] = None,
    calib: Annotated[
        str | None,
        typer.Option("--calib", metavar="DATA", help="What --model is run on: a file of samples, or sample."),
    ] = None,
    weights: Weights = None,
    samples: Samples = None,
    length: Length = None,
    batch: BatchSize = None,
    trust_code: TrustCode = False,
    resamples: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Plans made from scores that are drawn anew. Default 20; rows of sensitivities."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of scores drawn anew.")] = 0,
    time_limit: Annotated[
        float, typer.Option("--time-limit", metavar="S", help="Take the best plan so far after so many seconds.")
    ] = 60.0,
    out: Outputs = None,
    as_json: AsJson = False,
) -> None:
    """Choose the scheme of every tensor: least error within a budget, proven; or smallest within an error.

    \b
    Examples:
      qanalysis plan rows.parquet --budget-bpw 4.5 --out plan.json
      qanalysis plan rows.json --fit-gib 8 --config config.json --context 32768 --tie vllm --pin 'lm_head=int8 channel'
      qanalysis plan sensitivity.json --objective output_kl --max-loss 0.05 --out plan.json --out plan.html
      qanalysis plan sensitivity.json --budget-bpw 4 --model sample:digits-mlp --calib sample --out plan.json
      qanalysis plan rows.json --pool 'gpu=8GiB:layers\\.[0-9]\\.' --pool 'cpu=16GiB:.' --pool-schemes 'cpu=^gguf:'
    """
    targets = check_outputs(out, inputs=(*rows, config, scores, source, model, weights, calib))
    from qanalysis.plans.request import Request

    if (model is None) != (calib is None):
        raise ValueError("--model and --calib go together: the model runs under the plan on that data; give both")
    _check_run({"--weights": weights, "--samples": samples, "--length": length, "--batch": batch}, model)
    if not 0 < time_limit < float("inf"):
        raise ValueError(f"--time-limit {time_limit:g}: must be a number of seconds above zero")
    request = Request.read(
        budget_bpw=budget_bpw,
        budget_bytes=budget_bytes,
        fit_gib=fit_gib,
        min_sqnr_db=min_sqnr,
        max_loss=max_loss,
        config=config,
        context=context,
        kv_dtype=kv_dtype,
        objective=objective,
        pin=pin,
        exclude=exclude,
        tie=tie,
        pools=pool,
        pool_schemes=pool_schemes,
        most_formats=most_formats,
        monotone=monotone_names or monotone,
        min_layer_sqnr_db=min_layer_sqnr,
        active_experts=active_experts,
        scores=scores,
        resamples=resamples,
        seed=seed,
    )
    tables = _read(rows)
    header = _read_header(source, tables) if source is not None else ()
    found = _plan(tables, request, header=header, seconds=time_limit)
    if model is not None and calib is not None:
        with running(model, weights=weights, trust_code=trust_code) as opened:
            found = _prove(found, opened, _open_data(calib, opened, samples, length), batch)
    deliver(found, targets, as_json=as_json)
    _tell(found, stays_silent=not (targets or as_json))


def _check_run(options: Mapping[str, Any], model: str | None) -> None:
    """Whether what is asked of a run has a model that runs."""
    lost = [name for name, value in options.items() if value is not None]
    if model is None and lost:
        raise ValueError(f"{lost[0]} is for the run of a model under the plan; give --model and --calib with it")


def _read(rows: Sequence[Path]) -> list[Table[Any]]:
    from qanalysis.reports.report import read_result

    return [read_result(path) for path in rows]


def _read_header(source: str, tables: Sequence[Table[Any]]) -> tuple[TensorInfo, ...]:
    """The tensors of the file that the rows are said to be of. Raises ValueError where they are of another."""
    from qanalysis.checkpoints.catalogue import open_checkpoint
    from qanalysis.plans.origin import check_origin

    with open_checkpoint(source) as checkpoint:
        check_origin(tables, checkpoint)
        return checkpoint.tensors


def _plan(tables: Sequence[Table[Any]], request: Request, *, header: Sequence[TensorInfo], seconds: float) -> Plan:
    """The plan with a progress line. It is looked for in a thread, so that Ctrl-C is heard while an optimum is."""
    from qanalysis.plans.planning import PlanProgress, plan_request
    from qanalysis.reports.terminal import show_steps

    made: list[Plan] = []
    failed: list[Exception] = []
    with cancel_on_interrupt() as cancel, show_steps() as advance:

        def tell(progress: PlanProgress) -> None:
            if progress.step == "optimum":
                _tell_reach(progress.points)
            if advance is not None:
                advance(progress.done, progress.total, progress.step)

        def work() -> None:
            try:
                made.append(
                    plan_request(tables, request, header=header, seconds=seconds, on_progress=tell, cancel=cancel)
                )
            except (ValueError, OSError, MemoryError) as error:
                failed.append(error)

        worker = threading.Thread(target=work, daemon=True)
        worker.start()
        while worker.is_alive() and not cancel.is_set():
            worker.join(_LOOK_S)
        worker.join(_END_S)
    if failed:
        raise failed[0]
    if not made and cancel.is_set():
        stop("cancelled before a plan was found; nothing is written")
    return made[0]  # an error of the program's own has been shown by the thread


def _tell_reach(points: Sequence[PointRow]) -> None:
    """What can be reached, before the work: from the smallest plan to the best one, and how many uniform ones fit."""
    from qanalysis.reports.terminal import print_note

    ends = {point.point: point for point in points}
    uniform = [point.within for point in points if point.point == "uniform"]
    low, high = ends["smallest"], ends["best"]
    print_note(
        f"reach: {low.bits_per_weight:.4g} bits per weight, {low.bytes:,} bytes (smallest) to "
        f"{high.bits_per_weight:.4g}, {high.bytes:,} (best); {sum(uniform)} of {len(uniform)} uniform schemes fit"
    )


def _open_data(calib: str, model: Runnable, samples: int | None, length: int | None) -> Calibration:
    """The data that a model is run on."""
    from qanalysis.models.calibration.opening import open_calibration

    return open_calibration(calib, model, samples=samples, length=length)


def _prove(found: Plan, model: Runnable, calibration: Calibration, batch: int | None) -> Plan:
    """The plan with what a run of the model under it gave. Ctrl-C keeps what was measured until then."""
    from dataclasses import replace

    from qanalysis.plans.proof import prove_plan
    from qanalysis.reports.terminal import show_steps

    with cancel_on_interrupt() as cancel, show_steps() as advance:

        def tell(progress: SensitivityProgress) -> None:
            if advance is not None:
                advance(progress.done, progress.total, progress.label)

        forward = prove_plan(found, model, calibration, batch, on_progress=tell, cancel=cancel)
    return replace(found, more={**found.more, "proof": {**found.more["proof"], "forward": forward}})


def _tell(found: Plan, *, stays_silent: bool) -> None:
    """What the user should know beside the files, on standard error."""
    from qanalysis.reports.terminal import print_note
    from qanalysis.sweeps.held import TENSORS

    if not found.complete:
        print_note("warning: the rows are partial, and so is the plan: tensors or candidates may be missing")
    if TENSORS not in found.more:
        print_note(
            "warning: the rows do not tell what else their file holds, so bytes of tensors kept float are unknown and "
            "not counted; --source FILE tells them"
        )
    if found.more["proof"].get("proven") is False:
        gap = found.more["proof"].get("gap")
        told = "" if gap is None else f", a better one may be {100 * gap:.3g} % better"
        print_note(f"the time limit came before the proof: this is the best plan so far{told}")
    if stays_silent:
        return
    column = found.objective_column
    active = found.constraints.get("active")
    if active:
        print_note(
            f"{active['bits_per_active_weight']:.4g} bits per active weight, {active['share']} of experts at work"
        )
    print_note(f"{found.bits_per_weight:.4g} bits per weight, {found.bytes:,} bytes, {column} {found.objective:.4g}")
