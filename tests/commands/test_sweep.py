"""`sweep` as a person or a script meets it: rows, summary, filters, formats, outputs, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.commands.options import cancel_on_interrupt
from qanalysis.reports.report import read_rows
from qanalysis.reports.summary import headline, select_worst
from qanalysis.sweeps.sweep import sweep
from tests.commands.asking import ask
from tests.reports.scenes import read_scenes


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
    assert "2 of 8 rows (1 tensors) hold no figures" in result.stderr
    by_name = {row["tensor"]: row for row in json.loads(result.stdout)["rows"]}
    assert (by_name["zeros"]["status"], by_name["holes"]["status"]) == ("zero", "ok")
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
            ["mxfp4", "nf4", "float16"],
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
    (layer,) = [scene for scene in read_scenes(page) if "weights" in scene["panels"]]
    assert layer["panels"]["weights"]["alt"].startswith("Histogram of ")
    assert " weights of attention" in layer["panels"]["weights"]["alt"]


def test_standard_output_of_a_pipe_is_plain_json(checkpoint: Path) -> None:
    command = [sys.executable, "-m", "qanalysis.cli", "sweep", str(checkpoint), "--bits", "4", "--json"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert len(json.loads(result.stdout)["totals"]) == 4
    assert "\x1b" not in result.stderr


def test_the_first_interrupt_asks_to_stop_and_the_second_stops() -> None:
    before = signal.getsignal(signal.SIGINT)
    with cancel_on_interrupt() as cancel:
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


def test_ctrl_c_within_one_large_tensor_ends_at_once_and_writes_nothing(checkpoint: Path) -> None:
    np.save("large.npy", np.random.default_rng(0).normal(size=(4096, 1024)).astype(np.float32))
    options = ["--bits", "2-16", "--symmetry", "sym,asym", "--range", "minmax,mse,kl", "--out", "rows.csv"]
    process = subprocess.Popen(
        [sys.executable, "-m", "qanalysis.cli", "sweep", "large.npy", *options],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    time.sleep(6)  # reads, loads the loops, and is within the tensor; the whole takes minutes
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    told, note = process.communicate(timeout=60)
    # The sweep ends within a second; writing nothing, and leaving python, may take another on a busy machine.
    assert time.monotonic() - asked < 2
    assert (process.returncode, told) == (130, "")
    assert "cancelled before the first tensor was done; nothing is written" in note
    assert sorted(path.name for path in Path().iterdir()) == ["large.npy", checkpoint.name]
