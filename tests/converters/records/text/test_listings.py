"""What stands around the numbers of a listing is taken off, and nothing of the numbers with it."""

from __future__ import annotations

import pytest

from qanalysis.converters.records.text.listings import Dressing, ListingError, find_dressing


@pytest.mark.parametrize(
    ("lines", "bare"),
    [
        (["const uint16_t adc[4096] = { 2047, 2050,", " 2051, 2052 };"], ["2047, 2050,", " 2051, 2052"]),
        (
            ["#include <stdint.h>", "static int16_t x[] =", "{", " 1, /* first */ 2, // rest", " 0x7f, 0x1Fu", "};"],
            ["#include <stdint.h>", "static int16_t x[] =", "", " 1,  2,", " 0x7f, 0x1F", ""],
        ),
        (["float x[] = {1.5f, -2.0e-3f};"], ["1.5, -2.0e-3"]),
        (["x = [1 2 3 ...", "4 5 6];"], ["1 2 3", "4 5 6"]),
        (["[2047, 2050, 2051]"], ["2047, 2050, 2051"]),
        (["array([2047, 2050,", "       2051], dtype=uint16)"], ["2047, 2050,", "       2051"]),
        (['{"fs": 1000, "samples": [1, 2, 3,', "4, 5, 6]}"], ["1, 2, 3,", "4, 5, 6"]),
    ],
    ids=["C", "C-lines", "C-float", "MATLAB", "list", "numpy", "JSON"],
)
def test_arrays_of_languages_give_their_numbers(lines: list[str], bare: list[str]) -> None:
    dressing = find_dressing(lines)
    assert dressing == Dressing("array")
    assert dressing.undress(lines) == bare


@pytest.mark.parametrize(
    ("line", "names", "bare"),
    [
        ("ADC: 2047", ("ADC",), "2047"),
        ("adc0 = -12.5 mV", ("adc0",), "-12.5 mV"),
        ("A0:512,A1:300", ("A0", "A1"), "512,300"),
        ("12:34:56.789 -> 2047", ("",), "2047"),
        ("12:34:56.789 -> Sensor value: 2047", ("Sensor value",), "2047"),
    ],
)
def test_labels_before_numbers_are_taken_off(line: str, names: tuple[str, ...], bare: str) -> None:
    dressing = find_dressing(["ready", *[line] * 20])
    assert dressing == Dressing("labels", names)
    assert dressing.undress(["ready", line, "Points: 7"]) == ["ready", bare, "Points: 7"]


@pytest.mark.parametrize(
    "lines",
    [
        ["Sample in Buffer,adc[11:0]", "0,1", "1,2", "2,3"],
        ["t [s],v [V]", "0,1", "1,2"],
        ["Model: MSO54", "Points: 7", "Rate: 5", "1", "2", "3", "4"],
        ["[[1, 2], [3, 4]]"],
        ["00000001 2047", "00000002 2048", "00000003 2049", "00000004 2049"],
        ["12345 0x7ff", "12349 0x7ff", "12353 0x7ff"],
        ["OK: fine", "OK: fine", "OK: fine"],
        [],
    ],
    ids=["ILA", "units", "metadata", "pairs", "counter", "index", "words", "empty"],
)
def test_tables_and_headers_wear_nothing(lines: list[str]) -> None:
    assert find_dressing(lines) is None


@pytest.mark.parametrize(
    ("lines", "bare"),
    [
        (
            ["0x20000000 <adc>:\t0x07ff\t0x0800", "0x20000004 <adc+4>:\t0x0801\t0x0802", "0x20000008:\t1\t2"],
            "0x07ff\t0x0800",
        ),
        (
            ["0000000 07ff 0800 0801 0802", "0000008 07ff 0800 0801 0802", "0000010 07ff 0800 0801 0802"],
            "07ff 0800 0801 0802",
        ),
        (
            ["20000000: 07FF 0800", "20000004: 07FF 0801", "20000008: 07FF 0802"],
            "07FF 0800",
        ),
        ([" [1] 2047 2048", " [3] 2049 2050", " [5] 2051"], "2047 2048"),
    ],
    ids=["gdb", "hexdump", "monitor", "R"],
)
def test_addresses_that_rise_by_what_a_line_holds_are_taken_off(lines: list[str], bare: str) -> None:
    dressing = find_dressing(lines)
    assert dressing == Dressing("addresses")
    assert dressing.undress(lines)[0] == bare


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("{:08x}: 07ff 0800 0801 0802  ........", "dump of groups of bytes.*xxd -r"),
        ("{:08x}  ff 07 00 08 01 08 02 08  |........|", "dump of bytes.*i16le"),
        ("{:08x}: ff 07 00 08 01 08 02 08", "dump of bytes.*i16le"),
    ],
    ids=["xxd", "hexdump-C", "bytes"],
)
def test_dumps_of_bytes_say_what_to_do(line: str, match: str) -> None:
    with pytest.raises(ListingError, match=match):
        find_dressing([line.format(8 * number) for number in range(5)])


def test_octal_words_are_refused() -> None:
    with pytest.raises(ListingError, match="octal; print them with od -An -t u2"):
        find_dressing([f"{16 * number:07o} " + " ".join(["003777"] * 8) for number in range(5)])


@pytest.mark.parametrize(
    "line",
    ["adc[{}] = 2047", "  [{}] = 2047", "(uint16_t) [{}] = 2047", "{}: 2047", "{:04d} : 2047"],
    ids=["array", "debugger", "typed", "count", "padded"],
)
def test_places_of_an_array_are_taken_off(line: str) -> None:
    lines = [line.format(number) for number in range(20)]
    dressing = find_dressing(lines)
    assert dressing == Dressing("indices")
    assert dressing.undress(["head", *lines]) == ["head", *["2047"] * 20]


@pytest.mark.parametrize("line", ["12:{:02d}:01,5", "{}:30,5", "{}: A"])
def test_times_of_day_are_no_places(line: str) -> None:
    assert find_dressing([line.format(number) for number in range(20)]) is None


def test_the_address_after_the_last_line_is_no_word() -> None:
    lines = [*(f"{8 * number:07x} 07ff 0800 0801 0802" for number in range(9)), "0000048"]
    dressing = find_dressing(lines)
    assert dressing.undress(lines) == ["07ff 0800 0801 0802"] * 9 + [""]


def test_lines_that_a_dump_leaves_out_are_no_silence() -> None:
    lines = [f"{8 * number:07x} 07ff 0800 0801 0802" for number in (0, 1, 2, 3, 9, 10)]
    lines.insert(4, "*")
    dressing = find_dressing(lines)
    assert dressing == Dressing("addresses")
    with pytest.raises(ListingError, match=r"an asterisk stands for lines that repeat and are left out.*hexdump -v"):
        dressing.undress(lines)
