"""Which result is in sight on page Layers? That of the sweep asked for, or the last one of the same source while a
new one runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from qanalysis.dashboard.cache import Origin, Subject
from qanalysis.dashboard.jobs import Job, SweepRequest
from qanalysis.dashboard.layers.view import LayersView
from qanalysis.sweeps.row import Row, Rows


@dataclass(frozen=True)
class Shown:
    """A result on the page: what was swept, its rows, the view, and the scheme in view (one that was swept)."""

    request: SweepRequest
    rows: Rows
    view: LayersView
    scheme: str

    @property
    def result(self) -> str:
        """A name for these rows: the same request gives the same rows, as many as were finished."""
        return f"{self.request.digest}-{len(self.rows)}"

    @cached_property
    def in_view(self) -> tuple[Row, ...]:
        """The rows of the scheme in view, in the order of the file."""
        return tuple(row for row in self.rows if row.scheme == self.scheme)

    @cached_property
    def tensors(self) -> tuple[str, ...]:
        """The tensors swept: those with figures in the order of the file, then those without."""
        return tuple(row.tensor for row in sorted(self.in_view, key=lambda row: row.status != "ok"))

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

    The scheme in view is the view's where it was swept, else the first of the rows. None among the jobs is passed over.
    """
    for job in candidates:
        rows = job.snapshot.rows if job else None
        asked = (request.source, request.identity)
        if job and rows and len(rows) and (job.request.source, job.request.identity) == asked:
            schemes = dict.fromkeys(row.scheme for row in rows)
            return Shown(job.request, rows, view, view.scheme if view.scheme in schemes else next(iter(schemes)))
    return None
