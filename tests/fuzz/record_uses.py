"""What does the fuzz measure of a file of samples? A spectrum, an average of records, or a test of linearity, with options
drawn at random; as they are for every other mutant.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qanalysis.converters.captures import (
    analyze_captures,
    describe_captures,
    describe_tested,
    measure_capture,
    open_captures,
    open_tested,
    tabulate_captures,
)
from qanalysis.converters.choices import AVERAGES, FULL_SCALES, INL_REFERENCES, TESTS, TRANSFERS
from qanalysis.converters.linearity.options import LinearityOptions
from qanalysis.converters.linearity.row import LinearityRow
from qanalysis.converters.records.reading import Reading
from qanalysis.converters.spectrum.options import SpectrumOptions
from qanalysis.converters.spectrum.row import RecordRow
from qanalysis.converters.spectrum.spectrum import Spectrum
from qanalysis.converters.spectrum.windows import WINDOWS
from qanalysis.results.table import Table

_RANGES = ((0.0, 1.0), (-2.0, 2.0), (-1e-3, 1e-3), (0.0, 4096.0), (-1e140, 1e140), (0.0, 1e-140))
_BANDS = ((0.0, 1.0), (10.0, 100.0), (0.0, 1e9), (1e-3, 2e-3), (200.0, 499.0), (-1e5, 1e5))


@dataclass(frozen=True, slots=True)
class Use:
    """`options` decide what is measured; `records` files are opened, the mutant and then it again, each channel of them
    with `every`.
    """

    options: SpectrumOptions | LinearityOptions = field(default_factory=SpectrumOptions)
    records: int = 1
    every: bool = False


def draw_use(seed: int, number: int) -> Use:
    """How the mutant of a number is measured."""
    rng = random.Random(f"uses {seed} {number}")
    choice = rng.random()
    if choice < 0.4:
        return Use()
    if choice < 0.65:
        return Use(LinearityOptions(**_draw_linearity(rng)))
    if choice < 0.85:
        return Use(SpectrumOptions(**_draw_spectrum(rng)))
    options = SpectrumOptions(**_draw_spectrum(rng), average=rng.choice(AVERAGES))
    return Use(options, records=rng.choice((1, 2, 3)), every=rng.random() < 0.5)


def _draw_range(rng: random.Random) -> dict[str, Any]:
    return dict(zip(("low", "high"), rng.choice(_RANGES), strict=True)) if rng.random() < 0.3 else {}


def _draw_spectrum(rng: random.Random) -> dict[str, Any]:
    band = {"band_hz": rng.choice(_BANDS)} if rng.random() < 0.3 else {}
    osr = {"osr": rng.choice((1.5, 2.0, 16.0, 100.0, 1e9))} if not band and rng.random() < 0.3 else {}
    return {
        "window": rng.choice(("auto", *WINDOWS)),
        "side_bins": rng.choice(("auto", 0, 1, 3, 12, 60)),
        "harmonics": rng.choice((2, 6, 6, 30, 100)),
        "full_scale": rng.choice(FULL_SCALES),
        "fs_over": rng.choice(("2^n", "2^n-1")),
        **_draw_range(rng),
        **band,
        **osr,
    }


def _draw_linearity(rng: random.Random) -> dict[str, Any]:
    test = rng.choice(TESTS)
    drive = {"drive": rng.choice(_RANGES)} if rng.random() < 0.2 else {}
    return {
        "test": test,
        "reference": rng.choice(INL_REFERENCES),
        "transfer": rng.choice(TRANSFERS),
        "fs_over": rng.choice(("2^n", "2^n-1")),
        "confidence": rng.choice((0.95, 0.95, 0.5, 0.999999)),
        **_draw_range(rng),
        **drive,
    }


def measure_use(path: Path, reading: Reading, use: Use) -> tuple[Table[Any], RecordRow | LinearityRow]:
    """The table of what is measured, and its row; ValueError as the package raises it."""
    if isinstance(use.options, LinearityOptions):
        record = open_tested(path, reading, use.options)
        tested = describe_tested(record, measure_capture(record, use.options))
        return tabulate_captures(tested, [record], reading, use.options), tested
    records = open_captures([path] * use.records, reading, every=use.every and reading.channel is None)
    found: Spectrum = describe_captures(records, analyze_captures(records, use.options))
    return tabulate_captures(found, records, reading, use.options), found
