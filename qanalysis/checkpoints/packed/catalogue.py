"""Which layouts of packed weights are there? One line each, in the order in which they are asked."""

from __future__ import annotations

from qanalysis.checkpoints.packed.parts import PackedLayout

LAYOUTS: tuple[PackedLayout, ...] = ()
