"""The view of page Converter: its links bring it back, and lines of numbers are read as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qanalysis.dashboard.converter.view import (
    CAPTURE_TESTS,
    SIMULATE_VIEWS,
    TABS,
    WAVEFORM_WORDS,
    ConverterView,
    parse_numbers,
)
from qanalysis.dashboard.views import read_address, read_view, spell_view, write_view

views = st.builds(
    ConverterView,
    tab=st.sampled_from(sorted(TABS)),
    bits=st.integers(1, 32),
    low=st.floats(-1e6, 0),
    fs_over=st.sampled_from(["2^n", "2^n-1"]),
    inputs=st.text(alphabet="0123456789.; ", max_size=12).map(str.strip),
    waveform=st.sampled_from(sorted(WAVEFORM_WORDS)),
    sim_view=st.sampled_from(sorted(SIMULATE_VIEWS)),
    test=st.sampled_from(sorted(CAPTURE_TESTS)),
    code_table=st.booleans(),
    record=st.sampled_from(["sample:two tones, 14 bit", "a b/c.wav"]),
)


@given(views)
def test_a_view_survives_its_widgets_and_its_address(view: ConverterView) -> None:
    assert read_view(ConverterView, write_view(view)) == view
    found = read_address(ConverterView, spell_view(view))
    assert (found.view, found.left_out, found.refusals) == (view, (), ())


def test_values_in_the_address_are_ids() -> None:
    view = ConverterView(
        tab="simulate", sim_view="codes", waveform="record", model="converter", fs_over="2^n-1", test="ramp"
    )
    assert {key: words[0] for key, words in spell_view(view).items()} == {
        "tab": "simulate",
        "sim_view": "codes",
        "waveform": "record",
        "model": "converter",
        "fs_over": "2^n-1",
        "test": "ramp",
    }


def test_numbers_are_read_with_either_decimal_mark() -> None:
    assert parse_numbers("4.5; 0,25\n-1e3") == [4.5, 0.25, -1000.0]
    assert parse_numbers("  ") == []


@pytest.mark.parametrize("text", ["four", "1;nan", "inf", "1e999"])
def test_a_word_that_is_no_number_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is no number"):
        parse_numbers(text)
