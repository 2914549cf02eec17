"""Which readers stand mutants of sound files? `python -m tests.fuzz --reader all --mutants 20000 --seed 1` prints a table and
each fault with the number that makes its mutant again (`--first N --mutants N+1`, files kept with `--keep FOLDER`).
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.campaign import Outcome, run_reader
from tests.fuzz.case import READERS, load_reader, make_case

_FAULTS_SHOWN = 20


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--reader", choices=["all", *READERS], default="all")
    parser.add_argument("--mutants", type=int, default=20_000, metavar="N", help="of each reader")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="the mutant to begin with")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="readers at once")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="only write the files of mutant --first there")
    given = parser.parse_args()
    names = list(READERS) if given.reader == "all" else [given.reader]
    if given.keep:
        for name in names:
            _keep(given.keep / name, name, given.seed, given.first)
        return 0

    def run(name: str) -> Outcome:
        return run_reader(name, seed=given.seed, mutants=given.mutants, first=given.first)

    print(f"{'reader':<12}{'mutants':>8}{'rows':>8}{'refused':>9}{'faults':>8}{'s':>8}{'slowest s':>11}{'peak MB':>9}")
    faults = 0
    with ThreadPoolExecutor(given.jobs) as pool:
        for found in pool.map(run, names):
            faults += len(found.faults)
            print(
                f"{found.reader:<12}{found.mutants:>8}{found.ends['rows']:>8}{found.ends['refused']:>9}"
                f"{len(found.faults):>8}{found.seconds:>8.0f}{found.slowest_s:>11.1f}{found.peak_mb:>9.0f}",
                flush=True,
            )
            for number, text in found.faults[:_FAULTS_SHOWN]:
                print(f"--- {found.reader} seed {found.seed} mutant {number}: {text}", flush=True)
    return 1 if faults else 0


def _keep(folder: Path, name: str, seed: int, number: int) -> None:
    case = make_case(name, load_reader(name), seed, number)
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in case.files.items():
        (folder / file).write_bytes(content)
    print(f"{folder / case.opened}{' with --partial' if case.partial else ''}")


if __name__ == "__main__":
    sys.exit(main())
