"""The code table: bins by hand and by asking the converter, the ends of the range,
walking without memory, CSV, the limit.
"""

from __future__ import annotations

import csv
import io
import itertools
import tracemalloc

import numpy as np
import pytest

from qanalysis.converters.choices import TRANSFERS
from qanalysis.converters.converter import LSB_CONVENTIONS, Converter
from qanalysis.converters.textbook.code_formats import CODE_FORMATS
from qanalysis.converters.textbook.code_table import MOST_ROWS, CodeTable

EVERY_CONVERTER = pytest.mark.parametrize(
    "converter",
    [
        Converter(bits, low, high, fs_over=fs, transfer=t)
        for bits, (low, high), fs, t in itertools.product((1, 3, 8), ((0, 5), (-2.5, 2.5)), LSB_CONVENTIONS, TRANSFERS)
    ],
    ids=lambda c: f"{c.bits} bit {c.low:g}:{c.high:g} {c.lsb_convention} {c.transfer}",
)


def list_rows(table: CodeTable) -> list[tuple[float, ...]]:
    return list(zip(*(column.tolist() for column in table.to_columns().values()), strict=True))


def test_two_bits_by_hand_in_the_three_transfers() -> None:
    # code, lower edge, centre, upper edge, level; LSB 1 V
    assert list_rows(CodeTable(Converter(2, 0, 4))) == [
        (0, 0, 0, 0.5, 0),
        (1, 0.5, 1, 1.5, 1),
        (2, 1.5, 2, 2.5, 2),
        (3, 2.5, 3, 4, 3),
    ]
    assert list_rows(CodeTable(Converter(2, -2, 2, transfer="mid-rise"))) == [
        (0, -2, -1.5, -1, -1.5),
        (1, -1, -0.5, 0, -0.5),
        (2, 0, 0.5, 1, 0.5),
        (3, 1, 1.5, 2, 1.5),
    ]
    assert list_rows(CodeTable(Converter(2, 0, 4, transfer="floor"))) == [
        (0, 0, 0.5, 1, 0),
        (1, 1, 1.5, 2, 1),
        (2, 2, 2.5, 3, 2),
        (3, 3, 3.5, 4, 3),
    ]
    assert list_rows(CodeTable(Converter(2, 0, 3, fs_over="2^n-1")))[3] == (3, 2.5, 3, 3, 3)


@EVERY_CONVERTER
def test_each_bin_holds_the_inputs_of_its_code_and_the_bins_fill_the_range(converter: Converter) -> None:
    table = CodeTable(converter).to_columns()
    lower, upper, centre = table["lower_edge"], table["upper_edge"], table["centre"]
    assert (lower[0], upper[-1]) == (converter.low, converter.high)
    assert lower[1:].tolist() == upper[:-1].tolist() == converter.transitions.tolist()
    # Edges and steps are rounded: a millionth of a step away from an edge the code is sure.
    inside = converter.lsb * 1e-6
    wide = upper > lower
    assert converter.encode(lower[wide] + inside).tolist() == table["code"][wide].tolist()
    assert converter.encode(upper[wide] - inside).tolist() == table["code"][wide].tolist()
    # One LSB about the centre; a step's own rounding and that of two edges.
    assert centre[:-1] + converter.half_step == pytest.approx(lower[1:], abs=4 * np.spacing(5.0))
    assert table["level"].tolist() == converter.levels.tolist()


@pytest.mark.parametrize("transfer", ["mid-rise", "floor"])
def test_with_fs_over_2n_minus_1_the_top_code_of_a_truncating_converter_has_no_width(transfer: str) -> None:
    converter = Converter(8, 0, 5, fs_over="2^n-1", transfer=transfer)
    table = CodeTable(converter, 255).to_columns()
    # The top transition is low + 255 (FS/255), one rounding away from FS.
    assert table["upper_edge"][0] - table["lower_edge"][0] == pytest.approx(0, abs=2 * np.spacing(5.0))


@pytest.mark.parametrize("rows", [1, 3, 100, 4096])
def test_blocks_are_the_whole(rows: int) -> None:
    table = CodeTable(Converter(8, -1, 1), 5, 250)
    whole = table.to_columns()
    blocks = list(table.iterate_columns(rows=rows))
    assert len(table) == 246
    assert max(block["code"].size for block in blocks) <= rows
    for name, column in whole.items():
        assert np.concatenate([block[name] for block in blocks]).tolist() == column.tolist()


def test_a_table_of_32_bits_is_walked_without_being_held() -> None:
    table = CodeTable(Converter(32, 0, 10))
    assert len(table) == 2**32
    tracemalloc.start()
    last = next(itertools.islice(table.iterate_columns(), 20, None))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert last["code"][0] == 20 * 4096
    # A block of 4096 rows is 5 columns of 32 KiB, and as many again while it is made.
    assert peak < 2**21
    tail = CodeTable(Converter(32, 0, 10), 2**32 - 2).to_columns()
    assert tail["code"].tolist() == [2**32 - 2, 2**32 - 1]
    # The edges of the last bins in steps: a rounding of 10 V is 2^-19 of this step.
    assert (10 - tail["lower_edge"]) * 2**32 / 10 == pytest.approx([2.5, 1.5], abs=1e-5)


def test_csv_reads_back_with_every_word() -> None:
    converter = Converter(9, -5, 5, transfer="mid-rise")
    lines = list(csv.DictReader(io.StringIO("".join(CodeTable(converter).write_csv()))))
    whole = CodeTable(converter).to_columns()
    assert list(lines[0]) == [*whole, *CODE_FORMATS]
    for name, column in whole.items():
        assert [float(line[name]) for line in lines] == column.tolist()
    for form in CODE_FORMATS.values():
        spelled = [line for line in lines if line[form.name]]
        assert len(spelled) == 512 - (not form.has_lowest)
        assert form.decode([int(line[form.name], 2) for line in spelled], 9).tolist() == [
            int(line["code"]) for line in spelled
        ]
        assert {len(line[form.name]) for line in spelled} == {9}


def test_csv_with_chosen_formats_or_none() -> None:
    table = CodeTable(Converter(2, 0, 4), 1, 1)
    assert "".join(table.write_csv(formats=())) == "code,lower_edge,centre,upper_edge,level\n1,0.5,1.0,1.5,1.0\n"
    assert (
        "".join(table.write_csv(formats=[CODE_FORMATS["two's complement"]])).splitlines()[1] == "1,0.5,1.0,1.5,1.0,11"
    )


def test_lists_and_exports_of_24_bits_are_refused_with_a_way_out() -> None:
    table = CodeTable(Converter(24, 0, 10))
    with pytest.raises(ValueError, match="16777216 codes is too long: at most 1048576 rows at once; name a part"):
        table.to_columns()
    with pytest.raises(ValueError, match="16777216 codes is too long"):
        table.write_csv()
    part = CodeTable(Converter(24, 0, 10), 2**23, 2**23 + MOST_ROWS - 1)
    assert part.to_columns()["level"][0] == 5.0


@pytest.mark.parametrize(("first", "last"), [(-1, 3), (0, 256), (9, 8), (256, None)])
def test_codes_that_a_converter_does_not_have_are_refused(first: int, last: int | None) -> None:
    with pytest.raises(ValueError, match=f"codes {first} to .*: 8 bits have the codes 0 to 255"):
        CodeTable(Converter(8, 0, 5), first, last)
