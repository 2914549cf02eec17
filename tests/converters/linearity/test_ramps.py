"""Ramps of every course: the same figures by code whichever way they run and however their codes are printed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from qanalysis.converters.linearity.linearity import Linearity, measure_linearity
from qanalysis.converters.linearity.ramps import follow_ramp

Codes = NDArray[np.int64]
BITS, COUNT = 8, 256
WIDTHS = np.rint(32 * (1 + 0.2 * np.cos(np.arange(COUNT) / COUNT * np.pi))).astype(int)
UP: Codes = np.repeat(np.arange(COUNT), WIDTHS)  # bowed: its INL has a sign
DOWN = UP[::-1]


def measure(codes: Codes, **options: object) -> Linearity:
    return measure_linearity(codes, bits=BITS, **options)  # type: ignore[arg-type]


def name_findings(found: Linearity) -> list[str]:
    return [finding.code for finding in found.findings]


def join(*parts: Codes) -> Codes:
    return np.concatenate(parts)


def wrap(codes: Codes) -> Codes:
    """Two's complement of codes that count from 0 at the lowest input, printed as unsigned."""
    return (codes - COUNT // 2) & (COUNT - 1)


@pytest.mark.parametrize(
    "course",
    [(UP,), (DOWN,), (UP, UP), (DOWN, DOWN, DOWN), (UP, DOWN), (DOWN, UP), (UP, DOWN, UP), (DOWN, UP) * 3],
    ids=["up", "down", "saw-up", "saw-down", "up-down", "down-up", "triangle", "periods"],
)
@pytest.mark.parametrize("printed", ["straight", "signed", "wrapped", "offset"])
def test_every_course_and_print_gives_the_figures_of_the_rising_ramp(course: Sequence[Codes], printed: str) -> None:
    plain, codes = measure(UP), join(*course)
    shown = {
        "straight": codes,
        "signed": codes - COUNT // 2,
        "wrapped": wrap(codes),
        "offset": ((codes + COUNT // 2) & (COUNT - 1)) - COUNT // 2,
    }[printed]
    found = measure(shown)
    assert found.samples == codes.size
    # the same hits but for a factor: sums of integers, so nothing but the rounding of quotients near 1
    assert found.dnl_lsb == pytest.approx(plain.dnl_lsb, abs=1e-12)
    assert found.inl_lsb == pytest.approx(plain.inl_lsb, abs=1e-10)
    assert found.missing_codes == ()
    assert ("wrapped-codes" in name_findings(found)) == (printed in ("wrapped", "offset"))
    assert found.first_code == (-COUNT // 2 if printed in ("signed", "wrapped") else 0)
    assert "step-back" not in name_findings(found)
    assert "hysteresis" not in name_findings(found)


def test_a_falling_ramp_is_the_rising_one_to_the_last_bit() -> None:
    rising, falling = measure(UP), measure(DOWN)
    assert falling.dnl_lsb.tolist() == rising.dnl_lsb.tolist()
    assert falling.inl_lsb.tolist() == rising.inl_lsb.tolist()
    assert name_findings(falling)[0] == "falling-ramp"


def test_a_wrapped_ramp_is_the_signed_one_to_the_last_bit() -> None:
    signed, wrapped = measure(UP - COUNT // 2), measure(wrap(UP))
    assert wrapped.inl_lsb.tolist() == signed.inl_lsb.tolist()
    assert (wrapped.first_code, wrapped.missing_codes) == (signed.first_code, ())


def test_a_stated_sign_is_kept() -> None:
    found = measure(wrap(UP), signed=False)
    assert "wrapped-codes" not in name_findings(found)
    assert found.first_code == 0


def test_noise_at_the_wrap_changes_nothing() -> None:
    x = np.linspace(-2, COUNT + 2, 64 * COUNT) + np.random.default_rng(1).normal(0, 2, 64 * COUNT)
    codes = np.clip(np.floor(x), 0, COUNT - 1).astype(int)
    straight, wrapped = measure(codes), measure(wrap(codes))
    assert wrapped.dnl_lsb.tolist() == straight.dnl_lsb.tolist()
    assert wrapped.largest_step_back == straight.largest_step_back


@pytest.mark.parametrize(
    ("parts", "kept", "up", "down"),
    [
        ((UP[3000:], DOWN, UP, DOWN, UP[:3000]), UP.size * 3, 1, 2),
        ((UP[500:], DOWN, UP[:500]), UP.size, 0, 1),
        ((UP[2000:], UP, UP, UP[:1500]), UP.size * 2, 2, 0),
        ((UP, DOWN[:5000]), UP.size, 1, 0),
    ],
    ids=["triangle", "short-ends", "saw", "broken-off"],
)
def test_parts_of_ramps_are_left_out(parts: Sequence[Codes], kept: int, up: int, down: int) -> None:
    codes = join(*parts)
    found, plain = measure(codes), measure(UP)
    # a turn lies in the middle of a code that the input dwells on from both sides: a code's width at most
    assert abs(found.samples - kept) <= WIDTHS.max()
    assert found.dnl_lsb == pytest.approx(plain.dnl_lsb, abs=1e-12)
    assert name_findings(found)[0] == "partial-ramp"
    assert found.findings[0].value == codes.size - found.samples
    ramp = follow_ramp(codes, COUNT)
    assert (up + down == 1) == (ramp.passes is None)
    if ramp.passes is not None:
        assert ramp.passes.count() == (up, down)


def test_a_ramp_in_two_parts_is_whole_where_they_go_on_from_each_other() -> None:
    found = measure(join(UP[3000:], UP[:3000]))
    assert found.dnl_lsb == pytest.approx(measure(UP).dnl_lsb, abs=1e-12)
    assert name_findings(found)[0] == "several-ramps"
    for end in (2000, 4000):
        with pytest.raises(ValueError, match=r"holds no whole ramp of the 256 codes: it begins at code \d+"):
            measure(join(UP[3000:], UP[:end]))


@pytest.mark.parametrize("dwell", [0, 3000])
def test_dwell_at_the_ends_is_no_ramp_of_its_own(dwell: int) -> None:
    held = join(np.zeros(dwell, int), UP, np.full(dwell, COUNT - 1), DOWN, np.zeros(dwell, int))
    found = measure(held)
    assert found.samples == held.size
    assert found.dnl_lsb == pytest.approx(measure(UP).dnl_lsb, abs=1e-12)


def test_a_glitch_is_no_turn() -> None:
    codes = UP.copy()
    codes[1000], codes[7000] = COUNT - 1, 0
    found = measure(codes)
    assert found.samples == UP.size
    assert "several-ramps" not in name_findings(found)
    assert found.largest_step_back == COUNT - 1  # from the first glitch to the second


def test_ramps_of_no_noise_know_each_code_to_a_sample_each() -> None:
    even = np.repeat(np.arange(COUNT), 16)
    found = measure(join(even, even[::-1], even))
    assert found.dnl_bar_lsb.max() == pytest.approx(1 / 16, rel=1e-3)  # Wilson's interval shortens a hit by z^2/samples
    assert found.samples_needed == 3 * COUNT * 10
    noisy = join(even, even[::-1], even)
    noisy[100] += 1
    noisy[101] -= 1
    assert measure(noisy).dnl_bar_lsb.max() > 0.2


def test_a_ramp_that_does_not_cover_the_range_names_the_stuck_top_bit_as_a_cause() -> None:
    with pytest.raises(ValueError, match="these codes fit in 7 bits, or look whether bit 7 is stuck"):
        measure(UP & 127)
    with pytest.raises(ValueError, match="raise its amplitude a little beyond the range, or look whether bit 7"):
        measure(UP | 128)


def test_no_record_of_codes_breaks_the_test() -> None:
    rng, refused = np.random.default_rng(0), 0
    for case in range(300):
        bits, samples = int(rng.integers(2, 9)), int(rng.integers(1, 3000))
        codes = (
            rng.integers(0, 2**bits, samples),
            np.arange(samples) * int(rng.integers(1, 9)) // 4 % 2**bits,
            np.clip(np.cumsum(rng.normal(0, 2**bits / 20, samples)) % 2**bits, 0, 2**bits - 1).astype(int),
            np.where(rng.random(samples) < 0.5, 0, 2**bits - 1),
        )[case % 4]
        try:
            found = measure_linearity(codes, bits=bits)
        except ValueError:
            refused += 1
        else:
            assert found.withheld or np.isfinite(found.inl_lsb).all()
    assert 20 < refused < 280
