"""Lines of words are one record where they go on, and channels where they do not: over hundreds of seeded records."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from qanalysis.converters.records.text.rows import is_one_record

LINES = (20, 60, 250)
NOISE = (0.0, 0.5, 3.0)


def spell(values: np.ndarray, form: str = "d") -> list[list[str]]:
    return [[format(int(value), form) for value in row] for row in np.rint(values + 2048).astype(int)]


def tone(n: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(100, 2000) * np.sin(2 * np.pi * rng.uniform(0.002, 0.498) * n + rng.uniform(0, 7))


STREAMS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "tone": tone,
    "slow": lambda n, rng: 1500 * np.sin(2 * np.pi * rng.uniform(0.5, 3) * n / n.size + 1),
    "harmonic": lambda n, rng: (w := rng.uniform(0.1, 3)) * 0 + 1500 * np.sin(w * n) + 40 * np.sin(2 * w * n),
    "two tones": lambda n, rng: tone(n, rng) / 2 + tone(n, rng) / 2,
    "ramp": lambda n, rng: rng.uniform(0.3, 1) * n,
}


@pytest.mark.parametrize("words", [5, 8, 16, 32])
@pytest.mark.parametrize("kind", STREAMS)
def test_a_dump_is_one_record(kind: str, words: int) -> None:
    rng = np.random.default_rng(words)
    found = []
    for turn in range(18):
        n = np.arange(LINES[turn % 3] * words)
        values = STREAMS[kind](n, rng) + rng.normal(0, NOISE[turn // 3 % 3], n.size)
        found.append(is_one_record(spell(values.reshape(-1, words), "04X" if turn % 2 else "d"), []))
    # Two tones near one another or a ramp under noise may leave no more evidence than a table's; never most of them.
    assert sum(found) >= (18 if kind in {"tone", "slow"} and words >= 8 else 14)


def phases(channels: int, rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(0, 7, channels)


TABLES: dict[str, Callable[[np.ndarray, int, np.random.Generator], np.ndarray]] = {
    "one frequency": lambda n, c, rng: rng.uniform(100, 2000, c) * np.sin(rng.uniform(0.02, 3) * n + phases(c, rng)),
    "one frequency and amplitude": lambda n, c, rng: 1500 * np.sin(rng.uniform(0.02, 3) * n + phases(c, rng)),
    "one signal": lambda n, c, rng: 1500 * np.sin(rng.uniform(0.02, 3) * n) + np.zeros(c),
    "one slow signal": lambda n, c, rng: 1500 * np.sin(4 * np.pi * n / n.size) + np.zeros(c),
    "slow with offsets": lambda n, c, rng: 300 * np.sin(4 * np.pi * n / n.size) + rng.normal(0, 5, c),
    "even phases": lambda n, c, rng: 1500 * np.sin(rng.uniform(0.02, 3) * n + 2 * np.pi * np.arange(c) / c),
    "differential": lambda n, c, rng: 1500 * np.sin(rng.uniform(0.02, 3) * n) * (1 - 2 * (np.arange(c) % 2)),
    "sine and cosine": lambda n, c, rng: 1500 * np.sin(rng.uniform(0.02, 3) * n + np.pi / 2 * (np.arange(c) % 2)),
    "frequencies": lambda n, c, rng: 1500 * np.sin(rng.uniform(0.02, 3, c) * n),
    "noise": lambda n, c, rng: rng.normal(0, 300, (n.size, c)),
    "levels": lambda n, c, rng: rng.uniform(-1000, 1000, c) + 0 * n,
    "index first": lambda n, c, rng: np.concatenate([n, 900 * np.sin(0.3 * n + phases(c - 1, rng))], axis=1),
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_of_channels_is_never_taken_for_a_dump(kind: str) -> None:
    rng = np.random.default_rng(7)
    taken = []
    for channels in (2, 3, 4, 5, 6, 8, 16):
        for turn in range(9):
            n = np.arange(LINES[turn % 3])[:, np.newaxis]
            values = TABLES[kind](n, channels, rng) + rng.normal(0, NOISE[turn // 3], (n.size, channels))
            taken.append(is_one_record(spell(values), []))
    assert not any(taken)


def test_a_lone_line_is_a_record() -> None:
    words = spell(np.random.default_rng(0).normal(0, 300, (1, 4096)))
    assert is_one_record(words, [])
    assert not is_one_record([words[0][:15]], [])


def test_lines_of_hundreds_of_words_are_a_record_even_of_noise() -> None:
    assert is_one_record(spell(np.random.default_rng(0).normal(0, 300, (3, 400))), [])


def test_rows_that_are_channels_do_not_go_on() -> None:
    n = np.arange(400)
    assert not is_one_record(spell(1500 * np.sin(0.1 * n + np.array([[0.0], [1.0], [2.5]]))), [])


def test_the_last_line_may_be_shorter_and_no_other() -> None:
    rows = spell(1500 * np.sin(0.3 * np.arange(320)).reshape(-1, 16))
    assert is_one_record([*rows, rows[0][:5]], [])
    assert not is_one_record([rows[0][:5], *rows], [])
    assert not is_one_record([rows[0], rows[1][:5], *rows[2:]], [])


def test_names_words_and_constants_are_no_dump() -> None:
    rows = spell(1500 * np.sin(0.3 * np.arange(320)).reshape(-1, 16))
    assert not is_one_record(rows, [f"ch{number}" for number in range(16)])
    assert not is_one_record([["OK", *row] for row in rows], [])
    assert not is_one_record([["5"] * 16] * 20, [])
    assert not is_one_record([["nan", *row[1:]] for row in rows], [])
    assert not is_one_record([], [])


def test_fractions_in_five_columns_are_a_record() -> None:
    values = np.sin(0.3 * np.arange(500)).reshape(-1, 5)
    assert is_one_record([[f"{value:.8E}" for value in row] for row in values], [])
