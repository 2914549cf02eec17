"""A file appears whole or not at all, under no name that can be guessed, and what can not be written is told before the work."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qanalysis.reports.kinds import load_kinds
from qanalysis.results import files
from qanalysis.results.files import check_targets, read_table, write_whole

SLOW = """
import sys, time
from contextlib import contextmanager
import qanalysis.reports.report as report

whole = report.write_whole

@contextmanager
def wait(target):
    with whole(target) as file:
        print("writing", flush=True)
        time.sleep(30)
        yield file

report.write_whole = wait
from qanalysis.cli import main
sys.argv = ["qanalysis", "convert", "--bits", "8", "--range", "0:5", "--out", "x.json"]
main()
"""


def test_a_file_takes_its_place_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "x.json"
    target.write_text("old")
    with write_whole(target) as file:
        file.write(b"new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]
    assert stat.S_IMODE(target.stat().st_mode) & 0o600 == 0o600


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "x.json"
    target.write_text("old")
    with pytest.raises(TypeError, match="bytes-like"), write_whole(target) as file:
        file.write("text")
    assert (target.read_text(), list(tmp_path.iterdir())) == ("old", [target])


def test_the_name_can_not_be_guessed_and_a_link_of_that_name_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = []
    for _ in range(2):
        with write_whole(tmp_path / "x.json"):
            names += [path.name for path in tmp_path.iterdir() if path.suffix == ".part"]
    assert len(set(names)) == 2
    victim = tmp_path / "victim"
    victim.write_text("kept")
    monkeypatch.setattr(files.secrets, "token_hex", lambda _size: "0" * 16)
    (tmp_path / f".x.json.{'0' * 16}.part").symlink_to(victim)
    with (
        pytest.raises(OSError, match=r"x\.json: could not be written \(File exists\)"),
        write_whole(tmp_path / "x.json"),
    ):
        pass
    assert victim.read_text() == "kept"


def test_what_killed_runs_left_is_swept_after_a_day(tmp_path: Path) -> None:
    token = "0123456789abcdef"
    names = [
        f".x.json.{token}.part",
        ".x.json.4711.part",
        f".y.json.{token}.part",
        ".x.json.notes.part",
        f".x.json.{token[:-1]}1.part",
    ]
    for name in names:
        (tmp_path / name).write_text("half")
    for name in names[:4]:
        os.utime(tmp_path / name, (time.time() - 90_000,) * 2)
    with write_whole(tmp_path / "x.json") as file:
        file.write(b"whole")
    assert {path.name for path in tmp_path.iterdir()} == {"x.json", *names[2:]}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, where every write finds the disk full")
def test_a_full_disk_is_told_with_the_path_and_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open
    monkeypatch.setattr(files.os, "open", lambda _path, _flags, _mode: opened("/dev/full", os.O_WRONLY))
    told = r"x\.json: could not be written \(No space left on device\); make room in .*, or choose another"
    with pytest.raises(OSError, match=told), write_whole(tmp_path / "x.json") as file:
        file.write(b"x" * 100_000)


def test_links_pipes_and_devices_are_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "real.csv").write_text("")
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    with pytest.raises(
        ValueError,
        match=r"link\.csv: is a symbolic link, which would be replaced and not followed; give .*real\.csv itself",
    ):
        check_targets([tmp_path / "link.csv"])
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(
        ValueError, match=r"pipe\.csv: is a pipe or a device, which would be replaced by a file; use --json"
    ):
        check_targets([tmp_path / "pipe.csv"])
    with pytest.raises(ValueError, match=r"pipe\.csv: no file that can be read"):
        read_table(tmp_path / "pipe.csv", load_kinds())


def test_a_text_that_is_too_large_is_refused_by_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_BYTES", 10)
    (tmp_path / "x.json").write_text("{" + " " * 20)
    with pytest.raises(
        ValueError, match=r"x\.json: 21 bytes, at most 10 of text are read; write the result as \.parquet"
    ):
        read_table(tmp_path / "x.json", load_kinds())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["terminate", "hang-up"])
def test_a_command_that_is_ended_while_it_writes_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, "-c", SLOW], cwd=tmp_path, stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        assert [path.suffix for path in tmp_path.iterdir()] == [".part"]
        process.send_signal(number)
        assert process.wait(20) == 128 + number
    assert list(tmp_path.iterdir()) == []


def test_who_may_read_a_file_stays_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "rows.csv"
    target.write_text("old")
    target.chmod(0o640)
    with write_whole(target) as file:
        file.write(b"new")
    assert (target.read_text(), target.stat().st_mode & 0o777) == ("new", 0o640)
