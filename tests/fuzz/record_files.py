"""Which files of samples does the fuzz begin with, and how are they changed? One of every kind that is read, damaged as
bytes, as text, and inside what is packed.
"""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat

from tests.fuzz.odd_values import NUMBERS, TEXTS, change_json
from tests.fuzz.raw_bytes import damage_bytes, splice
from tests.fuzz.zip_files import lie, pack_members

Files = dict[str, bytes]
_AT = np.arange(256)
_CODES = np.rint(2000 * np.sin(0.7 * _AT) + np.random.default_rng(2).normal(size=256)).astype(np.int64)
_VOLTS = _CODES * 1e-3
_CELLS = (
    "",
    "nan",
    "inf",
    "-inf",
    "∞",
    "1e999",
    "-1e-999",
    "0x7F",
    "1,5",
    "1.234.567,8",
    "5 mV",
    "12:00:00",
    "٣",
    "1_0",
)
_OPTIONS: tuple[dict[str, Any], ...] = (
    {"column": 2},
    {"column": "x"},
    {"channel": 2},
    {"bits": 12},
    {"bits": 8, "signed": True},
    {"justify": "left"},
    {"fs_hz": 1e3},
    {"unit": "V"},
    {"unit": "mV"},
    {"unit": "code"},
    {"unit": "mV", "resample": True},
    {"signed": False},
    {"radix": "hex"},
    {"radix": "binary"},
    {"radix": "decimal"},
    {"coding": "gray"},
    {"coding": "sign-magnitude", "bits": 12},
    {"coding": "ones-complement"},
    {"coding": "gray", "radix": "hex", "bits": 16},
    {"inputs": 1},
    {"inputs": 1, "column": 2},
    {"resample": True},
)
_DTYPES = ("u8", "i16le", "i24be", "i32le", "f32le", "f64be", "ci16le", "cu8", "cf32le", "u64le", "i16le*3")


