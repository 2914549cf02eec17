"""Is a file one part of a model that was trained on many machines? Its tensors are then flat or cut, and not layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qanalysis.checkpoints.torch.stubs import Call

_ZERO = (
    "a part of a DeepSpeed ZeRO checkpoint, whose weights are cut into flat pieces; join them first, with the "
    "zero_to_fp32.py of its folder"
)
_FSDP = (
    "a part of an FSDP checkpoint, whose weights are flat pieces without the shapes of layers; save a full state dict "
    "instead"
)
_DISTRIBUTED = (
    "a part of a distributed checkpoint; join its parts first, with `python -m "
    "torch.distributed.checkpoint.format_utils dcp_to_torch`"
)
_MEGATRON = (
    "a part of a Megatron checkpoint, one slice of every layer; convert it to one file first, with Megatron's "
    "tools/checkpoint/convert.py"
)
_ZERO_KEYS = ("single_partition_of_fp32_groups", "fp32_flat_groups", "partition_count")
_SIZES = ("tensor_model_parallel_size", "pipeline_model_parallel_size")


def name_part_by_file(name: str) -> str:
    """What a file of this name is a part of, and the way out; empty where the name says nothing."""
    if name.endswith((".distcp", ".metadata")):
        return _DISTRIBUTED
    if "zero_pp_rank_" in name or name.endswith("_optim_states.pt"):
        return _ZERO
    return ""


def name_part_by_content(name: str, content: Any, tensors: Iterable[str]) -> str:
    """The same by the keys of the content and the names of the tensors in it."""
    keys = content if isinstance(content, dict) else {}
    states = keys.get("optimizer_state_dict")
    if isinstance(states, dict) and any(key in states for key in _ZERO_KEYS):
        return _ZERO
    if any(tensor.endswith(("flat_param", "_flat_param")) for tensor in tensors):
        return _FSDP
    if name in {"model_optim_rng.pt", "model_rng.pt"} and not _is_whole(keys.get("args")):
        return _MEGATRON
    return ""


def _is_whole(args: Any) -> bool:
    state = args.state if isinstance(args, Call) else None
    return isinstance(state, dict) and all(state.get(key) == 1 for key in _SIZES)
