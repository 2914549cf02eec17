"""Which tensor of B is which of A? By name as it is, without prefixes, by the name in GGUF, or as a part."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from qanalysis.checkpoints.source import ModelFacts, TensorInfo
from qanalysis.comparisons.fused import Fusion, find_fusions
from qanalysis.comparisons.maps import Renaming, rename
from qanalysis.comparisons.names import Key, Spelled, is_gguf_style, make_key, name_module, spell, strip_prefix
from qanalysis.comparisons.pair import Pair, Part, as_stack
from qanalysis.comparisons.row_order import Ways, list_expert_ways, list_fused_ways, list_whole_ways

__all__ = ["Pair", "Part", "match_tensors"]

_NOTHING = ModelFacts()
#: What a model's output is called that may be tied to its embedding.
_OUTPUTS, _EMBEDDINGS = ("output", "lm_head", "embed_out"), ("token_embd", "embed_tokens", "wte", "embed_in")
_FEWEST_ALIKE = 2
#: Words that a prefix nobody knows may have.
_LONGEST_PREFIX = 8
#: What quantizers of ONNX Runtime write behind the name of a weight: QDQ, MatMulNBits by width and block.
_QUANTIZED = re.compile(r"(?:_quantized|_Q[248](?:G[0-9]{1,9})?)$")
#: Operations of which a module has one.
_MULTIPLIES = re.compile(r"MatMul|Gemm|Conv|Gather")
_Choice = Callable[[Spelled], Key | None]


def match_tensors(
    a: Sequence[TensorInfo],
    b: Sequence[TensorInfo],
    *,
    maps: Mapping[str, str] | None = None,
    facts_a: ModelFacts = _NOTHING,
    facts_b: ModelFacts = _NOTHING,
) -> list[Pair]:
    """Each tensor of A in its order with its partner in B, then what B alone has; from headers alone.

    `maps` are expressions that turn names of A into names of B, as `re.sub` does, and go before all other ways for the
    names that they find. `facts` are those of the sources (`TensorSource.facts`): the heads of q and k. A tensor that
    is stored as parts in the other source has a pair for each part. Where headers leave open how rows lie, `others` of
    a pair are the ways that values must decide between. Raises ValueError for a map that can not be used.

    >>> found = match_tensors([TensorInfo("model.w", (2, 3), "float32", 24)], [TensorInfo("w", (2, 3), "float32", 24)])
    >>> [(pair.a.info.name, pair.b.info.name, pair.matched_by) for pair in found]
    [('model.w', 'w', 'prefix')]
    """
    matching = _Matching(a, b, rename([info.name for info in a], maps or {}), facts_a, facts_b)
    matching.match()
    return matching.list_pairs()


@dataclass(slots=True)
class _Side:
    """One source: what is not matched yet, by name, and every name's spellings."""

    tensors: Sequence[TensorInfo]
    facts: ModelFacts
    names: Mapping[str, str]
    others: Sequence[TensorInfo]
    open: dict[str, TensorInfo] = field(init=False)
    spelled: Mapping[str, Spelled] = field(init=False)
    is_gguf: bool = field(init=False)

    def __post_init__(self) -> None:
        self.open = {info.name: info for info in self.tensors}
        self.is_gguf = is_gguf_style(self.open)
        names = list(dict.fromkeys(self.names.get(name, name) for name in self.open))
        found = spell(names, [info.name for info in self.others])
        self.spelled = {
            name: replace(found[self.names.get(name, name)], graph=_name_in_graph(info))
            for name, info in self.open.items()
        }

    def index(self, choose: _Choice) -> dict[Key, TensorInfo]:
        """The open tensors by a key that no other tensor of this source has."""
        seen: dict[Key, list[TensorInfo]] = {}
        for info in self.tensors:
            one = choose(self.spelled[info.name])
            if one is not None:
                seen.setdefault(one, []).append(info)
        return {one: found[0] for one, found in seen.items() if len(found) == 1 and found[0].name in self.open}


