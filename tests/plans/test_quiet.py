"""Does compiled code keep off the standard output, and Python's own lines stay?"""

import subprocess
import sys

PROGRAM = """
import ctypes, sys
from qanalysis.plans.quiet import keep_stdout
libc = ctypes.CDLL(None)
print("before")
with keep_stdout():
    libc.puts(b"noise")
print("after")
"""


def test_what_compiled_code_writes_is_dropped_on_a_pipe_too() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True, text=True)
    assert done.stdout.split() == ["before", "after"]


def test_a_process_without_standard_output_goes_on() -> None:
    closed = "import os; os.close(1)\nfrom qanalysis.plans.quiet import keep_stdout\nwith keep_stdout(): pass"
    subprocess.run([sys.executable, "-c", closed], check=True, capture_output=True)
