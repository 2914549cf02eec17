"""Remakes what README shows: `python -m tests.readme` writes the table, and the page's picture where a Chromium is found."""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from shutil import which

from qanalysis import Rows, Scheme, open_checkpoint, sweep
from qanalysis.decibels import DB_PER_BIT
from qanalysis.theory.predictions import predict_sqnr_db

ROOT = Path(__file__).resolve().parent.parent
README, PICTURE = ROOT / "README.md", ROOT / "docs" / "layers.png"
SAMPLE = "sample:words-transformer"
SCHEMES = ("int8 channel", "int4 channel", "int4 group=128", "int4 group=32", "int4 asym group=32", "int3 group=32")
SHOWN_LAYERS = 6
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
        return draw_table(sweep(source, SCHEMES, weights_only=True))


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


TABLES = {"table": make_table, "formats": make_formats}


def read_table(name: str) -> str:
    """The table of that name that README shows."""
    return README.read_text().split(f"<!-- {name} -->\n")[1].split(f"<!-- /{name} -->\n")[0]


def take_picture(chromium: str) -> None:
    """A screenshot of page Layers with the sample model, written to docs/."""
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
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{port}/")
            page.locator('.ql-root[data-waiting="false"] .main-svg').nth(6).wait_for(timeout=60_000)
            page.locator('[data-test-script-state="notRunning"]').wait_for(timeout=60_000)
            page.wait_for_timeout(3000)
            page.screenshot(path=PICTURE)
            browser.close()
    finally:
        server.terminate()
        server.wait()


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
    text = README.read_text()
    for name, make in TABLES.items():
        text = text.replace(read_table(name), make())
    README.write_text(text)
    browser_path = which("chromium") or os.environ.get("CHROMIUM")
    if browser_path:
        take_picture(browser_path)
    else:
        print("no chromium on PATH: the picture stays as it is", file=sys.stderr)
