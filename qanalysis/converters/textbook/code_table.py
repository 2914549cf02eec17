"""Which inputs does each code cover?

The code table of a converter: code, lower edge, centre, upper edge, level, and the code words.

A bin is one LSB wide about its centre; the end bins reach to the ends of the range, and inputs beyond them saturate
there. Rows are made block by block, so that a table of any width can be walked; lists and exports have a limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanalysis.converters.converter import Converter
from qanalysis.converters.textbook.code_formats import CODE_FORMATS, CodeFormat

#: Rows of one list or export: all of 20 bits, and what a spreadsheet opens.
MOST_ROWS = 2**20
_BLOCK = 4096

Columns = dict[str, NDArray[np.int64] | NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class CodeTable:
    """Codes `first` to `last`, both included, of a converter; all of them by default.

    ValueError for codes that it does not have.
    """

    converter: Converter
    first: int = 0
    last: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.first < self._end <= self.converter.codes:
            raise ValueError(
                f"codes {self.first} to {self._end - 1}: {self.converter.bits} bits have the codes 0 to "
                f"{self.converter.codes - 1}; the smaller one comes first"
            )

    def __len__(self) -> int:
        return self._end - self.first

    @property
    def _end(self) -> int:
        return self.converter.codes if self.last is None else self.last + 1

    def to_columns(self) -> Columns:
        """`code`, `lower_edge`, `centre`, `upper_edge`, `level` as arrays (rows,). ValueError for more than 2^20 rows.

        >>> table = CodeTable(Converter(8, 0, 5), 0, 1).to_columns()
        >>> [float(table[name][1]) for name in ("lower_edge", "centre", "upper_edge")]
        [0.009765625, 0.01953125, 0.029296875]
        """
        self._check_length()
        return self._list_columns(self.first, len(self))

    def iterate_columns(self, *, rows: int = _BLOCK) -> Iterator[Columns]:
        """The same in blocks of `rows`, without a limit and without ever holding more than one block."""
        for start in range(0, len(self), rows):
            yield self._list_columns(self.first + start, min(rows, len(self) - start))

    def write_csv(self, *, formats: Sequence[CodeFormat] = tuple(CODE_FORMATS.values())) -> Iterator[str]:
        """The table as CSV text, a block at a time, with the code words of `formats` in binary.

        ValueError for more than 2^20 rows.

        >>> print("".join(CodeTable(Converter(2, 0, 1)).write_csv(formats=[CODE_FORMATS["Gray"]])).splitlines()[3])
        2,0.375,0.5,0.625,0.5,11
        """
        self._check_length()
        return self._iterate_csv(formats)

    def _iterate_csv(self, formats: Sequence[CodeFormat]) -> Iterator[str]:
        bits = self.converter.bits
        yield ",".join([*self._list_columns(0, 0), *(form.name for form in formats)]) + "\n"
        for columns in self.iterate_columns():
            words = [
                [
                    f"{pattern:0{bits}b}" if pattern >= 0 else ""
                    for pattern in form.encode(columns["code"], bits).tolist()
                ]
                for form in formats
            ]
            cells = [map(repr, column.tolist()) for column in columns.values()]
            yield "".join(",".join(line) + "\n" for line in zip(*cells, *words, strict=True))

    def _list_columns(self, first: int, count: int) -> Columns:
        converter = self.converter
        codes = np.arange(first, first + count, dtype=np.int64)
        lower, upper = converter.locate_transitions(codes), converter.locate_transitions(codes + 1)
        return {
            "code": codes,
            "lower_edge": np.where(codes == 0, converter.low, lower),
            "centre": converter.locate_transitions(codes + 0.5),
            "upper_edge": np.where(codes == converter.codes - 1, np.maximum(converter.high, lower), upper),
            "level": converter.decode(codes),
        }

    def _check_length(self) -> None:
        if len(self) > MOST_ROWS:
            raise ValueError(
                f"a table of {len(self)} codes is too long: at most {MOST_ROWS} rows at once; "
                "name a part of it by its first and last code"
            )
