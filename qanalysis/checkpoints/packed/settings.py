"""What does a configuration say of the quantizer? Widths and blocks, wherever its tools put them.

A configuration may speak of several groups of layers: all that they say is listed, and shapes decide which is meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from qanalysis.checkpoints.entries import Evidence

_MOST_GROUPS = 100


def list_blocks(evidence: Evidence) -> list[Any]:
    """Blocks (rows, columns) that are spoken of, as they are written: [128, 128], or [1, 64] for groups of 64."""
    found = [evidence.quantization.get("weight_block_size")]
    for weights in _list_weights(evidence):
        found += [weights.get("block_structure"), [1, weights.get("group_size")]]
    return found


def list_bits(evidence: Evidence) -> list[int]:
    """Widths of integer weights that are spoken of, each once."""
    widths = (weights.get("num_bits") for weights in _list_weights(evidence) if weights.get("type", "int") == "int")
    return list(dict.fromkeys(bits for bits in widths if type(bits) is int and 1 <= bits <= 8))


def _list_weights(evidence: Evidence) -> Iterator[Mapping[str, Any]]:
    groups = evidence.quantization.get("config_groups")
    for group in list(groups.values())[:_MOST_GROUPS] if isinstance(groups, Mapping) else ():
        weights = group.get("weights") if isinstance(group, Mapping) else None
        if isinstance(weights, Mapping):
            yield weights
