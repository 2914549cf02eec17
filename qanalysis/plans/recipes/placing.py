"""Where in a graph does a tensor of a plan stand? Its shape, its channels, the nodes that take it, and its values where
a source is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from qanalysis.arrays import Floats
from qanalysis.checkpoints.source import FLOAT_DTYPES, Consumer, TensorSource
from qanalysis.notation import quote
from qanalysis.plans.plan import Plan
from qanalysis.plans.recipes.recipe import Item, Unexpressed
from qanalysis.plans.tensors import PlanTensor, list_tensors
from qanalysis.quantizers.grouping import Layout
from qanalysis.quantizers.matrix_view import MatrixView
from qanalysis.quantizers.quantizer import LevelQuantizer
from qanalysis.quantizers.ranges import MinMax
from qanalysis.quantizers.rounding import Rounding
from qanalysis.quantizers.scheme import Scheme

Granularity = Literal["tensor", "channel", "group", "block"]


@dataclass(frozen=True, slots=True)
class Placed:
    """A tensor of a plan, its scheme, and what is known of its place in the model."""

    item: Item
    tensor: PlanTensor

    @property
    def name(self) -> str:
        """Its name in the source."""
        return self.tensor.name

    @property
    def scheme(self) -> Scheme:
        """What the plan assigns."""
        return self.item.scheme

    @property
    def consumers(self) -> tuple[Consumer, ...]:
        """The operations of the graph that take it, none where the source holds no graph."""
        return self.tensor.consumers

    @property
    def view(self) -> MatrixView:
        """The axes of its output channels, as its scheme has them."""
        axis = self.scheme.grouping.axis
        return MatrixView.parse(self.tensor.view) if axis is None else MatrixView((axis,))

    @property
    def layout(self) -> Layout | None:
        """Its groups, None where the shape is not known or has none."""
        try:
            return self.scheme.lay_out(self.tensor.shape, axis=self.view)
        except ValueError:
            return None

    @property
    def granularity(self) -> Granularity:
        """What shares a scale: the tensor, an output channel, a part of one, or a rectangle."""
        grouping, layout = self.scheme.grouping, self.layout
        if layout is not None and layout.groups == 1:
            return "tensor"
        if layout is not None and layout.group_columns == 1 and layout.block_rows == 1:
            return "channel"
        if grouping.rows is None:
            return "tensor"
        if grouping.rows > 1:
            return "block"
        return "channel" if grouping.columns is None else "group"

    @property
    def group_length(self) -> int:
        """How many values along an output channel share a scale, 0 where the shape is not known."""
        layout = self.layout
        return layout.block_columns if layout is not None else self.scheme.grouping.columns or 0

    @property
    def row_length(self) -> int:
        """How many values an output channel has, 0 where the shape is not known."""
        layout = self.layout
        return layout.columns if layout is not None else 0

    @property
    def channel_axis(self) -> int | None:
        """The one axis of its output channels; None where they lie along several, or in a folded tensor."""
        view = self.view
        return view.rows[0] if len(view.rows) == 1 and not view.fold else None

    @property
    def is_cast(self) -> bool:
        """Whether its scheme is a plain float type, which back ends leave to the model."""
        return str(self.scheme.format) in FLOAT_DTYPES

    @property
    def is_kept(self) -> bool:
        """Whether its scheme is the type that it has."""
        return str(self.scheme.format) == self.tensor.dtype

    def tell(self, reason: str, instead: str = "it stays in the model's own float") -> Unexpressed:
        """The line for what the back end can not do."""
        return Unexpressed(self.name, str(self.scheme), reason, instead)


def place_items(items: Sequence[Item], plan: Plan, source: TensorSource | None = None) -> list[Placed]:
    """The tensors of a plan with what its document or its source knows of them.

    Raises ValueError where the source lacks one of them, or holds it in another shape.
    """
    known = list_tensors([plan], header=source.tensors if source is not None else ())
    if source is not None:
        _check_source(items, source)
    return [Placed(item, known[item.tensor]) for item in items]


def _check_source(items: Sequence[Item], source: TensorSource) -> None:
    shapes = {info.name: info.shape for info in source.tensors}
    for item in items:
        if item.tensor not in shapes:
            raise ValueError(f"the plan has {quote(item.tensor)}, {source.name} does not; give the file it was made of")
        if item.shape and shapes[item.tensor] != item.shape:
            raise ValueError(
                f"{quote(item.tensor)} is {item.row.shape} in the plan, {'x'.join(map(str, shapes[item.tensor]))} in "
                f"{source.name}; give the file it was made of"
            )


def check_graph(placed: Sequence[Placed], target: str) -> None:
    """ValueError where nothing is known of the nodes that a recipe has to name."""
    if placed and not any(one.consumers for one in placed):
        raise ValueError(
            f"target {target}: names the nodes of a graph, and the plan was not made of one; give --source MODEL.onnx "
            "with the tensors of the plan"
        )


def name_others(plan: Plan, chosen: Sequence[Placed], source: TensorSource | None = None) -> list[str]:
    """The nodes that take matrices, planned or kept as they are, but none of the chosen ones."""
    own = set(name_nodes(chosen))
    matrices = _list_matrices(plan, (*plan.assignments, *plan.kept_float), source)
    return [name for name in name_nodes(matrices) if name not in own]


def list_kept(plan: Plan, source: TensorSource | None = None) -> list[PlanTensor]:
    """The matrices that the plan leaves as they are."""
    return _list_matrices(plan, plan.kept_float, source)


def _list_matrices(plan: Plan, names: Iterable[str], source: TensorSource | None) -> list[PlanTensor]:
    known = list_tensors([plan], header=source.tensors if source is not None else ())
    return [known[name] for name in names if name in known and sum(size > 1 for size in known[name].shape) >= 2]


def part_expressed(
    placed: Iterable[Placed], find_obstacle: Callable[[Placed], str]
) -> tuple[list[Placed], list[Unexpressed]]:
    """Those that the back end does as planned, and the lines of the others; those that stay the floats that they are
    are neither.
    """
    chosen, told = list[Placed](), list[Unexpressed]()
    for one in placed:
        reason = "the type of floats is the model's own, not the recipe's" if one.is_cast else find_obstacle(one)
        if reason and not (one.is_cast and one.is_kept):
            told.append(one.tell(reason))
        elif not reason:
            chosen.append(one)
    return chosen, told


def find_other_name(one: Placed, who: str) -> str:
    """Why a back end that quantizes the weights of modules does not find a tensor: no node takes it, and it is not the
    `weight` of one; empty where it finds it. Several such tensors of a module would get one line.
    """
    if one.consumers or one.name.endswith(".weight"):
        return ""
    return f"{who} quantizes the weights of modules, and this tensor has another name"


def name_nodes(tensors: Iterable[Placed | PlanTensor]) -> list[str]:
    """The nodes that take some tensors, each once; one without a name is called by its first output."""
    return list(dict.fromkeys(consumer.name for tensor in tensors for consumer in tensor.consumers))


def is_plain(scheme: Scheme) -> bool:
    """Whether its scales are what a formula makes of the extremes, in float32, and codes the nearest."""
    return scheme.range == MinMax() and scheme.scale.is_exact and scheme.rounding == Rounding()


def fit_grid(one: Placed, source: TensorSource) -> tuple[LevelQuantizer, Floats]:
    """The quantizer of the tensor's scheme over its values, and these; ValueError where they can not be read or hold
    values that are not finite.
    """
    info = next(info for info in source.tensors if info.name == one.name)
    values = source.read(info)
    if not np.isfinite(values).all():
        raise ValueError(f"{quote(one.name)} holds NaN or infinities, which have no code; mend the model")
    return one.scheme.fit(values, axis=one.view), values


def tell_signed_step(chosen: Sequence[Placed], who: str) -> list[str]:
    """What is to be said of symmetric integers where a back end divides the value of the largest magnitude."""
    signed = [one for one in chosen if one.scheme.symmetry.signed]
    words = ", ".join(sorted({str(one.scheme.symmetry) for one in signed}))
    told = (
        f"{count(signed)}: the symmetric step of {who} is the value of the largest magnitude / -2^(bits-1), as "
        f"gguf:q4_0 has it; the plan has {words}"
    )
    return [told] * bool(signed)


def tell_own_rules(chosen: Sequence[Placed]) -> list[str]:
    """What is to be said of ranges, scale types and roundings that a back end has no words for."""
    odd = [one for one in chosen if not is_plain(one.scheme)]
    told = (
        f"{count(odd)} of the plan with a range, a scale type or a rounding of its own, for which there are no words "
        "here: extremes, the model's float type and the nearest code are taken"
    )
    return [told] * bool(odd)


def count(tensors: Sequence[Placed]) -> str:
    """So many tensors, in words."""
    return f"{len(tensors)} tensor{'s' * (len(tensors) > 1)}"
