"""How may the rows of one tensor lie in two sources? As they are, turned by heads, interleaved, or transposed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from qanalysis.checkpoints.source import ModelFacts, TensorInfo
from qanalysis.comparisons.fused import FusedPart, Fusion
from qanalysis.comparisons.names import Key
from qanalysis.comparisons.pair import Change, Part, find_sizes
from qanalysis.comparisons.rows import Cut, Rows, turn_heads
from qanalysis.quantizers.matrix_view import ALONG_FIRST, MatrixView

#: Architectures whose q and k the converter of llama.cpp turns, in its words and in those of config.json.
_TURNED = {
    "llama", "mistral", "mixtral", "mistral3", "baichuan", "internlm2", "xverse", "deci", "arctic", "olmo", "granite",
    "granitemoe", "granitehybrid", "granitemoehybrid", "minicpm", "smollm3", "arcee", "chameleon", "bailingmoe",
    "mllama", "yi", "aquila",
}  # fmt: skip
#: Widths of a head that are tried where nothing states it, the usual ones first.
_WIDTHS = (128, 64, 256, 96, 80, 112, 160, 192, 32, 48, 40, 72, 24, 16, 8, 4)
_ROTARY = re.compile(r"(?:^|\.)attn_[qk](?:\.bias)?$")
_KEYS = re.compile(r"(?:^|\.)attn_k(?:\.bias)?$")
_FUSED_ROTARY = re.compile(r"(?:^|\.)attn_qkv(?:\.bias)?$")
_NORM, _STATE = re.compile(r"norm(?:_[0-9a-z]+)?$"), re.compile(r"(?:^|\.)ssm_a$")
_META = re.compile(r"(?:^|\.)w[qk]\.(?:weight|bias)$")
#: Names of fused tensors whose rows go by heads: q, k and v of the first, then of the next.
_BY_HEADS = re.compile(r"query_key_value|wqkv")


@dataclass(frozen=True, slots=True)
class Lie:
    """Which rows of a tensor are taken in which order.

    `view` is how it is a matrix, None for its own; `turned` says that its rows are the other's columns.
    """

    rows: Rows | None = None
    view: MatrixView | None = None
    turned: bool = False
    change: Change = ""

    @property
    def heads(self) -> int:
        """By how many heads the rows are turned."""
        return self.rows.heads if self.rows is not None else 0

    def take(self, info: TensorInfo) -> Part:
        """The rows of a tensor."""
        return Part(info if self.view is None else replace(info, view=self.view), self.rows, self.change)


@dataclass(frozen=True, slots=True)
class Way:
    """How the rows of both sides are brought together."""

    first: Lie = Lie()
    second: Lie = Lie()


Ways = list[Way]


def list_whole_ways(
    a: TensorInfo,
    b: TensorInfo,
    *,
    keys: tuple[Key | None, Key | None],
    facts: tuple[ModelFacts, ModelFacts],
    gguf: tuple[bool, bool],
) -> Ways:
    """The ways for two whole tensors, the likeliest first; `keys` are their names in GGUF, `gguf` whether that is how
    their sources spell.
    """
    straight = _list_straight(a, b)
    text = next((key.text for key in keys if key is not None), "")
    turned = [gguf[0] or bool(_META.search(a.name)), gguf[1] or bool(_META.search(b.name))]
    if turned[0] == turned[1] or find_sizes(a)[0] != find_sizes(b)[0]:
        return straight
    rows = find_sizes(a)[0]
    place = 1 if turned[0] else 0  # of the source whose rows are put into the other's order
    if _FUSED_ROTARY.search(text):
        likely, orders = _order_by_heads((a, b)[place], rows, facts)
    elif _ROTARY.search(text):
        likely = any(one.architecture in _TURNED for one in facts) or not all(gguf[i] for i in (0, 1) if turned[i])
        orders = [turn_heads(rows, heads) for heads in _list_heads(rows, facts, of_keys=bool(_KEYS.search(text)))]
    else:
        return [*straight, *_list_changed(text, straight[0], of_first=turned[1])]
    ways = [Way(Lie(order)) if place == 0 else Way(Lie(), Lie(order)) for order in orders]
    knows = any(one.heads or one.head_width for one in facts)
    return [*ways, *straight] if likely and knows else [*straight, *ways]


def _list_changed(text: str, straight: Way, *, of_first: bool) -> Ways:
    """What converters to GGUF make of some values, whatever the architecture: 1 is added to norms that a model applies
    as 1 + w, such as those of Gemma, and state matrices of Mamba are stored as −exp(w).
    """
    change: Change = "plus one" if _NORM.search(text) else "minus exp" if _STATE.search(text) else ""
    if not change:
        return []
    one, other = straight.first, straight.second
    return [Way(replace(one, change=change), other) if of_first else Way(one, replace(other, change=change))]


def _list_straight(a: TensorInfo, b: TensorInfo) -> Ways:
    """As both lie; where that gives matrices of two sizes, with one view for both, or with one of them turned."""
    moved = _list_moved(a, b)
    if moved:
        return moved
    ours, theirs = find_sizes(a), find_sizes(b)
    if ours == theirs:
        return [Way(), *_list_square(a, b)]
    if a.numel == b.numel and (a.shape[-1:] == b.shape[-1:] or _squeeze(a.shape) == _squeeze(b.shape)):
        return [_align(a, b)]
    if len(a.shape) == len(b.shape) == 2 and a.shape == b.shape[::-1]:
        return [Way(Lie(), _turn(b))]
    return [Way()]


def _list_square(a: TensorInfo, b: TensorInfo) -> Ways:
    """The other way round, where shapes do not tell which one it is."""
    rows, columns = find_sizes(a)
    if a.shape != b.shape or columns < 2:
        return []
    if a.view.settle(a.shape) != b.view.settle(b.shape):
        return [_align(a, b)]
    return [Way(Lie(), _turn(b))] if len(a.shape) == 2 and rows == columns else []


def _list_moved(a: TensorInfo, b: TensorInfo) -> Ways:
    """Stacks whose matrices are turned, and convolutions with the input channels second in one and last in the other;
    empty where the shapes do not say so.
    """
    rank = len(a.shape)
    if rank < 3 or rank != len(b.shape) or a.shape == b.shape:
        return []
    last, second = MatrixView(tuple(range(rank - 1))), MatrixView((0, *range(2, rank)))
    ways = []
    if (a.shape[0], *a.shape[2:], a.shape[1]) == b.shape:
        ways.append(Way(Lie(view=second), Lie(view=last, turned=True)))
    if (b.shape[0], *b.shape[2:], b.shape[1]) == a.shape:
        ways.append(Way(Lie(view=last), Lie(view=second, turned=True)))
    return ways


def _turn(info: TensorInfo) -> Lie:
    """A tensor of two axes with rows and columns of its matrix exchanged."""
    return Lie(view=MatrixView((0,) if info.view.settle(info.shape).rows == (1,) else (1,)), turned=True)


def _align(a: TensorInfo, b: TensorInfo) -> Way:
    """Two tensors whose elements follow each other alike, seen as one of them is."""
    if "bias" in (a.role, b.role):
        return Way(Lie(view=MatrixView(())), Lie(view=MatrixView(())))
    model = b if a.view == ALONG_FIRST else a
    settled = model.view.settle(model.shape)
    view = MatrixView(settled.rows, settled.fold or model.shape)
    return Way(Lie(view=view), Lie()) if model is b else Way(Lie(), Lie(view=view))


def _squeeze(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def _list_heads(rows: int, facts: Sequence[ModelFacts], *, of_keys: bool) -> list[int]:
    """In how many heads so many rows may lie: those that a source states, then those of usual widths."""
    widths = [one.head_width for one in facts if one.head_width]
    stated = [rows // width for width in widths if rows % width == 0]
    stated += [one.kv_heads if of_keys else one.heads for one in facts]
    fitting = [heads for heads in dict.fromkeys(stated) if heads and rows % (2 * heads) == 0]
    usual = [rows // width for width in _WIDTHS if rows % width == 0 and rows >= width]
    return list(dict.fromkeys([*fitting, *usual]))


def _list_widths(rows: Sequence[int], facts: Sequence[ModelFacts], queries: int) -> list[int]:
    """Widths of a head that divide all these numbers of rows."""
    whole = math.gcd(*rows)
    stated = [one.head_width for one in facts]
    stated += [queries // one.heads for one in facts if one.heads and queries % one.heads == 0]
    fitting = [width for width in dict.fromkeys(stated) if width and whole % width == 0]
    return list(dict.fromkeys([*fitting, *(width for width in _WIDTHS if whole % width == 0)]))


def _order_by_heads(info: TensorInfo, rows: int, facts: Sequence[ModelFacts]) -> tuple[bool, list[Rows]]:
    """Whether q, k and v of a fused tensor likely lie by heads, and its rows as all q, all k, all v."""
    orders = []
    for one in facts:
        if one.heads and one.kv_heads and one.heads % one.kv_heads == 0:
            total = one.heads + 2 * one.kv_heads
            if rows % total == 0:
                orders.append(_gather_heads(one.kv_heads, one.heads // one.kv_heads, rows // total))
    if not orders and rows % 3 == 0:
        orders = [_gather_heads(rows // 3 // width, 1, width) for width in _WIDTHS if rows // 3 % width == 0]
    return bool(_BY_HEADS.search(info.name)), list(dict.fromkeys(orders))


def _gather_heads(groups: int, queries: int, width: int) -> Rows:
    folds = [(0, queries), (queries, queries + 1), (queries + 1, queries + 2)]
    cuts = tuple(Cut.of(groups, queries + 2, width, axis1=fold) for fold in folds)
    return Rows(cuts, f"q, k and v gathered from {groups} groups of heads")


def list_fused_ways(
    whole: TensorInfo,
    fusion: Fusion,
    part: FusedPart,
    *,
    facts: tuple[ModelFacts, ModelFacts],
    gguf: tuple[bool, bool],
) -> Ways:
    """The ways for a part of a fused tensor and the tensor that is this part elsewhere, the likeliest first; `facts`
    and `gguf` are of the source of the whole, then of that of the part.
    """
    if fusion.slots == ("k", "v"):
        return [Way(Lie(_take_latent(fusion, part)))]
    if fusion.slots != ("q", "k", "v"):
        return [Way(Lie(rows)) for rows in _list_halves(whole, fusion, part, facts[0])]
    lies = list(_list_sections(whole, fusion, part, facts))
    seconds = [Lie()]
    if gguf[1] != gguf[0] and part.slot != "v":
        rows = find_sizes(part.info)[0]
        heads = _list_heads(rows, facts, of_keys=part.slot == "k")
        turned = [Lie(turn_heads(rows, one, back=gguf[1])) for one in heads]
        likely = any(one.architecture in _TURNED for one in facts) and any(one.heads for one in facts)
        seconds = [*turned, Lie()] if likely else [Lie(), *turned]
    return [Way(Lie(first), second) for second in seconds for first in lies]


def _list_sections(whole: TensorInfo, fusion: Fusion, part: FusedPart, facts: Sequence[ModelFacts]) -> Iterator[Rows]:
    """The rows of q, k or v: one after another, or by heads."""
    told = f"{part.slot} of {', '.join(fusion.slots)}"
    sizes = [find_sizes(one.info)[0] for one in fusion.parts]
    place = fusion.slots.index(part.slot)
    start = sum(sizes[:place])
    plain = Rows.between(start, start + sizes[place], total=sum(sizes), told=told)
    by_heads = []
    if sizes[1] == sizes[2] and sizes[1] and sizes[0] % sizes[1] == 0:
        queries = sizes[0] // sizes[1]
        folds = [(0, queries), (queries, queries + 1), (queries + 1, queries + 2)]
        for width in _list_widths(sizes, facts, sizes[0]):
            if sizes[1] > width:  # otherwise it is the plain order
                cut = Cut.of(sizes[1] // width, queries + 2, width, axis1=folds[place])
                by_heads.append(Rows((cut,), f"{told}, by heads"))
    yield from [*by_heads, plain] if _BY_HEADS.search(whole.name) and by_heads else [plain, *by_heads]


def _take_latent(fusion: Fusion, part: FusedPart) -> Rows:
    """The rows of keys or values of latent attention: those of each head, keys first."""
    keys, values = (find_sizes(one.info)[0] // fusion.experts for one in fusion.parts)
    place = (0, keys) if part.slot == "k" else (keys, keys + values)
    return Rows((Cut.of(fusion.experts, keys + values, axis1=place),), f"{part.slot} of k and v, by heads")


def _list_halves(whole: TensorInfo, fusion: Fusion, part: FusedPart, facts: ModelFacts) -> list[Rows]:
    """The rows of gate or up: halves of each matrix, every second row, or halves the other way round."""
    count, rows = fusion.experts, find_sizes(whole)[0] // fusion.experts // 2
    place = fusion.slots.index(part.slot)
    expert = {"axis0": (part.expert, part.expert + 1)} if part.expert is not None else {}
    told = f"{part.slot} of {' and '.join(fusion.slots)}" + ("" if part.expert is None else f" of expert {part.expert}")
    half, swapped = (
        Rows((Cut.of(count, 2, rows, axis1=(one, one + 1), **expert),), told + words)
        for one, words in ((place, ""), (1 - place, ", which lie the other way round"))
    )
    second = Rows((Cut.of(count, rows, 2, axis2=(place, place + 1), **expert),), f"{told}, every second row")
    is_interleaved = "gpt-oss" in whole.stored or facts.architecture.replace("-", "_") == "gpt_oss"
    return [second, half, swapped] if is_interleaved else [half, second, swapped]


def list_expert_ways(stack: TensorInfo, one: TensorInfo, expert: int) -> Ways | None:
    """The ways for one matrix of a stack and the tensor that is this expert elsewhere; None where it is none."""
    total, columns = find_sizes(stack)
    rows, width = find_sizes(one)
    second = Lie()
    if width != columns and rows == columns and len(one.shape) == 2:
        rows, width, second = width, rows, _turn(one)
    if width != columns or not rows or total % rows or not (expert + 1) * rows <= total:
        return None
    taken = Rows.between(expert * rows, (expert + 1) * rows, total=total, told=f"expert {expert}")
    return [Way(Lie(taken), second)]
