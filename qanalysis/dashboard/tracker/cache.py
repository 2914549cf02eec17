"""What does page Precision tracker keep between two runs? Logs as they lie on disk, and what each rule made of them."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import streamlit as st

from qanalysis.charts.tracked import Tracked
from qanalysis.checkpoints.path_policy import resolve_inside
from qanalysis.checkpoints.source import SAMPLE_PREFIX
from qanalysis.dashboard.sources import UPLOAD_PREFIX, UploadStore, name_source, read_root
from qanalysis.notation import count, quote
from qanalysis.results.table import Frame, Table
from qanalysis.training.recipe import Recipe
from qanalysis.training.replays.replayable import check_replayable
from qanalysis.training.replays.scopes import choose_series, read_rows
from qanalysis.training.row import TrackRow
from qanalysis.training.statistics.catalogue import locate_statistics, read_statistics
from qanalysis.training.statistics.identity import identify_statistics
from qanalysis.training.statistics.log import StatisticsLog
from qanalysis.training.tracker import replay

LOG_SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".pq", ".log", ".tfevents")
MOST_OBSERVED = 200_000
"""Rows of a log that the page replays: the rows of a rule take 300 bytes each."""


@st.cache_resource
def get_logs() -> UploadStore:
    """The server's uploaded logs, apart from other uploads, since it takes other suffixes."""
    return UploadStore(suffixes=LOG_SUFFIXES)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A log as it lies on disk, and which of its layers are looked at ("" for all). The key of all that is kept of it.

    `identity` changes with the files behind it.
    """

    text: str
    find: str
    identity: str

    @property
    def name(self) -> str:
        """As a person's own script opens it."""
        return name_source(self.text)


def locate_log(text: str) -> Path:
    """The file or folder behind a log's text: a sample, an upload, or below the root.

    CheckpointError or ValueError where there is none.
    """
    if text.startswith(SAMPLE_PREFIX):
        return locate_statistics(text)
    return get_logs().locate(text) if text.startswith(UPLOAD_PREFIX) else resolve_inside(read_root(), text)


def find_log(text: str, find: str) -> Recorded:
    """The log as it lies on disk now; raises as `locate_log`, and ValueError for a folder with a link out of the root.

    Of each file behind it name, size and time of change count.
    """
    place = locate_log(text)
    home = read_root().resolve()
    digest = hashlib.sha256()
    for file in sorted(one for one in place.rglob("*") if one.is_file()) if place.is_dir() else [place]:
        if place.is_dir() and not file.resolve().is_relative_to(home):
            raise ValueError(
                f"{quote(text)} holds the link {quote(file.name)}, which leaves the root folder; copy the file into it"
            )
        stat = file.stat()
        digest.update(f"{file.name}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
    return Recorded(text, find, digest.hexdigest()[:16])


@st.cache_resource(max_entries=2, show_spinner="Reading the log …")
def _read_whole(recorded: Recorded) -> StatisticsLog:
    """All layers of a log; ValueError where it can not be read."""
    return read_statistics(locate_log(recorded.text))


@st.cache_resource(max_entries=4, show_spinner=False)
def read_log(recorded: Recorded) -> StatisticsLog:
    """The statistics of the layers that are looked at; ValueError where the log can not be read, a pattern is none or
    leaves no layer, nothing was observed, and where more rows are left than the page replays.
    """
    log = _read_whole(replace(recorded, find=""))
    if recorded.find:
        log = choose_series(log, include=recorded.find)
    if np.isnan(log.absmax).all():
        raise ValueError(f"{recorded.name} has no absmax in any row of these layers; there is nothing to replay")
    if len(log) > MOST_OBSERVED:
        raise ValueError(
            f"{recorded.name} holds {count(len(log))} rows of these layers, and the page replays "
            f"{count(MOST_OBSERVED)}: name fewer in the box Layers, or replay all with the command qanalysis track"
        )
    return log


@st.cache_resource(max_entries=16, show_spinner=False)
def count_steps(recorded: Recorded) -> int:
    """How many different steps a log has."""
    return int(np.unique(read_log(recorded).step).size)


def estimate_seconds(recorded: Recorded) -> float:
    """About how long one rule takes over a log: what a step costs whatever it holds, and what a row costs."""
    return 4e-4 * count_steps(recorded) + 4e-6 * len(read_log(recorded))


class ReplayStore:
    """What rules made of logs, by log, rule and epoch; those used longest ago make room beyond `most_rows` rows.

    Safe to use from every thread.
    """

    def __init__(self, most_rows: int = 2_000_000) -> None:
        self._most_rows = most_rows
        self._tables: OrderedDict[tuple[Recorded, str, int | None], Table[TrackRow]] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, recorded: Recorded, rule: str, epoch: int | None) -> Table[TrackRow] | None:
        """A table that is held, which it then is for longer."""
        key = (recorded, rule, epoch)
        with self._lock:
            if key in self._tables:
                self._tables.move_to_end(key)
            return self._tables.get(key)

    def make(
        self, recorded: Recorded, rule: str, epoch: int | None, check: Callable[[], None] = lambda: None
    ) -> Table[TrackRow]:
        """A table that is held, or made now; `check` is called at each step and may raise to end the work."""
        table = self.find(recorded, rule, epoch)
        if table is None:
            source = identify_statistics(locate_log(recorded.text))
            log = read_log(recorded)
            table = replay(log, [Recipe.parse(rule)], epoch=epoch, source=source, check=check)
            with self._lock:
                self._tables[recorded, rule, epoch] = table
                while sum(map(len, self._tables.values())) > self._most_rows and len(self._tables) > 1:
                    self._tables.popitem(last=False)
        return table


@st.cache_resource
def get_replays() -> ReplayStore:
    """The server's replays: a rule that is added costs its own time alone, in every session."""
    return ReplayStore()


@st.cache_resource(max_entries=256, show_spinner=False)
def find_fault(recorded: Recorded, epoch: int | None, rule: str) -> str:
    """What a log has against a rule, in one sentence; "" for one that it can replay."""
    log = read_log(recorded)
    try:
        check_replayable(Recipe.parse(rule), read_rows(log), epoch, place=recorded.name)
    except ValueError as error:
        return str(error)
    return ""


@st.cache_resource(max_entries=4, show_spinner=False)
def track(recorded: Recorded, rules: tuple[str, ...], epoch: int | None) -> Tracked:
    """What several rules make of the log, at least one; ValueError where `find_fault` has a sentence."""
    return Tracked([get_replays().make(recorded, rule, epoch) for rule in rules])


@st.cache_resource(max_entries=1, show_spinner=False)
def join_tables(recorded: Recorded, rules: tuple[str, ...], epoch: int | None) -> Table[TrackRow]:
    """All rules as the one table that the command makes of them, for the downloads."""
    tables = track(recorded, rules, epoch).tables
    rows = Frame.concat(TrackRow, [table.rows for table in tables])
    totals = [total for table in tables for total in table.totals]
    settings = {"rule": list(rules), "epoch": epoch} | ({"include": recorded.find} if recorded.find else {})
    notes = [note for table in tables for note in table.coverage]
    coverage = [note for place, note in enumerate(notes) if note not in notes[:place]]
    joined = Frame.from_rows(type(totals[0]), totals)
    return replace(tables[0], rows=rows, totals=joined, settings=settings, coverage=coverage)
