"""Do the shipped samples hold what their cards say, and does the package stay light?"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from sample_models import SAMPLES, evaluation_path, read_card, weights_path

LIMIT_BYTES = 3_000_000
CARD_FIELDS = {
    *("name", "task", "architecture", "data", "evaluation_data", "held_out", "baselines", "seed", "training"),
    *("parameters", "elements", "size_bytes", "sha256", "versions", "remake"),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_card_is_complete_and_names_data_with_licence(name: str) -> None:
    card = read_card(name)
    assert set(card) >= CARD_FIELDS
    assert card["name"] == name
    assert card["remake"] == f"python -m sample_models.remake --only {name}"
    assert set(card["data"]) >= {"name", "source", "licence", "split"}
    assert all(card["data"].values())
    assert set(card["versions"]) >= {"python", "torch", "numpy", "safetensors"}


@pytest.mark.parametrize("name", SAMPLES)
def test_weights_are_the_file_of_the_card_and_below_three_megabytes(name: str) -> None:
    card, content = read_card(name), weights_path(name).read_bytes()
    assert len(content) == card["size_bytes"] < LIMIT_BYTES
    assert hashlib.sha256(content).hexdigest() == card["sha256"]


@pytest.mark.parametrize("name", SAMPLES)
def test_elements_on_the_card_are_the_elements_in_the_file(name: str) -> None:
    with safe_open(weights_path(name), framework="numpy") as weights:
        shapes = [weights.get_slice(key).get_shape() for key in weights.keys()]  # noqa: SIM118 (not a mapping)
    assert sum(int(np.prod(shape)) for shape in shapes) == read_card(name)["elements"]


def test_all_shipped_data_together_stay_below_eight_megabytes() -> None:
    folder = weights_path(SAMPLES[0]).parent
    files = [path for path in folder.iterdir() if path.suffix in {".safetensors", ".json", ".npz"}]
    assert {path.name for path in files} == {
        f"{name}{suffix}" for name in SAMPLES for suffix in (".safetensors", ".json")
    } | {"digits.npz", "words.npz"}
    assert sum(path.stat().st_size for path in files) < 8_000_000


def test_held_out_digits_are_ink_counts_with_labels() -> None:
    with np.load(evaluation_path("digits-cnn")) as data:
        images, labels = data["images"], data["labels"]
    assert images.shape == (450, 8, 8)
    assert images.dtype == np.uint8
    assert images.max() == 16
    assert labels.shape == (450,)
    assert set(labels) == set(range(10))
    assert evaluation_path("digits-mlp") == evaluation_path("digits-cnn")


def test_held_out_words_are_distinct_and_end_in_zeros() -> None:
    with np.load(evaluation_path("words-transformer")) as data:
        words = data["words"]
    assert words.shape == (4000, 24)
    assert words.dtype == np.uint8
    assert words.max() == 26
    assert len(np.unique(words, axis=0)) == 4000
    assert (words[:, 0] > 0).all()
    assert not ((words[:, :-1] == 0) & (words[:, 1:] > 0)).any()


@pytest.mark.parametrize("ask", [weights_path, read_card, evaluation_path])
def test_unknown_name_is_answered_with_the_names(ask: object) -> None:
    assert callable(ask)
    with pytest.raises(
        ValueError,
        match="unknown sample model 'digits'; the samples are: digits-mlp, digits-cnn, words-transformer, outliers",
    ):
        ask("digits")


def test_outliers_have_no_evaluation_data() -> None:
    with pytest.raises(
        ValueError, match="'outliers' holds synthetic tensors and has no evaluation data; samples that have: digits-mlp"
    ):
        evaluation_path("outliers")


def test_importing_the_package_loads_neither_torch_nor_numpy_nor_sklearn() -> None:
    code = "import sys, json, sample_models; sample_models.read_card('outliers'); print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    root = Path(__file__).parents[2]
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert {"torch", "numpy", "sklearn", "safetensors"}.isdisjoint(json.loads(out.stdout))
