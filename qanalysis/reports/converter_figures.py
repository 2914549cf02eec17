"""How do results about converters read as a whole? Their subject, and the limits held against them."""

from __future__ import annotations

from qanalysis.converters.rows import ConverterRows, LimitCheck

LIMIT_COLUMNS = ("limit", "asked", "reached", "verdict")


def list_limit_lines(limits: tuple[LimitCheck, ...]) -> list[tuple[str, ...]]:
    """Cells under `LIMIT_COLUMNS`, one line per limit."""
    return [
        (limit.limit, f"{limit.asked:g}", "no figure" if limit.reached is None else f"{limit.reached:.6g}", "met" if limit.met else "missed")
        for limit in limits
    ]


def describe_subject(rows: ConverterRows) -> str:
    """What was looked at, in one line.

    >>> from qanalysis.converters.textbook.row import list_textbook_rows
    >>> from qanalysis.converters.textbook.textbook import solve_textbook
    >>> describe_subject(ConverterRows("convert", list_textbook_rows(solve_textbook(12, 0, 10)), None))
    '12 bits over 0 V to 10 V, mid-tread'
    """
    return f"{rows.source.path}: {rows.rows[0].subject}" if rows.source else rows.rows[0].subject
