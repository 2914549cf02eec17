"""Which GGUF files does the fuzz begin with, and how are they changed? Every block type, metadata of every type, and sets
of several parts, written field by field so that each field can lie.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from gguf import GGMLQuantizationType
from gguf.constants import GGML_QUANT_SIZES

from tests.fuzz.case import Case, Reader
from tests.fuzz.odd_values import NUMBERS, draw_name, draw_size

_FORMS = dict(enumerate(["<B", "<b", "<H", "<h", "<I", "<i", "<f", "<B"])) | {10: "<Q", 11: "<q", 12: "<d"}
_TEXT, _ARRAY = 8, 9


@dataclass(frozen=True, slots=True)
class Field:
    """One entry of the metadata; of an array, `value` is (type, items) or how deep it lies in others, and `claims` how many it says it has."""

    key: str
    type: int
    value: Any
    claims: int | None = None

    def to_bytes(self) -> bytes:
        return _text(self.key) + struct.pack("<I", self.type & 0xFFFFFFFF) + _pack(self.type, self.value, self.claims)


@dataclass(frozen=True, slots=True)
class Line:
    """One tensor: sizes in the order of the file, and its place where that is not behind the one before."""

    name: str
    sizes: tuple[int, ...]
    type: int
    data: bytes
    offset: int | None = None
    rank: int | None = None

    def to_bytes(self, place: int) -> bytes:
        sizes = b"".join(struct.pack("<Q", size & ((1 << 64) - 1)) for size in self.sizes)
        rank = len(self.sizes) if self.rank is None else self.rank
        where = place if self.offset is None else self.offset
        return _text(self.name) + struct.pack("<I", rank) + sizes + struct.pack("<IQ", self.type, where)


@dataclass(frozen=True, slots=True)
class Model:
    """A file or a set of parts; `version` and `counts` (tensors, fields) where they lie."""

    lines: tuple[Line, ...]
    fields: tuple[Field, ...] = ()
    version: int = 3
    counts: tuple[int | None, int | None] = (None, None)
    parts: int = 1
    alignment: int = 32


def _text(value: str) -> bytes:
    data = value.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(data)) + data


def _pack(kind: int, value: Any, claims: int | None) -> bytes:
    if kind == _TEXT:
        return _text(str(value))
    if kind == _ARRAY and isinstance(value, int):  # so many arrays in one another
        return struct.pack("<IQ", _ARRAY, 1) * (value if 0 <= value <= 100_000 else 3) + struct.pack("<IQI", 4, 1, 7)
    if kind == _ARRAY:
        inner, items = value
        head = struct.pack("<IQ", inner & 0xFFFFFFFF, len(items) if claims is None else claims)
        return head + b"".join(_pack(inner, item, claims) for item in items)
    form = _FORMS.get(kind, "<B")
    if form in ("<f", "<d"):
        return struct.pack(form, 0.5)
    size = struct.calcsize(form)
    number = int(value) if isinstance(value, int) else 0
    return (number & ((1 << 8 * size) - 1)).to_bytes(size, "little")


def make_models() -> list[Model]:
    rng = random.Random(4)

    def line(name: str, sizes: tuple[int, ...], kind: int) -> Line:
        block, size = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
        count = 1
        for length in sizes:
            count *= length
        return Line(name, sizes, kind, rng.randbytes(count // block * size))

    plain = (
        line("token_embd.weight", (32, 10), 0),
        line("blk.0.attn_q.weight", (32, 8), 1),
        line("blk.0.attn_norm.weight", (32,), 0),
        line("blk.0.ffn_gate_exps.weight", (32, 4, 2), 8),
        line("rope_freqs.weight", (16,), 0),
        line("codes", (8,), 26),
    )
    blocks = tuple(line(f"blk.{int(kind)}.weight", (256, 2), int(kind)) for kind in GGMLQuantizationType)
    told = (
        Field("general.architecture", 8, "llama"),
        Field("general.alignment", 4, 32),
        Field("tokenizer.ggml.tokens", 9, (8, ["a", "bc", ""])),
        Field("sizes", 9, (9, [(5, [1, 2]), (5, [])])),
        *(Field(f"kind.{kind}", kind, 1) for kind in _FORMS),
    )
    split = (Field("general.architecture", 8, "llama"), Field("split.no", 2, 0), Field("split.count", 2, 2))
    halves = tuple(blocks[k : k + 6] for k in range(0, len(blocks), 6))
    imatrix = (Field("general.type", 8, "imatrix"), Field("imatrix.chunk_size", 4, 512))
    projector = (Field("general.architecture", 8, "clip"), Field("clip.has_vision_encoder", 7, 1))
    return [
        Model(plain, told),
        Model(plain),
        Model(plain[:3], imatrix),
        Model(plain[:3], projector),
        Model(plain, split, parts=2),
        *(Model(half, told[:2]) for half in halves),
    ]


def change(rng: random.Random, model: Model, models: Sequence[Model]) -> Model:
    match rng.randrange(10):
        case 0:
            return replace(model, version=rng.choice((0, 1, 2, 3, 4, 0x03000000, 0xFFFFFFFF)))
        case 1:
            counts = list(model.counts)
            counts[rng.randrange(2)] = rng.choice((0, 1, 2, 1000, 1 << 31, 1 << 40, (1 << 64) - 1))
            return replace(model, counts=(counts[0], counts[1]))
        case 2:
            return replace(model, parts=rng.choice((1, 2, 3)), alignment=rng.choice((1, 8, 32, 64)))
        case 3 | 4 if model.fields:
            return replace(model, fields=_change_fields(rng, model.fields))
        case 5:
            return replace(model, fields=(*model.fields, *rng.choice(models).fields))
        case _:
            return replace(model, lines=_change_lines(rng, model.lines, models))


def _change_fields(rng: random.Random, fields: tuple[Field, ...]) -> tuple[Field, ...]:
    changed = list(fields)
    at = rng.randrange(len(changed))
    one = changed[at]
    match rng.randrange(6):
        case 0:
            changed[at] = replace(one, key=draw_name(rng, [other.key for other in fields]))
        case 1:
            kind = rng.choice((*range(14), 255, 1 << 31))
            value = (rng.choice((*range(13), 200)), [1, 2]) if kind == _ARRAY else one.value
            changed[at] = replace(one, type=kind, value=value)
        case 2 if one.type == _ARRAY and isinstance(one.value, tuple):
            changed[at] = replace(one, claims=rng.choice((0, 1, 5, 1 << 31, 1 << 60, (1 << 64) - 1)))
        case 2 if one.type == _TEXT:
            changed[at] = replace(one, value=draw_name(rng, [one.value]))
        case 2:
            changed[at] = replace(one, value=rng.choice(NUMBERS))
        case 3:
            del changed[at]
        case 4:
            changed.insert(rng.randrange(len(changed) + 1), one)
        case _:
            changed[at] = replace(one, type=_ARRAY, value=rng.choice((1, 5, 3000, 100_000)))
    return tuple(changed)


def _change_lines(rng: random.Random, lines: tuple[Line, ...], models: Sequence[Model]) -> tuple[Line, ...]:
    changed = list(lines)
    if not changed:
        return rng.choice(models).lines
    at = rng.randrange(len(changed))
    one = changed[at]
    match rng.randrange(9):
        case 0:
            changed[at] = replace(one, name=draw_name(rng, [other.name for other in lines]))
        case 1:
            sizes = list(one.sizes) or [1]
            sizes[rng.randrange(len(sizes))] = draw_size(rng)
            changed[at] = replace(one, sizes=tuple(sizes))
        case 2:
            changed[at] = replace(one, sizes=tuple(draw_size(rng) for _ in range(rng.choice((0, 1, 2, 3, 4, 5, 70)))))
        case 3:
            changed[at] = replace(one, type=rng.choice((*range(45), 255, 1 << 31)))
        case 4:
            changed[at] = replace(one, offset=rng.choice((0, 1, 31, 32, 64, 1 << 31, 1 << 60, (1 << 64) - 1)))
        case 5:
            changed[at] = replace(one, rank=rng.choice((0, 1, 2, 3, 4, 5, 100, 1 << 31)))
        case 6:
            changed[at] = replace(
                one, data=rng.choice((b"", one.data[:-1], one.data * 2, b"\xff" * len(one.data), bytes(len(one.data))))
            )
        case 7:
            del changed[at]
        case _:
            changed.insert(rng.randrange(len(changed) + 1), one)
    return tuple(changed)


def write(rng: random.Random, model: Model) -> Case:
    if model.parts == 1:
        return Case({"model.gguf": _write_file(model, model.lines, model.fields)}, "model.gguf")
    files = {}
    for number in range(model.parts):
        fields = tuple(
            replace(one, value=number) if one.key == "split.no" and one.value == 0 else one for one in model.fields
        )
        name = f"model-{number + 1:05d}-of-{model.parts:05d}.gguf"
        files[name] = _write_file(model, model.lines[number :: model.parts], fields)
    if rng.random() < 0.1:
        files.pop(rng.choice(sorted(files)))
    return Case(files, rng.choice(["", *files]))


def _write_file(model: Model, lines: Sequence[Line], fields: Sequence[Field]) -> bytes:
    counts = [len(part) if count is None else count for part, count in zip((lines, fields), model.counts, strict=True)]
    described, data = b"", b""
    for line in lines:
        described += line.to_bytes(len(data))
        data += line.data + bytes(-len(line.data) % model.alignment)
    head = (
        b"GGUF" + struct.pack("<IQQ", model.version, *counts) + b"".join(one.to_bytes() for one in fields) + described
    )
    return head + bytes(-len(head) % model.alignment) + data


def make_reader() -> Reader:
    return Reader(make_models(), write, change)
