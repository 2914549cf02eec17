"""Which result is in sight on page Layers? That of the sweep asked for, or the last one of the same source while a
new one runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from qanalysis.dashboard.cache import Origin, Subject
from qanalysis.dashboard.jobs import SweepJob, SweepRequest
from qanalysis.dashboard.layers.view import INTEGERS, LayersView, family_of, format_of
from qanalysis.quantizers.families import FEWEST_BITS, MOST_BITS
from qanalysis.quantizers.scheme import Scheme
from qanalysis.reports.summary import choose_scheme, select_worst
from qanalysis.sweeps.row import Row, Rows

WIDTHS = range(FEWEST_BITS, MOST_BITS + 1)


@dataclass(frozen=True, slots=True)
class Family:
    """Schemes that differ in their bits alone: the integers under one grouping, symmetry and range; or one format.

    `schemes` are canonical texts, from few bits to many; `steps` their widths, None for a format without widths.
    """

    name: str
    schemes: tuple[str, ...]
    steps: tuple[int, ...] | None


def list_families(schemes: Sequence[str]) -> list[Family]:
    """The families of swept schemes in the order of the sweep; of the integers every width, swept or not.

    >>> [(family.name, len(family.schemes)) for family in list_families(["int4 channel", "int8 channel", "mxfp4"])]
    [('channel', 15), ('mxfp4', 1)]
    """
    found: dict[str, Family] = {}
    for scheme in map(Scheme.parse, schemes):
        if format_of(scheme) == INTEGERS:
            name = family_of(scheme)
            texts = tuple(str(Scheme.parse(f"int{bits} {name}")) for bits in WIDTHS)
            found.setdefault(name, Family(name, texts, tuple(WIDTHS)))
        else:
            found[str(scheme)] = Family(str(scheme), (str(scheme),), None)
    return list(found.values())


@dataclass(frozen=True)
class Shown:
    """A result on the page: what was swept, its rows, the view, and the scheme in view.

    The scheme's family was swept; its width may not have been.
    """

    request: SweepRequest
    rows: Rows
    view: LayersView
    scheme: str

    @property
    def result(self) -> str:
        """A name for these rows: the same request gives the same rows, as many as were finished."""
        return f"{self.request.digest}-{len(self.rows)}"

    @cached_property
    def schemes(self) -> frozenset[str]:
        """The schemes swept."""
        return frozenset(self.rows.column("scheme").tolist())

    @cached_property
    def families(self) -> list[Family]:
        """The families of schemes swept, in the order of the sweep."""
        return list_families(tuple(dict.fromkeys(self.rows.column("scheme").tolist())))

    @cached_property
    def in_view(self) -> tuple[Row, ...]:
        """The rows of the scheme in view, in the order of the file; none for a width that was not swept."""
        return self._pick("scheme", self.scheme)

    @cached_property
    def nearest(self) -> tuple[Row, ...]:
        """The rows of the scheme in view; of a width that was not swept, those of the nearest one of its family."""
        wanted = Scheme.parse(self.scheme)
        family = [scheme for scheme in map(Scheme.parse, self.schemes) if _is_kin(scheme, wanted)]
        near = str(min(family, key=lambda scheme: (abs(scheme.format.bits - wanted.format.bits), scheme.format.bits)))
        return self._pick("scheme", near)

    @cached_property
    def firsts(self) -> dict[str, Row]:
        """Each tensor's first row, in the order of the file: what it is, and whether it has figures at all."""
        places: dict[str, int] = {}
        for place, tensor in enumerate(self.rows.column("tensor").tolist()):
            places.setdefault(tensor, place)
        return dict(zip(places, self.rows.rows.take(np.array([*places.values()], np.intp)), strict=True))

    @cached_property
    def left_out(self) -> dict[str, Row]:
        """Tensors that none of the schemes can take, each with its first row, which says why: the map has no place for
        them.
        """
        taken = set(self.rows.column("tensor")[self.rows.column("status") != "unsupported"].tolist())
        return {tensor: row for tensor, row in self.firsts.items() if tensor not in taken}

    @cached_property
    def opening(self) -> str | None:
        """The layer that the page opens on, whatever the width in view: the worst at the scheme of the summary, else
        the first with figures; None without any.
        """
        worst = select_worst(self.rows, choose_scheme(self.rows), count=1)
        named = (tensor for tensor, row in self.firsts.items() if row.status == "ok")
        return worst[0].tensor if worst else next(named, None)

    def rows_of(self, tensor: str) -> tuple[Row, ...]:
        """Every row of a tensor, in the order of the schemes."""
        return self._pick("tensor", tensor)

    def _pick(self, column: str, value: str) -> tuple[Row, ...]:
        """The rows with a value in a column; only these are made, of a table that may have many."""
        return tuple(self.rows.rows.take(np.flatnonzero(self.rows.column(column) == value)))

    def choose_layer(self, names: Sequence[str]) -> str:
        """The layer in view where nobody has chosen: `opening` where it is among the names, else the first of them."""
        return self.opening if self.opening is not None and self.opening in names else names[0]

    def look(self, view: LayersView) -> Shown:
        """The same rows under another view, whose family of schemes is the same."""
        return replace(self, view=view, scheme=view.scheme if _holds_family(self.schemes, view) else self.scheme)

    def row_of(self, tensor: str) -> Row | None:
        """The row of a tensor under the scheme in view; None for one that was not swept.

        Rows without figures count too: their status says why.
        """
        return next((row for row in self.in_view if row.tensor == tensor), None)

    def describe(self, tensor: str) -> str:
        """What the rows say of a tensor beside its figures, under the scheme in view or the nearest one swept; empty
        where they say nothing.
        """
        return next((row.reason for row in self.nearest if row.tensor == tensor), "")

    def subject(self, tensor: str) -> Subject:
        """A tensor of this result under the scheme in view.

        The key of what is kept of it; it names the source as it was when it was swept.
        """
        return Subject(Origin(self.request.source, self.request.identity), tensor, self.scheme, self.request.axes)


def choose_shown(candidates: Sequence[SweepJob | None], request: SweepRequest, view: LayersView) -> Shown | None:
    """The first of the jobs that has rows of the same source as `request`; None where none has.

    The scheme in view is the view's where its family was swept, else the first of the rows. None among the jobs is
    passed over.
    """
    for job in candidates:
        rows = job.snapshot.rows if job else None
        asked = (request.source, request.identity)
        if job and rows and len(rows) and (job.request.source, job.request.identity) == asked:
            schemes = tuple(dict.fromkeys(rows.column("scheme").tolist()))
            return Shown(job.request, rows, view, view.scheme if _holds_family(schemes, view) else schemes[0])
    return None


def _holds_family(schemes: Iterable[str], view: LayersView) -> bool:
    """Whether one of the schemes differs from that of the view in its bits at most."""
    wanted = Scheme.parse(view.scheme)
    return any(_is_kin(Scheme.parse(text), wanted) for text in schemes)


def _is_kin(scheme: Scheme, other: Scheme) -> bool:
    """Whether two schemes differ in their bits at most: integers in the same family, or the same scheme."""
    return scheme == other or (
        format_of(scheme) == format_of(other) == INTEGERS and family_of(scheme) == family_of(other)
    )
