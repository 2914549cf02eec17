"""Which way round do stacked experts lie: (expert, out, in) or (expert, in, out)?

The bias tells, else the pair of the two layers of an expert, else the sizes of the model (from config.json, or the
router's weight), else the architecture's name. Where none does, (expert, out, in) is taken and noted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from qanalysis.checkpoints.siblings import Reading, Shape, Siblings
from qanalysis.checkpoints.source import TensorInfo
from qanalysis.quantizers.matrix_view import MatrixView

NOTHING_DECIDES = "nothing tells which way the experts lie: rows taken along (expert, first axis); override with --axis"
_STACK = re.compile(r"experts?|switch_(mlp|glu)|.*moe.*|.*_exps|shared_experts")
_PROJECTION = re.compile(
    r"(gate_up|gate|up|down)_proj|w13?_weight|w[123]|w2_weight|v1|w[io](_\d)?|(input|output)_linear|mlp[12]_weight"
)
_DOWN = re.compile(r"(ffn_)?down(_proj|_exps)?|w2(_weight)?|wo|output_linear|fc2|mlp2_weight|linear_fc2|c_proj|fc_out")
_UP = re.compile(
    r"(ffn_)?(gate_up|gate|up)(_proj|_exps)?|w13?(_weight)?|w3|v1|wi(_\d)?|input_linear|fc1|mlp1_weight|linear_fc1|c_fc"
    r"|fc_in"
)
#: Names that only layouts with the outputs first use: GGUF, MLX, vLLM.
_OUT_FIRST_NAMES = re.compile(r".*_exps|switch_(mlp|glu)|w13_weight|w2_weight")
_IN_FIRST_TYPES = {
    "llama4", "llama4_text", "gpt_oss", "qwen3_vl_moe", "qwen3_vl_moe_text", "aria", "aria_text",
    "recurrent_gemma",
}  # fmt: skip
_OUT_FIRST_TYPES = {
    "mixtral", "qwen2_moe", "qwen3_moe", "qwen3_next", "qwen3_omni_moe", "deepseek_v2", "deepseek_v3", "deepseek_v32",
    "glm4_moe", "glm4v_moe", "granitemoe", "granitemoehybrid", "granitemoeshared", "jetmoe", "nemotron_h", "olmoe",
    "phimoe", "minimax", "minimax_m2", "ernie4_5_moe", "hunyuan_v1_moe", "dots1", "flex_olmo", "jamba", "lfm2_moe",
    "longcat_flash", "gemma4", "gemma4_text", "qwen3_5_moe", "qwen3_5_moe_text", "bailing_moe", "kimi_k2",
}  # fmt: skip
_PAIRS = {
    "gate_up_proj": "down_proj",
    "w13_weight": "w2_weight",
    "mlp1_weight": "mlp2_weight",
    "input_linear": "output_linear",
}
_PARTNERS = {**_PAIRS, **{down: up for up, down in _PAIRS.items()}}
_ROUTERS = (
    "gate.weight",
    "router.weight",
    "router.layer.weight",
    "router.proj.weight",
    "router.classifier.weight",
    "gate.wg.weight",
)
_WIDTHS = (
    "moe_intermediate_size", "intermediate_size", "ffn_dim", "ffn_hidden_size", "moe_ffn_hidden_size", "expert_dim",
)  # fmt: skip


def is_stack(parts: Sequence[str]) -> bool:
    """Whether a name is that of all experts of a layer together; "experts.0.w1" is one expert.

    >>> is_stack(["mlp", "experts", "down_proj"]), is_stack(["experts", "0", "conv", "weight"])
    (True, False)
    """
    if any(_STACK.fullmatch(part) and not after.isdecimal() for part, after in pairwise([*parts, ""])):
        return not any("experts" in part and after.isdecimal() for part, after in pairwise(parts))
    return bool(_PROJECTION.fullmatch(parts[-1]) or (len(parts) > 1 and _PROJECTION.fullmatch(parts[-2])))


def view_experts(info: TensorInfo, parts: Sequence[str], siblings: Siblings) -> Reading:
    """The view of stacked experts of three axes or more: rows are all axes in front and that of the outputs."""
    rank = len(info.shape)
    out_first = _is_out_first(info, parts, siblings)
    view = MatrixView((*range(rank - 2), rank - 1 if out_first is False else rank - 2))
    return Reading(view, NOTHING_DECIDES if out_first is None else "")


def view_flat_experts(info: TensorInfo, parts: Sequence[str], siblings: Siblings) -> Reading | None:
    """The view of DBRX's `w2`, (experts · ffn, hidden), which is (ffn, hidden) = (in, out) within each expert; None for
    any other tensor of two axes.
    """
    if parts[-1] != "w2" or not is_stack(parts) or siblings.find_shape(f"{info.name[:-2]}w1") != info.shape:
        return None
    experts = _count_experts(info, siblings)
    if not experts or info.shape[0] % experts:
        return Reading(note="the number of experts is not known: rows taken along the first axis; override with --axis")
    return Reading(MatrixView((0, 2), (experts, info.shape[0] // experts, info.shape[1])))


def _count_experts(info: TensorInfo, siblings: Siblings) -> int:
    inner = siblings.config.get("ffn_config")
    count = inner.get("moe_num_experts") if isinstance(inner, dict) else 0
    if isinstance(count, int) and count > 0:
        return count
    router = _find_router(info.name, siblings)
    return router[0] if router and router[1] == info.shape[1] else 0


def _is_out_first(info: TensorInfo, parts: Sequence[str], siblings: Siblings) -> bool | None:
    if any(_OUT_FIRST_NAMES.fullmatch(part) for part in parts[-3:]):
        return True
    first, second = info.shape[-2:]
    bias = siblings.find_bias(info.name)
    if bias and len(bias) == len(info.shape) and bias[-2] == 1:
        bias = (*bias[:-2], bias[-1])
    if bias and bias[:-1] == info.shape[:-2] and first != second and bias[-1] in {first, second}:
        return bias[-1] == first
    decided = _decide_by_pair(info, parts, siblings)
    if decided is None:
        decided = _decide_by_sizes(info, parts, siblings)
    if decided is None and siblings.model_type in _IN_FIRST_TYPES | _OUT_FIRST_TYPES:
        decided = siblings.model_type in _OUT_FIRST_TYPES
    return decided


def _decide_by_sizes(info: TensorInfo, parts: Sequence[str], siblings: Siblings) -> bool | None:
    """By the length that is summed over: the model's width in front of an expert, the expert's own behind it."""
    first, second = info.shape[-2:]
    is_down = any(_DOWN.fullmatch(part) for part in parts[-2:])
    if first == second or not (is_down or any(_UP.fullmatch(part) for part in parts[-2:])):
        return None
    router = _find_router(info.name, siblings)
    by_router = router[1] if router and router[0] == info.shape[-3] else 0
    for hidden in (siblings.read_number("hidden_size", "d_model", "n_embd", "dim"), by_router):
        if hidden in {first, second}:
            return (first == hidden) == is_down
    widths = {siblings.read_number(key) for key in _WIDTHS} - {0}
    inner = [size in widths or (not is_down and size % 2 == 0 and size // 2 in widths) for size in (first, second)]
    return None if inner[0] == inner[1] else inner[1] == is_down


def _decide_by_pair(info: TensorInfo, parts: Sequence[str], siblings: Siblings) -> bool | None:
    """By the doubled width of a gate and an up layer in one: up (E, a, b) and down (E, c, d) with a = 2d and b = c lie
    (out, in), with b = 2c and a = d (in, out).
    """
    word = next((part for part in parts[-2:] if part in _PARTNERS), "")
    place = info.name.rfind(word)
    partner = (
        siblings.find_shape(info.name[:place] + _PARTNERS[word] + info.name[place + len(word) :]) if word else None
    )
    if partner is None or len(partner) != len(info.shape):
        return None
    up, down = (info.shape, partner) if word in _PAIRS else (partner, info.shape)
    out_first, in_first = _is_pair(up[-2:], down[-1:-3:-1]), _is_pair(up[-1:-3:-1], down[-2:])
    return None if out_first == in_first else out_first


def _is_pair(up: Shape, down: Shape) -> bool:
    return up == (2 * down[0], down[1])


def _find_router(name: str, siblings: Siblings) -> Shape | None:
    """The shape (experts, width) of the router beside the experts, None where there is none."""
    place = max(name.rfind("experts"), name.rfind("switch_mlp"))
    stem = name[:place] if place >= 0 else name[: name.rfind(".") + 1]
    shapes = (siblings.find_shape(stem + router) for router in _ROUTERS)
    return next((shape for shape in shapes if shape and len(shape) == 2), None)
