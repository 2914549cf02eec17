"""Only regular files are opened, at once, and their content is hashed when somebody asks for it."""

from __future__ import annotations

import hashlib
import os
import pickle
import socket
import time
from pathlib import Path

import pytest

from qanalysis.converters.records.records import RecordError, read_record
from qanalysis.converters.records.source_file import open_source


def test_what_is_no_file_is_refused_without_opening_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.csv"))
        for name, kind in (("pipe.csv", "a pipe"), ("s.csv", "a socket"), (".", "a folder"), ("/dev/zero", "a device")):
            with pytest.raises(RecordError, match=f"is {kind}; give the path of a file that holds a record"):
                read_record(tmp_path / name)


def test_paths_that_lead_nowhere_are_told_in_one_short_line(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.csv", "a\0b", "x" * 5000):
        with pytest.raises(RecordError) as caught:
            read_record(path)
        assert len(str(caught.value)) < 300
    (tmp_path / "empty.csv").touch()
    with pytest.raises(RecordError, match=r"empty\.csv is empty \(0 bytes\)"):
        read_record(tmp_path / "empty.csv")


def test_a_digest_is_taken_when_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"1\n2\n")
    source, head = open_source(path)
    assert (source.path, source.size, head) == ("a.csv", 4, b"1\n2\n")
    expected = hashlib.sha256(b"1\n2\n").hexdigest()
    assert pickle.loads(pickle.dumps(source)).digest == f"sha256:{expected}"


def test_a_file_that_changed_has_no_digest(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"1\n2\n")
    changed, _ = open_source(path)
    path.write_bytes(b"1\n2\n3\n")
    gone, _ = open_source(path)
    assert changed.digest is None
    path.unlink()
    assert gone.digest is None


def test_a_huge_file_is_refused_before_anything_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with path.open("wb") as file:
        file.write(b"RIFF\0\0\0\0WAVE")
        file.truncate(400_000_000)
    started = time.process_time()
    with pytest.raises(RecordError, match=r"byte 12: .* names no chunk"):
        read_record(path)
    assert time.process_time() - started < 1  # an open and a read of 4 KiB; hashing alone takes more
