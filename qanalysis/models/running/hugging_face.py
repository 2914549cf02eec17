"""How is a Hugging Face folder run? config.json says which class of transformers it is, safetensors files fill it.

No code of a folder is ever run, and no pickle is unpickled: packed weights, and those of a checkpoint given beside the
folder, come through this package's own readers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from qanalysis.checkpoints.entries import Evidence
from qanalysis.checkpoints.source import TensorInfo, describe_stored
from qanalysis.models.calibration.samples import Batch
from qanalysis.models.factory import describe_error
from qanalysis.models.running.memory import check_room
from qanalysis.models.running.model_folder import NEEDS_TRANSFORMERS, ModelFolder, read_folder
from qanalysis.models.running.parametrizations import fold_parametrizations
from qanalysis.models.running.silence import silenced
from qanalysis.models.running.tensors import describe_tensors
from qanalysis.models.running.torch_model import TorchModel
from qanalysis.models.running.weights import Mismatch, identify, open_weights, read_state
from qanalysis.notation import quote, shorten
from qanalysis.results.identity import SourceIdentity

_RULE = "only classes that transformers itself ships are run, never a folder's own code"
_NAMED = 3
_MOST = {"layers": 10_000, "labels": 1_000_000}  # transformers makes a name for each label, whatever the weights hold


class HuggingFaceModel(TorchModel):
    """A model of transformers; what it says while it runs is not shown."""

    def compute(self, batch: Batch) -> Tensor:
        with silenced():
            return super().compute(batch)


def open_folder(path: Path, text: str, *, weights: str | None = None) -> HuggingFaceModel:
    """The model of a folder with config.json, in float32; with `weights` a checkpoint in place of the folder's own.

    `text` is what was typed. Raises ValueError for a folder without config.json or weights, damaged files, an
    architecture that transformers does not ship, weights that do not fit, and too little memory.
    """
    folder = read_folder(path, text)
    try:
        with silenced():
            import transformers
    except ImportError:
        raise ValueError(f"{quote(text)}: {NEEDS_TRANSFORMERS}") from None
    with silenced(), torch.random.fork_rng(devices=[]):
        kind = _find_class(transformers, folder, text)
        config = _make_config(transformers, kind, folder, text)
        module, source, notes = _load(transformers, kind, config, folder, text, weights)
    return HuggingFaceModel(module, text, source=source, folder=folder, notes=notes)


def _find_class(transformers: Any, folder: ModelFolder, text: str) -> Any:
    """The class that config.json names, None where it names none that transformers has."""
    name = folder.architecture
    try:
        found = getattr(transformers, name, None) if name.isidentifier() else None
    except Exception as error:  # a class may need a library that is not there
        raise ValueError(f"{quote(text)}: transformers can not load {quote(name)} ({describe_error(error)})") from error
    if isinstance(found, type) and issubclass(found, transformers.PreTrainedModel):
        return found
    model_type = folder.config.get("model_type")
    if not name and not model_type:
        raise ValueError(
            f"config.json of {quote(text)} names neither architectures nor model_type; take another folder"
        )
    if not isinstance(model_type, str) or model_type not in transformers.CONFIG_MAPPING:
        own = "brings code of its own (auto_map)" if folder.config.get("auto_map") else "is not known to transformers"
        said = quote(name or str(model_type))
        raise ValueError(f"{quote(text)}: the architecture {said} {own}; {_RULE}")
    return None


def _make_config(transformers: Any, kind: Any, folder: ModelFolder, text: str) -> Any:
    """The configuration, without what it says of packed weights, which are decoded before they are loaded."""
    plain = {key: value for key, value in folder.config.items() if key not in _LEFT_OUT}
    for what, most in _MOST.items():
        asked = max((value for key, value in plain.items() if what in f"{key}s" and type(value) is int), default=0)
        if asked > most:
            raise ValueError(f"config.json of {quote(text)} asks for {asked} {what}; at most {most} are made")
    config_class = kind.config_class if kind else transformers.CONFIG_MAPPING[folder.config["model_type"]]
    try:
        return config_class.from_dict(plain)
    except Exception as error:  # a damaged entry makes it raise anything
        raise ValueError(
            f"config.json of {quote(text)} is no {config_class.__name__} ({describe_error(error)})"
        ) from error


_LEFT_OUT = (
    "auto_map", "quantization_config", "compression_config", "quantization", "torch_dtype", "dtype",
    "attn_implementation", "_attn_implementation",
)  # fmt: skip


def _load(
    transformers: Any, kind: Any, config: Any, folder: ModelFolder, text: str, weights: str | None
) -> tuple[nn.Module, SourceIdentity, list[str]]:
    kind = kind or _choose_auto(transformers, config, text)
    check_room(_count_bytes(kind, config, text), text)
    place = str(folder.path) if weights is None else weights
    with open_weights(place) as source:
        check_room(4 * sum(info.numel for info in source.tensors if info.decodes), weights or text)
        identity = identify(source, place)
        is_plain = weights is None and not describe_stored(source.tensors) and _has_safetensors(folder.path)
        state = None if is_plain else read_state(source, place, _list_wanted(kind, config, folder, text))
    # shapes that differ are told, and refused below in this package's own words
    options = {"config": config, "dtype": torch.float32, "output_loading_info": True, "ignore_mismatched_sizes": True}
    try:
        if state is None:
            found = kind.from_pretrained(str(folder.path), use_safetensors=True, local_files_only=True, **options)
        else:
            found = kind.from_pretrained(None, state_dict=state, **options)
    except Exception as error:  # transformers raises whatever its readers do
        raise ValueError(f"{quote(text)} can not be loaded ({describe_error(error)})") from error
    module, told = found
    notes = _check_told(module, told, weights or text, text, is_foreign=weights is not None)
    notes += fold_parametrizations(module)
    if (folder.path / "modules.json").is_file():
        notes.append("the output is a vector for each token: what follows in modules.json, such as pooling, is not run")
    return module, identity, notes


def _has_safetensors(path: Path) -> bool:
    return any(path.glob("*.safetensors"))


def _choose_auto(transformers: Any, config: Any, text: str) -> Any:
    try:
        return transformers.MODEL_MAPPING[type(config)]
    except Exception as error:
        raise ValueError(f"{quote(text)}: transformers has no model for {type(config).__name__}; {_RULE}") from error


def _count_bytes(kind: Any, config: Any, text: str) -> int:
    """What the parameters take in float32; 0 where no model without values can be made, for loading says why."""
    try:
        return 4 * sum(value.numel() for value in _make_hollow(kind, config, text).parameters())
    except ValueError:
        return 0


def _list_wanted(kind: Any, config: Any, folder: ModelFolder, text: str) -> Mapping[str, TensorInfo]:
    """The tensors of a model that is not made."""
    shapes = {name: tuple(value.shape) for name, value in _make_hollow(kind, config, text).state_dict().items()}
    return describe_tensors(shapes, Evidence(config=folder.config))


def _make_hollow(kind: Any, config: Any, text: str) -> nn.Module:
    """The model with shapes and no values."""
    try:
        with torch.device("meta"):
            module: nn.Module = kind(config)
    except Exception as error:  # transformers raises anything over sizes that make no sense
        raise ValueError(f"{quote(text)} can not be loaded ({describe_error(error)})") from error
    return module


def _check_told(module: nn.Module, told: Mapping[str, Any], weights: str, model: str, *, is_foreign: bool) -> list[str]:
    """Refuses a load that left tensors as they were made, and a foreign file that has more than the model; a note where
    the folder's own file has more.
    """
    extra = sorted(told["unexpected_keys"])
    shapes = [
        f"{shorten(str(one[0]), 80)} {_cross(one[1])} against {_cross(one[2])}" for one in told["mismatched_keys"]
    ]
    wanted = sum(1 for _ in module.state_dict())
    Mismatch(wanted, sorted(told["missing_keys"]), extra if is_foreign else (), sorted(shapes)).refuse(weights, model)
    errors = told.get("error_msgs") or []
    if errors:
        raise ValueError(f"{quote(model)} can not be loaded ({shorten(' '.join(str(errors[0]).split()), 300)})")
    if not extra:
        return []
    more = ", …" if len(extra) > _NAMED else ""
    named = ", ".join(shorten(name, 80) for name in extra[:_NAMED])
    return [f"{len(extra)} tensors of {shorten(weights, 80)} are not in {type(module).__name__}: {named}{more}"]


def _cross(shape: Any) -> str:
    return "x".join(map(str, shape)) or "one number"
