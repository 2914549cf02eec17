"""Does a checkpoint read as its values? Parts that a peer packed are written as a file, opened here as any file is, and
compared with the peer's own decoding.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from qanalysis.arrays import Floats
from qanalysis.validation.check import Agreement, compare_figures, count_differing

#: Two roundings of ours and three of theirs, each half a unit in the last place of float32.
ROUNDING = 2.5 * float(np.finfo(np.float32).eps)


@dataclass(frozen=True, slots=True)
class Case:
    """A tensor that a peer packed: its parts as tensors of torch by their names in the file, and the float32 values,
    in the shape that `name` has here.
    """

    parts: Mapping[str, Any]
    values: Floats
    name: str = "l.weight"
    metadata: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)


def read_stored(case: Case) -> Floats:
    """The tensor as a file of safetensors holds it; KeyError with the names there are where it is none of them."""
    from safetensors.torch import save_file

    with TemporaryDirectory() as folder:
        path = Path(folder, "model.safetensors")
        save_file({name: part.detach().contiguous() for name, part in case.parts.items()}, path, dict(case.metadata))
        if case.config:
            Path(folder, "config.json").write_text(json.dumps(case.config), encoding="utf-8")
        return read_file(path)[case.name]


def read_file(path: Path) -> dict[str, Floats]:
    """Every tensor of a file that has real values."""
    from qanalysis.checkpoints.catalogue import open_checkpoint

    with open_checkpoint(path) as source:
        return {info.name: np.array(source.read(info)) for info in source.tensors if info.decodes}


def compare_cases(cases: Iterable[Case]) -> Agreement:
    """Values that differ over all cases."""
    return count_differing((read_stored(case), case.values) for case in cases)


def compare_rounded(cases: Iterable[Case]) -> Agreement:
    """Largest relative difference of the values that are not 0; infinite where one of ours is not 0 either."""
    pairs = [(read_stored(case), case.values) for case in cases]
    if any(ours[theirs == 0].any() for ours, theirs in pairs):
        return Agreement(np.inf, sum(theirs.size for _, theirs in pairs))
    return compare_figures(((ours[theirs != 0], theirs[theirs != 0]) for ours, theirs in pairs), relative=True)


def draw_weights(rows: int, columns: int, seed: int = 0) -> Any:
    """A float32 tensor of torch from N(0, 1) whose rows spread over six decades."""
    import torch

    draw = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=draw) * torch.logspace(-3, 3, rows)[:, None]
