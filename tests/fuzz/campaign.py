"""How are many mutants tried? In processes of their own, one for each reader, begun anew behind a mutant that ended one."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Outcome:
    """What one reader did with its mutants: how many ended how, and the faults as (number, text)."""

    reader: str
    seed: int
    ends: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[int, str]] = field(default_factory=list)
    seconds: float = 0.0
    slowest_s: float = 0.0
    peak_mb: float = 0.0

    @property
    def mutants(self) -> int:
        return sum(self.ends.values())

    def count(self, end: str, number: int, text: str) -> None:
        self.ends[end] += 1
        if end == "fault":
            self.faults.append((number, text))


def run_reader(
    reader: str, *, seed: int, mutants: int, first: int = 0, seconds: float = float("inf"), least: int = 0
) -> Outcome:
    """The mutants first..mutants of a reader, or as many as the seconds allow, but `least` at least."""
    outcome, started, at = Outcome(reader, seed), time.monotonic(), first
    while at < mutants:
        left = max(0.0, seconds - (time.monotonic() - started))
        at = _run_worker(outcome, at, mutants, left, max(0, least - outcome.mutants))
        if left == 0 and outcome.mutants >= least:
            break
    outcome.seconds = time.monotonic() - started
    return outcome


def _run_worker(outcome: Outcome, first: int, last: int, seconds: float, least: int) -> int:
    """Where to go on: `last` where the process came to its end, else behind the mutant that ended it."""
    begun = None
    words = [outcome.reader, str(outcome.seed), str(first), str(last), str(seconds), str(least)]
    with (
        tempfile.TemporaryFile("w+", errors="replace") as noise,
        subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.worker", *words], stdout=subprocess.PIPE, stderr=noise, text=True
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            told = json.loads(line)
            begun = told.get("begins")
            if begun is None:
                outcome.count(told["end"], told["number"], told["text"])
                outcome.slowest_s = max(outcome.slowest_s, told["seconds"])
                outcome.peak_mb = max(outcome.peak_mb, told["megabytes"])
        code = process.wait()
        noise.seek(0)
        said = noise.read()[-4000:]
    if code == 0:
        if said:
            outcome.faults.append((-1, f"standard error: {said}"))
        return last
    if begun is None:
        raise RuntimeError(f"the worker of {outcome.reader} could not begin: {said}")
    outcome.count("fault", begun, f"ended its process with {code}: {said}")
    return begun + 1
