"""What can be asked from a shell? `show`, `sweep`, `report`, `validate`, `app` here; `convert`, `record`, `linearity` in `converter_commands`.

Exit 0: done; 1: a limit given by the user was missed; 2: bad input, one line on standard error; 130: cancelled.
Whatever is slow to import is imported by the command that needs it.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qanalysis.commands import converters as converter_commands
from qanalysis.commands.options import CANCELLED, MISSED, AsJson, Commands, Outputs

if TYPE_CHECKING:
    from qanalysis.checkpoints import TensorInfo, TensorSource
    from qanalysis.diagnosis import Diagnosis
    from qanalysis.diagnosis.profile import LayerProfile
    from qanalysis.quantizers.scheme import Scheme
    from qanalysis.sweeps.row import Row, Rows

ROOT_VARIABLE = "QANALYSIS_ROOT"
_LARGEST_PROFILE = 50_000_000  # elements, 200 MB
_LARGEST_SCRUB = 4_000_000  # elements; 15 profiles take about a second
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  compared with, never a default


app = typer.Typer(cls=Commands, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=False)

Source = Annotated[
    str,
    typer.Argument(metavar="SOURCE", help="A .safetensors, .pt, .pth, .bin, .onnx, .gguf, .npz or .npy file, an index or folder of shards, or sample:NAME."),
]


def _print_version(*, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"qanalysis {version('qanalysis')}")
        raise typer.Exit


@app.callback()
def _begin(*, _version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")] = False) -> None:
    """What does quantization cost me here? The error of every layer at every bit width, with the bounds beside it."""


@app.command()
def show(source: Source, *, as_json: AsJson = False) -> None:
    """List the tensors of a file: name, shape, dtype, size. Reads the header only.

    \b
    Example:
      qanalysis show model.safetensors
    """
    from qanalysis.checkpoints import open_checkpoint
    from qanalysis.reports.inventory import describe_tensors
    from qanalysis.reports.terminal import print_inventory, print_json

    with open_checkpoint(source) as checkpoint:
        inventory = describe_tensors(checkpoint)
    print_json(inventory) if as_json else print_inventory(inventory)


@app.command()
def sweep(  # one parameter per option
    source: Source,
    *,
    bits: Annotated[str | None, typer.Option(metavar="LIST", help="Integer widths, such as 2-8 or 4,8. Default 2-8.")] = None,
    grouping: Annotated[
        str | None, typer.Option(metavar="LIST", help="tensor, channel, group=N, block=RxC. Default tensor,channel,group=128,group=32.")
    ] = None,
    symmetry: Annotated[str | None, typer.Option(metavar="LIST", help="sym, sym-full, sym-noclip, sym-clip, asym. Default sym.")] = None,
    range_rules: Annotated[str | None, typer.Option("--range", metavar="LIST", help="minmax, percentile:99.9, meanstd:3, mse, kl. Default minmax.")] = None,
    formats: Annotated[
        str | None, typer.Option("--format", metavar="LIST", help="mxfp4, nf4, gguf:q4_0, ...; instead of the integers, or after those of --bits.")
    ] = None,
    scheme: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="A whole scheme, such as 'int4 group=128'; may be repeated. Not together with the lists.")
    ] = None,
    include: Annotated[str | None, typer.Option(metavar="REGEX", help="Only tensors whose name has a match.")] = None,
    exclude: Annotated[str | None, typer.Option(metavar="REGEX", help="No tensors whose name has a match.")] = None,
    weights_only: Annotated[bool, typer.Option("--weights-only", help="Only tensors of two or more dimensions.")] = False,
    out: Outputs = None,
    store: Annotated[Path | None, typer.Option(metavar="FILE", help="Not available yet.")] = None,
    no_store: Annotated[bool, typer.Option("--no-store", help="Keep no store of finished rows; there is none yet.")] = False,  # noqa: ARG001  accepted from the start
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
    """
    for option, value in (("--store", store), ("--cluster", cluster)):
        if value is not None:
            raise ValueError(f"{option} {value}: is not available yet; leave it out")
    schemes = _choose_schemes(scheme or [], bits=bits, grouping=grouping, symmetry=symmetry, range=range_rules, format=formats)
    from qanalysis.checkpoints import open_checkpoint
    from qanalysis.reports import check_targets

    targets = check_targets(out or [])
    with open_checkpoint(source) as checkpoint:
        rows = _run_sweep(checkpoint, schemes, include=include, exclude=exclude, weights_only=weights_only, workers=workers)
        if not rows.complete and not rows.rows:
            _stop("cancelled before the first tensor was done; nothing is written")
        makes_page = any(target.suffix.lower() == ".html" for target in targets)
        prints_summary = not as_json and not targets
        profiles = _profile_worst(checkpoint, rows, all_bits=makes_page) if makes_page or prints_summary else ()
        diagnoses = _diagnose_worst(checkpoint, rows) if makes_page else ()
    _deliver(rows, targets, profiles, diagnoses, as_json=as_json)
    if not rows.complete:
        _stop(f"cancelled; kept the {len(rows)} rows so far, marked as partial")


