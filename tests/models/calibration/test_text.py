"""Text becomes windows or lines of the model's own tokens, never padded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from qanalysis.models.calibration.opening import open_calibration
from qanalysis.models.running.opening import open_model

transformers = pytest.importorskip("transformers")
Folders = Callable[[str], Path]


def tokenize(folder: Path, text: str) -> list[int]:
    return transformers.AutoTokenizer.from_pretrained(folder)(text)["input_ids"]


def test_a_causal_model_reads_windows_of_the_whole_text(model_folder: Folders, text_file: Path) -> None:
    folder = model_folder("gpt2")
    data = open_calibration(str(text_file), open_model(str(folder)), length=10)
    ids = tokenize(folder, text_file.read_text())
    whole, rest = divmod(len(ids), 10)
    assert [tuple(block.inputs["input_ids"].shape) for block in data.blocks] == [(whole, 10), (1, rest)]
    assert torch.cat([block.inputs["input_ids"].flatten() for block in data.blocks]).tolist() == ids
    assert data.blocks[0].targets is not None
    assert data.blocks[0].targets[1].tolist() == [*ids[11:20], -100]
    assert (data.loss, data.is_logits, data.tokens) == ("cross-entropy", True, whole * 9 + rest - 1)
    assert data.source is not None
    assert (data.source.path, data.source.size) == ("lines.txt", text_file.stat().st_size)


def test_no_window_is_longer_than_the_model_takes(model_folder: Folders, text_file: Path) -> None:
    model = open_model(str(model_folder("llama")))
    assert open_calibration(str(text_file), model).blocks[0].inputs["input_ids"].shape[1] == 24
    with pytest.raises(ValueError, match=r"length 25: the model .* takes at most 24 tokens"):
        open_calibration(str(text_file), model, length=25)
    with pytest.raises(ValueError, match="length 1: "):
        open_calibration(str(text_file), model, length=1)


def test_the_first_windows_are_those_of_the_whole_text(model_folder: Folders, tmp_path: Path, text_file: Path) -> None:
    model = open_model(str(model_folder("gpt2")))
    long = tmp_path / "long.txt"
    long.write_text(text_file.read_text() * 40)
    some, every = open_calibration(str(long), model, samples=3), open_calibration(str(long), model)
    assert len(some) == 3
    assert torch.equal(some.blocks[0].inputs["input_ids"], every.blocks[0].inputs["input_ids"][:3])


@pytest.mark.parametrize("kind", ["encoder", "masked"])
def test_an_encoder_reads_each_line_with_others_of_its_length(kind: str, model_folder: Folders, tmp_path: Path) -> None:
    lines = ["the fox", "", "the quick brown fox", "the hen", "   ", "fox " * 50]
    path = tmp_path / "some.txt"
    path.write_text("\n".join(lines))
    folder = model_folder(kind)
    data = open_calibration(str(path), open_model(str(folder)))
    assert (data.loss, data.is_logits) == (None, kind == "masked")
    expected: dict[int, list[list[int]]] = {}
    for line in ("the fox", "the quick brown fox", "the hen", "fox " * 50):
        ids = tokenize(folder, line)[:24]
        expected.setdefault(len(ids), []).append(ids)
    assert [block.inputs["input_ids"].tolist() for block in data.blocks] == list(expected.values())
    assert set(data.blocks[0].inputs) == {"input_ids", "attention_mask", "token_type_ids"}
    assert [block.first for block in data.blocks] == [0, *[len(data.blocks[0])], len(data) - len(data.blocks[-1])]
    assert data.notes == ("1 of 4 lines have 24 tokens, which is where longer ones are cut",)


def test_the_decoder_of_two_halves_is_given_the_line_itself(model_folder: Folders, text_file: Path) -> None:
    data = open_calibration(str(text_file), open_model(str(model_folder("t5"))), samples=2)
    block = data.blocks[0]
    ids = block.inputs["input_ids"]
    assert block.inputs["decoder_input_ids"][:, 0].tolist() == [2] * len(ids)
    assert torch.equal(block.inputs["decoder_input_ids"][:, 1:], ids[:, :-1])
    assert torch.equal(block.targets, ids)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b" \n\n ", "is empty"),
        (b"one\0two", "no text in UTF-8: byte 3 is zero"),
        (b"caf\xe9", "no text in UTF-8 from byte 3 on"),
        ("the fox".encode("utf-16"), "no text in UTF-8"),
    ],
    ids=["empty", "blank", "zeros", "latin", "utf-16"],
)
def test_what_is_no_text_is_told(content: bytes, said: str, model_folder: Folders, tmp_path: Path) -> None:
    path = tmp_path / "some.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=said):
        open_calibration(str(path), open_model(str(model_folder("gpt2"))))


def test_a_model_without_a_tokenizer_is_told(text_file: Path) -> None:
    with pytest.raises(ValueError, match="'sample:words-transformer' has no tokenizer"):
        open_calibration(str(text_file), open_model("sample:words-transformer"))


def test_a_model_of_images_is_told(model_folder: Folders, text_file: Path) -> None:
    with pytest.raises(ValueError, match=r"takes pixel_values.*, no input_ids; give what it takes"):
        open_calibration(str(text_file), open_model(str(model_folder("vit"))))


def test_a_folder_without_a_tokenizer_is_told(model_folder: Folders, text_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bare"
    shutil.copytree(model_folder("gpt2"), folder, ignore=shutil.ignore_patterns("token*", "special*"))
    with pytest.raises(ValueError, match="'bare' has no tokenizer that can be read") as caught:
        open_calibration(str(text_file), open_model(str(folder)))
    assert "\n" not in str(caught.value)


def test_a_tokenizer_of_another_model_is_told(model_folder: Folders, text_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "foreign"
    shutil.copytree(model_folder("gpt2"), folder)
    model = open_model(str(folder))
    config = {**json.loads((folder / "config.json").read_text()), "vocab_size": 20}
    (folder / "config.json").write_text(json.dumps(config))
    model.folder = type(model.folder)(folder, config)
    with pytest.raises(ValueError, match=r"has the token \d+ and the model 20 words"):
        open_calibration(str(text_file), model)
