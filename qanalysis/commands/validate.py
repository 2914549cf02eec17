"""Do others get the same figures? Every installed peer is asked."""

from __future__ import annotations

import sys

import typer

from qanalysis.commands.deliver import deliver
from qanalysis.commands.options import MISSED, AsJson


def validate(*, as_json: AsJson = False) -> None:
    """Compare the figures with every peer that is installed and with published tables. Exit 1 if one falls short.

    \b
    Example:
      pip install 'qanalysis[peers]'
      qanalysis validate
    """
    from qanalysis.reports.terminal import print_note
    from qanalysis.validation.peers import validate as ask_peers
    from qanalysis.validation.table import tabulate_checks

    checks = ask_peers(on_peer=lambda name: print_note(f"asking {name} …") if sys.stderr.isatty() else None)
    deliver(tabulate_checks(checks), [], as_json=as_json)
    if any(check.verdict == "failed" for check in checks):
        raise typer.Exit(MISSED)
