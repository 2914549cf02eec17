"""`app`: safe settings, a port that is taken, and a server that ends with its command."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from qanalysis.commands.app import _server_options
from tests.commands.asking import ask


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


@pytest.mark.parametrize("given", [True, False], ids=["with --remote", "without"])
def test_addresses_are_opened_only_with_the_switch(
    given: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[dict[str, str]] = []
    monkeypatch.setenv("QANALYSIS_REMOTE", "1")  # of a shell that once set it
    monkeypatch.setattr(os, "execve", lambda _path, _command, environment: started.append(environment))
    assert ask("app", "--root", str(tmp_path), *["--remote"] * given).exit_code == 0
    assert started[0]["QANALYSIS_REMOTE"] == str(int(given))


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
