"""Do the words of a file stand behind the header that instruments send before them? A block of IEEE 488.2.

`#`, the count of digits, that many digits of the length in bytes, then the words, and a line feed where it was saved
too: `#48192...`; `#0` begins a block that ends with the message. A short header of words may stand before it, such as
`:CURV ` or `C1:WF DAT2,`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from qanalysis.converters.findings import Finding
from qanalysis.converters.records.samples import RecordError

_BLOCK = re.compile(rb"#(?:0|([1-9]))")
_BEFORE = re.compile(rb"[ -\"$-~\r\n\t]*")
_LONG_BEFORE = 64
_SURE_DIGITS = 3  # that follow a # by chance once in 10^10 files of words
_ENDS = (b"", b"\n", b"\r\n", b"\n\n")


@dataclass(frozen=True, slots=True)
class Block:
    """Words of `length` bytes at byte `offset`, behind the text `before` and `header`, as it stands there."""

    before: str
    header: str
    offset: int
    length: int

    @property
    def note(self) -> Finding:
        """That the header was passed over."""
        text = (
            f"The {self.offset} bytes before the words, which end in the block header {self.header}, are passed over: "
            f"{self.length} bytes of words follow."
        )
        return Finding("block-header", text, self.offset)


def find_block(head: bytes, tail: bytes, size: int, place: str, *, before: int = _LONG_BEFORE) -> Block | None:
    """The block in a file of `size` bytes that begins with `head` and ends with `tail`; None where there is none.

    At most `before` printable characters may stand in front of it. A length that leaves neither nothing nor a line feed
    is no header unless it has three digits or more. Raises RecordError for a block that is cut short.
    """
    lead = _BEFORE.match(head)
    start = lead.end() if lead else 0
    sign = _BLOCK.match(head, start) if start <= before else None
    if sign is None:
        return None
    text = head[:start].decode("latin-1").strip()
    if sign[1] is None:
        end = size - (len(tail) - len(tail.rstrip(b"\r\n"))) if tail[-1:] == b"\n" else size
        return Block(text, "#0", sign.end(), end - sign.end())
    digits = head[sign.end() : sign.end() + int(sign[1])]
    if len(digits) != int(sign[1]) or not digits.isdigit():
        return None
    header, offset, length = (sign[0] + digits).decode(), sign.end() + len(digits), int(digits)
    left = size - offset - length
    if left < 0 and len(digits) >= _SURE_DIGITS:
        raise RecordError(
            f"{place} is cut short: its block header {header} announces {length} bytes, {size - offset} follow; "
            "transfer it again"
        )
    is_whole = 0 <= left <= 2 and (tail[-left:] if left else b"") in _ENDS
    return Block(text, header, offset, length) if is_whole or (left > 0 and len(digits) >= _SURE_DIGITS) else None
