"""Stuck bits in a histogram: named with their state and the codes that they take away, never as a small amplitude."""

from __future__ import annotations

import numpy as np
import pytest

from qanalysis.converters.linearity.linearity import measure_linearity
from qanalysis.converters.linearity.row import describe_linearity, read_dnl, read_inl
from qanalysis.converters.linearity.stuck_bits import find_stuck_bits, list_barred
from qanalysis.results.gates import Gate, hold_gates

RAMP = np.repeat(np.arange(256), 16)
SINE = np.clip(np.rint(127.5 + 134 * np.sin(2 * np.pi * 0.11803398875 * np.arange(60_000))), 0, 255).astype(int)


@pytest.mark.parametrize("test", ["ramp", "sine"])
@pytest.mark.parametrize("place", [0, 2, 6])
@pytest.mark.parametrize("state", [0, 1])
@pytest.mark.parametrize("signed", [False, True])
def test_a_stuck_bit_is_named_with_the_codes_that_never_come(
    test: str, place: int, state: int, *, signed: bool
) -> None:
    codes = RAMP if test == "ramp" else SINE
    stuck = codes | 1 << place if state else codes & ~(1 << place)
    found = measure_linearity(stuck - 128 * signed, bits=8, test=test, signed=signed)  # type: ignore[arg-type]
    assert found.withheld
    assert (found.dnl_min_lsb, found.inl_max_lsb, found.offset_lsb) == (None, None, None)
    barred = [code - 128 * signed for code in range(256) if (code >> place & 1) != state]
    assert list(found.missing_codes or ()) == barred
    finding = found.findings[0]
    assert (finding.code, finding.value) == ("stuck-bits", place)
    assert f"bit {place} at {state}" in finding.text
    assert "128 of 256 codes never appear" in finding.text


def test_two_stuck_bits_take_three_quarters_away() -> None:
    found = measure_linearity(RAMP & ~0b100100, bits=8)
    assert "bit 2 at 0, bit 5 at 0" in found.findings[0].text
    assert len(found.missing_codes or ()) == 192


def test_gates_are_missed_and_the_row_stays() -> None:
    row = describe_linearity(measure_linearity(RAMP & ~4, bits=8))
    gates = [
        Gate("--max-dnl", "dnl", "at most", 9.0, read_dnl),
        Gate("--max-inl", "inl", "at most", 9.0, read_inl),
        Gate("--max-missing", "missing_codes", "at most", 0),
    ]
    checks = hold_gates(row, gates)
    assert [(check.reached, check.met) for check in checks] == [(None, False), (None, False), (128, False)]
    assert row.headline.startswith("DNL and INL are withheld (stuck bits), missing codes: 128: 4, 5, 6, 7, 12")
    assert {line.text for line in row.lines if line.column.startswith(("dnl", "inl"))} == {"–"}


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_a_sound_ramp_of_any_width_has_none(bits: int) -> None:
    assert find_stuck_bits(np.full(2**bits, 4)) == {}


def test_a_part_of_the_range_has_none() -> None:
    hits = np.zeros(256, int)
    hits[:100] = 5
    assert find_stuck_bits(hits) == {}


def test_a_few_codes_prove_nothing() -> None:
    hits = np.zeros(4096, int)
    hits[[0, 8, 24, 48, 4064]] = 100
    assert find_stuck_bits(hits) == {}


def test_barred_codes_are_those_of_the_other_state() -> None:
    assert list_barred({1: 0}, 8).tolist() == [2, 3, 6, 7]


def test_bits_that_are_each_others_inverse_are_named_where_the_ends_are_missing() -> None:
    with pytest.raises(ValueError, match=r"0 and 255 can not occur: bit 2 is the inverse of bit 1 in all 128 codes"):
        measure_linearity((RAMP & ~2) | ((~RAMP >> 1) & 2), bits=8)
