"""Along which axes do the outputs of a JAX or Keras kernel lie? Along the last ones: kernels are (in, out).

Dense (in, out), convolutions (k.., in, out), DenseGeneral (in, heads, dim) or (heads, dim, out), depthwise
(k.., in, multiplier), Keras' transposed convolution (k.., out, in); the shape of the bias tells them apart.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from qanalysis.checkpoints.siblings import Reading, Shape
from qanalysis.quantizers.matrix_view import MatrixView

_LONGEST_KERNEL = 32
_STACKED = "a kernel below a module of all layers: taken as stacked along axis 0; override with --axis"
_KERNEL = re.compile(r"(depthwise_|pointwise_|recurrent_)?kernel")
_SLASHED = re.compile(r"(depthwise_|pointwise_)?weights|w")
#: A module that holds all layers of a model, stacked along the first axis.
_LAYERS = re.compile(r"(\w+_)?(layers|blocks|periods)|scan\w*|h")
_SPLITS = re.compile(r"query|key|value|[qkv](_proj)?|qkv")
_MERGES = re.compile(r"out|o|out_proj|o_proj|attention_output|output|c_proj|post")
#: XLNet's q, k, v, r are (in, heads, dim), its o is (out, heads, dim).
_ATTENTION = re.compile(r"[qkvor]")
#: Gemma's einsum weights, "w" below a module: (heads, in, dim), (kinds, heads, in, dim), (heads, dim, out).
_EINSUMS = {
    ("q_einsum", 3): (0, 2),
    ("kv_einsum", 4): (0, 1, 3),
    ("qkv_einsum", 4): (0, 1, 3),
    ("attn_vec_einsum", 3): (2,),
}


def is_kernel(parts: Sequence[str], name: str) -> bool:
    """Whether a tensor is named as JAX, Haiku, Keras or TF-Slim name a weight whose last axis is the output.

    >>> is_kernel(["dense", "kernel"], "dense/kernel"), is_kernel(["dense", "weight"], "dense.weight")
    (True, False)
    """
    last = parts[-1]
    if _KERNEL.fullmatch(last):
        return True
    if len(parts) > 1 and ((last == "w" and parts[-2].endswith("_einsum")) or _is_xlnet(parts)):
        return True
    return "/" in name and bool(_SLASHED.fullmatch(last))


def _is_xlnet(parts: Sequence[str]) -> bool:
    return len(parts) > 1 and parts[-2] == "rel_attn" and bool(_ATTENTION.fullmatch(parts[-1]))


def view_kernel(shape: Shape, parts: Sequence[str], bias: Shape | None) -> Reading:
    """The view of a kernel of two or more axes."""
    rank, last = len(shape), parts[-1]
    module = parts[-2] if len(parts) > 1 else ""
    if rank == 3 and _is_xlnet(parts):
        return Reading(MatrixView((0,) if last == "o" else (1, 2)))
    if (module, rank) in _EINSUMS:
        return Reading(MatrixView(_EINSUMS[module, rank]))
    if rank >= 3 and last.startswith("depthwise"):
        return Reading(MatrixView((rank - 2, rank - 1)))
    rows = _find_rows_by_bias(shape, bias) if bias else ()
    if rows:
        return Reading(MatrixView(rows))
    if rank >= 4 and shape[-2] > 1 and any("depthwise" in part.lower() for part in parts):
        return Reading(MatrixView((rank - 2, rank - 1)))
    return _view_without_bias(shape, parts, module.lower())


def _view_without_bias(shape: Shape, parts: Sequence[str], module: str) -> Reading:
    rank = len(shape)
    if rank in {3, 4} and _is_of_all_layers(parts):
        rows = (1,) if rank == 3 else _view_by_name(shape[1:], parts, module).view.rows
        return Reading(MatrixView((0, *(axis + 1 for axis in rows))), _STACKED)
    return _view_by_name(shape, parts, module) if rank == 3 else Reading(MatrixView((rank - 1,)))


def _is_of_all_layers(parts: Sequence[str]) -> bool:
    lower = [part.lower() for part in parts]
    return not any("conv" in part for part in lower) and any(
        _LAYERS.fullmatch(part) and not after.isdecimal() for part, after in pairwise(lower)
    )


def _find_rows_by_bias(shape: Shape, bias: Shape) -> tuple[int, ...]:
    rank, count = len(shape), len(bias)
    if count < rank and shape[-count:] == bias:
        return tuple(range(rank - count, rank))
    if count == 2 and rank == 3 and bias == (shape[0], shape[2]):
        return (0, 2)
    if count != 1:
        return ()
    if bias[0] == shape[-2]:
        return (rank - 2,)
    return (rank - 2, rank - 1) if rank >= 3 and bias[0] == shape[-2] * shape[-1] else ()


def _view_by_name(shape: Shape, parts: Sequence[str], module: str) -> Reading:
    if any("expert" in part.lower() for part in parts):
        return Reading(MatrixView((0, 2)))
    if _SPLITS.fullmatch(module):
        return Reading(MatrixView((1, 2)))
    if _MERGES.fullmatch(module) or shape[0] <= _LONGEST_KERNEL:
        return Reading(MatrixView((2,)))
    return Reading(
        MatrixView((2,)), "a kernel of three axes without a bias: rows taken along the last; override with --axis"
    )
