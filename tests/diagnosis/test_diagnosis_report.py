"""Diagnoses that leave the program: in the HTML report, in the JSON beside the rows, and from the command line."""

from __future__ import annotations

import html
import json
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from typer.testing import CliRunner

from qanalysis.cli import app
from qanalysis.diagnosis.findings import Diagnosis, diagnose
from qanalysis.quantizers.scheme import Scheme
from qanalysis.reports.report import read_rows, write_report
from qanalysis.results.document import to_json
from qanalysis.sweeps.row import Rows
from qanalysis.sweeps.sweep import sweep

HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def weights() -> np.ndarray:
    values = np.random.default_rng(7).standard_normal((32, 64)).astype(np.float32)
    values[:, 5] *= 12
    values[3, 3] = np.nan
    return values


@pytest.fixture(scope="module")
def rows(weights: np.ndarray) -> Rows:
    return sweep({HOSTILE: weights}, ["int4 channel", "int8"])


@pytest.fixture(scope="module")
def found(weights: np.ndarray) -> Diagnosis:
    return diagnose(weights, Scheme.parse("int4 channel"), name=HOSTILE)


def test_the_report_tells_causes_cures_and_notes_as_text(rows: Rows, found: Diagnosis, tmp_path: Path) -> None:
    page = write_report(rows, tmp_path / "report.html", diagnoses=[found]).read_text(encoding="utf-8")
    assert HOSTILE not in page
    section = html.unescape(page[page.index('<section id="diagnosis-1">') : page.index('<section id="every-row">')])
    assert f"Diagnosis of {HOSTILE} at int4 channel" in section
    sentences = [
        found.summary,
        found.advice,
        *found.notes,
        *(cause.text for cause in found.causes),
        *(cure.text for cure in found.cures),
    ]
    assert all(sentence in section for sentence in sentences)
    assert found.causes
    for cure in found.cures:
        assert f">{cure.gain_db:+.2f} dB<".replace("-", "−") in section
    assert f'href="#diagnosis-1">Diagnosis of {HOSTILE}' in html.unescape(page)


def test_a_report_without_diagnoses_has_no_such_section(rows: Rows, tmp_path: Path) -> None:
    assert "Diagnosis of" not in write_report(rows, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "diagnoses" not in json.loads(to_json(rows))


def test_gains_without_an_error_left_are_shown_as_infinite(tmp_path: Path) -> None:
    whole = np.tile(np.float32([0, 1, 3, 3]), (4, 16))
    diagnosis = diagnose(whole, Scheme.parse("int2"), name="w")
    page = write_report(sweep({"w": whole}, ["int2"]), tmp_path / "report.html", diagnoses=[diagnosis]).read_text(
        encoding="utf-8"
    )
    assert '--share: 100%">+∞ dB' in page
    exact = diagnose(whole, Scheme.parse("int3"), name="w")
    page = write_report(sweep({"w": whole}, ["int3"]), tmp_path / "exact.html", diagnoses=[exact]).read_text(
        encoding="utf-8"
    )
    assert exact.summary in page


def test_the_json_holds_the_diagnosis_as_its_schema_says_and_reads_back_as_rows(
    rows: Rows, found: Diagnosis, tmp_path: Path
) -> None:
    path = write_report(rows, tmp_path / "rows.json", diagnoses=[found])
    document = json.loads(path.read_text(encoding="utf-8"))
    schema = json.loads(files("qanalysis").joinpath("schema/rows.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(document, schema)
    assert document["diagnoses"] == [found.to_dict()]
    assert set(schema["$defs"]["diagnosis"]["properties"]) == set(found.to_dict())
    assert read_rows(path).rows == rows.rows


def test_a_sweep_to_html_diagnoses_its_worst_layer(tmp_path: Path, weights: np.ndarray) -> None:
    np.savez(
        tmp_path / "own.npz", bad=weights, good=np.random.default_rng(1).standard_normal((32, 64)).astype(np.float32)
    )
    targets = [tmp_path / "report.html", tmp_path / "rows.json"]
    command = [
        "sweep",
        str(tmp_path / "own.npz"),
        "--scheme",
        "int4 channel",
        *(word for target in targets for word in ("--out", str(target))),
    ]
    assert CliRunner().invoke(app, command).exit_code == 0
    expected = diagnose(weights, Scheme.parse("int4 channel"), name="bad")
    assert "Diagnosis of bad at int4 channel" in targets[0].read_text(encoding="utf-8")
    assert json.loads(targets[1].read_text(encoding="utf-8"))["diagnoses"] == [expected.to_dict()]
