"""Words in Gray code, sign-magnitude and one's complement give their codes back, and sound words are left alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from qanalysis.converters.records.code_words import resolve_codes
from qanalysis.converters.records.codings import decode_words, find_coding, find_word_bits
from qanalysis.converters.records.samples import RecordError, Samples

T = np.arange(1024)
TOLD = {"gray-codes", "sign-magnitude-codes"}


def encode(codes: np.ndarray, coding: str, bits: int) -> np.ndarray:
    """Words of signed codes, by the definitions: g = b xor (b >> 1); sign bit and magnitude; inverted bits."""
    half = 2 ** (bits - 1)
    if coding == "gray":
        return (codes + half) ^ (codes + half) >> 1
    if coding == "sign-magnitude":
        return np.where(codes < 0, half | -codes, codes)
    return np.where(codes < 0, ~(-codes) & 2 * half - 1, codes)


def tone(bits: int, seed: int, *, level: float = 0.9) -> np.ndarray:
    rng, half = np.random.default_rng(seed), 2 ** (bits - 1)
    x = level * half * np.sin(2 * np.pi * rng.uniform(0.001, 0.499) * T + 1) + 0.3 * rng.standard_normal(T.size)
    return np.clip(np.rint(x), 1 - half, half - 1).astype(np.int64)


@pytest.mark.parametrize("bits", [4, 8, 12, 16, 24])
@pytest.mark.parametrize("coding", ["gray", "sign-magnitude", "ones-complement"])
def test_a_stated_coding_gives_the_codes_back_with_and_without_a_stated_width(coding: str, bits: int) -> None:
    codes = tone(bits, bits)
    wanted = codes + 2 ** (bits - 1) if coding == "gray" else codes
    for stated in (bits, None):
        read = resolve_codes(Samples(encode(codes, coding, bits)), "test", bits=stated, coding=coding)  # type: ignore[arg-type]
        np.testing.assert_array_equal(read.codes, wanted)
        assert read.signed is (coding != "gray")
        assert read.bits == bits or (stated is None and coding == "gray")
        assert not TOLD & {note.code for note in read.notes}


def test_hand_worked_words() -> None:
    assert decode_words(np.array([0, 1, 3, 2, 6, 7, 5, 4]), "gray", 3, "").tolist() == list(range(8))
    assert decode_words(np.array([3, 0, 4, 7]), "sign-magnitude", 3, "").tolist() == [3, 0, 0, -3]
    assert decode_words(np.array([3, 0, 7, 4]), "ones-complement", 3, "").tolist() == [3, 0, 0, -3]
    assert decode_words(np.array([-1, -8, 7]), "sign-magnitude", 4, "").tolist() == [-7, 0, 7]
    assert decode_words(np.array([5, -5]), "binary", 3, "").tolist() == [5, -5]


def test_positive_words_have_their_sign_bit_above() -> None:
    rising = np.arange(100, 1800, 7)
    assert find_word_bits(rising, "sign-magnitude") == 12
    read = resolve_codes(Samples(rising), "test", coding="sign-magnitude")
    np.testing.assert_array_equal(read.codes, rising)
    assert (read.bits, read.signed) == (12, True)
    assert find_word_bits(np.array([0]), "gray") == 1


def test_negative_words_of_a_container_are_bit_patterns() -> None:
    codes = tone(16, 3)
    words = encode(codes, "sign-magnitude", 16).astype(np.uint16).view(np.int16)
    stored = Samples(words, container_bits=16, container_signed=True)
    for stated in ("sign-magnitude", None):
        np.testing.assert_array_equal(resolve_codes(stored, "test", coding=stated).codes, codes)  # type: ignore[arg-type]


def test_words_beyond_a_stated_width_are_refused() -> None:
    with pytest.raises(RecordError, match=r"x\.csv: words from 0 to 300 are no gray codes of 8 bits; raise bits"):
        resolve_codes(Samples(np.arange(301)), "x.csv", bits=8, coding="gray")


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("coding", ["gray", "sign-magnitude"])
def test_words_whose_neighbours_tell_it_are_read_in_their_coding(coding: str, bits: int) -> None:
    for seed in range(10):
        codes = tone(bits, seed, level=(0.9, 0.3)[seed % 2])
        read = resolve_codes(Samples(encode(codes, coding, bits)), "test")
        note = next(note for note in read.notes if note.code == f"{coding}-codes")
        np.testing.assert_array_equal(read.codes, codes + 2 ** (bits - 1) if coding == "gray" else codes)
        assert note.value > 3
        assert f"of {bits} bits" in note.text
        assert "State the coding, binary, where that is wrong." in note.text
        left = resolve_codes(Samples(encode(codes, coding, bits)), "test", coding="binary")
        assert not TOLD & {found.code for found in left.notes}


def test_gray_code_of_twos_complement_is_read_to_the_end_where_it_is_stated() -> None:
    codes = tone(12, 5)
    words = codes & 4095
    read = resolve_codes(Samples(words ^ words >> 1), "test", coding="gray")
    np.testing.assert_array_equal(read.codes, codes)
    assert "wrapped-codes" in {note.code for note in read.notes}


def draw_sound(bits: int, samples: int, rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    half, t = 2 ** (bits - 1), np.arange(samples)
    level, noise, f = (
        rng.choice([1.3, 0.98, 0.5, 0.1, 0.03]),
        rng.choice([0.0, 0.3, 1.0, 5.0]),
        rng.uniform(0.0005, 0.4995),
    )
    peak, hiss = level * half, noise * rng.standard_normal(samples)
    yield "tone", peak * np.sin(2 * np.pi * f * t + 1) + hiss
    yield "coherent", peak * np.sin(2 * np.pi * rng.integers(1, samples // 2) * t / samples + 1) + hiss
    yield "slow", peak * np.sin(2 * np.pi * rng.uniform(0.2, 5) * t / samples + 1) + hiss
    yield "two tones", peak / 2 * (np.sin(2 * np.pi * f * t) + np.sin(2 * np.pi * rng.uniform(0.01, 0.49) * t))
    yield "noise", rng.choice([0.3, 1.0, 3.0, half / 5]) * rng.standard_normal(samples)
    yield "walk", np.cumsum(rng.standard_normal(samples)) * rng.choice([0.1, 1, 5])
    yield "saw-tooth", (t * rng.uniform(0.01, 3) + hiss) % (2 * half) - half
    yield "triangle", np.abs((t * rng.uniform(0.01, 30)) % (4 * half) - 2 * half) - half + hiss
    yield "DC", rng.uniform(-half, half) + hiss
    yield "square", peak * np.sign(np.sin(2 * np.pi * f / 10 * t + 0.1)) + hiss
    yield (
        "edges",
        np.convolve(
            np.repeat(rng.integers(0, 2, samples // 8 + 1) * 2 - 1, 8)[:samples] * peak, np.ones(5) / 5, "same"
        ),
    )
    yield "settling", peak * (1 - 2 * np.exp(-t / samples * rng.uniform(1, 30)))
    yield "off the middle", half / 3 * np.sin(2 * np.pi * f * t) + rng.uniform(-0.6, 0.6) * half + hiss


@pytest.mark.parametrize("bits", [4, 6, 8, 10, 12, 16])
def test_sound_words_are_never_misread(bits: int) -> None:
    # 6 x 6 x 13 x 3 = 1404 records. Of 5700 like these the words of none were foretold more than 1.41 times worse.
    rng = np.random.default_rng(bits)
    misread = []
    for _ in range(6):
        for name, x in draw_sound(bits, int(rng.choice([64, 300, 1024])), rng):
            half = 2 ** (bits - 1)
            codes = np.clip(np.rint(x), -half, half - 1).astype(np.int64)
            for words in (
                Samples(codes, container_bits=16, container_signed=True),
                Samples(codes + half),
                Samples(codes % (2 * half)),
            ):
                told = TOLD & {note.code for note in resolve_codes(words, "test").notes}
                misread += [(name, code) for code in told]
    assert misread == []


def test_few_levels_tell_no_coding() -> None:
    assert find_coding(np.tile([0, 1, 3, 2], 40), 2, ()) is None


def test_a_word_whose_sign_is_repeated_to_its_top_is_no_wider_converter() -> None:
    codes = tone(12, 4)
    read = resolve_codes(Samples(codes & 0xFFFF), "test")
    np.testing.assert_array_equal(read.codes, codes)
    assert (read.bits, read.signed) == (12, True)


def test_words_of_more_bits_than_a_converter_has_are_refused_by_name() -> None:
    with pytest.raises(RecordError, match=r"wide\.csv: sign-magnitude words up to 4294967295 need 33 bits"):
        decode_words(np.array([0, 2**32 - 1]), "sign-magnitude", 33, "wide.csv")
