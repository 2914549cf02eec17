"""Along which axes of a tensor do the outputs lie? Names, siblings and config.json tell.

Rows of the view are output channels, columns what is summed over. Without a word against it outputs lie along axis 0,
as torch's Linear, convolutions, recurrent layers and embeddings have them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from qanalysis.checkpoints.entries import Evidence
from qanalysis.checkpoints.expert_stacks import is_stack, view_experts, view_flat_experts
from qanalysis.checkpoints.flax_kernels import is_kernel, view_kernel
from qanalysis.checkpoints.name_words import split_name
from qanalysis.checkpoints.siblings import Reading, Siblings
from qanalysis.checkpoints.source import TensorInfo
from qanalysis.checkpoints.transposed_convolutions import view_transposed
from qanalysis.quantizers.matrix_view import ALONG_FIRST, MatrixView

_LONGEST_KERNEL = 32  # of a convolution whose name does not say that it is one
_LONGEST_BARE_KERNEL = 7  # of one that is not even called a weight: it may as well be a stack of narrow matrices
_FP8 = ("fp8", "mxfp8")
#: How the layouts begin whose axes are those of the model's tensor, whichever way round it lies.
_AS_THE_MODEL = (*_FP8, "weight norm", "gguf")
_CONVOLUTION = re.compile(r"conv|patch|filter|bilinear|downsample|upsample")
_GPT2_WORDS = ("c_attn", "c_proj", "c_fc", "q_attn")
_GPT2_TYPES = {"gpt2", "openai-gpt", "imagegpt", "decision_transformer", "clvp", "clvp_decoder"}
#: Parameters that a model multiplies its activations with from the right: (in, out).
_IN_OUT = re.compile(r"(^|[./])(text_projection|visual[./]proj|mm_input_projection_weight)$")
_SQUARE = "a square c_* weight: rows taken along axis 0, where GPT-2's lie along 1; override with --axis"
_UNKNOWN = "nothing tells what its axes are: rows taken along all but the last; override with --axis"


def assign_views(infos: Sequence[TensorInfo], evidence: Evidence) -> list[TensorInfo]:
    """The tensors with their views; where nothing decides, `note` says what was taken.

    A view that a reader or a packed layout gave is kept, that of stacked fp8 experts apart, whose codes lie as the
    model's axes do and may be (expert, in, out).

    >>> infos = [TensorInfo("c.weight", (2, 6), "float32", 48), TensorInfo("c.bias", (6,), "float32", 24)]
    >>> assign_views(infos, Evidence())[0].view
    MatrixView(rows=(1,), fold=())
    """
    siblings = Siblings({info.name: info for info in infos}, evidence.config)
    blocks = _find_transposed_blocks(infos, siblings)
    return [_read_view(info, siblings, blocks) for info in infos]


def _read_view(info: TensorInfo, siblings: Siblings, blocks: frozenset[str]) -> TensorInfo:
    if len(info.shape) < 2 or info.role in {"optimizer", "scale"}:
        return info
    is_fp8_stack = len(info.shape) > 2 and info.stored.startswith(_FP8)
    is_known = info.view != ALONG_FIRST or (info.stored and not info.stored.startswith(_AS_THE_MODEL))
    if is_known and not is_fp8_stack:
        return info
    reading = _view_matrix(info, siblings, blocks) if len(info.shape) == 2 else _view_block(info, siblings)
    if reading == Reading(info.view):
        return info
    return replace(info, view=reading.view, note="; ".join(filter(None, (info.note, reading.note))))


def _view_matrix(info: TensorInfo, siblings: Siblings, blocks: frozenset[str]) -> Reading:
    """The view of two axes."""
    parts = split_name(info.name)
    if is_kernel(parts, info.name):
        return view_kernel(info.shape, parts, siblings.find_bias(info.name))
    flat = None if info.role == "embedding" else view_flat_experts(info, parts, siblings)
    if flat is not None or info.role == "embedding":
        return flat or Reading()
    by_bias = 1 if _IN_OUT.search(info.name[-60:]) else _find_output_axis(info, siblings)
    if by_bias is not None:
        return Reading(MatrixView((by_bias,)))
    word = parts[-2] if len(parts) > 1 and parts[-1] == "weight" else ""
    if word not in _GPT2_WORDS and (siblings.find_bias(info.name) is None or info.shape[0] != info.shape[1]):
        return Reading()
    return _follow_block(info, word, siblings, blocks)


def _follow_block(info: TensorInfo, word: str, siblings: Siblings, blocks: frozenset[str]) -> Reading:
    """The view of a weight whose own bias does not tell: that of its block, else of the architecture."""
    around = list(_name_blocks(info.name)) if word in _GPT2_WORDS else list(_name_blocks(info.name))[:1]
    if blocks.intersection(around) or (word in _GPT2_WORDS and siblings.model_type in _GPT2_TYPES):
        return Reading(MatrixView((1,)))
    is_open = word in _GPT2_WORDS and info.shape[0] == info.shape[1] and not siblings.model_type
    return Reading(note=_SQUARE if is_open and not _has_decided_sibling(info.name, siblings) else "")


def _find_output_axis(info: TensorInfo, siblings: Siblings) -> int | None:
    """The one axis whose length the bias has, None where it has both or neither."""
    first, second = info.shape
    bias = siblings.find_bias(info.name)
    if bias is None or len(bias) != 1 or first == second or bias[0] not in {first, second}:
        return None
    return int(bias[0] == second)


def _find_transposed_blocks(infos: Sequence[TensorInfo], siblings: Siblings) -> frozenset[str]:
    """Blocks of GPT-2's kind: weights in them have biases of as many values as axis 1, and none as axis 0 alone."""
    open_ones = [
        info
        for info in infos
        if len(info.shape) == 2 and info.name.endswith(".weight") and info.role == "weight" and not info.stored
    ]
    axes = [_find_output_axis(info, siblings) for info in open_ones]
    if 1 not in axes:
        return frozenset()
    found: dict[int | None, set[str]] = {None: set(), 0: set(), 1: set()}
    for info, axis in zip(open_ones, axes, strict=True):
        found[axis].update(_name_blocks(info.name))
    return frozenset(found[1] - found[0])


