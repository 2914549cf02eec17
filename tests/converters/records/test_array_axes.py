"""Of several arrays the signal is read, not what counts or tells the time; times give the rate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from qanalysis.converters.records.records import read_record

COUNT = 500
CODES = np.rint(2000 * np.sin(0.3 * np.arange(COUNT))).astype(np.int16)
TIMES = 1.5 + 2e-4 * np.arange(COUNT)


@pytest.fixture(params=["npz", "packed.npz", "mat"])
def save(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    def write(**arrays: Any) -> Path:
        path = tmp_path / f"capture.{request.param}"
        writers = {"npz": np.savez, "packed.npz": np.savez_compressed}
        savemat(path, arrays) if request.param == "mat" else writers[request.param](path, **arrays)
        return path

    return write


@pytest.mark.parametrize(("name", "scale"), [("t", 1), ("time", 1), ("time_ms", 1e3), ("t_us", 1e6), ("Zeit", 1)])
def test_times_are_passed_over_and_give_the_rate(save: Any, name: str, scale: float) -> None:
    record = read_record(save(**{name: TIMES * scale, "v": CODES}))
    np.testing.assert_array_equal(record.codes, CODES)
    assert record.fs_hz == pytest.approx(5000, rel=1e-9)  # 499 steps at 1.5 s in doubles: 4e-13 of a step of 2e-4
    assert not record.uneven


def test_a_counter_is_passed_over_and_gives_no_rate(save: Any) -> None:
    for name in ("n", "t"):
        record = read_record(save(**{name: np.arange(COUNT), "v": CODES}))
        np.testing.assert_array_equal(record.codes, CODES)
        assert record.fs_hz is None


def test_a_scalar_stands_over_the_times_and_a_chosen_array_over_all(save: Any) -> None:
    path = save(t=TIMES, v=CODES, fs=1e3)
    assert read_record(path).fs_hz == 1e3
    np.testing.assert_array_equal(read_record(path, column="t").values, TIMES)


def test_a_lone_ramp_is_a_record(save: Any) -> None:
    np.testing.assert_array_equal(read_record(save(ramp=np.arange(COUNT))).codes, np.arange(COUNT))
    both = read_record(save(inputs=TIMES, ramp=np.arange(COUNT)))
    assert both.values[0] in {0, 1.5}  # both rise: the larger is read


def test_uneven_times_are_told(save: Any) -> None:
    record = read_record(save(time=TIMES + 2e-5 * np.sin(np.arange(COUNT)), v=CODES))
    assert record.uneven
    assert "uneven-times" in {finding.code for finding in record.guesses}


def test_what_can_not_be_read_beside_the_signal_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "capture.npz"
    np.savez(path, time=np.array([{}] * 900, dtype=object), v=CODES, words=np.array("text"))
    np.testing.assert_array_equal(read_record(path, column="v").codes, CODES)


@pytest.mark.parametrize("turned", [False, True])
def test_the_first_column_of_a_matrix_may_be_its_times(tmp_path: Path, turned: bool) -> None:
    path = tmp_path / "capture.npy"
    volts = np.sin(0.3 * np.arange(COUNT))
    for axis, fs_hz in ((TIMES, 5000), (np.arange(COUNT), None)):
        frames = np.stack([axis, volts], axis=1)
        np.save(path, frames.T if turned else frames)
        record = read_record(path)
        np.testing.assert_array_equal(record.values, volts)
        assert record.fs_hz == (pytest.approx(fs_hz, rel=1e-9) if fs_hz else None)
        np.testing.assert_array_equal(read_record(path, channel=1).values, axis)
