"""Which records make one result? What they have in common, what they are called together, what stands out in them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace

from qanalysis.converters.findings import Finding
from qanalysis.converters.records.records import Record
from qanalysis.converters.records.samples import name_some
from qanalysis.notation import quote, shorten, si
from qanalysis.results.identity import SourceIdentity

_SAME_RATE = 1e-3  # what the digits of times leave open
_CHANNEL = ", channel "


def name_channel(record: Record, channel: int) -> Record:
    """A record that is one of several in its file, called by its number."""
    source = record.source
    return replace(record, source=SourceIdentity(f"{source.path}{_CHANNEL}{channel}", source.size, source.digest))


def check_alike(records: Sequence[Record]) -> None:
    """ValueError for the first record that differs from the first of all in length, rate, width or kind."""
    first = records[0]
    for record in records[1:]:
        for same, tell, rule in (
            (record.values.size == first.values.size, _tell_length, "of one length; cut them to the shortest"),
            (_share_rate(record.fs_hz, first.fs_hz), _tell_rate, "of one sample rate; state fs"),
            (record.bits == first.bits, _tell_width, "of one width; state bits"),
            (_tell_kind(record) == _tell_kind(first), _tell_kind, "of one kind; leave out what is another"),
        ):
            if not same:
                raise ValueError(
                    f"{quote(record.name)} {tell(record)}, {quote(first.name)} {tell(first)}: "
                    f"records of one average are {rule}"
                )


def _share_rate(own: float | None, other: float | None) -> bool:
    """Whether two rates are one, within what times tell."""
    return own == other or (own is not None and other is not None and math.isclose(own, other, rel_tol=_SAME_RATE))


def _tell_length(record: Record) -> str:
    return f"has {record.values.size:,} samples"


def _tell_rate(record: Record) -> str:
    return "tells no rate" if record.fs_hz is None else f"has a rate of {si(record.fs_hz, 'Hz', digits=7)}"


def _tell_width(record: Record) -> str:
    return "tells no width" if record.bits is None else f"has {record.bits} bits"


def _tell_kind(record: Record) -> str:
    if record.quadrature is not None:
        return "holds I/Q samples"
    return "holds numbers that are no codes" if record.codes is None else "holds codes"


def identify_captures(records: Sequence[Record]) -> SourceIdentity:
    """What the records are called together, their size in bytes, and one digest of all: of a file its own, of several
    that of the digests' lines.
    """
    first = records[0].source
    if len(records) == 1:
        return first
    sources = {(record.source.path.rpartition(_CHANNEL)[0] or record.source.path): record.source for record in records}
    files = list(sources)
    if len(files) == 1 and _CHANNEL in first.path:
        return SourceIdentity(f"{files[0]} ({len(records)} channels)", first.size, first.digest)
    names = [shorten(record.name, 40) for record in records]
    shown = " and ".join(names) if len(names) == 2 else f"{names[0]} … {names[-1]}"
    lines = "\n".join(str(record.source.digest) for record in records)
    size = sum(source.size for source in sources.values())
    digest = hashlib.sha256(lines.encode()).hexdigest()
    return SourceIdentity(f"{len(records)} records: {shown}", size, f"sha256:{digest}")


def merge_findings(names: Sequence[str], found: Sequence[Sequence[Finding]]) -> tuple[Finding, ...]:
    """The findings of several records, each code once: as it stands where all records say the same, else as of the
    first that shows it, by name, and who else does.
    """
    shown: dict[str, list[tuple[str, Finding]]] = {}
    for name, findings in zip(names, found, strict=True):
        for finding in findings:
            shown.setdefault(finding.code, []).append((name, finding))
    return tuple(_merge_one(entries, len(names)) for entries in shown.values())


def _merge_one(entries: Sequence[tuple[str, Finding]], records: int) -> Finding:
    name, first = entries[0]
    others = [shorten(name, 40) for name, _ in entries[1:]]
    if len(entries) == records and all(finding.text == first.text for _, finding in entries):
        return first
    more = f" The like in {'all others' if len(entries) == records else name_some(others, 3)}." if others else ""
    return replace(first, text=f"{quote(name)}: {first.text}{more}")
