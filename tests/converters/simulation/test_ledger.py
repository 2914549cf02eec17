"""The ledger of error sources: each alone by its formula, all of them together the total."""

from __future__ import annotations

import numpy as np
import pytest

from qanalysis.converters.converter import Converter
from qanalysis.converters.linearity.inl import Inl
from qanalysis.converters.simulation.ledger import SOURCES, Ledger, clip_analog, open_ledger
from qanalysis.converters.simulation.simulate import Simulation
from qanalysis.converters.simulation.waveforms import Dc, OwnRecord, Sine

TWELVE = Converter(12, -1, 1)
STEP = TWELVE.lsb


def ledger_of(**options: object) -> Ledger:
    return open_ledger(Simulation(**({"converter": TWELVE, "waveform": Sine(0.9, 127 / 16384)} | options)).run())  # type: ignore[arg-type]


EVERYTHING = {
    "offset_lsb": 3.0,
    "gain_error_percent": 0.2,
    "inl": Inl("bow", 1.0),
    "noise_lsb": 0.7,
    "jitter_s": 0.01,
    "dither": "tpdf",
}


@pytest.mark.parametrize("transfer", ["mid-tread", "mid-rise", "floor"])
@pytest.mark.parametrize("shaped", [{}, {"osr": 16, "shaping_order": 2}], ids=["plain", "shaped"])
@pytest.mark.parametrize("amplitude", [0.9, 1.2])
def test_rows_sum_to_the_total(transfer: str, shaped: dict[str, int], amplitude: float) -> None:
    ledger = ledger_of(
        converter=Converter(12, -1, 1, transfer=transfer), waveform=Sine(amplitude, 127 / 16384), **EVERYTHING, **shaped
    )
    assert [row.source for row in ledger.rows] == list(SOURCES)
    # Nine terms, the largest near the total: a few roundings of it.
    assert sum(row.power for row in ledger.rows) == pytest.approx(ledger.total, rel=1e-14)
    assert sum(row.share for row in ledger.rows if row.share is not None) == pytest.approx(1.0, rel=1e-12)


def test_total_is_the_measured_error() -> None:
    capture = Simulation(TWELVE, Sine(0.9, 127 / 16384), **EVERYTHING).run()  # type: ignore[arg-type]
    assert open_ledger(capture).total == pytest.approx(capture.stats.mse, rel=1e-12)


def test_each_source_alone_has_the_power_of_its_formula() -> None:
    ledger = ledger_of(**EVERYTHING)
    rounding = ledger["rounding"].power / STEP**2
    assert 12 * rounding == pytest.approx(
        1.0, abs=0.03
    )  # a sine of 1843 steps: 0.28/sqrt(A) is 0.7 %, and 16384 samples of it
    assert ledger["offset"].power == pytest.approx(9 * STEP**2, rel=1e-12)
    # Gain acts on x - low, mean square 0.81/2 + 1.
    assert ledger["gain"].power == pytest.approx(0.002**2 * 1.405, rel=1e-9)
    # u = x/(1 - STEP): the bow is 1 - u^2 about the middle of the transitions, half a step below the range's.
    u = (0.9 * np.sin(2 * np.pi * np.arange(16384) / 16384) + STEP) / (1 - STEP)
    assert ledger["inl"].power == pytest.approx(STEP**2 * np.mean((1 - u**2) ** 2), rel=1e-9)
    # Chi-square: relative deviation sqrt(2/M) = 0.011 (jitter, weighted by cos^2: 0.0135; TPDF less), four of them.
    assert ledger["noise"].power == pytest.approx(0.49 * STEP**2, rel=0.045)
    assert ledger["jitter"].power == pytest.approx((2 * np.pi * 127 / 16384 * 0.01 * 0.9) ** 2 / 2, rel=0.055)
    assert ledger["dither"].power == pytest.approx(STEP**2 / 6, rel=0.045)
    assert ledger["clipping"].power == 0.0
    assert ledger["noise"].rms_lsb == pytest.approx(0.7, rel=0.023)


def test_rounding_and_clipping_have_no_interaction() -> None:
    values = [0.30, -1.70, 0.04, 0.90, -0.26]
    ledger = ledger_of(converter=Converter(4, -1, 1), waveform=OwnRecord(np.array(values)), samples=5)
    # End levels -1 and 0.875: clipping 0.7^2 + 0.025^2; the others round to 0.25, 0, -0.25 of steps of 1/8.
    assert 5 * ledger["clipping"].power == pytest.approx(0.490625, abs=1e-15)
    assert 5 * ledger.total == pytest.approx(0.490625 + 0.05**2 + 0.04**2 + 0.01**2, abs=1e-15)


def test_a_source_that_is_off_is_silent_and_alone_it_is_the_total() -> None:
    ledger = ledger_of()
    assert {row.source for row in ledger.rows if row.power} <= {"rounding", "interaction"}
    assert ledger["rounding"].share == pytest.approx(1.0, abs=1e-12)
    assert ledger["offset"].snr_db == np.inf


def test_subtractive_dither_is_no_source() -> None:
    assert ledger_of(dither="subtractive")["dither"].power == 0.0


def test_sources_that_cancel_show_in_the_interaction() -> None:
    # Floor has a bias of -1/2 LSB, 1/4 of its 1/3; an offset of half a step takes it back: 1/3 + 1/4 - 1/2 = 1/12.
    ledger = ledger_of(converter=Converter(12, -1, 1, transfer="floor"), offset_lsb=0.5)
    assert ledger["interaction"].power / STEP**2 == pytest.approx(-0.5, abs=0.01)
    assert ledger["interaction"].rms_lsb is None
    assert ledger.total / STEP**2 == pytest.approx(1 / 12, abs=0.003)


def test_no_error_has_no_shares() -> None:
    ledger = ledger_of(waveform=Dc(0.25))
    assert ledger.total == 0.0
    assert {row.share for row in ledger.rows} == {None}
    assert ledger["rounding"].snr_db is None


@pytest.mark.parametrize(
    ("transfer", "low", "high"), [("mid-tread", 0.0, 7.0), ("mid-rise", 0.0, 8.0), ("floor", 0.0, 8.0)]
)
def test_clipping_begins_at_the_end_levels_or_cells(transfer: str, low: float, high: float) -> None:
    assert clip_analog(np.array([-9.0, 3.0, 9.0]), Converter(3, 0, 8, transfer=transfer)).tolist() == [low, 3.0, high]
