"""Which figures can not be defended? They are taken out of a row, which stays, with the finding that says why."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from qanalysis.converters.findings import Finding
from qanalysis.converters.spectrum.spectrum import Spectrum

# What a row says of the record and of how it was looked at; all else that may be null is a figure.
_KEPT = {"bits", "low", "high", "lsb", "fs_hz", "band", "band_hz", "osr", "records", "average", "full_scale_power"}


def withhold_figures(found: Spectrum, finding: Finding) -> Spectrum:
    """The spectrum without any figure: null, or empty of lines; `finding` stands for its own, which speak of them."""
    nothing: dict[str, Any] = {
        field.name: field.default for field in fields(found) if field.name not in _KEPT and field.default in (None, ())
    }
    nothing |= {"fundamental_hz": None, "coherent": None, "sinefit": None, "findings": (finding,)}
    return replace(found, **nothing)
