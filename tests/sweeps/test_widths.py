"""Grids of many widths laid at once: bit for bit those laid one by one, and those of the scalar reference."""

from __future__ import annotations

import numpy as np
import pytest

from qanalysis.quantizers.scheme import Scheme
from qanalysis.quantizers.statistics import Range
from qanalysis.sweeps.widths import UniformGrids, Widths, is_plain
from tests.reference import SCALE_BITS, SYMMETRIES, Words, lay_grid

BITS = (2, 3, 4, 5, 8, 12, 16)
RNG = np.random.default_rng(12)


def make_ranges() -> dict[str, Range]:
    """Ranges of 40 groups each, widened to hold 0 or not, from all of float32."""

    def draw(scale: float) -> Range:
        ends = np.sort(RNG.normal(size=(2, 40)), axis=0) * scale
        return Range(*np.clip(ends, -3.4e38, 3.4e38).astype(np.float32))

    tame = draw(0.02)
    return {
        "tame": tame,
        "one group": Range(tame.low[:1], tame.high[:1]),
        "some without a signal": Range(
            np.where(np.arange(40) % 3, tame.low, 0).astype(np.float32),
            np.where(np.arange(40) % 3, tame.high, 0).astype(np.float32),
        ),
        "none with a signal": Range(np.zeros(5, np.float32), np.zeros(5, np.float32)),
        "all positive": Range(np.abs(tame.high), np.abs(tame.high) * 2),
        "subnormal": draw(1e-40),
        "steps near the smallest": draw(1e-37),
        "huge": draw(4e37),
        "of many magnitudes": Range(
            *(RNG.normal(size=(2, 40)) * 10.0 ** RNG.integers(-44, 38, 40) * [[-1], [1]])
            .clip(-3.4e38, 3.4e38)
            .astype(np.float32)
        ),
        "ends of zero": Range(np.float32([-1, -0.0, 0]), np.float32([-0.0, 0, 1])),
    }


RANGES = make_ranges()


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("scale", SCALE_BITS)
@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_grids_laid_together_are_those_laid_one_by_one_bit_for_bit(symmetry: str, scale: str, name: str) -> None:
    schemes = [Scheme.parse(f"int{bits} {symmetry} scale={scale}") for bits in BITS]
    found = RANGES[name]
    together, apart = Widths.of(schemes).lay(found), UniformGrids.stack([scheme.lay_grid(found) for scheme in schemes])
    for part in ("scale", "inverse", "low", "high"):
        # As bit patterns, so that -0 and 0 differ.
        assert np.array_equal(getattr(together, part).view(np.int32), getattr(apart, part).view(np.int32)), part
    assert together.smallest.tolist() == apart.smallest.tolist()
    assert together.largest.tolist() == apart.largest.tolist()
    assert (together.unused is None) == (apart.unused is None)
    if together.unused is not None and apart.unused is not None:
        assert together.unused.tolist() == apart.unused.tolist()
    # Sums of the same float32 steps in float64: 40 additions.
    assert together.count_steps() == pytest.approx(apart.count_steps(), rel=40 * 2.0**-53)


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_grids_laid_together_are_those_of_the_reference(symmetry: str, name: str) -> None:
    found = RANGES[name]
    grids = Widths.of([Scheme.parse(f"int{bits} {symmetry}") for bits in BITS]).lay(found)
    for line, bits in enumerate(BITS):
        for group, (low, high) in enumerate(zip(found.low, found.high, strict=True)):
            true = lay_grid(low, high, Words(bits, symmetry))
            pair = group if grids.low.shape[1] > 1 else 0
            assert grids.scale[line, group] == true.step
            assert (grids.low[line, pair], grids.high[line, pair]) == (
                true.code_min - true.zero_point,
                true.code_max - true.zero_point,
            )
            assert (grids.unused is not None and bool(grids.unused[line, group])) == true.idle


def test_only_integers_with_steps_as_computed_are_laid_together() -> None:
    assert [
        is_plain(Scheme.parse(text)) for text in ("int4 asym group=32", "int4 scale=float16", "nf4 group=64", "mxfp4")
    ] == [True, False, False, False]
