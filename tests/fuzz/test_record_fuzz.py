"""Mutants of files of samples end in a row or in one clear message: as many as fit into the time that CI has for them."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.fuzz.record_files import make_files, make_mutant

SECONDS, LEAST, MUTANTS = 15, 150, 6_000


def run_mutants(seed: int, last: int, seconds: float, least: int) -> list[dict]:
    """What the process told of each mutant; the one that ended it is a fault."""
    words = [sys.executable, "-m", "tests.fuzz.record_worker", str(seed), "0", str(last), str(seconds), str(least)]
    done = subprocess.run(words, check=False, capture_output=True, text=True, errors="replace", timeout=600)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    ends = [line for line in told if "end" in line]
    if done.returncode:
        text = f"ended its process with {done.returncode}: {done.stderr[-4000:]}"
        ends.append({"number": told[-1].get("begins", -1) if told else -1, "end": "fault", "text": text})
    elif done.stderr:
        ends.append({"number": -1, "end": "fault", "text": f"standard error: {done.stderr[-4000:]}"})
    return ends


def test_mutants_end_in_a_row_or_one_clear_message() -> None:
    """The seed and the most of them are fixed, how many it is depends on the machine; all sound files are among them and
    give rows.
    """
    ends = run_mutants(1, MUTANTS, SECONDS, LEAST)
    faults = [f"mutant {one['number']}: {one['text']}" for one in ends if one["end"] == "fault"]
    assert not faults, "\n".join(faults[:10])
    assert len(ends) >= LEAST
    sound = make_files()
    refused = [(next(iter(sound[one["number"]])), one["text"]) for one in ends[: len(sound)] if one["end"] != "rows"]
    assert refused == []


def test_a_number_makes_its_mutant_again() -> None:
    first, second = (make_mutant(3, 77, make_files()) for _ in range(2))
    assert first == second
    assert first != make_mutant(3, 78, make_files())
