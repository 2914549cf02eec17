"""Which tensor of B is which of A? By name as it is, by the other format's name, without prefixes, or as a part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from qanalysis.checkpoints.source import TensorInfo

#: How rows of one tensor were reordered on the way to the other: q and k of Llama-family files in GGUF.
RowOrder = Literal["same", "gguf-heads"]


@dataclass(frozen=True, slots=True)
class Part:
    """One tensor, or some of its rows: `start` to `stop` of its matrix of output channels; None for all."""

    info: TensorInfo
    rows: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """One tensor in both sources; a side is None where it has none. `matched_by` is empty there.

    `heads` are how many heads the rows of B were reordered by; 0 where they lie as in A.
    """

    a: Part | None
    b: Part | None
    matched_by: str = ""
    heads: int = 0


def match_tensors(
    a: Sequence[TensorInfo], b: Sequence[TensorInfo], *, maps: Mapping[str, str] | None = None
) -> list[Pair]:
    """Each tensor of A in its order with its partner in B, then what B alone has.

    `maps` are expressions that turn names of A into names of B, as `re.sub` does.
    """
    raise NotImplementedError
