"""Any view of bound fields: read from widgets, written to an address, bent back into what is possible. Every page's view is held to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qanalysis.dashboard.main import PAGES
from qanalysis.dashboard.pages import Page
from qanalysis.dashboard.views import (
    View,
    bound,
    drop_passing,
    join_link,
    list_rules,
    read_address,
    read_view,
    reset_view,
    spell_view,
    write_view,
)
from qanalysis.quantizers.grouping import parse_grouping


@dataclass(frozen=True, slots=True)
class Sample(View):
    file: str = bound("a.npz", kept=True)
    find: str = bound("")
    bits: int = bound(4, low=2, high=16)
    span: tuple[int, int] = bound((2, 8), low=2, high=16)
    gain: float = bound(1.0, low=-50.0, high=50.0)
    order: str = bound("file", choices=("file", "worst"))
    words: tuple[str, ...] = bound(("tensor",), parse=parse_grouping)
    more: tuple[str, ...] = bound((), choices=("x", "y"))
    layer: str | None = bound(None)
    width: int | None = bound(None, number=int, low=1, high=32)
    low: float | None = bound(None, number=float)
    log: bool = bound(False)
    job: str = bound("", passing=True)


samples = st.builds(
    Sample,
    file=st.sampled_from(["a.npz", "a b/ä&c.npz"]),
    find=st.text(max_size=9).map(str.strip),
    bits=st.integers(2, 16),
    span=st.tuples(st.integers(2, 16), st.integers(2, 16)),
    gain=st.floats(-50, 50),
    order=st.sampled_from(["file", "worst"]),
    words=st.lists(st.sampled_from(["tensor", "channel", "group=48"]), min_size=1, unique=True).map(tuple),
    more=st.lists(st.sampled_from(["x", "y"]), unique=True).map(tuple),
    layer=st.sampled_from([None, "conv1.weight", "a=b&c"]),
    width=st.none() | st.integers(1, 32),
    low=st.none() | st.floats(-1e9, 1e9),
    log=st.booleans(),
)


@given(samples)
def test_a_view_comes_back_from_its_widgets_and_from_its_address(view: Sample) -> None:
    assert read_view(Sample, write_view(view)) == view
    found = read_address(Sample, spell_view(view))
    assert (found.view, found.left_out, found.refusals) == (view, (), ())


@given(samples)
def test_an_address_spells_what_differs_from_the_defaults_and_nothing_else(view: Sample) -> None:
    query = parse_qs(
        urlsplit(join_link("http://127.0.0.1:8501/?old=1", spell_view(view))).query, keep_blank_values=True
    )
    assert query == spell_view(view)
    assert set(query) == {name for name, rule in list_rules(Sample).items() if getattr(view, name) != rule.default}


@pytest.mark.parametrize(
    ("held", "name", "value"),
    [
        pytest.param({"bits": 99}, "bits", 16, id="above"),
        pytest.param({"bits": "x"}, "bits", 4, id="no number"),
        pytest.param({"bits": None}, "bits", 4, id="nothing"),
        pytest.param({"gain": float("nan")}, "gain", 1.0, id="NaN"),
        pytest.param({"gain": float("-inf")}, "gain", -50.0, id="infinite"),
        pytest.param({"span": (1, 40)}, "span", (2, 16), id="a span beyond both ends"),
        pytest.param({"span": (5, 5)}, "span", (5, 5), id="a span of one"),
        pytest.param({"order": "odd"}, "order", "file", id="no choice"),
        pytest.param(
            {"words": ["group=0", "group=48", "group=48"]}, "words", ("group=48",), id="a word that is none, one twice"
        ),
        pytest.param({"words": []}, "words", ("tensor",), id="no word"),
        pytest.param({"more": ["z", "y"]}, "more", ("y",), id="one of two choices"),
        pytest.param({"file": "  "}, "file", "a.npz", id="blank"),
        pytest.param({"find": " fc "}, "find", "fc", id="blanks around"),
        pytest.param({"width": None}, "width", None, id="an empty box"),
        pytest.param({"width": 99}, "width", 32, id="a box that need not hold a number, above"),
        pytest.param({"low": 0}, "low", 0.0, id="0 is a number"),
        pytest.param({"low": float("nan")}, "low", None, id="a box that holds no number"),
    ],
)
def test_what_can_not_be_shown_becomes_the_nearest_that_can(held: dict[str, Any], name: str, value: object) -> None:
    assert getattr(read_view(Sample, held), name) == value


@pytest.mark.parametrize(
    ("asked", "left_out"),
    [
        ({"zoom": ["3", "4"]}, "zoom=3,4"),
        ({"bits": ["99"]}, "bits=99"),
        ({"bits": ["six"]}, "bits=six"),
        ({"bits": [""]}, "bits="),
        ({"gain": ["inf"]}, "gain=inf"),
        ({"gain": ["nan"]}, "gain=nan"),
        ({"log": ["yes"]}, "log=yes"),
        ({"span": ["3"]}, "span=3"),
        ({"span": ["3", "99"]}, "span=3,99"),
        ({"width": ["0"]}, "width=0"),
        ({"width": ["twelve"]}, "width=twelve"),
        ({"order": ["Worst first"]}, "order=Worst first"),
        ({"words": ["group=0"]}, "words=group=0"),
        ({"find2": ["x" * 200]}, "find2=" + "x" * 74),
    ],
)
def test_what_an_address_can_not_mean_is_named_and_takes_part_in_nothing(
    asked: dict[str, list[str]], left_out: str
) -> None:
    found = read_address(Sample, asked)
    assert found.left_out == (left_out,)
    assert found.view == Sample()


def test_the_words_beside_a_wrong_one_count() -> None:
    found = read_address(Sample, {"words": ["group=0", "channel"], "bits": ["6"], "log": ["true"]})
    assert found.view == Sample(words=("channel",), bits=6, log=True)
    assert found.left_out == ("words=group=0",)


def test_an_empty_box_is_no_0_in_the_address() -> None:
    assert spell_view(Sample(low=0.0, width=3)) == {"width": ["3"], "low": ["0"]}
    assert spell_view(Sample()) == {}
    assert write_view(Sample())["width"] is None


def test_a_reset_keeps_what_it_says_and_a_history_forgets_what_passes() -> None:
    view = Sample(file="b.npz", bits=7, job="0f")
    assert reset_view(view) == Sample(file="b.npz")
    assert drop_passing(view) == Sample(file="b.npz", bits=7)


def test_the_link_of_an_untouched_page_is_the_bare_address() -> None:
    assert (
        join_link("http://127.0.0.1:8501/converter?bits=3", spell_view(Sample())) == "http://127.0.0.1:8501/converter"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
def test_the_untouched_view_of_every_page_is_possible_and_its_words_are_words(page: Page) -> None:
    default = page.view()
    assert read_view(page.view, {}) == default == default.settle()
    assert read_view(page.view, write_view(default)) == default
    words = [name for name in list_rules(page.view) if name not in ("a", "b")]  # the two sides of a comparison
    assert all(name.replace("_", "").isalnum() and len(name) > 1 for name in words)
