"""Bare words are read as stated, as their suffix says, or as they give themselves away; what is not sure is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qanalysis.converters.records.records import Record, RecordError, read_record

AT = np.arange(4096)
RNG = np.random.default_rng(11)
TONE = np.rint(20_000 * np.sin(2 * np.pi * 401 / 4096 * AT) + 3 * RNG.standard_normal(4096)).astype(np.int64)
CARRIER = np.exp(2j * np.pi * 401 / 4096 * AT)


def read(folder: Path, content: bytes, name: str = "capture.bin", **options: object) -> Record:
    path = folder / name
    path.write_bytes(content)
    return read_record(path, **options)  # type: ignore[arg-type]


def codes_of(record: Record) -> set[str]:
    return {finding.code for finding in record.guesses}


def text_of(record: Record, code: str) -> str:
    return next(finding.text for finding in record.guesses if finding.code == code)


@pytest.mark.parametrize("word", ["u1", "i1", "<i2", ">i2", "<u2", ">u2", "<i4", ">i4", "<i8"])
def test_whole_words_are_read_without_a_stated_type(tmp_path: Path, word: str) -> None:
    dtype = np.dtype(word)
    codes = TONE >> 8 if dtype.itemsize == 1 else TONE
    codes = codes + (1 << (8 * dtype.itemsize - 1)) if dtype.kind == "u" else codes
    record = read(tmp_path, codes.astype(dtype).tobytes())
    np.testing.assert_array_equal(record.codes, codes)
    assert "words" in codes_of(record)


@pytest.mark.parametrize("word", ["<f4", ">f4", "<f8"])
def test_floats_are_read_without_a_stated_type(tmp_path: Path, word: str) -> None:
    volts = (TONE * 1e-4).astype(word)
    np.testing.assert_array_equal(read(tmp_path, volts.tobytes()).values, volts.astype(np.float64))


def test_unsigned_words_of_twelve_bits_and_a_noisy_tone_near_half_the_rate_are_read(tmp_path: Path) -> None:
    twelve = (TONE >> 4) + 2048
    record = read(tmp_path, twelve.astype("<u2").tobytes())
    np.testing.assert_array_equal(record.codes, twelve)
    assert record.bits == 12
    noisy = np.rint(29_000 * np.sin(2 * np.pi * 0.43 * AT) + 300 * RNG.standard_normal(4096)).astype(np.int64)
    for order in "<>":
        np.testing.assert_array_equal(read(tmp_path, noisy.astype(f"{order}i2").tobytes()).codes, noisy)


def test_noise_is_read_with_a_doubt_that_names_types_and_the_way_out(tmp_path: Path) -> None:
    text = text_of(read(tmp_path, RNG.integers(0, 256, 9000).astype(np.uint8).tobytes()), "words-doubtful")
    assert "--dtype" in text
    assert {"u8", "i16le", "i16be"} <= set(text.replace(",", " ").replace(".", " ").split())
    assert "words-doubtful" in codes_of(read(tmp_path, bytes(4000)))
    assert "words-doubtful" in codes_of(read(tmp_path, bytes(range(20))))


def write_pairs(word: str) -> bytes:
    rails = np.stack([CARRIER.real, CARRIER.imag], axis=1)
    if word == "u1":
        return np.clip(np.rint(127.5 + 120 * rails + RNG.normal(0, 0.4, rails.shape)), 0, 255).astype("u1").tobytes()
    return np.rint(30_000 * rails).astype(word).tobytes() if word[1] == "i" else rails.astype(word).tobytes()


@pytest.mark.parametrize(
    ("word", "name"), [("u1", "u8"), ("<i2", "i16le"), (">i2", "i16be"), ("<f4", "f32le")], ids=str
)
def test_interleaved_rails_are_refused_until_their_type_is_stated(tmp_path: Path, word: str, name: str) -> None:
    content = write_pairs(word)
    with pytest.raises(
        RecordError, match=rf"look interleaved: .*--dtype {name}\*2 or c{name}, or --dtype {name} where"
    ):
        read(tmp_path, content)
    pairs = np.frombuffer(content, word).reshape(-1, 2)
    first = read(tmp_path, content, dtype=f"{name}*2")
    np.testing.assert_array_equal(first.values, pairs[:, 0])
    assert (first.channels, first.quadrature) == (2, None)
    both = read(tmp_path, content, dtype=f"c{name}")
    np.testing.assert_array_equal(both.values, pairs[:, 0])
    np.testing.assert_array_equal(both.quadrature, pairs[:, 1])
    assert read(tmp_path, content, dtype=name).values.size == pairs.size


def test_both_rails_of_a_receiver_keep_their_eight_bits(tmp_path: Path) -> None:
    record = read(tmp_path, write_pairs("u1"), "capture.cu8")
    assert (record.bits, record.signed, record.low, record.high) == (8, False, 0, 256)
    assert record.quadrature is not None
    # Both rails lie about 127.5, the middle of codes 0 to 255.
    for rail in (record.values, record.quadrature):
        assert rail.mean() == pytest.approx(127.5, abs=0.05)


def test_left_justified_rails_are_moved_down_together(tmp_path: Path) -> None:
    rails = np.rint(2000 * np.stack([CARRIER.real, CARRIER.imag], axis=1)).astype(np.int64)
    record = read(tmp_path, (rails * 16).astype("<i2").tobytes(), dtype="ci16le")
    np.testing.assert_array_equal(record.codes, rails[:, 0])
    np.testing.assert_array_equal(record.quadrature, rails[:, 1])


def test_a_weak_image_is_told_and_the_record_read(tmp_path: Path) -> None:
    image = 0.01 * np.cos(2 * np.pi * (0.5 - 401 / 4096) * AT)
    codes = np.rint(20_000 * (np.sin(2 * np.pi * 401 / 4096 * AT) + image)).astype("<i2")
    record = read(tmp_path, codes.tobytes())
    np.testing.assert_array_equal(record.codes, codes)
    assert "image of −40.0 dB" in text_of(record, "interleaved")


@pytest.mark.parametrize(
    ("suffix", "word", "rails"),
    [
        ("cs8", "i1", 2),
        ("cs16", "<i2", 2),
        ("cf32", "<f4", 2),
        ("cfile", "<f4", 2),
        ("s16", "<i2", 1),
        ("f32", "<f4", 1),
    ],
    ids=str,
)
def test_a_suffix_may_name_the_words(tmp_path: Path, suffix: str, word: str, rails: int) -> None:
    words = np.rint(100 * np.cos(0.3 * np.arange(400))).astype(word)
    record = read(tmp_path, words.tobytes(), f"capture.{suffix}")
    np.testing.assert_array_equal(record.values, words[::rails])
    assert (record.quadrature is not None) == (rails == 2)


def test_an_iq_file_holds_pairs_of_words_that_are_found(tmp_path: Path) -> None:
    record = read(tmp_path, write_pairs("<i2"), "capture.iq")
    assert (record.values.size, record.quadrature is not None) == (4096, True)
    assert "ci16le" in text_of(record, "words")


@pytest.mark.parametrize(
    ("text", "word", "is_complex"),
    [("ri16_le", "<i2", False), ("ru8", "u1", False), ("rf32_be", ">f4", False), ("ci16_be", ">i2", True), ("CF64LE", "<f8", True)],
)  # fmt: skip
def test_the_spellings_of_sigmf_are_words(tmp_path: Path, text: str, word: str, is_complex: bool) -> None:
    words = np.rint(100 + 90 * np.cos(0.3 * np.arange(400))).astype(word)
    record = read(tmp_path, words.tobytes(), dtype=text)
    np.testing.assert_array_equal(record.values, words[:: 2 if is_complex else 1])
    assert (record.quadrature is not None) == is_complex


@pytest.mark.parametrize(
    ("head", "tail"),
    [(b"#9000008192", b"\n"), (b"#48192", b""), (b"#0", b"\n"), (b":CURV #48192", b"\r\n"), (b"C1:WF DAT2,#9000008192", b"\n\n")],
    ids=["nine-digits", "no-line-feed", "indefinite", "curve", "siglent"],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [None, "i16be"], ids=["guessed", "stated"])
def test_a_block_header_is_passed_over(tmp_path: Path, head: bytes, tail: bytes, dtype: str | None) -> None:
    record = read(tmp_path, head + TONE.astype(">i2").tobytes() + tail, dtype=dtype)
    np.testing.assert_array_equal(record.codes, TONE)
    assert f"The {len(head)} bytes before the words" in text_of(record, "block-header")


def test_a_block_behind_any_suffix_is_words_and_a_short_one_is_refused(tmp_path: Path) -> None:
    content = b"#48192" + TONE.astype("<i2").tobytes()
    np.testing.assert_array_equal(read(tmp_path, content, "answer.txt").codes, TONE)
    with pytest.raises(RecordError, match=r"is cut short: its block header #48192 announces 8192 bytes, 8000 follow"):
        read(tmp_path, content[:-192])


def test_words_that_begin_like_a_header_are_words(tmp_path: Path) -> None:
    # '#2' and a length that leaves bytes over is chance: two characters and two digits
    words = np.frombuffer(b"#299" + TONE[2:].astype("<i2").tobytes(), "<i2")
    record = read(tmp_path, words.tobytes(), dtype="i16le")
    np.testing.assert_array_equal(record.codes, words)


def test_words_beyond_what_a_double_holds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="holds codes up to 9223372036854775808, beyond 53 bits"):
        read(tmp_path, np.array([1, 2**63], "<u8").tobytes(), dtype="u64le")


@pytest.mark.parametrize("dtype", ["cs17", "cx8", "f16", "u8*1000", "i16le+2", "c"])
def test_words_that_are_none_are_refused_with_those_there_are(tmp_path: Path, dtype: str) -> None:
    with pytest.raises(RecordError, match=r"was given; it is i, u or f, the bits .* such as cu8, ci16le, cf32le"):
        read(tmp_path, bytes(100), dtype=dtype)


@pytest.mark.parametrize("suffix", ["dat", "raw"])
def test_bytes_that_could_be_letters_are_words_where_they_make_no_lines(tmp_path: Path, suffix: str) -> None:
    for middle in (128, 80):
        codes = np.rint(middle + 25 * np.sin(0.3 * AT) + 0.3 * RNG.standard_normal(4096)).astype(np.uint8)
        np.testing.assert_array_equal(read(tmp_path, codes.tobytes(), f"capture.{suffix}").codes, codes)
    text = "\n".join(map(str, TONE))
    for encoding in ("ascii", "utf-16"):
        np.testing.assert_array_equal(read(tmp_path, text.encode(encoding), f"capture.{suffix}").codes, TONE)
    assert read(tmp_path, b"1,2,5,9,7,3", f"line.{suffix}").codes.size
