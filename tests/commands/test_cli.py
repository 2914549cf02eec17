"""The commands as a person or a script meets them: output, exit codes, one clear line for what is wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.cli import app
from qanalysis.commands.app import _server_options
from qanalysis.commands.sweep import _cancel_on_interrupt
from qanalysis.reports.report import read_rows
from qanalysis.reports.summary import headline, select_worst
from qanalysis.reports.terminal import clean_text
from qanalysis.sweeps.sweep import sweep

HEAVY = ("torch", "plotly", "streamlit", "pandas", "numba", "scipy", "pyarrow")


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rng = np.random.default_rng(3)
    attention = rng.normal(size=(8, 96)).astype(np.float32)
    attention[2] *= 30
    np.savez(
        tmp_path / "model.npz",
        attention=attention,
        head=rng.normal(size=(4, 16)).astype(np.float32),
        bias=rng.normal(size=6).astype(np.float32),
        zeros=np.zeros((2, 3), np.float32),
        holes=np.array([[1, np.nan, 3], [np.inf, 5, 6]], np.float32),
        ids=np.arange(5),
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path / "model.npz"


def ask(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), prog_name="qanalysis")


def test_show_lists_every_tensor_with_shape_type_size_and_memory(checkpoint: Path) -> None:
    result = ask("show", str(checkpoint))
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert next(line for line in lines if line.startswith("attention")).split() == [
        "attention",
        "float32",
        "8x96",
        "3.00",
        "KiB",
    ]
    assert next(line for line in lines if line.startswith("ids")).split()[:3] == ["ids", "int64", "5"]
    assert "6 tensors, 855 values" in result.stdout  # 768 + 64 + 6 + 6 + 6 + 5
    with open_checkpoint(checkpoint) as source:
        assert source.memory_note in result.stdout


def test_show_as_json_has_one_row_per_tensor(checkpoint: Path) -> None:
    document = json.loads(ask("show", str(checkpoint), "--json").stdout)
    assert list(document) == ["schema_version", "tool_version", "source", "settings", "coverage", "rows", "totals"]
    assert document["source"] == {"path": "model.npz", "size": checkpoint.stat().st_size, "digest": None}
    assert [row["tensor"] for row in document["rows"]] == ["attention", "head", "bias", "zeros", "holes", "ids"]
    assert [row["measurable"] for row in document["rows"]] == [True] * 5 + [False]
    assert document["totals"][0]["numel"] == sum(row["numel"] for row in document["rows"])


def test_sweep_as_json_holds_the_rows_of_the_engine_and_nothing_else(checkpoint: Path) -> None:
    result = ask(
        "sweep", str(checkpoint), "--bits", "3,8", "--grouping", "tensor,group=32", "--symmetry", "sym,asym", "--json"
    )
    assert result.exit_code == 0
    (checkpoint.parent / "out.json").write_text(result.stdout)
    schemes = [
        f"int{bits}{symmetry}{grouping}"
        for grouping in ("", " group=32")
        for symmetry in ("", " asym")
        for bits in (3, 8)
    ]
    with open_checkpoint(checkpoint) as source:
        expected = sweep(source, schemes)
    written = read_rows("out.json")
    assert written.rows == expected.rows
    assert written.totals == expected.totals
    schema = json.loads((Path(__file__).parents[2] / "qanalysis/schema/rows.schema.json").read_text("utf-8"))
    jsonschema.validate(json.loads(result.stdout), schema)


def test_sweep_without_wishes_takes_28_schemes(checkpoint: Path) -> None:
    document = json.loads(ask("sweep", str(checkpoint), "--no-store", "--json").stdout)
    assert [total["scheme"] for total in document["totals"]][:8] == [
        *(f"int{bits}" for bits in range(2, 9)),
        "int2 channel",
    ]
    assert len(document["totals"]) == 28


def test_sweep_summary_has_headline_totals_and_worst_layers(checkpoint: Path) -> None:
    result = ask("sweep", str(checkpoint), "--scheme", "int4", "--scheme", "int8 channel")
    assert result.exit_code == 0
    with open_checkpoint(checkpoint) as source:
        rows = sweep(source, ["int4", "int8 channel"])
    assert result.stdout.startswith(headline(rows, "int4"))
    totals = [line.split() for line in result.stdout.splitlines() if "dB" in line]
    for total in rows.totals:
        assert any(f"{total.sqnr_db:.1f}" in line and f"{total.bits_per_weight:.4g}" in line for line in totals)
    worst = result.stdout[result.stdout.index("Worst tensors at int4") :].splitlines()[2:]
    assert [line.split()[0] for line in worst] == [row.tensor for row in select_worst(rows, "int4")]


def test_the_summary_names_the_outlier_channel_of_the_worst_layer(checkpoint: Path) -> None:
    result = ask("sweep", str(checkpoint), "--scheme", "int4", "--include", "attention")
    assert "worst: attention" in result.stdout.splitlines()[0]
    assert result.stdout.splitlines()[0].endswith("outlier channel 2")


def test_rows_without_figures_are_counted_on_standard_error_and_exit_stays_0(checkpoint: Path) -> None:
    result = ask("sweep", str(checkpoint), "--bits", "4,5", "--grouping", "tensor", "--json")
    assert result.exit_code == 0
    assert "4 of 12 rows (2 tensors) hold no figures" in result.stderr
    by_name = {row["tensor"]: row for row in json.loads(result.stdout)["rows"]}
    assert (by_name["zeros"]["status"], by_name["ids"]["status"], by_name["holes"]["status"]) == (
        "zero",
        "unsupported",
        "ok",
    )
    assert by_name["holes"]["non_finite"] == 2


def test_filters_choose_tensors(checkpoint: Path) -> None:
    document = json.loads(
        ask(
            "sweep",
            str(checkpoint),
            "--bits",
            "4",
            "--grouping",
            "tensor",
            "--exclude",
            "^(zeros|ids)$",
            "--weights-only",
            "--json",
        ).stdout
    )
    assert [row["tensor"] for row in document["rows"]] == ["attention", "head", "holes"]


def test_several_outputs_hold_the_same_rows_and_keep_standard_output_empty(checkpoint: Path) -> None:
    result = ask(
        "sweep", str(checkpoint), "--bits", "4", "--out", "rows.csv", "--out", "rows.json", "--out", "rows.parquet"
    )
    assert result.exit_code == 0
    assert result.stdout == ""
    first, second, third = (read_rows(f"rows{suffix}") for suffix in (".csv", ".json", ".parquet"))
    assert first.rows == second.rows == third.rows
    assert second.totals == third.totals


def test_formats_by_name_are_widths_too(checkpoint: Path) -> None:
    document = json.loads(
        ask(
            "sweep",
            str(checkpoint),
            "--format",
            "int5,int4",
            "--bits",
            "8",
            "--grouping",
            "channel",
            "--range",
            "percentile:99.9",
            "--json",
        ).stdout
    )
    assert [total["scheme"] for total in document["totals"]] == [
        f"int{bits} channel range=percentile:99.9" for bits in (8, 5, 4)
    ]


@pytest.mark.parametrize(
    ("options", "schemes"),
    [
        (
            ["--format", "mxfp4,nf4,float16"],
            ["mxfp4", "nf4", "float16", "nf4 channel", "nf4 group=128", "nf4 group=32"],
        ),
        (
            ["--format", "nf4,gguf:q8_0", "--bits", "4", "--grouping", "channel,group=8"],
            ["int4 channel", "nf4 channel", "gguf:q8_0", "int4 group=8", "nf4 group=8"],
        ),
        (["--format", "fp8_e4m3,int4", "--symmetry", "asym", "--grouping", "tensor"], ["fp8_e4m3", "int4 asym"]),
    ],
    ids=["alone", "with bits", "with a symmetry that one leaves open"],
)
def test_formats_take_the_place_of_the_integers_unless_bits_are_asked_for(
    checkpoint: Path, options: list[str], schemes: list[str]
) -> None:
    document = json.loads(ask("sweep", str(checkpoint), *options, "--include", "attention", "--json").stdout)
    assert [row["scheme"] for row in document["rows"]] == schemes
    assert {row["status"] for row in document["rows"]} == {"ok"}


def test_a_report_of_another_format_draws_its_worst_layer(checkpoint: Path) -> None:
    assert ask("sweep", str(checkpoint), "--format", "mxfp4", "--out", "page.html").exit_code == 0
    page = Path("page.html").read_text("utf-8")
    assert "model.npz at mxfp4: " in page
    assert "Weights of attention" in page


def test_report_turns_stored_rows_into_another_format(checkpoint: Path) -> None:
    ask("sweep", str(checkpoint), "--bits", "4", "--out", "rows.parquet")
    result = ask("report", "rows.parquet", "--out", "rows.json", "--out", "rows.csv")
    assert result.exit_code == 0
    assert read_rows("rows.json").rows == read_rows("rows.csv").rows == read_rows("rows.parquet").rows


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["show", "none.npz"], "'none.npz' does not exist"),
        (["sweep", "."], "holds no .safetensors file"),
        (["sweep", "model.npz", "--bits", "0"], "0 is outside 2 to 16"),
        (["sweep", "model.npz", "--bits", "40"], "40 is outside 2 to 16"),
        (["sweep", "model.npz", "--bits", "four"], "'four' is neither a number nor a span"),
        (["sweep", "model.npz", "--grouping", "group=0"], "group=0"),
        (["sweep", "model.npz", "--grouping", "row"], "'row'"),
        (["sweep", "model.npz", "--symmetry", "odd"], "symmetry 'odd' is unknown"),
        (["sweep", "model.npz", "--range", "best"], "'best'"),
        (["sweep", "model.npz", "--format", "fp99"], "format 'fp99' is unknown"),
        (
            ["sweep", "model.npz", "--format", "mxfp4,float16", "--grouping", "group=64"],
            "--grouping group=64: no grouping can be chosen for mxfp4, float16",
        ),
        (
            ["sweep", "model.npz", "--format", "nf4", "--symmetry", "asym"],
            "--symmetry asym: no symmetry can be chosen for nf4",
        ),
        (["sweep", "model.npz", "--format", "nf4", "--range", "kl"], "nf4 has unequal levels"),
        (["sweep", "model.npz", "--scheme", "int4 weird"], "the word 'weird' is unknown"),
        (["sweep", "model.npz", "--scheme", "int4", "--bits", "4"], "can not be mixed with --bits"),
        (
            ["sweep", "model.npz", "--scheme", "int4", "--range", "mse", "--format", "int4"],
            "can not be mixed with --range, --format",
        ),
        (["sweep", "model.npz", "--include", "nothing"], "'nothing' matches none of the 6 tensors"),
        (["sweep", "model.npz", "--include", "("], "'\\(' is not a regular expression"),
        (["sweep", "model.npz", "--out", "none/rows.csv"], "folder none does not exist"),
        (["sweep", "model.npz", "--out", "/proc/rows.csv"], "/proc is not writable"),
        (["sweep", "model.npz", "--out", "rows.csv", "--out", "./rows.csv"], "are the same file"),
        (["sweep", "model.npz", "--out", "rows.xls"], "suffix '.xls' is unknown"),
        (["sweep", "model.npz", "--store", "rows.db"], "--store rows.db: is not available yet"),
        (["sweep", "model.npz", "--cluster", "host:1"], "--cluster host:1: is not available yet"),
        (["sweep", "model.npz", "--workers", "0"], "workers 0: a sweep needs at least one thread"),
        (["sweep", "model.npz", "--bits", ""], "bits '': '' is neither a number nor a span"),
        (["sweep", ""], "the path is empty; give a checkpoint file"),
        (["sweep", "model.npz", "--out", "n" * 300 + ".csv"], "the file name has 304 bytes, at most 230 are allowed"),
        (
            ["sweep", "model.npz", "--range", "meanstd:-1"],
            "'-1' is not a number of 0 or more; write for example meanstd:3",
        ),
        (["report", "none.json", "--out", "rows.csv"], "none.json: no such file"),
        (["report", "model.npz", "--out", "rows.csv"], "rows are read from .json, .csv, .parquet"),
        (["app", "--root", "none"], "--root none: no such folder"),
        (["app", "--port", "0"], "--port.*see `qanalysis app --help`"),
        (["sweep"], "Missing argument .SOURCE.; see `qanalysis sweep --help`"),
        (["dance"], "No such command 'dance'"),
        ([], "Missing command; see `qanalysis --help`"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_gets_one_line_and_exit_code_2(checkpoint: Path, words: list[str], message: str) -> None:
    result = ask(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert re.search(message, result.stderr)
    assert [path.name for path in checkpoint.parent.iterdir()] == ["model.npz"]


def test_a_port_in_use_is_refused(checkpoint: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        result = ask("app", "--port", str(server.getsockname()[1]))
    assert result.exit_code == 2
    assert "can not listen on 127.0.0.1" in result.stderr


def test_the_server_settings_are_safe_and_known_to_streamlit() -> None:
    options = dict(option.removeprefix("--").split("=") for option in _server_options("127.0.0.1", 8600))
    assert options["server.address"] == "127.0.0.1"
    assert options["server.port"] == "8600"
    assert options["browser.gatherUsageStats"] == "false"
    assert options["client.showErrorDetails"] == "none"
    assert options["server.enableXsrfProtection"] == options["server.enableCORS"] == "true"
    listing = subprocess.run(
        [sys.executable, "-m", "streamlit", "run", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert [name for name in options if f"--{name} " not in listing] == []
    assert [option for option in _server_options("0.0.0.0", None) if "allowedHosts" in option] == [
        "--server.allowedHosts=*"
    ]


def test_names_can_not_steer_a_terminal(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", **{"bad\x1b[2Jname": np.array([[1, 2.5]], np.float32)})
    for words in (["show"], ["sweep", "--scheme", "int4"]):
        result = ask(words[0], str(tmp_path / "m.npz"), *words[1:])
        assert "\x1b" not in result.stdout
        assert r"bad\x1b[2Jname" in result.stdout
    assert clean_text("größe") == "größe"


@pytest.mark.parametrize("command", ["show", "sweep", "report", "app"])
def test_every_command_shows_an_example(command: str) -> None:
    result = ask(command, "--help")
    assert result.exit_code == 0
    assert f"\n    qanalysis {command}" in result.stdout


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


def test_help_loads_nothing_heavy_and_imports_stay_lazy() -> None:
    result = run_python(
        f"import sys\nsys.argv = ['qanalysis', '--help']\nfrom qanalysis.cli import main\n"
        f"try: main()\nexcept SystemExit as end: print('code', end.code)\nprint('loaded', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    assert "code 0" in result.stdout
    assert "loaded []" in result.stdout


def test_standard_output_of_a_pipe_is_plain_json(checkpoint: Path) -> None:
    command = [sys.executable, "-m", "qanalysis.cli", "sweep", str(checkpoint), "--bits", "4", "--json"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert len(json.loads(result.stdout)["totals"]) == 4
    assert "\x1b" not in result.stderr


def test_the_first_interrupt_asks_to_stop_and_the_second_stops() -> None:
    before = signal.getsignal(signal.SIGINT)
    with _cancel_on_interrupt() as cancel:
        assert not cancel.is_set()
        signal.raise_signal(signal.SIGINT)
        assert cancel.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_keeps_the_rows_so_far_marked_as_partial(checkpoint: Path) -> None:
    values = np.random.default_rng(0).normal(size=(512, 1024)).astype(np.float32)
    layers: dict[str, Any] = {"first": values[:2, :32], **{f"layer{i:02}": values for i in range(60)}}
    np.savez("big.npz", **layers)
    ask(
        "sweep", str(checkpoint), "--range", "mse", "--out", "warm.csv"
    )  # the kernels are loaded before the clock starts
    interrupt = threading.Timer(3.0, lambda: os.kill(os.getpid(), signal.SIGINT))
    interrupt.start()
    result = ask("sweep", "big.npz", "--range", "mse", "--out", "rows.json", "--out", "rows.csv")
    interrupt.join()
    rows = read_rows("rows.json")
    assert result.exit_code == 130
    assert f"cancelled; kept the {len(rows)} rows so far" in result.stderr
    assert not rows.complete
    assert 28 <= len(rows) < 61 * 28
    assert read_rows("rows.csv").rows == rows.rows


def test_the_dashboard_starts_from_any_folder_and_ends_with_its_command(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    command = [
        sys.executable,
        "-c",
        "from qanalysis.cli import main; main()",
        "app",
        "--port",
        str(port),
        "--root",
        str(tmp_path),
    ]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        assert wait_for(f"http://127.0.0.1:{port}/_stcore/health", seconds=60) == "ok"
    finally:
        process.terminate()
        process.wait(timeout=20)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def wait_for(address: str, *, seconds: float) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(address, timeout=2) as answer:
                return str(answer.read().decode())
        except OSError:
            time.sleep(0.3)
    return "no answer"


def test_show_follows_its_shipped_schema() -> None:
    schema = json.loads(files("qanalysis").joinpath("schema/tensors.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(ask("show", "sample:digits-cnn", "--json").stdout), schema)
