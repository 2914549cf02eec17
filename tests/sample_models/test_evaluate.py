"""Are the accuracy and the loss on the cards what the shipped weights reach on the shipped held-out data?"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from sample_models import evaluation_path, read_card, training_path, weights_path
from sample_models.datasets import (
    HELD_OUT_DIGITS,
    SHIPPED_WORDS,
    WordsSplit,
    decode_words,
    encode_words,
    split_digits,
    split_words,
    unigram_loss,
)
from sample_models.evaluate import MODELS, build_model, evaluate, load_model
from sample_models.remake import write_digits, write_words
from sample_models.training import IGNORED, digit_batches, read_batch, train, word_batches, word_tensors


@pytest.mark.parametrize(("name", "goal"), [("digits-mlp", 0.96), ("digits-cnn", 0.98)])
def test_digits_accuracy_on_the_card_is_reached_by_the_shipped_weights(name: str, goal: float) -> None:
    card, measured = read_card(name)["held_out"], evaluate(name)
    assert measured["count"] == card["count"] == HELD_OUT_DIGITS
    assert (
        abs(measured["correct"] - card["correct"]) <= 1
    )  # one image may sit on the border between two logits and fall either way on another processor
    assert card["accuracy"] == card["correct"] / card["count"] >= goal


def test_words_loss_on_the_card_is_reached_and_far_below_the_unigram_loss() -> None:
    card, measured = read_card("words-transformer"), evaluate("words-transformer")
    # float32 sums of at most 512 products err by less than 512 * 2^-24 = 3e-5 of themselves, in three blocks one after the other
    assert measured["loss_nats_per_character"] == pytest.approx(card["held_out"]["loss_nats_per_character"], rel=1e-4)
    assert measured["characters"] == card["held_out"]["characters"]
    assert card["held_out"]["loss_nats_per_character"] < 0.75 * card["baselines"]["unigram_nats_per_character"]
    assert card["baselines"]["uniform_nats_per_character"] == pytest.approx(math.log(27), rel=1e-15)


@pytest.mark.parametrize("name", MODELS)
def test_file_holds_exactly_the_tensors_of_the_module(name: str) -> None:
    expected = build_model(name).state_dict()
    stored = load_file(weights_path(name))
    assert {key: (x.shape, x.dtype) for key, x in stored.items()} == {
        key: (x.shape, x.dtype) for key, x in expected.items()
    }
    assert read_card(name)["parameters"] == sum(x.numel() for x in build_model(name).parameters())


def test_cnn_has_a_depthwise_convolution_and_batch_norm_with_an_integer_counter() -> None:
    model = load_model("digits-cnn")
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    assert any(conv.groups == conv.in_channels > 1 for conv in convolutions)
    assert any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    assert model.state_dict()["bn1.num_batches_tracked"].dtype == torch.int64
    assert not model.training


def test_words_transformer_has_embeddings_attention_and_layer_norm_in_at_least_two_blocks() -> None:
    names = set(load_file(weights_path("words-transformer")))
    for block in (0, 1):
        assert {f"layers.{block}.self_attn.{part}_proj.weight" for part in ("q", "k", "v", "out")} <= names
        assert f"layers.{block}.self_attn_layer_norm.weight" in names
    assert {"embed_tokens.weight", "embed_positions.weight", "lm_head.weight"} <= names


def test_words_transformer_never_looks_ahead() -> None:
    model = load_model("words-transformer")
    one, other = torch.tensor([[0, 3, 1, 20]]), torch.tensor([[0, 3, 1, 5]])
    with torch.inference_mode():
        a, b = model(one), model(other)
    torch.testing.assert_close(a[:, :3], b[:, :3], rtol=0, atol=0)
    assert not torch.equal(a[:, 3], b[:, 3])


def test_other_weights_give_another_result() -> None:
    weights = load_file(weights_path("digits-mlp"))
    weights["fc3.weight"] = torch.zeros_like(weights["fc3.weight"])
    weights["fc3.bias"] = torch.eye(10)[4]  # every image is called a four
    images = evaluate("digits-mlp", weights)
    assert images["correct"] == round(images["accuracy"] * 450) < 90


def test_missing_tensor_in_other_weights_is_named() -> None:
    weights = load_file(weights_path("digits-mlp"))
    del weights["fc2.bias"]
    with pytest.raises(RuntimeError, match=r"fc2\.bias"):
        evaluate("digits-mlp", weights)


@pytest.mark.parametrize(("name", "reason"), [("outliers", "it holds only tensors"), ("resnet", "unknown name")])
def test_samples_without_a_module_are_refused_with_the_reason(name: str, reason: str) -> None:
    with pytest.raises(
        ValueError, match=f"no module for sample '{name}'; {reason}; modules: digits-mlp, digits-cnn, words-transformer"
    ):
        evaluate(name)


def test_word_tensors_start_with_zero_and_ignore_what_follows_the_end() -> None:
    inputs, targets = word_tensors(torch.from_numpy(encode_words(["cab", "a"])))
    assert inputs.tolist() == [[0, 3, 1, 2], [0, 1, 0, 0]]
    assert targets.tolist() == [[3, 1, 2, 0], [1, 0, IGNORED, IGNORED]]


def test_word_batches_hold_every_word_once_per_epoch() -> None:
    words = ["a", "bee", "sea", "deed", "e"]
    batches = list(
        word_batches(
            torch.from_numpy(encode_words(words)), epochs=2, size=2, generator=torch.Generator().manual_seed(1)
        )
    )
    spelled = [
        "".join(chr(96 + letter) for letter in row if letter) for inputs, _ in batches for row in inputs.tolist()
    ]
    assert len(batches) == 6
    assert sorted(spelled) == sorted(words * 2)


def test_digit_batches_leave_a_short_last_batch_out() -> None:
    images, labels = torch.arange(7 * 64, dtype=torch.float32).reshape(7, 8, 8), torch.arange(7)
    batches = list(digit_batches(images, labels, epochs=1, size=3, generator=torch.Generator().manual_seed(1)))
    assert [len(targets) for _, targets in batches] == [3, 3]
    assert batches[0][0].shape == (3, 1, 8, 8)
    assert torch.equal(batches[0][0][0, 0], images[batches[0][1][0]] / 16)


def test_training_lowers_the_loss_and_ends_in_evaluation_mode() -> None:
    torch.manual_seed(0)
    model = nn.Linear(2, 2)
    inputs, targets = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1])
    train(model, [(inputs, targets)] * 200, peak_rate=0.1, weight_decay=0.0)
    assert torch.equal(model(inputs).argmax(1), targets)
    assert not model.training


def test_shipped_digits_are_the_seeded_split_and_none_is_in_both_parts() -> None:
    split = split_digits()
    with np.load(evaluation_path("digits-mlp")) as shipped:
        assert np.array_equal(split.held_out_images, shipped["images"])
        assert np.array_equal(split.held_out_labels, shipped["labels"])
    with np.load(training_path("digits-mlp")) as shipped:
        assert np.array_equal(split.images, shipped["images"])
        assert np.array_equal(split.labels, shipped["labels"])
    assert len(split.images) + len(split.held_out_images) == 1797
    trained = {image.tobytes() for image in split.images}
    assert not any(image.tobytes() in trained for image in split.held_out_images)


def test_written_digits_are_the_shipped_bytes(tmp_path: Path) -> None:
    write_digits(split_digits(), tmp_path)
    for shipped in (evaluation_path("digits-cnn"), training_path("digits-cnn")):
        assert (tmp_path / shipped.name).read_bytes() == shipped.read_bytes()


def test_words_are_written_in_the_order_of_the_split_and_cut_to_what_ships(tmp_path: Path) -> None:
    words = np.zeros((SHIPPED_WORDS + 5, 24), dtype=np.uint8)
    words[:, 0], words[:3, 0] = 2, 1
    write_words(WordsSplit(words, words[:2]), tmp_path)
    with np.load(tmp_path / training_path("words-transformer").name) as written:
        assert np.array_equal(written["words"], words[:SHIPPED_WORDS])
    with np.load(tmp_path / evaluation_path("words-transformer").name) as written:
        assert len(written["words"]) == 2


def test_a_data_file_is_read_as_inputs_and_targets() -> None:
    images, labels = read_batch(evaluation_path("digits-mlp"))
    assert (images.shape, images.dtype, float(images.max())) == ((450, 1, 8, 8), torch.float32, 1.0)
    assert (labels.shape, labels.dtype) == ((450,), torch.int64)
    tokens, following = read_batch(training_path("words-transformer"))
    assert tokens.shape == following.shape == (SHIPPED_WORDS, 24)  # its longest word has 23 letters
    assert not tokens[:, 0].any()


def test_words_decode_to_what_was_encoded() -> None:
    words = ["zoology", "a", "formaldehydesulphoxylate"]  # the last one has 24 letters, the most that fit
    assert decode_words(encode_words(words)) == words


def test_unigram_loss_of_two_words_by_hand() -> None:
    # train "aab": a 2, b 1, end 1 of 4; held out "ab": -(ln 1/2 + ln 1/4 + ln 1/4) / 3 = 5 ln 2 / 3
    assert unigram_loss(encode_words(["aab"]), encode_words(["ab"])) == pytest.approx(5 * math.log(2) / 3, rel=1e-14)


def test_missing_word_list_names_path_package_and_option(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"word list '.*web2' not found; .*package miscfiles or give --words PATH"):
        split_words(tmp_path / "web2")


def test_another_word_list_is_refused_by_its_digest(tmp_path: Path) -> None:
    other = tmp_path / "words"
    other.write_text("a\nab\n")
    with pytest.raises(ValueError, match=r"has SHA-256 .*, web2 of miscfiles 1\.5 has 2929895ab3fe"):
        split_words(other)
