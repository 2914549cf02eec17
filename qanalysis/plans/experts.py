"""Which weights work on one token? All of them, but of the experts only those that the router picks."""

from __future__ import annotations

import re
from fractions import Fraction

from qanalysis.notation import quote
from qanalysis.plans.model_config import ModelConfig
from qanalysis.plans.tensors import PlanTensor

_EXPERT = re.compile(
    r"(.*[./])?((moe_|local_)?experts[./].*|(switch_mlp|switch_glu)[./].*|ffn_(gate|up|down|gate_up)_exps[./].*)",
    re.DOTALL,
)
_PICKED = (
    "num_experts_per_tok",
    "num_experts_per_token",
    "moe_top_k",
    "moe_topk",
    "experts_per_token",
    "top_k_experts",
)
_ALL = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "num_routed_experts")


def is_expert(tensor: PlanTensor) -> bool:
    """Whether it is one of the experts that a router picks from, or a stack of them; shared ones always work.

    >>> names = ("mlp.experts.7.up_proj.weight", "blk.1.ffn_up_exps.weight", "mlp.shared_experts.up_proj.weight")
    >>> [is_expert(PlanTensor(name)) for name in names]
    [True, True, False]
    """
    return any(_EXPERT.fullmatch(name) for name in tensor.names)


def read_share(text: str | Fraction, config: ModelConfig | None = None) -> Fraction:
    """The share of experts that work on a token: "8/128", or "config" for that of a config.json.

    Raises ValueError for anything else, and for more experts picked than there are.

    >>> read_share("8/128"), read_share("config", ModelConfig({"num_experts_per_tok": 2, "num_local_experts": 8}))
    (Fraction(1, 16), Fraction(1, 4))
    """
    if isinstance(text, Fraction):
        return _check(text, str(text))
    if text == "config":
        if config is None:
            raise ValueError("active experts of the config: there is none; give --config config.json, or K/N")
        picked = config.read_count(*_PICKED, of="the share of active experts")
        return _check(Fraction(picked, config.read_count(*_ALL, of="the share of active experts")), config.name)
    match = re.fullmatch(r"\s*([0-9]{1,6})\s*/\s*([0-9]{1,6})\s*", text) if isinstance(text, str) else None
    if match is None or not int(match[2]):
        raise ValueError(
            f"active experts {quote(text)}: must be K/N, such as 8/128 where 8 of 128 experts work on each token"
        )
    return _check(Fraction(int(match[1]), int(match[2])), text)


def _check(share: Fraction, place: str) -> Fraction:
    if not 0 < share <= 1:
        raise ValueError(f"active experts {quote(place)}: between one and all of them work on a token")
    return share
