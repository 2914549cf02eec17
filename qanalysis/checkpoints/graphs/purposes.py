"""What is a constant for, and how is it a matrix, when all that consumes it is heard?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from qanalysis.checkpoints.graphs.consumers import Verdict, judge
from qanalysis.checkpoints.graphs.frames import Frame
from qanalysis.checkpoints.graphs.look_through import Hit
from qanalysis.checkpoints.graphs.scopes import Use
from qanalysis.checkpoints.name_words import find_word, name_ending, split_name
from qanalysis.checkpoints.source import MEASURED_ROLES, Consumer, Role, TensorInfo
from qanalysis.notation import shorten
from qanalysis.quantizers.matrix_view import ALONG_FIRST, MatrixView

#: Where consumers differ, the first of these that one of them says.
_ORDER: tuple[Role, ...] = ("embedding", "weight", "norm", "bias", "scale", "buffer", "constant")
#: Tables that are added whole, without being looked up: only their name tells them from other arithmetic.
_EMBEDDING_NAME = re.compile(r"embed|wpe\b|pos_enc|(^|[./])pos$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Heard:
    """What one consumer says: the role, and the view where it could be followed back, else what lost it."""

    hit: Hit
    role: Role
    view: MatrixView | None
    lost_in: str = ""


def settle(info: TensorInfo, hits: Sequence[Hit]) -> tuple[TensorInfo, bool]:
    """The tensor with role and view, and whether its consumers tell them; without consumers it stays as it is."""
    asked = [(hit, judge(hit.use, hit.frame.shape if hit.frame is not None else ())) for hit in hits]
    heard = [_hear(hit, verdict) for hit, verdict in asked if verdict is not None]
    unknown = [hit.use.node.op for hit, verdict in asked if verdict is None]
    if any(found.role == "weight" and found.hit.use.node.op != "Gather" for found in heard):
        heard = [found for found in heard if not found.hit.goes_on]
    if not heard:
        return _settle_unknown(replace(info, consumers=list_consumers(hit.use for hit in hits)), unknown)
    role = min((found.role for found in heard), key=_ORDER.index)
    kinds = MEASURED_ROLES if role in MEASURED_ROLES else (role,)
    info = replace(info, consumers=list_consumers(found.hit.use for found in heard if found.role in kinds))
    if role == "embedding" and _is_named_buffer(info):
        return replace(info, role="buffer"), True
    if role == "constant" and unknown and info.is_matrix and info.decodes:
        return _settle_unknown(info, unknown)
    if role == "constant" and info.is_matrix and info.decodes and _EMBEDDING_NAME.search(info.name):
        return replace(info, role="embedding", view=MatrixView(tuple(range(len(info.shape) - 1)))), True
    if role not in MEASURED_ROLES:
        return replace(info, role=role), True
    view, note = _choose_view(info, [found for found in heard if found.role in MEASURED_ROLES])
    return replace(info, role=role, view=view, note=note), True


def list_consumers(uses: Iterable[Use]) -> tuple[Consumer, ...]:
    """The operations of some uses, each once, and whether they take the tensor itself."""
    found = dict[tuple[str, int | None], Consumer]()
    for node, operand in uses:
        output = next(filter(None, node.outputs), "")
        is_direct = node.constant(operand) is not None
        one = Consumer(_as_text(node.op), _as_text(node.proto.name), _as_text(output), operand if is_direct else None)
        found.setdefault((one.name, one.operand), one)
    return tuple(found.values())


def _as_text(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode(errors="backslashreplace")


def _is_named_buffer(info: TensorInfo) -> bool:
    """Whether the name of a table that is looked up says that nothing in it was learned: a rotation's cosines."""
    module, last = name_ending(split_name(info.name))
    return find_word(module, last, sum(size > 1 for size in info.shape)) == "buffer"


def _hear(hit: Hit, verdict: Verdict) -> _Heard:
    if hit.frame is None or verdict.role not in MEASURED_ROLES:
        return _Heard(hit, verdict.role, None, hit.lost_in)
    return _Heard(hit, verdict.role, _find_view(hit.frame, verdict), hit.use.node.op)


def _find_view(frame: Frame, verdict: Verdict) -> MatrixView | None:
    if verdict.rows is None:
        return None
    rank = len(verdict.fold or frame.axes)
    if any(not -rank <= axis < rank for axis in verdict.rows):
        return None
    folded = frame.reshape(verdict.fold) if verdict.fold else frame
    return None if folded is None else folded.find_view(verdict.rows)


def _settle_unknown(info: TensorInfo, unknown: Sequence[str]) -> tuple[TensorInfo, bool]:
    if unknown and info.is_matrix and info.decodes:
        return replace(info, note=_tell_lost(unknown[0])), True
    return info, False


def _choose_view(info: TensorInfo, heard: Sequence[_Heard]) -> tuple[MatrixView, str]:
    """The first view on which most agree, and what is to be said of it."""
    views = Counter(found.view for found in heard if found.view is not None)
    if views:
        return views.most_common(1)[0][0], info.note
    lost = _tell_lost(heard[0].lost_in) if info.is_matrix else ""
    return ALONG_FIRST, "; ".join(filter(None, (info.note, lost)))


def _tell_lost(operation: str) -> str:
    return (
        f"the axis of its outputs could not be followed through {shorten(operation, 80)}; axis 0 taken; override with "
        "--axis"
    )
