"""How does a folder of images become samples? As preprocessor_config.json beside the model says, else as they are,
values from 0 to 1.

Subfolders are labels where their names are numbers or those of the model's classes. Images of one size lie in one
block.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qanalysis.arrays import Floats
from qanalysis.models.calibration.samples import Calibration
from qanalysis.models.factory import describe_error
from qanalysis.models.running.model_folder import ModelFolder, read_settings
from qanalysis.models.running.runnable import Runnable
from qanalysis.models.running.silence import silenced
from qanalysis.notation import quote, shorten

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_NEEDS = "images need Pillow; install it with `pip install pillow`"
_DEEPEST = 2
_BILINEAR = 2
_MOST_PIXELS = 1 << 27
#: Steps of a preprocessor that are done here; others that it asks for are told.
_DONE = {"do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb"}


@dataclass(frozen=True, slots=True)
class Preparation:
    """What becomes of an image: converted to `channels`, resized (`size` is height and width, or `shortest` that of the
    shorter side), cut to `crop` in the middle, multiplied by `factor`, less `mean`, divided by `deviation`.
    """

    channels: int
    size: tuple[int, int] | None = None
    shortest: int | None = None
    crop: tuple[int, int] | None = None
    resample: int = _BILINEAR
    factor: float = 1 / 255
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()

    def apply(self, image: Any) -> Floats:
        """The image as (channels, height, width)."""
        done = image.convert(_MODES[self.channels])
        size = self._find_size(done.width, done.height)
        if size is not None and size != (done.height, done.width):
            done = done.resize((size[1], size[0]), resample=self.resample)
        values = np.asarray(done, np.float32).reshape(done.height, done.width, self.channels)
        if self.crop is not None:
            values = _cut(values, *self.crop)
        values = values * np.float32(self.factor)
        if self.mean:
            mean, deviation = np.asarray(self.mean, np.float32), np.asarray(self.deviation, np.float32)
            values = np.divide(values - mean, deviation, dtype=np.float32)
        turned: Floats = np.ascontiguousarray(values.transpose(2, 0, 1), np.float32)
        return turned

    def _find_size(self, width: int, height: int) -> tuple[int, int] | None:
        if self.shortest is None:
            return self.size
        short, long = sorted((width, height))
        longer = int(self.shortest * long / short)
        return (self.shortest, longer) if height <= width else (longer, self.shortest)

    def describe(self) -> str:
        """One sentence for people."""
        parts = [f"images are read as {_MODES[self.channels]}"]
        if self.shortest is not None:
            parts.append(f"resized to {self.shortest} along the shorter side")
        elif self.size is not None:
            parts.append(f"resized to {self.size[0]} x {self.size[1]}")
        if self.crop is not None:
            parts.append(f"cut to {self.crop[0]} x {self.crop[1]} in the middle")
        parts.append(f"multiplied by {self.factor:.6g}")
        if self.mean:
            parts.append(f"less {_list(self.mean)}, divided by {_list(self.deviation)}")
        return ", ".join(parts)


def read_images(path: Path, text: str, model: Runnable, *, samples: int | None) -> Calibration:
    """The images of a folder and of its subfolders, in the order of their names; `text` is what was typed.

    Raises ValueError for a folder without images, for one that can not be read, and where Pillow is not installed.
    """
    try:
        import PIL.Image
    except ImportError:
        raise ValueError(f"{quote(text)}: {_NEEDS}") from None
    files = _list_images(path, text)
    labels, said = _find_labels(files, path, model.folder)
    files = files if samples is None else _spread(files, path, max(samples, 1))
    preparation, notes = prepare(model)
    items = [
        (_read(PIL.Image, file, preparation)[None], None if labels is None else np.array([labels[file.parent.name]]))
        for file in files
    ]
    given = items if labels is not None else [inputs for inputs, _targets in items]
    name = _name_input(model)
    found = Calibration.from_iterable([_put_name(one, name) for one in given], name=text)
    return Calibration(found.blocks, text, found.loss, found.is_logits, None, (*notes, *said))


def _put_name(item: Any, name: str) -> Any:
    if not name:
        return item
    return ({name: item[0]}, item[1]) if isinstance(item, tuple) else {name: item}


def _name_input(model: Runnable) -> str:
    return "pixel_values" if "pixel_values" in model.input_names else ""


def _list_images(path: Path, text: str) -> list[Path]:
    found = list[Path]()
    for place, folders, names in os.walk(path):
        here = Path(place)
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        if len(here.relative_to(path).parts) >= _DEEPEST:
            folders.clear()
        found += [here / name for name in sorted(names) if name.lower().endswith(SUFFIXES)]
    if not found:
        raise ValueError(
            f"the folder {quote(text)} has no images ({', '.join(SUFFIXES)}); text is given as a file, arrays as .npz"
        )
    return found


def _find_labels(
    files: Sequence[Path], path: Path, folder: ModelFolder | None
) -> tuple[Mapping[str, int] | None, list[str]]:
    """The label of each subfolder; None where the folders' names say none."""
    names = sorted({file.parent.name if file.parent != path else "" for file in files})
    if names == [""]:
        return None, []
    classes = {label.lower(): number for label, number in folder.labels.items()} if folder else {}
    if all(name.lower() in classes for name in names):
        return {name: classes[name.lower()] for name in names}, [
            "labels are the classes that subfolders are named after"
        ]
    if all(name.isdecimal() for name in names):
        return {name: int(name) for name in names}, ["labels are the numbers that subfolders are named"]
    shown = ", ".join(quote(name) for name in names[:3])
    return None, [f"subfolders ({shown}{', …' if len(names) > 3 else ''}) name no classes of the model: no loss"]


