"""The type of bare words is told from the words: 22 types over tones, noises, lengths, widths and justifications.

What 1,320 files give (60 seeds of each type, `count_ends(60, SINGLE + SEVERAL)`): of 840 files of one channel 816 right, 24
told as doubtful or as interleaved where they are not, none wrong without a word; of 480 files of several channels or I
and Q 468 right, 10 told as doubtful, 2 wrong without a word (0.15 % of all).
The sweep here has 616 files.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from qanalysis.converters.records.word_guess import WINDOW_BYTES, find_turns, guess_words
from qanalysis.converters.records.word_types import WordType

SINGLE = [
    "u8",
    "i8",
    "i16le",
    "i16be",
    "u16le",
    "u16be",
    "i24le",
    "i24be",
    "i32le",
    "i32be",
    "f32le",
    "f32be",
    "f64le",
    "f64be",
]
SEVERAL = ["cu8", "ci16le", "ci16be", "cf32le", "i16le*2", "u8*2", "i16le*4", "i16be*8"]


def pack(codes: NDArray, words: WordType) -> bytes:
    if words.bits != 24:
        return codes.astype(words.dtype).tobytes()
    octets = (codes.astype(np.int64) & 0xFFFFFF).astype("<u4").view("u1").reshape(-1, 4)[:, :3]
    return np.ascontiguousarray(octets[:, ::-1] if words.big_endian else octets).tobytes()


def draw_signal(rng: np.random.Generator, words: WordType, size: int) -> tuple[NDArray, float]:
    """Samples (size, rails) within ±1 and by how many dB the tone lies below: a tone, weak, with harmonics, clipped, two
    tones, or on an offset.
    """
    kind, hz, at = rng.integers(6), rng.uniform(0.001, 0.499), np.arange(size)
    level = 10 ** (-rng.uniform(0, 2)) if kind == 1 else 0.95
    sense, start, rails = rng.choice([-1, 1]), rng.uniform(0, 2 * np.pi), []
    for rail in range(2 if words.is_complex else words.channels):
        if words.is_complex:
            phase = 2 * np.pi * hz * sense * at + start - rail * np.pi / 2
        else:
            hz = rng.uniform(0.001, 0.499) if rail and rng.random() < 0.5 else hz
            phase = 2 * np.pi * hz * at + rng.uniform(0, 2 * np.pi)
        tone = level * np.cos(phase)
        if kind == 2:
            tone += 0.01 * np.cos(2 * phase) + 0.003 * np.cos(3 * phase)
        elif kind == 3 and not words.is_complex:
            tone = np.clip(1.3 * tone, -0.97, 0.97)
        elif kind == 4 and not words.is_complex:
            tone = 0.5 * tone + 0.45 * np.cos(2 * np.pi * (1.07 * hz % 0.5) * at)
        elif kind == 5:
            tone = 0.8 * tone + 0.1
        rails.append(tone)
    return np.stack(rails, axis=1), -20 * np.log10(level)


def draw_file(rng: np.random.Generator, words: WordType) -> bytes:
    """Some 512 to 50,000 frames, at a signal-to-noise ratio from 10 dB to what the width allows."""
    signal, below_db = draw_signal(rng, words, int(rng.choice([512, 1024, 4096, 10_000, 50_000])))
    noise = rng.standard_normal(signal.shape)
    if words.kind == "f":
        values = signal + 10 ** -rng.uniform(1.5, 5) * noise
        whole = np.rint(values * 2 ** rng.choice([11, 13, 15]))
        values = values * 10.0 ** rng.integers(-3, 3) if rng.random() < 0.7 else whole / rng.choice([1, 2**15])
        return pack(values.ravel(), words)
    used = {8: [8], 16: [10, 12, 14, 16, 16], 24: [16, 20, 24, 24], 32: [12, 16, 18, 24, 32]}[words.bits]
    bits = int(rng.choice(used))
    half, ratio_db = 2.0 ** (bits - 1), rng.uniform(10, 6.02 * min(bits, 20) + 1) + below_db
    codes = np.clip(np.rint(half * (signal + 10 ** (-ratio_db / 20) * noise)), -half, half - 1)
    codes = codes + half if words.kind == "u" else codes
    codes = codes * 2 ** (words.bits - bits) if rng.random() < 0.4 else codes
    return pack(codes.ravel().astype(np.int64), words)


def judge(word: str, seed: int) -> str:
    words = WordType.parse(word, "a.bin")
    content = draw_file(np.random.default_rng([seed, sum(map(ord, word))]), words)
    found = guess_words(np.frombuffer(content, np.uint8)[:WINDOW_BYTES])
    kind = "f" if words.kind == "f" else "u" if words.bits == 8 else "i"  # the sign is found with the codes
    has_type = found.words == WordType(kind, words.bits, big_endian=words.big_endian)
    has_turns = (found.turns > 1) == (words.is_complex or words.channels > 1)
    if has_type and has_turns and found.is_clear:
        return "right"
    return "doubt" if found.turns > 1 or not found.is_clear else "wrong"


def count_ends(seeds: int, words: list[str]) -> Counter[str]:
    return Counter(judge(word, seed) for word in words for seed in range(seeds))


def test_words_of_one_channel_are_never_read_as_others_without_a_word() -> None:
    ends = count_ends(28, SINGLE)
    assert ends["wrong"] == 0
    assert ends["right"] >= 0.95 * ends.total()


def test_words_in_turns_are_told() -> None:
    """Of the 616 files of both tests less than 0.5 % may be wrong without a word."""
    ends = count_ends(28, SEVERAL)
    assert ends["wrong"] <= 3
    assert ends["right"] >= 0.9 * ends.total()


def test_noise_has_no_type() -> None:
    octets = np.random.default_rng(5).integers(0, 256, WINDOW_BYTES).astype(np.uint8)
    assert not guess_words(octets).is_clear


@pytest.mark.parametrize("turns", [2, 3, 4, 6, 8])
def test_each_count_of_channels_is_found_from_its_images(turns: int) -> None:
    at = np.arange(2048)
    rng = np.random.default_rng(turns)
    channels = [np.cos(2 * np.pi * 0.123 * at + rng.uniform(0, 2 * np.pi)) for _ in range(turns)]
    stream = np.stack(channels, axis=1).ravel() + 1e-3 * rng.standard_normal(2048 * turns)
    assert find_turns(stream)[0] == turns
    assert find_turns(channels[0] + 1e-3 * rng.standard_normal(2048))[0] == 1


def test_the_image_of_a_pair_is_that_of_its_angle() -> None:
    # I, Q in turns of a carrier w: phases of neighbours differ by p = w/2 + 90°, so the image is tan(p/2) of the line.
    w = 2 * np.pi * 700 / 4096
    carrier = np.exp(1j * w * np.arange(4096))
    turns, image = find_turns(np.stack([carrier.real, carrier.imag], axis=1).ravel())
    quotient = np.tan((np.pi / 2 + w / 2) / 2)
    assert turns == 2
    assert image == pytest.approx(min(quotient, 1 / quotient) ** 2, rel=0.02)  # scalloping of two bins between bins


def test_harmonics_are_no_images() -> None:
    at = np.arange(8192)
    phase = 2 * np.pi * 1024 / 8192 * at  # at fs/8 the third harmonic lies where the image of two channels would
    stream = np.cos(phase) + 1e-2 * np.cos(3 * phase) + 1e-4 * np.random.default_rng(1).standard_normal(8192)
    assert find_turns(stream) == (1, 0.0)


def test_a_clear_wave_in_floats_of_codes_is_floats() -> None:
    codes = np.rint(2000 * np.sin(0.1 * np.arange(2000)))
    for word in ("f32le", "f64be", "i64le"):
        words = WordType.parse(word, "a.bin")
        assert guess_words(np.frombuffer(codes.astype(words.dtype).tobytes(), np.uint8)).words == words


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("level", [1.05, 1.2, 1.3])
def test_clipped_words_are_no_bytes_in_turns(order: str, level: float) -> None:
    wave = level * 2**15 * np.sin(2 * np.pi * 401 / 4096 * np.arange(4096) + 0.3)
    codes = np.clip(np.rint(wave), -(2**15), 2**15 - 1).astype(f"{order}i2")
    guess = guess_words(np.frombuffer(codes.tobytes(), np.uint8))
    assert (guess.words.kind, guess.words.bits, guess.words.big_endian) == ("i", 16, order == ">")
    assert guess.is_clear
    assert not guess.is_interleaved
