"""Files made to cost more than they weigh: each ends in seconds, in little memory, with rows or one clear message."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.torch import pickle_walk, storages
from qanalysis.checkpoints.torch.pickle_walk import PickleEndError, PickleError, walk_pickle
from tests.checkpoints.damage import refusal

LIMIT = 500_000_000  # bytes of address space beyond what the interpreter has when it begins to read
OPEN = """
import resource, sys
from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.source import CheckpointError
import qanalysis.checkpoints.torch_file
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    with open_checkpoint(sys.argv[1]) as source:
        print(len(source.tensors), [info.reason for info in source.tensors][:2])
except CheckpointError as error:
    print("refused:", error)
"""


def write(path: Path, pickled: bytes, *, method: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", "3\n")


def open_bounded(path: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", OPEN, str(path), str(LIMIT)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr[-500:]
    assert len(done.stdout) < 600
    return done.stdout


@pytest.mark.parametrize("depth", [1000, 200_000])
@pytest.mark.parametrize("tail", [b"K\x01u.", b"K\x01\x86\x85\x85u."], ids=["key", "value"])
def test_nesting_costs_no_recursion(tmp_path: Path, depth: int, tail: bytes) -> None:
    nested = b")" + b"\x85" * depth
    pickled = b"\x80\x02}(" + (nested + b"K\x01u." if tail.startswith(b"K\x01u") else b"K\x01" + nested + b"u.")
    write(tmp_path / "m.pt", pickled)
    assert "m.pt holds no tensors" in open_bounded(tmp_path / "m.pt")


@pytest.mark.parametrize(
    "called",
    [b"cbuiltins\nbytearray\n", b"c__builtin__\nbytearray\n", b"cos\nsystem\n", b"cnumpy\nzeros\n"],
    ids=["bytearray", "of python 2", "system", "zeros"],
)
@pytest.mark.parametrize("count", [1, 100])
def test_a_callable_is_never_called_whatever_it_is(tmp_path: Path, called: bytes, count: int) -> None:
    asked = called + b"(\x8a\x08" + struct.pack("<q", 4_000_000_000) + b"tR"
    write(tmp_path / "m.pt", b"\x80\x02](" + asked * count + b"e.")
    assert "m.pt holds no tensors" in open_bounded(tmp_path / "m.pt")


def write_bomb(path: Path, member: str, block: bytes, times: int, method: int) -> None:
    stream = io.BytesIO()
    torch.save({"w": torch.zeros(250_000)}, stream)
    with zipfile.ZipFile(stream) as old, zipfile.ZipFile(path, "w", method, compresslevel=1) as new:
        for info in old.infolist():
            if not info.filename.endswith(member):
                new.writestr(info.filename, old.read(info))
                continue
            with new.open(info.filename, "w", force_zip64=True) as out:
                for _ in range(times):
                    out.write(block)


def test_a_storage_that_inflates_beyond_the_ceiling_is_a_row_that_states_it(tmp_path: Path) -> None:
    write_bomb(tmp_path / "m.pt", "data/0", b"\0" * 1_000_000, 400, zipfile.ZIP_DEFLATED)
    told = open_bounded(tmp_path / "m.pt")
    assert "would inflate to 400,000,000 bytes; the most is 268,435,456" in told


def test_a_pickle_that_inflates_beyond_the_ceiling_is_refused(tmp_path: Path) -> None:
    write_bomb(tmp_path / "m.pt", "data.pkl", b"N" * 1_000_000, 400, zipfile.ZIP_DEFLATED)
    told = open_bounded(tmp_path / "m.pt")
    assert told.startswith("refused: m.pt: member 'archive/data.pkl' is compressed, and would inflate to 400,000,000")


def test_other_methods_of_compression_are_not_inflated(tmp_path: Path) -> None:
    write_bomb(tmp_path / "m.pt", "data/0", b"\0" * 1_000_000, 40, zipfile.ZIP_BZIP2)
    assert "data.pkl' is compressed by method 12 of zip; only deflate is read" in open_bounded(tmp_path / "m.pt")


def test_the_ceiling_is_one_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storages, "MAX_INFLATED", 1000)
    write(tmp_path / "m.pt", b"\x80\x02" + b"N" * 1000 + b".", method=zipfile.ZIP_DEFLATED)
    with refusal(r"would inflate to 1,003 bytes; the most is 1,000"):
        open_checkpoint(tmp_path / "m.pt")


@pytest.mark.parametrize("opcode", [b"]", b"}", b"("], ids=["lists", "dicts", "marks"])
def test_empty_containers_are_counted(tmp_path: Path, opcode: bytes) -> None:
    write(tmp_path / "m.pt", b"\x80\x02" + opcode * 30_000_000, method=zipfile.ZIP_DEFLATED)
    assert "its pickle makes more than 4,000,000 objects" in open_bounded(tmp_path / "m.pt")


def test_steps_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickle_walk, "MAX_STEPS", 100)
    with pytest.raises(PickleError, match="more than 100 steps"):
        walk_pickle(b"N" * 200 + b".")


def test_names_that_grow_with_every_tensor_are_bounded(tmp_path: Path) -> None:
    content = {"k" * 900: {"k" * 900: [torch.zeros(1) for _ in range(100)]}}
    for _ in range(100):
        content = {"k" * 900: content}
    torch.save({str(i): content[next(iter(content))] for i in range(2)}, tmp_path / "m.pt")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qanalysis.checkpoints.torch.walk.MAX_NAMES", 1_000_000)
        with refusal("the names of its tensors take more than 1,000,000 characters"):
            open_checkpoint(tmp_path / "m.pt")


def test_a_tensor_named_400_000_times_is_one_tensor(tmp_path: Path) -> None:
    torch.save([torch.zeros(250_000)] * 400_000, tmp_path / "m.pt")
    assert open_bounded(tmp_path / "m.pt").startswith("1 ")


@pytest.mark.parametrize(
    ("pickled", "said"),
    [
        (b"\x80\x09.", "of a protocol above 5"),
        (b"\x82\x01.", r"byte 0 \(0x82\) is no opcode that is read"),
        (b"h\x05.", r"byte 0 \(0x68\) recalls what it never kept"),
        (b"\x8b\xff\xff\xff\x7f.", "an integer of 2147483647 bytes"),
        (b"NN\x93.", "names a global by something else than text"),
        (b"K\x01K\x02a.", "damaged at byte 4"),
        (b"u.", "damaged at byte 0"),
        (b"K\x01K\x02\x87.", "damaged at byte 4"),
    ],
    ids=["protocol", "extension", "memo", "long", "global", "append", "setitems", "tuple"],
)
def test_a_damaged_pickle_is_told_by_its_place(pickled: bytes, said: str) -> None:
    with pytest.raises(PickleError, match=said):
        walk_pickle(pickled)


@pytest.mark.parametrize("pickled", [b"", b"N", b"X\x05\x00\x00\x00ab", b"cabc", b"J\x00", b"Nr\x00"])
def test_a_pickle_that_is_cut_short_is_told_apart(pickled: bytes) -> None:
    with pytest.raises(PickleEndError, match="it ends before its pickle does"):
        walk_pickle(pickled)