def _name_blocks(name: str) -> Iterator[str]:
    """The module around a weight's own and the one around that: "h.0.attn" and "h.0" of "h.0.attn.c_attn.weight"."""
    parts = name.rsplit(".", 3)
    yield from (".".join(parts[:-depth]) for depth in (2, 3) if len(parts) > depth)


def _has_decided_sibling(name: str, siblings: Siblings) -> bool:
    for block in _name_blocks(name):
        for word in (*_GPT2_WORDS, *(f"{part}.{word}" for part in ("attn", "mlp") for word in _GPT2_WORDS)):
            info = siblings.tensors.get(f"{block}.{word}.weight")
            if info and len(info.shape) == 2 and _find_output_axis(info, siblings) is not None:
                return True
    return False


def _view_block(info: TensorInfo, siblings: Siblings) -> Reading:
    """The view of three axes or more."""
    parts, shape, rank = split_name(info.name), info.shape, len(info.shape)
    bias = siblings.find_bias(info.name)
    if is_kernel(parts, info.name):
        return view_kernel(shape, parts, bias)
    if info.role == "embedding":
        return Reading(MatrixView(tuple(range(rank - 1))))
    if is_stack(parts) or (bias and rank == 3 and len(bias) == 2 and bias[0] == shape[0] and bias[1] in shape[1:]):
        return view_experts(info, parts, siblings)
    transposed = view_transposed(info, siblings)
    if transposed is not None:
        return transposed
    if _is_channels_last(info, bias):
        return Reading(MatrixView((2, 3) if shape[3] == 1 else (3,)))
    return Reading() if _is_convolution(info, bias) else _view_unknown(info)


def _is_channels_last(info: TensorInfo, bias: tuple[int, ...] | None) -> bool:
    """Whether four axes are (k, k, in, out): a square in front, and no bias that says otherwise."""
    if len(info.shape) != 4 or info.shape[0] != info.shape[1] or max(info.shape[2:]) <= _LONGEST_KERNEL // 2:
        return False
    if bias:
        return bias[0] == info.shape[3] != info.shape[0]
    return info.shape[0] <= _LONGEST_KERNEL // 2 and not info.name.endswith("weight")


def _is_convolution(info: TensorInfo, bias: tuple[int, ...] | None) -> bool:
    """Whether outputs lie along axis 0: its bias, its name or the short axes of a kernel tell."""
    if (bias and bias == info.shape[:1]) or _CONVOLUTION.search(info.name[-120:].lower()):
        return True
    if len(info.shape) == 3:
        longest = _LONGEST_KERNEL if info.name.endswith("weight") else _LONGEST_BARE_KERNEL
        return info.shape[1] == 1 or (info.shape[2] <= longest and info.shape[0] > 1)
    return len(info.shape) > 4 or min(info.shape[-2:]) <= _LONGEST_KERNEL


def _view_unknown(info: TensorInfo) -> Reading:
    note = _UNKNOWN if info.shape[0] > 1 and info.role == "weight" else ""
    return Reading(MatrixView(tuple(range(len(info.shape) - 1))), note)
