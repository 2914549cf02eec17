"""Which columns follow from scalars that were logged one by one? For logs that name each figure.

Tools log the mean and std of x, not of |x|. Where the norms stand beside them the moments of |x| follow: with n
elements, sum x^2 = l2^2 = (n - 1) std^2 + n mean^2 gives n, then mean|x| = l1/n and E x^2 = l2^2/n.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from qanalysis.arrays import Doubles

#: Step, layer, kind, group.
Key = tuple[int, str, str, str]
#: Figures of one key by name: columns of a log, and those of `_DERIVED`.
Figures = dict[str, float]

#: What nvdlfw-inspect calls a tensor (gradient: of the output).
_TENSORS = {
    "activation": "input",
    "weight": "weight",
    "output": "output",
    "gradient": "output-gradient",
    "dgrad": "input-gradient",
    "wgrad": "weight-gradient",
}
_DERIVED = {
    "min": "low",
    "max": "high",
    "mean": "x_mean",
    "std": "x_std",
    "l1_norm": "l1",
    "l2_norm": "l2",
    "cur_amax": "absmax",
    "amax": "absmax",
    "dynamic_range": "dynamic_range",
}
_RECIPES = ("fp8_delayed_scaling", "fp8_current_scaling", "fp8_block_scaling", "mxfp8", "nvfp4", "fp8")
_NAME = re.compile(
    rf"(?P<layer>.+)_(?P<tensor>{'|'.join(_TENSORS)})_(?:(?P<recipe>{'|'.join(_RECIPES)})_)?"
    rf"(?P<figure>{'|'.join(_DERIVED)})(?P<columnwise>_columnwise)?"
)
_ANY_NAME = re.compile(rf".+_(?:{'|'.join(_TENSORS)})_(?P<figure>[^/]+)")


def read_inspect_name(name: str) -> tuple[str, str, str, str] | None:
    """Layer, kind, group and figure of a name `<layer>_<tensor>_<stat>` of nvdlfw-inspect; None of any other.

    Recipe and orientation of a quantized copy make a group of their own.

    >>> read_inspect_name("mlp.fc_in_activation_max"), read_inspect_name("mlp.fc_in_wgrad_mxfp8_min_columnwise")
    (('mlp.fc_in', 'input', '', 'high'), ('mlp.fc_in', 'weight-gradient', 'mxfp8 columnwise', 'low'))
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    group = " ".join(filter(None, (match["recipe"], (match["columnwise"] or "").strip("_"))))
    return match["layer"], _TENSORS[match["tensor"]], group, _DERIVED[match["figure"]]


def name_figure(name: str) -> str | None:
    """The statistic in a name of nvdlfw-inspect that is not one of those read; None of any other name.

    >>> name_figure("fc1_weight_mxfp8_scale_inv_min"), name_figure("loss/train")
    ('mxfp8_scale_inv_min', None)
    """
    match = _ANY_NAME.fullmatch(name)
    return match["figure"] if match else None


def derive_columns(rows: Mapping[Key, Figures], *, least_std: float = 0.0) -> dict[str, Any]:
    """Columns of a log from the figures of each key; NaN for what does not follow.

    Moments of |x| are derived where the std of x is above `least_std`: a log of few decimals gives the number of
    elements only as exactly as its std.

    >>> figures = {"low": -3.0, "high": 1.0, "x_mean": -1.0, "x_std": 8**0.5, "l1": 4.0, "l2": 10**0.5}
    >>> columns = derive_columns({(0, "fc1", "input", ""): figures})  # of x = -3, 1
    >>> [round(float(columns[name][0]), 9) for name in ("absmax", "mean", "std", "numel")]
    [3.0, 2.0, 1.0, 2.0]
    """
    step, layer, kind, group = (np.array(list(column), object) for column in zip(*rows, strict=True))

    def take(name: str) -> Doubles:
        return np.array([figures.get(name, np.nan) for figures in rows.values()], np.float64)

    low, high, x_mean, x_std, l1, l2 = map(take, ("low", "high", "x_mean", "x_std", "l1", "l2"))
    absmax = _prefer(take("absmax"), np.maximum(np.abs(low), np.abs(high)))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        variance = x_std**2
        count = (l2**2 + variance) / (variance + x_mean**2)
        count[~(x_std > least_std)] = np.nan
        mean = l1 / count
        std = np.sqrt(np.maximum(l2**2 / count - mean**2, 0))
        absmin = absmax * np.exp2(-take("dynamic_range"))
    columns = {
        "absmax": absmax,
        "absmin": _prefer(take("absmin"), absmin),
        "mean": _prefer(take("mean"), mean),
        "std": _prefer(take("std"), std),
        "numel": _prefer(take("numel"), np.rint(count)),
        "low": low,
        "high": high,
        "non_finite": take("non_finite"),
        "mean_quantized": take("mean_quantized"),
    }
    known = {name: values for name, values in columns.items() if name == "absmax" or not np.isnan(values).all()}
    return {"step": step.astype(np.int64), "layer": layer, "kind": kind, "group": group, **known}


def _prefer(first: Doubles, second: Doubles) -> Doubles:
    return np.where(np.isnan(first), second, first)


def list_unread(figures: Iterable[str], *, most: int = 4) -> str:
    """Names of figures that were passed over, the first few of them, with how many there are.

    >>> list_unread(["mse", "mse", "l3", "a", "b", "c"])
    '6 figures are not read (mse, l3, a, b, ...)'
    """
    names = list(figures)
    shown = list(dict.fromkeys(names))
    tail = ", ..." if len(shown) > most else ""
    return f"{len(names)} figures are not read ({', '.join(shown[:most])}{tail})"


def count_repeated(number: int) -> str:
    """The words for figures that stand again at the same step.

    >>> count_repeated(1)
    '1 figure stands again later at the same step: the last is kept'
    """
    return (
        f"{number} {'figures stand' if number > 1 else 'figure stands'} again later at the same step: the last is kept"
    )
