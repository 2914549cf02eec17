"""Repairs by name, and several of them together."""

from __future__ import annotations

import pytest

from qanalysis.models.repairs.catalogue import REPAIRS, find_repair


@pytest.mark.parametrize("name", REPAIRS)
def test_each_is_found_by_its_name(name: str) -> None:
    assert find_repair(name) is REPAIRS[name]
    assert REPAIRS[name].name == name


def test_stages_of_several_go_together() -> None:
    both = find_repair("gptq+bias")
    assert (both.rounder, both.correction) == (REPAIRS["gptq"].rounder, REPAIRS["bias"].correction)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gtpq", "repair 'gtpq' is unknown; repairs are .*gptq"),
        ("bias+", "repair '' is unknown"),
        ("gptq+gptq", "gptq and gptq are two ways of rounding; name one of them"),
    ],
)
def test_what_is_none_says_so(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_repair(text)
