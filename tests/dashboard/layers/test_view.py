"""The view of page Layers: its schemes are the command's, a scheme in view is one that is swept, and a scheme in a link becomes the page's own words."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qanalysis.dashboard.layers.view import (
    AXES,
    FORMAT_CHOICES,
    GROUPING_CHOICES,
    INTEGERS,
    ORDERS,
    RANGE_CHOICES,
    ROW_LIMITS,
    LayersView,
    expand_scheme,
    put_in_view,
)
from qanalysis.dashboard.views import read_address, read_view, spell_view, write_view
from qanalysis.quantizers.crossing import default_schemes
from qanalysis.quantizers.scheme import Scheme
from qanalysis.quantizers.symmetries import SYMMETRIES
from qanalysis.sweeps.row import METRICS


def some_of(words):
    return st.lists(st.sampled_from(words), min_size=1, max_size=3, unique=True).map(tuple)


views = st.builds(
    LayersView,
    source=st.sampled_from(["sample:outliers", "models/a b.safetensors"]),
    include=st.text(max_size=8).map(str.strip),
    roles=st.sampled_from(["weights", "all", "norm"]),
    axes=st.sampled_from(["", "fc=1"]),
    swept=st.tuples(st.integers(2, 9), st.integers(9, 16)),
    bits=st.integers(2, 16),
    groupings=some_of(GROUPING_CHOICES),
    symmetries=some_of(tuple(SYMMETRIES)),
    ranges=some_of(RANGE_CHOICES),
    formats=st.lists(st.sampled_from(FORMAT_CHOICES), max_size=4, unique=True).map(tuple),
    metric=st.sampled_from(sorted(METRICS)),
    axis=st.sampled_from(sorted(AXES)),
    layer=st.sampled_from(["conv1.weight", "a=b&c"]),
    compared=st.sampled_from([(), ("conv2.weight", "fc.weight")]),
    order=st.sampled_from(sorted(ORDERS)),
    show=st.sampled_from(ROW_LIMITS),
    map=st.booleans(),
    limits=st.booleans(),
).map(LayersView.settle)


def test_the_untouched_page_sweeps_the_schemes_of_the_command_line() -> None:
    assert LayersView().schemes == tuple(str(scheme) for scheme in default_schemes())
    assert LayersView().scheme == "int4 group=128"


@given(views, st.data())
def test_a_view_comes_back_from_its_widgets_and_from_its_address(view: LayersView, data: st.DataObject) -> None:
    view = replace(view, format=data.draw(st.sampled_from([INTEGERS, *view.formats])))
    view = replace(view, grouping=view.families[-1])
    assert read_view(LayersView, write_view(view)) == view
    found = read_address(LayersView, spell_view(view))
    assert (found.view, found.left_out, found.refusals) == (view, (), ())


@given(views, st.data())
def test_every_scheme_of_the_sweep_can_be_put_in_view(view: LayersView, data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(view.schemes))
    assert read_view(LayersView, write_view(view) | put_in_view(text)).scheme == text


@settings(deadline=None)  # two dozen schemes are crossed anew for nearly every example
@given(views)
def test_the_scheme_in_view_differs_from_one_of_those_swept_in_its_bits_at_most(view: LayersView) -> None:
    settled = read_view(LayersView, write_view(view))
    assert settled.bits == view.bits
    assert (settled.scheme in settled.schemes) is (settled.swept[0] <= view.bits <= settled.swept[1])
    assert replace(settled, bits=settled.swept[0]).scheme in settled.schemes


@pytest.mark.parametrize("bits", range(2, 17))
def test_any_width_is_in_view_whatever_is_swept(bits: int) -> None:
    view = read_view(LayersView, {"swept": (3, 5), "bits": bits})
    assert view.scheme == f"int{bits} group=128"
    assert view.swept == (3, 5)
    assert read_address(LayersView, spell_view(view)).view == view


@pytest.mark.parametrize(
    ("widgets", "expected"),
    [
        pytest.param({"swept": (3, 5), "bits": 8}, {"swept": (3, 5), "bits": 8}, id="bits in view above those swept"),
        pytest.param({"bits": 99}, {"bits": 16}, id="bits in view out of bounds"),
        pytest.param({"swept": (40, 1)}, {"swept": (2, 16)}, id="bits out of bounds and backwards"),
        pytest.param({"groupings": []}, {"groupings": LayersView().groupings}, id="no grouping"),
        pytest.param(
            {"groupings": ["group=0", "group=48"]}, {"groupings": ("group=48",)}, id="a grouping that is none"
        ),
        pytest.param({"symmetries": ["odd"]}, {"symmetries": ("sym",)}, id="an unknown symmetry"),
        pytest.param({"ranges": ["mse:0"]}, {"ranges": ("minmax",)}, id="an impossible range"),
        pytest.param({"metric": "beauty"}, {"metric": "sqnr_db"}, id="an unknown metric"),
        pytest.param(
            {"axis": None, "order": "?", "show": "7"},
            {"axis": "bits", "order": "file", "show": "60"},
            id="unknown choices",
        ),
        pytest.param({"source": "  "}, {"source": "sample:digits-cnn"}, id="a blank source"),
        pytest.param({"grouping": "block=2x2"}, {"grouping": "group=128"}, id="a scheme in view that is not swept"),
        pytest.param(
            {"formats": ["nf4", "int4", "fp9"], "format": "fp9"},
            {"formats": ("nf4",), "format": INTEGERS},
            id="formats that are none",
        ),
        pytest.param(
            {"format": "nf4"}, {"format": INTEGERS, "grouping": "group=128"}, id="a format in view that is not swept"
        ),
        pytest.param(
            {"formats": ["mxfp4"], "format": "mxfp4", "grouping": "group=128"},
            {"format": "mxfp4", "grouping": "group=32"},
            id="a grouping that the format fixes",
        ),
        pytest.param(
            {"groupings": ["channel"], "grouping": "group=128"}, {"grouping": "channel"}, id="the only family left"
        ),
    ],
)
def test_what_can_not_be_shown_becomes_the_nearest_that_can(
    widgets: dict[str, object], expected: dict[str, object]
) -> None:
    view = read_view(LayersView, widgets)
    assert {name: getattr(view, name) for name in expected} == expected


def test_a_scheme_in_a_link_is_swept_and_put_in_view() -> None:
    view = expand_scheme("int10 asym group=48 range=mse", LayersView())
    assert view.scheme == "int10 asym group=48 range=mse"
    assert view.scheme in view.schemes
    assert view.swept == (2, 10)
    assert read_view(LayersView, write_view(view)) == view


def test_an_integer_scheme_replaces_another_format_in_view() -> None:
    assert expand_scheme("int6 channel", LayersView(formats=("nf4",), format="nf4")).scheme == "int6 channel"


_USUAL = ["tensor", "channel", "group=128", "group=32"]


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("mxfp4", {"formats": ["mxfp4"], "format": ["mxfp4"], "grouping": ["group=32"]}),
        (
            "nf4 group=64",
            {"formats": ["nf4"], "format": ["nf4"], "grouping": ["group=64"], "groupings": [*_USUAL, "group=64"]},
        ),
        ("float16", {"formats": ["float16"], "format": ["float16"], "grouping": ["tensor"]}),
        (
            "fp8_e4m3 channel range=mse:20",
            {
                "formats": ["fp8_e4m3"],
                "format": ["fp8_e4m3"],
                "grouping": ["channel range=mse:20"],
                "ranges": ["minmax", "mse:20"],
            },
        ),
    ],
    ids=["blocks", "groups", "no scales", "range"],
)
def test_any_format_in_a_link_is_swept_and_put_in_view(text: str, query: dict[str, list[str]]) -> None:
    view = expand_scheme(text, LayersView())
    assert view.scheme == str(Scheme.parse(text))
    assert view.scheme in view.schemes
    assert spell_view(view) == query
    assert read_view(LayersView, write_view(view)) == view


def test_a_divergence_alone_sweeps_other_formats_under_minmax() -> None:
    assert LayersView(groupings=("tensor",), swept=(4, 4), ranges=("kl:64",), formats=("nf4",)).schemes == (
        "int4 range=kl:64",
        "int4",
        "nf4 tensor",
    )


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
        expand_scheme(text, LayersView())


def test_a_scheme_replaces_what_it_names_and_keeps_the_rest_of_the_address() -> None:
    asked = {
        "source": ["own.npz"],
        "bits": ["3"],
        "groupings": ["tensor"],
        "scheme": ["int4", "int6 group=50 asym"],
        "find": ["fc"],
    }
    found = read_address(LayersView, asked)
    assert found.view == replace(expand_scheme("int6 asym group=50", LayersView()), source="own.npz", find="fc")
    assert (found.left_out, found.refusals) == (("bits=3", "groupings=tensor"), ())


def test_words_that_mean_nothing_leave_the_address_and_are_named() -> None:
    found = read_address(
        LayersView,
        {"groupings": ["group=0", "tensor"], "ranges": ["odd", "mse:0"], "zoom": ["3", "4"], "scheme": ["int99"]},
    )
    assert spell_view(found.view) == {"groupings": ["tensor"], "grouping": ["tensor"]}
    assert found.left_out == ("groupings=group=0", "ranges=odd,mse:0", "zoom=3,4")
    assert len(found.refusals) == 1
    assert "int99" in found.refusals[0]


def test_what_the_rest_of_the_view_rules_out_is_named() -> None:
    found = read_address(LayersView, {"format": ["nf4"], "bits": ["12"]})
    assert found.left_out == ("format=nf4",)
    assert (found.view.format, found.view.bits) == (INTEGERS, 12)


def test_families_are_the_schemes_without_their_format() -> None:
    view = LayersView(groupings=("tensor", "channel"), symmetries=("sym", "asym"))
    assert view.families == ("tensor", "asym", "channel", "asym channel")
    assert all(str(Scheme.parse(f"int3 {family}")) in view.schemes for family in view.families)