def _spread(files: Sequence[Path], path: Path, samples: int) -> list[Path]:
    """The first images, those of subfolders in turn, so that few samples are not all of one class."""
    by_folder = dict[Path, list[Path]]()
    for file in files:
        by_folder.setdefault(file.parent if file.parent != path else path, []).append(file)
    ranked = sorted(
        ((place, number, file) for number, group in enumerate(by_folder.values()) for place, file in enumerate(group)),
        key=lambda one: one[:2],
    )
    return [file for _place, _number, file in ranked[:samples]]


def _read(images: Any, file: Path, preparation: Preparation) -> Floats:
    try:
        with silenced(), images.open(file) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels are more than {_MOST_PIXELS}")
            return preparation.apply(image)
    except Exception as error:  # damaged bytes make decoders raise anything
        shown = quote(shorten(f"{file.parent.name}/{file.name}", 120))
        raise ValueError(
            f"image {shown} can not be read ({describe_error(error)}); take it out of the folder"
        ) from error


def prepare(model: Runnable) -> tuple[Preparation, list[str]]:
    """What becomes of an image before this model, and what of it was assumed."""
    folder = model.folder
    settings = read_settings(folder.path / "preprocessor_config.json") if folder else {}
    channels = _count_channels(model, folder)
    if settings:
        preparation, notes = _follow(settings, channels)
        return preparation, [*notes, f"{preparation.describe()}, as preprocessor_config.json says"]
    side = folder.config.get("image_size") if folder else None
    size = _read_size(side)
    preparation = Preparation(channels, size=size)
    kept = "" if size else ", at their own sizes"
    return preparation, [f"{preparation.describe()}{kept}: nothing says how the model wants them"]


def _count_channels(model: Runnable, folder: ModelFolder | None) -> int:
    """Of what the first convolution reads: 1, 3 or 4."""
    said = folder.config.get("num_channels") if folder else None
    shapes = (layer.tensor.shape for layer in model.layers if layer.tensor.role == "weight")
    first = next((shape[1] for shape in shapes if len(shape) == 4), said)
    return first if isinstance(first, int) and first in _MODES else 3


def _follow(settings: Mapping[str, Any], channels: int) -> tuple[Preparation, list[str]]:
    """What preprocessor_config.json of transformers says."""
    size: tuple[int, int] | None = None
    shortest: int | None = None
    if settings.get("do_resize", True):
        said = settings.get("size")
        edge = said.get("shortest_edge") if isinstance(said, dict) else None
        shortest = edge if isinstance(edge, int) else None
        size = _read_size(said)
    crop = _read_size(settings.get("crop_size")) if settings.get("do_center_crop") else None
    factor = settings.get("rescale_factor", 1 / 255) if settings.get("do_rescale", True) else 1
    means = _read_numbers(settings.get("image_mean"), channels) if settings.get("do_normalize", True) else ()
    deviations = _read_numbers(settings.get("image_std"), channels) if means else ()
    resample = settings.get("resample", _BILINEAR)
    asked = [key for key, value in settings.items() if key.startswith("do_") and value is True and key not in _DONE]
    notes = [f"{', '.join(sorted(asked)[:4])} of preprocessor_config.json is not done"] if asked else []
    preparation = Preparation(
        channels,
        size=size,
        shortest=shortest,
        crop=crop,
        resample=resample if resample in range(6) else _BILINEAR,
        factor=float(factor) if isinstance(factor, int | float) else 1 / 255,
        mean=means if deviations else (),
        deviation=deviations,
    )
    return preparation, notes


def _read_size(said: Any) -> tuple[int, int] | None:
    """Height and width, of a number, a pair or a mapping."""
    if isinstance(said, dict):
        said = [said.get("height"), said.get("width")]
    pair = [said, said] if isinstance(said, int) else said
    if isinstance(pair, list) and len(pair) == 2 and all(isinstance(one, int) and 0 < one <= 1 << 14 for one in pair):
        return pair[0], pair[1]
    return None


def _read_numbers(said: Any, count: int) -> tuple[float, ...]:
    numbers = [said] * count if isinstance(said, int | float) else said
    if not isinstance(numbers, list) or not all(isinstance(one, int | float) for one in numbers):
        return ()
    return tuple(map(float, numbers)) if len(numbers) == count else ()


def _cut(values: Floats, height: int, width: int) -> Floats:
    """The middle, filled up with zeros where the image is smaller."""
    tall, wide = max(height - values.shape[0], 0), max(width - values.shape[1], 0)
    if tall or wide:
        values = np.pad(values, ((tall // 2, tall - tall // 2), (wide // 2, wide - wide // 2), (0, 0)))
    top, left = (values.shape[0] - height) // 2, (values.shape[1] - width) // 2
    return values[top : top + height, left : left + width]


def _list(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:.4g}" for number in numbers)
