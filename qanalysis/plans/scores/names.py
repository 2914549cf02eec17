"""Which entry of a score file is about which tensor? Names as they are, without prefixes, or those of GGUF."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from qanalysis.checkpoints.gguf_names import GgufName, match_names, name_for_gguf
from qanalysis.plans.tensors import PlanTensor

_PREFIX = re.compile(r"^(?:(?:module|_orig_mod|model|language_model|transformer)\.)+")


def match_entries(tensors: Sequence[PlanTensor], entries: Iterable[str]) -> dict[str, GgufName]:
    """The entry of each tensor by its name; `expert` is the tensor's number in an entry for a stack, else None.

    In this order: the same name; the same without outer modules (`module.`, `model.`, ...) and `.weight`; the name that
    GGUF has for the tensor; the tensor whose GGUF name the entry has. Names that would fit several are left out.
    """
    known = dict.fromkeys(entries)
    found = {one.name: GgufName(name) for one in tensors for name in reversed(one.names) if name in known}
    for step in (_match_bare, _match_gguf, _match_from_gguf):
        left = [one for one in tensors if one.name not in found]
        if left:
            found |= step(left, list(known))
    return found


def _match_bare(tensors: Sequence[PlanTensor], entries: Sequence[str]) -> dict[str, GgufName]:
    bare = _index(entries)
    counts = Counter(_strip(one.name) for one in tensors)
    found = dict[str, GgufName]()
    for one in tensors:
        names = [bare[_strip(name)] for name in one.names if _strip(name) in bare]
        if names and counts[_strip(one.name)] == 1:
            found[one.name] = GgufName(names[0])
    return found


def _match_gguf(tensors: Sequence[PlanTensor], entries: Sequence[str]) -> dict[str, GgufName]:
    """Tensors of a model against entries of a GGUF tool, with or without `.weight`."""
    spelled = {name if name.endswith((".weight", ".bias")) else f"{name}.weight": name for name in entries}
    matched = match_names([name for one in tensors for name in one.names], spelled)
    found = dict[str, GgufName]()
    for one in tensors:
        hit = next((matched[name] for name in one.names if name in matched), None)
        if hit is not None:
            found[one.name] = GgufName(spelled[hit.name], hit.expert)
    return found


def _match_from_gguf(tensors: Sequence[PlanTensor], entries: Sequence[str]) -> dict[str, GgufName]:
    """Tensors of a GGUF file against entries with the names of the model; entries of single experts fit no stack."""
    own = {name: one.name for one in tensors for name in one.names}
    spelled = [name if name.endswith((".weight", ".bias")) else f"{name}.weight" for name in entries]
    translated = name_for_gguf(spelled)
    found, twice = dict[str, GgufName](), set[str]()
    for entry, name in zip(entries, spelled, strict=True):
        hit = translated.get(name)
        if hit is None or hit.expert is not None or hit.name not in own:
            continue
        tensor = own[hit.name]
        twice |= {tensor} if tensor in found else set()
        found[tensor] = GgufName(entry)
    return {tensor: hit for tensor, hit in found.items() if tensor not in twice}


def _index(entries: Sequence[str]) -> dict[str, str]:
    """Entries by their bare names, those alone that no other shares."""
    counts = Counter(map(_strip, entries))
    return {_strip(name): name for name in entries if counts[_strip(name)] == 1}


def _strip(name: str) -> str:
    return _PREFIX.sub("", name).removesuffix(".weight")
