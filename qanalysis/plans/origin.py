"""Are the rows of this file? By the digest of its content where that is known, else by its size, and by its tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qanalysis.checkpoints.source import CheckpointError, TensorSource
from qanalysis.notation import quote
from qanalysis.plans.candidates import find_source, name_source
from qanalysis.plans.tensors import list_tensors
from qanalysis.results.identity import SourceIdentity
from qanalysis.results.table import Table


def check_origin(tables: Sequence[Table[Any]], source: TensorSource) -> None:
    """Whether rows are of a source: raises ValueError where its size, its content or its tensors are other ones.

    The content is read only where everything else agrees and the rows hold its digest; a remote file has none.
    """
    for table in tables:
        known = find_source(table)
        if known is not None and known.size != source.size_bytes:
            raise ValueError(_tell(known, source, f"that has {source.size_bytes:,} bytes"))
        _check_tensors(table, source)
        if known is not None and known.digest and _find_digest(source) not in (known.digest, None):
            raise ValueError(_tell(known, source, "whose content is another"))


def _tell(known: SourceIdentity, source: TensorSource, difference: str) -> str:
    return (
        f"the rows are of {name_source(known)}, not of {quote(source.name)} {difference}; give the file that they were "
        "made from, or make rows of this one"
    )


def _check_tensors(table: Table[Any], source: TensorSource) -> None:
    infos = {name: info for info in source.tensors for name in (info.name, *info.aliases)}
    for one in list_tensors([table]).values():
        info = infos.get(one.name)
        if info is None or (one.shape and info.shape != one.shape):
            found = "no such tensor" if info is None else f"one of shape {info.shape_text}"
            raise ValueError(
                f"the rows are of another file: {quote(source.name)} has {found} for {quote(one.name)}"
                f"{' of shape ' + 'x'.join(map(str, one.shape)) if one.shape else ''}; give the file that they were "
                "made from"
            )


def _find_digest(source: TensorSource) -> str | None:
    try:
        return source.digest
    except CheckpointError:
        return None
