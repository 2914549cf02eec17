"""Images become what the model's own preprocessor makes of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from qanalysis.models.calibration.opening import open_calibration
from qanalysis.models.running.opening import open_model
from qanalysis.models.running.torch_model import TorchModel
from qanalysis.models.sensitivity.sensitivity import measure_sensitivity

Image = pytest.importorskip("PIL.Image")
Folders = Callable[[str], Path]


def draw(path: Path, *, width: int = 20, height: int = 12, mode: str = "RGB", seed: int = 0) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = {"RGB": (3,), "L": ()}[mode]
    values = np.random.default_rng(seed).integers(0, 256, (height, width, *channels), np.uint8)
    Image.fromarray(values).save(path)
    return values


def make_folder(tmp_path: Path, source: Path, **settings: object) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(source, folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


SETTINGS = {
    "image_processor_type": "ViTImageProcessor",
    "do_resize": True,
    "size": {"height": 16, "width": 16},
    "resample": 3,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.5, 0.25, 0.2],
}


def test_images_are_prepared_as_the_settings_beside_the_model_say(model_folder: Folders, tmp_path: Path) -> None:
    draw(tmp_path / "images" / "one.png")
    model = open_model(str(make_folder(tmp_path, model_folder("vit"), **SETTINGS)))
    data = open_calibration(str(tmp_path / "images"), model)
    with Image.open(tmp_path / "images" / "one.png") as image:
        sized = np.asarray(image.resize((16, 16), resample=3), np.float64)
    expected = (sized / 255 - [0.5, 0.4, 0.3]) / [0.5, 0.25, 0.2]
    found = data.blocks[0].inputs["pixel_values"][0].permute(1, 2, 0)
    # Three operations in float32 on values up to 3.5.
    assert np.abs(found.numpy() - expected).max() <= 3 * 3.5 * 2**-23
    assert data.is_logits
    assert "resized to 16 x 16" in data.notes[0]
    table = measure_sensitivity(model, data, ["int4 channel"], measures=(), floor=False, additivity=False)
    assert {row.status for row in table} == {"ok"}


def test_the_preprocessor_of_transformers_makes_the_same(model_folder: Folders, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    kind = getattr(transformers, "CLIPImageProcessorPil", None) or pytest.skip(
        "this version has none without torchvision"
    )
    settings = {
        **SETTINGS,
        "size": {"shortest_edge": 18},
        "do_center_crop": True,
        "crop_size": {"height": 16, "width": 16},
    }
    draw(tmp_path / "images" / "one.png", width=40, height=25)
    model = open_model(str(make_folder(tmp_path, model_folder("vit"), **settings)))
    found = open_calibration(str(tmp_path / "images"), model).blocks[0].inputs["pixel_values"]
    with Image.open(tmp_path / "images" / "one.png") as image:
        made = kind(**{key: value for key, value in settings.items() if key != "image_processor_type"})
        expected = torch.as_tensor(np.asarray(made(image, return_tensors="np")["pixel_values"]))
    assert torch.allclose(found, expected, atol=3 * 3.5 * 2**-23)


def test_without_settings_images_have_the_size_that_config_says(model_folder: Folders, tmp_path: Path) -> None:
    draw(tmp_path / "images" / "one.png")
    data = open_calibration(str(tmp_path / "images"), open_model(str(model_folder("vit"))))
    assert data.blocks[0].inputs["pixel_values"].shape == (1, 3, 16, 16)
    assert data.notes == (
        "images are read as RGB, resized to 16 x 16, multiplied by 0.00392157: nothing says how the model wants them",
    )


def test_a_model_without_settings_reads_images_as_they_are_in_its_own_channels(tmp_path: Path) -> None:
    for seed, (name, width) in enumerate((("0/a.png", 8), ("0/b.png", 8), ("3/c.png", 9))):
        draw(tmp_path / "digits" / name, width=width, height=8, mode="L", seed=seed)
    data = open_calibration(str(tmp_path / "digits"), open_model("sample:digits-cnn"))
    assert [tuple(block.inputs["x"].shape) for block in data.blocks] == [(2, 1, 8, 8), (1, 1, 8, 9)]
    assert [block.targets.tolist() for block in data.blocks] == [[0, 0], [3]]
    assert (data.loss, data.is_logits) == ("cross-entropy", True)
    assert "at their own sizes" in data.notes[0]


def test_subfolders_are_the_classes_of_the_model_or_no_labels(model_folder: Folders, tmp_path: Path) -> None:
    folder = make_folder(tmp_path, model_folder("vit"), **SETTINGS)
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {"0": "hen", "1": "fox", "2": "mule"}
    (folder / "config.json").write_text(json.dumps(config))
    model = open_model(str(folder))
    draw(tmp_path / "images" / "fox" / "one.png")
    draw(tmp_path / "images" / "Mule" / "two.png", mode="L")
    data = open_calibration(str(tmp_path / "images"), model)
    assert data.blocks[0].targets.tolist() == [2, 1]
    draw(tmp_path / "images" / "cat" / "three.png")
    other = open_calibration(str(tmp_path / "images"), model)
    assert (other.loss, other.is_logits) == (None, True)
    assert other.notes[-1] == "subfolders ('Mule', 'cat', 'fox') name no classes of the model: no loss"


def test_few_samples_are_taken_from_every_subfolder(tmp_path: Path) -> None:
    for place in range(6):
        draw(tmp_path / "digits" / str(place % 2) / f"{place}.png", width=8, height=8, mode="L", seed=place)
    data = open_calibration(str(tmp_path / "digits"), open_model("sample:digits-cnn"), samples=2)
    assert data.blocks[0].targets.tolist() == [0, 1]


def test_steps_that_are_not_done_are_told(model_folder: Folders, tmp_path: Path) -> None:
    draw(tmp_path / "images" / "one.png")
    folder = make_folder(tmp_path, model_folder("vit"), **SETTINGS, do_pad=True)
    data = open_calibration(str(tmp_path / "images"), open_model(str(folder)))
    assert data.notes[0] == "do_pad of preprocessor_config.json is not done"


def test_a_folder_without_images_and_a_damaged_one_are_told(tmp_path: Path) -> None:
    model = TorchModel(torch.nn.Conv2d(3, 2, 3), "conv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty' has no images"):
        open_calibration(str(tmp_path / "empty"), model)
    draw(tmp_path / "cut" / "one.png")
    data = (tmp_path / "cut" / "one.png").read_bytes()
    (tmp_path / "cut" / "one.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"image 'cut/one.png' can not be read .*; take it out") as caught:
        open_calibration(str(tmp_path / "cut"), model)
    assert "\n" not in str(caught.value)
