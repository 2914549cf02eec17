"""What does each column of a report mean, in one line?"""

from __future__ import annotations

from qanalysis.results.columns import Column, columns_of
from qanalysis.sweeps.row import STATUS_WORDS, Row

__all__ = ["DEFINITIONS", "STATUS_WORDS"]

DEFINITIONS: dict[str, Column] = {found.name: found for found in columns_of(Row)}
