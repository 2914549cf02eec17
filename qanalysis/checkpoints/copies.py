"""Which tensors of a file are the averaged copy of others that it holds too?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from qanalysis.checkpoints.container_keys import find_key
from qanalysis.checkpoints.source import Role, TensorInfo

_WORDS = ("ema", "shadow", "teacher", "swa", "averag")
_WORD = re.compile("|".join(_WORDS), re.IGNORECASE)
_PART = re.compile(r"(model_|_)?ema|shadow(_\w+)?|swa_\w+|teacher", re.IGNORECASE)
_LAST = re.compile(r"_(ema|swa|shadow)$", re.IGNORECASE)
_DEEPEST = 24  # part of a name in which the word of an average is looked for
#: Share of a tree's tensors whose shape the plain tensors have too, from which on it counts as their copy.
_ALIKE = 0.9


def find_copies(infos: Sequence[TensorInfo], parts: Sequence[list[str]], roles: Sequence[Role]) -> set[int]:
    """Places of the tensors that are averages of others.

    A tree under a key such as "ema" is a copy where the shapes of its matrices occur among the plain tensors (its names
    may differ: some programs drop the dots); a name inside a model, such as "w_ema" or "teacher.w", where the plain
    name exists in the same shape. Optimizer states are no plain tensors.
    """
    names = "\n".join(info.name for info in infos).lower()  # one search over all of them is twenty times as fast
    if not any(word in names for word in _WORDS):
        return set()
    trees: dict[str, list[int]] = {}
    plain: list[int] = []
    for place, (part, role) in enumerate(zip(parts, roles, strict=True)):
        if role == "optimizer":
            continue
        key, depth = find_key(part)
        if key == "average" and part[depth].lower() != "teacher":
            trees.setdefault(".".join(part[: depth + 1]), []).append(place)
        else:
            plain.append(place)
    shapes = {infos[place].shape for place in plain}
    found = {place for tree in trees.values() if _is_copy(tree, infos, shapes) for place in tree}
    return found | set(_find_twins(infos, parts, plain))


def _is_copy(tree: list[int], infos: Sequence[TensorInfo], shapes: set[tuple[int, ...]]) -> bool:
    telling = [place for place in tree if infos[place].is_matrix] or [place for place in tree if infos[place].shape]
    return sum(infos[place].shape in shapes for place in telling) >= _ALIKE * max(1, len(telling))


def _find_twins(infos: Sequence[TensorInfo], parts: Sequence[list[str]], plain: list[int]) -> Iterator[int]:
    shapes = {".".join(parts[place]): infos[place].shape for place in plain}
    for place in plain:
        if _WORD.search(infos[place].name) and any(
            shapes.get(name) == infos[place].shape for name in _name_plain(parts[place])
        ):
            yield place


def _name_plain(parts: list[str]) -> Iterator[str]:
    """Names that the plain twin of an average may have."""
    for place, part in enumerate(parts[:_DEEPEST]):
        before, after = parts[:place], parts[place + 1 :]
        if _PART.fullmatch(part) and after:
            yield ".".join(before + after)
            if part.lower() == "teacher":
                yield ".".join([*before, "student", *after])
        if _LAST.search(part):
            yield ".".join([*before, _LAST.sub("", part), *after])
