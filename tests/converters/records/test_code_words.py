"""Width, justification and sign are guessed right over all widths, follow the evidence,
and give way to what is stated.
"""

from __future__ import annotations

import numpy as np
import pytest

from qanalysis.converters.records.code_words import (
    Resolved,
    code_range,
    count_low_zeros,
    find_edge,
    needed_bits,
    resolve_codes,
    round_up_bits,
)
from qanalysis.converters.records.samples import RecordError, Samples

T = np.arange(4096)
WIDTHS = range(1, 17)


def sine(bits: int, *, level: float = 1.0, cycles: int = 127) -> np.ndarray:
    """Two's complement codes of a sine, 1 for the whole range."""
    low, high = code_range(bits, signed=True)
    return np.clip(
        np.floor(level * 2.0 ** (bits - 1) * np.sin(2 * np.pi * cycles * T / T.size + 0.1)), low, high
    ).astype(np.int64)


def resolve(
    words: np.ndarray,
    container: int | None = 16,
    *,
    signed_words: bool | None = True,
    stated: int | None = None,
    **options: object,
) -> Resolved:
    return resolve_codes(
        Samples(words, container_bits=container, container_signed=signed_words, stated_bits=stated), "test", **options
    )  # type: ignore[arg-type]


def codes_of(read: Resolved) -> set[str]:
    return {finding.code for finding in read.notes}


@pytest.mark.parametrize("bits", WIDTHS)
def test_a_full_scale_sine_gives_its_width_and_sign_in_every_container(bits: int) -> None:
    codes = sine(bits)
    for container in (16, 32, None):
        read = resolve(codes, container)
        assert (read.bits, read.signed, read.justification) == (bits, True, "right")
        np.testing.assert_array_equal(read.codes, codes)
        offset = resolve(codes + 2 ** (bits - 1), container, signed_words=None if container is None else False)
        assert (offset.bits, offset.signed) == (bits, False)


@pytest.mark.parametrize("bits", range(4, 15))
@pytest.mark.parametrize("signed", [True, False], ids=["twos-complement", "offset-binary"])
def test_left_justified_words_are_moved_down(bits: int, signed: bool) -> None:
    codes = sine(bits) if signed else sine(bits) + 2 ** (bits - 1)
    read = resolve(codes << 16 - bits, signed_words=signed)
    assert (read.bits, read.signed, read.justification) == (bits, signed, "left")
    np.testing.assert_array_equal(read.codes, codes)


@pytest.mark.parametrize("bits", range(6, 17))
def test_masked_twos_complement_is_seen_by_its_jumps(bits: int) -> None:
    read = resolve(sine(bits) % 2**bits, signed_words=False)
    assert (read.bits, read.signed) == (bits, True)
    assert "wrapped-codes" in codes_of(read)
    np.testing.assert_array_equal(read.codes, sine(bits))


def test_offset_binary_of_the_whole_container_read_as_signed_is_seen() -> None:
    offset = sine(16, level=0.9) + 2**15
    read = resolve(offset.astype(np.uint16).view(np.int16))
    assert (read.bits, read.signed) == (16, False)
    np.testing.assert_array_equal(read.codes, offset)


def test_a_square_wave_is_not_taken_for_wrapped_codes() -> None:
    square = np.where(T % 64 < 32, 30000, -30000)
    np.testing.assert_array_equal(resolve(square).codes, square)
    noisy = square + np.random.default_rng(4).integers(-200, 200, square.size)
    np.testing.assert_array_equal(resolve(noisy).codes, noisy)


@pytest.mark.parametrize("cycles", [1, 127, 701, 1023, 1361, 1999, 2047])
def test_a_fast_tone_over_the_whole_range_is_not_taken_for_wrapped_codes(cycles: int) -> None:
    codes = sine(12, cycles=cycles)
    np.testing.assert_array_equal(resolve(codes << 4).codes, codes)
    np.testing.assert_array_equal(resolve(codes + 2048, signed_words=False).codes, codes + 2048)
    noise = np.random.default_rng(cycles).integers(0, 4096, T.size)
    np.testing.assert_array_equal(resolve(noise, signed_words=False).codes, noise)


def test_dc_between_the_last_and_the_first_code_is_twos_complement_around_zero() -> None:
    words = np.random.default_rng(2).integers(-2, 3, 200)
    read = resolve(words % 4096, signed_words=False)
    np.testing.assert_array_equal(read.codes, words)
    assert read.bits == 12


def test_a_lower_level_gives_the_next_usual_width() -> None:
    assert resolve(sine(12, level=0.7)).bits == 12
    assert resolve(sine(12, level=0.4)).bits == 12  # reaches 10 bits and a sign
    assert resolve(sine(24, level=0.3), 32).bits == 24


def test_what_is_stated_stands_over_the_guess() -> None:
    words = sine(12)
    read = resolve(words, bits=14, justify="right", signed=True)
    assert (read.bits, read.justification, read.signed, read.notes) == (14, "right", True, ())
    np.testing.assert_array_equal(resolve(words << 4, justify="left").codes, words)
    np.testing.assert_array_equal(resolve(words << 4, justify="right").codes, words << 4)
    np.testing.assert_array_equal(resolve(words << 4, bits=12).codes, words)
    np.testing.assert_array_equal(resolve(words, bits=12, signed=False).codes, words % 4096)
    np.testing.assert_array_equal(resolve(words % 4096, bits=12, signed=True).codes, words)
    np.testing.assert_array_equal(resolve(words % 4096, 16, signed_words=False, signed=True).codes, words)
    np.testing.assert_array_equal(resolve(np.arange(100), 16, signed=True).codes, np.arange(100))
    assert resolve(words, justify="left").bits == 16


