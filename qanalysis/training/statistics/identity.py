"""Which file or folder of statistics was it? Its name, size and digest, as results tell them."""

from __future__ import annotations

import hashlib
import os

from qanalysis.results.identity import SourceIdentity
from qanalysis.training.statistics.catalogue import locate_statistics


def identify_statistics(path: str | os.PathLike[str]) -> SourceIdentity:
    """A file by the hash of its content, a folder by the hash of its files, each behind its name, in the order of
    names. The digest is taken when it is first asked for; None where the files can then no longer be read.
    """
    place = locate_statistics(path)
    files = sorted(one for one in place.rglob("*") if one.is_file()) if place.is_dir() else [place]

    def take_digest() -> str | None:
        found = hashlib.sha256()
        try:
            for one in files:
                if place.is_dir():
                    found.update(f"{one.relative_to(place).as_posix()}\0".encode())
                with one.open("rb") as stream:
                    while block := stream.read(1 << 20):
                        found.update(block)
        except OSError:
            return None
        return f"sha256:{found.hexdigest()}"

    return SourceIdentity(place.resolve().name, sum(one.stat().st_size for one in files), take_digest)
