"""Which operators compute with quantized codes? One line each, in the order in which they are asked."""

from __future__ import annotations

from qanalysis.checkpoints.graphs.operators import PackedOperator

PACKED_OPERATORS: tuple[PackedOperator, ...] = ()
