"""What are a model's tensors called in GGUF? The format's own package has a table for each architecture.

The architecture need not be known: of all tables the one is taken that finds most of the names that are looked for.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

_NUMBER = re.compile(r"(?<=\.)[0-9]{1,4}(?=\.)|^[0-9]{1,4}(?=\.)")
_EXPERT = re.compile(r"(\.experts)\.([0-9]{1,4})(?=\.)")
_SUFFIXES = (".weight", ".bias")
#: Stacks of experts that hold two weights of the format in one: either has the inputs of both.
_FUSED = ((".gate_up_proj", (".gate_proj", ".w1", ".gate")), (".down_proj", (".w2", ".down")))


@dataclass(frozen=True, slots=True)
class GgufName:
    """A tensor's name in GGUF; `expert` is its number in the stack of that name, None where it is the whole."""

    name: str
    expert: int | None = None


def match_names(names: Sequence[str], known: Mapping[str, Any]) -> dict[str, GgufName]:
    """Each name that is known, or whose name in GGUF is; names that are not found are left out.

    >>> match_names(["model.layers.3.self_attn.q_proj.weight"], {"blk.3.attn_q.weight": 0})
    {'model.layers.3.self_attn.q_proj.weight': GgufName(name='blk.3.attn_q.weight', expert=None)}
    """
    same = {name: GgufName(name) for name in names if name in known}
    best = dict[str, GgufName]()
    for table in _list_tables() if len(same) < len(names) else ():
        found = dict[str, GgufName]()
        for name in names:
            one = None if name in same else next((one for one in _translate(name, table) if one.name in known), None)
            if one is not None:
                found[name] = one
        if len(found) > len(best):
            best = found
    return same | best


def _translate(name: str, table: Mapping[str, str]) -> Iterator[GgufName]:
    """The names that a table may have for one, its numbers of block and expert taken out and put back."""
    expert = _EXPERT.search(name)
    stacked = _EXPERT.sub(r"\1", name)
    block = _NUMBER.search(stacked)
    number = block.group() if block else ""
    plain = f"{stacked[: block.start()]}0{stacked[block.end() :]}" if block else stacked
    suffix = next((one for one in _SUFFIXES if plain.endswith(one)), "")
    for key in _vary(plain.removesuffix(suffix)):
        if key in table:
            found = table[key].replace("blk.0.", f"blk.{number}.", 1)
            yield GgufName(f"{found}{suffix or '.weight'}", int(expert[2]) if expert else None)


def _vary(key: str) -> Iterator[str]:
    """A name as models of one kind spell it: with and without the outer module, and stacks by one of their parts."""
    bare = key.replace("language_model.", "")
    for one in dict.fromkeys((key, bare, bare.partition(".")[2], f"model.{bare}", f"transformer.{bare}")):
        yield one
        for fused, parts in _FUSED:
            if one.endswith(f".experts{fused}"):
                yield from (f"{one.removesuffix(fused)}{part}" for part in parts)


@cache
def _list_tables() -> list[dict[str, str]]:
    """Names in GGUF by names of the model, with 0 for the number of the block, for each architecture.

    The package writes the words of one architecture into the table that all share: what is asked for after it would
    lack the second norm of every block. The table is put back as it was after each.
    """
    from gguf import MODEL_ARCH, TensorNameMap, get_tensor_name_map

    shared = TensorNameMap.block_mappings_cfg
    own, tables = dict(shared), list[dict[str, str]]()
    for arch in MODEL_ARCH:
        mapping = get_tensor_name_map(arch, 1).mapping
        tables.append({key: found for key, (_kind, found) in mapping.items()})
        shared.clear()
        shared.update(own)
    return tables


def name_for_gguf(names: Sequence[str], known: Collection[str] = ()) -> dict[str, GgufName]:
    """What GGUF calls the tensors of a model, by the architecture whose table has most of them; names that it has not
    are left out.

    `known` are names of a GGUF file, whose own table finds most of them. Of tables that find as many, that one is taken
    which agrees with most of the others.

    >>> name_for_gguf(["model.layers.3.mlp.experts.5.up_proj.weight"])
    {'model.layers.3.mlp.experts.5.up_proj.weight': GgufName(name='blk.3.ffn_up_exps.weight', expert=5)}
    """
    alike = dict[str, list[str]]()
    for name in names:
        alike.setdefault(_EXPERT.sub(r"\1", _NUMBER.sub("0", name, count=1)), []).append(name)
    there = {_NUMBER.sub("0", name, count=1) for name in known}

    def name_kinds(table: Mapping[str, str]) -> dict[str, str]:
        firsts = {kind: next(_translate(kind, table), None) for kind in alike}
        return {kind: one.name for kind, one in firsts.items() if one is not None}

    def count(found: Mapping[str, str]) -> tuple[int, int]:
        return sum(one in there for one in found.values()), sum(len(alike[kind]) for kind in found)

    named = [(name_kinds(table), table) for table in _list_tables()]
    most = max(count(found) for found, _ in named)
    best = [(found, table) for found, table in named if count(found) == most]
    votes = Counter(word for found, _ in best for word in found.items())
    _, table = max(best, key=lambda one: sum(votes[word] for word in one[0].items()))
    every = {name: next(_translate(name, table), None) for name in names}
    return {name: one for name, one in every.items() if one is not None}
