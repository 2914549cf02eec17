"""Which small trained models ship with the program, and where do their weights, cards and data lie?

Per sample: NAME.safetensors (weights), NAME.json (card), a module that defines it, and two .npz: held-out data and data
to train on. Importing this package loads neither torch nor numpy; `sample_models.evaluate` loads torch,
`sample_models.remake` also scikit-learn.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["SAMPLES", "STATISTICS", "evaluation_path", "read_card", "statistics_path", "training_path", "weights_path"]

SAMPLES: tuple[str, ...] = ("digits-mlp", "digits-cnn", "words-transformer", "outliers")

#: Logs of trainings that were recorded: NAME.parquet each, remade by `sample_models.statistics`.
STATISTICS: tuple[str, ...] = ("digits-mlp-training",)

_EVALUATION_FILES = {"digits-mlp": "digits.npz", "digits-cnn": "digits.npz", "words-transformer": "words.npz"}
_TRAINING_FILES = {
    "digits-mlp": "digits-train.npz",
    "digits-cnn": "digits-train.npz",
    "words-transformer": "words-train.npz",
}


def weights_path(name: str) -> Path:
    """Path of the sample's `.safetensors` file; ValueError for an unknown name.

    >>> weights_path("digits-mlp").name
    'digits-mlp.safetensors'
    """
    return _packaged(f"{_known(name)}.safetensors")


def read_card(name: str) -> dict[str, Any]:
    """The sample's card: task, data and licence, size, architecture, held-out result, seed, versions; ValueError for an
    unknown name.

    >>> read_card("digits-mlp")["name"]
    'digits-mlp'
    """
    card: dict[str, Any] = json.loads(_packaged(f"{_known(name)}.json").read_text(encoding="utf-8"))
    return card


def evaluation_path(name: str) -> Path:
    """Path of the sample's held-out data: digits.npz holds `images` uint8 (450, 8, 8) in 0..16 and `labels` uint8
    (450,); words.npz holds `words` uint8 (4000, 24), 1..26 for a..z, 0 after the end. ValueError for an unknown name
    and for "outliers", which nothing runs.

    >>> evaluation_path("words-transformer").name
    'words.npz'
    """
    return _packaged(_pick_file(name, _EVALUATION_FILES, "evaluation data"))


def training_path(name: str) -> Path:
    """Path of data to train the sample with, none of it held out: digits-train.npz holds all 1347 `images` and `labels`
    that the sample learned from; words-train.npz holds 60000 of its 229615 `words`, as `evaluation_path` describes
    them. ValueError as there.

    >>> training_path("words-transformer").name
    'words-train.npz'
    """
    return _packaged(_pick_file(name, _TRAINING_FILES, "training data"))


def statistics_path(name: str) -> Path:
    """Path of a recorded log, one row per step, layer and kind; ValueError for an unknown name.

    >>> statistics_path("digits-mlp-training").name
    'digits-mlp-training.parquet'
    """
    if name not in STATISTICS:
        raise ValueError(f"unknown sample log {name!r}; the sample logs are: {', '.join(STATISTICS)}")
    return _packaged(f"{name}.parquet")


def _pick_file(name: str, files: dict[str, str], holds: str) -> str:
    if _known(name) not in files:
        raise ValueError(
            f"sample {name!r} holds synthetic tensors and has no {holds}; samples that have: {', '.join(files)}"
        )
    return files[name]


def _known(name: str) -> str:
    if name not in SAMPLES:
        raise ValueError(f"unknown sample model {name!r}; the samples are: {', '.join(SAMPLES)}")
    return name


def _packaged(filename: str) -> Path:
    return Path(__file__).with_name(filename)
