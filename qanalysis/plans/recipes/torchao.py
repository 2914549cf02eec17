r"""What is a plan for torchao? A FqnToConfig: the full name of each module with the configuration of its weight.

JSON is written in the form of `config_to_dict` of torchao 0.18; the script beside it makes the same configuration by
calling torchao, whatever its version. Exact names go before expressions and before `_default`, which is refused where
no filter is given; so every key is an exact name: of the module, or of a parameter that is not called `weight`. A
module kept in float has None.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from qanalysis.plans.plan import Plan
from qanalysis.plans.recipes.differences import tell_grids
from qanalysis.plans.recipes.known import take_known
from qanalysis.plans.recipes.modules import fit_group, list_kept_modules, part_casts, tell_names, tell_ties
from qanalysis.plans.recipes.recipe import Item, Recipe, RecipeFile, Unexpressed
from qanalysis.quantizers.ranges import MinMax
from qanalysis.quantizers.rounding import Rounding
from qanalysis.quantizers.scheme import Scheme
from qanalysis.quantizers.symmetries import SYMMETRIES

_MAPPINGS = {"sym-noclip": "SYMMETRIC_NO_CLIPPING_ERR", "asym": "ASYMMETRIC"}
_SCALES = ("float16", "bfloat16")
_FLOATS = {"fp8_e4m3": "float8_e4m3fn", "fp8_e5m2": "float8_e5m2"}
_GROUPS = tuple(2**power for power in range(13, 2, -1))
_MATRIX, _NVFP4_SIDE = 2, 16


@dataclass(frozen=True, slots=True)
class _Call:
    """A call of a class of torchao or one of its words, as JSON and as Python."""

    name: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1
    asked: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As `config_to_dict` has it: every field, with the class and its version."""
        return {
            "_type": self.name,
            "_version": self.version,
            "_data": {name: _to_json(one) for name, one in self.fields.items()},
        }

    def to_python(self) -> str:
        """As a script calls it: the fields that are asked for."""
        words = [f"{name}={_to_python(self.fields[name])}" for name in self.asked]
        return f"{self.name}({', '.join(words)})"


@dataclass(frozen=True, slots=True)
class _Word:
    """A torch type or a member of an enumeration."""

    kind: str
    name: str


def _to_json(value: Any) -> Any:
    match value:
        case _Call():
            return value.to_json()
        case _Word():
            return {"_type": value.kind, "_data": value.name}
    return value


def _to_python(value: Any) -> str:
    match value:
        case _Call():
            return value.to_python()
        case _Word():
            return f"torch.{value.name}" if value.kind == "torch.dtype" else f"{value.kind}.{value.name}"
    return repr(value)


def write_torchao(plan: Plan, *, partial: bool = False) -> Recipe:
    """FqnToConfig as JSON and a script that applies it; ValueError for a format that torchao has no weight for."""
    items, told = take_known(plan, "torchao", partial=partial)
    quantized, left, uncast = part_casts(items, "torchao")
    told += uncast
    calls = dict[str, _Call | None]()
    done = list[Item]()
    for item in quantized:
        call, missed = _configure(item)
        told += missed
        calls[find_key(item)] = call
        done += [item] if call else []
    for name in (*(find_key(item) for item in left), *list_kept_modules(plan)):
        calls.setdefault(name, None)
    table = {name: call.to_json() if call else None for name, call in calls.items()}
    config = {"_type": "FqnToConfig", "_version": 1, "_data": {"fqn_to_config": table, "module_fqn_to_config": table}}
    files = (
        RecipeFile("torchao_config.json", json.dumps(config, indent=1) + "\n"),
        RecipeFile("torchao_config.py", _write_script(calls)),
    )
    note = (
        "apply it by `quantize_(model, config_from_dict(json.load(open('torchao_config.json'))), filter_fn=None)`: "
        "with a filter FqnToConfig is refused; torchao_config.py makes the same for other versions than 0.18"
    )
    notes = (note, *tell_names(plan, "torchao"), *tell_grids(done, "torchao", lay_grid), *_list_notes(done))
    return Recipe("torchao", files, tuple(told), notes)


def find_key(item: Item) -> str:
    """The module of a tensor called weight, the full name of another parameter."""
    return item.tensor.removesuffix(".weight")


def lay_grid(scheme: Scheme) -> Scheme:
    """The scheme whose grid torchao makes of a planned one."""
    if not scheme.format.is_integer:
        return scheme
    symmetry = scheme.symmetry if str(scheme.symmetry) in _MAPPINGS else SYMMETRIES["sym-full"]
    return replace(scheme, symmetry=symmetry, range=MinMax(), rounding=Rounding())


def _configure(item: Item) -> tuple[_Call | None, list[Unexpressed]]:
    """The configuration of a tensor's scheme, None where it stays in float, and what is not as planned."""
    name = str(item.scheme.format)
    shared, told = _share_scales(item)
    why = _find_obstacle(item, shared.fields.get("group_size"))
    if why:
        return None, [Unexpressed(item.tensor, str(item.scheme), why, "it stays in float")]
    if name.startswith("nvfp4"):
        two_levels = name == "nvfp4"
        asked = () if two_levels else ("use_dynamic_per_tensor_scale",)
        return _Call("NVFP4WeightOnlyConfig", {"use_dynamic_per_tensor_scale": two_levels}, asked=asked), []
    if name in _FLOATS:
        fields = {
            "weight_dtype": _Word("torch.dtype", _FLOATS[name]),
            "set_inductor_config": True,
            "granularity": shared,
        }
        return _Call("Float8WeightOnlyConfig", fields, 2, ("weight_dtype", "granularity")), told
    return _configure_integer(item, shared), told


