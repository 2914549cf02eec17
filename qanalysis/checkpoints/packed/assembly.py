"""Which tensors of a file are parts of one packed weight? They become one logical tensor, in the place of the first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache, lru_cache

from qanalysis.checkpoints.entries import Entry, Evidence
from qanalysis.checkpoints.packed.catalogue import LAYOUTS
from qanalysis.checkpoints.packed.parts import LayoutError, NoValues, Packed, PackedLayout, Stem

_TAIL = 3


def assemble(entries: Sequence[Entry], evidence: Evidence) -> list[Entry]:
    """The entries with the parts of packed weights put together. Parts that do not fit become one tensor with a reason;
    the others stay as they are.
    """
    tensors = {entry.info.name: entry for entry in entries}
    order = {name: place for place, name in enumerate(tensors)}
    made: dict[str, Entry] = {}
    gone: set[str] = set()
    for name in tensors:
        if name in gone:
            continue
        found = _find_packed(name, tensors, evidence)
        if found is None or gone.intersection(found.parts):
            continue
        gone.update(found.parts)
        made[min(found.parts, key=order.__getitem__)] = Entry(found.info, found.values)
    return [made.get(name, entry) for name, entry in tensors.items() if name in made or name not in gone]


def _find_packed(name: str, tensors: dict[str, Entry], evidence: Evidence) -> Packed | None:
    for anchor, layout in _candidates(name):
        stem = Stem(name.removesuffix(anchor), anchor, tensors, evidence)
        try:
            found = layout.read(stem)
        except LayoutError as error:
            info = tensors[name].info
            reason = f"looks like {layout.name}, but {error}"
            return Packed(replace(info, decodes=False, stored=layout.name, reason=reason), NoValues(), (name,))
        if found is not None:
            return found
    return None


def _candidates(name: str) -> Iterator[tuple[str, PackedLayout]]:
    for anchor, layouts in _may_fit(name[-_TAIL:]):
        if name.endswith(anchor):
            yield from ((anchor, layout) for layout in layouts)


@lru_cache(maxsize=1024)
def _may_fit(tail: str) -> list[tuple[str, list[PackedLayout]]]:
    """The anchors that a name with these last characters may end in, of dozens a few; in the order of the layouts."""
    return [(anchor, layouts) for anchor, layouts in _by_anchor().items() if tail.endswith(anchor[-_TAIL:])]


@cache
def _by_anchor() -> dict[str, list[PackedLayout]]:
    found: dict[str, list[PackedLayout]] = {}
    for layout in LAYOUTS:
        for anchor in layout.anchors:
            found.setdefault(anchor, []).append(layout)
    return found
