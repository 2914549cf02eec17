"""Times give the rate where their steps are even within their digits, and are told and kept where they are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qanalysis.converters.findings import Finding
from qanalysis.converters.records.records import Record, RecordError, read_record
from qanalysis.converters.records.text.times import find_last_digit, measure_gap, measure_times, resample

COUNT = 300
STEP = 2e-4
EVEN = STEP * np.arange(COUNT)
SINE = np.round(np.sin(2 * np.pi * 17 * np.arange(COUNT) / COUNT + 0.3), 4)


def write(folder: Path, times: list[str], values: np.ndarray = SINE) -> Path:
    path = folder / "capture.csv"
    path.write_text("t,v\n" + "".join(f"{t},{v}\n" for t, v in zip(times, values.tolist(), strict=True)))
    return path


def find(record: Record, code: str) -> Finding | None:
    return next((finding for finding in record.guesses if finding.code == code), None)


@pytest.mark.parametrize(
    "form",
    [".4f", ".6f", ".9e", ".15e", "g", ".8g", ".17g"],
)
def test_even_times_are_even_in_all_their_spellings(tmp_path: Path, form: str) -> None:
    record = read_record(write(tmp_path, [f"{t + 3 * STEP:{form}}" for t in EVEN]))
    assert not record.uneven
    assert find(record, "uneven-times") is None
    assert record.fs_hz == pytest.approx(1 / STEP, rel=2e-3)  # the digits of %g over 300 steps


@pytest.mark.parametrize("start", [0.0, 0.25, 100.0], ids=["zero", "quarter", "hundred"])
def test_times_that_were_floats_of_32_bits_are_even(tmp_path: Path, start: float) -> None:
    singles = (EVEN + start).astype(np.float32)
    record = read_record(write(tmp_path, [f"{float(t):.17g}" for t in singles]))
    assert not record.uneven
    # Half an ulp of the largest time at both ends, over the span.
    assert record.fs_hz == pytest.approx(1 / STEP, rel=2.0**-23 * (start + 0.06) / 0.06 + 1e-9)


def test_a_wobble_below_the_last_digit_is_none_and_one_above_it_is_told(tmp_path: Path) -> None:
    wobble = 0.3e-6 * (-1.0) ** np.arange(COUNT)
    assert not read_record(write(tmp_path, [f"{t:.6f}" for t in EVEN + wobble])).uneven
    told = read_record(write(tmp_path, [f"{t:.8f}" for t in EVEN + 10 * wobble]))
    assert told.uneven
    finding = find(told, "uneven-times")
    assert finding is not None
    # The first is 3 us late and the last 3 us early: the line between both falls by 6 us, so that the others are
    # 6 us off it at most; a step is 200 us.
    assert finding.value == pytest.approx(0.03, rel=0.02)
    assert "of 299 steps differ from the usual" in finding.text


def test_a_missing_sample_is_told_with_its_line(tmp_path: Path) -> None:
    kept = np.delete(np.arange(COUNT), [50, 51])
    record = read_record(write(tmp_path, [f"{EVEN[n]:.4f}" for n in kept], SINE[kept]))
    finding = find(record, "uneven-times")
    assert record.uneven
    assert finding is not None
    # Sample 52 is the 51st that is left; a header stands above.
    assert "1 of 297 steps differ from the usual 200 µs, the first at line 52 (600 µs)" in finding.text
    assert "about 2 samples missing before line 52" in finding.text


def test_pairs_of_peaks_repeat_their_times(tmp_path: Path) -> None:
    record = read_record(write(tmp_path, [f"{t:.6f}" for t in np.repeat(EVEN[:150], 2)]))
    finding = find(record, "uneven-times")
    assert record.uneven
    assert finding is not None
    assert "times repeat 150 times, first at line 3" in finding.text


def test_times_out_of_order_are_told_and_a_stated_rate_stands_over_them(tmp_path: Path) -> None:
    times = EVEN.copy()
    times[[20, 21]] = times[[21, 20]]
    path = write(tmp_path, [f"{t:.6f}" for t in times])
    finding = find(read_record(path), "uneven-times")
    assert finding is not None
    assert "times fall back once, first at line 23" in finding.text
    stated = read_record(path, fs_hz=5000.0)
    assert (stated.fs_hz, stated.uneven) == (5000.0, False)
    assert find(stated, "uneven-times") is not None


def test_units_that_change_by_row_end_as_uneven(tmp_path: Path) -> None:
    times = [f"{t * 1e9:.1f}" if t < 0.03 else f"{t * 1e6:.1f}" for t in EVEN]
    assert read_record(write(tmp_path, times)).uneven


def test_a_gap_deep_in_a_file_is_told_with_its_line(tmp_path: Path) -> None:
    count = 400_000  # two blocks, the second of which has a comment
    path = tmp_path / "long.csv"
    lines = [f"{n * 1e-6:.6f},{n % 7}" for n in range(count) if n != 350_000]
    lines.insert(349_000, "# a pause")
    path.write_text("t,v\n" + "\n".join(lines) + "\n")
    # Whole microseconds may as well be those of a step of 1.0000025 us: it is told, and the figures stand.
    record = read_record(path)
    finding = find(record, "missing-samples")
    assert finding is not None
    # Header, 350,000 samples and a comment stand above.
    assert "1 of 399998 steps of column 't' is longer than the usual 1 µs, the first at line 350003" in finding.text
    assert not record.uneven


@pytest.mark.parametrize(
    ("cells", "digit"),
    [
        (["0.001", "-1.250"], 1e-3),
        (["10", "20"], 1.0),
        (["1.5e-6", "1.0e-5"], 1e-6),
        (["0.5", "0.75", "1"], 1e-2),
        (["1e-06", "1.23457e-05"], 1e-10),
        (["0,25", "0,50"], 1e-2),
        ([], 0.0),
    ],
    ids=["fixed", "whole", "exponent", "short", "general", "comma", "none"],
)
def test_the_last_digit_is_that_of_the_coarsest_time(cells: list[str], digit: float) -> None:
    assert find_last_digit(cells) == pytest.approx(digit)


def test_times_that_are_not_finite_give_no_rate() -> None:
    found = measure_times(np.array([0.0, np.nan, 2.0]), 1e-3, "t", lambda sample: sample + 2)
    assert found.fs_hz is None
    assert "line 3 has no finite time" in found.notes[0].text


def test_resampling_gives_back_a_slow_sine_and_names_what_it_rests_on(tmp_path: Path) -> None:
    times = EVEN + 0.3 * STEP * np.sin(np.arange(COUNT))
    path = write(tmp_path, [f"{t:.12f}" for t in times], np.sin(2 * np.pi * 90 * times))
    record = read_record(path, resample=True)
    span = (times[-1] - times[0]) / (COUNT - 1)
    even = times[0] + span * np.arange(COUNT)
    # A cubic spline is off by 5/384 h^4 of the fourth derivative, h up to 1.6 steps, and by more near its ends, where
    # its conditions are those of not-a-knot.
    bound = 5 / 384 * (2 * np.pi * 90 * 1.6 * STEP) ** 4
    np.testing.assert_allclose(record.values[5:-5], np.sin(2 * np.pi * 90 * even)[5:-5], atol=2 * bound)
    assert (record.uneven, record.fs_hz) == (False, pytest.approx(1 / span, rel=1e-9))
    finding = find(record, "resampled")
    assert finding is not None
    assert finding.value == pytest.approx(measure_gap(times), rel=1e-6)
    assert "is not trustworthy" in finding.text


def test_whole_codes_become_numbers_when_resampled_and_keep_their_unit_and_bits(tmp_path: Path) -> None:
    times = EVEN + 0.1 * STEP * (np.arange(COUNT) % 2)
    path = write(tmp_path, [f"{t:.9f}" for t in times], np.rint(100 * SINE).astype(int))
    record = read_record(path, resample=True, bits=8)
    assert (record.codes, record.unit, record.bits) == (None, "code", 8)


def test_times_that_do_not_rise_are_not_resampled(tmp_path: Path) -> None:
    path = write(tmp_path, [f"{t:.6f}" for t in np.repeat(EVEN[:150], 2)])
    with pytest.raises(RecordError, match=r"capture\.csv: the record can not be resampled: its times do not rise"):
        read_record(path, resample=True)
    with pytest.raises(RecordError, match="fewer than four of its times differ"):
        resample(np.array([0.0, 1.0, 2.0]), np.zeros(3))
    with pytest.raises(RecordError, match="not finite"):
        resample(np.arange(5.0), np.array([0, 1, np.nan, 3, 4]))


@pytest.mark.parametrize(
    ("times", "told"),
    [
        ([0.0, 1e300, 2e300, 3e300], "line 2 has no finite time"),
        ([-1.7e308, 0.0, 1.0, 1.7e308], "line 1 has no finite time"),
        ([0.0, 5e-324, 5e-324, 5e-324], "its times do not rise"),
    ],
    ids=["huge", "apart beyond double precision", "apart by less than double precision divides"],
)
@pytest.mark.filterwarnings("error")
def test_times_beyond_reason_give_no_rate(times: list[float], told: str) -> None:
    timing = measure_times(np.array(times), 0.0, "t", lambda at: at + 1)
    assert timing.fs_hz is None
    assert told in timing.notes[0].text


@pytest.mark.parametrize(
    ("times", "values", "told"),
    [
        (np.arange(5.0), [0.0, np.inf, np.inf, 1.0, 2.0], "not finite"),
        (np.arange(5.0), [0.0, 1e308, -1e308, 1e308, -1e308], "whose squares are not"),
        (np.array([0.0, 5e-324, 1.0, 2.0, 3.0]), [0.0, 1e100, 0.0, 1.0, 2.0], "all but coincide"),
    ],
    ids=["infinities", "huge", "times that all but coincide"],
)
@pytest.mark.filterwarnings("error")
def test_what_no_spline_goes_through_is_refused(times: np.ndarray, values: list[float], told: str) -> None:
    with pytest.raises(RecordError, match=told):
        resample(times, np.array(values))


@pytest.mark.filterwarnings("error")
def test_times_in_minutes_beyond_double_precision_are_no_times(tmp_path: Path) -> None:
    path = tmp_path / "capture.csv"
    path.write_text("t (min),v\n" + "".join(f"{1e307 * (n + 1)},{v}\n" for n, v in enumerate(SINE[:15].tolist())))
    assert read_record(path).fs_hz is None
