"""What is in a SigMF recording? The samples of its .sigmf-data, as its .sigmf-meta describes them.

Either name opens the pair. The data file lies beside the description; a name or a link that leads elsewhere is refused.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qanalysis.converters.findings import Finding
from qanalysis.converters.records.reading import Reading
from qanalysis.converters.records.samples import RecordError, Samples, refuse_choice
from qanalysis.converters.records.source_file import open_source
from qanalysis.converters.records.word_types import WordType, read_words
from qanalysis.notation import quote, shorten

META, DATA = ".sigmf-meta", ".sigmf-data"
_META_LIMIT_BYTES = 1 << 24
_MOST = 1 << 53


@dataclass(frozen=True, slots=True)
class _Capture:
    """The first stretch of a recording: its samples from `start` to before `stop`, after so many bytes of header."""

    start: int = 0
    stop: int | None = None
    header_bytes: int = 0
    count: int = 1


def read_sigmf(path: Path, reading: Reading) -> Samples:
    """One channel of the recording that a path, of either file, belongs to; its first capture where it has several.

    Raises RecordError for a missing half, a description that is no SigMF, a type that is not read, and as `read_words`
    does.
    """
    refuse_choice("column", reading.column, path.name, instead="choose a channel")
    meta = path.with_suffix(META)
    described = _read_meta(meta, path)
    facts = described["global"]
    data = _find_data(meta, facts)
    words = _read_type(facts, meta.name)
    capture = _read_captures(described.get("captures"), meta.name)
    size = data.stat().st_size
    offset = min(size, capture.start * words.frame_bytes + capture.header_bytes)
    end = size
    if capture.stop is not None:
        end = min(size, max(offset, offset + (capture.stop - capture.start) * words.frame_bytes))
    samples = read_words(data, words, channel=reading.channel, offset=offset, length=end - offset)
    notes = samples.notes
    if capture.count > 1:
        text = f"The recording has {capture.count} captures; the first is read. Cut out another where it was meant."
        notes += (Finding("captures", text, capture.count),)
    return replace(samples, fs_hz=_read_rate(facts), notes=notes)


def _read_meta(meta: Path, given: Path) -> dict[str, Any]:
    """The description, with its part `global`. RecordError where it is not there or is none."""
    if not meta.exists():
        raise RecordError(
            f"{given.name} is described by {meta.name}, which is not beside it; put it there, or give the type with "
            "--dtype"
        )
    source, _ = open_source(meta)
    if source.size > _META_LIMIT_BYTES:
        raise RecordError(f"{meta.name} has {source.size} bytes, a description has at most {_META_LIMIT_BYTES}")
    try:
        described = json.loads(meta.read_bytes())
    except (ValueError, RecursionError) as error:
        reason = shorten(" ".join(str(error).split()), 120)
        raise RecordError(f"{meta.name} is no SigMF description ({reason}); record or copy it again") from None
    if not isinstance(described, dict) or not isinstance(described.get("global"), dict):
        raise RecordError(f"{meta.name} is no SigMF description: it has no object 'global'; record or copy it again")
    return described


def _find_data(meta: Path, facts: dict[str, Any]) -> Path:
    """The file of samples beside the description. RecordError where it is not there or lies elsewhere."""
    named = facts.get("core:dataset")
    if facts.get("core:metadata_only"):
        raise RecordError(f"{meta.name} is a description without samples (core:metadata_only); give the recording")
    data = meta.with_suffix(DATA)
    if named is not None:
        if not isinstance(named, str) or named in {"", ".", ".."} or "/" in named or "\\" in named or "\0" in named:
            raise RecordError(f"{meta.name} names the samples {quote(named)}; they lie beside it, without a folder")
        data = meta.with_name(named)
    if not data.exists():
        raise RecordError(f"{meta.name} describes samples in {quote(data.name)}, which is not beside it; put it there")
    if data.resolve().parent != meta.resolve().parent:
        raise RecordError(
            f"{data.name} is a link that leads out of the folder of {meta.name}; put the file itself there"
        )
    open_source(data)
    return data


def _read_type(facts: dict[str, Any], place: str) -> WordType:
    word, channels = facts.get("core:datatype"), facts.get("core:num_channels", 1)
    if not isinstance(word, str):
        raise RecordError(f"{place} states no core:datatype; give the type with --dtype and the .sigmf-data")
    words = WordType.parse(word, f"{place}, core:datatype")
    if isinstance(channels, bool) or not isinstance(channels, int) or not 1 <= channels <= 999:
        raise RecordError(f"{place} states core:num_channels {quote(channels)}; a recording has 1 to 999")
    return replace(words, channels=channels)


def _read_rate(facts: dict[str, Any]) -> float | None:
    rate = facts.get("core:sample_rate")
    if isinstance(rate, bool) or not isinstance(rate, int | float) or abs(rate) > _MOST:
        return None
    return float(rate) if math.isfinite(rate) and rate > 0 else None


def _read_captures(captures: object, place: str) -> _Capture:
    """Where the first capture lies. RecordError for a description that does not say it in numbers."""
    if not isinstance(captures, list) or not captures:
        return _Capture()
    starts = [_read_count(capture, "core:sample_start", place) for capture in captures[:2]]
    header = _read_count(captures[0], "core:header_bytes", place)
    stop = starts[1] if len(starts) > 1 else None
    if stop is not None and stop <= starts[0]:
        raise RecordError(f"{place}: the second capture starts at sample {stop}, not after the first, {starts[0]}")
    return _Capture(starts[0], stop, header, len(captures))


def _read_count(capture: object, key: str, place: str) -> int:
    value = capture.get(key, 0) if isinstance(capture, dict) else None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _MOST:
        raise RecordError(f"{place}: {key} {quote(value)} of a capture is no count")
    return value
