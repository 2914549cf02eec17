"""Which kinds of files hold statistics of a run, and how is one read?

A kind is one line of `KINDS_OF_FILES`; its reader is loaded only when a file needs it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from qanalysis.checkpoints.source import SAMPLE_PREFIX
from qanalysis.notation import quote
from qanalysis.training.statistics.log import StatisticsLog


@dataclass(frozen=True, slots=True)
class KindOfFile:
    """A kind of file: what people call it, patterns of its names in lower case, and its reader, "file.function" of this
    folder. `in_folders`: a folder with such files in it is read too.
    """

    name: str
    patterns: tuple[str, ...]
    reader: str
    in_folders: bool = False

    def read(self, path: Path) -> StatisticsLog:
        """The log in a file, or in a folder where the kind has them."""
        module, function = self.reader.split(".")
        read: Callable[[Path], StatisticsLog] = getattr(
            import_module(f"qanalysis.training.statistics.{module}"), function
        )
        return read(path)

    def takes(self, path: Path) -> bool:
        """Whether a file is of this kind by its name."""
        return any(Path(path.name.lower()).match(pattern) for pattern in self.patterns)


KINDS_OF_FILES = (
    KindOfFile("table", ("*.csv", "*.tsv", "*.txt"), "tables.read_csv"),
    KindOfFile("Parquet", ("*.parquet", "*.pq"), "tables.read_parquet"),
    KindOfFile("TensorBoard event file", ("*tfevents*",), "tensorboard.read_events", in_folders=True),
    KindOfFile("nvdlfw-inspect log", ("*.log",), "inspect_log.read_inspect_log", in_folders=True),
)


def locate_statistics(path: str | os.PathLike[str]) -> Path:
    """The file or folder that a person means: a shipped log as "sample:NAME", else the path; ValueError lists the
    shipped ones where there is none of that name.

    >>> locate_statistics("sample:digits-mlp-training").name
    'digits-mlp-training.parquet'
    """
    text = os.fspath(path)
    if not text.startswith(SAMPLE_PREFIX):
        return Path(path)
    import sample_models  # the samples are data beside the package

    return sample_models.statistics_path(text.removeprefix(SAMPLE_PREFIX))


def read_statistics(path: str | os.PathLike[str]) -> StatisticsLog:
    """The statistics of a training run: a CSV or Parquet table, a TensorBoard event file, a log of nvdlfw-inspect, or a
    folder with event files or such logs; also a shipped log, "sample:NAME".

    Raises ValueError where the path can not be read, for an unknown kind of file, and for what its reader refuses.
    """
    place = locate_statistics(path)
    try:
        is_folder = place.is_dir()
        names = [one for one in place.rglob("*") if one.is_file()] if is_folder else []
        if not is_folder:
            place.open("rb").close()
    except OSError as error:
        raise ValueError(
            f"{quote(str(place))} can not be read: {error.strerror}; check the path and its permissions"
        ) from None
    for kind in KINDS_OF_FILES:
        if any(map(kind.takes, names)) and kind.in_folders if is_folder else kind.takes(place):
            return kind.read(place)
    known = "; ".join(f"{kind.name} ({', '.join(kind.patterns)})" for kind in KINDS_OF_FILES)
    told = "holds no file" if is_folder else "is none"
    raise ValueError(f"{quote(place.name)} {told} of the kinds with statistics of a run; read are {known}")
