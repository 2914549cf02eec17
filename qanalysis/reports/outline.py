"""What is told of a result, in which order? Sections of tables, lists and facts, the same for the page and the
terminal.

All text is plain: the page escapes it, the terminal aligns it, both show what could hide or move other text as an
escape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of texts, one line per row.

    Parameters
    ----------
    columns, lines : headings and cells; the first `text_columns` are words, the others numbers.
    names : columns whose cells are names from the input, in letters of one width.
    bars : column to the length of a bar behind each of its cells, in percent.
    chosen : the line that stands out; None for none.
    """

    columns: Sequence[str]
    lines: Sequence[Sequence[str]]
    text_columns: int = 1
    names: frozenset[int] = frozenset()
    bars: Mapping[int, Sequence[int]] = field(default_factory=dict)
    chosen: int | None = None


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list of sentences, each with a word in front or none; numbered where the order counts."""

    items: Sequence[tuple[str, str]]
    numbered: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and what they stand for."""

    items: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Prose:
    """A sentence or two, `strong` where it is the advice, `soft` where it only explains."""

    text: str
    strong: bool = False
    soft: bool = False


Block = Grid | Bullets | Facts | Prose


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a page.

    Parameters
    ----------
    id : its place in the page's address.
    heading, note : above its blocks; the note explains.
    width : "" for the whole width, "seven", "five" or "half" of twelve columns where there is room.
    printed : whether the terminal shows it, too.
    """

    id: str
    heading: str
    blocks: Sequence[Block]
    note: str = ""
    width: str = ""
    printed: bool = False


@dataclass(frozen=True, slots=True)
class Outline:
    """A result as it is told.

    Parameters
    ----------
    title, headline, under : the subject, the answer in one sentence, and lines below it on a page.
    warnings : what must be known before the figures are used.
    tiles : label, figure, remark.
    lead, rest : sections before the charts and behind them.
    opening, closing : lines at both ends of what a terminal shows.
    """

    title: str
    headline: str
    lead: Sequence[Section]
    rest: Sequence[Section] = ()
    under: Sequence[str] = ()
    warnings: Sequence[str] = ()
    tiles: Sequence[tuple[str, str, str]] = ()
    opening: Sequence[str] = ()
    closing: Sequence[str] = ()
