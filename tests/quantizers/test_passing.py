"""The fast way through a grid is the quantizer's own, number for number, over the catalogue; what it clips is what sweeps count."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qanalysis.arrays import Floats
from qanalysis.quantizers.formats import FORMATS
from qanalysis.quantizers.passing import pass_through
from qanalysis.quantizers.quantizer import LevelQuantizer
from qanalysis.quantizers.rounding import Rounding
from qanalysis.quantizers.scheme import Scheme
from qanalysis.sweeps.sweep import sweep
from tests.reference import MODES

FREE = [name for name, fmt in FORMATS.items() if not fmt.block]
GROUPINGS = ("tensor", "channel", "channel=1", "group=7", "group=32", "block=3x5")
ODD = np.float32(
    [0, -0.0, 1e-45, -3e-42, 1.2e-38, 1e-30, -1e30, 3.4e38, -3.4e38, np.inf, -np.inf, np.nan, 0.5, -1.5, 2.5, 448]
)


def draw(shape: tuple[int, ...], seed: int, *, odd: bool) -> Floats:
    rng = np.random.default_rng(seed)
    x = (rng.standard_t(3, size=shape) * 2.0 ** rng.integers(-3, 3, shape)).astype(np.float32)
    if odd:
        x.reshape(-1)[rng.choice(x.size, ODD.size, replace=False)] = ODD
    return x


def hold_equal(fitted: LevelQuantizer, x: Floats, rounding: Rounding | None = None) -> None:
    """y equals the round trip's, and what is clipped has a code that clipping changes; of listed numbers none has."""
    quantizer = LevelQuantizer(fitted.grid, fitted.layout, rounding or fitted.rounding)
    with np.errstate(all="ignore"):
        expected = quantizer.round_trip(x)
        kept, wanted = quantizer._code(quantizer.layout.to_matrix(x))
    passed = pass_through(x, quantizer.grid, quantizer.layout, quantizer.rounding)
    assert passed.y.dtype == np.float32
    assert passed.clipped.dtype == np.bool_
    np.testing.assert_array_equal(passed.y, expected)
    if quantizer.grid.coder.edges is None:
        clipped = quantizer.layout.from_matrix((kept != wanted) & ~np.isnan(wanted))
        finite = ~np.isnan(x)
        np.testing.assert_array_equal(passed.clipped[finite], clipped[finite])
    assert not passed.clipped[np.isnan(x)].any()


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("fitted_to", ["itself", "less", "odd values"])
def test_every_format_passes_as_it_round_trips(name: str, fitted_to: str) -> None:
    x = draw((6, 512), 1, odd=True)
    grid_of = {"itself": draw((6, 512), 1, odd=False), "less": draw((6, 512), 2, odd=False) / 64, "odd values": x}
    hold_equal(Scheme.parse(name).fit(grid_of[fitted_to]), x)


@pytest.mark.parametrize("grouping", GROUPINGS)
@pytest.mark.parametrize(
    "name", ["int3", "int4 asym", "int8 sym-full", "fp8_e4m3", "fp4_e2m1", "nf4", "ternary", "binary"]
)
def test_every_grouping_passes(name: str, grouping: str) -> None:
    x = draw((11, 5, 47), 3, odd=True)
    hold_equal(Scheme.parse(f"{name} {grouping}").fit(draw((11, 5, 47), 3, odd=False) / 2), x)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "name", ["int4", "int4 asym group=7", "fp8_e5m2 channel", "fp4_e2m1 channel=1", "bfloat16", "mxint8"]
)
def test_every_rounding_passes(name: str, mode: str) -> None:
    x = draw((9, 320), 4, odd=True)
    scheme = Scheme.parse(name)
    rounding = Scheme.parse(f"int4 round={mode}").rounding
    hold_equal(scheme.fit(draw((9, 320), 4, odd=False) / 2), x, rounding)


