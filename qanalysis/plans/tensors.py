"""What is known of the tensors that a plan speaks of? Name, role, shape, bytes, from a document of rows or a header."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from qanalysis.checkpoints.source import FLOAT_DTYPES, Consumer, TensorInfo
from qanalysis.quantizers.matrix_view import MatrixView
from qanalysis.results.table import Table
from qanalysis.sweeps.held import TENSORS, describe_tensors

#: Tensors of a training, which no model that is deployed holds.
_TRAINING_ROLES = ("optimizer", "average")


@dataclass(frozen=True, slots=True)
class PlanTensor:
    """One tensor of the source.

    `layer` is the module or node that it works in, "" where rows do not say. `size_bytes` is what it takes in the file
    as it is, `view` the axes of its output channels, `aliases` are other names of the same values, `consumers` the
    operations of a graph that take it.
    """

    name: str
    role: str = "weight"
    shape: tuple[int, ...] = ()
    dtype: str = ""
    stored: str = ""
    view: str = "0"
    numel: int = 0
    size_bytes: int = 0
    aliases: tuple[str, ...] = ()
    layer: str = ""
    consumers: tuple[Consumer, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All its names, its own first."""
        return (self.name, *self.aliases)

    def describe(self) -> TensorInfo:
        """As the header of a source would have it."""
        role: Any = self.role
        view = MatrixView.parse(self.view)
        return TensorInfo(self.name, self.shape, self.dtype, self.size_bytes, view, role=role, stored=self.stored)

    @property
    def is_deployed(self) -> bool:
        """Whether a deployed model holds it: what only a training needs is left aside."""
        return self.role not in _TRAINING_ROLES


def list_tensors(tables: Iterable[Table[Any]], header: Iterable[TensorInfo] = ()) -> dict[str, PlanTensor]:
    """Every tensor that the tables or the header of their source know, by name, in the order of the file.

    The header goes before what a document says, and that before what rows say: CSV files hold rows alone.
    """
    found = dict[str, PlanTensor]()
    for line in describe_tensors(header):
        found[line["tensor"]] = _read_line(line)
    for table in tables:
        for known in _read_part(table):
            found.setdefault(known.name, known)
        for one in _read_rows(table):
            there = found.setdefault(one.name, one)
            found[one.name] = replace(there, layer=one.layer or there.layer)
    return found


def _read_part(table: Table[Any]) -> list[PlanTensor]:
    """What the document says of its source; ValueError where that is not as this program writes it."""
    try:
        return [_read_line(line) for line in table.more.get(TENSORS, ())]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ValueError(
            "the part 'tensors' of the rows is not as this program writes it; make the rows again"
        ) from None


def _read_line(line: Mapping[str, Any]) -> PlanTensor:
    consumers = tuple(Consumer(**words) for words in line.get("consumers", ()))
    if not all(type(line[name]) is int and 0 <= line[name] < 1 << 60 for name in ("numel", "size_bytes")):
        raise ValueError("counts of a tensor are no counts")
    return PlanTensor(
        name=line["tensor"],
        role=line["role"],
        shape=read_shape(line["shape"]),
        dtype=line["dtype"],
        stored=line["stored"],
        view=line["view"],
        numel=line["numel"],
        size_bytes=line["size_bytes"],
        aliases=tuple(line["aliases"]),
        layer=consumers[0].name if consumers else "",
        consumers=consumers,
    )


def read_shape(text: str) -> tuple[int, ...]:
    """A shape as rows hold it.

    >>> read_shape("384x1024"), read_shape("")
    ((384, 1024), ())
    """
    return tuple(map(int, text.split("x"))) if text else ()


def _read_rows(table: Table[Any]) -> list[PlanTensor]:
    """One tensor for each name in the rows, with what their columns say of it."""
    names = {column.name for column in table.columns}
    cells = {name: table.column(name).tolist() for name in ("tensor", *_ROW_WORDS) if name in names}
    places = dict[str, list[int]]()
    for place, name in enumerate(cells["tensor"]):
        places.setdefault(name, []).append(place)
    return [
        _describe_row(name, {word: cells[word][own[0]] for word in _ROW_WORDS if word in cells}, table, own)
        for name, own in places.items()
    ]


_ROW_WORDS = ("role", "shape", "dtype", "stored", "numel", "layer")


def _describe_row(name: str, words: Mapping[str, Any], table: Table[Any], places: list[int]) -> PlanTensor:
    numel = int(words["numel"]) if "numel" in words else _count(table, places)
    width = FLOAT_DTYPES[words["dtype"]].itemsize if words.get("dtype") in FLOAT_DTYPES else 4
    return PlanTensor(
        name=name,
        role=words.get("role") or "weight",
        shape=read_shape(words.get("shape", "")),
        dtype=words.get("dtype", ""),
        stored=words.get("stored") or "",
        numel=numel,
        size_bytes=numel * width,
        layer=words.get("layer", ""),
    )


def _count(table: Table[Any], places: list[int]) -> int:
    """How many elements a tensor has, from the bytes and the bits per weight of its rows; 0 where none has them."""
    bits, size = table.column("bits_per_weight")[places], table.column("size_bytes")[places]
    known = bits > 0
    return round(float((8 * size[known] / bits[known]).min())) if known.any() else 0
