"""How do the values of a checkpoint get into a model? By name and shape, all that it needs or none.

Packed values are decoded first. Wrappers' parts of names count nothing, buffers may be missing, tied tensors are one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from qanalysis.arrays import Floats
from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.source import CheckpointError, TensorInfo, TensorSource, describe_stored
from qanalysis.models.running.memory import check_room
from qanalysis.models.running.parametrizations import fold_parametrizations
from qanalysis.models.running.renaming import find_renaming, unwrap
from qanalysis.models.running.tensors import Owned, list_tensors
from qanalysis.notation import quote, shorten
from qanalysis.results.identity import SourceIdentity

_NAMED = 3
#: Roles of a file's tensors that a model may do without; others that it lacks say that the file is another model's.
_BESIDE = ("buffer", "optimizer", "average", "scale", "constant")


@dataclass(frozen=True, slots=True)
class Mismatch:
    """What does not fit: names that the file lacks, names that the model lacks, and pairs of unlike shapes, a sentence
    part each. `wanted` is how many tensors the model has.
    """

    wanted: int
    missing: Sequence[str] = ()
    unexpected: Sequence[str] = ()
    shapes: Sequence[str] = ()

    def refuse(self, weights: str, model: str) -> None:
        """ValueError with counts and the first few of each, where anything does not fit."""
        parts = [
            f"{len(names)} {said} ({_list(names)})"
            for names, said in (
                (self.missing, f"of the model's {self.wanted} tensors are not in the file"),
                (self.unexpected, "of the file's are not in the model"),
                (self.shapes, "have another shape"),
            )
            if names
        ]
        if parts:
            raise ValueError(
                f"weights {quote(weights)} do not fit the model {quote(model)}: {'; '.join(parts)}; give the weights "
                "of this very architecture"
            )


def load_weights(module: nn.Module, text: str, *, model: str) -> SourceIdentity:
    """Put the values of a checkpoint into a module; which file it was. `model` is what the module is called.

    All parameters must be there; buffers keep their values where the file has none. Raises ValueError, with the module
    as it was, for a file that can not be read, does not fit, or has unlike values for tied tensors.
    """
    with open_weights(text) as source:
        if not any("parametrizations" in info.name for info in source.tensors):
            fold_parametrizations(module)  # the file has what they compute
        owned = list_tensors(module)
        found = _match(owned, source, text, model)
        for one, infos in found:
            _put(one, [_read(source, info, text) for info in infos], text)
        return identify(source, text)


def open_weights(text: str) -> TensorSource:
    """The checkpoint of a text. Raises ValueError where it can not be opened."""
    try:
        return open_checkpoint(text)
    except CheckpointError as error:
        raise ValueError(f"weights: {error}") from None


def identify(source: TensorSource, text: str) -> SourceIdentity:
    """Which file it is; its digest is computed when it is asked for, and None where the file is then another one."""
    size_bytes = source.size_bytes

    def digest() -> str | None:
        with suppress(CheckpointError, OSError), open_checkpoint(text) as again:
            return again.digest if again.size_bytes == size_bytes else None
        return None

    return SourceIdentity(source.name, size_bytes, digest, stored=describe_stored(source.tensors))


def read_state(source: TensorSource, text: str, wanted: Mapping[str, TensorInfo]) -> dict[str, Tensor]:
    """All values of a checkpoint in float32 by name, as a model names them that has the `wanted` tensors or some of
    them. Packed stacks of matrices are turned to lie as the model has them.

    Raises ValueError where there is no room, and where a tensor can not be decoded.
    """
    infos = [info for info in source.tensors if _is_value(info)]
    check_room(4 * sum(info.numel for info in infos), text)
    shapes = {name: info.shape for name, info in wanted.items()}
    renaming = find_renaming({info.name: info.shape for info in infos}, shapes)
    state = dict[str, Tensor]()
    for info in infos:
        if info.decodes:
            values = torch.from_numpy(np.array(_read(source, info, text)))
            for name in map(renaming, _name(info)):
                state[name] = values.mT.contiguous() if _is_turned(info, wanted.get(name)) else values
        elif info.role in {"weight", "embedding"}:
            raise ValueError(f"weights {quote(text)}: {quote(info.name)} can not be decoded ({_say_why(info)})")
    return state


def _is_value(info: TensorInfo) -> bool:
    return info.role not in {"optimizer", "average"} and (info.decodes or info.role in {"weight", "embedding"})


def _match(
    owned: Sequence[Owned], source: TensorSource, text: str, model: str
) -> list[tuple[Owned, Sequence[TensorInfo]]]:
    """Each tensor of the model that the file has, with its values' lines there: several where it is tied and the file
    has it under several names.
    """
    infos = [info for info in source.tensors if _is_value(info)]
    shapes = {name: one.info.shape for one in owned for name in _name(one.info)}
    renaming = find_renaming({name: info.shape for info in infos for name in _name(info)}, shapes)
    by_name = {renaming(name): info for info in infos for name in _name(info)}
    found = list[tuple[Owned, Sequence[TensorInfo]]]()
    missing, unlike, used = list[str](), list[str](), set[str]()
    for one in owned:
        here = {info.name: info for name in _name(one.info) if (info := by_name.get(unwrap(name)))}
        used.update(here)
        wrong = [info for info in here.values() if not _fits(info, one.info)]
        if wrong:
            unlike.append(
                f"{shorten(one.info.name, 80)} {wrong[0].shape_text or 'one number'} against "
                f"{one.info.shape_text or 'one number'}"
            )
        elif here:
            found.append((one, list(here.values())))
        elif isinstance(one.value, nn.Parameter):
            missing.append(one.info.name)
    extra = [info.name for info in infos if info.name not in used and info.role not in _BESIDE]
    Mismatch(len(owned), missing, extra, unlike).refuse(text, model)
    return found


def _fits(info: TensorInfo, wanted: TensorInfo) -> bool:
    """Whether the shapes are one; packed matrices may lie the other way round than the model has them."""
    return info.shape == wanted.shape or (
        bool(info.stored) and len(info.shape) == 2 and info.shape[::-1] == wanted.shape
    )


def _is_turned(info: TensorInfo, wanted: TensorInfo | None) -> bool:
    """Whether a packed stack of matrices lies (expert, out, in) and the model has (expert, in, out)."""
    if wanted is None or not info.stored or len(info.shape) != 3 or len(wanted.shape) != 3:
        return False
    return info.view.rows == (0, 1) and wanted.view.rows == (0, 2)


def _put(one: Owned, values: Sequence[Floats], text: str) -> None:
    first = values[0]
    if any(not np.array_equal(first, other, equal_nan=True) for other in values[1:]):
        raise ValueError(
            f"weights {quote(text)}: the model ties {quote(one.info.name)} to {quote(one.info.aliases[0])}, and the "
            "file has unlike values for them; give the weights of this very architecture"
        )
    shaped = first if first.shape == tuple(one.value.shape) else np.ascontiguousarray(first.T)
    with torch.no_grad():
        one.value.data.copy_(torch.from_numpy(np.array(shaped)))


def _read(source: TensorSource, info: TensorInfo, text: str) -> Floats:
    if not info.decodes:
        raise ValueError(f"weights {quote(text)}: {quote(info.name)} can not be decoded ({_say_why(info)})")
    try:
        return source.read(info)
    except CheckpointError as error:
        raise ValueError(f"weights {quote(text)}: {error}") from None


def _say_why(info: TensorInfo) -> str:
    return shorten(info.reason or f"its type is {info.dtype}", 200)


def _name(info: TensorInfo) -> tuple[str, ...]:
    return (info.name, *info.aliases)


def _list(names: Iterable[str]) -> str:
    listed = [shorten(name, 160) for name in names]
    return ", ".join(listed[:_NAMED]) + (", …" if len(listed) > _NAMED else "")
