"""A waveform that a Tektronix oscilloscope saves gives its codes, its rate and the size of its steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qanalysis.converters.records.records import Record, RecordError, read_record

CODES = np.rint(100 * np.sin(2 * np.pi * 31 / 1000 * np.arange(1000))).astype(np.int64)
OLD = ':WFMPRE:BYT_NR {count};BIT_NR 16;ENCDG {enc};BN_FMT {form};BYT_OR {order};WFID "Ch1; DC, 1V";NR_PT 1000;PT_FMT {pt};'
OLD += 'XUNIT "s";XINCR 2.0E-4;XZERO 0;YUNIT "V";YMULT 4.0E-2;YOFF 0;YZERO 0;:CURVE '
NEW = ':WFMO:BYT_N {count};ENC {enc};BN_F {form};BYT_O {order};NR_P 1000;PT_F {pt};XIN 2.0E-4;YMU 4.0E-2;YUN "V";:CURV '


def write(folder: Path, head: str, *, word: str = ">i2", body: bytes | None = None, **facts: str) -> Path:
    given = {"count": word[-1], "enc": "BIN", "form": "RI", "order": "MSB", "pt": "Y"} | facts
    words = CODES.astype(word).tobytes()
    path = folder / "tek0000.isf"
    path.write_bytes(
        head.format(**given).encode()
        + (f"#{len(str(len(words)))}{len(words)}".encode() + words if body is None else body)
    )
    return path


def note(record: Record, code: str) -> str:
    return next(finding.text for finding in record.guesses if finding.code == code)


@pytest.mark.parametrize("head", [OLD, NEW], ids=["long-keys", "short-keys"])
@pytest.mark.parametrize(("word", "order"), [(">i2", "MSB"), ("<i2", "LSB"), ("i1", "MSB")])
def test_words_are_read_as_the_preamble_says(tmp_path: Path, head: str, word: str, order: str) -> None:
    record = read_record(write(tmp_path, head, word=word, order=order))
    np.testing.assert_array_equal(record.codes, CODES)
    assert record.fs_hz == pytest.approx(5000, rel=1e-12)
    assert "one step is 40 mV" in note(record, "vertical-scale")


def test_positive_words_are_unsigned(tmp_path: Path) -> None:
    path = write(tmp_path, OLD, word=">u1", form="RP", body=b"#41000" + (CODES + 128).astype("u1").tobytes() + b"\n")
    np.testing.assert_array_equal(read_record(path).codes, CODES + 128)


def test_numbers_in_text_are_read(tmp_path: Path) -> None:
    record = read_record(write(tmp_path, OLD, enc="ASC", body=",".join(map(str, CODES)).encode() + b"\n"))
    np.testing.assert_array_equal(record.codes, CODES)
    assert record.fs_hz == pytest.approx(5000, rel=1e-12)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"pt": "ENV"}, "is an envelope"),
        ({"form": "XX"}, "words of '2' bytes and form 'XX', which are not read"),
        ({"count": "3"}, "words of '3' bytes"),
        ({"body": b"#45000" + bytes(100)}, "is cut short: its block header #45000 announces 5000 bytes, 100 follow"),
        ({"body": b"1,2,oops"}, "neither a block of words nor numbers"),
    ],
    ids=["envelope", "form", "width", "cut", "words"],
)  # fmt: skip
def test_other_waveforms_are_refused(tmp_path: Path, facts: dict, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        read_record(write(tmp_path, OLD, **facts))
