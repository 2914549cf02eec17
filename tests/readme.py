"""Remakes what README shows: `python -m tests.readme` writes tables and story, and the pictures where a Chromium is found."""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from shutil import which
from typing import Any

from qanalysis import Rows, Scheme, open_checkpoint, sweep
from qanalysis.decibels import DB_PER_BIT
from qanalysis.models.calibration.opening import open_calibration
from qanalysis.models.forms.forms import measure_forms
from qanalysis.models.forms.row import TARGETS
from qanalysis.models.running.opening import open_model
from qanalysis.models.sensitivity.sensitivity import measure_sensitivity
from qanalysis.notation import size
from qanalysis.theory.predictions import predict_sqnr_db
from qanalysis.training.loop import train
from qanalysis.training.presets import PRESETS
from qanalysis.training.row import MODEL
from tests.plan_story import make_deviations, make_plan_story, make_targets

ROOT = Path(__file__).resolve().parent.parent
README, DOCS = ROOT / "README.md", ROOT / "docs"
SAMPLE = "sample:words-transformer"
SCHEMES = ("int8 channel", "int4 channel", "int4 group=128", "int4 group=32", "int4 asym group=32", "int3 group=32")
SHOWN_LAYERS = 6
DAMAGED, DAMAGE_SAMPLES = "int4 channel", 100
FORMS_SAMPLE = "sample:digits-cnn"
FORMATS_SHOWN = (
    *(
        "int4 group=128 scale=float16",
        "int4 asym group=32 scale=float16",
        "int8 channel",
        "ternary channel",
        "fp8_e4m3",
        "mxfp4",
        "mxfp6_e2m3",
        "mxfp8_e4m3",
    ),
    *(
        "mxint8",
        "nvfp4",
        "nf4 group=64",
        "nf4 group=64 scale=double",
        "gguf:q4_0",
        "gguf:q4_1",
        "gguf:q5_0",
        "gguf:q8_0",
        "gguf:tq1_0",
        "bfloat16",
    ),
)
GAUSSIAN_ROW = 4096
CHROMIUM_FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"


def draw_table(rows: Rows) -> str:
    """Layers down, schemes across, SQNR in dB; the layers with the lowest SQNR at the second scheme, then the totals."""
    figures = {(row.tensor, row.scheme): row for row in rows}
    layers = sorted({row.tensor for row in rows}, key=lambda layer: figures[layer, SCHEMES[1]].sqnr_db)[:SHOWN_LAYERS]
    lines = ["| SQNR in dB | " + " | ".join(SCHEMES) + " |", "| --- |" + " ---: |" * len(SCHEMES)]
    lines += [
        f"| `{layer}` | " + " | ".join(f"{figures[layer, scheme].sqnr_db:.2f}" for scheme in SCHEMES) + " |"
        for layer in layers
    ]
    lines += ["| **all layers pooled** | " + " | ".join(f"**{total.sqnr_db:.2f}**" for total in rows.totals) + " |"]
    lines += [
        "| bits per weight, scales counted | "
        + " | ".join(f"{total.bits_per_weight:.3f}" for total in rows.totals)
        + " |"
    ]
    return "\n".join(lines) + "\n"


def make_table() -> str:
    """The table as it stands now, measured."""
    with open_checkpoint(SAMPLE) as source:
        return draw_table(sweep(source, SCHEMES))


def make_formats() -> str:
    """What formats cost and reach on Gaussian values in rows of 4096, as predicted, and whose values they are."""
    lines = [
        "| scheme | bits per weight | SQNR on Gaussian weights | bits wasted | values equal those of |",
        "| --- | ---: | ---: | ---: | --- |",
    ]
    for text in FORMATS_SHOWN:
        scheme = Scheme.parse(text)
        layout = scheme.lay_out((GAUSSIAN_ROW, GAUSSIAN_ROW))
        per_value, per_group = scheme.storage_bits
        rate = per_value + (per_group * layout.groups + scheme.tensor_bits(layout.groups)) / (
            layout.rows * layout.columns
        )
        sqnr = predict_sqnr_db(scheme, layout.length_counts)
        lines.append(
            f"| `{text}` | {rate:.3f} | {sqnr:.2f} dB | {rate - sqnr / DB_PER_BIT:.2f} | {scheme.format.peer} |"
        )
    return "\n".join(lines) + "\n"


