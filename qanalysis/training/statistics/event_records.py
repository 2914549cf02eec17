"""How is a TensorBoard event file laid out? TFRecord framing around protobuf messages.

A record is its length (8 bytes), the masked CRC-32C of these, the data, their masked CRC-32C; all little-endian. Of the
messages only the fields below are declared; protobuf passes over the others.
"""

from __future__ import annotations

import struct
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

_LENGTH = struct.Struct("<QI")
_CHECK = struct.Struct("<I")
_CASTAGNOLI = 0x82F63B78  # CRC-32C, reflected
_MASK = 0xA282EAD8
_MASK_32 = 0xFFFFFFFF
_TYPES = descriptor_pb2.FieldDescriptorProto
#: Fields by message: number, type (or the name of a message), whether repeated. From event.proto, summary.proto and
#: tensor.proto of TensorFlow.
_MESSAGES: dict[str, dict[str, tuple[int, Any, bool]]] = {
    "Event": {"step": (2, _TYPES.TYPE_INT64, False), "summary": (5, "Summary", False)},
    "Summary": {"value": (1, "Value", True)},
    "Value": {
        "tag": (1, _TYPES.TYPE_STRING, False),
        "simple_value": (2, _TYPES.TYPE_FLOAT, False),
        "histo": (5, "Histogram", False),
        "tensor": (8, "Tensor", False),
        "metadata": (9, "Metadata", False),
    },
    "Metadata": {"plugin_data": (1, "PluginData", False)},
    "PluginData": {"plugin_name": (1, _TYPES.TYPE_STRING, False)},
    "Histogram": {
        **{
            name: (number, _TYPES.TYPE_DOUBLE, False)
            for number, name in enumerate(("min", "max", "num", "sum", "sum_squares"), 1)
        },
        "bucket_limit": (6, _TYPES.TYPE_DOUBLE, True),
        "bucket": (7, _TYPES.TYPE_DOUBLE, True),
    },
    "Tensor": {
        "dtype": (1, _TYPES.TYPE_INT32, False),
        "tensor_content": (4, _TYPES.TYPE_BYTES, False),
        "float_val": (5, _TYPES.TYPE_FLOAT, True),
        "double_val": (6, _TYPES.TYPE_DOUBLE, True),
    },
}


def read_records(path: Path) -> tuple[list[tuple[int, bytes]], int]:
    """Offset and data of each whole record of a file, and how many bytes of a cut-off one follow.

    A running job may have written a part of its last record. Raises ValueError with the offset of a record whose
    checksum is wrong.
    """
    content = path.read_bytes()
    records = []
    offset = 0
    while offset + _LENGTH.size <= len(content):
        length, check = _LENGTH.unpack_from(content, offset)
        if mask_checksum(content[offset : offset + 8]) != check:
            _refuse(path, offset, "length")
        start, end = offset + _LENGTH.size, offset + _LENGTH.size + length
        if end + _CHECK.size > len(content):
            break
        data = content[start:end]
        if mask_checksum(data) != _CHECK.unpack_from(content, end)[0]:
            _refuse(path, offset, "data")
        records.append((offset, data))
        offset = end + _CHECK.size
    return records, len(content) - offset


def _refuse(path: Path, offset: int, part: str) -> None:
    raise ValueError(
        f"{path.name}, byte {offset}: the checksum of the record's {part} is wrong; the file is damaged or no event "
        "file of TensorBoard: copy it again"
    )


def parse_event(data: bytes, place: str) -> Any:
    """The message `Event` in a record; ValueError names the place where it is none."""
    event = find_message("Event")()
    try:
        event.ParseFromString(data)
    except DecodeError as error:
        raise ValueError(f"{place}: not an event of TensorBoard ({error}); copy the file again") from None
    return event


def find_message(name: str) -> Any:
    """The class of a message, such as "Event", with the fields declared above."""
    return message_factory.GetMessageClass(_make_pool().FindMessageTypeByName(f"qanalysis.{name}"))


@cache
def _make_pool() -> Any:
    """The descriptors of all messages."""
    file = descriptor_pb2.FileDescriptorProto(name="qanalysis/event.proto", package="qanalysis", syntax="proto3")
    for message, fields in _MESSAGES.items():
        described = file.message_type.add(name=message)
        for field, (number, kind, repeated) in fields.items():
            label = _TYPES.LABEL_REPEATED if repeated else _TYPES.LABEL_OPTIONAL
            if isinstance(kind, str):
                described.field.add(
                    name=field, number=number, label=label, type=_TYPES.TYPE_MESSAGE, type_name=f".qanalysis.{kind}"
                )
            else:
                described.field.add(name=field, number=number, label=label, type=kind)
    # One scalar or the other: whether a value is there at all is told by its oneof.
    value = next(message for message in file.message_type if message.name == "Value")
    value.oneof_decl.add(name="content")
    for field in value.field:
        if field.name in {"simple_value", "histo", "tensor"}:
            field.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


def mask_checksum(data: bytes) -> int:
    """CRC-32C of bytes, masked as TFRecord does: turned right by 15 bits, a constant added.

    >>> hex(mask_checksum(b"123456789"))  # CRC-32C e3069283
    '0xc78ab0e5'
    """
    table = _make_table()
    value = _MASK_32
    for byte in data:
        value = table[(value ^ byte) & 0xFF] ^ (value >> 8)
    value ^= _MASK_32
    return (((value >> 15) | (value << 17)) + _MASK) & _MASK_32


@cache
def _make_table() -> tuple[int, ...]:
    """The remainder of each byte."""
    table = []
    for start in range(256):
        value = start
        for _ in range(8):
            value = (value >> 1) ^ (_CASTAGNOLI if value & 1 else 0)
        table.append(value)
    return tuple(table)
