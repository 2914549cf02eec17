"""Text, NumPy and raw files give the codes that were captured, with what the file does not say shown as guesses."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pytest

from qanalysis.converters.records import npz_file, samples
from qanalysis.converters.records.records import Record, RecordError, read_record

SAMPLES = 4096
SINE = np.sin(2 * np.pi * 127 * np.arange(SAMPLES) / SAMPLES + 0.1)
CODES = np.clip(np.rint(2047.5 * SINE), -2048, 2047).astype(np.int64)


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(folder: Path, content: str | bytes, name: str = "capture.csv", **options: object) -> Record:
    return read_record(write(folder, name, content), **options)  # type: ignore[arg-type]


def note(record: Record, code: str) -> float | None:
    return next(finding.value for finding in record.guesses if finding.code == code)


# Text


def test_a_lone_column_of_whole_numbers_is_codes(tmp_path: Path) -> None:
    record = read(tmp_path, "\n".join(map(str, CODES)))
    np.testing.assert_array_equal(record.codes, CODES)
    np.testing.assert_array_equal(record.values, CODES)
    assert (record.bits, record.justification, record.signed, record.fs_hz) == (12, "right", True, None)
    assert (record.low, record.high) == (-2048, 2048)


def test_a_record_knows_its_file(tmp_path: Path) -> None:
    content = b"1\n2\n3\n"
    record = read(tmp_path, content)
    assert (record.name, record.source.size, record.source.digest) == (
        "capture.csv",
        6,
        f"sha256:{hashlib.sha256(content).hexdigest()}",
    )


@pytest.mark.parametrize(
    ("delimiter", "comma"),
    [
        (",", False),
        (";", False),
        ("\t", False),
        (" ", False),
        (";", True),
        ("\t", True),
        (" ", True),
        ("   ", False),
        (", ", False),
    ],
    ids=[
        "comma",
        "semicolon",
        "tab",
        "blank",
        "semicolon-decimal-comma",
        "tab-decimal-comma",
        "blank-decimal-comma",
        "blanks",
        "comma-blank",
    ],
)
def test_every_delimiter_is_found_with_and_without_decimal_commas(tmp_path: Path, delimiter: str, comma: bool) -> None:
    cells = [(f"{t * 0.001:.3f}", f"{value:.6f}") for t, value in enumerate(SINE[:300])]
    text = "\n".join(delimiter.join(cell.replace(".", ",") if comma else cell for cell in row) for row in cells)
    record = read(tmp_path, text)
    np.testing.assert_array_equal(record.values, np.round(SINE[:300], 6))
    # Times of three digits after the point give the mean step of 1 ms to 0.0005/0.299.
    assert record.fs_hz == pytest.approx(1000, rel=2e-3)
    assert record.codes is None
    assert ("decimal-comma" in {finding.code for finding in record.guesses}) is comma


def test_a_lone_column_of_decimal_commas_is_told_from_two_columns(tmp_path: Path) -> None:
    fractions = read(tmp_path, "\n".join(f"{value:.4f}".replace(".", ",") for value in SINE))
    np.testing.assert_array_equal(fractions.values, np.round(SINE, 4))
    pairs = read(tmp_path, "\n".join(f"{index},{code}" for index, code in enumerate(CODES)))
    np.testing.assert_array_equal(pairs.codes, CODES)
    headed = read(tmp_path, "volts\n" + "1,5\n2,5\n3,5\n2,5\n")
    assert headed.values.tolist() == [1.5, 2.5, 3.5, 2.5]


def test_quoted_cells_keep_their_decimal_commas(tmp_path: Path) -> None:
    record = read(tmp_path, '"time","volts"\n"0,0","1,5"\n"0,5","2,5"\n"1,0","-1,5"\n')
    assert record.values.tolist() == [1.5, 2.5, -1.5]
    assert record.fs_hz == 2.0


def test_header_and_comment_lines_are_passed_over(tmp_path: Path) -> None:
    text = "Model,ABC\n# made by hand\nRecord,Length\n\ntime (ms),CH1\n0.0,5\n% pause\n0.5,9\n1.0,7\n"
    record = read(tmp_path, text)
    assert record.values.tolist() == [5, 9, 7]
    assert record.fs_hz == 2000.0
    assert note(record, "header-lines") == 5


def test_names_may_stand_in_a_comment(tmp_path: Path) -> None:
    record = read(tmp_path, "# time left right\n0 1 2\n1 3 4\n2 5 6\n", column="right")
    assert record.values.tolist() == [2, 4, 6]


@pytest.mark.parametrize("column", ["ch2", "CH2", 3, "3"], ids=["name", "other-case", "number", "number-as-text"])
def test_a_column_is_chosen_by_name_or_number(tmp_path: Path, column: str | int) -> None:
    record = read(tmp_path, "sample,ch1,ch2\n0,5,-5\n1,6,-6\n2,7,-7\n", column=column)
    assert record.values.tolist() == [-5, -6, -7]


def test_sample_numbers_are_an_axis_without_a_rate(tmp_path: Path) -> None:
    record = read(tmp_path, "\n".join(f"{index};{value:.5f}" for index, value in enumerate(SINE[:100])))
    np.testing.assert_array_equal(record.values, np.round(SINE[:100], 5))
    assert record.fs_hz is None


def test_a_first_column_that_rises_unevenly_is_samples(tmp_path: Path) -> None:
    assert read(tmp_path, "1;5\n2;6\n10;7\n11;9\n").values.tolist() == [1, 2, 10, 11]


@pytest.mark.parametrize(
    ("head", "step", "fs_hz"),
    [("time (us)", 0.5, 2e6), ("t[ms]", 0.25, 4000.0), ("Time", 1.0, 1.0), ("t_ns", 2.0, 5e8), ("Second", 0.125, 8.0)],
    ids=["microseconds", "milliseconds", "seconds", "nanoseconds", "oscilloscope"],
)
def test_the_rate_follows_the_unit_of_the_times(tmp_path: Path, head: str, step: float, fs_hz: float) -> None:
    record = read(
        tmp_path, f"{head},volts\n" + "\n".join(f"{index * step},{value:.5f}" for index, value in enumerate(SINE[:64]))
    )
    assert record.fs_hz == pytest.approx(fs_hz, rel=1e-12)  # one division and 63 exact steps
    assert note(record, "sample-rate") == record.fs_hz


def test_timestamps_give_the_rate(tmp_path: Path) -> None:
    rows = "\n".join(f"2024-05-01 12:00:00.{milli:03d},{milli % 7}" for milli in range(0, 1000, 4))
    assert read(tmp_path, "stamp,code\n" + rows).fs_hz == pytest.approx(250, rel=1e-12)  # nanoseconds in float64


def test_a_missing_sample_shows_in_the_times(tmp_path: Path) -> None:
    times = np.delete(np.arange(101), slice(40, 60))
    record = read(tmp_path, "time,v\n" + "\n".join(f"{t},{t % 5}" for t in times))
    # 80 steps span 100 s: the line through both ends is 60/1.25 - 40 = 8 steps off after the gap.
    assert note(record, "uneven-times") == pytest.approx(8.2, abs=0.3)


def test_a_given_rate_stands_over_the_times(tmp_path: Path) -> None:
    assert read(tmp_path, "time,v\n0,1\n1,2\n2,4\n", fs_hz=48e3).fs_hz == 48e3


def test_a_stated_rate_is_the_only_one_told_and_a_file_that_differs_is_named(tmp_path: Path) -> None:
    text = "time,v\n" + "\n".join(f"{index / 1000},{index % 7}" for index in range(20))
    (told,) = [finding.text for finding in read(tmp_path, text, fs_hz=5.0).guesses if finding.code == "sample-rate"]
    assert told == "fs is 5 Hz, as stated; the file says 1 kHz."
    assert not [finding for finding in read(tmp_path, text, fs_hz=1000.0).guesses if finding.code == "sample-rate"]
    assert not [
        finding for finding in read(tmp_path, "time,v\n5,1\n4,2\n3,4\n", fs_hz=9.0).guesses if finding.code == "no-rate"
    ]


def test_times_that_do_not_rise_give_no_rate(tmp_path: Path) -> None:
    record = read(tmp_path, "time,v\n5,1\n4,2\n3,4\n")
    assert record.fs_hz is None
    assert "no-rate" in {finding.code for finding in record.guesses}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_encodings_of_instruments_are_read(tmp_path: Path, encoding: str) -> None:
    text = "time (µs),v\r\n0,1\r\n1,5\r\n2,3\r\n"
    record = read(tmp_path, text.encode(encoding))
    assert record.values.tolist() == [1, 5, 3]
    assert record.fs_hz == pytest.approx(1e6)


def test_cells_that_are_no_numbers_are_named_by_line_and_column(tmp_path: Path) -> None:
    text = "time,ch1\n0,1\n1,2\n# aside\n2,oops\n3,4\n"
    with pytest.raises(RecordError, match=r"capture\.csv, line 5, column 2 \(ch1\): 'oops' is not a number"):
        read(tmp_path, text)
    with pytest.raises(RecordError, match=r"line 3, column 2 \(ch1\): an empty cell is not a number"):
        read(tmp_path, "time,ch1,ch2\n0,1,7\n1,,8\n2,3,9\n3,4,8", column=2)
    with pytest.raises(RecordError, match="line 3 ends after column 1, column 2 is missing"):
        read(tmp_path, "time,ch1\n0,1\n1\n2,3\n3,4")


def test_nan_is_a_number_that_is_kept(tmp_path: Path) -> None:
    record = read(tmp_path, "1.5\nNaN\n2.5\n")
    np.testing.assert_array_equal(record.values, [1.5, np.nan, 2.5])


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("alpha\nbeta\n", {}, "no line of numbers"),
        ("one 1\ntwo 2\n", {}, "no line of numbers: it starts with 'one 1', 'two 2'"),
        ("", {}, "is empty"),
        ("# nothing\n\n", {}, "no line of numbers"),
        (b"1,2\n\0\0\0", {}, "binary data, not text"),
        ("a,b\n1,2\n3,5\n", {"column": "c"}, "no column 'c'; it has 'a', 'b'"),
        (
            "a,b\n1,2\n3,5\n",
            {"column": 3},
            "has 2 columns, column 3 was asked for; columns and channels are counted from 1",
        ),
        ("a,b\n1,2\n3,5\n", {"column": 0}, "column 0 was asked for"),
        ("1\n2\n", {"channel": 1}, "does not have; choose a column"),
        ("1\n2\n", {"bits": 0}, "bits 0 was given"),
        ("1\n2\n", {"bits": 33}, "bits 33 was given"),
        ("1.5\n2\n", {"bits": 33}, "bits 33 was given"),
        ("1.5\n2\n", {"justify": "left"}, "neither justified nor signed codes"),
        ("1\n2\n", {"justify": "middle"}, "it is 'left' or 'right'"),
        ("1\n2\n", {"fs_hz": 0.0}, "fs 0 Hz was given"),
        ("1\n2\n", {"fs_hz": float("inf")}, "finite and above zero"),
        ("1\n99999999999\n", {}, "converters have at most 32 bits"),
    ],
)
def test_text_that_gives_no_record_is_refused_with_the_way_out(
    tmp_path: Path, content: str | bytes, options: dict[str, object], message: str
) -> None:
    with pytest.raises(RecordError, match=message):
        read(tmp_path, content, **options)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"absent\.csv' can not be read: No such file"):
        read_record(tmp_path / "absent.csv")


# Arrays


def save(folder: Path, array: object, name: str = "capture.npy") -> Path:
    path = folder / name
    np.save(path, np.asarray(array))
    return path


def test_whole_floats_are_codes_and_fractions_are_values(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_record(save(tmp_path, CODES.astype(np.float64))).codes, CODES)
    fractions = read_record(save(tmp_path, SINE), bits=12)
    np.testing.assert_array_equal(fractions.values, SINE)
    assert (fractions.codes, fractions.bits, fractions.signed, fractions.low) == (None, 12, None, None)


@pytest.mark.parametrize("turned", [False, True], ids=["samples-by-channels", "channels-by-samples"])
def test_a_channel_of_an_array_is_chosen_along_its_shorter_axis(tmp_path: Path, turned: bool) -> None:
    frames = np.stack([CODES, -CODES // 2], axis=1)
    path = save(tmp_path, frames.T if turned else frames)
    np.testing.assert_array_equal(read_record(path).codes, CODES)
    assert note(read_record(path), "channel") == 1
    np.testing.assert_array_equal(read_record(path, channel=2).codes, -CODES // 2)
    with pytest.raises(RecordError, match="has 2 channels, channel 3 was asked for"):
        read_record(path, channel=3)


def test_an_archive_gives_its_largest_array_and_its_rate(tmp_path: Path) -> None:
    path = tmp_path / "capture.npz"
    np.savez(path, fs=np.array(50e3), left=CODES.astype(np.int16), short=CODES[:20])
    record = read_record(path)
    assert record.fs_hz == 50e3
    np.testing.assert_array_equal(record.codes, CODES)
    assert note(record, "column") == 2
    np.testing.assert_array_equal(read_record(path, column="short").codes, CODES[:20])
    np.testing.assert_array_equal(read_record(path, column=3).codes, CODES[:20])
    with pytest.raises(RecordError, match="no array 'right'; it has 'fs', 'left', 'short'"):
        read_record(path, column="right")


def test_archives_without_arrays_or_with_a_huge_one_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        archive.writestr("notes.txt", "no array")
    with pytest.raises(RecordError, match=r"holds no arrays; it holds 'notes.txt': unpack it, or save one"):
        read_record(tmp_path / "other.npz")
    np.savez(tmp_path / "whole.npz", CODES)
    monkeypatch.setattr(npz_file, "MAX_SAMPLES", 2000)
    with pytest.raises(RecordError, match=r"array 'arr_0' has 32896 bytes, at most 32000 are read; cut out"):
        read_record(tmp_path / "whole.npz")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([(1, 2.0)], [("code", "i2"), ("volts", "f4")]), "holds fields .'code', 'volts'.*; save one field"),
        (np.array(["a", "b"]), "holds text, not numbers"),
        (np.zeros((2, 2, 2)), r"shape \(2, 2, 2\); a record is"),
        (np.array(5), r"shape \(\)"),
        (np.zeros((0,)), "holds no samples"),
        (np.array([2**63], np.uint64), "beyond 53 bits"),
    ],
    ids=["fields", "text", "cube", "scalar", "empty", "huge"],
)
def test_arrays_that_are_no_record_are_refused(tmp_path: Path, array: np.ndarray, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        read_record(save(tmp_path, array))


@pytest.mark.parametrize("word", [np.complex64, np.complex128])
@pytest.mark.parametrize("form", ["npy", "npz"])
def test_complex_arrays_have_two_rails(tmp_path: Path, word: type, form: str) -> None:
    carrier = np.exp(0.3j * np.arange(400)).astype(word)
    path = tmp_path / f"capture.{form}"
    np.save(path, carrier) if form == "npy" else np.savez(path, iq=carrier, fs=1e6)
    record = read_record(path)
    np.testing.assert_array_equal(record.values, carrier.real.astype(np.float64))
    np.testing.assert_array_equal(record.quadrature, carrier.imag.astype(np.float64))
    assert record.fs_hz == (1e6 if form == "npz" else None)


def test_complex_whole_numbers_are_codes_of_one_width(tmp_path: Path) -> None:
    narrow, wide = np.arange(-8, 8), np.arange(-8, 8) * 100
    record = read_record(save(tmp_path, narrow + 1j * wide))
    np.testing.assert_array_equal(record.codes, narrow)
    np.testing.assert_array_equal(record.quadrature, wide)
    assert record.bits == 12  # the usual width for 700 and -800, which need 11; not the 4 of the first rail


def test_a_two_channel_array_of_reals_has_no_quadrature(tmp_path: Path) -> None:
    record = read_record(save(tmp_path, np.stack([SINE, SINE / 2])))
    assert (record.channels, record.quadrature) == (2, None)


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], ids=["deflate", "bzip2", "lzma"]
)
def test_what_inflates_beyond_the_limit_is_refused(
    tmp_path: Path, method: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QANALYSIS_INFLATE_LIMIT_MIB", "1")
    np.save(tmp_path / "x.npy", np.zeros(1 << 18))
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", method) as archive:
        archive.write(tmp_path / "x.npy", "x.npy")
    with pytest.raises(
        RecordError, match=r"at most 1048576 are read; save it with `numpy.savez`|packed by method 1[24]"
    ):
        read_record(tmp_path / "bomb.npz")


def test_a_signalling_nan_and_a_huge_float_pass_without_a_warning(tmp_path: Path) -> None:
    words = np.array([0x7FA00000, 0x7F800000, 0x7F7FFFFF, 1], np.uint32).view(np.float32)
    assert read_record(save(tmp_path, words)).values.size == 4
    assert read_record(save(tmp_path, np.array([1e308, -1e308]))).values.size == 2


def test_broken_and_pickled_arrays_are_refused(tmp_path: Path) -> None:
    whole = save(tmp_path, CODES).read_bytes()
    with pytest.raises(RecordError, match=r"is no whole \.npy array"):
        read(tmp_path, whole[:5000], "short.npy")
    with pytest.raises(RecordError, match="holds pickled objects, not numbers"):
        read_record(save(tmp_path, np.array([{}], dtype=object)))
    np.savez(tmp_path / "whole.npz", CODES)
    with pytest.raises(RecordError, match=r"is no whole \.npz archive"):
        read(tmp_path, (tmp_path / "whole.npz").read_bytes()[:3000], "short.npz")
    with pytest.raises(RecordError, match=r"does not start as a \.npy file does"):
        read(tmp_path, "1\n2\n", "text.npy")
    with pytest.raises(RecordError, match=r"is no whole \.npy array \(its header does not state the type"):
        read(tmp_path, whole[:10] + b"{((".ljust(118) + whole[128:], "head.npy")
    np.savez(tmp_path / "none.npz")
    with pytest.raises(RecordError, match="is a zip archive that holds no arrays: unpack it"):
        read_record(tmp_path / "none.npz")
    with pytest.raises(RecordError, match="choose a channel"):
        read_record(save(tmp_path, CODES), column="a")


# Raw words


@pytest.mark.parametrize("dtype", ["i16le", "i16be", "i24le", "i24be", "i32le", "i32be"])
def test_raw_words_of_every_width_and_order_are_read(tmp_path: Path, dtype: str) -> None:
    size = int(dtype[1:3]) // 8
    order = "little" if dtype.endswith("le") else "big"
    content = b"".join(int(code).to_bytes(size, order, signed=True) for code in CODES)
    record = read(tmp_path, content, "capture.bin", dtype=dtype)
    np.testing.assert_array_equal(record.codes, CODES)
    assert (record.bits, record.signed) == (12, True)


def test_raw_words_without_a_type_are_of_16_bits_in_the_smoother_order(tmp_path: Path) -> None:
    for order in ("<", ">"):
        for cycles in (1, 127, 1365, 2047):
            codes = np.rint(2047 * np.sin(2 * np.pi * cycles * np.arange(SAMPLES) / SAMPLES + 0.1)).astype(np.int64)
            np.testing.assert_array_equal(
                read(tmp_path, codes.astype(f"{order}i2").tobytes(), "capture.bin").codes, codes
            )


def test_raw_unsigned_bytes_floats_and_channels_are_read(tmp_path: Path) -> None:
    octets = (CODES[:100] >> 4) + 128
    np.testing.assert_array_equal(read(tmp_path, octets.astype(np.uint8).tobytes(), "a.raw", dtype="u8").codes, octets)
    np.testing.assert_array_equal(read(tmp_path, SINE.astype(">f8").tobytes(), "b.raw", dtype="f64be").values, SINE)
    both = np.stack([CODES, -CODES // 3], axis=1).astype("<i2").tobytes()
    np.testing.assert_array_equal(read(tmp_path, both, "c.raw", dtype="i16le*2", channel=2).codes, -CODES // 3)


def test_an_odd_byte_count_leaves_the_rest_out_and_says_so(tmp_path: Path) -> None:
    record = read(tmp_path, CODES.astype("<i2").tobytes() + b"\x07", "capture.bin")
    np.testing.assert_array_equal(record.codes, CODES)
    assert note(record, "odd-bytes") == 1


def test_raw_types_are_checked(tmp_path: Path) -> None:
    for word in ("i12le", "s16", "i16le*0"):
        with pytest.raises(RecordError, match=r"dtype .* was given"):
            read(tmp_path, b"\1\2\3\4", "capture.bin", dtype=word)
    with pytest.raises(RecordError, match="holds no samples"):
        read(tmp_path, b"\1", "capture.bin")


def test_a_dat_file_is_text_or_words_by_its_content(tmp_path: Path) -> None:
    assert read(tmp_path, "1\n2\n5\n", "a.dat").values.tolist() == [1, 2, 5]
    np.testing.assert_array_equal(read(tmp_path, CODES.astype("<i2").tobytes(), "b.dat").codes, CODES)


def test_of_a_record_beyond_the_limit_the_first_samples_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "long.bin", CODES.astype("<i2").tobytes())
    monkeypatch.setattr(samples, "MAX_SAMPLES", 1000)
    record = read_record(path, dtype="i16le")
    np.testing.assert_array_equal(record.codes, CODES[:1000])
    assert note(record, "samples-left-out") == 3096
