"""Which bytes of a text file are its lines? Marks of an encoding, UTF-16, Latin-1, line ends, Ctrl-Z.

Lines are those of UTF-8 or Latin-1 that end at a line feed; a file in UTF-16, or with carriage returns alone, is
rewritten so into a temporary file first, a block at a time, so that all readers see one kind of bytes.
"""

from __future__ import annotations

import codecs
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from qanalysis.converters.records.samples import RecordError

BLOCK = 1 << 22  # bytes of a block: 100,000 lines or so, whose numbers stay within the caches
_HEAD, _TAIL, _WINDOW, _WINDOWS = 1 << 18, 1 << 13, 1 << 10, 16
_MOST_LINES = 2000  # of the head: more than any header has
_LONGEST_LINE = 1 << 26
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_END = b"\x1a"  # Ctrl-Z, with which DOS ends a text


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines of a file: `count` of them from the number `line`, from 0, up to the byte `end`."""

    content: bytes
    line: int
    count: int
    end: int


def count_bytes(content: bytes, byte: bytes) -> int:
    """How often a byte stands in some bytes."""
    return int(np.count_nonzero(np.frombuffer(content, np.uint8) == byte[0]))


@dataclass(frozen=True, slots=True)
class TextFile:
    """An open text: `head`, its first lines, `tail`, its last, and `between`, some lines from places between the two.

    `file` holds it from `start` to `end` in `encoding`, UTF-8 or Latin-1. `is_whole` says that the head is all of it,
    `is_long` that not even its first line ends within the head.
    """

    file: IO[bytes]
    encoding: str
    start: int
    end: int
    head: tuple[str, ...]
    tail: tuple[str, ...]
    between: tuple[str, ...]
    is_whole: bool
    is_long: bool

    def decode(self, content: bytes) -> str:
        """The characters of some lines; what is none of the encoding becomes a replacement mark."""
        return content.decode(self.encoding, errors="replace")

    def read_tail(self) -> bytes:
        """The last whole lines, up to 32 KiB of them."""
        offset = max(self.start, self.end - _TAIL)
        piece = _read_at(self.file, offset, self.end - offset)
        return piece if offset == self.start else piece[piece.find(b"\n") + 1 :]

    def find_line(self, line: int) -> int:
        """The offset at which a line of the head starts; lines count from 0."""
        self.file.seek(self.start)
        for _ in range(line):
            self.file.readline()
        return self.file.tell()

    def iterate_blocks(self, line: int, end: int, ends: bytes = b"\n") -> Iterator[Block]:
        """The lines from number `line` up to the offset `end`, some megabytes at a time, cut where one of `ends` is.

        Raises RecordError for a line beyond 64 MiB.
        """
        self.file.seek(self.find_line(line))
        rest = b""
        while piece := self.file.read(min(BLOCK, end - self.file.tell())):
            piece = rest + piece
            cut = max(piece.rfind(bytes([mark])) for mark in ends) + 1
            if not cut and len(piece) > _LONGEST_LINE:
                raise RecordError(f"line {line + 1} is longer than {_LONGEST_LINE >> 20} MiB; check that this is text")
            rest = piece[cut:]
            if cut:
                count = count_bytes(piece[:cut], b"\n")
                yield Block(piece[:cut], line, count, self.file.tell() - len(rest))
                line += count
        if rest.strip():
            yield Block(rest, line, 1, end)


@contextmanager
def rewrite_lines(text: TextFile, change: Callable[[Sequence[str]], Sequence[str]]) -> Iterator[TextFile]:
    """The text with its lines changed one for one, in a temporary file."""
    with tempfile.TemporaryFile() as target:
        for block in text.iterate_blocks(0, text.end):
            lines = text.decode(block.content).removesuffix("\n").split("\n")
            target.write("".join(f"{line}\n" for line in change(lines)).encode("utf-8"))
        yield _look(target, "utf-8", 0, target.tell())


@contextmanager
def open_text(path: Path) -> Iterator[TextFile]:
    """The text of a file, open as long as the context lasts. Raises RecordError for binary data."""
    with path.open("rb") as raw, tempfile.TemporaryFile() as rewritten:
        encoding, start = _find_encoding(raw, path.name)
        file: IO[bytes] = raw
        if encoding.startswith(("utf-16", "utf-32")) or _has_old_ends(raw, start):
            _rewrite(raw, start, encoding, rewritten)
            file, encoding, start = rewritten, "utf-8", 0
        end = _find_end(file, start)
        yield _look(file, encoding, start, end)


def _find_encoding(file: IO[bytes], place: str) -> tuple[str, int]:
    """The encoding and the bytes of its mark. Zero bytes at every other place are UTF-16, others are no text's."""
    head = file.read(_HEAD)
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding, len(mark)
    if b"\0" in head:
        for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
            zeros, others = head[first::2], head[1 - first :: 2]
            if zeros.count(0) > 0.9 * len(zeros) and 0 not in others:
                return encoding, 0
        halves = sorted(head[:_WINDOW][start::2].count(0) for start in (0, 1))
        kind = "UTF-16 without its mark, in part" if halves[1] > 4 * halves[0] + len(head[:_WINDOW]) // 4 else "binary"
        raise RecordError(
            f"{place} holds {kind} data, not text that can be read; save text as UTF-8, or state the dtype of raw "
            "words, such as i16le"
        )
    tail = _read_at(file, max(0, file.seek(0, 2) - _TAIL), _TAIL)
    return ("utf-8" if _is_utf8(head) and _is_utf8(tail) else "latin-1"), 0  # µ and ° of instruments


