"""Amounts as people type them, one budget at a time, and the nearest unit where the wrong one was taken."""

from __future__ import annotations

from typing import Any

import pytest

from qanalysis.plans.budgets import Budget, choose_budget, parse_bytes


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4GiB", 4 << 30),
        ("800MB", 800e6),
        ("1.5e9", 1.5e9),
        ("12 kib", 12288),
        ("1_000", 1000),
        ("2g", 2e9),
        ("7 B", 7),
    ],
)
def test_bytes_are_read_with_decimal_and_binary_units(text: str, size: float) -> None:
    assert parse_bytes(text) == size


def test_one_budget_is_chosen() -> None:
    assert choose_budget(budget_bytes=40) == Budget("budget_bytes", 40)
    assert choose_budget(budget_bpw=4.5) == Budget("budget_bpw", 4.5)
    assert choose_budget(budget_bytes="4GiB") == Budget("budget_bytes", 4 << 30)
    assert choose_budget(min_sqnr_db=-3) == Budget("min_sqnr_db", -3.0)
    assert choose_budget(max_loss=0) == Budget("max_loss", 0.0)
    assert choose_budget(pools=True) is None


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "none": ({}, r"a plan needs a budget: give one of --budget-bpw, .*--max-loss, or --pool"),
    "two": ({"budget_bpw": 4, "min_sqnr_db": 30}, "--budget-bpw 4 and --min-sqnr 30: a plan has one budget"),
    "zero": ({"budget_bpw": 0}, "--budget-bpw 0: a budget is above zero"),
    "negative": ({"budget_bytes": -5e9}, r"--budget-bytes -5e\+09: a budget is above zero"),
    "negative-fit": ({"fit_gib": -1}, "--fit-gib -1: a budget is above zero"),
    "nan": ({"budget_bpw": float("nan")}, "--budget-bpw nan: must be a finite number of bits per weight"),
    "infinite": ({"min_sqnr_db": float("inf")}, "--min-sqnr inf: must be a finite number of dB"),
    "flag": ({"budget_bpw": True}, "--budget-bpw True: must be a finite number"),
    "bytes-as-bits": (
        {"budget_bpw": 4e9},
        r"no number has more than 64 bits .* did you mean --budget-bytes 4000000000",
    ),
    "bits-as-bytes": ({"budget_bytes": 4.5}, r"did you mean --budget-bpw 4.5, or --budget-bytes 4.5GiB\?"),
    "bits-as-text": ({"budget_bytes": "4.5"}, "did you mean --budget-bpw 4.5"),
    "bytes-as-gib": ({"fit_gib": 8e9}, "--fit-gib 8e[+]09: is above a PiB; did you mean --budget-bytes 8000000000"),
    "unit": ({"budget_bytes": "4 apples"}, "--budget-bytes '4 apples': is no number of bytes; write it as 4GiB"),
    "empty": ({"budget_bytes": ""}, "--budget-bytes '': is no number of bytes"),
    "zero-text": ({"budget_bytes": "0GiB"}, "a budget is above zero"),
}


@pytest.mark.parametrize(("given", "told"), WRONG.values(), ids=list(WRONG))
def test_what_is_no_budget_is_told_with_the_way_out(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        choose_budget(**given)
