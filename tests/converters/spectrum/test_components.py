"""What a line of a spectrum is, and whose bin it stands on."""

from __future__ import annotations

import pytest

from qanalysis.converters.spectrum.components import ON_DC, ON_TONE, Component


def make(name: str, order: int, shared: str = "") -> Component:
    return Component(name, order, 1.0, 1.0, 1, -60.0, -61.0, below_noise=False, shared=shared)


@pytest.mark.parametrize(
    ("name", "order", "kind"),
    [
        ("HD2", 2, "harmonic"),
        ("HD3 of f2", 3, "harmonic"),
        ("IMD2 f1+f2", 2, "product"),
        ("IMD3 2f1-f2", 3, "product"),
        ("spur", 0, "spur"),
    ],
)
def test_a_line_knows_what_it_is(name: str, order: int, kind: str) -> None:
    assert make(name, order).kind == kind


@pytest.mark.parametrize(("shared", "owner"), [("", None), (ON_DC, None), (ON_TONE, None), ("HD2", "HD2")])
def test_only_another_line_is_an_owner(shared: str, owner: str | None) -> None:
    assert make("HD7", 7, shared).owner == owner