def _choose_schemes(texts: Sequence[str], **lists: str | None) -> list[Scheme]:
    from qanalysis.quantizers.formats import IntegerFormat, NumberFormat, parse_format
    from qanalysis.quantizers.grouping import parse_grouping
    from qanalysis.quantizers.ranges import parse_range
    from qanalysis.quantizers.scheme import Scheme, cross_schemes, parse_bits, parse_symmetry

    given = {name: text.split(",") for name, text in lists.items() if text is not None}
    if texts and given:
        mixed = ", ".join(f"--{name}" for name in given)
        raise ValueError(f"--scheme {texts[0]!r} can not be mixed with {mixed}; a sweep takes whole schemes or lists to cross, never both")
    if texts:
        return [Scheme.parse(text) for text in texts]
    widths = parse_bits("2-8" if lists["bits"] is None else lists["bits"]) if "bits" in given or "format" not in given else []
    chosen: list[NumberFormat] = [*map(IntegerFormat, widths), *map(parse_format, given.get("format", []))]
    for part in ("grouping", "symmetry", "range"):
        if part in given and all(part in fmt.fixed for fmt in chosen):
            raise ValueError(f"--{part} {lists[part]}: no {part} can be chosen for {', '.join(map(str, chosen))}; leave the option out")
    return cross_schemes(
        chosen,
        groupings=[parse_grouping(text) for text in given.get("grouping", ["tensor", "channel", "group=128", "group=32"])],
        symmetries=[parse_symmetry(text) for text in given.get("symmetry", ["sym"])],
        ranges=[parse_range(text) for text in given.get("range", ["minmax"])],
    )


def _run_sweep(checkpoint: TensorSource, schemes: list[Scheme], **options: Any) -> Rows:
    from qanalysis.reports.terminal import show_progress
    from qanalysis.sweeps.sweep import sweep as measure_checkpoint

    with _cancel_on_interrupt() as cancel, show_progress() as advance:
        return measure_checkpoint(checkpoint, schemes, **options, on_progress=advance, cancel=cancel)


@contextmanager
def _cancel_on_interrupt() -> Iterator[threading.Event]:
    """The first Ctrl-C sets the event, the second interrupts as usual."""
    cancel = threading.Event()

    def ask_to_stop(number: int, frame: Any) -> None:
        if cancel.is_set():
            signal.default_int_handler(number, frame)
        cancel.set()

    previous: Callable[..., Any] | int | None = signal.signal(signal.SIGINT, ask_to_stop)
    try:
        yield cancel
    finally:
        signal.signal(signal.SIGINT, previous)


def _find_worst(checkpoint: TensorSource, rows: Rows) -> Iterator[tuple[Row, TensorInfo]]:
    """The worst layer at the scheme of the summary, unless there is none or it is too large to be looked at as a whole."""
    from qanalysis.reports import choose_scheme, select_worst

    for worst in select_worst(rows, choose_scheme(rows), count=1):
        if worst.numel <= _LARGEST_PROFILE:
            yield worst, next(info for info in checkpoint.tensors if info.name == worst.tensor)


def _profile_worst(checkpoint: TensorSource, rows: Rows, *, all_bits: bool) -> Sequence[LayerProfile]:
    """Profiles of the worst layer: as it is, or integers at 2 to 16 bits for a page unless the layer is large."""
    from qanalysis.diagnosis.profile import profile_bits, profile_layer
    from qanalysis.quantizers.formats import IntegerFormat
    from qanalysis.quantizers.scheme import Scheme

    for worst, info in _find_worst(checkpoint, rows):
        values, scheme = checkpoint.read(info), Scheme.parse(worst.scheme)
        if all_bits and worst.numel <= _LARGEST_SCRUB and isinstance(scheme.format, IntegerFormat):
            return profile_bits(values, scheme, axis=info.channel_axis, name=info.name)
        return (profile_layer(values, scheme, axis=info.channel_axis, name=info.name),)
    return ()


def _diagnose_worst(checkpoint: TensorSource, rows: Rows) -> Sequence[Diagnosis]:
    """What is wrong with the worst layer, and what helps."""
    from qanalysis.diagnosis import diagnose
    from qanalysis.quantizers.scheme import Scheme

    worst = _find_worst(checkpoint, rows)
    return [diagnose(checkpoint.read(info), Scheme.parse(row.scheme), axis=info.channel_axis, name=info.name) for row, info in worst]


def _deliver(rows: Rows, targets: Sequence[Path], profiles: Sequence[LayerProfile], diagnoses: Sequence[Diagnosis], *, as_json: bool) -> None:
    from datetime import UTC, datetime

    from qanalysis.reports import to_json, write_report
    from qanalysis.reports.terminal import print_note, print_summary

    created = datetime.now(UTC)
    for target in targets:
        write_report(rows, target, profiles=profiles, diagnoses=diagnoses, created=created)
        print_note(f"wrote {target}")
    if as_json:
        typer.echo(to_json(rows, created=created))
    elif not targets:
        print_summary(rows, profiles=profiles)
    unmeasured = sum(row.status != "ok" for row in rows)
    if unmeasured:
        tensors = len({row.tensor for row in rows if row.status != "ok"})
        print_note(f"{unmeasured} of {len(rows)} rows ({tensors} tensors) hold no figures; their columns status and reason say why")


