"""How good is a sample on its held-out data, with its own weights or with others (quantized ones, for instance)?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from sample_models import SAMPLES, evaluation_path, weights_path
from sample_models.digits_cnn import DigitsCNN
from sample_models.digits_mlp import DigitsMLP
from sample_models.training import digit_tensors, sum_loss, word_tensors
from sample_models.words_transformer import WordsTransformer

MODELS: dict[str, type[nn.Module]] = {
    "digits-mlp": DigitsMLP,
    "digits-cnn": DigitsCNN,
    "words-transformer": WordsTransformer,
}


def build_model(name: str) -> nn.Module:
    """The sample's module with random weights; ValueError for an unknown name and for "outliers", which is only
    tensors.
    """
    if name not in MODELS:
        raise ValueError(
            f"no module for sample {name!r}; {'it holds only tensors' if name in SAMPLES else 'unknown name'}; "
            f"modules: {', '.join(MODELS)}"
        )
    return MODELS[name]()


def load_model(name: str) -> nn.Module:
    """The sample's module with its shipped weights, in evaluation mode; ValueError as in `build_model`."""
    model = build_model(name)
    model.load_state_dict(load_file(weights_path(name)))
    return model.eval()


def evaluate(name: str, state_dict: Mapping[str, Tensor] | None = None) -> dict[str, float]:
    """Held-out result of a sample: `{"accuracy", "correct", "count"}` or `{"loss_nats_per_character", "characters",
    "words"}`.

    Without `state_dict` the shipped weights are measured; with one it must hold exactly the model's tensors.
    ValueError for an unknown name and for "outliers"; RuntimeError of torch for missing or unexpected tensors.

    >>> evaluate("digits-cnn")["accuracy"] >= 0.98
    True
    """
    model = load_model(name)
    if state_dict is not None:
        model.load_state_dict(state_dict)
    with np.load(evaluation_path(name)) as data, torch.inference_mode():
        if name == "words-transformer":
            return measure_loss(model, torch.from_numpy(data["words"]))
        return measure_accuracy(model, torch.from_numpy(data["images"]), torch.from_numpy(data["labels"]))


def measure_accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Share of ink counts `(n, 8, 8)` whose largest logit is the label."""
    inputs, targets = digit_tensors(images, labels)
    correct = int((model(inputs).argmax(1) == targets).sum())
    return {"accuracy": correct / len(targets), "correct": correct, "count": len(targets)}


def measure_loss(model: nn.Module, words: Tensor) -> dict[str, float]:
    """Mean cross-entropy over every letter and every end of words `(n, 24)`, in nats."""
    total, characters = 0.0, 0
    for part in torch.split(words, 500):
        inputs, targets = word_tensors(part)
        total += float(sum_loss(model(inputs), targets))
        characters += int((part > 0).sum()) + len(part)
    return {"loss_nats_per_character": total / characters, "characters": characters, "words": len(words)}
