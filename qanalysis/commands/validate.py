"""Do others get the same figures? Every installed peer is asked."""

from __future__ import annotations

import sys

import typer

from qanalysis.commands.options import MISSED, AsJson


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
