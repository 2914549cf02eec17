"""The view of page Converter: keys of its own, links that bring it back, and values bent into what is possible."""

from __future__ import annotations

from dataclasses import fields
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qanalysis.dashboard.converter.view import (
    CONVERTER_KEYS,
    ConverterView,
    name_ignored_converter,
    parse_numbers,
    read_converter,
    write_converter,
    write_converter_query,
)
from qanalysis.dashboard.layers.view import KEYS, join_link

views = st.builds(
    ConverterView,
    bits=st.integers(1, 32),
    low=st.floats(-1e6, 0),
    lsb=st.sampled_from(["FS/2^n", "FS/(2^n-1)"]),
    inputs=st.text(alphabet="0123456789.; ", max_size=12).map(str.strip),
    waveform=st.sampled_from(["sine", "ramp", "two-tone"]),
    code_table=st.booleans(),
    record=st.sampled_from(["sample:two tones, 14 bit", "a b/c.wav"]),
)


def test_no_key_is_one_of_page_layers() -> None:
    assert not set(CONVERTER_KEYS) & {*KEYS, "job", "scheme"}
    assert len(CONVERTER_KEYS) == len(fields(ConverterView))


@given(views)
def test_a_view_survives_its_widgets(view: ConverterView) -> None:
    assert read_converter(write_converter(view)) == view


@given(views)
def test_a_link_says_what_differs_and_nothing_else(view: ConverterView) -> None:
    query = parse_qs(urlsplit(join_link("http://x/converter?old=1", write_converter_query(view))).query, keep_blank_values=True)
    assert query == write_converter_query(view)
    assert {CONVERTER_KEYS[key] for key in query} == {entry.name for entry in fields(view) if getattr(view, entry.name) != entry.default}


@pytest.mark.parametrize(
    ("session", "name", "expected"),
    [
        ({"kb": 99}, "bits", 32),
        ({"kb": "x"}, "bits", 12),
        ({"kx": "sideways"}, "transfer", "mid-tread"),
        ({"sa": -3}, "amplitude", 0.1),
        ({"kco": True}, "code_table", True),
        ({"kin": " 4.5 "}, "inputs", "4.5"),
        ({"kb": None}, "bits", 12),
    ],
)
def test_an_impossible_value_becomes_the_nearest_possible_one(session: dict[str, object], name: str, expected: object) -> None:
    assert getattr(read_converter(session), name) == expected


def test_numbers_are_read_with_either_decimal_mark() -> None:
    assert parse_numbers("4.5; 0,25\n-1e3") == [4.5, 0.25, -1000.0]
    assert parse_numbers("  ") == []


@pytest.mark.parametrize("text", ["four", "1;nan", "inf", "1e999"])
def test_a_word_that_is_no_number_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is no number"):
        parse_numbers(text)


def test_only_what_the_widgets_in_sight_replaced_is_called_ignored() -> None:
    asked = {"kb": ["99"], "khi": ["5"], "kco": ["true"], "sb": ["99"], "v": ["4"]}
    assert name_ignored_converter(asked, {"kb": 12, "khi": 5.0, "kco": True, "v": 6}) == ["kb=99"]
    assert name_ignored_converter({"klo": ["low"]}, {"klo": 0.0}) == ["klo=low"]
