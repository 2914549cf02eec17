"""Which rows do the commands about converters make, and what of them is held against a limit?"""

from __future__ import annotations

from qanalysis.converters.linearity.row import LinearityRow
from qanalysis.converters.spectrum.row import RecordRow
from qanalysis.converters.textbook.row import TextbookRow

ConverterRow = TextbookRow | RecordRow | LinearityRow


def read_thd(row: RecordRow) -> float | None:
    """THD; below the noise the upper end of its interval, what the noise leaves room for."""
    return row.thd_ci95_db[1] if row.thd_below_noise and row.thd_ci95_db else row.thd_dbc


def read_dnl(row: LinearityRow) -> float:
    """The larger magnitude of DNL."""
    return max(abs(row.dnl_min_lsb), abs(row.dnl_max_lsb))


def read_inl(row: LinearityRow) -> float:
    """The larger magnitude of INL."""
    return max(abs(row.inl_min_lsb), abs(row.inl_max_lsb))
