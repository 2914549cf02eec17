"""Which part of a layer's name tells it from the others? What all names share is said once, what neighbours share
heads their block.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from qanalysis.charts.wording import count_shared

FEW_ROWS = 40  # layers up to which a table has no blocks: they are seen at once
_HEADS, _TAILS = re.compile(r"(?<=[./])"), re.compile(r"(?=[./])")


@dataclass(frozen=True, slots=True)
class Block:
    """Neighbouring layers `start` to `stop` (exclusive) whose names share the part `label`."""

    label: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class LayerNames:
    """The names of a table's layers, split for reading.

    Parameters
    ----------
    prefix, suffix : what the names share at either end, separators included; empty where they share nothing.
    labels : what is left of each name, (layers,): within a block without its label.
    blocks : runs of at least two neighbours, in order; layers between them stand alone.
    """

    prefix: str
    suffix: str
    labels: tuple[str, ...]
    blocks: tuple[Block, ...]

    @classmethod
    def split(cls, names: Sequence[str], leading: int | None = None) -> LayerNames:
        """Split distinct names; the first `leading` ones, by default all, decide what is shared.

        Of the others those that have the shared part lose it too. Blocks are found in more than FEW_ROWS names, where
        there are several that hold at least half of the layers.

        >>> names = LayerNames.split([f"model.layers.{i}.proj.weight" for i in (0, 31)])
        >>> names.prefix, names.labels, names.suffix
        ('model.', ('layers.0', 'layers.31'), '.proj.weight')
        """
        prefix, suffix = _find_shared(names[:leading])
        labels = [name.removeprefix(prefix).removesuffix(suffix) for name in names]
        if len(set(labels)) < len(set(names)) or not all(labels):
            prefix, suffix, labels = "", "", list(names)
        blocks = _find_blocks(labels) if len(names) > FEW_ROWS else ()
        for block in blocks:
            for place in range(block.start, block.stop):
                labels[place] = labels[place][len(block.label) + 1 :]
        return cls(prefix, suffix, tuple(labels), blocks)


def _find_shared(names: Sequence[str]) -> tuple[str, str]:
    """Prefix and suffix of whole parts that all names share; at least one part of each name is left between.

    A number keeps the part before it: "layers.31" reads better than "31".
    """
    if len(set(names)) < 2:
        return "", ""
    parts = [_HEADS.split(name) for name in names]
    spare = min(map(len, parts)) - 1
    head = count_shared(parts, spare)
    if head and any(part[head].rstrip("./").isdigit() for part in parts):
        head -= 1
    ends = [_TAILS.split(name)[::-1] for name in names]
    tail = count_shared(ends, spare - head)
    return "".join(parts[0][:head]), "".join(ends[0][:tail][::-1])


def _find_blocks(labels: Sequence[str]) -> tuple[Block, ...]:
    """Runs of neighbours under one heading; none where there is only one run, or where most labels stand alone."""
    blocks, start = [], 0
    for heading, run in groupby(labels, key=_name_block):
        stop = start + len(list(run))
        if heading and stop - start > 1:
            blocks.append(Block(heading, start, stop))
        start = stop
    held = sum(block.stop - block.start for block in blocks)
    return tuple(blocks) if len(blocks) > 1 and 2 * held >= len(labels) else ()


def _name_block(label: str) -> str:
    """The parts of a label up to its first number, else its first part; empty where nothing would be left of it."""
    parts = _HEADS.split(label)
    numbers = (place for place, part in enumerate(parts[:-1]) if part.rstrip("./").isdigit())
    return "".join(parts[: next(numbers, 0) + 1])[:-1] if len(parts) > 1 else ""
