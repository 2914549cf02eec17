"""The table of windows, its independent check against scipy, and the choice by resolution."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import windows as scipy_windows

from qanalysis.converters.spectrum.windows import (
    WIDEST_SIDE,
    WINDOWS,
    bound_leakage,
    choose_side_bins,
    choose_window,
    describe_window,
    find_side_bins,
    make_window,
    measure_leakage,
    measure_lobe,
)

# coherent gain, noise bandwidth in bins, scallop in dB, side bins that hold all but 1e-6, 1e-9, 1e-12 of a tone
# half-way between two bins
TABLE = {
    "rectangular": (1.0, 1.000, -3.92, 2040, None, None),
    "hann": (0.5000, 1.500, -1.42, 8, 31, 122),
    "hamming": (0.5400, 1.363, -1.75, 1552, None, None),
    "blackman": (0.4200, 1.727, -1.10, 5, 21, 85),
    "nuttall": (0.3636, 1.976, -0.85, 4, 101, 2031),
    "blackman-harris": (0.3588, 2.004, -0.83, 4, 8, 1485),
    "flat-top": (0.2156, 3.770, -0.01, 4, 203, 2040),
    "kaiser-38": (0.2026, 3.507, -0.27, 7, 8, 9),
    "chebyshev-100": (0.3704, 1.940, -0.88, 3, 2011, None),
}
SCIPY = {
    "rectangular": "boxcar",
    "hann": "hann",
    "hamming": "hamming",
    "blackman": "blackman",
    "nuttall": "nuttall",
    "blackman-harris": "blackmanharris",
    "flat-top": "flattop",
    "kaiser-38": ("kaiser", 38.0),
    "chebyshev-100": ("chebwin", 100.0),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_the_table_of_windows_is_reproduced(name: str) -> None:
    gain, enbw, scallop, *sides = TABLE[name]
    facts = describe_window(name)
    # Half a unit of the last printed place.
    assert facts.coherent_gain == pytest.approx(gain, abs=0.5e-4 + 1e-9)
    assert facts.enbw_bins == pytest.approx(enbw, abs=0.5e-3 + 1e-9)
    assert facts.scallop_db == pytest.approx(scallop, abs=0.5e-2 + 1e-9)
    assert [find_side_bins(name, share) for share in (1e-6, 1e-9, 1e-12)] == sides


@pytest.mark.parametrize(
    ("name", "bins"),
    [
        ("rectangular", 0),
        ("hann", 1),
        ("hamming", 1),
        ("blackman", 2),
        ("nuttall", 3),
        ("blackman-harris", 3),
        ("flat-top", 4),
    ],
)
def test_a_coherent_tone_fills_the_bins_of_the_cosine_sum(name: str, bins: int) -> None:
    # Sums of K cosines have exactly K side lines; 1e-20 is the rounding of 4096 terms of size eps, squared.
    assert measure_leakage(name, 0.0)[bins] < 1e-20
    assert bins == 0 or measure_leakage(name, 0.0)[bins - 1] > 1e-6
    assert choose_side_bins(name, 12, coherent=True) == bins


@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize("samples", [16, 101])
def test_windows_equal_scipy(name: str, samples: int) -> None:
    # chebwin and the cosine sums agree to rounding; kaiser through two Bessel series of relative error 1e-14
    np.testing.assert_allclose(
        make_window(name, samples), scipy_windows.get_window(SCIPY[name], samples), rtol=0, atol=1e-12
    )


def test_a_cached_window_can_not_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        make_window("hann", 64)[0] = 1


def test_an_unknown_window_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"window 'hanning' is unknown; windows are auto, rectangular, hann"):
        make_window("hanning", 64)


@pytest.mark.parametrize("offset", [0.0, 0.3, 0.5])
def test_a_lobe_and_what_it_leaves_make_the_whole(offset: float) -> None:
    lobe, outside = measure_lobe("blackman-harris", offset), measure_leakage("blackman-harris", offset)
    assert lobe.sum() == pytest.approx(1.0)
    for side in (0, 3, 8):
        assert lobe[2048 - side : 2049 + side].sum() + outside[side] == pytest.approx(1.0)


@pytest.mark.parametrize("bits", [*range(1, 33), None])
def test_the_chosen_lobe_leaves_less_than_a_hundredth_of_the_noise(bits: int | None) -> None:
    name, side_bins = choose_window(bits)
    assert side_bins <= WIDEST_SIDE
    assert measure_leakage(name, 0.5)[side_bins] <= bound_leakage(bits)
    # 6.02 bits + 1.76 dB and 20 dB of margin
    assert 10 * np.log10(bound_leakage(bits)) == pytest.approx(-6.0206 * (bits or 24) - 1.7609 - 20, abs=0.002)


@pytest.mark.parametrize("bits", [4, 8, 10, 12, 16, 24])
@pytest.mark.parametrize("samples", [1024, 65536, 1 << 20])
def test_no_bin_outside_the_lobe_would_pass_for_a_spur(bits: int, samples: int) -> None:
    name, side_bins = choose_window(bits, samples)
    lobe = measure_lobe(name, 0.5)
    outside = np.delete(lobe, np.s_[2048 - side_bins : 2049 + side_bins])
    noise_of_a_bin = 1 / (1.5 * 4.0**bits) / (samples / 2)
    assert outside.max() <= 5 * noise_of_a_bin


def test_twelve_bits_take_blackman_harris_and_sixteen_take_kaiser() -> None:
    assert choose_window(12)[0] == "blackman-harris"
    assert choose_window(12)[1] >= 8
    assert choose_window(16) == ("kaiser-38", 9)


def test_a_window_without_a_lobe_gets_the_widest() -> None:
    assert choose_side_bins("hamming", 12, coherent=False) == WIDEST_SIDE
