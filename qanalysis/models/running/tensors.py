"""What is each tensor of a module for, and how is it a matrix? Its module's type tells, else names and shapes do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.export.unflatten import InterpreterModule
from torch.nn.modules.conv import _ConvNd as Convolution
from torch.nn.modules.conv import _ConvTransposeNd as ConvTranspose

from qanalysis.checkpoints.entries import Evidence
from qanalysis.checkpoints.roles import assign_roles
from qanalysis.checkpoints.source import Role, TensorInfo
from qanalysis.checkpoints.views import assign_views
from qanalysis.quantizers.matrix_view import ALONG_FIRST, MatrixView

_NORMS = ("BatchNorm", "LayerNorm", "GroupNorm", "InstanceNorm", "RMSNorm", "LocalResponseNorm")
#: Modules of transformers that multiply with a weight (in, out).
_TURNED = ("Conv1D",)
#: Those whose class is known by its name alone, in an exported program.
_STRAIGHT = ("Linear", "Conv1d", "Conv2d", "Conv3d")
_NOTHING = Evidence()


@dataclass(frozen=True, slots=True, eq=False)
class Owned:
    """A tensor of a model: its line of the header, the tensor itself, the module that holds it with its path, and the
    name it has there.
    """

    info: TensorInfo
    value: Tensor
    module: nn.Module
    path: str
    attribute: str


def list_tensors(model: nn.Module, evidence: Evidence = _NOTHING) -> list[Owned]:
    """Every parameter and buffer of the state dict once, in its order; other names of the same memory are aliases.

    `evidence` tells more of what roles and views go by, such as a model's config.json.
    """
    found = dict[tuple[int, tuple[int, ...], torch.dtype], Owned]()
    for path, module, attribute, value in _walk(model):
        name = f"{path}.{attribute}".strip(".")
        key = (value.data_ptr() if value.numel() else -len(found) - 1, tuple(value.shape), value.dtype)
        if key in found:
            first = found[key]
            found[key] = replace(first, info=replace(first.info, aliases=(*first.info.aliases, name)))
        else:
            found[key] = Owned(_describe(name, value), value, module, path, attribute)
    return _assign(list(found.values()), evidence)


def describe_tensors(shapes: Mapping[str, tuple[int, ...]], evidence: Evidence = _NOTHING) -> dict[str, TensorInfo]:
    """The tensors of a model that is not made, by name: roles and views as names and shapes tell."""
    infos = [TensorInfo(name, shape, "float32", 0) for name, shape in shapes.items()]
    return {info.name: info for info in assign_views(assign_roles(infos, evidence), evidence)}


def _walk(model: nn.Module) -> Iterator[tuple[str, nn.Module, str, Tensor]]:
    saved = model.state_dict(keep_vars=True)
    for path, module in model.named_modules(remove_duplicate=False):
        for attribute, value in module.named_parameters(recurse=False, remove_duplicate=False):
            yield path, module, attribute, value
        for attribute, buffer in module.named_buffers(recurse=False, remove_duplicate=False):
            if f"{path}.{attribute}".strip(".") in saved:
                yield path, module, attribute, buffer


def _describe(name: str, value: Tensor) -> TensorInfo:
    word = str(value.dtype).removeprefix("torch.")
    return TensorInfo(name, tuple(value.shape), word, value.nbytes, decodes=value.is_floating_point())


def _assign(owned: list[Owned], evidence: Evidence) -> list[Owned]:
    """Roles and views: by the module's type, else by names and shapes."""
    by_name = assign_views(assign_roles([one.info for one in owned], evidence), evidence)
    return [replace(one, info=_settle(one, named)) for one, named in zip(owned, by_name, strict=True)]


def _settle(one: Owned, named: TensorInfo) -> TensorInfo:
    kind = _find_kind(one)
    if kind is None:
        return named
    role, view = kind
    return replace(one.info, role=role, view=view)


def name_type(module: nn.Module) -> str:
    """The name of a module's class; of a part of an exported program that of the class that it was.

    >>> name_type(nn.Linear(2, 3))
    'Linear'
    """
    name: str = module.type_name() or "" if isinstance(module, InterpreterModule) else type(module).__name__
    return name.rpartition(".")[2]


def _find_kind(one: Owned) -> tuple[Role, MatrixView] | None:
    """What the type of the module says; None where it says nothing."""
    module, attribute, kind = one.module, one.attribute, name_type(one.module)
    if attribute.startswith("bias"):
        return "bias", ALONG_FIRST
    if any(word in kind for word in _NORMS) and isinstance(one.value, nn.Parameter):
        return "norm", ALONG_FIRST
    if not isinstance(one.value, nn.Parameter):
        return "buffer", ALONG_FIRST
    if isinstance(module, nn.Embedding | nn.EmbeddingBag) or kind in {"Embedding", "EmbeddingBag"}:
        return "embedding", ALONG_FIRST
    return _find_multiplied(one)


def _find_multiplied(one: Owned) -> tuple[Role, MatrixView] | None:
    """Of a weight that something is multiplied with."""
    if isinstance(one.module, ConvTranspose):
        return "weight", _view_transposed(one.module)
    if isinstance(one.module, nn.Linear | Convolution | nn.RNNBase | nn.MultiheadAttention):
        return "weight", ALONG_FIRST
    kind = name_type(one.module)
    if kind in _TURNED and one.value.ndim == 2:
        return "weight", MatrixView((1,))
    return ("weight", ALONG_FIRST) if kind in _STRAIGHT and one.value.ndim > 1 else None


def _view_transposed(module: ConvTranspose) -> MatrixView:
    """Outputs along the second axis, (in, out per group, ...): with groups along the first, too."""
    weight, groups = module.weight, module.groups
    if groups == 1:
        return MatrixView((1,))
    return MatrixView((0, 2), (groups, weight.shape[0] // groups, *weight.shape[1:]))


def list_names(infos: Mapping[str, TensorInfo]) -> dict[str, str]:
    """Every name of every tensor, and the first of its names."""
    return {alias: name for name, info in infos.items() for alias in (name, *info.aliases)}
