"""What is an ONNX model without its weights?

The model is a protobuf message. It is walked field by field; long values of tensors stay in the file and in their place
stands where they lie. What is parsed is then small, and a weight costs only the part that is read of it.
Wire format: https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from qanalysis.checkpoints.data_file import DataFile
from qanalysis.checkpoints.graphs.constants import INLINE_KEY

#: Bytes of a tensor that stay in the file; shorter ones are parsed with the graph.
_LONG = 1024
#: Bytes read ahead while walking: few after a jump over a weight, more and more where nothing is jumped over.
_FEW, _MANY = 1 << 12, 1 << 20
#: Messages inside one another, as many as protobuf itself reads.
_MAX_DEPTH = 100

_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_EXTERNAL_DATA = 13  # of TensorProto
#: Fields of TensorProto whose bytes are the elements as they lie in memory.
_STORED = {4: "float_data", 9: "raw_data", 10: "double_data"}

#: Fields that hold a message in which a long tensor may lie, by the kind of message (onnx.proto).
_INSIDE: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}


class WireError(ValueError):
    """Bytes that are no protobuf message."""


@dataclass(frozen=True, slots=True)
class _Field:
    """One field: its number and wire type, where it begins, where its content begins and where that ends."""

    number: int
    kind: int
    begin: int
    start: int
    end: int


def read_skeleton(file: DataFile) -> bytes:
    """The model's message with the long values of its tensors left in the file. WireError for bytes that are none."""
    whole = _Field(0, _BYTES, 0, 0, file.size)
    return b"".join(_rewrite(_Window(file), whole, "model", _MAX_DEPTH))


class _Window:
    """The bytes of a file, read ahead in pieces."""

    def __init__(self, file: DataFile) -> None:
        self._file = file
        self._held, self._start, self._ahead = b"", 0, _FEW

    def read(self, start: int, end: int) -> bytes:
        """Bytes start..end of the file."""
        if end - start > _MANY:
            return self._file.read_header(start, end - start)
        held_to = self._start + len(self._held)
        if not self._start <= start <= end <= held_to:
            goes_on = self._start <= start <= held_to
            self._ahead = min(2 * self._ahead, _MANY) if goes_on else _FEW
            self._held, self._start = self._file.read_header(start, max(self._ahead, end - start)), start
        return self._held[start - self._start : end - self._start]

    def read_varint(self, start: int, end: int) -> tuple[int, int]:
        """A number and where it ends."""
        found, shift = 0, 0
        for place, byte in enumerate(self.read(start, min(start + 10, end)), start + 1):
            found |= (byte & 0x7F) << shift
            if byte < 0x80:
                return found, place
            shift += 7
        raise WireError(f"a number at byte {start} does not end")


def _walk(window: _Window, message: _Field) -> Iterator[_Field]:
    place = message.start
    while place < message.end:
        tag, start = window.read_varint(place, message.end)
        number, kind = tag >> 3, tag & 7
        end = start
        if kind == _VARINT:
            end = window.read_varint(start, message.end)[1]
        elif kind == _BYTES:
            length, start = window.read_varint(start, message.end)
            end = start + length
        elif kind in {_EIGHT, _FOUR}:
            end = start + (8 if kind == _EIGHT else 4)
        else:
            raise WireError(f"a field at byte {place} has the wire type {kind}")
        if not number or end > message.end:
            raise WireError(f"a field at byte {place} ends behind its message")
        yield _Field(number, kind, place, start, end)
        place = end


def _rewrite(window: _Window, message: _Field, kind: str, depth: int) -> list[bytes]:
    if not depth:
        raise WireError("messages lie too deep inside one another")
    written: list[bytes] = []
    copied = message.start
    for field in _walk(window, message):
        if field.kind != _BYTES or field.end - field.start < _LONG:
            continue
        inside = _INSIDE[kind].get(field.number)
        if kind == "tensor" and field.number in _STORED:
            new = _place_marker(field)
        elif inside is not None:
            new = _wrap(field.number, _rewrite(window, field, inside, depth - 1))
        else:
            continue
        written += [window.read(copied, field.begin), *new]
        copied = field.end
    return [*written, window.read(copied, message.end)]


def _place_marker(field: _Field) -> list[bytes]:
    """An entry of `external_data`, which says where the bytes lie in the model's own file, and of which field."""
    place = f"{field.start}:{field.end - field.start}:{_STORED[field.number]}".encode()
    return _wrap(_EXTERNAL_DATA, [*_wrap(1, [INLINE_KEY.encode()]), *_wrap(2, [place])])


def _wrap(number: int, content: list[bytes]) -> list[bytes]:
    return [_varint(number << 3 | _BYTES) + _varint(sum(map(len, content))), *content]


def _varint(number: int) -> bytes:
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)