def _stop(text: str) -> None:
    from qanalysis.reports.terminal import print_note

    print_note(text)
    raise typer.Exit(CANCELLED)


@app.command()
def report(
    rows: Annotated[
        Path, typer.Argument(metavar="ROWS", help="A .json, .parquet or .csv file written by `sweep`; .json or .parquet of the commands about converters.")
    ],
    *,
    out: Annotated[list[Path], typer.Option("--out", metavar="FILE", help="Write .csv, .json, .parquet or .html; may be repeated.")],
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="Heading of an HTML report.")] = None,
    scheme: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The scheme an HTML report speaks of first. Default: the best at no more than 5 bits per weight.")
    ] = None,
) -> None:
    """Turn stored rows into a report, or into another format.

    \b
    Example:
      qanalysis report rows.parquet --out report.html --out rows.csv
    """
    from qanalysis.reports import check_targets, read_rows, write_report
    from qanalysis.reports.terminal import print_note

    targets = check_targets(out)
    if converter_commands.report_rows(rows, targets):
        return
    stored = read_rows(rows)
    if scheme is not None:
        from qanalysis.quantizers.scheme import Scheme

        scheme = str(Scheme.parse(scheme))
    for target in targets:
        write_report(stored, target, title=title, scheme=scheme)
        print_note(f"wrote {target}")


@app.command()
def validate(*, as_json: AsJson = False) -> None:
    """Compare the figures with every peer that is installed and with published tables. Exit 1 if one falls short.

    \b
    Example:
      pip install 'qanalysis[peers]'
      qanalysis validate
    """
    from qanalysis.reports.checks import CHECK_COLUMNS, describe_checks, explain_checks, tabulate_checks
    from qanalysis.reports.terminal import clean_text, print_json, print_note, print_table
    from qanalysis.validation import validate as ask_peers

    checks = ask_peers(on_peer=lambda name: print_note(f"asking {name} …") if sys.stderr.isatty() else None)
    if as_json:
        print_json(describe_checks(checks))
    else:
        for table in tabulate_checks(checks):
            print_table(clean_text(table.peer), CHECK_COLUMNS, table.lines, text_columns=len(CHECK_COLUMNS))
            typer.echo()
        typer.echo("\n".join(map(clean_text, explain_checks(checks))))
    if any(check.verdict == "failed" for check in checks):
        raise typer.Exit(MISSED)


for _command in (converter_commands.convert, converter_commands.record, converter_commands.linearity):
    app.command()(_command)


@app.command("app")
def serve(
    *,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Default: 8501, or the next one free.")] = None,
    root: Annotated[Path, typer.Option(metavar="DIR", help="Folder whose checkpoints the page may open.")] = Path(),
    address: Annotated[str, typer.Option(help="Address to listen on.")] = _LOOPBACK[0],
) -> None:
    """Open the dashboard in a browser.

    \b
    Example:
      qanalysis app --root ~/models
    """
    from qanalysis.reports.terminal import print_note

    if not root.is_dir():
        raise ValueError(f"--root {root}: no such folder; give one that holds checkpoints")
    if port is not None:
        _check_port(address, port)
    if address not in _LOOPBACK:
        folder = root.resolve()
        print_note(f"warning: listening on {address}: whoever reaches this machine can read the checkpoints below {folder}; leave --address out to stay local")
    command = [sys.executable, "-m", "streamlit", "run", str(Path(__file__).with_name("dashboard_script.py")), *_server_options(address, port)]
    sys.stderr.flush()
    os.execve(sys.executable, command, {**os.environ, ROOT_VARIABLE: str(root.resolve())})  # noqa: S606  no shell is wanted; signals reach the server itself


def _server_options(address: str, port: int | None) -> list[str]:
    """Safe settings, given explicitly: a config file would be read from the folder the command is started in."""
    hosts = _LOOPBACK if address in _LOOPBACK else ("*",) if address in _EVERYWHERE else (*_LOOPBACK, address)
    options = {
        "server.address": address,
        "server.headless": "true",
        "server.enableCORS": "true",
        "server.enableXsrfProtection": "true",
        "server.fileWatcherType": "none",
        "server.runOnSave": "false",
        "server.enableStaticServing": "false",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "server.maxUploadSize": "50",
        "global.disableWidgetStateDuplicationWarning": "true",
        "theme.base": str(Path(__file__).with_name("dashboard") / "theme.toml"),
    }
    if port is not None:
        options["server.port"] = str(port)
    return [f"--{name}={value}" for name, value in options.items()] + [f"--server.allowedHosts={host}" for host in hosts]


def _check_port(address: str, port: int) -> None:
    import socket

    try:
        with socket.create_server((address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET):
            pass
    except OSError as error:
        raise ValueError(f"--port {port}: can not listen on {address} ({error.strerror}); choose another port, or leave it out") from error


def main() -> None:
    """The console command `qanalysis`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a sign shows ? instead of failing
    app(prog_name="qanalysis")


if __name__ == "__main__":
    main()
