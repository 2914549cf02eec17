"""Continuous controls name their parts by whole numbers: values come back equal, and what is none is refused."""

from __future__ import annotations

import itertools
import math

import pytest

from qanalysis.charts.linked.dials import Dial, place_values, read_values

DIALS = (Dial("amplitude", "Amplitude", "%", 0.1, 0.9, 0.1, 3), Dial("phase", "Phase", "°", -2, 2, 1))


def test_every_value_has_a_place_of_its_own_and_comes_back_equal() -> None:
    amplitudes, phases = [place / 1000 for place in range(100, 901)], range(-2, 3)
    places = [
        place_values(DIALS, {"amplitude": amplitude, "phase": phase})
        for amplitude, phase in itertools.product(amplitudes, phases)
    ]
    assert places == list(range(801 * 5))
    assert [read_values(DIALS, place) for place in places[:7]] == [
        {"amplitude": amplitude, "phase": float(phase)} for amplitude, phase in itertools.product((0.1, 0.101), phases)
    ][:7]


@pytest.mark.parametrize("place", [-1, 801 * 5])
def test_a_place_beyond_the_last_is_refused(place: int) -> None:
    with pytest.raises(LookupError, match=f"{place} is no place of the controls amplitude, phase"):
        read_values(DIALS, place)


@pytest.mark.parametrize("value", [None, "0.5", True, math.nan, math.inf, 0.0999, 0.9001, [0.5]])
def test_what_is_no_number_within_the_ends_is_no_value(value: object) -> None:
    assert DIALS[0].take(value) is None


def test_a_value_is_taken_to_the_decimals_that_are_told_apart() -> None:
    assert DIALS[0].take(0.12349) == 0.123
    assert DIALS[1].take(1) == 1.0


def test_without_dials_there_is_one_place() -> None:
    assert (place_values((), {}), read_values((), 0)) == (0, {})
