"""What does a source hold, measured or not? Its header in a document, so that what is made of the rows later can count
the bytes of what has no row, and knows which names stand for one tensor.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from qanalysis.checkpoints.source import TensorInfo

#: The part of a document.
TENSORS = "tensors"
_TEXTS = ("tensor", "role", "shape", "dtype", "stored", "view")


def describe_tensors(tensors: Iterable[TensorInfo]) -> list[dict[str, Any]]:
    """Every tensor in the order of the file: its name, role, shape ("384x1024"), dtype and layout as rows have them,
    the axes of its output channels, its elements, its bytes in the file, its other names, and the operations of the
    graph that take it, where the file holds one.

    >>> describe_tensors([TensorInfo("w", (4, 64), "float16", 512, aliases=("head",))])[0]["size_bytes"]
    512
    """
    return [
        {
            "tensor": info.name,
            "role": info.role,
            "shape": info.shape_text,
            "dtype": info.dtype,
            "stored": info.stored,
            "view": str(info.view),
            "numel": info.numel,
            "size_bytes": info.size_bytes,
            "aliases": list(info.aliases),
            "consumers": [asdict(consumer) for consumer in info.consumers],
        }
        for info in tensors
    ]


def describe_held() -> dict[str, Any]:
    """The same as a part of a schema."""
    properties: dict[str, Any] = {
        **{name: {"type": "string"} for name in _TEXTS},
        **{name: {"type": "integer", "minimum": 0} for name in ("numel", "size_bytes")},
        "aliases": {"type": "array", "items": {"type": "string"}},
        "consumers": {"type": "array", "items": describe_consumer()},
    }
    return {
        "type": "array",
        "description": "every tensor of the source, measured or not",
        "items": {
            "type": "object",
            "required": list(properties),
            "additionalProperties": False,
            "properties": properties,
        },
    }


def describe_consumer() -> dict[str, Any]:
    """One operation of a graph as a part of a schema."""
    properties: dict[str, Any] = {
        **{name: {"type": "string"} for name in ("operation", "node", "output")},
        "operand": {"type": ["integer", "null"], "minimum": 0},
    }
    return {
        "type": "object",
        "required": list(properties),
        "additionalProperties": False,
        "properties": properties,
    }
