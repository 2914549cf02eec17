"""What is a file as a whole: a model, an adapter of one, an optimizer's state? One sentence for each thing to know."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from qanalysis.checkpoints.container_keys import find_key
from qanalysis.checkpoints.entries import Evidence
from qanalysis.checkpoints.name_words import split_name
from qanalysis.checkpoints.source import MEASURED_ROLES, TensorInfo
from qanalysis.notation import quote, shorten

_ADAPTER = re.compile(
    r"(?:^|[./])(lora_(a|b|down|up|embedding_[ab]|magnitude_vector)|hada_w\d_[ab]|lokr_w\d(_[ab])?)(?=[./]|$)",
    re.IGNORECASE,
)
_FACTORS = ("lora_", "hada_", "lokr_")
_AVERAGES = ("ema", "shadow", "swa", "averag", "teacher")
_HEAD = re.compile(r"(?:^|[./])(lm_head|output|embed_out|output_projection)[./](weight|kernel)$")
_FLAT = re.compile(r"(?:^|[./])(_?flat_param(_\d+)?|fp32_flat_groups|single_partition_of_fp32_groups)(?=[./]|$)")


def name_nature(infos: Sequence[TensorInfo], evidence: Evidence) -> tuple[str, ...]:
    """Sentences about a file whose tensors have their roles; none for a plain model.

    >>> name_nature([TensorInfo("optimizer.state.0.exp_avg", (2, 2), "float32", 16, role="optimizer")], Evidence())
    ('holds optimizer state only',)
    """
    measured = [info for info in infos if info.role in MEASURED_ROLES]
    names = "\n".join(info.name for info in measured).lower()  # one search over all of them is cheap
    sentences = [
        _tell_adapter(measured) if any(word in names for word in _FACTORS) else "",
        *_tell_states(infos, measured),
        _tell_copy(infos),
        _tell_average(measured) if any(word in names for word in _AVERAGES) else "",
        _tell_tie(measured, evidence),
    ]
    return tuple(filter(None, sentences))


def _tell_adapter(measured: Sequence[TensorInfo]) -> str:
    factors = [info for info in measured if _ADAPTER.search(info.name)]
    if not factors:
        return ""
    others = [info for info in measured if info.is_matrix and not _ADAPTER.search(info.name)]
    if not others:
        return "a LoRA adapter of a base model, not a model"
    names = {info.name for info in others}
    if not any(name in names for info in factors for name in _name_bases(info.name)):
        return "a LoRA adapter of a base model with some layers saved whole, not a model"
    return f"holds {len(factors)} LoRA factors beside the base weights: they are not merged, each is measured by itself"


def _name_bases(name: str) -> Iterator[str]:
    """Names that the base weight of a LoRA factor may have."""
    found = _ADAPTER.search(name)
    stem = name[: found.start()] if found else name
    yield from (f"{stem}{ending}" for ending in (".weight", ".base_layer.weight", "/kernel", ""))


def _tell_states(infos: Sequence[TensorInfo], measured: Sequence[TensorInfo]) -> Iterator[str]:
    if not measured and any(info.role == "optimizer" for info in infos):
        yield "holds optimizer state only"
    flat = next(
        filter(None, (_FLAT.search(info.name) for info in infos if "flat" in info.name or "fp32" in info.name)), None
    )
    if flat:
        yield f"flat shards of FSDP or ZeRO ({flat[1]}) have no layers' shapes: consolidate the checkpoint first"


def _tell_copy(infos: Sequence[TensorInfo]) -> str:
    copy = next((info for info in infos if info.role == "average"), None)
    return f"the averaged copy ({_name_average(copy.name)}) is left out: the plain copy is measured" if copy else ""


def _tell_average(measured: Sequence[TensorInfo]) -> str:
    alone = next((info for info in measured if find_key(split_name(info.name))[0] == "average"), None)
    if alone is None or _name_average(alone.name).lower() == "teacher":
        return ""
    return f"the average ({_name_average(alone.name)}) is the only copy: it is measured as the model"


def _name_average(name: str) -> str:
    parts = split_name(name)
    key, place = find_key(parts)
    part = parts[place] if key == "average" else next((part for part in parts if _is_average(part)), name)
    return shorten(part, 80) if part.isprintable() else quote(part)


def _is_average(part: str) -> bool:
    return any(word in part.lower() for word in _AVERAGES)


def _tell_tie(measured: Sequence[TensorInfo], evidence: Evidence) -> str:
    """A safetensors file keeps one of two tied tensors; only config.json tells that the other exists."""
    inner = evidence.config.get("text_config")
    configs = (evidence.config, inner if isinstance(inner, dict) else {})
    if not any(config.get("tie_word_embeddings") is True for config in configs) or not any(
        info.role == "embedding" for info in measured
    ):
        return ""
    is_there = any(_HEAD.search(name) for info in measured for name in (info.name, *info.aliases))
    return "" if is_there else "lm_head is tied to the embedding: config.json"
