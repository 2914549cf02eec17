"""How may opening a file end? In tables, or in one CheckpointError or ValueError of one short line: within 5 seconds, within
500 MB, and without a word of warning.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import time
import traceback
import warnings
from pathlib import Path
from typing import Any, NamedTuple, Self

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.inventory import list_tensors
from qanalysis.checkpoints.source import CheckpointError, TensorSource
from qanalysis.reports.terminal import print_result
from qanalysis.results.document import to_json
from qanalysis.results.table import Table
from qanalysis.sweeps.sweep import sweep
from tests.fuzz.case import Case

SCHEMES = ("int4 channel", "int8 group=32", "mxfp4")
LONGEST_MESSAGE, LONGEST_LINE = 1500, 2000
#: Of the processor, and beyond what the process held before: the interpreter and its libraries take the rest of 500 MB.
SECONDS, MEGABYTES = 5.0, 350
#: What no text for people holds: an object's address, a class, a trace, and words of numpy on memory that it was denied.
_FOREIGN = re.compile(
    r" at 0x[0-9a-f]{6,}|<class |<function|Traceback|File \"|Unable to allocate|MemoryError|maximum recursion"
)


class Unsound(AssertionError):
    """An end that is not allowed."""


class Trial(NamedTuple):
    """How it ended: "rows", "refused" or "fault", what was said, and what it cost the process."""

    end: str
    text: str
    seconds: float
    megabytes: float


def try_case(case: Case, folder: Path, *, every_role: bool) -> Trial:
    """Open, list, sweep and report the files of a case."""
    for name, content in case.files.items():
        (folder / name).write_bytes(content)
    held = _reset_peak()
    start = time.process_time()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        end, text = "fault", ""
        with _Caught() as caught:
            end, text = _run(case, folder, every_role=every_role)
        text = tell_error(caught.error) if caught.error else text
    seconds, megabytes = time.process_time() - start, _read_memory("VmHWM") - held
    for name in case.files:
        (folder / name).unlink()
    if end != "fault":
        over = [f"took {seconds:.1f} s"] * (seconds > SECONDS) + [f"took {megabytes:.0f} MB"] * (megabytes > MEGABYTES)
        over += [f"warned: {one.category.__name__}: {one.message} at {one.filename}:{one.lineno}" for one in warned[:3]]
        end, text = ("fault", "; ".join(over)) if over else (end, text)
    return Trial(end, text, seconds, megabytes)


class _Caught:
    """Keeps whatever ends the block: a crash of any kind is what is looked for."""

    error: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> bool:
        self.error = error
        return isinstance(error, Exception)


def tell_error(error: BaseException) -> str:
    """The error and where it arose, in a few lines; of one that followed another both."""
    frames = traceback.extract_tb(error.__traceback__)[-5:]
    places = " < ".join(f"{Path(one.filename).name}:{one.lineno} {one.name}" for one in reversed(frames))
    told = f"{type(error).__name__}: {str(error)[:1000]}\n    at {places}"
    before = error.__cause__ or error.__context__
    return told if before is None else f"{told}\n    behind {tell_error(before)}"


def _run(case: Case, folder: Path, *, every_role: bool) -> tuple[str, str]:
    with contextlib.chdir(folder):
        try:
            source = open_checkpoint(case.opened or ".", partial=case.partial)
        except CheckpointError as error:
            return "refused", _check_refusal(error, folder)
        with source:
            _check_table(list_tensors(source), folder)
            ends = [_measure(source, folder, roles=roles) for roles in (None, "all")[: 1 + every_role]]
    return next((end for end in ends if end[0] == "rows"), ends[0])


def _measure(source: TensorSource, folder: Path, *, roles: Any) -> tuple[str, str]:
    try:
        rows = sweep(source, SCHEMES, roles=roles, workers=1)
    except (CheckpointError, ValueError) as error:  # such as a selection that leaves nothing
        return "refused", _check_refusal(error, folder)
    _check_table(rows, folder)
    return "rows", f"{len(source.tensors)} tensors"


def _check_refusal(error: Exception, folder: Path) -> str:
    """The text of an error that a person gets; a ValueError is for people only where the package raised it itself."""
    frames = traceback.extract_tb(error.__traceback__)
    if not isinstance(error, CheckpointError) and (
        type(error) is not ValueError or "/qanalysis/" not in frames[-1].filename
    ):
        raise error
    _check_text(str(error), folder, LONGEST_MESSAGE)
    return str(error)


def _check_table(table: Table[Any], folder: Path) -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        print_result(table)
    for line in printed.getvalue().splitlines():
        _check_text(line, folder, LONGEST_LINE)
    json.loads(to_json(table))
    for text in (value for row in table for name in ("reason", "note") if (value := getattr(row, name, ""))):
        _check_text(text, folder, LONGEST_MESSAGE)


def _check_text(text: str, folder: Path, longest: int) -> None:
    text.encode()
    if "\n" in text or "\r" in text or len(text) > longest or str(folder) in text or _FOREIGN.search(text):
        raise Unsound(f"says ({len(text)} characters): {text[:300]} … {text[-300:]}")


def _reset_peak() -> float:
    """What the process holds now in MB; its peak is counted from here on."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _read_memory("VmRSS")


def _read_memory(word: str) -> float:
    """A line of what Linux says of the process, in MB; 0 elsewhere."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith(f"{word}:"):
                return int(line.split()[1]) / 1024
    return 0.0