def _is_utf8(piece: bytes) -> bool:
    """Whether bytes, cut anywhere, are UTF-8."""
    start = next((place for place in range(min(4, len(piece))) if piece[place] & 0xC0 != 0x80), 0)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(piece[start:])
    except UnicodeDecodeError:
        return False
    return True


def _has_old_ends(file: IO[bytes], start: int) -> bool:
    """Whether lines end at carriage returns alone."""
    head = _read_at(file, start, _HEAD)
    return b"\r" in head and b"\n" not in head


def _rewrite(file: IO[bytes], start: int, encoding: str, target: IO[bytes]) -> None:
    """The text in UTF-8 with line feeds."""
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    file.seek(start)
    while piece := file.read(BLOCK):
        text = decoder.decode(piece)
        if "\n" not in text:
            text = text.replace("\r", "\n")
        target.write(text.encode("utf-8"))


def _read_at(file: IO[bytes], offset: int, count: int) -> bytes:
    file.seek(offset)
    return file.read(count)


def _find_end(file: IO[bytes], start: int) -> int:
    """Where the text ends: at the file's end, or at a Ctrl-Z near it."""
    size = file.seek(0, 2)
    offset = max(start, size - _TAIL)
    found = _read_at(file, offset, _TAIL).find(_END)
    return size if found < 0 else offset + found


def _look(file: IO[bytes], encoding: str, start: int, end: int) -> TextFile:
    """The text with its first and last lines and some between."""
    head = _read_at(file, start, min(_HEAD, end - start))
    is_whole = start + len(head) == end
    is_long = not is_whole and b"\n" not in head
    whole_lines = head if is_whole or is_long else head[: head.rfind(b"\n")]
    lines = _to_lines(whole_lines, encoding)
    tail = _read_at(file, max(start, end - _TAIL), min(_TAIL, end - start))
    last = tail if end - start <= _TAIL else tail[tail.find(b"\n") + 1 :]
    between: list[str] = []
    if not is_whole and not is_long:
        for place in range(1, _WINDOWS):
            window = _read_at(file, start + (end - start) * place // _WINDOWS, _WINDOW)
            between += _to_lines(window, encoding)[1:-1]
    return TextFile(
        file,
        encoding,
        start,
        end,
        tuple(lines[:_MOST_LINES]),
        tuple(_to_lines(last, encoding)),
        tuple(between),
        is_whole and len(lines) <= _MOST_LINES,
        is_long,
    )


def _to_lines(content: bytes, encoding: str) -> list[str]:
    """Lines without their ends."""
    text = content.decode(encoding, errors="replace")
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
