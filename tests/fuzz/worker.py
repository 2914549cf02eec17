"""A process that tries one mutant after another and writes a line of JSON for each; it dies of what hangs or eats memory,
and the line that lacks names the mutant.
"""

from __future__ import annotations

import faulthandler
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.case import load_reader, make_case
from tests.fuzz.trial import try_case

#: Seconds of the clock after which a mutant hangs: far more than it may take, since other work shares the machine.
HANGS_S = 60
#: Address space that one mutant may ask for beyond what the interpreter and its libraries have.
_ROOM_BYTES = 4 << 30
_ALL_ROLES_EVERY = 3


def work(reader_name: str, seed: int, first: int, last: int, seconds: float, least: int) -> None:
    """Mutants first..last, fewer where the seconds are over and `least` are done."""
    reader = load_reader(reader_name)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(first, last):
            if number - first == len(reader.models):
                _limit_memory()
            if time.monotonic() - started > seconds and number - first >= least:
                break
            _tell({"begins": number})
            case = make_case(reader_name, reader, seed, number)
            faulthandler.dump_traceback_later(HANGS_S, exit=True)
            found = try_case(case, Path(folder), every_role=number % _ALL_ROLES_EVERY == 0)
            faulthandler.cancel_dump_traceback_later()
            _tell({"number": number, **found._asdict()})


def _limit_memory() -> None:
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _ROOM_BYTES, resource.RLIM_INFINITY))


def _tell(line: dict[str, object]) -> None:
    sys.__stdout__.write(json.dumps(line) + "\n")
    sys.__stdout__.flush()


if __name__ == "__main__":
    reader, *numbers = sys.argv[1:]
    work(reader, *map(int, numbers[:3]), float(numbers[3]), int(numbers[4]))
