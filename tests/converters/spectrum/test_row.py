"""The row of a spectrum: what it takes over, which findings it keeps, and how it is told."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qanalysis.converters.findings import Finding
from qanalysis.converters.spectrum.limits import read_thd
from qanalysis.converters.spectrum.row import RecordRow
from qanalysis.converters.spectrum.spectrum import Spectrum, analyze_spectrum, describe_spectrum
from qanalysis.results.columns import names_of
from qanalysis.results.document import parse_document, to_json
from qanalysis.results.identity import SourceIdentity
from qanalysis.results.table import Table

TURNS = 2 * np.pi * np.arange(4096) / 4096
CODES = np.rint(2047 * np.sin(127 * TURNS)).astype(np.int64)


def test_a_spectrum_is_its_row_and_the_arrays_are_no_columns() -> None:
    assert names_of(Spectrum) == names_of(RecordRow)
    found = analyze_spectrum(CODES, fs_hz=1e6, bits=12)
    assert Table.from_rows(RecordRow, [found]).to_dicts() == [found.to_dict()]


def test_a_row_of_a_spectrum_holds_plain_numbers_only() -> None:
    row = describe_spectrum(analyze_spectrum(CODES, fs_hz=1e6, bits=12), findings=())
    for name, value in row.to_dict().items():
        for item in value if isinstance(value, list) else [value]:
            assert type(item) in (float, int, str, bool, dict, type(None)), name


def test_findings_named_before_are_not_named_again() -> None:
    found = analyze_spectrum(np.full(64, 5), bits=12)
    assert [finding.code for finding in found.findings] == ["constant"]
    own = Finding("constant", "It never moves.", 5)
    assert describe_spectrum(found, findings=(own,)).findings == (own,)
    other = Finding("clipping", "It clips.", 1)
    assert [finding.code for finding in describe_spectrum(found, findings=(other,)).findings] == [
        "clipping",
        "constant",
    ]


def test_every_line_names_a_column_of_its_own() -> None:
    columns = [line.column for line in analyze_spectrum(CODES, bits=12).lines]
    assert set(columns) <= set(names_of(RecordRow))
    assert len(columns) == len(set(columns))


def test_powers_of_harmonics_stand_in_columns_of_their_own() -> None:
    found = analyze_spectrum(CODES + np.rint(20 * np.sin(3 * 127 * TURNS)).astype(np.int64), bits=13, harmonics=4)
    assert [found.hd2_dbc, found.hd3_dbc, found.hd4_dbc] == [line.dbc for line in found.harmonics]
    assert (found.hd5_dbc, found.hd6_dbc) == (None, None)
    # 20 of 2047 in amplitude, each rounded to its code: half a step of 20 at most, 0.22 dB.
    assert found.hd3_dbc == pytest.approx(20 * math.log10(20 / 2047), abs=0.22)


def test_of_a_thd_below_the_noise_the_end_of_its_interval_is_held_against_a_limit() -> None:
    found = analyze_spectrum(
        np.rint(2000 * np.sin(127.4 * TURNS) + np.random.default_rng(2).normal(0, 3, 4096)), bits=12
    )
    assert found.thd_below_noise
    assert found.thd_dbc is None
    assert read_thd(found) == found.thd_ci95_db[1]
    bent = analyze_spectrum(CODES + np.rint(20 * np.sin(3 * 127 * TURNS)).astype(np.int64), bits=13)
    assert read_thd(bent) == bent.thd_dbc


def test_infinite_figures_come_back_from_a_document_and_null_ones_stay_null() -> None:
    perfect = analyze_spectrum(np.tile([0, 1, 0, -1], 64), bits=2)  # all of its error folds onto the tone
    silent = analyze_spectrum(np.full(64, 5), bits=12)
    table = Table.from_rows(RecordRow, [perfect, silent], source=SourceIdentity("made.csv", 1, f"sha256:{64 * '0'}"))
    assert perfect.sinad_db == math.inf
    again = parse_document(to_json(table), {RecordRow: Table}, place="rows.json")
    assert (again[0].sinad_db, again[0].snr_db, again[0].enob_ieee) == (math.inf, math.inf, math.inf)
    assert (again[1].sinad_db, again[1].enob_ieee, again[1].level_dbfs) == (None, None, None)