def make_damages() -> str:
    """What rounding each layer's weight alone does to the model's output, beside the error of the weight: the three
    layers that hurt most, and the three with the largest weight error.
    """
    with open_model(SAMPLE) as model:
        data = open_calibration("sample", model, samples=DAMAGE_SAMPLES)
        rows = measure_sensitivity(model, data, [DAMAGED], measures=["layer_output_error"], additivity=False)
    with open_checkpoint(SAMPLE) as source:
        errors = {row.tensor: row.sqnr_db for row in sweep(source, [DAMAGED])}
    worst = sorted(errors, key=lambda layer: errors[layer])
    ranked = sorted(rows, key=lambda row: (row.rank, row.tensor))
    shown = [*ranked[:3], *(next(row for row in rows if row.tensor == layer) for layer in worst[:3])]
    lines = [
        f"| `{DAMAGED}`, each alone | SQNR of the weight | place by it | SQNR of the output, 95 % interval | rank by it |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for row in shown:
        tied = sum(other.tie_group == row.tie_group for other in rows) > 1
        lines.append(
            f"| `{row.tensor}` | {errors[row.tensor]:.2f} dB | {worst.index(row.tensor) + 1} of {len(worst)} "
            f"| {row.output_sqnr_db:.2f} dB ({row.output_sqnr_db_low:.2f} to {row.output_sqnr_db_high:.2f}) "
            f"| {row.rank}{', shared' if tied else ''} |"
        )
    return "\n".join(lines) + "\n"


def make_forms() -> str:
    """The nine forms of a sample: accuracy, layer error and size."""
    with open_model(FORMS_SAMPLE) as model:
        rows = measure_forms(model, open_calibration("sample", model))
    found = {(row.target, row.bits): row for row in rows}
    lines = ["| accuracy · layer error · size | 8 bit | 4 bit | binary |", "| --- | ---: | ---: | ---: |"]
    for target in TARGETS:
        cells = (
            f"{row.accuracy:.1%} · {row.layer_error:.3f} · {size(row.size_bytes)}"
            for row in (found[target, bits] for bits in (8, 4, 1))
        )
        lines.append(f"| {target} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def make_story() -> str:
    """What one real run tells in ten lines: a preset, trained here and now."""
    rows = train(PRESETS["outlier-batch"].experiment).to_pandas()
    widest, average, counts = names = list(rows.configuration.unique())
    inputs = rows[(rows.layer == "fc1") & (rows.kind == "input")].set_index(["configuration", "step"])
    model = rows[rows.layer == MODEL].set_index(["configuration", "kind", "step"])
    seen = inputs.loc[widest].absmax
    first, again = seen.index[seen > 1.5][:2]
    event = rows[(rows.configuration == counts) & (rows.event != "")].iloc[0]

    def name_ends(step: int) -> str:
        return _join(f"{inputs.loc[(name, step), 'high']:.2f}" for name in names)

    def name_scores(kind: str, step: int, column: str) -> str:
        form = "{:.1%}" if column == "accuracy" else "{:.3f}"
        return _join(form.format(model.loc[(name, kind, step), column]) for name in names)

    in_float, step_size = model.loc[(widest, "float", 0), "accuracy"], inputs.loc[(widest, first), "step_size"]
    clipped = inputs.loc[(counts, first), "clipped_fraction"]
    told = f"""\
step   0  held-out accuracy in float {in_float:.1%}, with inputs at 4 bits {name_scores("post-training", 0, "accuracy")}
step {first:3}  a digit eight times as bright: the largest input of fc1 is {seen[first]:.2f}, and was {seen[first - 1]:.2f}
          {widest}: its range ends at {inputs.loc[(widest, first), "high"]:.2f}, full ink is {1 / step_size:.1f} steps
          {average}: its range ends at {inputs.loc[(average, first), "high"]:.2f}
          {counts}: its range stays at {inputs.loc[(counts, first), "high"]:.2f}, {clipped:.2%} of this batch is clipped
step {event.step:3}  {counts}, {event.layer}: {event.event}
step  20  held-out loss {name_scores("held-out", 20, "loss")}
step {again - 1:3}  the ranges of fc1 end at {name_ends(again - 1)}
step {again:3}  the bright digit again, in the next epoch: {name_ends(again)}
step 200  held-out accuracy {name_scores("held-out", 200, "accuracy")}, loss {name_scores("held-out", 200, "loss")}
"""
    return f"```text\n{told}```\n"


def _join(words: Iterable[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} and {last}"


TABLES = {"table": make_table, "formats": make_formats}
#: Their figures may move by a little from one machine to another, unlike those of tables.
STORIES = {"story": make_story, "damages": make_damages, "nine": make_forms, "planned": make_plan_story}


#: Tables of docs/plans.md, taken from the catalogue of targets and from the words of a verification.
PLAN_TABLES = {"targets": make_targets, "deviations": make_deviations}
PLANS = DOCS / "plans.md"


def read_table(name: str, file: Path = README) -> str:
    """The table of that name that a file shows."""
    return file.read_text().split(f"<!-- {name} -->\n")[1].split(f"<!-- /{name} -->\n")[0]


def remake(file: Path, makers: Mapping[str, Callable[[], str]]) -> None:
    """Every table and story of a file as it would be today."""
    text = file.read_text()
    for name, make in makers.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}{make()}{end}{rest.partition(end)[2]}"
    file.write_text(text)


def take_pictures(chromium: str) -> None:
    """A screenshot of each page of PICTURES, written to docs/."""
    from playwright.sync_api import sync_playwright

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(f"http://127.0.0.1:{port}/_stcore/health")
        with sync_playwright() as playwright, tempfile.TemporaryDirectory() as profile:
            browser = playwright.chromium.launch_persistent_context(
                profile, executable_path=chromium, args=CHROMIUM_FLAGS.split(), viewport={"width": 1400, "height": 1000}
            )
            for name, show in PICTURES.items():
                page = browser.new_page()
                show(page, f"http://127.0.0.1:{port}")
                page.locator('[data-test-script-state="notRunning"]').wait_for(timeout=60_000)
                page.wait_for_timeout(3000)
                page.screenshot(path=DOCS / f"{name}.png")
            browser.close()
    finally:
        server.terminate()
        server.wait()


def _show_layers(page: Any, server: str) -> None:
    """Page Layers with the sample model."""
    page.goto(f"{server}/")
    page.locator('.ql-root[data-waiting="false"] .main-svg').nth(6).wait_for(timeout=60_000)


def _show_training(page: Any, server: str) -> None:
    """Page Training lab after a run of its first preset."""
    page.goto(f"{server}/lab")
    page.locator(".st-key-run button").click()
    page.get_by_text("Complete: ").wait_for(timeout=300_000)
    page.locator('.st-key-lab-charts .ql-root[data-waiting="false"] .main-svg').nth(4).wait_for(timeout=60_000)
    page.locator(".st-key-lab-charts").evaluate("one => one.scrollIntoView()")


PICTURES = {"layers": _show_layers, "training": _show_training}


def _wait_for(address: str) -> None:
    for _ in range(120):
        try:
            urllib.request.urlopen(address, timeout=2)
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise TimeoutError(f"no answer from {address} within a minute")


if __name__ == "__main__":
    remake(README, {**TABLES, **STORIES})
    remake(PLANS, PLAN_TABLES)
    browser_path = which("chromium") or os.environ.get("CHROMIUM")
    if browser_path:
        take_pictures(browser_path)
    else:
        print("no chromium on PATH: the pictures stay as they are", file=sys.stderr)
