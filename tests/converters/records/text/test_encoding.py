"""Lines are found in every encoding and with every line end, and binary data is refused as what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from qanalysis.converters.records.samples import RecordError
from qanalysis.converters.records.text import encoding
from qanalysis.converters.records.text.encoding import open_text

LINES = ["time (µs),v", "0,1.5", "1,2.5"]


@pytest.mark.parametrize(
    "name", ["utf-8", "utf-8-sig", "latin-1", "utf-16", "utf-16-le", "utf-16-be", "utf-32"], ids=str
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["unix", "dos", "macintosh"])
def test_the_same_lines_come_from_all_encodings(tmp_path: Path, name: str, end: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes((end.join(LINES) + end).encode(name))
    with open_text(path) as text:
        assert list(text.head) == LINES
        assert text.is_whole
        blocks = list(text.iterate_blocks(1, text.end))
    assert [block.line for block in blocks] == [1]
    assert text.decode(b"".join(block.content for block in blocks)).split() == LINES[1:]


def test_a_control_z_ends_the_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"1\n2\n\x1a\x1a")
    with open_text(path) as text:
        assert text.head == ("1", "2")


def test_blocks_are_cut_at_the_ends_of_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "BLOCK", 16)
    path = tmp_path / "a.csv"
    content = b"".join(b"%d\n" % number for number in range(1000))
    path.write_bytes(content)
    with open_text(path) as text:
        blocks = list(text.iterate_blocks(3, text.end))
    assert b"".join(block.content for block in blocks) == content[6:]
    assert all(block.content.startswith(b"%d\n" % block.line) for block in blocks)
    assert all(block.content.count(b"\n") == block.count for block in blocks)


def test_binary_data_is_named_and_utf_16_in_part_too(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"1,2\n\0\0\0")
    with (
        pytest.raises(RecordError, match=r"holds binary data, not text that can be read; save text as UTF-8"),
        open_text(path),
    ):
        pass
    path.write_bytes("1,2\n3,4\n5,6\n7,8\n9,1\n".encode("utf-16-le") + b"\0\0\0")
    with pytest.raises(RecordError, match="UTF-16"), open_text(path):
        pass


def test_a_line_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "BLOCK", 64)
    monkeypatch.setattr(encoding, "_LONGEST_LINE", 128)
    path = tmp_path / "a.csv"
    path.write_bytes(b"1" * 1000)
    with open_text(path) as text, pytest.raises(RecordError, match="line 1 is longer than"):
        list(text.iterate_blocks(0, text.end))
