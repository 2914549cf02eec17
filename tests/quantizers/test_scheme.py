"""Schemes as text, what they store per weight, the grids they fit, and every word that fails."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qanalysis.quantizers.crossing import cross_schemes, default_schemes
from qanalysis.quantizers.families import integer_format
from qanalysis.quantizers.grouping import parse_grouping
from qanalysis.quantizers.ranges import parse_range
from qanalysis.quantizers.rounding import parse_rounding
from qanalysis.quantizers.scales import SCALE_TYPES
from qanalysis.quantizers.scheme import Scheme
from qanalysis.quantizers.symmetries import SYMMETRIES, parse_symmetry
from qanalysis.quantizers.words import parse_bits, parse_format, parse_scale
from qanalysis.sweeps.sweep import sweep
from tests.reference import MODES

WORDS = st.tuples(
    st.sampled_from([f"int{bits}" for bits in range(2, 17)]),
    st.sampled_from(["", *SYMMETRIES]),
    st.sampled_from(["", "tensor", "channel", "channel=1", "group=32", "group=1", "block=3x5"]),
    st.sampled_from(
        ["", "range=minmax", "range=percentile:99.99", "range=meanstd:2.5", "range=mse", "range=mse:10", "range=kl:512"]
    ),
    st.sampled_from(["", *(f"scale={name}" for name in SCALE_TYPES)]),
    st.sampled_from(["", *(f"round={mode}" for mode in MODES)]),
)


@given(words=WORDS, data=st.data())
@settings(max_examples=400, deadline=None, derandomize=True)
def test_words_in_any_order_give_one_value_whose_text_parses_back(words: tuple[str, ...], data: st.DataObject) -> None:
    scheme = Scheme.parse(" ".join(words))
    shuffled = data.draw(st.permutations(words))
    assert Scheme.parse("  ".join(shuffled)) == scheme
    assert Scheme.parse(str(scheme)) == scheme
    assert str(Scheme.parse(str(scheme))) == str(scheme)
    assert hash(Scheme.parse(str(scheme))) == hash(scheme)


def test_printing_is_canonical_and_leaves_defaults_out() -> None:
    for words in permutations(["int4", "sym", "tensor", "range=minmax", "scale=float32", "round=nearest-even"]):
        assert str(Scheme.parse(" ".join(words))) == "int4"
    text = "int8 asym channel=1 range=percentile:99.9 scale=float16 round=stochastic:5"
    assert str(Scheme.parse(" ".join(reversed(text.split())))) == text
    assert str(Scheme.parse("group=128 range=mse:100 int4 sym")) == "int4 group=128 range=mse"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "scheme '' names no format; begin with one, for example 'int4 group=128'"),
        ("sym channel", "scheme 'sym channel' names no format"),
        ("int4 int8", "names its format twice, the second time as 'int8'; keep one"),
        ("int4 sym asym", "names its symmetry twice, the second time as 'asym'"),
        ("int4 tensor group=8", "names its grouping twice, the second time as 'group=8'"),
        ("int4 range=mse range=kl", "names its range twice"),
        ("int4 scale=pow2 scale=float16", "names its scale twice"),
        ("int4 round=floor round=ceil", "names its rounding twice"),
        ("int4 fancy", "the word 'fancy' is unknown; a scheme is a format"),
        ("int4 size=3", "the word 'size=3' is unknown"),
        ("INT4", r"format 'INT4' is unknown \(did you mean int4\?\)"),
        ("q4_0", r"format 'q4_0' is unknown \(did you mean gguf:q4_0\?\)"),
        ("bf16", r"format 'bf16' is unknown \(did you mean bfloat16\?\)"),
        ("nf4 round=nearest-even", "nf4 and round=nearest-even do not go together: its rounding is part of it"),
        ("int40", "format 'int40': integer formats have 2 to 16 bits"),
        ("int4 group=0", "grouping group=0: a group has at least one element"),
        ("int4 range=best", "range 'best' is unknown"),
        (
            "int4 scale=half",
            "scale 'half' is unknown; types are float32, float16, bfloat16, pow2, pow2:source, pow2:library",
        ),
        ("int4 round=up", "round 'up' is unknown"),
    ],
)
def test_schemes_that_do_not_parse_name_the_word(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Scheme.parse(text)


def test_single_words_parse_or_name_the_choices() -> None:
    assert parse_scale("pow2") is SCALE_TYPES["pow2"]
    assert parse_symmetry("asym") is SYMMETRIES["asym"]
    with pytest.raises(ValueError, match="scale 'int8' is unknown; types are float32"):
        parse_scale("int8")
    with pytest.raises(
        ValueError, match="symmetry 'both' is unknown; conventions are sym, sym-full, sym-noclip, sym-clip, asym"
    ):
        parse_symmetry("both")


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("2-8", [2, 3, 4, 5, 6, 7, 8]),
        ("2,3,4,8", [2, 3, 4, 8]),
        ("8,4-5, 16", [8, 4, 5, 16]),
        ("4,4", [4, 4]),
        ("3-3", [3]),
    ],
)
def test_bit_lists(text: str, bits: list[int]) -> None:
    assert parse_bits(text) == bits


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "bits '': '' is neither a number nor a span like 2-8"),
        ("4,x", "bits '4,x': 'x' is neither a number nor a span"),
        ("-4", "'-4' is neither a number nor a span"),
        ("0", "bits '0': 0 is outside 2 to 16"),
        ("40", "bits '40': 40 is outside 2 to 16"),
        ("4-17", "bits '4-17': 17 is outside 2 to 16"),
        ("8-2", "bits '8-2': the span 8-2 runs backwards; write 2-8"),
    ],
)
def test_bit_lists_that_fail(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_bits(text)


def test_cross_runs_grouping_outermost_and_formats_innermost() -> None:
    made = cross_schemes(
        [integer_format(4), integer_format(2)],
        groupings=[parse_grouping("channel"), parse_grouping("tensor")],
        symmetries=[SYMMETRIES["asym"], SYMMETRIES["sym"]],
        ranges=[parse_range("mse"), parse_range("minmax")],
    )
    assert len(made) == 16
    assert [str(scheme) for scheme in made[:5]] == [
        "int4 asym channel range=mse",
        "int2 asym channel range=mse",
        "int4 asym channel",
        "int2 asym channel",
        "int4 channel range=mse",
    ]
    assert str(made[8]) == "int4 asym range=mse"


def test_formats_take_part_with_what_they_leave_open() -> None:
    made = cross_schemes(
        [parse_format(name) for name in ("int4", "nf4", "gguf:q4_0", "ternary")],
        groupings=[parse_grouping("channel"), parse_grouping("group=64")],
        symmetries=[SYMMETRIES["asym"], SYMMETRIES["sym"]],
        ranges=[parse_range("kl:64"), parse_range("minmax")],
    )
    others = [str(scheme) for scheme in made if str(scheme.format) != "int4"]
    assert others == ["gguf:q4_0", "ternary channel", "nf4 channel", "ternary group=64", "nf4"]
    assert len(made) - len(others) == 8


def test_a_range_rule_that_a_format_can_not_take_is_refused_where_it_is_the_only_one() -> None:
    with pytest.raises(ValueError, match="nf4 has unequal levels"):
        cross_schemes([parse_format("nf4")], ranges=[parse_range("kl")])


def test_sweep_without_wishes_has_28_schemes() -> None:
    expected = [
        f"int{bits}{grouping}" for grouping in ("", " channel", " group=128", " group=32") for bits in range(2, 9)
    ]
    assert [str(scheme) for scheme in default_schemes()] == expected


def test_width_changes_alone() -> None:
    wider = Scheme.parse("int4 asym group=32 range=mse round=floor").with_format(integer_format(9))
    assert str(wider) == "int9 asym group=32 range=mse round=floor"
    with pytest.raises(ValueError, match="int17: integer formats have 2 to 16 bits"):
        integer_format(17)


# bits per weight of 4096 columns: code + (scale + zero point of the code's width) / group.
@pytest.mark.parametrize(
    ("text", "bits_per_weight"),
    [
        ("int4 group=32 scale=float16", 4.5),
        ("int4 group=64 scale=float16", 4.25),
        ("int4 group=128 scale=float16", 4.125),
        ("int4 asym group=128 scale=float16", 4.15625),
        ("int3 group=128 scale=float16", 3.125),
        ("int2 asym group=64 scale=float16", 2.28125),
        ("int8 channel scale=float16", 8 + 16 / 4096),
        ("int4 group=128", 4.25),
        ("int4 group=32 scale=pow2", 4.25),
        ("int4 block=2x64", 4.25),
        ("int8", 8 + 32 / 8192),
        # 40 whole groups of 100 and one of 96 in each row.
        ("int4 group=100 scale=float16", 4 + 16 * 41 / 4096),
    ],
)
def test_storage_counts_codes_scales_and_zero_points(text: str, bits_per_weight: float) -> None:
    x = np.random.default_rng(0).normal(size=(2, 4096)).astype(np.float32)
    row = sweep({"x": x}, [text])[0]
    assert row.bits_per_weight == bits_per_weight
    assert row.size_bytes == -(-bits_per_weight * x.size // 8)


def test_fit_uses_the_tensors_channel_axis_unless_the_scheme_names_one() -> None:
    x = np.float32([[1, 2, 4], [8, 16, 32]])
    q = np.float32(7)
    np.testing.assert_array_equal(Scheme.parse("int4 channel").fit(x).step, np.float32([4, 32]) / q)
    np.testing.assert_array_equal(Scheme.parse("int4 channel").fit(x, axis=1).step, np.float32([8, 16, 32]) / q)
    np.testing.assert_array_equal(Scheme.parse("int4 channel=0").fit(x, axis=1).step, np.float32([4, 32]) / q)


def test_fit_carries_the_rounding_and_takes_other_number_types() -> None:
    quantizer = Scheme.parse("int4 round=floor").fit([[7.0, -0.5]])
    assert quantizer.rounding == parse_rounding("floor")
    assert quantizer.round_trip([[7.0, -0.5]]).tolist() == [[7.0, -1.0]]


@pytest.mark.parametrize("shape", [(0,), (0, 4), (4, 0)])
def test_nothing_can_be_fitted_to_an_empty_tensor(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"a tensor of shape \(.*\) is empty; there is nothing to fit a grid to"):
        Scheme.parse("int4").fit(np.zeros(shape, np.float32))


def test_nothing_can_be_fitted_to_a_number_or_along_an_axis_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="a 0-d tensor has no channels to group"):
        Scheme.parse("int4").fit(np.float32(3))
    with pytest.raises(ValueError, match="channel=2: axis 2 of a tensor with 2 dimensions; axes are 0 to 1"):
        Scheme.parse("int4 channel=2").fit(np.zeros((2, 2), np.float32))


def test_nf4_has_the_groups_of_its_tools_where_none_are_asked_for() -> None:
    assert Scheme.parse("nf4") == Scheme.parse("nf4 group=64")
    assert (str(Scheme.parse("nf4 group=64")), str(Scheme.parse("nf4 tensor"))) == ("nf4", "nf4 tensor")
    assert Scheme.parse("nf4").lay_out((4, 128)).groups == 8
    assert Scheme.parse("nf4 tensor").lay_out((4, 128)).groups == 1
