"""Which formats did ModelOpt choose? A result of its search holds no scores but a format for each layer: pins.

`quantization` has `quant_algo`, one word for all layers but those in `exclude_modules` (with * for any letters), or
MIXED_PRECISION and `quantized_layers` with one word for each; `group_size` beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from qanalysis.notation import quote
from qanalysis.plans.candidates import Candidates, Options
from qanalysis.plans.scores.names import match_entries
from qanalysis.plans.scores.score_file import ScoreFile, list_names
from qanalysis.quantizers.scheme import Scheme

KIND = "ModelOpt result"
_WAY_OUT = "give an hf_quant_config.json that ModelOpt wrote"
_MIXED = "MIXED_PRECISION"
#: What the words ask of a weight; {group} is the group_size beside them. Symmetric integers are of 2^b codes, absmax on
#: the largest positive one.
_SCHEMES = {
    "NVFP4": "nvfp4",
    "NVFP4_AWQ": "nvfp4",
    "NVFP4_SVDQUANT": "nvfp4",
    "W4A8_NVFP4_FP8": "nvfp4",
    "W4A16_NVFP4": "nvfp4",
    "MXFP4": "mxfp4",
    "W4A8_MXFP4_FP8": "mxfp4",
    "MXFP8": "mxfp8_e4m3",
    "FP8": "fp8_e4m3 tensor",
    "FP8_PER_CHANNEL_PER_TOKEN": "fp8_e4m3 channel",
    "FP8_PB_WO": "fp8_e4m3 block=128x128",
    "FP8_PB_REAL": "fp8_e4m3 block=128x128",
    "FP8_BLOCK_SCALES": "fp8_e4m3 block=128x128",
    "W4A16": "int4 group={group}",
    "W4A16_AWQ": "int4 group={group}",
    "INT4_AWQ": "int4 group={group}",
    "W4A8_AWQ": "int4 group={group}",
    "W8A16": "int8 channel",
    "W8A16_SQ": "int8 channel",
    "INT8_SQ": "int8 channel",
    "INT8_WO": "int8 channel",
    "W8A8_SQ_PER_CHANNEL": "int8 channel",
}
_GROUP = 128


@dataclass(frozen=True, slots=True, eq=False)
class Pins:
    """What a file decides: the scheme of a tensor by its name, and the tensors that it keeps as they are.

    `notes` say what of the file found no tensor, or no candidate of exactly that scheme.
    """

    file: str
    kind: str
    schemes: Mapping[str, str]
    excluded: Sequence[str] = ()
    notes: Sequence[str] = field(default_factory=tuple)


def recognise(file: ScoreFile) -> bool:
    """A part `quantization` with a quant_algo, or such a part by itself."""
    return _find_part(file.document) is not None


def _find_part(document: Any) -> Mapping[str, Any] | None:
    if not isinstance(document, dict):
        return None
    for part in (document.get("quantization"), document.get("quantization_config"), document):
        if isinstance(part, dict) and "quant_algo" in part:
            return part
    return None


def pin(file: ScoreFile, candidates: Candidates) -> Pins:
    """The pins of the tensors; ValueError where the file is damaged, names a format that is not known here, or no
    tensor.
    """
    part = _find_part(file.document) or {}
    try:
        wanted, excluded = _choose(file, part, candidates)
    except (TypeError, AttributeError):
        raise file.refuse(f"is not of the form that ModelOpt writes; {_WAY_OUT}") from None
    notes, schemes = list[str](), dict[str, str]()
    missing = list[str]()
    for one in candidates.options:
        text = wanted.get(one.tensor.name)
        if text is not None:
            schemes[one.tensor.name], is_there = _find_candidate(one, text)
            missing += [] if is_there else [f"{one.tensor.name}: {text}"]
    if missing:
        notes.append(f"{len(missing)} tensors have no row of the format that it chose: {list_names(missing)}")
    return Pins(file.name, KIND, schemes, excluded, notes)


def _choose(file: ScoreFile, part: Mapping[str, Any], candidates: Candidates) -> tuple[dict[str, str], list[str]]:
    """The scheme of each tensor's name, and the names that stay as they are."""
    tensors = [one.tensor for one in candidates.options]
    patterns = [str(one) for one in part.get("exclude_modules") or part.get("ignore") or ()]
    layers = part.get("quantized_layers") or {}
    if part["quant_algo"] != _MIXED and not layers:
        text = _translate(file, part, "quant_algo")
        kept = [one.name for one in tensors if one.role != "weight" or _is_excluded(one.names, patterns)]
        return {one.name: text for one in tensors if one.name not in kept}, kept
    texts = {name: _translate(file, entry, f"quant_algo of {quote(name)}") for name, entry in layers.items()}
    matched = match_entries(tensors, texts)
    if not matched:
        raise file.refuse(
            f"none of its {len(texts)} layers ({list_names(list(texts), 2)}) is a tensor of these rows "
            f"({list_names([one.name for one in tensors], 2)}); give the result of this model"
        )
    return {name: texts[hit.name] for name, hit in matched.items()}, [
        one.name for one in tensors if one.name not in matched
    ]


def _translate(file: ScoreFile, entry: Mapping[str, Any], place: str) -> str:
    word = str(entry.get("quant_algo")).upper()
    if word not in _SCHEMES:
        raise file.refuse(f"{place} is {quote(word)}, known are {', '.join(_SCHEMES)}")
    group = entry.get("group_size") or _GROUP
    if isinstance(group, bool) or not isinstance(group, int) or group < 1:
        raise file.refuse(f"group_size beside {place} is {quote(group)}, must be a whole number from 1 on")
    return str(Scheme.parse(_SCHEMES[word].format(group=group)))


def _is_excluded(names: Sequence[str], patterns: Sequence[str]) -> bool:
    """Whether a pattern is the tensor's module, one above it, or its last part."""
    modules = [name.removesuffix(".weight") for name in names]
    return any(
        fnmatchcase(module, pattern) or fnmatchcase(module, f"{pattern}.*") or fnmatchcase(module, f"*.{pattern}")
        for module in modules
        for pattern in patterns
    )


def _find_candidate(options: Options, text: str) -> tuple[str, bool]:
    """The tensor's candidate of the format and grouping, the same symmetry first, and whether there is one."""
    if text in options.schemes:
        return text, True
    wanted = Scheme.parse(text)
    for scheme in options.schemes:
        one = Scheme.parse(scheme)
        if (one.format, one.grouping) == (wanted.format, wanted.grouping):
            return scheme, True
    return text, False
