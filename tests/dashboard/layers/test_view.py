"""The view: read from widgets, written to links, bent back into what is possible."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qanalysis.dashboard.layers.view import (
    AXES,
    FORMAT_CHOICES,
    GROUPING_CHOICES,
    INTEGERS,
    KEYS,
    METRIC_LABELS,
    ORDERS,
    RANGE_CHOICES,
    ROW_LIMITS,
    ViewState,
    expand_scheme,
    name_ignored,
    put_in_view,
    read_view,
    tidy_query,
    write_link,
    write_query,
    write_view,
)
from qanalysis.quantizers.crossing import default_schemes
from qanalysis.quantizers.scheme import Scheme
from qanalysis.quantizers.symmetries import SYMMETRIES

some_of = lambda words: st.lists(st.sampled_from(words), min_size=1, max_size=3, unique=True).map(tuple)  # noqa: E731
views = st.builds(
    ViewState,
    source=st.sampled_from(["sample:outliers", "models/a b.safetensors"]),
    include=st.text(max_size=8),
    weights_only=st.booleans(),
    bits_swept=st.tuples(st.integers(2, 9), st.integers(9, 16)),
    bits=st.just(9),
    groupings=some_of(GROUPING_CHOICES),
    symmetries=some_of(tuple(SYMMETRIES)),
    ranges=some_of(RANGE_CHOICES),
    formats=st.lists(st.sampled_from(FORMAT_CHOICES), max_size=4, unique=True).map(tuple),
    metric_label=st.sampled_from(sorted(METRIC_LABELS)),
    axis_label=st.sampled_from(sorted(AXES)),
    layer=st.sampled_from(["conv1.weight", "a=b&c"]),
    compared=st.sampled_from([(), ("conv2.weight", "fc.weight")]),
    order=st.sampled_from(ORDERS),
    limit=st.sampled_from(ROW_LIMITS),
    scrub=st.booleans(),
)


def test_the_untouched_page_sweeps_the_schemes_of_the_command_line() -> None:
    assert ViewState().schemes == tuple(str(scheme) for scheme in default_schemes())
    assert ViewState().scheme == "int4 group=128"


def test_every_field_has_a_key_of_its_own() -> None:
    assert len(KEYS) == len(ViewState.__slots__)


@given(views, st.data())
def test_a_view_comes_back_from_its_widgets(view: ViewState, data: st.DataObject) -> None:
    view = replace(view, format=data.draw(st.sampled_from([INTEGERS, *view.formats])))
    view = replace(view, family=view.families[-1])
    assert read_view(write_view(view)) == view


@given(views, st.data())
def test_every_scheme_of_the_sweep_can_be_put_in_view(view: ViewState, data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(view.schemes))
    assert read_view(write_view(view) | put_in_view(Scheme.parse(text))).scheme == text


@given(views)
def test_the_scheme_in_view_is_one_of_those_swept(view: ViewState) -> None:
    settled = read_view(write_view(view))
    assert settled.scheme in settled.schemes


@given(views)
def test_a_link_spells_what_differs_from_the_defaults_and_nothing_else(view: ViewState) -> None:
    query = parse_qs(urlsplit(write_link("http://127.0.0.1:8501/?old=1", view)).query, keep_blank_values=True)
    assert query == write_query(view)
    assert set(query) == {key for key, name in KEYS.items() if getattr(view, name) != getattr(ViewState(), name)}


def test_the_link_of_the_untouched_page_is_the_bare_address() -> None:
    assert write_link("http://127.0.0.1:8501/?m=x", ViewState()) == "http://127.0.0.1:8501/"
    assert write_link("http://h/", ViewState(), "0f") == "http://h/?job=0f"


@pytest.mark.parametrize(
    ("widgets", "expected"),
    [
        pytest.param({"b": (3, 5), "v": 8}, {"bits_swept": (3, 5), "bits": 5}, id="bits in view above those swept"),
        pytest.param({"b": (40, 1)}, {"bits_swept": (2, 16)}, id="bits out of bounds and backwards"),
        pytest.param({"g": []}, {"groupings": ViewState().groupings}, id="no grouping"),
        pytest.param({"g": ["group=0", "group=48"]}, {"groupings": ("group=48",)}, id="a grouping that is none"),
        pytest.param({"s": ["odd"]}, {"symmetries": ("sym",)}, id="an unknown symmetry"),
        pytest.param({"r": ["mse:0"]}, {"ranges": ("minmax",)}, id="an impossible range"),
        pytest.param({"x": "beauty"}, {"metric_label": "SQNR"}, id="an unknown metric"),
        pytest.param({"h": None, "o": "?", "n": "7"}, {"axis_label": "bits", "order": "file order", "limit": "60"}, id="unknown choices"),
        pytest.param({"m": "  "}, {"source": "sample:digits-cnn"}, id="a blank source"),
        pytest.param({"f": "block=2x2"}, {"family": "group=128"}, id="a scheme in view that is not swept"),
        pytest.param({"fmt": ["nf4", "int4", "fp9"], "fv": "fp9"}, {"formats": ("nf4",), "format": INTEGERS}, id="formats that are none"),
        pytest.param({"fv": "nf4"}, {"format": INTEGERS, "family": "group=128"}, id="a format in view that is not swept"),
        pytest.param({"fmt": ["mxfp4"], "fv": "mxfp4", "f": "group=128"}, {"format": "mxfp4", "family": "group=32"}, id="a grouping that the format fixes"),
        pytest.param({"g": ["channel"], "f": "group=128"}, {"family": "channel"}, id="the only family left"),
    ],
)
def test_what_can_not_be_shown_becomes_the_nearest_that_can(widgets: dict[str, object], expected: dict[str, object]) -> None:
    view = read_view(widgets)
    assert {name: getattr(view, name) for name in expected} == expected


def test_a_scheme_in_a_link_is_swept_and_put_in_view() -> None:
    view = expand_scheme("int10 asym group=48 range=mse", ViewState())
    assert view.scheme == "int10 asym group=48 range=mse"
    assert view.scheme in view.schemes
    assert view.bits_swept == (2, 10)
    assert read_view(write_view(view)) == view


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("mxfp4", {"fmt": ["mxfp4"], "fv": ["mxfp4"], "f": ["group=32"]}),
        ("nf4 group=64", {"fmt": ["nf4"], "fv": ["nf4"], "f": ["group=64"], "g": ["tensor", "channel", "group=128", "group=32", "group=64"]}),
        ("float16", {"fmt": ["float16"], "fv": ["float16"], "f": ["tensor"]}),
        ("fp8_e4m3 channel range=mse:20", {"fmt": ["fp8_e4m3"], "fv": ["fp8_e4m3"], "f": ["channel range=mse:20"], "r": ["minmax", "mse:20"]}),
    ],
    ids=["blocks", "groups", "no scales", "range"],
)
def test_any_format_in_a_link_is_swept_and_put_in_view(text: str, query: dict[str, list[str]]) -> None:
    view = expand_scheme(text, ViewState())
    assert view.scheme == text
    assert view.scheme in view.schemes
    assert write_query(view) == query
    assert read_view(write_view(view)) == view


def test_a_divergence_alone_sweeps_other_formats_under_minmax() -> None:
    assert ViewState(groupings=("tensor",), bits_swept=(4, 4), ranges=("kl:64",), formats=("nf4",)).schemes == ("int4 range=kl:64", "int4", "nf4")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nf4 scale=double", "use `qanalysis sweep --scheme`"),
        ("mxfp4 group=128", "its blocks have 32 values"),
        ("int4 group=0", "group has at least one element"),
        ("int4 fancy", "'fancy' is unknown"),
        ("int4 scale=float16", "use `qanalysis sweep --scheme`"),
    ],
)
def test_a_scheme_that_the_page_can_not_show_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        expand_scheme(text, ViewState())


def test_ignored_parameters_are_named_once_and_in_short() -> None:
    session = write_view(ViewState(bits=6))
    assert name_ignored({"v": ["6"], "b": ["2", "8"], "job": ["x"]}, session) == []
    assert name_ignored({"t": ["gone"], "q": ["x" * 200]}, session) == ["t=gone", "q=" + "x" * 78]


@given(views)
def test_a_link_of_the_page_is_tidy_already(view: ViewState) -> None:
    query = write_query(view) | {"job": ["0f"]}
    assert tidy_query(query) == (query, [], [])


def test_a_scheme_replaces_what_it_names_and_keeps_the_rest_of_the_address() -> None:
    query, left_out, refusals = tidy_query({"m": ["own.npz"], "v": ["3"], "g": ["tensor"], "scheme": ["int4", "int6 group=50 asym"], "q": ["fc"]})
    expected = write_query(expand_scheme("int6 asym group=50", ViewState()))
    assert query == {"m": ["own.npz"], "q": ["fc"]} | expected
    assert set(expected) == {"v", "f", "g", "s"}
    assert (left_out, refusals) == (["v=3", "g=tensor"], [])


def test_words_that_mean_nothing_leave_the_address_and_are_named() -> None:
    query, left_out, refusals = tidy_query({"g": ["group=0", "tensor"], "r": ["odd", "mse:0"], "zoom": ["3", "4"], "scheme": ["int99"]})
    assert query == {"g": ["tensor"]}
    assert left_out == ["zoom=3,4", "g=group=0", "r=odd,mse:0"]
    assert len(refusals) == 1
    assert "int99" in refusals[0]


def test_families_are_the_schemes_without_their_format() -> None:
    view = ViewState(groupings=("tensor", "channel"), symmetries=("sym", "asym"))
    assert view.families == ("tensor", "asym", "channel", "asym channel")
    assert all(str(Scheme.parse(f"int3 {family}")) in view.schemes for family in view.families)
