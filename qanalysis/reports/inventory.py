"""What is in a checkpoint, by its header alone? The document of `qanalysis show --json`, in the form of every other one."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from qanalysis.checkpoints.source import TensorSource
from qanalysis.results.document import SCHEMA_VERSION


def describe_tensors(source: TensorSource) -> dict[str, Any]:
    """One row per tensor (`measurable` is false for integers, bool and complex) and one total; the digest is null: it would read the values."""
    rows = [
        {
            "tensor": info.name,
            "kind": info.kind,
            "shape": format_shape(info.shape),
            "dtype": info.dtype,
            "numel": info.numel,
            "size_bytes": info.size_bytes,
            "channel_axis": info.channel_axis,
            "measurable": info.decodes,
        }
        for info in source.tensors
    ]
    totals = [{"tensors": len(rows), "numel": sum(info.numel for info in source.tensors), "size_bytes": sum(info.size_bytes for info in source.tensors)}]
    return {
        "schema_version": SCHEMA_VERSION,
        "tool_version": version("qanalysis"),
        "source": {"path": source.name, "size": source.size_bytes, "digest": None},
        "settings": {"memory_note": source.memory_note},
        "rows": rows,
        "totals": totals,
    }


def format_shape(shape: tuple[int, ...]) -> str:
    """The text form of a shape.

    >>> format_shape((384, 1024)), format_shape(())
    ('384x1024', '')
    """
    return "x".join(map(str, shape))
