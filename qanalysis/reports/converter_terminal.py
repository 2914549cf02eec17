"""How do results about converters look in a terminal? Each figure with its convention, then the limits, then what stands out."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from qanalysis.converters.rows import ConverterRow, ConverterRows, RecordRow, TextbookRow
from qanalysis.reports.converter_figures import (
    HARMONIC_COLUMNS,
    INPUT_COLUMNS,
    LIMIT_COLUMNS,
    WORD_COLUMNS,
    describe_subject,
    list_figures,
    list_harmonic_lines,
    list_input_lines,
    list_limit_lines,
    list_word_lines,
)
from qanalysis.reports.terminal import clean_text, print_table


def print_converter_rows(rows: ConverterRows) -> None:
    """The tables of one command on standard output; nothing is cut."""
    first = rows.rows[0]
    lines = [(figure.label, figure.text, figure.convention) for figure in list_figures(first)]
    print_table(clean_text(describe_subject(rows)), ["figure", "value", "by which convention"], lines, text_columns=3)
    if isinstance(first, TextbookRow):
        _print_textbook([row for row in rows.rows if isinstance(row, TextbookRow)])
    if isinstance(first, RecordRow) and first.harmonics:
        typer.echo()
        print_table("Harmonics", list(HARMONIC_COLUMNS), list_harmonic_lines(first), text_columns=len(HARMONIC_COLUMNS))
    if rows.limits:
        typer.echo()
        print_table("Limits", list(LIMIT_COLUMNS), list_limit_lines(rows.limits))
    _print_findings(rows.rows)


def _print_textbook(rows: Sequence[TextbookRow]) -> None:
    lines = list_input_lines(rows)
    if lines:
        typer.echo()
        print_table("Inputs", list(INPUT_COLUMNS), lines, text_columns=len(INPUT_COLUMNS))
        typer.echo()
        print_table("Code words", list(WORD_COLUMNS), list_word_lines(rows), text_columns=len(WORD_COLUMNS))
    typer.echo("\nThe working")
    typer.echo("\n".join(f"  {clean_text(step)}" for step in rows[0].working))


def _print_findings(rows: Sequence[ConverterRow]) -> None:
    findings = [finding for row in rows for finding in row.findings]
    if findings:
        typer.echo("\nFindings")
        typer.echo("\n".join(f"  {finding.title}: {clean_text(finding.text)}" for finding in findings))
