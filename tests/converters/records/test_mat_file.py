"""Files that scipy writes as MATLAB does give the vector, the rate beside it, or one line that names what they hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from qanalysis.converters.records.records import Record, RecordError, read_record

CODES = np.rint(2000 * np.sin(2 * np.pi * 401 / 4096 * np.arange(4096))).astype(np.int16)
VOLTS = CODES * 1e-3
PICOSCOPE = {"A": VOLTS.astype("f4"), "B": VOLTS.astype("f4") / 2, "Tstart": -0.1, "Tinterval": 2e-4, "Length": 4096.0}


def save(folder: Path, content: dict[str, object], **options: object) -> Path:
    path = folder / "capture.mat"
    savemat(path, content, **options)
    return path


def notes(record: Record) -> dict[str, float | int | None]:
    return {finding.code: finding.value for finding in record.guesses}


@pytest.mark.parametrize("options", [{}, {"do_compression": True}, {"format": "4"}], ids=["v6", "v7", "v4"])
@pytest.mark.parametrize("axis", ["row", "column"])
def test_a_vector_and_its_rate_are_read_from_every_level(tmp_path: Path, options: dict[str, object], axis: str) -> None:
    record = read_record(save(tmp_path, {"x": VOLTS, "Fs": 5e3}, oned_as=axis, **options))
    np.testing.assert_array_equal(record.values, VOLTS)
    assert record.fs_hz == 5e3
    assert notes(record) == {}  # one vector: there was no choice


@pytest.mark.parametrize("word", ["i1", "u1", "i2", "u2", "i4", "u4", "f4"])
def test_whole_numbers_of_every_class_are_codes(tmp_path: Path, word: str) -> None:
    codes = (CODES >> 5) + (0 if word[0] != "u" else 64)
    np.testing.assert_array_equal(read_record(save(tmp_path, {"x": codes.astype(word)})).codes, codes)


@pytest.mark.parametrize("options", [{}, {"format": "4"}], ids=["v5", "v4"])
def test_the_layout_of_picoscope_gives_channel_a_and_its_rate(tmp_path: Path, options: dict[str, object]) -> None:
    path = save(tmp_path, PICOSCOPE, **options)
    record = read_record(path)
    np.testing.assert_array_equal(record.values, PICOSCOPE["A"])
    assert record.fs_hz == pytest.approx(5000, rel=1e-12)
    assert "column" in notes(record)
    np.testing.assert_array_equal(read_record(path, column="B").values, PICOSCOPE["B"])
    with pytest.raises(RecordError, match="has no array 'C'; it has 'A', 'B'"):
        read_record(path, column="C")


@pytest.mark.parametrize(("name", "value", "fs_hz"), [("fs", 48e3, 48e3), ("fs_hz", 10, 10), ("dt", 1e-3, 1e3), ("Ts", 0.25, 4.0), ("fs", 0.0, None)])  # fmt: skip
def test_a_scalar_beside_the_vector_tells_the_rate(
    tmp_path: Path, name: str, value: float, fs_hz: float | None
) -> None:
    assert read_record(save(tmp_path, {"x": VOLTS, name: value})).fs_hz == fs_hz


@pytest.mark.parametrize("options", [{}, {"do_compression": True}, {"format": "4"}], ids=["v6", "v7", "v4"])
def test_complex_vectors_have_two_rails(tmp_path: Path, options: dict[str, object]) -> None:
    carrier = np.exp(0.3j * np.arange(500))
    record = read_record(save(tmp_path, {"iq": carrier}, **options))
    np.testing.assert_array_equal(record.values, carrier.real)
    np.testing.assert_array_equal(record.quadrature, carrier.imag)


def test_columns_of_a_matrix_are_channels(tmp_path: Path) -> None:
    record = read_record(save(tmp_path, {"x": np.stack([CODES, CODES // 3], axis=1)}), channel=2)
    np.testing.assert_array_equal(record.codes, CODES // 3)
    assert record.channels == 2


def test_what_is_no_vector_is_named(tmp_path: Path) -> None:
    content = {"data": {"volts": VOLTS, "fs": 1e3}, "parts": np.array([VOLTS, "b"], dtype=object), "who": "me"}
    path = save(tmp_path, content)
    for column in (None, "data"):
        with pytest.raises(RecordError, match=r"no numeric vector.*struct \(volts, fs\) data.*cell parts.*text who"):
            read_record(path, column=column)


def test_a_newer_file_and_a_broken_one_are_named(tmp_path: Path) -> None:
    new = tmp_path / "new.mat"
    new.write_bytes(b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n")
    with pytest.raises(RecordError, match=r"MATLAB 7\.3 file \(HDF5\).*-v7"):
        read_record(new)
    path = save(tmp_path, {"x": VOLTS})
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(RecordError, match=r"is no whole \.mat file \(.*claims 32816 bytes, 8864 follow"):
        read_record(path)


def test_what_inflates_beyond_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path, {"x": np.zeros(1 << 18)}, do_compression=True)
    monkeypatch.setenv("QANALYSIS_INFLATE_LIMIT_MIB", "1")
    with pytest.raises(RecordError, match="becomes more than 1048576 bytes; save it uncompressed"):
        read_record(path)
