"""How do the samples come about? `python -m sample_models.remake [--only NAME] [--words PATH] [--out DIR]` makes all of
them again.

Guaranteed: the same bytes on the same machine with the versions and the thread count that the card names. On another
processor or with other versions the sums of training round differently, so weights and held-out results differ a
little; `outliers` and the data files involve no training and stay the same wherever numpy's random streams do. Time
on two free cores: under ten minutes, nearly all of it words-transformer.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from sample_models import SAMPLES, evaluation_path, outliers, training_path, weights_path
from sample_models.datasets import (
    SHIPPED_WORDS,
    SPLIT_SEED,
    WORD_LIST,
    WORD_LIST_SHA256,
    DigitsSplit,
    WordsSplit,
    split_digits,
    split_words,
    unigram_loss,
)
from sample_models.evaluate import build_model, measure_accuracy, measure_loss
from sample_models.training import Batch, digit_batches, train, word_batches

SEED = 7
THREADS = 2

CNN_ARCHITECTURE = (
    "conv 3x3 1-32, depthwise conv 3x3 32, pointwise conv 32-64, conv 3x3 stride 2 64-64, each with BatchNorm and "
    "ReLU; global mean, linear 64-10"
)

DIGITS_DATA = {
    "name": "Optical Recognition of Handwritten Digits (E. Alpaydin, C. Kaynak, 1998): the 1797 images of its test "
    "set, 8x8, ink counts 0..16",
    "source": "scikit-learn's load_digits, a copy of https://archive.ics.uci.edu/dataset/80; doi.org/10.24432/C50P49",
    "licence": "CC BY 4.0, as published by UCI",
    "split": f"random permutation with seed {SPLIT_SEED}: 450 held out, 1347 for training; "
    "the 13 writers are in both parts",
}
WORDS_DATA = {
    "name": "web2, the words of Webster's Second International Dictionary (1934), lower-cased, 233615 distinct",
    "source": "/usr/share/dict/web2 of Debian's package miscfiles 1.5+dfsg-4, which took it from NetBSD 1.3.2",
    "source_sha256": WORD_LIST_SHA256,
    "licence": "public domain: the list's own README (dict-README) says that the 1934 copyright has elapsed; "
    "the package that carries it is offered as a whole under GPL-2.0-or-later",
    "split": f"random permutation of the words with seed {SPLIT_SEED}: 4000 held out, the other 229615 for "
    f"training, of which the first {SHIPPED_WORDS} ship; forms of one stem may be in both parts",
}


def main(arguments: list[str] | None = None) -> int:
    """Command line; 0 when done, 2 with one line on standard error when something it needs is missing."""
    parser = argparse.ArgumentParser(
        prog="python -m sample_models.remake",
        description="Makes the sample models again: weights, cards, held-out data and data to train on.",
    )
    parser.add_argument(
        "--only", choices=SAMPLES, metavar="NAME", help=f"one of {', '.join(SAMPLES)}; all of them when left out"
    )
    parser.add_argument(
        "--words",
        type=Path,
        default=WORD_LIST,
        metavar="PATH",
        help="web2 of Debian's miscfiles (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).parent,
        metavar="DIR",
        help="folder to write to (default: this package)",
    )
    options = parser.parse_args(arguments)
    try:
        for name in [options.only] if options.only else SAMPLES:
            card = remake(name, options.out, words=options.words)
            print(f"{name}: {card['parameters']} parameters, {card['held_out']}")
    except (ImportError, OSError, ValueError) as problem:
        print(f"remake: {problem}", file=sys.stderr)
        return 2
    return 0


def remake(name: str, folder: Path, *, words: Path = WORD_LIST) -> dict[str, Any]:
    """Makes one sample, writes its files to `folder` and returns its card. Training sets torch's seed, thread count and
    deterministic mode.

    Raises ValueError for an unknown name, a missing folder and for a missing or foreign word list, ImportError where
    scikit-learn is missing.
    """
    weights = folder / weights_path(name).name
    if not folder.is_dir():
        raise ValueError(f"output folder {str(folder)!r} does not exist; make it first or give another with --out")
    makers: dict[str, Callable[[], tuple[dict[str, Tensor], dict[str, Any]]]] = {
        "digits-mlp": lambda: make_digits(
            "digits-mlp", folder, architecture="perceptron 64-256-128-10, ReLU", epochs=60
        ),
        "digits-cnn": lambda: make_digits("digits-cnn", folder, architecture=CNN_ARCHITECTURE, epochs=40),
        "words-transformer": lambda: make_words(folder, words=words),
        "outliers": make_outliers,
    }
    tensors, facts = makers[name]()
    # One metadata key only, since the writer puts several in random order; `save_file` would make the file unreadable
    # for other users
    weights.write_bytes(save(tensors, metadata={"format": "pt"}))
    card = {"name": name} | facts | describe_files(weights, tensors)
    (folder / f"{name}.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    return card


def make_digits(name: str, folder: Path, *, architecture: str, epochs: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Trains a digits sample and writes digits.npz and digits-train.npz."""
    data = split_digits()
    write_digits(data, folder)
    images, labels = torch.from_numpy(data.images), torch.from_numpy(data.labels)
    model = _build_seeded(name)
    batches = list(digit_batches(images, labels, epochs=epochs, size=64, generator=torch.Generator().manual_seed(SEED)))
    recipe = _train(model, batches, epochs=epochs, peak_rate=3e-3)
    with torch.inference_mode():
        held_out = measure_accuracy(
            model, torch.from_numpy(data.held_out_images), torch.from_numpy(data.held_out_labels)
        )
    source = DIGITS_DATA | {"source_version": f"scikit-learn {version('scikit-learn')}"}
    facts = {
        "task": "classify handwritten digits 0..9",
        "architecture": architecture,
        "data": source,
        "evaluation_data": evaluation_path(name).name,
        "training_data": training_path(name).name,
    }
    return model.state_dict(), facts | {
        "held_out": held_out,
        "baselines": {"accuracy_by_chance": 0.1},
        "seed": SEED,
        "training": recipe,
    }


