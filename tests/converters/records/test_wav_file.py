"""WAV files of every plain kind give their words, cut-off ones what is left;
scipy's and Python's own readers and writers are the judges.
"""

from __future__ import annotations

import struct
import wave
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from qanalysis.converters.records.records import Record, RecordError, read_record
from qanalysis.converters.records.word_types import widen_three_bytes

VOICE = Path(__file__).parents[1] / "data" / "spoken_card.wav"
SINE = np.sin(2 * np.pi * 31 * np.arange(1000) / 1000 + 0.2)


def codes(bits: int) -> np.ndarray:
    """A sine over the whole range of a width."""
    return np.clip(np.rint(2.0 ** (bits - 1) * SINE), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1).astype(np.int64)


def note(record: Record, code: str) -> float | None:
    return next(finding.value for finding in record.guesses if finding.code == code)


def head(*, tag: int = 1, channels: int = 1, bits: int = 16, size: int = 8, frame: int | None = None) -> bytes:
    """The 44 bytes before the samples."""
    frame = channels * bits // 8 if frame is None else frame
    chunk = struct.pack("<4sIHHIIHH", b"fmt ", 16, tag, channels, 8000, 8000 * frame, frame, bits)
    return b"RIFF" + struct.pack("<I", 36 + size) + b"WAVE" + chunk + b"data" + struct.pack("<I", size)


