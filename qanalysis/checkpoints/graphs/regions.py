"""Which constants lie on the same bytes of a data file?

The same bytes in the same type and shape are one tensor with several names. Bytes that only overlap are read as often
as tensors claim them, but not more than twice over: thousands of names on one region would cost thousands of readings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qanalysis.checkpoints.graphs.constants import Constant, Region
from qanalysis.checkpoints.packed.parts import NoValues
from qanalysis.notation import shorten

#: Names of one tensor that are listed; the others are counted.
_MAX_ALIASES = 8
#: How often bytes may be claimed on average by tensors that are not the same.
_MAX_TIMES = 2


def share_regions(
    constants: Sequence[Constant],
) -> tuple[dict[Constant, Constant], dict[Constant, list[Constant]], list[str]]:
    """The constants that are tensors of their own, as they are to be listed; those tied to each; notes.

    Where tensors that only overlap claim more than twice the bytes they lie on, those that begin inside another are
    listed and do not decode.
    """
    first: dict[tuple[Region, str, tuple[int, ...]], Constant] = {}
    tied: dict[Constant, list[Constant]] = {}
    for constant in constants:
        owner = first.setdefault(_key(constant), constant) if _has_bytes(constant) else constant
        tied.setdefault(owner, []).extend([constant] if owner is not constant else [])
    overlapped = _find_overlapped(list(tied))
    kept = {owner: _mark(owner, names, overlapped.get(owner)) for owner, names in tied.items()}
    aliases = {owner: names for owner, names in tied.items() if names}
    count = sum(map(len, aliases.values()))
    notes = [f"{count} tensors lie on the same bytes as another and are counted once"] if count else []
    return kept, aliases, notes


def _has_bytes(constant: Constant) -> bool:
    return constant.region is not None and constant.region.location != "" and constant.region.length > 0


def _key(constant: Constant) -> tuple[Region, str, tuple[int, ...]]:
    return constant.region or Region("", 0, 0), constant.dtype, constant.shape


def _find_overlapped(owners: Sequence[Constant]) -> dict[Constant, Constant]:
    """The constants that begin inside another, and which; in the order of the bytes, so that each pair is seen once."""
    with_bytes = [owner for owner in owners if _has_bytes(owner)]
    order = sorted(with_bytes, key=lambda owner: owner.region or Region("", 0, 0))
    overlapped: dict[Constant, Constant] = {}
    last, end = None, ("", 0)
    claimed = covered = 0
    for owner in order:
        location, offset, length = owner.region or Region("", 0, 0)
        if last is not None and (location, offset) < end:
            overlapped[owner] = last
        else:
            last = owner
        begin = max((location, offset), end)[1] if location == end[0] else offset
        covered += max(0, offset + length - begin)
        claimed += length
        end = max(end, (location, offset + length))
    return overlapped if claimed > _MAX_TIMES * covered else {}


def _mark(constant: Constant, names: Sequence[Constant], over: Constant | None) -> Constant:
    info = constant.info
    if names:
        listed = tuple(name.name for name in names[:_MAX_ALIASES])
        info = replace(info, aliases=listed)
    if over is None:
        return replace(constant, info=info)
    reason = f"its bytes overlap those of {shorten(over.name, 80)!r}, which is another tensor"
    return Constant(replace(info, decodes=False, reason=reason), NoValues(), constant.region)
