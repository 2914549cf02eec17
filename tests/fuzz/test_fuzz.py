"""Mutants of sound files end in rows or in one clear message: as many as fit into the time that CI has for them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.fuzz.campaign import Outcome, run_reader
from tests.fuzz.case import READERS, load_reader, make_case

SECONDS, JOBS = 30, 2
#: So few are tried of each reader even where the machine is slow: all its sound models and some mutants of each.
LEAST = 200


def test_mutants_end_in_rows_or_one_clear_message() -> None:
    """Two readers at once, an equal share of the time for each; the seed is fixed, their number depends on the machine."""

    def run(reader: str) -> Outcome:
        return run_reader(reader, seed=1, mutants=20_000, seconds=SECONDS * JOBS / len(READERS), least=LEAST)

    with ThreadPoolExecutor(JOBS) as pool:
        outcomes = list(pool.map(run, READERS))
    faults = [
        f"{one.reader} seed {one.seed} mutant {number}: {text}" for one in outcomes for number, text in one.faults
    ]
    assert not faults, "\n".join(faults[:10])
    for one in outcomes:
        assert one.mutants >= LEAST
        assert one.ends["rows"], one.reader


def test_a_number_makes_its_mutant_again() -> None:
    first, second = (make_case("safetensors", load_reader("safetensors"), 3, 77) for _ in range(2))
    assert first == second
    assert first != make_case("safetensors", load_reader("safetensors"), 3, 78)