class _Matching:
    """The ways to match, in their order; each takes what those before it left open."""

    def __init__(
        self,
        a: Sequence[TensorInfo],
        b: Sequence[TensorInfo],
        renamed: Mapping[str, Renaming],
        facts_a: ModelFacts,
        facts_b: ModelFacts,
    ) -> None:
        names = {name: one.to for name, one in renamed.items()}
        self.a, self.b = _Side(a, facts_a, names, b), _Side(b, facts_b, {}, a)
        self.renamed = renamed
        self.pairs: list[Pair] = []

    def match(self) -> None:
        """All ways, the surest first."""
        self._match_same()
        self._match_suffixes()
        self._match_keys(_choose_plain, "prefix")
        self._match_constant_prefix()
        self._match_graph()
        for choose, word in ((_choose_plain, ""), (_choose_gguf, self._style)):
            self._match_fused(choose, word)
        self._match_keys(_choose_gguf, self._style)
        self._match_keys(_choose_up, self._style)
        for choose, word in ((_choose_plain, ""), (_choose_gguf, self._style)):
            self._match_stacked(choose, word)
        self._match_tied()

    @property
    def _style(self) -> str:
        return "gguf" if self.a.is_gguf != self.b.is_gguf else "architecture"

    def _match_same(self) -> None:
        """The same name, or that of a map; then the other names of tied tensors."""
        aliases = {alias: info for info in self.b.tensors for alias in info.aliases}
        for info in self.a.tensors:
            mapped = self.renamed.get(info.name)
            name, word = (mapped.to, "map") if mapped else (info.name, "identical")
            if name in self.b.open:
                self._pair(info, self.b.open[name], word)
            elif mapped and name in aliases:
                self._pair(info, aliases[name], "map, alias")
        for info in [one for one in self.a.tensors if one.name in self.a.open and one.name not in self.renamed]:
            if info.name in aliases:
                self._pair(info, aliases[info.name], "alias")
        own = {alias: info for info in self.a.tensors for alias in info.aliases}
        for info in list(self.b.open.values()):
            if info.name in own:
                self._pair(own[info.name], info, "alias")

    def _match_suffixes(self) -> None:
        """The same name but for what ONNX Runtime's quantizers put behind the names of weights."""
        for info in list(self.b.open.values()):
            stem = _QUANTIZED.sub("", info.name)
            if stem in self.a.open and stem != info.name:
                self._pair(self.a.open[stem], info, "suffix")
        for info in list(self.a.open.values()):
            stem = _QUANTIZED.sub("", info.name)
            if stem in self.b.open and stem != info.name:
                self._pair(info, self.b.open[stem], "suffix")

    def _match_keys(self, choose: _Choice, word: str) -> None:
        """One key, which only one tensor of each source has."""
        ours = self.a.index(choose)
        theirs = self.b.index(choose)
        for key, info in ours.items():
            if key in theirs:
                self._pair(info, theirs[key], word)

    def _match_graph(self) -> None:
        """Weights that a graph gave names of its own, by the modules that their operations stand for."""
        for named, numbered, is_a in ((self.a, self.b, True), (self.b, self.a, False)):
            known = named.index(_choose_plain)
            for key, info in numbered.index(lambda one: one.graph).items():
                if key in known:
                    self._pair(*((known[key], info) if is_a else (info, known[key])), "graph")

    def _match_constant_prefix(self) -> None:
        """The same names behind one prefix, whatever it is, where more than one tensor shows it."""
        for longer, shorter, is_a in ((self.b, self.a, False), (self.a, self.b, True)):
            places: dict[str, list[tuple[str, str]]] = {}
            wanted = {shorter.names.get(name, name): name for name in shorter.open}
            for name in longer.open:
                parts = longer.names.get(name, name).split(".")
                for start in range(1, min(len(parts), _LONGEST_PREFIX + 1)):
                    rest = ".".join(parts[start:])
                    if rest in wanted:
                        places.setdefault(".".join(parts[:start]), []).append((name, wanted[rest]))
            found = max(places.values(), key=len, default=[])
            if len(found) < _FEWEST_ALIKE or sum(len(one) == len(found) for one in places.values()) > 1:
                continue
            for name, other in found:
                mine, their = (name, other) if is_a else (other, name)
                if mine in self.a.open and their in self.b.open:
                    self._pair(self.a.open[mine], self.b.open[their], "prefix")

    def _match_fused(self, choose: _Choice, word: str) -> None:
        """One tensor of a source is several of the other, one below the other."""
        for whole, parts, is_a in ((self.b, self.a, False), (self.a, self.b, True)):
            known = parts.index(choose)
            for info in map(as_stack, list(whole.open.values())):
                key = choose(whole.spelled[info.name])
                found = find_fusions(info, key, known) if key else None
                if found is not None and all(one.info.name in parts.open for one in found.parts):
                    self._split(found.whole, found, whole=whole, parts=parts, is_a=is_a, word=word)

    def _split(self, info: TensorInfo, found: Fusion, *, whole: _Side, parts: _Side, is_a: bool, word: str) -> None:
        told = ", ".join(filter(None, (word, found.word)))
        for one in found.parts:
            ways = list_fused_ways(
                info, found, one, facts=(whole.facts, parts.facts), gguf=(whole.is_gguf, parts.is_gguf)
            )
            self._add(ways, info, one.info, flip=not is_a, word=told)
            parts.open.pop(one.info.name, None)
        whole.open.pop(info.name, None)

    def _match_stacked(self, choose: _Choice, word: str) -> None:
        """One expert of a source is a matrix of a stack of the other."""
        for whole, parts, is_a in ((self.b, self.a, False), (self.a, self.b, True)):
            stacks = whole.index(choose)
            taken = set()
            for info in list(parts.open.values()):
                key = choose(parts.spelled[info.name])
                found = stacks.get(Key(key.text)) if key is not None and key.expert is not None else None
                if found is None or key is None:
                    continue
                stack = as_stack(found)
                ways = list_expert_ways(stack, info, key.expert or 0)
                if ways is None:
                    continue
                told = ", ".join(filter(None, (word, "stacked")))
                self._add(ways, stack, info, flip=not is_a, word=told)
                parts.open.pop(info.name)
                taken.add(stack.name)
            for name in taken:
                whole.open.pop(name, None)

    def _match_tied(self) -> None:
        """The output of one source where the other has only an embedding, which serves as both."""
        for lone, other, is_a in ((self.a, self.b, True), (self.b, self.a, False)):
            outputs = [info for info in lone.open.values() if _is_called(lone.spelled[info.name], _OUTPUTS)]
            tables = [info for info in other.tensors if _is_called(other.spelled[info.name], _EMBEDDINGS)]
            taken = [info for info in other.tensors if _is_called(other.spelled[info.name], _OUTPUTS)]
            if len(outputs) == len(tables) == 1 and not taken and outputs[0].numel == tables[0].numel:
                self._pair(*((outputs[0], tables[0]) if is_a else (tables[0], outputs[0])), "tied")

    def _pair(self, info_a: TensorInfo, info_b: TensorInfo, word: str) -> None:
        ways = list_whole_ways(
            info_a,
            info_b,
            keys=(self.a.spelled[info_a.name].gguf, self.b.spelled[info_b.name].gguf),
            facts=(self.a.facts, self.b.facts),
            gguf=(self.a.is_gguf, self.b.is_gguf),
        )
        self._add(ways, info_a, info_b, flip=False, word=word)
        self.a.open.pop(info_a.name, None)
        self.b.open.pop(info_b.name, None)

    def _add(self, ways: Ways, first: TensorInfo, second: TensorInfo, *, flip: bool, word: str) -> None:
        """A pair with its ways; `flip` says that the first tensor is one of B."""
        info_a, info_b = (second, first) if flip else (first, second)
        if word not in {"identical", "map"} and info_a.name in self.renamed and "map" not in word:
            word = f"map, {word}"
        ordered = [(way.second, way.first) if flip else (way.first, way.second) for way in ways]
        pairs = []
        for lie_a, lie_b in ordered:
            heads = lie_a.heads or lie_b.heads
            told = word.replace("gguf", "gguf+heads") if heads and "gguf" in word else word
            if lie_a.turned or lie_b.turned:
                told = f"{told}, transposed"
            pairs.append(Pair(lie_a.take(info_a), lie_b.take(info_b), told, heads=heads))
        self.pairs.append(replace(pairs[0], others=tuple(pairs[1:])))

    def list_pairs(self) -> list[Pair]:
        """The pairs in the order of A, what A alone has among them, then what B alone has."""
        places = {info.name: place for place, info in enumerate(self.a.tensors)}
        alone = [Pair(Part(info), None) for info in self.a.open.values()]
        found = [*self.pairs, *alone]
        found.sort(key=lambda pair: places[pair.a.info.name] if pair.a else 0)
        return [*found, *(Pair(None, Part(info)) for info in self.b.open.values())]


def _name_in_graph(info: TensorInfo) -> Key | None:
    """The weight of the module that a node stands for which multiplies with a tensor, or looks rows of it up."""
    nodes = [one.node for one in info.consumers if _MULTIPLIES.search(one.operation)]
    module = name_module(nodes[0]) if nodes and info.role != "bias" else ""
    return make_key(strip_prefix(f"{module}.weight")) if module else None


def _choose_plain(one: Spelled) -> Key:
    return one.plain


def _choose_gguf(one: Spelled) -> Key | None:
    return one.gguf


def _choose_up(one: Spelled) -> Key | None:
    """Some architectures keep gate and up together under the name of up."""
    return one.gguf._replace(text=one.gguf.text.replace("ffn_gate_up", "ffn_up")) if one.gguf is not None else None


def _is_called(one: Spelled, words: Iterable[str]) -> bool:
    last = make_key(one.name).text.rpartition(".")[2]
    return last in words or (one.gguf is not None and one.gguf.text in words)