def _find_obstacle(item: Item, length: int | None) -> str:
    """Why a tensor can not be quantized with groups of a length, None where there are none; empty where it can."""
    is_nvfp4 = str(item.scheme.format).startswith("nvfp4")
    if len(item.shape) not in (0, _MATRIX):
        return f"torchao quantizes matrices, and this tensor has {len(item.shape)} dimensions"
    if item.is_transposed:
        return "torchao lays groups along the last dimension, and this weight is stored with its outputs as columns"
    if is_nvfp4 and not item.tensor.endswith(".weight"):
        return "torchao has nvfp4 for the weight of a module only"
    if is_nvfp4:
        is_odd = any(size % _NVFP4_SIDE for size in item.shape)
        return f"torchao has nvfp4 only for sides that are divisible by {_NVFP4_SIDE}" if is_odd else ""
    if item.shape and length and item.shape[-1] % length:
        return f"rows of {item.shape[-1]} values are not divisible by the group of {length}, which is refused"
    return ""


def _configure_integer(item: Item, shared: _Call) -> _Call:
    scheme = item.scheme
    if shared.name == "PerTensor":
        return _Call(
            "Int8WeightOnlyConfig",
            {"group_size": None, "granularity": shared, "set_inductor_config": True},
            2,
            ("granularity",),
        )
    scale = _Word("torch.dtype", str(scheme.scale)) if str(scheme.scale) in _SCALES else None
    fields = {
        "weight_dtype": _Word("torch.dtype", f"int{scheme.format.bits}"),
        "granularity": shared,
        "mapping_type": _Word("MappingType", _MAPPINGS.get(str(scheme.symmetry), "SYMMETRIC")),
        "scale_dtype": scale,
        "intx_packing_format": _Word("IntxPackingFormat", "UNPACKED_TO_INT8"),
        "intx_choose_qparams_algorithm": _Word("IntxChooseQParamsAlgorithm", "AFFINE"),
    }
    asked = ("weight_dtype", "granularity", "mapping_type", *(["scale_dtype"] if scale else []))
    return _Call("IntxWeightOnlyConfig", fields, 2, asked)


def _share_scales(item: Item) -> tuple[_Call, list[Unexpressed]]:
    """The granularity of a scheme, the next finer one where torchao does not have it."""
    scheme, grouping = item.scheme, item.scheme.grouping
    is_float = not scheme.format.is_integer
    row = _Call("PerRow", {"dim": -1}) if is_float else _Call("PerAxis", {"axis": 0}, asked=("axis",))
    match grouping.rows, grouping.columns:
        case None, None if is_float or (scheme.format.bits == 8 and scheme.symmetry.by_largest):
            return _Call("PerTensor"), []
        case 1, _ if item.has_rows:
            return row, []
        case 1, int(columns):
            return _Call("PerGroup", {"group_size": columns}, asked=("group_size",)), []
    length = fit_group(item, _GROUPS) if grouping.columns else None
    finer = _Call("PerGroup", {"group_size": length}, asked=("group_size",)) if length else row
    told = Unexpressed(
        item.tensor,
        str(scheme),
        f"torchao has no granularity {grouping} for {scheme.format}",
        f"groups of {length} in a row" if length else "one scale for each row",
    )
    return finer, [told]


def _write_script(calls: Mapping[str, _Call | None]) -> str:
    """A module with the configuration and a function that applies it."""
    names = {"NVFP4WeightOnlyConfig": "torchao.prototype.mx_formats"}
    used = dict[str, set[str]]()
    for call in calls.values():
        for name in _list_names(call):
            used.setdefault(names.get(name, "torchao.quantization"), set()).add(name)
    used.setdefault("torchao.quantization", set()).update(("FqnToConfig", "quantize_"))
    imports = [f"from {module} import {', '.join(sorted(found))}" for module, found in sorted(used.items())]
    entries = [f"        ({name!r}, {call.to_python() if call else None})," for name, call in calls.items()]
    return "\n".join(
        [
            '"""The configuration of each layer, and a function that applies them: apply(model)."""',
            "",
            "from collections import OrderedDict",
            "",
            "import torch",
            *imports,
            "",
            "CONFIG = FqnToConfig(",
            "    fqn_to_config=OrderedDict([",
            *entries,
            "    ])",
            ")",
            "",
            "",
            "def apply(model: torch.nn.Module) -> None:",
            '    """Quantize the weights of a model in place."""',
            "    quantize_(model, CONFIG, filter_fn=None)",
            "",
        ]
    )


def _list_names(value: Any) -> list[str]:
    """What a script must import to make a call."""
    match value:
        case _Call():
            return [value.name, *(name for one in value.asked for name in _list_names(value.fields[one]))]
        case _Word() if value.kind != "torch.dtype":
            return [value.kind]
    return []


def _list_notes(items: Sequence[Item]) -> list[str]:
    notes = []
    if any(str(item.scheme.format).startswith("nvfp4") for item in items):
        notes.append("nvfp4 is a prototype of torchao: import torchao.prototype.mx_formats before the JSON is read")
    if any(
        item.scheme.format.is_integer and item.row.dtype not in ("", "float32", str(item.scheme.scale))
        for item in items
    ):
        notes.append("scales are stored in the type of the model's weights where the plan counts float32")
    return [*notes, *tell_ties(items, "torchao")]
