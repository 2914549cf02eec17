"""How long until the command line answers? Cold, in a process of its own."""

import subprocess
import sys
import time

LIMIT_S = 0.5


def test_help_answers_within_half_a_second(capsys) -> None:
    command = [sys.executable, "-m", "qanalysis.cli", "--help"]
    subprocess.run(command, check=True, capture_output=True)  # the first start writes the bytecode
    took = min(_seconds(command) for _ in range(5))
    with capsys.disabled():
        print(f"\nqanalysis --help: {took:.2f} s")
    assert took < LIMIT_S


def _seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began
