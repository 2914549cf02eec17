"""What is there to do for a tensor of one shape?

A job is some schemes whose groups lie alike, a view the jobs that go over the same pieces, an outline all views and
what is known before any value. All of it depends on the shape alone and is worked out once for each: models repeat few
shapes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from qanalysis.arrays import Codes, Doubles
from qanalysis.quantizers.grouping import Layout
from qanalysis.quantizers.matrix_view import Axes
from qanalysis.quantizers.scheme import MINMAX, Scheme
from qanalysis.quantizers.searches import GROUPS_PER_CHECK
from qanalysis.quantizers.statistics import Statistic
from qanalysis.sums import ErrorStats
from qanalysis.sweeps.bench import Grids, Packing, pack
from qanalysis.sweeps.chunks import MOST_VALUES, Chunk, cut_chunks, fit_pieces, has_windows
from qanalysis.sweeps.widths import Widths, is_plain
from qanalysis.sweeps.work import weigh
from qanalysis.theory.predictions import Predictor, has_formula, predict_sqnr_db

#: A tensor of more values is never held whole: 2 GB of float32.
MOST_HELD = 1 << 29


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """Schemes over the same groups and ranges: several that differ in their `widths` alone, or one of any kind.

    `lead` speaks for them.

    `layout` is that of the whole tensor. Storage is in bits per value, per group and once, (schemes,) each. `work` is
    what one value takes, by `work.weigh`.
    """

    lead: Scheme
    widths: Widths | None
    layout: Layout
    value_bits: Codes
    group_bits: Codes
    tensor_bits: Codes
    work: float

    @classmethod
    def of(cls, schemes: Sequence[Scheme], layout: Layout) -> Self:
        """The job of some schemes in one layout."""
        value_bits, group_bits = np.array([scheme.storage_bits for scheme in schemes], np.int64).T
        tensor_bits = np.array([scheme.tensor_bits(layout.groups) for scheme in schemes], np.int64)
        widths = Widths.of(schemes) if schemes[0].format.is_integer else None
        work = sum(weigh(scheme, layout) for scheme in schemes)
        return cls(schemes[0], widths, layout, value_bits, group_bits, tensor_bits, work)

    @property
    def search_work(self) -> float:
        """What one value takes until its range is known, apart from its sums; 0 where extremes are all."""
        return 0 if self.lead.takes_extremes else self.work - 1

    @property
    def pool(self) -> Layout:
        """The groups whose ranges must be known before any piece.

        The tensor as a whole where only its largest magnitude matters.
        """
        whole = self.lead.has_outer_scale
        return (
            replace(self.layout, block_rows=self.layout.rows, block_columns=self.layout.columns)
            if whole
            else self.layout
        )

    def count_checks(self, layout: Layout) -> int:
        """About how often a search in this layout, of the tensor or a piece, asks whether to go on."""
        return self.lead.range.candidates or -(-layout.groups // GROUPS_PER_CHECK)

    def lay(self, found: Statistic) -> Grids:
        """Its grids over the statistics of all groups."""
        return self.widths.lay(found) if self.widths else self.lead.lay_grid(found)


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """One piece of a view: the jobs' layouts inside it, how their grids are packed.

    `extremes` are the layouts whose extremes it finds itself.

    `owned` (schemes,) says whose groups begin here: this is the piece to count their steps, and their part of
    `storage`, bits (schemes,).
    """

    chunk: Chunk
    layouts: tuple[Layout, ...]
    packings: tuple[Packing, ...]
    extremes: tuple[Layout, ...]
    owned: NDArray[np.bool_]
    storage: Doubles

    @classmethod
    def of(cls, chunk: Chunk, jobs: Sequence[Job], crossing: Sequence[bool]) -> Self:
        """A piece as the jobs see it; `crossing` tells whose groups reach beyond it."""
        layouts = tuple(chunk.localize(job.layout) for job in jobs)
        owns = [not crosses or chunk.begins_groups(job.layout) for crosses, job in zip(crossing, jobs, strict=True)]
        own = [not crosses or job.lead.has_outer_scale for crosses, job in zip(crossing, jobs, strict=True)]
        extremes = dict.fromkeys(
            layout for layout, job, finds in zip(layouts, jobs, own, strict=True) if finds and job.lead.takes_extremes
        )
        size = chunk.rows * chunk.columns
        storage = [
            job.value_bits * size + job.group_bits * layout.groups * owned
            for job, layout, owned in zip(jobs, layouts, owns, strict=True)
        ]
        packings = pack([(job.widths or job.lead, layout) for job, layout in zip(jobs, layouts, strict=True)], size)
        owned = np.repeat(owns, [len(job.value_bits) for job in jobs])
        return cls(chunk, layouts, packings, tuple(extremes), owned, np.concatenate(storage).astype(np.float64))


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The jobs that see a tensor by one channel axis, and the pieces of that matrix.

    `crossing` says which jobs need ranges from all pieces first.

    `places` are those of its schemes in the sweep, in the order of the jobs. `must_hold` says that groups which cross
    pieces need all their values at once, or that the rows of the matrix lie scattered in the file.
    """

    jobs: tuple[Job, ...]
    places: tuple[int, ...]
    cuts: tuple[Cut, ...]
    crossing: tuple[bool, ...]
    must_hold: bool
    tensor_bits: Codes

    @classmethod
    def of(cls, jobs: Sequence[Job], places: Sequence[int]) -> Self:
        """The view that some jobs share."""
        chunks = tuple(cut_chunks([job.layout for job in jobs]))
        crossing = tuple(job.lead.is_tensor_scaled or chunks[0].crosses(job.layout) for job in jobs)
        layout = jobs[0].layout
        must_hold = not (layout.view.is_in_order or layout.view.trailing(layout.shape)) or any(
            crosses and not job.lead.takes_extremes for crosses, job in zip(crossing, jobs, strict=True)
        )
        cuts = tuple(Cut.of(chunk, jobs, crossing) for chunk in chunks)
        return cls(
            tuple(jobs), tuple(places), cuts, crossing, must_hold, np.concatenate([job.tensor_bits for job in jobs])
        )


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """A sweep's schemes on one shape.

    The views of those that can be, and per scheme what its rows say and what Gaussian values would give.

    `predictions` are those that hold for values of any power, NaN elsewhere; `predictors` give those that depend on it,
    by the place of their scheme.
    """

    views: tuple[View, ...]
    reasons: NDArray[np.object_]
    predictions: Doubles
    predictors: dict[int, Predictor]

    def predict(self, sums: ErrorStats) -> Doubles:
        """The SQNR of Gaussian values of the same power in these groups, (schemes,).

        NaN where there is no prediction.
        """
        if not self.predictors or not sums.sum_x2.any():
            return self.predictions
        predicted, power = self.predictions.copy(), sums.sum_x2 / np.maximum(sums.count, 1)
        for place, predictor in self.predictors.items():
            if power[place]:
                predicted[place] = predictor.at(math.sqrt(power[place]))
        return predicted


