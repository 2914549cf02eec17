"""How does a result tell a GitHub workflow what is wrong? Annotations on its lines, and a summary of the step.

The forms are those of GitHub's documentation of workflow commands: `::error file=F,title=T::message`, with %, CR and LF
written as %25, %0D and %0A, in properties : and , as %3A and %2C too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from qanalysis.notation import escape, shorten
from qanalysis.reports.kinds import outline
from qanalysis.reports.outline import Block, Bullets, Facts, Grid, Prose
from qanalysis.results.table import Table

#: GitHub shows no more annotations of one kind than ten for a step.
MOST_ANNOTATIONS = 10
_LONGEST, _MOST_LINES = 1000, 50
_MARKS = re.compile(r"([\\`*_{}\[\]<>#|~@$&])")


def annotate(findings: Sequence[tuple[str, str]], *, file: str) -> list[str]:
    """One line for each finding, its title and what is wrong; beyond ten the last line says how many more there are.

    `file` is empty where it is none of the workflow's.
    """
    kept = findings if len(findings) <= MOST_ANNOTATIONS else findings[: MOST_ANNOTATIONS - 1]
    lines = [_annotate(file, title, message) for title, message in kept]
    if len(kept) < len(findings):
        lines.append(_annotate(file, "qanalysis", f"{len(findings) - len(kept):,} more findings are in the step's log"))
    return lines


def summarise(table: Table[Any], findings: Iterable[tuple[str, str]] = ()) -> str:
    """The result in Markdown: title, answer, findings, and the tables that a terminal shows, cut to fifty lines."""
    told = outline(table)
    parts = [f"## {_mark(told.title)}", _mark(told.headline)]
    missed = [f"* **{_mark(title)}**: {_mark(message)}" for title, message in findings]
    parts += ["\n".join(missed[:_MOST_LINES])] if missed else []
    for section in (*told.lead, *told.rest):
        if section.printed:
            parts += [f"### {_mark(section.heading)}", *map(_write_block, section.blocks)]
            parts += [_mark(section.note)] if section.note else []
    return "\n\n".join(parts) + "\n\n"


def _annotate(file: str, title: str, message: str) -> str:
    place = f"file={_escape_property(file)}," if file else ""
    return f"::error {place}title={_escape_property(title)}::{_escape_data(message)}"


def _escape_data(text: str) -> str:
    told = escape(shorten(text, _LONGEST).replace("\r", " ").replace("\n", " "))
    return told.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape_data(text).replace(":", "%3A").replace(",", "%2C")


def _mark(text: str) -> str:
    r"""Text as Markdown shows it letter by letter.

    >>> _mark("a|b*")
    'a\\|b\\*'
    """
    return _MARKS.sub(r"\\\1", escape(" ".join(shorten(text, _LONGEST).split())))


def _write_block(block: Block) -> str:
    match block:
        case Grid():
            heads = [_mark(word) for word in block.columns]
            rule = ["---" if at < block.text_columns else "---:" for at in range(len(heads))]
            lines = [[_mark(cell) for cell in line] for line in block.lines[:_MOST_LINES]]
            table = "\n".join(f"| {' | '.join(line)} |" for line in (heads, rule, *lines))
            more = len(block.lines) - _MOST_LINES
            return f"{table}\n\n{more:,} more lines" if more > 0 else table
        case Bullets() | Facts():
            items = block.items[:_MOST_LINES]
            return "\n".join(f"* {_mark(f'{word}: {text}' if word else text)}" for word, text in items)
        case Prose():
            return _mark(block.text)
