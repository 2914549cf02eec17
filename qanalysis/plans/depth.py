"""In which order do blocks follow each other? Tensors of one kind by the number of their block, for rules on depth."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

import numpy as np

from qanalysis.arrays import Codes
from qanalysis.notation import quote
from qanalysis.patterns import Pattern
from qanalysis.plans.pins import find_matches
from qanalysis.plans.units import Unit

_BLOCK = re.compile(r"(?:(?<=[./])|^)([0-9]{1,6})(?=[./])")
#: Bits per weight that differ by less are the same.
_DIGITS = 9


def split_block(name: str) -> tuple[str, int] | None:
    """The kind of a tensor, its name without the number of its block, and that number; None where it is in no block.

    >>> split_block("model.layers.7.mlp.up_proj.weight"), split_block("lm_head.weight")
    (('model.layers.#.mlp.up_proj.weight', 7), None)
    """
    found = _BLOCK.search(name)
    return None if found is None else (f"{name[: found.start()]}#{name[found.end() :]}", int(found[1]))


def chain_units(units: Sequence[Unit], expression: str) -> tuple[tuple[int, ...], ...]:
    """The places of units whose tensors are of one kind, from the first block to the last, for each kind with two or
    more among the tensors that an expression finds.

    Raises ValueError where there is none.
    """
    owners = {one.tensor.name: place for place, unit in enumerate(units) for one in unit.members}
    tensors = [one.tensor for unit in units for one in unit.members]
    kinds = dict[str, list[tuple[int, int]]]()
    for name in sorted(find_matches(Pattern.parse(expression, "monotone"), tensors)):
        split = split_block(name)
        if split is not None:
            kinds.setdefault(split[0], []).append((split[1], owners[name]))
    found = [tuple(place for place, _same in groupby(at for _block, at in sorted(kind))) for kind in kinds.values()]
    chains = tuple(chain for chain in dict.fromkeys(found) if len(chain) > 1)
    if not chains:
        raise ValueError(
            f"monotone {quote(expression)}: no two tensors of one kind lie in numbered blocks, such as layers.0 and "
            "layers.1"
        )
    return chains


def rank_options(units: Sequence[Unit]) -> tuple[Codes, ...]:
    """The rank of each option by its bits per weight, over all units."""
    bits = [
        np.round(unit.sum("bits") / max(sum(one.tensor.numel for one in unit.members), 1), _DIGITS) for unit in units
    ]
    levels = np.unique(np.concatenate(bits))
    return tuple(np.searchsorted(levels, one).astype(np.int64) for one in bits)
