"""What would help, by how much, and at what price? Every cure is a real round trip of the layer, compared with the
chosen scheme.

Gains are 10 log10 of the error before over the error after; prices are bits per weight. One bit buys 6.02 dB, so a cure
whose gain is above 6.02 dB per bit it costs is worth more than spending those bits on longer codes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.decibels import DB_PER_BIT, gain_db
from qanalysis.diagnosis.causes import exact_scale, nearest_rounding
from qanalysis.diagnosis.trials import (
    LayerView,
    Trial,
    rotation_block,
    try_keeping,
    try_keeping_columns,
    try_rotation,
    try_schemes,
)
from qanalysis.quantizers.grouping import Grouping, parse_grouping
from qanalysis.quantizers.ranges import RANGE_RULES, parse_range
from qanalysis.quantizers.scheme import Scheme
from qanalysis.quantizers.symmetries import SYMMETRIES
from qanalysis.quantizers.words import parse_format

GROUP_LENGTHS = (256, 128, 64, 32, 16)
FINER_GROUPINGS = 3
KEPT_PERCENTS = (0.1, 0.5, 1.0)
# More of a layer in 16 bits is a matter of the format.
MOST_KEPT = 0.05


@dataclass(frozen=True, slots=True)
class Cure:
    """One measured way out. `scheme` is its text form, None where it is more than a scheme; gain and extra bits are
    against the chosen one.

    Codes: group, range, symmetry, scale, round, format, wider (the yardstick), keep, rotate.
    """

    code: str
    text: str
    scheme: str | None
    sqnr_db: float
    gain_db: float
    bits_per_weight: float
    extra_bits: float

    @property
    def needs_support(self) -> bool:
        """Whether inference must do more than the scheme says: add the kept values, or rotate."""
        return self.scheme is None

    @property
    def worth_bits(self) -> float:
        """The gain in bits of 6.02 dB: "as good as so many bits more"."""
        return self.gain_db / DB_PER_BIT

    @property
    def net_bits(self) -> float:
        """Bits per weight that the cure saves where longer codes would have to give the same gain; below 0 they are
        cheaper.
        """
        return self.worth_bits - self.extra_bits


def measure_cures(
    sample: LayerView, scheme: Scheme, *, columns: NDArray[np.intp], base: Trial, sqnr_db: float, bits_per_weight: float
) -> tuple[Cure, ...]:
    """The cures that `scheme`, the chosen one, leaves open, the best for its bits first.

    `sample` is the layer, or rows of it, `columns` its outliers, `base` the chosen scheme's trial on it; `sqnr_db` and
    `bits_per_weight` are those of the whole layer. A format that fixes its grouping or its range has fewer cures; what
    does not fit the layer is left out.
    """
    cures = []
    for code, text, words, trial in _try_all(sample, scheme, columns):
        if trial is None:
            continue
        gain = gain_db(base.error, trial.error)
        extra = 0.0 if math.isnan(trial.bits_per_weight) else trial.bits_per_weight - base.bits_per_weight
        cures.append(Cure(code, text, words, sqnr_db + gain, gain, bits_per_weight + extra, extra))
    return tuple(sorted(cures, key=lambda cure: -cure.net_bits))


def _try_all(
    sample: LayerView, scheme: Scheme, columns: NDArray[np.intp]
) -> Iterator[tuple[str, str, str | None, Trial | None]]:
    offered = list(_offer_schemes(scheme, *sample.matrix.shape))
    trials = try_schemes(
        sample.matrix, [replace(found, grouping=replace(found.grouping, axis=None)) for _code, _text, found in offered]
    )
    for (code, text, found), trial in zip(offered, trials, strict=True):
        yield code, text, str(found), trial
    for percent, trial in zip(KEPT_PERCENTS, try_keeping(sample, KEPT_PERCENTS), strict=True):
        yield "keep", f"Keep the largest {percent:g} % in 16 bits", None, trial
    rows, width = sample.matrix.shape
    if rows > 1 and 0 < columns.size <= MOST_KEPT * width:
        named = f"column {columns[0]}" if columns.size == 1 else f"{columns.size} outlier columns"
        yield "keep", f"Keep {named} in 16 bits", None, try_keeping_columns(sample, columns)
    rotated = f"Hadamard rotation in blocks of {rotation_block(width)}"
    yield "rotate", rotated, None, try_rotation(sample)


def _offer_schemes(scheme: Scheme, rows: int, columns: int) -> Iterator[tuple[str, str, Scheme]]:
    """Code, words and scheme of what the format leaves free, each different from the chosen one and from the others."""
    seen: set[Scheme | None] = {None, scheme}
    for code, text, candidate in _change(scheme, rows, columns):
        if candidate is not None and candidate not in seen:
            seen.add(candidate)
            yield code, text, candidate


def _change(scheme: Scheme, rows: int, columns: int) -> Iterator[tuple[str, str, Scheme | None]]:
    for grouping in _list_finer(scheme, rows, columns):
        yield (
            "group",
            "A scale for every channel" if grouping.columns is None else f"Groups of {grouping.columns}",
            _vary(scheme, grouping=grouping),
        )
    for rule in reversed(RANGE_RULES.values()):
        if rule.title:
            yield "range", rule.title, _vary(scheme, range=parse_range(rule.example))
    if scheme.symmetry == SYMMETRIES["sym"]:
        yield "symmetry", "All codes in use (sym-full)", _vary(scheme, symmetry=SYMMETRIES["sym-full"])
    if scheme.symmetry.signed:
        yield "symmetry", "A zero point (asym)", _vary(scheme, symmetry=SYMMETRIES["asym"])
    yield "scale", "Scales in float32", exact_scale(scheme)
    yield "round", "Rounding to nearest", nearest_rounding(scheme)
    wider = "One bit more" if scheme.format.is_integer else "A wider format"
    yield "wider", f"{wider} ({scheme.format.wider})", _switch(scheme, scheme.format.wider)
    yield "format", f"Other levels of the same width ({scheme.format.other})", _switch(scheme, scheme.format.other)


def _switch(scheme: Scheme, name: str) -> Scheme | None:
    """The same words with another format; None where there is none, or where it does not take them."""
    try:
        return scheme.with_format(parse_format(name)) if name else None
    except ValueError:
        return None


def _vary(scheme: Scheme, **parts: Any) -> Scheme | None:
    """The scheme with some parts changed; None where its format fixes them."""
    try:
        return replace(scheme, **parts)
    except ValueError:
        return None


def _list_finer(scheme: Scheme, rows: int, columns: int) -> list[Grouping]:
    """The next finer groupings along the same rows; none where the scheme names its own channel axis, which group=N can
    not say.
    """
    grouping = scheme.grouping
    if grouping.axis is not None:
        return []
    length = columns if grouping.columns is None else min(grouping.columns, columns)
    channel = [parse_grouping("channel")] if rows > 1 and grouping.rows != 1 and grouping.columns is None else []
    return (channel + [Grouping(1, shorter) for shorter in GROUP_LENGTHS if shorter < length])[:FINER_GROUPINGS]
