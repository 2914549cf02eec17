"""Which figure of a record is held against a limit? None, which misses it, where the row contradicts itself."""

from __future__ import annotations

from collections.abc import Callable

from qanalysis.converters.spectrum.row import RecordRow


def read_figure(name: str) -> Callable[[RecordRow], float | None]:
    """How a limit reads a column: a row that contradicts itself has no figure to hold against it."""
    return lambda row: None if row.contradicted else getattr(row, name)


def read_thd(row: RecordRow) -> float | None:
    """THD as a limit is held against it: below the noise the upper end of its interval."""
    if row.contradicted:
        return None
    return row.thd_ci95_db[1] if row.thd_below_noise and row.thd_ci95_db else row.thd_dbc