def outline(schemes: Sequence[Scheme], shape: tuple[int, ...], axis: Axes) -> Outline:
    """What a sweep of these schemes does to a tensor of this shape and channel axis; one that is neither 0-d nor
    empty.
    """
    reasons, layouts = np.array([""] * len(schemes), object), dict[int, Layout]()
    for place, scheme in enumerate(schemes):
        try:
            layout = layouts[place] = scheme.lay_out(shape, axis=axis)
        except ValueError as error:
            reasons[place] = str(error)
            continue
        reasons[place] = _tell_ragged(scheme, layout)
        if refusal := _refuse_size(scheme, layout):
            reasons[place] = refusal
            del layouts[place]
    predictions, predictors = np.full(len(schemes), np.nan), dict[int, Predictor]()
    for place, layout in layouts.items():
        if has_formula(schemes[place]):
            predictions[place] = predict_sqnr_db(schemes[place], layout.length_counts)
        elif predictor := Predictor.of(schemes[place], layout.length_counts):
            predictors[place] = predictor
    return Outline(_find_views(schemes, layouts), reasons, predictions, predictors)


def _go_together(jobs: Sequence[Job]) -> bool:
    """Whether some jobs can share pieces: bounded ones, and runs of elements where a draw depends on their index."""
    layouts = [job.layout for job in jobs]
    draws = any(job.lead.rounding.name == "stochastic" for job in jobs)
    return fit_pieces(layouts) and not (draws and has_windows(layouts))


def _refuse_size(scheme: Scheme, layout: Layout) -> str:
    """Why a scheme would need more of a tensor at once than is held; empty where it does not."""
    if not fit_pieces([layout]):
        return f"{scheme.grouping}: such groups of rows of {layout.columns} hold more than {MOST_VALUES} values at once"
    numel = layout.rows * layout.columns
    if numel > MOST_HELD and not scheme.takes_extremes and layout.rows * layout.columns // layout.groups > MOST_VALUES:
        return (
            f"range={scheme.range} over groups of {numel // layout.groups} values; more than {MOST_VALUES} are not held"
        )
    if scheme.rounding.name == "stochastic" and has_windows([layout]):
        return f"{scheme.rounding} in blocks across rows of {layout.columns}: draws go by whole rows"
    return ""


def _tell_ragged(scheme: Scheme, layout: Layout) -> str:
    """That the groups do not divide the rows, and how the last one comes out; empty where they do."""
    wanted = scheme.grouping.columns
    if wanted is None or layout.columns % wanted == 0:
        return ""
    if wanted > layout.columns:
        return f"{scheme.grouping} is longer than the row of {layout.columns}: one ragged group per row"
    return (
        f"ragged: {wanted} does not divide the row of {layout.columns}, its last group has "
        f"{layout.columns % wanted}; many runtimes refuse such a tensor"
    )


def _find_views(schemes: Sequence[Scheme], layouts: dict[int, Layout]) -> tuple[View, ...]:
    alike: dict[object, list[int]] = {}
    for place, layout in layouts.items():
        scheme = schemes[place]
        # Searches judge their own width, so only the extremes are shared.
        shares = is_plain(scheme) and scheme.range == MINMAX
        alike.setdefault((layout, scheme.symmetry, scheme.rounding) if shares else place, []).append(place)
    jobs = [(Job.of([schemes[place] for place in places], layouts[places[0]]), places) for places in alike.values()]
    views: list[View] = []
    for view in dict.fromkeys(job.layout.view for job, _places in jobs):
        parts = _share_pieces([(job, places) for job, places in jobs if job.layout.view == view])
        views += [
            View.of([job for job, _own in part], [place for _job, own in part for place in own]) for part in parts
        ]
    return tuple(views)


def _share_pieces(jobs: Sequence[tuple[Job, list[int]]]) -> list[list[tuple[Job, list[int]]]]:
    """The jobs parted so that the blocks of each part fit into pieces of bounded size."""
    parts: list[list[tuple[Job, list[int]]]] = []
    for job, places in jobs:
        for part in parts:
            if _go_together([job, *(other for other, _places in part)]):
                part.append((job, places))
                break
        else:
            parts.append([(job, places)])
    return parts
