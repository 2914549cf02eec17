"""Are lines of many words one record, or a table of channels? What a line's words foretell of the next line decides.

A debugger's memory view or a `%18e` print has consecutive samples beside one another; a table has one instant a line.
Weights that foretell a word from the four words before it (two tones of any frequency) are fitted within lines alone.
In one record they foretell the words across the ends of lines as well, in a table they do not: its next line is a step
of time away. A record must be foretold at all for that: noise is left a table, whose columns have the same figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Doubles
from qanalysis.converters.records.samples import QUANTIZATION_RMS
from qanalysis.converters.records.text.cells import CellError, FormError, find_form, parse_cells

_FEWEST_WORDS = 4  # a line; two or three are channels, or time and channels
_FEWEST_LINES = 4
_WIDE = 64  # words a line that no table without names has columns
_ONE_LINE = 16  # words that make a lone line a record
_PAST = 4  # words that foretell the next
_MOST_LINES = 1 << 12
_PREDICTED = 0.5  # of the spread: what a foretold record leaves at most
_SLOW = 0.8  # of the power: what the means of lines hold of a signal that hardly moves within one
_ALIKE = 1.3  # residuals of one record, across and within lines, beside their scatter


def is_one_record(rows: Sequence[Sequence[str]], names: Sequence[str]) -> bool:
    """Whether the words of consecutive lines, one after the other, are one record rather than channels side by side.

    `names` are those that the file gives its columns: with any it is a table. The last line may be shorter. True for a
    lone line of at least 16 numbers, and for lines of at least four that go on in the next line as they do within:
    residuals across the ends of lines are at most 1.3 times those within, beside their scatter (four standard errors),
    and no column's residuals have a mean of their own. False for cells that are no numbers, for ragged lines, and for
    words that nothing foretells (more than half of their spread is left) unless a line has 64 or more.

    >>> tone = [f"{2048 + 1800 * math.sin(0.7 * n):.0f}" for n in range(160)] if (math := __import__("math")) else []
    >>> is_one_record([tone[start : start + 16] for start in range(0, 160, 16)], [])
    True
    >>> is_one_record([[cell, cell, cell, cell] for cell in tone], [])
    False
    """
    if any(names) or not rows:
        return False
    width = len(rows[0])
    whole = [row for row in rows[:_MOST_LINES] if len(row) == width]
    if width < _FEWEST_WORDS or len(whole) < len(rows[:_MOST_LINES]) - 1 or len(rows[-1]) > width:
        return False
    values = _read_values(whole)
    if values is None:
        return False
    if len(rows) == 1:
        return width >= _ONE_LINE
    if len(whole) < _FEWEST_LINES and width < _WIDE:
        return False
    return _goes_on(values)


def _read_values(rows: Sequence[Sequence[str]]) -> Doubles | None:
    """The numbers (lines, words); None where a cell is none, or not finite."""
    cells = list(chain.from_iterable(rows))
    try:
        form = find_form(cells)
        values = None if form is None else parse_cells(cells, form)
    except (FormError, CellError):
        return None
    if values is None or not np.isfinite(values).all():
        return None
    return np.asarray(values, np.float64).reshape(len(rows), -1)


def _goes_on(values: Doubles) -> bool:
    """Whether weights fitted within lines of values (lines, words) foretell across their ends as well."""
    lines, words = len(values), int(values.shape[1])
    past = min(_PAST, words - 1)
    spread = float(values.std())
    if spread == 0 or not np.isfinite(spread):
        return False
    flat = (values.ravel() - values.mean()) / spread
    lags = np.column_stack([*(flat[lag : flat.size - past + lag] for lag in range(past)), np.ones(flat.size - past)])
    column = np.arange(past, flat.size) % words
    within = column >= past
    weights, *_ = np.linalg.lstsq(lags[within], flat[past:][within], rcond=1e-9)
    left = flat[past:] - lags @ weights
    floor = _find_step(values) / spread * QUANTIZATION_RMS
    inside = max(_rms(left[within]), floor, 1e-9)
    if inside > _PREDICTED:
        return words >= _WIDE
    crossing = left[~within]
    if _rms(crossing) > inside * (_ALIKE + 4 / np.sqrt(2 * crossing.size)):
        return False
    if not _moves_within(values):
        return False
    means = np.array([left[column == place].mean() for place in range(words)])
    return lines < _FEWEST_LINES or float(np.abs(means).max()) <= 5 * inside / float(np.sqrt(lines - 1)) + 3 * floor


def _moves_within(values: Doubles) -> bool:
    """Whether a slow signal of values (lines, words) moves within its lines as it does from one to the next.

    Channels that follow one slow signal stand still within a line. True for a signal that is not slow.
    """
    means = values.mean(axis=1)
    if len(values) < _FEWEST_LINES or means.var() < _SLOW * values.var():
        return True
    place = np.arange(values.shape[1]) - (values.shape[1] - 1) / 2
    slopes = (values @ place / (place @ place))[1:-1]
    expected = (means[2:] - means[:-2]) / (2 * values.shape[1])
    return float(slopes @ expected) > 0.5 * float(expected @ expected)


def _find_step(values: NDArray[np.float64]) -> float:
    """The least difference of two numbers that differ; 0 for one number."""
    steps = np.diff(np.unique(values))
    return float(steps.min()) if steps.size else 0.0


def _rms(values: Doubles) -> float:
    return float(np.sqrt(np.mean(values**2)))
