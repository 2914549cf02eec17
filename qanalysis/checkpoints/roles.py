"""What is a tensor for? Its container's key tells, else its name, else its shape; none overrules one before it.

What a reader or a packed layout knows is not asked again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from qanalysis.checkpoints.container_keys import find_key
from qanalysis.checkpoints.copies import find_copies
from qanalysis.checkpoints.entries import Evidence
from qanalysis.checkpoints.name_words import find_word, is_state_of_one, name_ending, split_name
from qanalysis.checkpoints.siblings import Siblings
from qanalysis.checkpoints.source import MEASURED_ROLES, Role, TensorInfo

_LONE_SCALE = "named as scales of a quantizer whose codes are not in the file: measured as weights"
_MOMENT = re.compile(r"(?<![^./])(mu|nu)(?=[./])")
_STACKED_BIAS = re.compile(r"[bB]\d?")
_WHOLE_NUMBERS = ("int", "uint", "bool")
_SCALE_ENDINGS = ("_scale_inv", "_scales", "_scale", ".scale_inv", ".scales", ".scale")
_MOST_TABLES = 4  # of one row per word: embeddings, heads and their copies
#: Words that a quantizer has for its zero points and others for what is zero.
_ZEROS = {"zero", "zeros"}
#: How a quantizer's codes are named beside their `scale`.
_CODES = ("", ".weight", ".qweight", ".W_q", ".kernel", ".weight_packed", "_blocks")


def assign_roles(infos: Sequence[TensorInfo], evidence: Evidence) -> list[TensorInfo]:
    """The tensors with their roles.

    Averaged copies of weights that the file also holds plain are `average`; where only the average exists it is the
    model. Scales without any codes in a file without any weight become weights with a note.

    >>> infos = [TensorInfo(name, (8, 8), "float32", 256) for name in ("ema.w", "model.w", "optimizer.state.0.exp_avg")]
    >>> [info.role for info in assign_roles(infos, Evidence())]
    ['average', 'weight', 'optimizer']
    """
    parts = [split_name(info.name) for info in infos]
    by_name = {info.name: info for info in infos}
    vocabulary = _find_vocabulary(infos, evidence)
    roles = [_find_role(info, part, by_name, vocabulary) for info, part in zip(infos, parts, strict=True)]
    for place in find_copies(infos, parts, roles):
        roles[place] = "average"
    lone = _find_lone_scales(infos, roles)
    return [
        replace(info, role="weight", note=_join_notes(info.note, _LONE_SCALE))
        if place in lone
        else info
        if info.role == role
        else replace(info, role=role)
        for place, (info, role) in enumerate(zip(infos, roles, strict=True))
    ]


def _find_vocabulary(infos: Sequence[TensorInfo], evidence: Evidence) -> int:
    """The number of words of the model, 0 where it is not known or where so many tensors have that length that it is
    one of layers too.
    """
    words = Siblings({}, evidence.config).read_number("vocab_size")
    tables = sum(len(info.shape) == 2 and info.shape[0] == words for info in infos) if words else 0
    return words if tables <= _MOST_TABLES else 0


def _find_role(info: TensorInfo, parts: list[str], by_name: Mapping[str, TensorInfo], vocabulary: int) -> Role:
    if find_key(parts)[0] == "optimizer" or is_state_of_one(parts):
        return "optimizer"
    axes = sum(size > 1 for size in info.shape)
    module, last = name_ending(parts)
    word = find_word(module, last, axes)
    if info.stored:
        return word if word == "embedding" or (word in {"scale", "optimizer"} and not info.decodes) else "weight"
    if word != "buffer" and _is_scale(info.name, last, by_name):
        return "scale"
    if word == "scale" and last in _ZEROS and not _is_beside_a_scale(info.name, by_name):
        word = None
    if word in {"scale", "optimizer"}:
        return word
    if info.dtype.startswith(_WHOLE_NUMBERS) or not info.shape:
        return "weight" if info.reason and axes >= 2 and word != "buffer" else "buffer"
    return word or _find_by_shape(info, parts, by_name, vocabulary)


def _find_by_shape(info: TensorInfo, parts: list[str], by_name: Mapping[str, TensorInfo], vocabulary: int) -> Role:
    if _is_state_of_twin(parts, info.name, by_name):
        return "optimizer"
    if _is_bias_of_stack(info, parts[-1], by_name):
        return "bias"
    if len(info.shape) == 1 and parts[-1] == "weight":
        return "norm"
    is_shared = parts[-2:] == ["shared", "weight"] and len(parts) == find_key(parts)[1] + 2  # T5's own name
    is_table = len(info.shape) == 2 and info.is_matrix and (is_shared or info.shape[0] == vocabulary)
    return "embedding" if is_table else "weight"


def _is_scale(name: str, last: str, by_name: Mapping[str, TensorInfo]) -> bool:
    return ("scale" in last and _has_codes(name, by_name)) or (last == "biases" and _is_beside_scales(name, by_name))


def _has_codes(name: str, by_name: Mapping[str, TensorInfo]) -> bool:
    """Whether a name such as "P_scale" or "X.scale" belongs to a quantizer: its stem has codes in the file."""
    ending = next((ending for ending in _SCALE_ENDINGS if name.endswith(ending)), None)
    if ending is None:
        return False
    stem = name.removesuffix(ending)
    return any(_is_code(by_name[stem + codes]) for codes in _CODES if stem + codes in by_name)


def _is_beside_a_scale(name: str, by_name: Mapping[str, TensorInfo]) -> bool:
    stem = name.removesuffix("s").removesuffix("zero")
    return stem + "scale" in by_name or stem + "scales" in by_name


def _is_code(info: TensorInfo) -> bool:
    return bool(info.stored) or info.dtype.startswith(("float8", "float4", "int", "uint"))


def _is_beside_scales(name: str, by_name: Mapping[str, TensorInfo]) -> bool:
    return f"{name.removesuffix('biases')}scales" in by_name


def _is_state_of_twin(parts: list[str], name: str, by_name: Mapping[str, TensorInfo]) -> bool:
    """Whether a name is that of another tensor with an optimizer's letter: "w/m" beside "w" and "w/v", "mu/w" beside
    "nu/w".
    """
    last = parts[-1].lower()
    if last in {"m", "v"} and len(parts) > 1:
        stem, other = name[:-1], "v" if last == "m" else "m"
        return stem[:-1] in by_name and (stem + other in by_name or stem + other.upper() in by_name)
    twins = {"mu": "nu", "nu": "mu"}
    for part in parts[:3]:
        if part in twins:
            return _MOMENT.sub(twins[part], name, count=1) in by_name
    return False


def _is_bias_of_stack(info: TensorInfo, last: str, by_name: Mapping[str, TensorInfo]) -> bool:
    """Whether a name such as "b1" is that of the biases of several matrices, "w1": as many, with one axis less."""
    if not _STACKED_BIAS.fullmatch(last):
        return False
    stem, number = info.name[: -len(last)], last[1:]
    weight = by_name.get(f"{stem}{'w' if last[0] == 'b' else 'W'}{number}")
    if weight is None or weight.shape[:1] != info.shape[:1]:
        return False
    return sum(size > 1 for size in info.shape) == 2 and len(weight.shape) == 3


def _find_lone_scales(infos: Sequence[TensorInfo], roles: Sequence[Role]) -> set[int]:
    if any(role in MEASURED_ROLES or role in {"average", "optimizer"} for role in roles):
        return set()
    lone: Iterable[int] = (place for place, role in enumerate(roles) if role == "scale")
    return {place for place in lone if infos[place].decodes and infos[place].is_matrix}


def _join_notes(*notes: str) -> str:
    return "; ".join(note for note in notes if note)
