"""Which tensors of a checkpoint are measured, and what is left out? By role first, then by what the user asks for.

What is left out gets no row: it is counted by role and reason, so that a result says what it is a result of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from qanalysis.checkpoints.source import MEASURED_ROLES, ROLES, Role, TensorInfo
from qanalysis.notation import quote
from qanalysis.patterns import Pattern
from qanalysis.quantizers.matrix_view import Axes, MatrixView, view_by
from qanalysis.sweeps.measurement import refuse

Roles = Sequence[Role] | Literal["all"] | None
NO_MATRIX = "fewer than two axes longer than 1"
ONLY_VECTORS = "no weight here has two axes longer than 1: those with one are measured"
NOT_INCLUDED, EXCLUDED = "not matched by include", "matched by exclude"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Some tensors that are not measured, all of one role and for one reason."""

    role: str
    reason: str
    tensors: int
    values: int


@dataclass(frozen=True, slots=True)
class Selection:
    """What is measured, in the order of the file, with the views asked for; what is left out, by role and reason."""

    tensors: Sequence[TensorInfo]
    left_out: Sequence[LeftOut] = ()
    notes: Sequence[str] = ()

    def to_coverage(self) -> list[dict[str, Any]]:
        """One entry for what is measured, one for each kind of what has no values to measure and of what is left out,
        one for each note.
        """
        refusals = [(info, refusal[1] if (refusal := refuse(info)) else "") for info in self.tensors]
        taken = [info for info, reason in refusals if not reason]
        measured = {"part": "measured", "role": _join_roles(taken), "reason": "", **_count(taken)}
        parts = {
            "without figures": _count_alike([(info, reason) for info, reason in refusals if reason]),
            "left out": self.left_out,
        }
        others = [
            {"part": part, "role": one.role, "reason": one.reason, "tensors": one.tensors, "values": one.values}
            for part, kinds in parts.items()
            for one in kinds
        ]
        notes = [{"part": "note", "role": "", "reason": note, "tensors": None, "values": None} for note in self.notes]
        return [measured, *others, *notes]


@dataclass(frozen=True, slots=True)
class Filter:
    """What a user asks for: expressions searched in the names, roles, and views of some tensors.

    `roles` None stands for weights and embeddings of two or more dimensions; roles that are named, and "all", are taken
    whatever their shape. `axis` gives the axes of the outputs, by expressions: {"c_attn": 1, "experts": (0, 2)}.
    """

    include: str | None = None
    exclude: str | None = None
    roles: Roles = None
    weights_only: bool = False
    axis: Mapping[str, Axes | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.roles, str) and self.roles != "all":
            raise ValueError(f"roles {self.roles[:40]!r} is one text: write a list, such as ['weight', 'norm'], or all")
        for role in () if self.roles in (None, "all") else self.roles or ():
            if role not in get_args(Role):
                raise ValueError(f"role {str(role)[:40]!r} is unknown; roles are {', '.join(ROLES)}, or all")

    def describe(self) -> dict[str, Any]:
        """As settings of a result hold it."""
        roles = list(MEASURED_ROLES if self.roles is None else self.roles) if self.roles != "all" else "all"
        axes = {text: str(_read_view(axes)) for text, axes in self.axis.items()}
        return {"include": self.include, "exclude": self.exclude, "roles": roles, "axis": axes}


def parse_axes(texts: Iterable[str]) -> dict[str, str]:
    """Axes by expression, from texts "REGEX=AXIS[,AXIS]"; ValueError for one without an axis.

    >>> parse_axes(["c_attn=1", "experts=0,2"])
    {'c_attn': '1', 'experts': '0,2'}
    """
    axes: dict[str, str] = {}
    for text in texts:
        pattern, equals, view = text.rpartition("=")
        if not equals or not pattern:
            raise ValueError(f"axis {quote(text)}: write REGEX=AXIS, such as c_attn=1 or experts=0,2")
        MatrixView.parse(view)
        axes[pattern] = view
    return axes


def select_tensors(
    tensors: Sequence[TensorInfo], wanted: Filter | None = None, *, vectors: bool = False, notes: Sequence[str] = ()
) -> Selection:
    """The tensors of a source that pass the filter; `vectors` and `notes` are its `measures_vectors` and `notes`.

    Where no weight has two axes, those with one are measured. Raises ValueError for an invalid expression, a view that
    a tensor can not have, and where nothing is left; the text says what there is and how to ask for it.
    """
    wanted = wanted or Filter()
    if not tensors:
        raise ValueError("the source holds no tensors; there is nothing to sweep")
    kept, left = _match_names(tensors, wanted)
    reasons = [_find_reason(info, wanted, vectors=vectors) for info in kept]
    if all(reasons) and wanted.roles is None:
        reasons = [_find_reason(info, wanted, vectors=True) for info in kept]
        notes = [*notes, ONLY_VECTORS] if not all(reasons) else notes
    chosen = [info for info, reason in zip(kept, reasons, strict=True) if not reason]
    dropped = [(info, reason) for info, reason in zip(kept, reasons, strict=True) if reason]
    left_out = tuple(_count_alike([*dropped, *left]))
    if not chosen:
        raise ValueError(_explain_nothing(kept, tuple(_count_alike(dropped)), wanted))
    for text in wanted.axis:
        if not Pattern.parse(text, "axis").select([info.name for info in chosen]):
            names = ", ".join(quote(info.name) for info in chosen[:3])
            raise ValueError(
                f"axis {quote(text)} matches none of the {len(chosen)} tensors that are measured; "
                f"their names begin with {names}"
            )
    return Selection(turn_views(chosen, wanted.axis), left_out, [*notes, *_tell_ties(chosen)])


