"""Who kept what? Bytes, bits and formats of each kind of tensor in A and in B, from the rows of a comparison."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from qanalysis.comparisons.names import make_key
from qanalysis.comparisons.row import ComparisonRow

_KINDS_NAMED = 3


@dataclass(slots=True)
class Share:
    """What one source spends on one kind of tensor."""

    tensors: int = 0
    values: int = 0
    size_bytes: int = 0
    formats: Counter[str] = field(default_factory=Counter)

    def add(self, values: int, size_bytes: int, word: str) -> None:
        """One more tensor."""
        self.tensors += 1
        self.values += values
        self.size_bytes += size_bytes
        self.formats[word] += 1

    @property
    def bits(self) -> float | None:
        """Bits per value; None where there are none."""
        return 8 * self.size_bytes / self.values if self.values else None

    @property
    def words(self) -> str:
        """Its formats, the most frequent first: "gguf:q4_k 20, gguf:q6_k 12"."""
        common = self.formats.most_common()
        if len(common) == 1:
            return common[0][0]
        more = f" and {len(common) - _KINDS_NAMED} more" if len(common) > _KINDS_NAMED else ""
        return ", ".join(f"{word} {count}" for word, count in common[:_KINDS_NAMED]) + more


@dataclass(slots=True)
class Kept:
    """One kind of tensor, by role and by the last word of its name, in both sources."""

    role: str
    word: str
    a: Share = field(default_factory=Share)
    b: Share = field(default_factory=Share)


def sum_kept(rows: Iterable[ComparisonRow]) -> list[Kept]:
    """The kinds in the order of the rows. Tensors whose bytes are counted elsewhere are not counted again."""
    kinds: dict[tuple[str, str], Kept] = {}
    for row in rows:
        if row.status == "tied":
            continue
        word = find_word(row.tensor_a or row.tensor_b)
        kept = kinds.setdefault((row.role, word), Kept(row.role, word))
        sizes = [_count(shape) for shape in (row.shape_a, row.shape_b)]
        # Of a part of a fused tensor the row has the shape of the whole: the other side says how large the part is.
        whole = min(sizes) if row.tensor_a and row.tensor_b and row.status != "shape" else None
        if row.tensor_a and row.size_bytes_a is not None:
            kept.a.add(sizes[0] if whole is None else whole, row.size_bytes_a, row.stored_a or row.dtype_a)
        if row.tensor_b and row.size_bytes_b is not None:
            kept.b.add(sizes[1] if whole is None else whole, row.size_bytes_b, row.stored_b or row.dtype_b)
    return list(kinds.values())


def total_kept(rows: Iterable[ComparisonRow]) -> tuple[Share, Share]:
    """The same over all tensors of each source."""
    a, b = Share(), Share()
    for kept in sum_kept(rows):
        for whole, part in ((a, kept.a), (b, kept.b)):
            whole.tensors += part.tensors
            whole.values += part.values
            whole.size_bytes += part.size_bytes
            whole.formats += part.formats
    return a, b


def find_word(name: str) -> str:
    """What a tensor of a layer is called, whatever the layer.

    >>> find_word("model.layers.3.self_attn.q_proj.weight"), find_word("blk.0.attn_v.bias"), find_word("conv.0.weight")
    ('q_proj', 'attn_v.bias', 'conv')
    """
    text = make_key(name).text
    ending = ".bias" if text.endswith(".bias") else ""
    parts = [part for part in text.removesuffix(".bias").split(".") if not part.isdecimal()]
    return f"{parts[-1] if parts else text}{ending}"


def _count(shape: str) -> int:
    return math.prod(int(size) for size in shape.split("x")) if shape else 1
