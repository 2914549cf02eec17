"""How long does a text file of 10 million samples take, and how much memory? Beside pandas' C reader in the same run."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qanalysis.converters.records.records import read_record

SAMPLES = 10_000_000
MOST_TIMES_PANDAS = 2
MOST_MIB = 320  # 214 for two columns of 14 million numbers of 8 bytes, and some blocks
LINES = 14_000_000


def write(path: Path, kind: str, count: int) -> Path:
    """Codes, volts, or times and volts; a million lines are made and written again and again."""
    part = 1_000_000
    values = 2.0 * np.sin(2 * np.pi * 12_345 * np.arange(part) / part)
    with path.open("w", encoding="ascii") as file:
        for start in range(0, count, part):
            if kind == "codes":
                file.write("".join(f"{code}\n" for code in np.rint(1000 * values).astype(int).tolist()))
            elif kind == "volts":
                file.write("".join(f"{value:.6f}\n" for value in values.tolist()))
            else:
                file.write("".join(f"{n * 1e-6:.6f},{value:.6f}\n" for n, value in enumerate(values.tolist(), start)))
    return path


def read_clocks() -> tuple[float, float]:
    """The time that passes and the processor time, in seconds."""
    return time.perf_counter(), time.process_time()


def tell_since(began: tuple[float, float]) -> tuple[float, float]:
    """How much of both went by since they were read."""
    wall, work = read_clocks()
    return wall - began[0], work - began[1]


@pytest.mark.parametrize("kind", ["codes", "volts", "times and volts"])
def test_ten_million_samples_take_at_most_twice_the_time_of_pandas(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "long.csv", kind, SAMPLES)
    ours: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    # In turns, so that a busy machine is busy for both.
    for _ in range(3):
        began = read_clocks()
        frame = pd.read_csv(path, header=None)
        theirs.append(tell_since(began))
        began = read_clocks()
        record = read_record(path)
        ours.append(tell_since(began))
    np.testing.assert_array_equal(record.values, frame.iloc[:, -1].to_numpy())
    (wall, work), (other_wall, other_work) = (
        [min(times) for times in zip(*runs, strict=True)] for runs in (ours, theirs)
    )
    with capsys.disabled():
        print(
            f"\n{kind}: {wall:.2f} s, pandas {other_wall:.2f} s: {wall / other_wall:.2f} times, "
            f"{work / other_work:.2f} times the processor time"
        )
    assert wall <= MOST_TIMES_PANDAS * other_wall


def test_a_file_of_263_mb_is_read_in_its_numbers_and_a_few_blocks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "long.csv", "times and volts", LINES)
    (tmp_path / "short.csv").write_text("t,v\n0,0.5\n1,1.5\n2,0.5\n")
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from qanalysis.converters.records.reading import Reading\n"
        "from qanalysis.converters.records.text.text_file import read_text\n"
        "def peak(): return int(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])\n"
        "read_text(Path(sys.argv[1]), Reading())\n"
        "before = peak()\n"
        "read_text(Path(sys.argv[2]), Reading())\n"
        "print(peak() - before)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "short.csv"), str(path)]
    took = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) / 1024
    with capsys.disabled():
        print(f"\n{path.stat().st_size / 1e6:.0f} MB, {LINES} lines: {took:.0f} MiB beyond a short file")
    assert took < MOST_MIB
