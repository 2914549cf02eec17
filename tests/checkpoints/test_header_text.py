"""JSON of headers: equal to the standard library's reading, refused where that would cost far more than the text."""

from __future__ import annotations

import json
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qanalysis.checkpoints import header_text
from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.header_text import HeaderText
from tests.checkpoints.damage import refusal

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def read_members(text: str) -> dict[str, Any]:
    header = HeaderText(text, "h")
    members = {name: header.take_any(name) for name in header.members()}
    header.finish()
    return members


@given(st.dictionaries(st.text(), VALUES), st.sampled_from([None, 0, 3]), st.booleans())
@settings(deadline=None)  # a busy machine is no fault of the code
def test_members_equal_those_of_the_standard_library(
    members: dict[str, Any], indent: int | None, ascii_only: bool
) -> None:
    assert read_members(json.dumps(members, indent=indent, ensure_ascii=ascii_only)) == members


@given(st.dictionaries(st.text(), st.text()))
@settings(deadline=None)  # a busy machine is no fault of the code
def test_texts_and_records_equal_those_of_the_standard_library(members: dict[str, str]) -> None:
    header = HeaderText(json.dumps(members), "h")
    assert {name: header.take_text(name) for name in header.members()} == members
    numbers = {name: {"dtype": "F32", "shape": [index]} for index, name in enumerate(members)}
    header = HeaderText(json.dumps(numbers), "h")
    assert {name: header.take_record(name) for name in header.members()} == numbers


FAULTS = {
    "empty": ("", r"'\{' is missing at character 0"),
    "no end": ('{"a": 1', r"'\}' is missing at character 7"),
    "no value": ('{"a":', r"Expecting value"),
    "no colon": ('{"a" 1}', r"':' is missing"),
    "comma at the end": ('{"a": 1,}', r"a name is no text"),
    "name without quotes": ("{a: 1}", r"a name is no text"),
    "something behind": ('{"a": 1} x', r"something follows its end"),
    "a name twice": ('{"a": 1, "a": 2}', r"the name 'a' occurs twice"),
    "a name twice, once escaped": ('{"a": 1, "\\u0061": 2}', r"the name 'a' occurs twice"),
    "a control character": ('{"a\x01": 1}', r"Invalid control character"),
    "nested without end": ('{"a": ' + "[" * 100_000, r"'?a'? is nested too deeply"),
    "a long name twice": (json.dumps({"n" * 5000: 1})[:-1] + ', "' + "n" * 5000 + '": 2}', r"the name 'nnn"),
}


@pytest.mark.parametrize(("text", "match"), FAULTS.values(), ids=FAULTS.keys())
def test_what_is_no_json_is_refused(text: str, match: str) -> None:
    with refusal(rf"h is not valid JSON: .*{match}"):
        read_members(text)


def test_more_members_than_a_model_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(header_text, "MOST_TENSORS", 10)
    assert len(read_members(json.dumps({str(number): 0 for number in range(10)}))) == 10
    with refusal(r"h has more than 10 members, the most that are read"):
        read_members(json.dumps({str(number): 0 for number in range(11)}))


ABSURD = {
    "lists in a list": b'{"a":[' + b"[]," * 1_000_000 + b"[]]}",
    "lists in an entry": b'{"a":{"dtype":"F32","shape":[' + b"[]," * 1_000_000 + b'[]],"data_offsets":[0,0]}}',
    "objects in an entry": b'{"a":{"shape":' + b'{"b":' * 600_000 + b"}}",
    "names": b"{" + b",".join(b'"%d":[]' % number for number in range(400_000)) + b"}",
    "numbers": b'{"a":[' + b"1234567890," * 300_000 + b"0]}",
}


@pytest.mark.parametrize("text", ABSURD.values(), ids=ABSURD.keys())
def test_an_absurd_header_costs_no_more_than_its_text(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    tracemalloc.start()
    try:
        with refusal(r"m.safetensors.*(is not valid JSON|needs a dtype)"):
            open_checkpoint(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # its bytes and its characters; the rest, parts of at most 4096 characters and modules, stays below 1 MiB
    assert peak < 2 * len(text) + (1 << 20)
