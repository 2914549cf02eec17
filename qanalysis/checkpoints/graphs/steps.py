"""What does an operation between a constant and its consumer do to the axes?

Each step takes the frame of an input and gives that of the output, None where the axes can not be followed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from qanalysis.checkpoints.graphs.frames import Frame
from qanalysis.checkpoints.graphs.graph import Graph
from qanalysis.checkpoints.graphs.scopes import Node, Place, Use

#: Inputs of a Concat whose sizes are added up: of thousands each would cost a look at all others.
_MAX_JOINED = 256
#: Operations before another operand that are followed back to the constant whose shape it has.
_MAX_STEPS_BACK = 8

Step = Callable[[Node, int, Frame, Graph], Frame | None]


def is_carried(use: Use, frame: Frame | None, graph: Graph) -> bool:
    """Whether an operation only changes the form of what it is given there, so that its consumer decides.

    An operand of arithmetic is carried where the others are constants too and none of them is larger. Of a stack of
    matrices one may be chosen at run time; a row of a table that is looked up is no weight any more.
    """
    if is_parameter(use):
        return False
    if use.node.op == "Gather" and not graph.is_fixed_at(use.node, 1):
        return frame is not None and len(frame.axes) > 2 and use.node.integer("axis", 0) in {0, -len(frame.axes)}
    return graph.is_fixed(use.node) if use.node.op in _TOGETHER else use.node.op in {"Split", *STEPS}


def is_parameter(use: Use) -> bool:
    """Whether an operand only says what an operation does with another: the ends of a slice, a condition."""
    if use.node.op in _TOGETHER:
        return use.node.op == "Where" and use.operand == 0
    return use.node.op in {"Split", *STEPS} and use.operand > 0


def take_step(use: Use, frame: Frame, graph: Graph) -> list[Frame | None]:
    """The frames of the outputs."""
    node = use.node
    if node.op == "Split":
        return _split(node, frame)
    return [(STEPS.get(node.op) or _TOGETHER[node.op])(node, use.operand, frame, graph)]


def is_smaller(use: Use, frame: Frame, graph: Graph) -> bool:
    """Whether another constant operand of arithmetic is larger, which then is the weight that this one changes."""
    if use.node.op not in _ARITHMETIC:
        return False
    others = _find_other_shapes(use, graph)
    return any(
        other is not None and None not in other and math.prod(size or 0 for size in other) > math.prod(frame.shape)
        for other in others
    )


def _other_places(use: Use) -> list[Place]:
    places = (use.node.place(index) for index in range(len(use.node.inputs)) if index != use.operand)
    return [place for place in places if place is not None]


def _find_other_shapes(use: Use, graph: Graph) -> list[tuple[int | None, ...] | None]:
    return [_find_shape(place, graph, _MAX_STEPS_BACK) for place in _other_places(use)]


def _find_shape(place: Place, graph: Graph, depth: int) -> tuple[int | None, ...] | None:
    """The shape of a value as the file declares it, else as the steps before it make it of that of a constant."""
    declared, node = graph.find_shape(place), place.scope.producers.get(place.name)
    if (declared is not None and None not in declared) or node is None or not depth:
        return declared
    source = node.place(0)
    shape = None if source is None else _find_shape(source, graph, depth - 1)
    if shape is None or None in shape:
        return declared
    before = Frame.of(tuple(size or 0 for size in shape))
    if not is_carried(Use(node, 0), before, graph):
        return declared
    frames = take_step(Use(node, 0), before, graph)
    frame = dict(zip(node.outputs, frames, strict=False)).get(place.name)
    return declared if frame is None else frame.shape


def _keep(_node: Node, _operand: int, frame: Frame, _graph: Graph) -> Frame:
    return frame


def _transpose(node: Node, _operand: int, frame: Frame, _graph: Graph) -> Frame | None:
    rank = len(frame.axes)
    return frame.transpose(node.integers("perm") or tuple(reversed(range(rank))))


def _reshape(node: Node, _operand: int, frame: Frame, graph: Graph) -> Frame | None:
    wanted = node.integers("shape", 1)
    if wanted is not None:
        sizes = _fill(wanted, frame.shape, keeps_zero=bool(node.integer("allowzero", 0)))
    else:
        sizes = _declared(node, graph)
    return None if sizes is None else frame.reshape(sizes)


def _fill(wanted: Sequence[int], shape: Sequence[int], *, keeps_zero: bool) -> tuple[int, ...] | None:
    """A target shape with its 0 (the size that is there) and -1 (what is left) filled in."""
    if any(size == 0 and not keeps_zero and place >= len(shape) for place, size in enumerate(wanted)):
        return None
    sizes = [shape[place] if size == 0 and not keeps_zero else size for place, size in enumerate(wanted)]
    known = math.prod(size for size in sizes if size != -1)
    if sizes.count(-1) > 1 or known <= 0 or math.prod(shape) % known:
        return None
    return tuple(math.prod(shape) // known if size == -1 else size for size in sizes)


def _declared(node: Node, graph: Graph) -> tuple[int, ...] | None:
    shape = graph.find_shape(Place(node.scope, node.outputs[0])) if node.outputs else None
    return None if shape is None or None in shape else tuple(size or 0 for size in shape)


def _flatten(node: Node, _operand: int, frame: Frame, _graph: Graph) -> Frame | None:
    axis, shape = node.integer("axis", 1), frame.shape
    axis = axis + len(shape) if axis < 0 else axis
    return frame.reshape((math.prod(shape[:axis]), math.prod(shape[axis:])))


def _squeeze(node: Node, _operand: int, frame: Frame, _graph: Graph) -> Frame | None:
    axes = node.integers("axes", 1)
    is_named = axes is not None or (len(node.inputs) > 1 and node.inputs[1]) or node.find_attribute("axes")
    if is_named and (axes is None or not frame.axes):
        return None
    return frame.squeeze(axes)


def _unsqueeze(node: Node, _operand: int, frame: Frame, _graph: Graph) -> Frame | None:
    axes = node.integers("axes", 1)
    return None if axes is None else frame.unsqueeze(axes)


def _expand(node: Node, _operand: int, frame: Frame, graph: Graph) -> Frame | None:
    sizes = node.integers("shape", 1) or _declared(node, graph)
    return None if sizes is None or min(sizes, default=1) < 1 else frame.broadcast(sizes)


def _tile(node: Node, _operand: int, frame: Frame, _graph: Graph) -> Frame | None:
    repeats, shape = node.integers("repeats", 1), frame.shape
    if repeats is None or len(repeats) != len(shape) or min(repeats, default=1) < 1:
        return None
    for axis, count in enumerate(repeats):
        frame = frame if count == 1 else frame.resize(axis, shape[axis] * count)
    return frame


def _slice(node: Node, _operand: int, frame: Frame, graph: Graph) -> Frame | None:
    starts, ends = node.integers("starts", 1), node.integers("ends", 2)
    if starts is None or ends is None or len(starts) != len(ends):
        return _resized_to(_declared(node, graph), frame)
    axes = node.integers("axes", 3) or tuple(range(len(starts)))
    steps = node.integers("steps", 4) or (1,) * len(starts)
    if len(axes) != len(starts) or len(steps) != len(starts):
        return None
    sizes = list(frame.shape)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if not step or not -len(sizes) <= axis < len(sizes):
            return None
        sizes[axis] = len(range(sizes[axis])[start:end:step])
    return _resized_to(sizes, frame)


def _resized_to(sizes: Sequence[int] | None, frame: Frame) -> Frame | None:
    """The frame with the sizes of the output, which has the same axes."""
    if sizes is None or len(sizes) != len(frame.axes) or min(sizes, default=1) < 1:
        return None
    for axis, (old, new) in enumerate(zip(frame.shape, sizes, strict=True)):
        frame = frame if old == new else frame.resize(axis, new)
    return frame


def _split(node: Node, frame: Frame) -> list[Frame | None]:
    axis, rank, parts = node.integer("axis", 0), len(frame.axes), len(node.outputs)
    if not -rank <= axis < rank:
        return [None] * parts
    length = frame.shape[axis]
    each = -(-length // max(1, parts))
    lengths = node.integers("split", 1) or tuple(min(each, length - each * part) for part in range(parts))
    return [frame.resize(axis, size) if size > 0 else None for size in lengths[:parts]]


def _pad(node: Node, _operand: int, frame: Frame, _graph: Graph) -> Frame | None:
    pads, rank = node.integers("pads", 1), len(frame.axes)
    axes = node.integers("axes", 3) or tuple(range(rank))
    if pads is None or len(pads) != 2 * len(axes) or not all(-rank <= axis < rank for axis in axes):
        return None
    sizes = list(frame.shape)
    for place, axis in enumerate(axes):
        sizes[axis] += pads[place] + pads[place + len(axes)]
    return _resized_to(sizes, frame)


def _gather(node: Node, _operand: int, frame: Frame, graph: Graph) -> Frame | None:
    """Entries of an axis: a slice, or none of the axis where the place is one number.

    Of a stack of matrices, whose place may be chosen at run time, one is taken for each place.
    """
    axis, rank = node.integer("axis", 0), len(frame.axes)
    place = node.place(1)
    taken = graph.find_shape(place) if place is not None else None
    if not graph.is_fixed_at(node, 1):
        return frame.drop(0).unsqueeze(range(len(taken or ())))
    if taken is None or None in taken or not -rank <= axis < rank or len(taken) > 1:
        return None
    return frame.drop(axis) if not taken else _resized_to(_replace(frame.shape, axis, taken[0] or 0), frame)


def _replace(shape: Sequence[int], axis: int, size: int) -> list[int]:
    sizes = list(shape)
    sizes[axis] = size
    return sizes


def _combine(node: Node, operand: int, frame: Frame, graph: Graph) -> Frame | None:
    for shape in _find_other_shapes(Use(node, operand), graph):
        frame = frame.broadcast(shape or ())
    return frame


def _concat(node: Node, operand: int, frame: Frame, graph: Graph) -> Frame | None:
    axis, rank = node.integer("axis", 0), len(frame.axes)
    if not -rank <= axis < rank or len(node.inputs) > _MAX_JOINED:
        return None
    sizes = _find_other_shapes(Use(node, operand), graph)
    lengths = [shape[axis] if shape is not None and len(shape) == rank else None for shape in sizes]
    if None in lengths:
        declared = _declared(node, graph)
        return frame.resize(axis, declared[axis]) if declared and len(declared) == rank else None
    return frame.resize(axis, frame.shape[axis] + sum(length or 0 for length in lengths))


_QUANTIZERS = ("QuantizeLinear", "DequantizeLinear", "com.microsoft.QuantizeLinear", "com.microsoft.DequantizeLinear")
_CASTS = ("Identity", "Cast", "CastLike", "BitCast", "Dropout")
_UNARY = ("Neg", "Abs", "Sign", "Round", "Clip", "Tanh", "Sigmoid", "HardSigmoid", "Exp", "Softplus", "Reciprocal")
#: Operations that change the form of their first input.
STEPS: Mapping[str, Step] = {
    **dict.fromkeys((*_QUANTIZERS, *_CASTS, *_UNARY), _keep),
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Expand": _expand,
    "Tile": _tile,
    "Slice": _slice,
    "Pad": _pad,
    "Gather": _gather,
}
_ARITHMETIC: Mapping[str, Step] = dict.fromkeys(("Mul", "Div", "Add", "Sub", "Where"), _combine)
#: Operations that combine several constants.
_TOGETHER: Mapping[str, Step] = {**_ARITHMETIC, "Concat": _concat}
