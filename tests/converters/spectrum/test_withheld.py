"""A spectrum whose figures are withheld keeps what was recorded and how it was looked at, and no word of a figure."""

from __future__ import annotations

import numpy as np

from qanalysis.converters.findings import WITHHELD, Finding
from qanalysis.converters.spectrum.spectrum import analyze_spectrum
from qanalysis.converters.spectrum.withheld import withhold_figures

CODES = np.rint(2000 * np.sin(2 * np.pi * 127 * np.arange(4096) / 4096)).astype(int)


def test_no_figure_is_left_and_its_findings_are_gone() -> None:
    found = analyze_spectrum(CODES, bits=12, fs_hz=1e6)
    assert found.findings  # the harmonics are below the noise
    reason = Finding(WITHHELD, "The times are uneven.")
    bare = withhold_figures(found, reason)
    figures = ("sinad_db", "snr_db", "thd_dbc", "sfdr_dbc", "enob_ieee", "hd2_dbc", "fundamental_hz", "sinefit")
    assert all(getattr(found, name) is not None for name in ("sinad_db", "enob_ieee", "sinefit"))
    assert all(getattr(bare, name) is None for name in figures)
    assert (bare.findings, bare.harmonics) == ((reason,), ())
    assert (bare.samples, bare.fs_hz, bare.bits, bare.band) == (found.samples, found.fs_hz, found.bits, found.band)
