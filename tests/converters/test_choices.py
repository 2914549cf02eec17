"""Every word that may be chosen has its home, and no other word passes."""

from __future__ import annotations

import pytest

from qanalysis.converters.choices import DITHER_NAMES, INL_SHAPES, check_dither, check_shape, check_signal
from qanalysis.converters.linearity.inl import SHAPES, Inl
from qanalysis.converters.simulation.dither import DITHERS, find_dither
from qanalysis.converters.simulation.sweeps import sweep_amplitude


def test_catalogues_hold_the_words_in_their_order() -> None:
    assert tuple(SHAPES) == INL_SHAPES
    assert tuple(DITHERS) == DITHER_NAMES
    assert [find_dither(name).name for name in DITHER_NAMES] == list(DITHER_NAMES)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: check_dither("gaussian"), r"dither 'gaussian' is unknown; use none, rpdf, tpdf, subtractive"),
        (lambda: find_dither("TPDF"), r"dither 'TPDF' is unknown; use none, rpdf"),
        (lambda: check_shape("bend"), r"INL shape 'bend' is unknown; use none, bow, s-shape, saw-tooth, mid-step"),
        (lambda: Inl("bend", 1.0), r"INL shape 'bend' is unknown"),
        (lambda: check_signal("ramp"), r"signal 'ramp' is unknown; choose sine or gaussian"),
        (lambda: sweep_amplitude([1.0], signal="ramp"), r"signal 'ramp' is unknown"),
    ],
)
def test_other_words_are_refused_with_the_known_ones(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
