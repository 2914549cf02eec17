"""A process that reads one mutant of a file of samples after another and writes a line of JSON for each; it dies of what
hangs or eats memory, and the line that lacks names the mutant.

`python -m tests.fuzz.record_worker SEED FIRST LAST SECONDS LEAST`
"""

from __future__ import annotations

import faulthandler
import resource
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

from qanalysis.converters.records.reading import Reading
from qanalysis.converters.records.samples import RecordError
from qanalysis.results.document import to_json
from tests.fuzz.record_files import Files, make_files, make_mutant
from tests.fuzz.record_uses import Use, draw_use, measure_use
from tests.fuzz.trial import LONGEST_LINE, LONGEST_MESSAGE, Unsound, _Caught, _check_text, tell_error
from tests.fuzz.worker import HANGS_S, _tell

#: Of the processor, for a file of 256 samples.
SECONDS = 5.0
_ROOM_BYTES = 4 << 30


def work(seed: int, first: int, last: int, seconds: float, least: int) -> None:
    """Mutants first..last, fewer where the seconds are over and `least` are done."""
    sound, started = make_files(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(first, last):
            if number == len(sound):
                resource.setrlimit(resource.RLIMIT_AS, (_count_used() + _ROOM_BYTES, resource.RLIM_INFINITY))
            if time.monotonic() - started > seconds and number - first >= least:
                break
            _tell({"begins": number})
            files, options = make_mutant(seed, number, sound)
            faulthandler.dump_traceback_later(HANGS_S, exit=True)
            use = Use() if number < len(sound) else draw_use(seed, number)
            end, text = try_files(files, options, use, Path(folder))
            faulthandler.cancel_dump_traceback_later()
            _tell({"number": number, "end": end, "text": text})


def _count_used() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()


def try_files(files: Files, options: dict, use: Use, folder: Path) -> tuple[str, str]:
    """How reading and measuring the files ends: "rows", "refused", or "fault" with what was wrong."""
    for name, content in files.items():
        (folder / name).write_bytes(content)
    start = time.process_time()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        end, text = "fault", ""
        with _Caught() as caught:
            end, text = _measure(folder / next(iter(files)), Reading(**options), use)
        text = tell_error(caught.error) if caught.error else text
    spent = time.process_time() - start
    for name in files:
        (folder / name).unlink()
    if end != "fault" and (warned or spent > SECONDS):
        told = [f"warned: {one.message} at {one.filename}:{one.lineno}" for one in warned[:3]]
        return "fault", f"took {spent:.1f} s; {'; '.join(told)}"
    return end, text


def _measure(path: Path, reading: Reading, use: Use) -> tuple[str, str]:
    try:
        table, row = measure_use(path, reading, use)
    except ValueError as error:
        raised = traceback.extract_tb(error.__traceback__)[-1].filename
        if not isinstance(error, RecordError) and (type(error) is not ValueError or "/qanalysis/" not in raised):
            raise
        _check_text(str(error), path.parent, LONGEST_MESSAGE)
        if not any(one.name in str(error) for one in path.parent.iterdir()):
            raise Unsound(f"does not name the file: {error}") from error
        return "refused", str(error)
    if "NaN" in (text := to_json(table)):
        raise Unsound("the document holds NaN")
    for finding in row.findings:
        _check_text(finding.text, path.parent, LONGEST_LINE)
    return "rows", f"{len(text)} bytes"


if __name__ == "__main__":
    numbers = sys.argv[1:]
    work(int(numbers[0]), int(numbers[1]), int(numbers[2]), float(numbers[3]), int(numbers[4]))
