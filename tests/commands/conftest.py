"""Folders with what the commands read."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tests.commands.asking import SAMPLES, make_ramp, make_tone


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rng = np.random.default_rng(3)
    attention = rng.normal(size=(8, 96)).astype(np.float32)
    attention[2] *= 30
    np.savez(
        tmp_path / "model.npz",
        attention=attention,
        head=rng.normal(size=(4, 16)).astype(np.float32),
        bias=rng.normal(size=6).astype(np.float32),
        zeros=np.zeros((2, 3), np.float32),
        holes=np.array([[1, np.nan, 3], [np.inf, 5, 6]], np.float32),
        ids=np.arange(5),
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path / "model.npz"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.savetxt("tone.csv", make_tone(), fmt="%d", header="code", comments="")
    np.savetxt("clean.csv", make_tone(third=0), fmt="%d")
    np.savetxt("ramp.csv", make_ramp(), fmt="%d")
    np.save("volts.npy", make_tone() * 3.3 / 4096)
    np.save("noise.npy", np.random.default_rng(1).integers(0, 4096, SAMPLES))
    phase = 2 * np.pi * np.arange(SAMPLES) / SAMPLES
    np.save("two.npy", np.rint(2048 + 900 * np.sin(127 * phase) + 900 * np.sin(149 * phase)).astype(np.int16))
    np.save(
        "sine.npy",
        np.clip(np.rint(511.5 + 530 * np.sin(2 * np.pi * 1021 * np.arange(2**17) / 2**17)), 0, 1023).astype(np.uint16),
    )
    np.save("flat.npy", np.full(200, 7))
    np.save("three.npy", np.array([1, 2, 3]))
    np.save("holes.npy", np.array([0.0, math.nan] * 50))
    Path("words.csv").write_text("code\none\ntwo\n")
    return tmp_path
