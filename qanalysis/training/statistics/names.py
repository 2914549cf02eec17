"""Which layer, which kind of data and which statistic does a name mean? Spellings of other tools, in one place.

A kind is one of `KINDS` and nothing else; what others write for it is translated only where it can not mean two things.
"""

from __future__ import annotations

import re

from qanalysis.training.state import KINDS

#: Columns of numbers that a log may have, each with other spellings of it.
SPELLINGS: dict[str, tuple[str, ...]] = {
    "step": ("iteration", "iter", "global_step"),
    "layer": ("module", "layer_name"),
    "kind": ("tensor_kind",),
    "group": (),
    "absmax": ("abs_max", "amax", "cur_amax", "max_abs"),
    "absmin": ("abs_min", "amin", "min_abs"),
    "mean": ("abs_mean", "mean_abs"),
    "std": ("abs_std", "std_abs"),
    "low": ("min", "minimum"),
    "high": ("max", "maximum"),
    "numel": ("count", "elements"),
    "non_finite": ("nonfinite",),
    "mean_quantized": (),
}
_COLUMNS = {spelling: name for name, others in SPELLINGS.items() for spelling in (name, *others)}
_EXPONENT = re.compile(r"scale_exponent_(-?\d{1,3})")
_NAME = re.compile(
    r"(?:(?P<before>grads?|gradients?)[/.])?(?P<layer>.+)[/.]"
    r"(?:(?P<kind>input|output|weight)s?(?:[-_./](?P<after>grads?|gradients?))?"
    r"|(?P<turned>grad|gradient)_(?P<of>input|output|weight))",
    re.IGNORECASE,
)


def find_column(name: str) -> str | None:
    """The column that a header's cell means, in our spelling; None where it is none of a log.

    >>> find_column("amax"), find_column(" Iteration"), find_column("scale_exponent_-7"), find_column("loss")
    ('absmax', 'step', 'scale_exponent_-7', None)
    """
    word = name.strip().lower().replace(" ", "_")
    return word if _EXPONENT.fullmatch(word) else _COLUMNS.get(word)


def find_exponent(column: str) -> int | None:
    """The E of a column `scale_exponent_E`; None of any other."""
    match = _EXPONENT.fullmatch(column)
    return int(match[1]) if match else None


def find_kind(word: str) -> str | None:
    """The kind that a word means: any case, underscores or blanks for the dash; None where it is none of the six.

    >>> find_kind("Weight_Gradient"), find_kind("wgrad")
    ('weight-gradient', None)
    """
    kind = re.sub(r"[\s_]+", "-", word.strip().lower())
    return kind if kind in KINDS else None


def split_name(name: str) -> tuple[str, str] | None:
    """Layer and kind of a dotted or slashed name, as torch users write them; None where no kind stands in it.

    >>> split_name("fc1.weight"), split_name("fc1.weight.grad"), split_name("gradients/enc.0.weight")
    (('fc1', 'weight'), ('fc1', 'weight-gradient'), ('enc.0', 'weight-gradient'))
    >>> split_name("fc1/output-gradient"), split_name("fc1.bias")
    (('fc1', 'output-gradient'), None)
    """
    match = _NAME.fullmatch(name.strip())
    if match is None:
        return None
    of_gradient = match["before"] or match["after"] or match["turned"]
    kind = (match["kind"] or match["of"]).lower()
    return match["layer"], f"{kind}-gradient" if of_gradient else kind
