"""What are the tensors of a file for? Parts of packed weights are put together, then each tensor gets its role and its
view as a matrix: from a graph where its reader has one, else from names, shapes and what lies beside.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from qanalysis.checkpoints.entries import Entry, Evidence
from qanalysis.checkpoints.packed.assembly import assemble
from qanalysis.checkpoints.roles import assign_roles
from qanalysis.checkpoints.views import assign_views


def interpret(entries: Sequence[Entry], evidence: Evidence) -> list[Entry]:
    """The logical tensors of a file, in the order of the first part of each."""
    if not all(isinstance(entry.info.name, str) for entry in entries):
        return list(entries)  # protobuf hands over a name that is not UTF-8 as bytes; whoever opens the file refuses it
    found = assemble(_tell_apart(entries), evidence)
    open_ones = [entry.info for entry in found if not entry.settled]
    known = {info.name: info for info in assign_views(assign_roles(open_ones, evidence), evidence)}
    return [entry if entry.settled else entry._replace(info=known[entry.info.name]) for entry in found]


def _tell_apart(entries: Sequence[Entry]) -> list[Entry]:
    """The entries with a number behind each name that occurred before: "a.b (2)"."""
    seen: Counter[str] = Counter()
    apart = []
    for entry in entries:
        seen[entry.info.name] += 1
        count = seen[entry.info.name]
        apart.append(
            entry if count == 1 else entry._replace(info=replace(entry.info, name=f"{entry.info.name} ({count})"))
        )
    return apart
