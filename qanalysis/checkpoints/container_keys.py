"""Which tree of a checkpoint does a tensor belong to: the model, its averaged copy, or the optimizer's state?

The keys under which training programs save tell it, in front of the names of the model.
"""

from __future__ import annotations

import re
from functools import lru_cache

from qanalysis.checkpoints.source import Role

_OPTIMIZER = re.compile(
    r"optim(izer|izers|s)?(_?[a-z]|_?\d+)?|optim(izer)?_(states?|state_dicts?|weights|vars|variables)|optim(izer)?_[a-z]\w*"
    r"|[a-z]\w*_optim(izer)?s?(_states?)?(_dict)?|opt_states?(_dict)?|opt_?[gd]|optimstate\w*|training/adam|adam(w|ax)?"
    r"|(lr_)?schedulers?(_states?)?(_dict)?|lr_sched\w*|(grad_|loss_|amp_|gradient_)?scaler(_states?)?(_dict)?|loops"
    r"|callbacks|fp32_flat_groups|single_partition_of_fp32_groups|base_optimizer_state",
)
_AVERAGE = re.compile(
    r"(\w+_)?ema\d*(_(?!gate\b)\w+)?|shadow\w*|averaged?_(model|weights|params)|swa_\w+|swa|\w+_(averaged?|swa)|teacher"
)
#: Keys of a training program's state that are also words for a part of a model: they count in front alone.
_TOP_ONLY = {"scaler", "loops", "callbacks", "scheduler", "schedulers"}
#: Keys that say nothing but that a model follows.
_NEUTRAL = {
    "module", "_orig_mod", "model", "_forward_module", "state_dict", "model_state", "model_state_dict", "net",
    "network", "params", "weights", "checkpoint", "ckpt", "train_state", "state", "target", "trainer", "model_dict",
    "modules", "base_model", "model_weights", "variables", "student",
}  # fmt: skip


@lru_cache(maxsize=1 << 14)
def _read_key(part: str) -> Role | None:
    lower = part.lower()
    if _OPTIMIZER.fullmatch(lower):
        return "optimizer"
    return "average" if _AVERAGE.fullmatch(lower) else None


def find_key(parts: list[str]) -> tuple[Role | None, int]:
    """The tree of a name by its first parts, neutral keys passed over, and the place of the part that tells it; None
    and the number of neutral parts for the model's own tree.

    >>> find_key(["state_dict", "w"]), find_key(["optimizer_states", "0", "state", "0", "exp_avg"])
    ((None, 1), ('optimizer', 0))
    """
    place = 0
    for part in parts[:-1]:
        role = _read_key(part[:80])
        if role and not (place and part.lower() in _TOP_ONLY):
            return role, place
        if part not in _NEUTRAL:
            break
        place += 1
    return None, place
