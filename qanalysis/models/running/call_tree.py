"""What need not be computed again? Parts of a module that were done before the first change, in the order of a run.

While a run is recorded every call of a part becomes a node: when it began, when it ended, what it returned. In a later
run a call whose node had ended before the changed tensor was first used can only return the same again, whatever the
model's own code does between the calls.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.jit import ScriptModule
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@dataclass(slots=True, eq=False)
class Node:
    """A call of one part: `began` and `ended` count the calls and returns of a run; `value` is what it returned, kept
    with the versions of its tensors, so that one that was overwritten afterwards is found out.
    """

    part: nn.Module
    began: int
    ended: int = -1
    calls: list[Node] = field(default_factory=list)
    value: Any = None
    is_kept: bool = False
    versions: tuple[int, ...] = ()

    def walk(self) -> Iterator[Node]:
        """The node and all below it, in the order in which they began."""
        yield self
        for call in self.calls:
            yield from call.walk()

    def find_finished(self, moment: int) -> Iterator[Node]:
        """The outermost nodes below this one that had ended at a moment."""
        for call in self.calls:
            if call.ended <= moment:
                yield call
            elif call.began <= moment:
                yield from call.find_finished(moment)


class CallTree:
    """The calls of one run of `model`, and how much of what they returned is held, in bytes."""

    def __init__(self, model: nn.Module) -> None:
        self.root = Node(model, 0)
        self.moment, self._open = 0, [self.root]
        self.held_bytes = 0
        self._kept = list[Node]()

    def enter(self, part: nn.Module) -> Node:
        """A part is called."""
        self.moment += 1
        node = Node(part, self.moment)
        self._open[-1].calls.append(node)
        self._open.append(node)
        return node

    def leave(self) -> None:
        """The part that was called last returns."""
        self.moment += 1
        self._open.pop().ended = self.moment

    def hold(self, node: Node, value: Any) -> None:
        """Keep what a node returned."""
        tensors = _list_tensors(value)
        if tensors is None:
            return
        node.value, node.is_kept, node.versions = value, True, read_versions(tensors)
        self._kept.append(node)
        self.held_bytes += sum(one.numel() * one.element_size() for one in tensors)

    @cached_property
    def parts(self) -> Sequence[nn.Module]:
        """All parts that were called, each once; asked for when the run is over."""
        return list(dict.fromkeys(node.part for node in self.root.walk() if node is not self.root))

    @property
    def outline(self) -> list[tuple[int, int, int]]:
        """Which part was called when, and when it returned: equal for runs that took the same way."""
        return [(id(node.part), node.began, node.ended) for node in self.root.walk()][1:]

    def forget_overwritten(self) -> None:
        """Drop values that were changed in place after they had been returned, so that they take no room."""
        for node in self._kept:
            if not is_whole(node):
                node.value, node.is_kept = None, False


def is_whole(node: Node) -> bool:
    """Whether what a node returned is kept, and nobody has written into it since."""
    return node.is_kept and read_versions(_list_tensors(node.value) or ()) == node.versions


def read_versions(tensors: Sequence[Tensor]) -> tuple[int, ...]:
    """How often each was changed in place, as autograd counts it."""
    return tuple(getattr(one, "_version") for one in tensors)  # noqa: B009


def _list_tensors(value: Any) -> list[Tensor] | None:
    """The tensors of what a part returned; None where it holds anything else that a later call could change."""
    leaves = tree_leaves(value)
    known = all(isinstance(leaf, Tensor | int | float | str | bool | type(None)) for leaf in leaves)
    return [leaf for leaf in leaves if isinstance(leaf, Tensor)] if known else None


@contextmanager
def wrapped(
    parts: Iterable[nn.Module], wrap: Callable[[nn.Module, Callable[..., Any]], Callable[..., Any]]
) -> Iterator[None]:
    """Every part's own `forward` goes through `wrap(part, forward)`; afterwards all are as before."""
    changed = list[tuple[dict[str, Any], Any]]()
    try:
        for part in parts:
            # Past the checks of a module's own assignment, which take longer than a small layer.
            own = vars(part)
            changed.append((own, own.get("forward")))
            own["forward"] = wrap(part, part.forward)
        yield
    finally:
        for own, forward in changed:
            if forward is None:
                own.pop("forward", None)
            else:
                own["forward"] = forward


@contextmanager
def recording(model: nn.Module, wanted: AbstractSet[int], keep_bytes: int) -> Iterator[CallTree]:
    """Grows the tree of a run, and keeps what the nodes return whose number, in the order of beginning, is wanted."""
    tree, count = CallTree(model), 0

    def wrap(part: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            number, node = count, tree.enter(part)
            try:
                value = forward(*args, **kwargs)
            finally:
                tree.leave()
            if number in wanted and tree.held_bytes < keep_bytes:
                tree.hold(node, value)
            return value

        return call

    parts = (part for part in model.modules() if part is not model and not isinstance(part, ScriptModule))
    with wrapped(list(parts), wrap):
        yield tree
    tree.forget_overwritten()


@contextmanager
def replaying(tree: CallTree, first_change: int) -> Iterator[None]:
    """Calls whose nodes had ended at the moment of the first change return what they returned."""
    # Where the run is: nodes that are open, and how many of the calls below each were already made.
    open_nodes, done = [tree.root], [0]
    is_before = True

    def wrap(part: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal is_before
            node = _find_next(open_nodes[-1], done[-1], part) if is_before else None
            if node is None or node.began > first_change:
                is_before = False
                return forward(*args, **kwargs)
            done[-1] += 1
            if node.ended <= first_change and is_whole(node):
                return node.value
            open_nodes.append(node)
            done.append(0)
            try:
                return forward(*args, **kwargs)
            finally:
                open_nodes.pop()
                done.pop()

        return call

    with wrapped(tree.parts, wrap):
        yield


def _find_next(node: Node, place: int, part: nn.Module) -> Node | None:
    """The next call below a node, None where the run takes another way than the recorded one."""
    found = node.calls[place] if place < len(node.calls) else None
    return found if found is not None and found.part is part else None


class FirstUses:
    """When a run first uses the memory of each tensor: moments of a tree that grows meanwhile, by place.

    Found by what operations are given, so that a weight is seen where it is used, be it outside its own module.
    """

    def __init__(self, tree: CallTree, tensors: Sequence[Tensor]) -> None:
        self._tree = tree
        places = sorted((one.data_ptr(), place) for place, one in enumerate(tensors) if one.numel())
        self._starts = [start for start, _place in places]
        self._spans = [(start + tensors[place].nbytes, place) for start, place in places]
        self.moments: dict[int, int] = {}

    def note(self, values: Any) -> None:
        """An operation is given these."""
        for leaf in tree_leaves(values):
            if isinstance(leaf, Tensor) and leaf.layout == torch.strided and leaf.numel():
                below = bisect_right(self._starts, leaf.data_ptr()) - 1
                if below >= 0 and leaf.data_ptr() < self._spans[below][0]:
                    self.moments.setdefault(self._spans[below][1], self._tree.moment)


@contextmanager
def noting(uses: FirstUses) -> Iterator[None]:
    """Every operation of the block is noted."""

    class Noting(TorchDispatchMode):
        @classmethod
        def _should_skip_dynamo(cls) -> bool:
            return False  # else torch loads its compiler, which takes seconds, to say that it is not to be used

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            uses.note((args, kwargs))
            return func(*args, **(kwargs or {}))

    with Noting():
        yield
