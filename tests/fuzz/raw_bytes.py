"""How are bytes damaged without a look at what they mean? Flips, numbers put over others, cuts, repeats and splices."""

from __future__ import annotations

import random
import struct

_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)


def damage_bytes(rng: random.Random, data: bytes) -> bytes:
    """A copy with up to eight changes; the first bytes, where headers lie, are hit more often."""
    copy = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        if not copy:
            break
        at = rng.randrange(min(len(copy), 400) if rng.random() < 0.6 else len(copy))
        match rng.randrange(7):
            case 0:
                copy[at] ^= 1 << rng.randrange(8)
            case 1:
                copy[at] = rng.randrange(256)
            case 2:
                word = rng.choice(["<B", "<H", "<I", "<Q", ">I"])
                number = rng.choice(_NUMBERS) & ((1 << 8 * struct.calcsize(word)) - 1)
                copy[at : at + struct.calcsize(word)] = struct.pack(word, number)
            case 3:
                del copy[at : at + rng.choice((1, 1, 4, 64))]
            case 4:
                copy[at:at] = rng.randbytes(rng.choice((1, 1, 4, 64)))
            case 5:
                part = copy[at : at + rng.choice((1, 8, 64))]
                copy[at:at] = part * rng.choice((1, 2, 50))
            case _:
                del copy[rng.choice((at, rng.randrange(len(copy)))) :]
    return bytes(copy)


def splice(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """The beginning of one and the end of another."""
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]
