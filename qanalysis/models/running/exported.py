"""How does a program of `torch.export` run? Unpacked into its modules again, so that layers are seen and changed.

Loading one may run code of its maker, so it is done only where the user says so. A program that was exported for a
fixed number of samples is given that many at a time, the last ones filled up with repeats that are thrown away.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from qanalysis.models.calibration.samples import FIRST_INPUT, Batch
from qanalysis.models.factory import describe_error
from qanalysis.models.running.memory import check_room
from qanalysis.models.running.runnable import NO_CHANGE, Change, Receive, Side
from qanalysis.models.running.silence import silenced
from qanalysis.models.running.torch_model import TorchModel
from qanalysis.models.running.weights import load_weights
from qanalysis.notation import quote
from qanalysis.results.identity import SourceIdentity

_INSTEAD = "a Hugging Face folder, an .onnx file or package.module:factory"
#: Operations with a switch for training, and its place among the arguments.
_TRAINING = {"aten.dropout.default": 2, "aten.batch_norm.default": 5, "aten.feature_dropout.default": 2}


class ExportedModel(TorchModel):
    """An unpacked program; `batch_size` is the number of samples that it takes, None where it takes any."""

    def __init__(
        self, module: nn.Module, name: str, names: Sequence[str], batch_size: int | None, *, source: SourceIdentity
    ) -> None:
        notes = () if batch_size is None else (f"the program takes {batch_size} samples at a time",)
        super().__init__(module, name, source=source, notes=notes)
        self._given_names, self.batch_size, self._real = tuple(names), batch_size, 0

    @property
    def input_names(self) -> Sequence[str]:
        return self._given_names

    @property
    def placed_names(self) -> Sequence[str]:
        names = tuple(self._given_names)
        return names if FIRST_INPUT in names else (FIRST_INPUT, *names)

    def watch(
        self,
        batch: Batch,
        layers: Sequence[str],
        receive: Receive,
        *,
        side: Side = "input",
        change: Change = NO_CHANGE,
    ) -> Tensor:
        def receive_real(name: str, values: Tensor) -> None:
            is_whole = values.ndim > 0 and len(values) == self.batch_size
            receive(name, values[: self._real] if is_whole else values)

        return super().watch(batch, layers, receive_real, side=side, change=change)

    def compute(self, batch: Batch) -> Tensor:
        if self.batch_size is None:
            return super().compute(batch)
        outputs = list[Tensor]()
        for piece in _cut(batch, self.batch_size):
            self._real = min(self.batch_size, len(batch) - len(outputs) * self.batch_size)
            outputs.append(super().compute(piece)[: self._real])
        return torch.cat(outputs)


def _cut(batch: Batch, count: int) -> Iterator[Batch]:
    """Pieces of exactly `count` samples, the last filled up with its last one."""
    for start in range(0, len(batch), count):
        piece = batch.cut(start, start + count)
        missing = count - len(piece)
        if missing:
            inputs = {
                name: torch.cat([one, one[-1:].expand(missing, *one.shape[1:])]) for name, one in piece.inputs.items()
            }
            piece = replace(piece, inputs=inputs, targets=None)
        yield piece


def is_program(path: Path) -> bool:
    """Whether a file is a program of torch.export, by its suffix."""
    return path.suffix.lower() == ".pt2"


def is_script(path: Path) -> bool:
    """Whether a file is a program of TorchScript: an archive of torch with code in it."""
    with suppress(OSError, zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
        return any(name.partition("/")[2].startswith("code/") for name in archive.namelist())
    return False


def refuse_script(text: str) -> ValueError:
    """Why a program of TorchScript is not run."""
    return ValueError(
        f"{quote(text)} is a program of TorchScript, whose layers can not be changed one at a time; save the model "
        f"with torch.export, or give {_INSTEAD}"
    )


def open_program(text: str, *, weights: str | None = None, trust_code: bool = False) -> ExportedModel:
    """The program of a .pt2 file, with `weights` of a checkpoint in place of its own.

    Raises ValueError without `trust_code`, and for a file that is missing, damaged, compiled for one machine, exported
    in training mode, larger than memory, or does not fit the weights.
    """
    path = Path(text)
    if not path.is_file():
        raise ValueError(f"the program {quote(text)} does not exist; give a .pt2 file that torch.export saved")
    if not trust_code:
        raise ValueError(
            f"{quote(text)} is a program of torch.export, and loading one may run code of its maker; say --trust-code "
            f"if you trust them, or give {_INSTEAD}"
        )
    check_room(path.stat().st_size, text)
    try:
        with silenced():
            program: Any = torch.export.load(path)
            module: Any = torch.export.unflatten(program)
    except Exception as error:  # damaged bytes, operators that are not there, versions: whatever the loader meets
        raise ValueError(
            f"the program {quote(text)} can not be loaded ({describe_error(error)}); save it again with "
            "torch.export.save in the installed version of torch"
        ) from error
    _check_mode(program, text)
    names, batch_size = _describe_inputs(program)
    source = _identify(path) if weights is None else load_weights(module, weights, model=text)
    return ExportedModel(module, text, names, batch_size, source=source)


def _identify(path: Path) -> SourceIdentity:
    import hashlib

    def digest() -> str:
        with path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"

    return SourceIdentity(path.name, path.stat().st_size, digest)


def _check_mode(program: Any, text: str) -> None:
    for node in program.graph.nodes:
        place = _TRAINING.get(str(node.target))
        if place is not None and len(node.args) > place and node.args[place] is True:
            raise ValueError(
                f"the program {quote(text)} was exported in training mode, so that its outputs are random; call "
                "model.eval() before torch.export"
            )


def _describe_inputs(program: Any) -> tuple[list[str], int | None]:
    """Names of the inputs in their order, and the number of samples that they are fixed to."""
    wanted = list(program.graph_signature.user_inputs)
    found = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    tensors = [found[name] for name in wanted if isinstance(found.get(name), Tensor) and found[name].ndim]
    sizes = {value.shape[0] if type(value.shape[0]) is int else None for value in tensors}
    fixed = sizes.pop() if len(sizes) == 1 else None
    return [name for name in wanted if isinstance(name, str)], fixed
