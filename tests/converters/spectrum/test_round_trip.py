"""Averages, I/Q samples and noise in files: what is written reads back equal, and the page shows it."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from qanalysis.converters.captures import analyze_captures, describe_captures, open_captures, tabulate_captures
from qanalysis.converters.records.reading import Reading
from qanalysis.converters.spectrum.options import SpectrumOptions
from qanalysis.converters.spectrum.row import RecordRow
from qanalysis.reports.kinds import load_kinds
from qanalysis.reports.report import write_report
from qanalysis.results.files import read_table
from qanalysis.results.table import Table

SAMPLES = 8192
NEW = {
    "average": ("records", "average", "noise_rms", "cycles", "osr"),
    "iq": ("iq", "image_dbc", "dc_dbfs", "noise_rms", "cycles", "band"),
    "noise": ("npr_db", "npr_ci95_db", "notch", "noise_rms", "noise_free_bits"),
}


def make_table(kind: str, folder: Path) -> Table[Any]:
    """A table of one row of the kind, from files, as a command makes it."""
    dice = np.random.default_rng(3)
    turns = 2 * np.pi * 401 * np.arange(SAMPLES) / SAMPLES
    names = [folder / "a.npy"]
    options, reading = SpectrumOptions(), Reading(fs_hz=1e6)
    if kind == "average":
        names.append(folder / "b.npy")
        options, reading = SpectrumOptions(average="coherent"), Reading(fs_hz=1e6, bits=12)
        for name in names:
            values = 1800 * np.sin(turns + dice.uniform(0, 6)) + dice.normal(0, 2, SAMPLES)
            np.save(name, np.rint(values).astype(np.int16))
    elif kind == "iq":
        noise = dice.normal(0, 1e-3, SAMPLES) + 1j * dice.normal(0, 1e-3, SAMPLES)
        np.save(names[0], 0.8 * np.exp(-1j * turns) + 0.01 * np.exp(1j * turns) + 0.02 + noise)
    else:
        spectrum = np.fft.rfft(dice.standard_normal(SAMPLES))
        spectrum[1000:1300] = 0
        noise = np.fft.irfft(spectrum, SAMPLES)
        codes = np.clip(np.rint(noise / noise.std() * 400), -2048, 2047)
        np.save(names[0], codes.astype(np.int16))
        reading = Reading(fs_hz=1e6, bits=12)
    records = open_captures(names, reading)
    row = describe_captures(records, analyze_captures(records, options))
    return tabulate_captures(row, records, reading, options)


@pytest.mark.parametrize("suffix", [".json", ".csv", ".parquet"])
@pytest.mark.parametrize("kind", NEW)
def test_the_new_columns_are_filled_and_read_back_equal(kind: str, suffix: str, tmp_path: Path) -> None:
    table = make_table(kind, tmp_path)
    row: RecordRow = table.rows[0]
    assert all(getattr(row, name) is not None for name in NEW[kind])
    read = read_table(write_report(table, tmp_path / f"rows{suffix}"), load_kinds())
    assert read.rows[0].to_dict() == row.to_dict()
    if suffix != ".csv":
        assert read.settings["average"] == table.settings["average"]
        assert read.source == table.source


@pytest.mark.parametrize("kind", NEW)
def test_the_schema_describes_them(kind: str, tmp_path: Path) -> None:
    path = write_report(make_table(kind, tmp_path), tmp_path / "rows.json")
    schema = json.loads(files("qanalysis").joinpath("results/schema/record.schema.json").read_text("utf-8"))
    jsonschema.validate(json.loads(path.read_text()), schema)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("average", ("coherent, 2 records", "records laid in phase by their tone")),
        ("iq", ("I/Q samples", "Image", "offset of both rails")),
        ("noise", ("No tone: noise power ratio", "Notch", "Noise-free bits")),
    ],
)
def test_the_report_shows_them(kind: str, words: tuple[str, ...], tmp_path: Path) -> None:
    page = write_report(make_table(kind, tmp_path), tmp_path / "rows.html").read_text()
    for word in words:
        assert word in page