def _save_npy(array: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def _save_mat(content: dict[str, Any], **options: Any) -> bytes:
    stream = io.BytesIO()
    savemat(stream, content, **options)
    return stream.getvalue()


def _write_wav(words: NDArray[Any], tag: int = 1, sign: bytes = b"RIFF") -> bytes:
    size, bits = words.nbytes, 8 * words.dtype.itemsize
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, tag, 1, 8000, 8000 * bits // 8, bits // 8, bits)
    wide = b"" if sign == b"RIFF" else struct.pack("<4sIQQQI", b"ds64", 28, size + 72, size, words.size, 0)
    claim = size if sign == b"RIFF" else 0xFFFFFFFF
    return (
        sign
        + struct.pack("<I", 36 + size)
        + b"WAVE"
        + wide
        + form
        + struct.pack("<4sI", b"data", claim)
        + words.tobytes()
    )


def _pack(members: tuple[tuple[str, bytes], ...], method: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return stream.getvalue()


def _list_texts() -> dict[str, str]:
    pairs = [f"{at * 1e-3:.4f},{volts:.4f}" for at, volts in zip(_AT, _VOLTS, strict=True)]
    return {
        "codes.txt": "\n".join(map(str, _CODES)),
        "pairs.csv": "time (ms),CH1\n" + "\n".join(pairs),
        "index.csv": "n;t [s];v\n" + "\n".join(f"{at};{pair.replace(',', ';')}" for at, pair in zip(_AT, pairs, strict=True)),
        "german.csv": "Zeit;Kanal A\n(ms);(V)\n" + "\n".join(pair.replace(",", ";").replace(".", ",") for pair in pairs),
        "rigol.csv": "X,CH1,Start,Increment\nSequence,Volt,-1,2e-4\n" + "\n".join(f"{at},{v:.3e},," for at, v in zip(_AT, _VOLTS, strict=True)),
        "hex.txt": "\n".join(f"{code & 0xFFFF:04X}" for code in _CODES),
        "binary.txt": "\n".join(f"{code & 0xFFF:012b}" for code in _CODES),
        "dump.txt": "\n".join(" ".join(map(str, _CODES[at : at + 16])) for at in range(0, 256, 16)),
        "stamps.csv": "when,v\n" + "\n".join(f"2026-01-01 00:00:{at * 0.1:06.3f},{v}" for at, v in zip(_AT, _VOLTS, strict=True)),
        "ramp.txt": "\n".join(str(at // 4) for at in _AT),
        "overdriven.txt": "\n".join(str(code) for code in np.clip(_CODES // 100, -16, 15)),
        "steps.csv": "in;out\n" + "\n".join(f"{at / 255:.4f};{at // 16}" for at in _AT),
        "jitter.csv": "t,v\n" + "\n".join(f"{at + 0.3 * np.sin(at):.6f},{v}" for at, v in zip(_AT, _VOLTS, strict=True)),
        "units.csv": "t,v\n" + "\n".join(f"{at} us,{v:.3f} V" for at, v in zip(_AT, _VOLTS, strict=True)),
    }  # fmt: skip


def make_files() -> list[Files]:
    """Sound files of every kind; what is opened comes first."""
    texts = _list_texts()
    words = _CODES.astype("<i2")
    isf = b':WFMPRE:BYT_NR 2;ENCDG BIN;BN_FMT RI;BYT_OR LSB;WFID "a;b";PT_FMT Y;XINCR 2.0E-4;YMULT 4E-2;:CURVE '
    meta = {
        "global": {"core:datatype": "ri16_le", "core:sample_rate": 1e6, "core:num_channels": 1},
        "captures": [{"core:sample_start": 0}],
    }
    vectors = {"A": _VOLTS, "iq": np.exp(1j * _AT), "Fs": 5e3, "s": {"a": 1.0}, "c": "text"}
    alone: Files = {
        **{name: text.encode() for name, text in texts.items()},
        "utf16.csv": texts["pairs.csv"].encode("utf-16"),
        "a.wav": _write_wav(words),
        "b.wav": _write_wav(_VOLTS.astype("<f4"), tag=3),
        "c.wav": _write_wav(words, sign=b"RF64"),
        "a.npy": _save_npy(words),
        "b.npy": _save_npy(np.asfortranarray(np.stack([_VOLTS, _VOLTS], axis=1))),
        "c.npy": _save_npy(np.exp(1j * _AT)),
        "a.mat": _save_mat(vectors),
        "b.mat": _save_mat(vectors, do_compression=True),
        "c.mat": _save_mat({"A": _VOLTS, "dt": 1e-3}, format="4"),
        "a.isf": isf + b"#3512" + words.tobytes() + b"\n",
        "a.bin": words.tobytes(),
        "b.bin": ((_CODES >> 5) + 128).astype("u1").tobytes(),
        "c.dat": b"#3512" + words.tobytes() + b"\n",
        "d.raw": _VOLTS.astype("<f4").tobytes(),
        "e.cu8": ((_CODES >> 5) + 128).astype("u1").tobytes(),
        "f.iq": words.tobytes(),
    }
    members = (("x.npy", alone["a.npy"]), ("fs.npy", _save_npy(np.array(5e3))))
    archives = {f"{method}.npz": _pack(members, method) for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)}
    pair = {"r.sigmf-meta": json.dumps(meta).encode(), "r.sigmf-data": words.tobytes()}
    return [*({name: content} for name, content in {**alone, **archives}.items()), pair]


def change_file(rng: random.Random, name: str, content: bytes, others: list[Files]) -> bytes:
    """A mutant of one file: as its kind allows, else as bytes."""
    kind = name.rpartition(".")[2]
    special: dict[str, Callable[[random.Random, bytes], bytes]] = {
        "csv": _change_text,
        "txt": _change_text,
        "npz": _change_archive,
        "mat": _change_packed,
        "sigmf-meta": _change_meta,
    }
    choice = rng.random()
    if kind in special and choice < 0.6:
        return special[kind](rng, content)
    if choice > 0.93:
        return splice(rng, content, rng.choice(list(rng.choice(others).values())))
    return damage_bytes(rng, content)


def _change_text(rng: random.Random, content: bytes) -> bytes:
    """A line more or less, or a cell that is none."""
    lines = content.decode("latin-1").split("\n")
    at = rng.randrange(min(len(lines), 5) if rng.random() < 0.5 else len(lines))
    match rng.randrange(6):
        case 0:
            lines[at:at] = [rng.choice(TEXTS)] * rng.choice((1, 1, 3))
        case 1:
            del lines[at : at + rng.choice((1, 2, 200))]
        case 2:
            lines[at] = lines[rng.randrange(len(lines))] * rng.choice((1, 2, 40))
        case 3:
            cells = lines[at].split(",")
            cells[rng.randrange(len(cells))] = rng.choice((*_CELLS, str(rng.choice(NUMBERS))))
            lines[at] = ",".join(cells)
        case 4:
            word = rng.choice(_CELLS)
            lines = [line if rng.random() < 0.8 else word for line in lines]
        case _:
            lines = [line.replace(rng.choice(",.;0"), rng.choice(";, \t|"), 1) for line in lines]
    return "\n".join(lines).encode("utf-8", "replace")


def _change_archive(rng: random.Random, content: bytes) -> bytes:
    array = damage_bytes(rng, _save_npy(_CODES.astype("<i2"))) if rng.random() < 0.7 else b"\x93NUMPY"
    members = (
        (rng.choice(("x.npy", "fs.npy", "\0", "xl/a", "x" * 300 + ".npy")), array),
        ("dt.npy", _save_npy(np.array(0.1))),
    )
    return lie(rng, pack_members(rng, members)) if rng.random() < 0.6 else lie(rng, content)


def _change_packed(rng: random.Random, content: bytes) -> bytes:
    """A MATLAB file whose first variable is damaged and packed anew."""
    body = damage_bytes(rng, _save_mat({"A": _VOLTS, "B": 1j * _VOLTS})[128:])
    packed = zlib.compress(body)
    return content[:128] + struct.pack("<II", 15, len(packed)) + packed


def _change_meta(rng: random.Random, content: bytes) -> bytes:
    try:
        return json.dumps(change_json(rng, json.loads(content))).encode("utf-8", "replace")
    except ValueError:
        return damage_bytes(rng, content)


def make_mutant(seed: int, number: int, sound: list[Files]) -> tuple[Files, dict[str, Any]]:
    """The files of a number and how they are read; the first are the sound files as they are."""
    if number < len(sound):
        return sound[number], {"dtype": "i16le*2"} if "f.iq" in sound[number] else {}
    rng = random.Random(f"records {seed} {number}")
    files = dict(rng.choice(sound))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        name = rng.choice(list(files))
        files[name] = change_file(rng, name, files[name], sound)
    options: dict[str, Any] = {}
    if rng.random() < 0.4:
        options |= rng.choice(_OPTIONS)
    if rng.random() < 0.1:
        options["dtype"] = rng.choice(_DTYPES)
    return files, options