def _tell_ties(chosen: Sequence[TensorInfo]) -> Iterator[str]:
    """That tensors with several names are measured once."""
    tied = [info for info in chosen if info.aliases]
    if tied:
        first = f"{quote(tied[0].name)} is also {quote(tied[0].aliases[0])}"
        yield f"tied: {len(tied)} of the tensors, each counted once, have other names too: {first}"


def note_grid(found: tuple[str, int]) -> dict[str, Any]:
    """The entry of coverage for so many tensors that lie on one grid."""
    text, tensors = found
    noun = "1 tensor is" if tensors == 1 else f"{tensors:,} tensors are"
    return {"part": "note", "role": "", "reason": f"{noun} {text}", "tensors": tensors, "values": None}


def _match_names(
    tensors: Sequence[TensorInfo], wanted: Filter
) -> tuple[list[TensorInfo], list[tuple[TensorInfo, str]]]:
    """The tensors that both expressions leave, and the others with their reasons."""
    kept, left = list(tensors), list[tuple[TensorInfo, str]]()
    for what, text, reason in (("include", wanted.include, NOT_INCLUDED), ("exclude", wanted.exclude, EXCLUDED)):
        if not text:
            continue
        found = Pattern.parse(text, what).select([info.name for info in kept])
        gone = [info for info in kept if (info.name in found) == (what == "exclude")]
        if len(gone) == len(kept):
            verb = "matches" if what == "include" else "leaves"
            names = ", ".join(quote(info.name) for info in tensors[:3])
            raise ValueError(
                f"{what} {quote(text)} {verb} none of the {len(kept)} tensors; their names begin with {names}"
            )
        kept = [info for info in kept if (info.name in found) == (what == "include")]
        left += [(info, reason) for info in gone]
    return kept, left


def _find_reason(info: TensorInfo, wanted: Filter, *, vectors: bool) -> str:
    """Why a tensor is left out by its role or shape; empty where it is measured."""
    if wanted.weights_only and len(info.shape) < 2:
        return NO_MATRIX
    if wanted.roles == "all":
        return ""
    if info.role not in (MEASURED_ROLES if wanted.roles is None else wanted.roles):
        return info.reason or f"role {info.role} is not measured unless asked for"
    if wanted.roles is None and not vectors and not info.is_matrix:
        return info.reason or NO_MATRIX
    return ""


def _count(tensors: Sequence[TensorInfo]) -> dict[str, int]:
    return {"tensors": len(tensors), "values": sum(info.numel for info in tensors)}


def _count_alike(dropped: Sequence[tuple[TensorInfo, str]]) -> Iterator[LeftOut]:
    alike: dict[tuple[str, str], list[TensorInfo]] = {}
    for info, reason in dropped:
        alike.setdefault((info.role, reason), []).append(info)
    for (role, reason), infos in alike.items():
        yield LeftOut(role, reason, **_count(infos))


def _join_roles(tensors: Sequence[TensorInfo]) -> str:
    return ", ".join(dict.fromkeys(info.role for info in tensors))


def _explain_nothing(kept: Sequence[TensorInfo], dropped: Sequence[LeftOut], wanted: Filter) -> str:
    """Why no tensor is left, and what to ask for instead."""
    held = ", ".join(f"{one.tensors} of role {one.role} ({one.reason})" for one in dropped[:6])
    asked = "weights or embeddings with two or more dimensions"
    if wanted.roles is not None:
        asked = f"tensors of the roles {', '.join(wanted.roles)}"
    elif {info.role for info in kept} == {"optimizer"}:
        return f"the file holds optimizer state only ({len(kept)} tensors), no model; --all measures it all the same"
    return f"none of the {len(kept)} chosen tensors is among the {asked}: {held}; --all (roles='all') measures them"


def turn_views(tensors: Sequence[TensorInfo], axis: Mapping[str, Axes | str]) -> list[TensorInfo]:
    """The tensors with the views that expressions give some of them; the last that matches counts.

    ValueError for an invalid expression and for a view that a tensor can not have.
    """
    turned = list(tensors)
    for text, axes in axis.items():
        view, found = _read_view(axes), Pattern.parse(text, "axis").select([info.name for info in tensors])
        for place, info in enumerate(turned):
            if info.name in found:
                turned[place] = _turn(info, view)
    return turned


def _turn(info: TensorInfo, view: MatrixView) -> TensorInfo:
    try:
        view.settle(info.shape)
    except ValueError as error:
        raise ValueError(f"axis of {quote(info.name)} with shape {info.shape_text}: {error}") from None
    return replace(info, view=view, note="")


def _read_view(axes: Axes | str) -> MatrixView:
    return MatrixView.parse(axes) if isinstance(axes, str) else view_by(axes)