def make_words(folder: Path, *, words: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Trains words-transformer and writes words.npz and words-train.npz."""
    data = split_words(words)
    write_words(data, folder)
    model = _build_seeded("words-transformer")
    batches = list(
        word_batches(torch.from_numpy(data.words), epochs=3, size=192, generator=torch.Generator().manual_seed(SEED))
    )
    recipe = _train(model, batches, epochs=3, peak_rate=3e-3)
    with torch.inference_mode():
        held_out = measure_loss(model, torch.from_numpy(data.held_out))
    facts = {
        "task": "predict the next character of an English word, its end included",
        "architecture": "decoder of 3 pre-norm blocks, width 128, 4 heads, GELU network of width 512, learned "
        "positions, vocabulary of 27, context of 25",
        "data": WORDS_DATA,
        "evaluation_data": evaluation_path("words-transformer").name,
        "training_data": training_path("words-transformer").name,
    }
    baselines = {
        "unigram_nats_per_character": unigram_loss(data.words, data.held_out),
        "uniform_nats_per_character": float(np.log(27)),
    }
    return model.state_dict(), facts | {"held_out": held_out, "baselines": baselines, "seed": SEED, "training": recipe}


def write_digits(data: DigitsSplit, folder: Path) -> None:
    """Writes both parts, the held-out one and the one to train on."""
    held_out, train_on = (folder / path("digits-mlp").name for path in (evaluation_path, training_path))
    np.savez_compressed(held_out, images=data.held_out_images, labels=data.held_out_labels)
    np.savez_compressed(train_on, images=data.images, labels=data.labels)


def write_words(data: WordsSplit, folder: Path) -> None:
    """Writes the held-out words and the first SHIPPED_WORDS of the others, which the split has put in random order."""
    held_out, train_on = (folder / path("words-transformer").name for path in (evaluation_path, training_path))
    np.savez_compressed(held_out, words=data.held_out)
    np.savez_compressed(train_on, words=data.words[:SHIPPED_WORDS])


def make_outliers() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Draws the synthetic tensors; the card carries the recipe and the theoretical moments of each."""
    facts = {
        "task": "none: tensors for studying heavy tails, outlier channels, a tiny row and a massive element",
        "architecture": "tensors named as one block of a large language model; no module runs them",
        "data": {"name": "synthetic", "source": "sample_models/outliers.py", "licence": "Apache-2.0", "split": "none"},
        "evaluation_data": None,
        "training_data": None,
        "held_out": None,
        "baselines": None,
        "seed": outliers.SEED,
        "training": None,
        "tensors": [recipe.describe() for recipe in outliers.RECIPES],
    }
    return outliers.draw_tensors(), facts


def describe_files(weights: Path, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Size, digest, versions and the command that remakes the sample; BatchNorm's statistics are counted in `elements`,
    not in `parameters`.
    """
    learned = [
        x for name, x in tensors.items() if not name.endswith(("running_mean", "running_var", "num_batches_tracked"))
    ]
    return {
        "parameters": sum(x.numel() for x in learned),
        "elements": sum(x.numel() for x in tensors.values()),
        "size_bytes": weights.stat().st_size,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in ("torch", "numpy", "safetensors")},
        "remake": f"python -m sample_models.remake --only {weights.stem}",
    }


def _build_seeded(name: str) -> nn.Module:
    torch.manual_seed(SEED)
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    return build_model(name)


def _train(model: nn.Module, batches: list[Batch], *, epochs: int, peak_rate: float) -> dict[str, Any]:
    weight_decay = 0.01
    train(model, batches, peak_rate=peak_rate, weight_decay=weight_decay)
    return {
        "optimizer": "AdamW",
        "schedule": "one cycle, warm-up over 10 % of the steps",
        "peak_rate": peak_rate,
        "weight_decay": weight_decay,
        "epochs": epochs,
        "batch": len(batches[0][0]),
        "steps": len(batches),
        "threads": THREADS,
    }


if __name__ == "__main__":
    sys.exit(main())
