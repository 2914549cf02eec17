"""How is the dashboard started? As a process of its own, with safe settings given explicitly."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

_PACKAGE = Path(__file__).parents[1]
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def serve(
    *,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Default: 8501, or the next one free.")] = None,
    root: Annotated[Path, typer.Option(metavar="DIR", help="Folder whose checkpoints the page may open.")] = Path(),
    address: Annotated[str, typer.Option(help="Address to listen on.")] = _LOOPBACK[0],
    remote: Annotated[
        bool, typer.Option("--remote", help="Let the page open hf:// and https:// addresses of public servers.")
    ] = False,
) -> None:
    """Open the dashboard in a browser.

    \b
    Example:
      qanalysis app --root ~/models
    """
    from qanalysis.checkpoints.path_policy import REMOTE_VARIABLE, ROOT_VARIABLE
    from qanalysis.reports.terminal import print_note

    if not root.is_dir():
        raise ValueError(f"--root {root}: no such folder; give one that holds checkpoints")
    if port is not None:
        _check_port(address, port)
    if address not in _LOOPBACK:
        folder = root.resolve()
        print_note(
            f"warning: listening on {address}: whoever reaches this machine can read the checkpoints below {folder}; "
            "leave --address out to stay local"
        )
        if remote:
            print_note("warning: with --remote they also read what HF_TOKEN opens; unset it, or leave --remote out")
    command = [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        str(_PACKAGE / "dashboard" / "app.py"),
        *_server_options(address, port),
    ]
    sys.stderr.flush()
    settings = {ROOT_VARIABLE: str(root.resolve()), REMOTE_VARIABLE: str(int(remote))}
    os.execve(sys.executable, command, {**os.environ, **settings})  # noqa: S606  no shell is wanted; signals reach the server itself


def _server_options(address: str, port: int | None) -> list[str]:
    """Safe settings, given explicitly: a config file would be read from the folder the command is started in."""
    from qanalysis.checkpoints.path_policy import UPLOAD_LIMIT_MB

    hosts = _LOOPBACK if address in _LOOPBACK else ("*",) if _is_everywhere(address) else (*_LOOPBACK, address)
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
        "server.maxUploadSize": str(UPLOAD_LIMIT_MB),
        "global.disableWidgetStateDuplicationWarning": "true",
        "theme.base": str(_PACKAGE / "dashboard" / "theme.toml"),
    }
    if port is not None:
        options["server.port"] = str(port)
    return [f"--{name}={value}" for name, value in options.items()] + [
        f"--server.allowedHosts={host}" for host in hosts
    ]


def _is_everywhere(address: str) -> bool:
    """Whether an address stands for all addresses of the machine."""
    import ipaddress

    try:
        return ipaddress.ip_address(address).is_unspecified
    except ValueError:
        return False


def _check_port(address: str, port: int) -> None:
    """ValueError where nothing can listen there, before the server starts: it would choose another in silence."""
    import socket

    try:
        with socket.create_server((address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET):
            pass
    except OSError as error:
        raise ValueError(
            f"--port {port}: can not listen on {address} ({error.strerror}); choose another port, or leave it out"
        ) from error