@pytest.mark.parametrize("symmetry", ["sym", "sym-full", "sym-noclip", "sym-clip", "asym"])
@pytest.mark.parametrize("bits", [2, 5, 16])
def test_every_symmetry_passes(symmetry: str, bits: int) -> None:
    x = np.abs(draw((4, 300), 5, odd=True))
    hold_equal(Scheme.parse(f"int{bits} {symmetry} group=32").fit(np.abs(draw((4, 300), 5, odd=False)) / 2), x)


TENSORS = hnp.arrays(np.float32, hnp.array_shapes(min_dims=1, max_dims=3, max_side=9), elements=st.floats(width=32))
SCHEMES = st.builds(
    "{} {} round={}".format,
    st.sampled_from(
        ["int2", "int4 asym", "int8", "int16 sym-full", *(name for name in FREE if not name.startswith("int"))]
    ),
    st.sampled_from(["tensor", "channel", "group=3", "block=2x4"]),
    st.sampled_from(MODES),
)


def parse_what_fits(text: str) -> Scheme:
    """The words that the format takes."""
    words, *rest = text.split()
    for word in rest:
        try:
            Scheme.parse(f"{words} {word}")
        except ValueError:
            continue
        words = f"{words} {word}"
    return Scheme.parse(words)


@settings(max_examples=200, deadline=None)
@given(text=SCHEMES, x=TENSORS)
@example(text="fp4_e2m1 tensor round=nearest-even", x=np.float32([1e-44, 3e38, np.inf]))
def test_any_tensor_passes_as_it_round_trips(text: str, x: Floats) -> None:
    scheme = parse_what_fits(text)
    with np.errstate(all="ignore"):
        hold_equal(scheme.fit(x), x)


@pytest.mark.parametrize(
    "name", ["int4", "int4 asym group=32", "nf4 group=32", "fp8_e4m3", "ternary channel", "mxfp4", "gguf:q4_1"]
)
def test_the_clipped_share_is_the_one_of_sweeps(name: str) -> None:
    x = draw((8, 512), 6, odd=False)
    scheme = Scheme.parse(name)
    fitted = scheme.fit(x)
    passed = pass_through(x, fitted.grid, fitted.layout, fitted.rounding)
    assert sweep({"x": x}, [name]).rows[0].clipped_fraction == passed.clipped.mean()


def test_hand_worked_values() -> None:
    # absmax 7 gives step 1 to int4; 7.4 rounds to the end code and is not clipped, 7.6 and the infinities are.
    fitted = Scheme.parse("int4").fit(np.float32([7, -1, 0, 0, 0, 0]))
    passed = pass_through(np.float32([2.5, 7.4, 7.6, -np.inf, np.inf, np.nan]), fitted.grid, fitted.layout)
    assert passed.y[:5].tolist() == [2, 7, 7, -7, 7]
    assert np.isnan(passed.y[5])
    assert passed.clipped.tolist() == [False, False, True, True, True, False]


def test_another_seed_draws_anew_and_pieces_draw_as_the_whole() -> None:
    x = draw((4, 1024), 7, odd=False)
    fitted = Scheme.parse("int4 round=stochastic:1").fit(x)
    whole = pass_through(x, fitted.grid, fitted.layout, fitted.rounding).y
    assert (pass_through(x, fitted.grid, fitted.layout, replace(fitted.rounding, seed=2)).y != whole).any()
    layout = Scheme.parse("int4").lay_out((1024,))
    for row in range(4):
        piece = pass_through(x[row], fitted.grid, layout, fitted.rounding, first_index=row * 1024).y
        assert piece.tolist() == whole[row].tolist()


def test_nothing_passes_from_an_empty_tensor() -> None:
    fitted = Scheme.parse("int4").fit(np.float32([1]))
    passed = pass_through(np.zeros(0, np.float32), fitted.grid, Scheme.parse("int4").lay_out((0,)))
    assert (passed.y.shape, passed.clipped.shape) == ((0,), (0,))


def test_a_tensor_of_another_shape_is_refused() -> None:
    fitted = Scheme.parse("int4").fit(np.float32([1, 2]))
    with pytest.raises(ValueError, match=r"x has shape \(3,\), its layout is for \(2,\)"):
        pass_through(np.zeros(3, np.float32), fitted.grid, fitted.layout)
