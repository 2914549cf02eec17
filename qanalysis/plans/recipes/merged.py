"""Which modules do engines merge, and do their parts agree? vLLM and SGLang hold q, k and v as one, gate and up, and
all routed experts of a layer, each with one setting.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from qanalysis.notation import escape, shorten

_SIBLINGS = (
    (re.compile(r"(?<=\.)[qkv]_proj$"), "qkv_proj", ("q_proj", "k_proj", "v_proj")),
    (re.compile(r"(?<=\.)(gate|up)_proj$"), "gate_up_proj", ("gate_proj", "up_proj")),
)
_EXPERT = re.compile(r"(.*\.experts)\.[0-9]{1,5}\..+")


def merge_parts(named: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The settings of the parts of each merged module, where all of them are known; experts are as many as are named.

    >>> merge_parts({"a.gate_proj": 4, "a.up_proj": 8, "b.up_proj": 4})
    {'a.gate_up_proj': [4, 8]}
    """
    merged = dict[str, list[Any]]()
    experts = dict[str, list[Any]]()
    for name, settings in named.items():
        expert = _EXPERT.fullmatch(name)
        if expert:
            experts.setdefault(expert[1], []).append(settings)
            continue
        for pattern, whole, parts in _SIBLINGS:
            names = [pattern.sub(part, name) for part in parts] if pattern.search(name) else []
            if names and all(part in named for part in names):
                merged[pattern.sub(whole, name)] = [named[part] for part in names]
    return merged | experts


def tell_split(named: Mapping[str, Any]) -> list[str]:
    """A note where parts of a merged module have different settings."""
    split = [whole for whole, those in merge_parts(named).items() if any(one != those[0] for one in those)]
    if not split:
        return []
    told = (
        f"{len(split)} modules that vLLM and SGLang merge ({shorten(escape(min(split)))} is one) have parts with "
        "different settings, which these engines do not load; plan with --tie vllm for them"
    )
    return [told]
