"""How do activations become tensors of a source? Values of a calibration run go to a file on disk, and are read as any
checkpoint's, kind "activation".

An input or output is (tokens, features): a channel is a token, channel=1 a feature. Keys and values are (tokens, heads,
channels): of keys a channel is one of a head's channels over all tokens, of values one token of a head.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np

from qanalysis.arrays import Floats
from qanalysis.checkpoints.source import FLOAT_DTYPES, CheckpointError, TensorInfo, TensorSource
from qanalysis.models.activations.activation_sums import ActivationSums
from qanalysis.models.activations.gathering import choose_layers, plan_looks, stream_activations
from qanalysis.models.activations.places import Look, Place
from qanalysis.models.activations.spilling import DISK_BYTES, SpillFile
from qanalysis.models.calibration.samples import Calibration
from qanalysis.models.running.runnable import Layer, Runnable
from qanalysis.notation import quote, shorten, size
from qanalysis.quantizers.matrix_view import ALONG_FIRST, MatrixView

#: Of keys a channel is kept apart over all tokens (rows are heads and channels), of values a token (rows are tokens and
#: heads): Liu et al. 2024, KIVI.
_VIEWS = {"keys": MatrixView((1, 2)), "values": MatrixView((0, 1))}
MEANING = (
    "activations are matrices, rows are tokens and columns are features: tensor is one static range over all "
    "calibration values, channel a range of each token, made when it runs, channel=1 one static range of each feature, "
    "group=N and blocks run along the features of a token"
)
CACHE_MEANING = (
    "keys and values are (tokens, heads, channels): of keys channel is a channel of a head over all tokens and groups "
    "run along tokens, of values channel is a token of a head and groups run along its channels"
)
_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Seen:
    """What a run told of one activation: its sums over all tokens, and the number type that it had."""

    place: Place
    sums: ActivationSums
    dtype: str


class ActivationSource(TensorSource):
    """The activations of a model on calibration data, as tensors in the order of the model.

    Sums are over all tokens; values are all tokens where they have room on disk, else evenly drawn whole ones, which
    `notes` and each tensor's own note say. Close it when done: the file has no name and goes with it.
    """

    measures_vectors = True

    def __init__(
        self,
        model: Runnable,
        calibration: Calibration,
        *,
        looks: Sequence[Look] = ("input",),
        layers: Sequence[Layer] | None = None,
        is_wanted: Callable[[str], bool] = lambda _name: True,
        batch: int = 64,
        disk_bytes: int = DISK_BYTES,
        on_progress: Callable[[str, int, int], None] | None = None,
        cancel: threading.Event | None = None,
    ) -> None:
        """Run the model on all samples, once for each look, and keep what passes in at most `disk_bytes` on disk.

        Raises ValueError as `plan_looks`, where the model does not run, and where the disk has no room.
        """
        self.name = f"{label(model.name)} on {label(calibration.name)}"
        self._model, self._calibration = model, calibration
        self.plan = plan_looks(model, calibration, choose_layers(model) if layers is None else layers, looks, is_wanted)
        self._places = self.plan.list_places(model)
        self._seen: dict[str, Seen] = {}
        self._file = SpillFile(len(self._places), disk_bytes)
        try:
            self.samples = stream_activations(
                model, calibration, self.plan, self._take, batch=batch, on_progress=on_progress, cancel=cancel
            )
        except BaseException:
            self._file.close()
            raise
        self.memory_note = f"Values lie in a temporary file of at most {size(disk_bytes)}, mapped when read."
        self._tensors = tuple(self._describe(seen) for seen in self.seen)
        self.size_bytes = sum(info.size_bytes for info in self._tensors)
        self.notes = tuple(self._list_notes())

    @property
    def tensors(self) -> tuple[TensorInfo, ...]:
        return self._tensors

    @property
    def seen(self) -> list[Seen]:
        """What was seen of each activation, in the order of the tensors."""
        return [self._seen[place.name] for place in self._places if place.name in self._seen]

    @property
    def unseen(self) -> list[Place]:
        """The activations that no run reached."""
        return [place for place in self._places if place.name not in self._seen]

    @property
    def complete(self) -> bool:
        """Whether all samples ran."""
        return self.samples == len(self._calibration)

    def count_kept(self, name: str) -> tuple[int, int]:
        """How many tokens of an activation are kept, and how many there were."""
        stretch = self._file.stretches[name]
        return stretch.kept, stretch.seen

    def read(self, info: TensorInfo) -> Floats:
        try:
            return self._file.read(info.name).reshape(info.shape)
        except ValueError as error:
            raise CheckpointError(f"{self.name}: {shorten(info.name)} can not be read, the source is closed") from error

    def read_slice(self, info: TensorInfo, start: int, stop: int) -> Floats:
        values: Floats = self.read(info).reshape(-1)[start:stop]
        return values

    def is_sliceable(self, info: TensorInfo) -> bool:  # noqa: ARG002
        return True

    def close(self) -> None:
        self._file.close()

    def _take(self, place: Place, tokens: Floats, dtype: str) -> None:
        if place.name not in self._seen:
            self._seen[place.name] = Seen(place, ActivationSums(tokens.shape[1]), dtype)
        self._seen[place.name].sums.add(tokens)
        self._file.add(place.name, tokens)

    def _describe(self, seen: Seen) -> TensorInfo:
        place, (kept, total) = seen.place, self.count_kept(seen.place.name)
        width = seen.sums.width
        view = _VIEWS.get(place.side, ALONG_FIRST)
        shape = (kept, place.heads, width // place.heads) if place.side in _VIEWS else (kept, width)
        itemsize = FLOAT_DTYPES[seen.dtype].itemsize if seen.dtype in FLOAT_DTYPES else 4
        note = "" if kept == total else f"{kept} of {total} tokens, evenly drawn"
        held = kept * width * itemsize
        return TensorInfo(place.name, shape, seen.dtype, held, view, kind="activation", note=note)

    def _list_notes(self) -> list[str]:
        data = self._calibration
        what = "tokens" if all(block.targets is None for block in data.blocks) else "tokens with a target"
        notes = [f"{self.samples} of {len(data)} samples ran, {data.tokens} {what} in all", MEANING]
        notes += [*self._model.notes, *data.notes]
        if any(seen.place.side in _VIEWS for seen in self.seen):
            notes.append(CACHE_MEANING)
        thinned = [info for info in self._tensors if info.note]
        if thinned:
            notes.append(
                f"{len(thinned)} of {len(self._tensors)} activations outgrew the disk limit; of them evenly drawn "
                f"whole tokens are measured: {_name_some([f'{info.name} {info.note}' for info in thinned])}"
            )
        if self.unseen:
            names = _name_some([place.name for place in self.unseen])
            notes.append(f"never seen in calibration: {len(self.unseen)} activations, {names}")
        return notes

    def _hash_content(self) -> hashlib._Hash:
        digest = hashlib.sha256(f"{self._model.digest}\0{self.samples}".encode())
        for block in self._calibration.blocks:
            for name, values in block.inputs.items():
                digest.update(f"{name}\0{values.dtype}\0{tuple(values.shape)}\0".encode())
                digest.update(np.ascontiguousarray(values.detach().cpu().double().numpy()).data)
        for info in self._tensors:
            digest.update(f"{info.name}\0{info.shape}\0".encode())
        return digest


def label(text: str) -> str:
    """What the user typed, of a path its last part alone.

    >>> label("/models/encoder/"), label("hf://owner/name"), label("sample:digits-mlp")
    ('encoder', 'hf://owner/name', 'sample:digits-mlp')
    """
    return text if "://" in text else PurePath(text).name or text


def _name_some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(quote(shorten(name)) for name in names[:_MOST_NAMED]) + more
