"""Which .npy and .npz files does the fuzz begin with, and how are they changed? Arrays of all kinds, in every compression,
with headers that are put together from parts so that each part can lie.
"""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from tests.fuzz.case import Case, Reader
from tests.fuzz.odd_values import draw_name, draw_size, fill_oddly, reshape_oddly
from tests.fuzz.zip_files import change_members, lie, pack_members

_TYPES = [
    "<f4",
    ">f8",
    "|V2",
    "|V1",
    "|O",
    "<U8",
    "<c8",
    "|b1",
    "<i8",
    "<f16",
    "<M8[s]",
    "f4",
    "|S0",
    "<f0",
    "<f3",
    "[('a','<f4')]",
    "''",
    "7",
    "<V2",
    "float32",
    "|V4294967295",
]


@dataclass(frozen=True, slots=True)
class Member:
    """An array with the text of its header where that is not its own, and the version of its header."""

    name: str
    array: NDArray[Any]
    header: str | None = None
    version: tuple[int, int] = (1, 0)

    def to_bytes(self) -> bytes:
        if self.header is None:
            stream = io.BytesIO()
            np.lib.format.write_array(stream, self.array, allow_pickle=True)
            return stream.getvalue()
        text = self.header.encode("utf-8", "replace")
        form = "<H" if self.version == (1, 0) else "<I"
        length = struct.pack(form, len(text) & 0xFFFF if form == "<H" else len(text))
        return b"\x93NUMPY" + bytes(self.version) + length + text + self.array.tobytes()


@dataclass(frozen=True, slots=True)
class Arrays:
    """Members of an archive, or one alone; `lies` in the archive's directory."""

    members: tuple[Member, ...]
    is_archive: bool = True
    lies: int = 0
    swaps: int = 0


def make_models() -> list[Arrays]:
    rng = np.random.default_rng(3)
    weight = rng.normal(size=(8, 33)).astype(np.float32)
    members = (
        Member("blocks.0.weight.npy", weight),
        Member("blocks.0.bias.npy", weight[:, 0].astype(np.float16)),
        Member("half.npy", weight.astype(ml_dtypes.bfloat16).view("V2")),
        Member("turned.npy", np.asfortranarray(weight.astype(">f8"))),
        Member("steps.npy", np.arange(4)),
        Member("config.npy", np.array([{"a": 1}], dtype=object)),
        Member("arr_0.npy", np.array(1.5)),
    )
    single = [Arrays((member,), is_archive=False) for member in members[:4]]
    return [Arrays(members), Arrays(members[:2]), *single]


def change(rng: random.Random, model: Arrays, models: Sequence[Arrays]) -> Arrays:
    if rng.random() < 0.25 and model.is_archive:
        return replace(model, lies=model.lies + 1) if rng.random() < 0.6 else replace(model, swaps=model.swaps + 1)
    changed = list(model.members)
    at = rng.randrange(len(changed))
    member = changed[at]
    match rng.randrange(6):
        case 0:
            changed[at] = replace(member, name=draw_name(rng, [one.name for one in changed]) + rng.choice(("", ".npy")))
        case 1:
            changed[at] = replace(
                member, array=fill_oddly(rng, member.array) if member.array.dtype != object else member.array
            )
        case 2 if member.array.dtype.kind in "fiu":
            changed[at] = replace(member, array=reshape_oddly(rng, member.array))
        case 3:
            changed += rng.choice(models).members
        case _:
            changed[at] = _lie_in_header(rng, member)
    return replace(model, members=tuple(changed))


def _lie_in_header(rng: random.Random, member: Member) -> Member:
    descr = repr(member.array.dtype.str)
    shape: str = str(member.array.shape)
    order = str(member.array.flags.f_contiguous)
    match rng.randrange(6):
        case 0:
            descr = rng.choice([repr(word) if word[0] not in "['7" else word for word in _TYPES])
        case 1 | 2:
            sizes = [draw_size(rng) for _ in range(rng.choice((0, 1, 2, 2, 3, 70)))]
            shape = f"({''.join(f'{size},' for size in sizes)})"
        case 3:
            shape = rng.choice(
                ("None", "(-1, 4)", "(1.5,)", "(True, 2)", "[2, 3]", "'x'", f"({'9' * 5000},)", "(2**9,)")
            )
        case 4:
            order = rng.choice(("True", "False", "1", "None", "'yes'"))
        case _:
            texts = ("", "{}", "(" * 3000, "{" * 100_000, "[" * 90 + "]" * 90, "\0" * 64, "None", "{'descr': '<f4'}")
            return replace(member, header=rng.choice(texts), version=(2, 0))
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"
    padding = " " * rng.choice((0, 0, 1, 70_000)) + rng.choice(("\n", "\n", ""))
    return replace(member, header=text + padding, version=rng.choice(((1, 0), (2, 0), (3, 0), (9, 9))))


def write(rng: random.Random, model: Arrays) -> Case:
    if not model.is_archive:
        return Case({"model.npy": model.members[0].to_bytes()}, "model.npy")
    members = tuple((member.name, member.to_bytes()) for member in model.members)
    for _ in range(model.swaps):
        members = change_members(rng, members, ["a.npy", "config.json", "../x.npy", "b" * 9000 + ".npy", "\x1b[2J.npy"])
    data = pack_members(rng, members)
    for _ in range(model.lies):
        data = lie(rng, data)
    return Case({"model.npz": data}, "model.npz")


def make_reader() -> Reader:
    return Reader(make_models(), write, change)
