"""Which files of a folder are its model, and what is named as left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper
from safetensors.numpy import save_file

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.folder_choice import Numbered
from tests.checkpoints.damage import refusal


def write(path: Path) -> None:
    """One tensor, named as the file, in the kind that its suffix says."""
    values = np.ones((2, 3), np.float32)
    if path.name.endswith(".json"):
        path.write_text("{}")
    elif path.suffix == ".safetensors":
        save_file({path.name: values}, path)
    elif path.suffix == ".npz":
        arrays: Any = {path.name: values}
        np.savez(path, **arrays)
    elif path.suffix == ".npy":
        np.save(path, values)
    else:
        torch.save({path.name: torch.from_numpy(values)}, path)


CHOICES = {
    "safetensors": (["model.safetensors"], [], ["config.json", "training_args.bin", "optimizer.pt"]),
    "one file of torch": (["pytorch_model.bin"], [], ["optimizer.pt", "rng_state_0.pth", "scheduler.pt"]),
    "any name": (["best.ckpt"], [], ["config.json"]),
    "npz": (["weights.npz"], [], ["config.json"]),
    "safetensors before torch": (["model.safetensors"], ["pytorch_model.bin"], []),
    "main before others": (["pytorch_model.bin"], ["extra.pt"], []),
    "an adapter beside": (["model.safetensors"], ["adapter_model.safetensors"], []),
    "an adapter alone": (["adapter_model.safetensors"], [], ["adapter_config.json"]),
    "a variant beside": (["model.safetensors"], ["model.fp16.safetensors"], []),
    "a variant alone": (["model.fp16.safetensors"], [], []),
    "a set beside one file": (["model-1-of-1.safetensors"], ["consolidated.safetensors"], []),
    "a set of the main name": (["model-1-of-1.safetensors"], ["other-1-of-1.safetensors"], []),
    "several parts": (["text.safetensors", "vision.safetensors"], [], []),
}


@pytest.mark.parametrize(("taken", "left", "ignored"), CHOICES.values(), ids=CHOICES.keys())
def test_a_folder_is_its_main_files(tmp_path: Path, taken: list[str], left: list[str], ignored: list[str]) -> None:
    for name in [*taken, *left, *ignored]:
        write(tmp_path / name)
    with open_checkpoint(tmp_path) as source:
        assert [info.name for info in source.tensors] == taken
        notes = list(source.notes)
    state = [name for name in ignored if not name.endswith(".json")]
    told = [note for note in notes if note.startswith("left out of the folder: ")]
    assert told == ([f"left out of the folder: {', '.join(sorted([*left, *state]))}"] if left + state else [])
    joined = f"{len(taken)} files are read as one model: {', '.join(taken)}"
    assert (joined in notes) == (len(taken) > 1)


REFUSED = {
    "nothing": ([], r"holds no weights and no index of shards \(\*.safetensors.index.json, \*.bin.index.json\)"),
    "state alone": (["optimizer.pt", "training_args.bin"], r"holds no weights"),
    "several of torch": (["one.pt", "two.pt", "three.pt"], r"holds 3 checkpoint files \(one.pt, three.pt, ...\); open"),
    "two sets": (
        ["a-1-of-1.safetensors", "b-1-of-1.safetensors"],
        r"holds parts of 2 sets \(a-1-of-1.safetensors, b-1",
    ),
    "pieces": (["__0_0.distcp", "__1_0.distcp"], r"a distributed checkpoint of torch \(.distcp\)"),
}


@pytest.mark.parametrize(("names", "match"), REFUSED.values(), ids=REFUSED.keys())
def test_a_folder_of_none_or_several_models_is_refused(tmp_path: Path, names: list[str], match: str) -> None:
    for name in names:
        write(tmp_path / name)
    with refusal(match):
        open_checkpoint(tmp_path)


def test_two_copies_under_the_same_names_are_never_joined(tmp_path: Path) -> None:
    for name in ("consolidated.safetensors", "model.safetensors"):
        save_file({"w": np.ones((2, 3), np.float32)}, tmp_path / name)
    with refusal(r"tensor 'w' is in both consolidated.safetensors and model.safetensors"):
        open_checkpoint(tmp_path)


def test_external_data_called_bin_is_not_taken_for_the_model(tmp_path: Path) -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2, 3], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="weights.bin")
    (tmp_path / "weights.bin").write_bytes(np.ones((2, 3), np.float32).tobytes())
    graph = helper.make_graph([], "g", [], [], [tensor])
    (tmp_path / "model.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    with open_checkpoint(tmp_path) as source:
        assert [info.name for info in source.tensors] == ["w"]
        assert source.notes == ()


@pytest.mark.parametrize(
    ("name", "number", "count"),
    [
        ("model-00002-of-00004.safetensors", 2, 4),
        ("model_00002-of-00004.pt", 2, 4),
        ("qwen2.5-7b-q4_k_m-00002-of-00004.gguf", 2, 4),
        ("model.fp16-00002-of-00004.safetensors", 2, 4),
        ("model_00002-of-00004", 2, 4),
    ],
)
def test_a_number_names_the_other_parts(name: str, number: int, count: int) -> None:
    part = Numbered.parse(name)
    assert part is not None
    assert (part.number, part.count) == (number, count)
    assert part.rename(3) == name.replace("00002", "00003")
    assert part.rename(2) == name


@pytest.mark.parametrize("name", ["model.safetensors", "a-of-b.gguf", "1-of.pt", "x" * 300 + "-1-of-2.pt"])
def test_other_names_have_no_number(name: str) -> None:
    assert Numbered.parse(name) is None
