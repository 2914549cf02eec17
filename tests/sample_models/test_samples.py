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

from sample_models import SAMPLES, evaluation_path, read_card, training_path, weights_path
from sample_models.datasets import SHIPPED_WORDS

LIMIT_BYTES = 3_000_000
CARD_FIELDS = {
    *(
        "name",
        "task",
        "architecture",
        "data",
        "evaluation_data",
        "training_data",
        "held_out",
        "baselines",
        "seed",
        "training",
    ),
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
    } | {"digits.npz", "words.npz", "digits-train.npz", "words-train.npz"}
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


def test_words_to_train_on_are_distinct_lower_case_and_none_is_held_out() -> None:
    with np.load(training_path("words-transformer")) as data, np.load(evaluation_path("words-transformer")) as other:
        words, held_out = data["words"], other["words"]
    assert words.shape == (SHIPPED_WORDS, 24)
    assert words.dtype == np.uint8
    assert words.max() == 26  # codes 1..26 are a..z, so there is no place for capitals
    assert (words[:, 0] > 0).all()
    assert not ((words[:, :-1] == 0) & (words[:, 1:] > 0)).any()
    assert len({row.tobytes() for row in np.concatenate([words, held_out])}) == SHIPPED_WORDS + 4000
    assert training_path("words-transformer").stat().st_size < 400_000
    assert (
        f"229615 for training, of which the first {SHIPPED_WORDS} ship"
        in read_card("words-transformer")["data"]["split"]
    )


def test_words_to_train_on_are_in_random_order() -> None:
    with np.load(training_path("words-transformer")) as data:
        first = data["words"][:, 0].astype(float)
    # ranks of a random order correlate by 1 / sqrt(n) = 0.004; five of those
    assert abs(np.corrcoef(first, np.arange(first.size))[0, 1]) < 5 / np.sqrt(first.size)


@pytest.mark.parametrize("name", [name for name in SAMPLES if name != "outliers"])
def test_card_names_the_data_files_that_ship(name: str) -> None:
    card = read_card(name)
    assert (card["evaluation_data"], card["training_data"]) == (evaluation_path(name).name, training_path(name).name)


@pytest.mark.parametrize("ask", [weights_path, read_card, evaluation_path, training_path])
def test_unknown_name_is_answered_with_the_names(ask: object) -> None:
    assert callable(ask)
    with pytest.raises(
        ValueError,
        match="unknown sample model 'digits'; the samples are: digits-mlp, digits-cnn, words-transformer, outliers",
    ):
        ask("digits")


@pytest.mark.parametrize(("ask", "what"), [(evaluation_path, "evaluation"), (training_path, "training")])
def test_outliers_have_no_data(ask: object, what: str) -> None:
    assert callable(ask)
    with pytest.raises(
        ValueError, match=f"'outliers' holds synthetic tensors and has no {what} data; samples that have: digits-mlp"
    ):
        ask("outliers")


def test_importing_the_package_loads_neither_torch_nor_numpy_nor_sklearn() -> None:
    code = "import sys, json, sample_models; sample_models.read_card('outliers'); print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    root = Path(__file__).parents[2]
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert {"torch", "numpy", "sklearn", "safetensors"}.isdisjoint(json.loads(out.stdout))