def test_codes_beyond_a_stated_width_are_kept() -> None:
    read = resolve(sine(12), bits=10)
    np.testing.assert_array_equal(read.codes, sine(12))
    assert read.bits == 10
    np.testing.assert_array_equal(resolve(sine(12) + 2048, bits=10).codes, sine(12) + 2048)


def test_a_header_is_believed_and_words_without_one_are_measured() -> None:
    quiet = sine(16, level=0.01)
    assert resolve(quiet, stated=16).bits == 16
    assert resolve(quiet).bits == 10
    assert resolve(np.abs(quiet), stated=16).signed is True
    assert resolve(np.abs(quiet)).signed is False


@pytest.mark.parametrize(
    "words", [np.zeros(64, np.int64), np.full(64, 5), np.array([1, 2, 1])], ids=["zeros", "one-code", "three-samples"]
)
def test_words_without_evidence_stay_as_their_container_has_them(words: np.ndarray) -> None:
    read = resolve(words)
    assert (read.bits, read.signed, read.justification) == (8, True, "right")
    np.testing.assert_array_equal(read.codes, words)


def test_few_levels_are_no_evidence_of_left_justified_words() -> None:
    assert resolve(np.array([0, 16, -16, 48] * 8)).justification == "right"


def test_widths_beyond_the_words_are_refused() -> None:
    with pytest.raises(RecordError, match="bits 20 was given; converters have 1 to 32, and these words have 16"):
        resolve(sine(12), bits=20)
    with pytest.raises(RecordError, match="converters have at most 32 bits"):
        resolve(np.array([0, 2**40]), 64)


def test_hand_worked_widths() -> None:
    assert [needed_bits(np.array(pair), signed=True) for pair in ([0, 0], [-1, 0], [0, 1], [-129, 0], [-128, 127])] == [
        1,
        1,
        2,
        9,
        8,
    ]
    assert [needed_bits(np.array(pair), signed=False) for pair in ([0, 0], [0, 1], [0, 255], [0, 256])] == [1, 1, 8, 9]
    # 9 bits reach 0..511; 3 of 511 are within 1/128 of the end, 4 are not.
    assert [round_up_bits(np.array([0, top]), signed=False) for top in (511, 508, 507)] == [9, 9, 10]
    assert [count_low_zeros(np.array(codes)) for codes in ([0, 0], [8, 12], [-16, 32], [1, 2])] == [0, 2, 4, 0]


def reach(low: int, high: int) -> np.ndarray:
    """Codes of a tone from `low` to `high`, both met."""
    turns = np.sin(2 * np.pi * 127 * T / T.size)
    return np.rint((low + high) / 2 + (high - low) / 2 * turns / np.abs(turns).max()).astype(np.int64)


@pytest.mark.parametrize(
    ("low", "high", "bits"),
    [
        (-2048, 2048, 12),
        (-2047, 2048, 12),
        (-1900, 2048, 12),
        (-128, 128, 8),
        (-1024, 1024, 11),
        (-8192, 8192, 14),
        (0, 4096, 12),
        (3, 4096, 12),
        (0, 256, 8),
        (0, 65536, 16),
    ],
)
@pytest.mark.parametrize("container", [32, None])
def test_codes_that_reach_exactly_a_power_of_two_are_those_of_the_width_below_it(
    low: int, high: int, bits: int, container: int | None
) -> None:
    read = resolve(reach(low, high), container)
    assert (read.bits, read.signed) == (bits, low < 0)
    assert {note.code: note.value for note in read.notes}["bits-guessed"] == bits
    np.testing.assert_array_equal(read.codes, reach(low, high))
    assert resolve(reach(low, high), container, bits=bits + 2).bits == bits + 2
    assert "bits-guessed" not in codes_of(resolve(reach(low, high), container, bits=bits))


@pytest.mark.parametrize(
    ("low", "high", "bits"),
    [(-2049, 2048, 14), (-2048, 2049, 14), (-2048, 2047, 12), (0, 4097, 14), (0, 4095, 12), (-16, 16, 8)],
    ids=["two beyond", "not 2^k", "within", "unsigned beyond", "unsigned within", "few steps"],
)
def test_other_ends_are_guessed_as_ever(low: int, high: int, bits: int) -> None:
    assert resolve(reach(low, high), 32).bits == bits
    assert find_edge(reach(low, high), signed=low < 0) is None


def test_noise_around_a_power_of_two_says_nothing_of_the_width() -> None:
    rest = 2048 - np.random.default_rng(5).integers(0, 9, T.size)
    assert find_edge(rest, signed=False) is None
    assert resolve(rest, 16, signed_words=False).bits == 12


@pytest.mark.parametrize("container", [32, None])
@pytest.mark.parametrize(("low", "high"), [(-2048, 2048), (0, 4096)])
def test_left_justified_codes_that_reach_a_power_of_two_keep_their_width(
    low: int, high: int, container: int | None
) -> None:
    read = resolve(reach(low, high) << 4, container)  # words of 16 bits, but for the one code beyond
    assert (read.bits, read.justification) == (12, "left")
    np.testing.assert_array_equal(read.codes, reach(low, high))


def test_left_justified_words_kept_in_wider_ones_are_no_wider_codes() -> None:
    assert resolve(sine(12) << 4, 32).bits == 12
    assert resolve(sine(24, level=0.3) << 8, 32).bits == 24
