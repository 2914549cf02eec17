"""Which tensors of a plan are weights of modules, as back ends for torch and MLX name them? And which modules stay as
they are?
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from qanalysis.notation import escape, shorten
from qanalysis.plans.plan import Plan
from qanalysis.plans.recipes.recipe import Item, Unexpressed
from qanalysis.plans.tensors import read_shape
from qanalysis.sweeps.held import TENSORS

CASTS = ("bfloat16", "float16")
_WEIGHT = ".weight"
_OTHER_FILES = {".gguf": "a GGUF file", ".onnx": "an ONNX graph"}
_NORM = re.compile(r"norm|(^|[._])(ln|bn)_?[0-9a-z]*$", re.IGNORECASE)


def take_modules(
    items: Sequence[Item], target: str, *, what: str, transposed: bool = True
) -> tuple[list[Item], list[Unexpressed]]:
    """The tensors that are matrices called `weight`, and the others, listed; `what` names the modules that have them,
    `transposed` says whether those count whose outputs are columns.

    A tensor of unknown shape counts as a matrix.
    """
    found, others = list[Item](), list[Unexpressed]()
    for item in items:
        if not item.tensor.endswith(_WEIGHT):
            reason = f"{target} quantizes the weights of {what}, and this tensor has another name"
        elif item.shape and len(item.shape) != 2:
            reason = f"{target} quantizes the weights of {what}, and this tensor has {len(item.shape)} dimensions"
        elif item.is_transposed and not transposed:
            reason = f"{target} quantizes the weights of {what}, and this one is stored with its outputs as columns"
        else:
            found.append(item)
            continue
        others.append(Unexpressed(item.tensor, str(item.scheme), reason, "it stays as it is"))
    return found, others


def part_casts(items: Sequence[Item], target: str) -> tuple[list[Item], list[Item], list[Unexpressed]]:
    """The tensors that are quantized, those that are planned as plain floats and left alone, and of these the ones that
    are not stored so and would have to be cast.
    """
    quantized = [item for item in items if str(item.scheme.format) not in CASTS]
    left = [item for item in items if str(item.scheme.format) in CASTS]
    told = [
        Unexpressed(
            item.tensor,
            str(item.scheme),
            f"{target} does not cast single layers",
            f"it stays {item.row.dtype or 'as it is'}; load the model in {item.scheme.format}",
        )
        for item in left
        if item.row.dtype != str(item.scheme.format)
    ]
    return quantized, left, told


def list_kept_modules(plan: Plan) -> list[str]:
    """Modules whose weight has no scheme and may be a matrix, in the order of the plan's document.

    Shapes and roles decide where the document has them, else names: norms are left aside.
    """
    header = {line["tensor"]: line for line in find_header(plan)}
    return [
        name.removesuffix(_WEIGHT)
        for name in plan.kept_float
        if name.endswith(_WEIGHT) and _may_be_matrix(name, header.get(name))
    ]


def find_header(plan: Plan) -> Sequence[Mapping[str, Any]]:
    """What the plan's document says of every tensor of the source, nothing where it does not."""
    lines: Sequence[Mapping[str, Any]] = plan.more.get(TENSORS, ())
    return lines


def _may_be_matrix(name: str, line: Mapping[str, Any] | None) -> bool:
    if line is None:
        return not _NORM.search(name.removesuffix(_WEIGHT))
    return len(read_shape(line["shape"])) == 2 and line["role"] in ("weight", "embedding")


def tell_names(plan: Plan, target: str) -> list[str]:
    """A note where names are those of a file that the back end does not read: no module would be found by them."""
    path = plan.source.path.lower() if plan.source else ""
    kind = next((word for suffix, word in _OTHER_FILES.items() if path.endswith(suffix)), "")
    if not kind:
        return []
    told = (
        f"names are those of {kind}, and {target} finds modules by the names of the checkpoint that it opens: plan "
        "from that one"
    )
    return [told]


def tell_ties(items: Sequence[Item], target: str) -> list[str]:
    """A note where planned tensors have other names too, whose modules a recipe by names does not reach."""
    tied = [item for item in items if any(name.endswith(_WEIGHT) for name in item.aliases)]
    if not tied:
        return []
    names = ", ".join(shorten(escape(name)) for name in (tied[0].tensor, *tied[0].aliases))
    told = (
        f"{len(tied)} planned tensor{'s' * (len(tied) > 1)} with several names ({names}): {target} quantizes the "
        "module of the first, which unties the others in their float type"
    )
    return [told]


def fit_group(item: Item, lengths: Sequence[int]) -> int | None:
    """The longest of some group lengths that divides the rows and is no longer than the planned group; None for none.

    >>> from qanalysis.plans.recipes.recipe import list_items
    >>> from qanalysis.plans.row import PlanRow
    >>> facts = {"numel": 1, "bits_per_weight": 4, "size_bytes": 1, "cost": 0, "options": 1}
    >>> fit_group(list_items([PlanRow(tensor="w", shape="8x96", scheme="int4 channel", **facts)])[0], (32, 64))
    32
    """
    columns, planned = item.columns, item.scheme.grouping.columns
    fits = [
        length
        for length in lengths
        if (columns is None or columns % length == 0) and (planned is None or length <= planned)
    ]
    return max(fits, default=None)
