"""Values on disk: what is kept depends on the order of tokens alone, and never grows beyond the limit."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from qanalysis.models.activations.spilling import SpillFile


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    assert not list(tmp_path.iterdir())


def fill(file: SpillFile, name: str, tokens: np.ndarray, batch: int) -> None:
    for start in range(0, len(tokens), batch):
        file.add(name, tokens[start : start + batch])


def count(tokens: int, width: int = 3) -> np.ndarray:
    return np.repeat(np.arange(tokens, dtype=np.float32)[:, np.newaxis], width, axis=1)


def test_what_has_room_comes_back_as_it_was_activation_by_activation() -> None:
    one, two = count(7), -count(5, 4)
    with SpillFile(2, 2 * 200) as file:
        file.add("one", one[:3])
        file.add("two", two[:4])
        file.add("one", one[3:])
        file.add("two", two[4:])
        assert np.array_equal(file.read("one"), one)
        assert np.array_equal(file.read("two"), two)


@pytest.mark.parametrize("batch", [1, 3, 64, 1000])
def test_what_has_no_room_is_drawn_evenly_whatever_the_batches(batch: int) -> None:
    with SpillFile(2, 2 * 10 * 12) as file:  # ten tokens of three features each
        fill(file, "one", count(83), batch)
        fill(file, "other", count(10), batch)
        # ten of 83: every eighth fits, every ninth begins too late for a power of two
        assert file.read("one")[:, 0].tolist() == [0, 16, 32, 48, 64, 80]
        assert (file.stretches["one"].kept, file.stretches["one"].seen) == (6, 83)
        assert file.read("other")[:, 0].tolist() == list(range(10))


def test_a_long_stream_takes_no_more_room_than_the_limit() -> None:
    with SpillFile(1, 1 << 14) as file:
        for _ in range(200):
            file.add("one", count(500))
        assert os.fstat(file._file.fileno()).st_size <= 1 << 14
        assert file.stretches["one"].seen == 100_000


def test_one_token_of_room_keeps_the_first() -> None:
    with SpillFile(1, 12) as file:
        fill(file, "one", count(9), 2)
        assert file.read("one").tolist() == [[0, 0, 0]]


def test_no_room_for_a_token_and_other_features_are_refused() -> None:
    with SpillFile(1, 8) as file, pytest.raises(ValueError, match="a token of 3 features takes 12 bytes"):
        file.add("one", count(1))
    with SpillFile(1) as file:
        file.add("one", count(1))
        with pytest.raises(ValueError, match="4 features after 3"):
            file.add("one", count(1, 4))
    with pytest.raises(ValueError, match="disk limit of 0 bytes"):
        SpillFile(1, 0)


def test_a_full_disk_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    with SpillFile(1) as file, monkeypatch.context() as patch:

        class Full:
            def seek(self, _place: int) -> None: ...

            def write(self, _data: object) -> int:
                raise OSError(28, "full")

            def close(self) -> None: ...

        patch.setattr(file, "_file", Full())
        with pytest.raises(ValueError, match="No space left on device; set TMPDIR"):
            file.add("one", count(1))


def test_nothing_kept_is_an_empty_matrix() -> None:
    with SpillFile(1) as file:
        file.add("one", count(0))
        assert file.read("one").shape == (0, 3)
