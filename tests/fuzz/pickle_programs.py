"""How is a pickle changed as the program that it is? Instructions dropped, doubled, swapped, taken from elsewhere or made
up: calls of all kinds, deep stacks, and numbers at their limits.
"""

from __future__ import annotations

import pickletools
import random
import struct
from itertools import pairwise

_CALLED = (
    "builtins bytearray",
    "builtins eval",
    "os system",
    "collections OrderedDict",
    "collections Counter",
    "_codecs encode",
    "torch._utils _rebuild_tensor",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_tensor_v3",
    "torch._utils _rebuild_parameter",
    "torch._utils _rebuild_parameter_with_state",
    "torch._utils _rebuild_qtensor",
    "torch._utils _rebuild_sparse_tensor",
    "torch._utils _rebuild_meta_tensor_no_storage",
    "torch._utils _rebuild_wrapper_subclass",
    "torch._utils _rebuild_device_tensor_from_numpy",
    "torch._tensor _rebuild_from_type_v2",
    "torch FloatStorage",
    "torch BFloat16Storage",
    "torch.storage UntypedStorage",
    "torch float32",
    "torch per_channel_affine",
    "torch Size",
    "torch device",
    "numpy dtype",
    "numpy.core.multiarray scalar",
    "numpy._core.multiarray _reconstruct",
    "numpy ndarray",
    "argparse Namespace",
    "a.b" + "c" * 5000 + " d",
)
_PLAIN = tuple(b"NRQbtduse0120)]}(.al\x85\x86\x87\x88\x89\x8f\x90\x91\x93\x94oi"[k : k + 1] for k in range(36))
_NUMBERS = (0, 1, -1, 2, 255, 1 << 20, (1 << 31) - 1, -(1 << 31))


def split_program(data: bytes) -> list[bytes]:
    """The instructions of the first pickle in the data, whose bytes they are together."""
    places = [place for _, _, place in pickletools.genops(data)]
    return [data[a:b] for a, b in pairwise([*places, places[-1] + 1])]


def make_instruction(rng: random.Random) -> bytes:
    match rng.randrange(8):
        case 0:
            module, name = rng.choice(_CALLED).split()
            return f"c{module}\n{name}\n".encode() + rng.choice((b"", b")R", b"(tR", b"K\x05\x85R"))
        case 1:
            return b"J" + struct.pack("<i", rng.choice(_NUMBERS))
        case 2:
            size = rng.choice((0, 1, 8, 200))
            return b"\x8a" + bytes([size]) + rng.choice((b"\xff", b"\x7f", b"\x00")) * size
        case 3:
            return b"G" + struct.pack(">d", rng.choice((0.5, float("nan"), float("inf"), 1e308)))
        case 4:
            text = rng.choice(("", "l.weight", "w" * 10_000, "\x1b[2J\u202e", "cpu", "0", "storage", "../../etc"))
            return b"X" + struct.pack("<I", len(text.encode())) + text.encode()
        case 5:
            return rng.choice((b"h", b"q")) + bytes([rng.randrange(256)])
        case 6 if rng.random() < 0.2:
            deep = rng.choice((50, 1000, 100_000))
            return rng.choice(
                (
                    b"(" * deep,
                    b")" + b"\x85" * deep,
                    b"]" * deep,
                    b"}" * deep,
                    b"(l" * deep,
                    b"2" * deep,
                    b"N\x86" * deep,
                )
            )
        case _:
            return rng.choice(_PLAIN)


def change_program(rng: random.Random, program: tuple[bytes, ...]) -> tuple[bytes, ...]:
    changed = list(program)
    if not changed:
        return (make_instruction(rng),)
    at = rng.randrange(len(changed))
    match rng.randrange(8):
        case 0:
            del changed[at]
        case 1:
            changed.insert(rng.randrange(len(changed) + 1), changed[at])
        case 2:
            other = rng.randrange(len(changed))
            changed[at], changed[other] = changed[other], changed[at]
        case 3:
            changed[at:at] = [make_instruction(rng)]
        case 4:
            first = rng.randrange(len(changed))
            changed[at:at] = changed[first : first + rng.choice((2, 5, 20))]
        case 5:
            same = [k for k, one in enumerate(changed) if one[:1] == changed[at][:1]]
            changed[at] = changed[rng.choice(same)]
        case 6 if changed[at][:1] in b"KMJ":
            changed[at] = b"J" + struct.pack("<i", rng.choice(_NUMBERS))
        case _:
            changed[at] = make_instruction(rng)
    return tuple(changed)
