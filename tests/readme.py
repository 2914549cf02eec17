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

from qanalysis import Rows, open_checkpoint, sweep

ROOT = Path(__file__).resolve().parent.parent
README, PICTURE = ROOT / "README.md", ROOT / "docs" / "layers.png"
SAMPLE = "sample:words-transformer"
SCHEMES = ("int8 channel", "int4 channel", "int4 group=128", "int4 group=32", "int4 asym group=32", "int3 group=32")
SHOWN_LAYERS = 6
BEGIN, END = "<!-- table -->\n", "<!-- /table -->\n"
CHROMIUM_FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"


def draw_table(rows: Rows) -> str:
    """Layers down, schemes across, SQNR in dB; the layers with the lowest SQNR at the second scheme, then the totals."""
    figures = {(row.tensor, row.scheme): row for row in rows}
    layers = sorted({row.tensor for row in rows}, key=lambda layer: figures[layer, SCHEMES[1]].sqnr_db)[:SHOWN_LAYERS]
    lines = ["| SQNR in dB | " + " | ".join(SCHEMES) + " |", "| --- |" + " ---: |" * len(SCHEMES)]
    lines += [f"| `{layer}` | " + " | ".join(f"{figures[layer, scheme].sqnr_db:.2f}" for scheme in SCHEMES) + " |" for layer in layers]
    lines += ["| **all layers pooled** | " + " | ".join(f"**{total.sqnr_db:.2f}**" for total in rows.totals) + " |"]
    lines += ["| bits per weight, scales counted | " + " | ".join(f"{total.bits_per_weight:.3f}" for total in rows.totals) + " |"]
    return "\n".join(lines) + "\n"


def make_table() -> str:
    """The table as it stands now, measured."""
    with open_checkpoint(SAMPLE) as source:
        return draw_table(sweep(source, SCHEMES, weights_only=True))


def read_table() -> str:
    """The table that README shows."""
    return README.read_text().split(BEGIN)[1].split(END)[0]


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
            page.locator(".js-plotly-plot .main-svg").nth(6).wait_for(timeout=60_000)
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
    README.write_text(text.replace(BEGIN + read_table() + END, BEGIN + make_table() + END))
    browser_path = which("chromium") or os.environ.get("CHROMIUM")
    if browser_path:
        take_picture(browser_path)
    else:
        print("no chromium on PATH: the picture stays as it is", file=sys.stderr)
