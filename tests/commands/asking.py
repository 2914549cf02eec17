"""Asking a command in this process, and the records that the converter commands are asked about."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import jsonschema
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from qanalysis.cli import app


def ask(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), prog_name="qanalysis")


SAMPLES, CYCLES = 4096, 127


def ask_json(*words: str, exit_code: int = 0) -> dict[str, Any]:
    result = ask(*words, "--json")
    assert result.exit_code == exit_code, result.stderr
    document: dict[str, Any] = json.loads(result.stdout, parse_constant=pytest.fail)
    schema = json.loads(files("qanalysis").joinpath(f"schema/{words[0]}.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(schema).validate(document)
    common = ["schema_version", "tool_version", "source", "settings", "coverage", "rows", "totals"]
    assert list(document) == [*common, *(["commands"] if words[0] == "track" else [])]
    return document


def make_tone(*, third: float = 0.5, noise: float = 0.3) -> np.ndarray:
    phase, rng = 2 * np.pi * CYCLES * np.arange(SAMPLES) / SAMPLES, np.random.default_rng(0)
    x = 2047.5 + 2047 * np.sin(phase) + third * np.sin(3 * phase) + noise * rng.normal(size=SAMPLES)
    return np.clip(np.rint(x), 0, 4095).astype(np.int64)


def make_ramp() -> np.ndarray:
    """8 bits, 64 samples per code, code 100 never occurs."""
    codes = np.repeat(np.arange(256), 64)
    codes[codes == 100] = 101
    return codes


RECORD = ("record", "tone.csv", "--bits", "12", "--range", "0:3.3", "--fs", "1e6")


LINEARITY = ("linearity", "ramp.csv", "--bits", "8", "--test", "ramp")