def write(folder: Path, content: bytes) -> Path:
    path = folder / "capture.wav"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_integer_words_of_every_width_are_codes(tmp_path: Path, bits: int) -> None:
    path, expected = tmp_path / "capture.wav", codes(bits)
    words = expected + 128 if bits == 8 else expected
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(bits // 8)
        file.setframerate(48000)
        file.writeframes(b"".join(int(word).to_bytes(bits // 8, "little", signed=bits > 8) for word in words))
    record = read_record(path)
    np.testing.assert_array_equal(record.codes, words)
    assert (record.bits, record.signed, record.justification, record.fs_hz) == (bits, bits > 8, "right", 48000)
    assert note(record, "bits-stated") == bits
    peer = wavfile.read(path)[1].astype(np.int64)
    np.testing.assert_array_equal(
        record.codes, peer >> 8 if bits == 24 else peer
    )  # scipy moves 24 bits to the top of 32


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float_words_are_values_from_minus_one_to_one(tmp_path: Path, dtype: type) -> None:
    path = tmp_path / "capture.wav"
    wavfile.write(path, 44100, SINE.astype(dtype))
    record = read_record(path)
    np.testing.assert_array_equal(record.values, SINE.astype(dtype).astype(np.float64))
    assert (record.codes, record.bits, record.low, record.high) == (None, None, -1, 1)


def test_a_channel_is_chosen(tmp_path: Path) -> None:
    path = tmp_path / "capture.wav"
    wavfile.write(path, 8000, np.stack([codes(16), codes(16) // -2], axis=1).astype(np.int16))
    np.testing.assert_array_equal(read_record(path).codes, codes(16))
    np.testing.assert_array_equal(read_record(path, channel=2).codes, codes(16) // -2)
    with pytest.raises(RecordError, match="has 2 channels, channel 0 was asked for"):
        read_record(path, channel=0)
    with pytest.raises(RecordError, match="choose a channel"):
        read_record(path, column="left")


def test_twelve_bits_at_the_top_of_sixteen_are_moved_down(tmp_path: Path) -> None:
    path = tmp_path / "capture.wav"
    wavfile.write(path, 8000, (codes(12) << 4).astype(np.int16))
    record = read_record(path)
    np.testing.assert_array_equal(record.codes, codes(12))
    assert (record.bits, record.justification, note(record, "left-justified")) == (12, "left", 4)
    kept = read_record(path, justify="right")
    np.testing.assert_array_equal(kept.codes, codes(12) << 4)
    assert kept.bits == 16


def test_extensible_and_64_bit_heads_are_read(tmp_path: Path) -> None:
    words = (codes(12) << 4).astype("<i2").tobytes()
    chunk = struct.pack("<HHIIHHHHIH", 0xFFFE, 1, 8000, 16000, 2, 16, 22, 12, 0, 1) + bytes(14)
    body = b"ds64" + struct.pack("<IQQQI", 28, 0, len(words), 0, 0) + b"odd " + struct.pack("<I", 3) + b"abc\0"
    body += b"fmt " + struct.pack("<I", len(chunk)) + chunk + b"data" + struct.pack("<I", 0xFFFFFFFF) + words
    record = read_record(write(tmp_path, b"RF64" + struct.pack("<I", 0xFFFFFFFF) + b"WAVE" + body))
    np.testing.assert_array_equal(record.codes, codes(12))
    assert record.bits == 12


def test_a_truncated_file_gives_the_whole_frames_that_are_there(tmp_path: Path) -> None:
    whole = head(bits=24, channels=2, size=6000) + bytes(range(60)) * 100
    record = read_record(write(tmp_path, whole[: 44 + 605]))
    assert record.values.size == 100  # 605 bytes hold 100 frames of 6
    assert note(record, "truncated") == 6000 - 605


def test_odd_bytes_at_the_end_are_left_out(tmp_path: Path) -> None:
    record = read_record(write(tmp_path, head(size=7) + bytes([1, 0, 2, 0, 3, 0, 9])))
    assert record.values.tolist() == [1, 2, 3]
    assert note(record, "odd-bytes") == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (head()[:20], "ends within its format chunk"),
        (head()[:36], "ends before its samples"),
        (head()[:44], "holds no samples"),
        (b"RIFF\0\0\0\0WAVE" + bytes(4000), "byte 12: b'.*' names no chunk"),
        (b"RIFF\0\0\0\0WAVE" + b"LIST\0\0\0\0" * 5000, "ends before its samples"),
        (b"RIFF\0\0\0\0AVI ", "is no WAV file"),
        (b"RIFF\0\0\0\0WAVEdata\4\0\0\0abcd", "samples before their format"),
        (head(tag=7, bits=8), "holds mu-law, which are no plain samples"),
        (head(tag=0x1234), "samples of kind 0x1234"),
        (head(channels=0, frame=2), "states 0 channels"),
        (head(channels=2, frame=3), "2 channels in frames of 3 bytes"),
        (head(bits=64), "samples of 64 bits in 8 bytes"),
        (head(tag=3, bits=16), "samples of 16 bits in 2 bytes"),
        (head(bits=24, frame=2), "samples of 24 bits in 2 bytes"),
        (b"oops", r"does not start as a \.wav file does"),
    ],
)
def test_files_that_hold_no_plain_samples_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        read_record(write(tmp_path, content))


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF], ids=["cut-off-recorder", "stream"])
def test_a_length_that_is_left_open_is_that_of_the_rest(tmp_path: Path, size: int) -> None:
    words = codes(16).astype("<i2")
    record = read_record(write(tmp_path, head()[:40] + struct.pack("<I", size) + words.tobytes()))
    np.testing.assert_array_equal(record.codes, words)
    assert note(record, "open-length") == 1000


def test_an_empty_chunk_before_others_is_empty(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="holds no samples"):
        read_record(write(tmp_path, head(size=0) + b"LIST\4\0\0\0INFO"))


@pytest.mark.parametrize("sign", [b"RF64", b"BW64"])
def test_lengths_of_eight_bytes_are_read_from_their_chunk(tmp_path: Path, sign: bytes) -> None:
    words = codes(16).astype("<i2")
    wide = struct.pack("<4sIQQQI", b"ds64", 28, 2000 + 72, 2000, 1000, 0)
    plain = head()[12:40] + b"\xff\xff\xff\xff"
    record = read_record(write(tmp_path, sign + b"\xff\xff\xff\xffWAVE" + wide + plain + words.tobytes() + b"tail"))
    np.testing.assert_array_equal(record.codes, words)
    assert "open-length" not in {finding.code for finding in record.guesses}


def test_three_bytes_widen_in_both_orders() -> None:
    words = np.array([0, 1, -1, 2**23 - 1, -(2**23), 0x123456], np.int64)
    for order in ("little", "big"):
        packed = np.frombuffer(b"".join(int(word).to_bytes(3, order, signed=True) for word in words), np.uint8).reshape(
            -1, 3
        )
        np.testing.assert_array_equal(widen_three_bytes(packed, signed=True, big_endian=order == "big"), words)
        np.testing.assert_array_equal(widen_three_bytes(packed, signed=False, big_endian=order == "big"), words % 2**24)


def test_a_recorded_voice_is_read_as_scipy_reads_it() -> None:
    record = read_record(VOICE)
    rate, words = wavfile.read(VOICE)
    np.testing.assert_array_equal(record.codes, words)
    assert (record.fs_hz, record.bits, record.signed, record.justification) == (rate, 16, True, "right")
    assert record.fs_hz == 16000
    assert record.values.size == 4096
