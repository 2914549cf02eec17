"""Which result is in sight on page Layers? That of the sweep asked for, or the last one of the same source while a
new one runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from qanalysis.dashboard.cache import Origin, Subject
from qanalysis.dashboard.jobs import Job, SweepRequest
from qanalysis.dashboard.layers.view import INTEGERS, LayersView, family_of, format_of
from qanalysis.quantizers.scheme import Scheme
from qanalysis.reports.summary import choose_scheme, select_worst
from qanalysis.sweeps.row import Row, Rows


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
    def in_view(self) -> tuple[Row, ...]:
        """The rows of the scheme in view, in the order of the file; none for a width that was not swept."""
        return self._pick("scheme", self.scheme)

    @cached_property
    def firsts(self) -> dict[str, Row]:
        """Each tensor's first row, in the order of the file: what it is, and whether it has figures at all."""
        places: dict[str, int] = {}
        for place, tensor in enumerate(self.rows.column("tensor").tolist()):
            places.setdefault(tensor, place)
        return dict(zip(places, self.rows.rows.take(np.array([*places.values()], np.intp)), strict=True))

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
        return replace(self, view=view, scheme=view.scheme if _holds_family(tuple(self.schemes), view) else self.scheme)

    def row_of(self, tensor: str) -> Row | None:
        """The row of a tensor under the scheme in view; None for one that was not swept.

        Rows without figures count too: their status says why.
        """
        return next((row for row in self.in_view if row.tensor == tensor), None)

    def subject(self, tensor: str) -> Subject:
        """A tensor of this result under the scheme in view.

        The key of what is kept of it; it names the source as it was when it was swept.
        """
        return Subject(Origin(self.request.source, self.request.identity), tensor, self.scheme)


def choose_shown(candidates: Sequence[Job | None], request: SweepRequest, view: LayersView) -> Shown | None:
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


def _holds_family(schemes: Sequence[str], view: LayersView) -> bool:
    """Whether one of the schemes differs from that of the view in its bits at most."""
    if view.format != INTEGERS:
        return view.scheme in schemes
    parsed = map(Scheme.parse, schemes)
    return any(format_of(scheme) == INTEGERS and family_of(scheme) == view.grouping for scheme in parsed)
