"""Which tensors does an ONNX model hold, what are they for, and along which axes do their outputs lie?

All constants: initializers, sparse ones, Constant nodes, those of bodies and of local functions. What consumes a
constant decides its role and its view. Values stay in the files: raw bytes of the model and external data are mapped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import onnx

from qanalysis.checkpoints.data_file import DataFile, Folder
from qanalysis.checkpoints.entries import Content, Entry
from qanalysis.checkpoints.file_source import refuse_broken
from qanalysis.checkpoints.graphs.catalogue import PACKED_OPERATORS
from qanalysis.checkpoints.graphs.constants import Constant, ConstantReader, ExternalData
from qanalysis.checkpoints.graphs.graph import Graph
from qanalysis.checkpoints.graphs.look_through import Follower, Hit
from qanalysis.checkpoints.graphs.operators import PackedWeight
from qanalysis.checkpoints.graphs.purposes import list_consumers, settle
from qanalysis.checkpoints.graphs.regions import share_regions
from qanalysis.checkpoints.graphs.scopes import Place, Use
from qanalysis.checkpoints.graphs.skeleton import read_skeleton
from qanalysis.checkpoints.packed.parts import LayoutError, NoValues
from qanalysis.checkpoints.source import MEASURED_ROLES, CheckpointError

_MAX_MODEL_BYTES = 2**31 - 1  # of one protobuf message


def read_onnx(file: DataFile, folder: Folder) -> Content:
    """Tensors of an ONNX model in the order of the file. Raises CheckpointError for a file that is no model, and where
    none of its data files can be opened.
    """
    if file.size > _MAX_MODEL_BYTES:
        raise CheckpointError(
            f"{file.name} has {file.size} bytes, an ONNX model has at most 2 GB; save its weights as external data"
        )
    external = ExternalData(folder)
    try:
        with refuse_broken(f"{file.name} as an ONNX model"):
            graph = Graph(onnx.load_model_from_string(read_skeleton(file)), ConstantReader(file, external))
            if external.refused and not external.files:
                raise CheckpointError(f"{file.name}: {next(iter(external.refused.values()))}")
            entries, notes = _Settler(graph).settle_all()
    except CheckpointError:
        external.close()
        raise
    return Content(entries, [file, *external.files.values()], _tell_memory(entries), notes=(*graph.notes, *notes))


class _Settler:
    """Entries of one graph."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._follower = Follower(graph)

    def settle_all(self) -> tuple[list[Entry], list[str]]:
        """The entries and what is to be said of all of them."""
        packed, used_up = self._find_packed()
        kept, aliases, notes = share_regions([c for c in self._graph.constants if c not in used_up])
        entries = []
        for constant in self._graph.constants:
            if constant in packed:
                entries.append(self._settle_packed(constant, packed[constant]))
            elif constant in kept:
                entries.append(self._settle(kept[constant], [constant, *aliases.get(constant, ())]))
        if self._follower.is_exhausted:
            notes.append("the graph is so large that the axes of its last constants were not followed")
        return entries, [*notes, *self._tell_nodes(entries)]

    def _tell_nodes(self, entries: Sequence[Entry]) -> list[str]:
        """What tools that know initializers alone would pass over."""
        names = {constant.name for constant in self._graph.nodes}
        weights = [entry.info for entry in entries if entry.info.role in MEASURED_ROLES and entry.info.is_matrix]
        count = sum(info.name in names for info in weights)
        return [f"weights in Constant nodes, not in initializers: {count:,} of {len(weights):,}"] if count else []

    def _find_packed(self) -> tuple[dict[Constant, list[tuple[Use, PackedWeight]]], set[Constant]]:
        """Packed weights by the first of their parts in the file, and all their parts."""
        packed: dict[Constant, list[tuple[Use, PackedWeight]]] = {}
        used_up: set[Constant] = set()
        for constant in self._graph.constants:
            found = [(use, weight) for use in self._graph.uses(constant) if (weight := self._ask(constant, use))]
            if found:
                packed[constant] = found
                used_up.update(part for _, weight in found for part in weight.parts)
        return packed, used_up

    def _ask(self, constant: Constant, use: Use) -> PackedWeight | None:
        for operator in PACKED_OPERATORS:
            if use.node.op not in operator.operators:
                continue
            try:
                found = operator.read(use, self._graph)
            except LayoutError as error:
                reason = f"looks like {operator.name}, but {error}"
                info = replace(constant.info, decodes=False, stored=operator.name, reason=reason)
                return PackedWeight(info, NoValues(), (constant,))
            if found is not None:
                return found
        return None

    def _settle_packed(self, constant: Constant, found: Sequence[tuple[Use, PackedWeight]]) -> Entry:
        first = found[0][1]
        info = first.info
        if first.output:
            places = [Place(use.scope, weight.output) for use, weight in found if weight.output]
            if constant.shape == info.shape:  # which may be consumed without its quantizer, too
                places += self._graph.places(constant)
            info, _ = settle(info, self._follower.follow(places, info.shape))
        else:
            info = replace(info, consumers=list_consumers(use for use, _ in found))
        return Entry(info, first.values, settled=True)

    def _settle(self, constant: Constant, tied: Sequence[Constant]) -> Entry:
        info = constant.info
        hits = [hit for one in tied for hit in self._follow(one)]
        known, is_settled = settle(info, hits)
        return Entry(known, constant.values, settled=is_settled)

    def _follow(self, constant: Constant) -> list[Hit]:
        return self._follower.follow(self._graph.places(constant), constant.shape)


def _tell_memory(entries: Sequence[Entry]) -> str:
    mapped = sum(entry.info.size_bytes for entry in entries if entry.values.sliceable)
    held = sum(entry.info.size_bytes for entry in entries if not entry.values.sliceable)
    if held > mapped:
        return (
            "The graph is held in memory with the weights that are short or listed number by number: most of them here."
        )
    return "The graph is held in memory; weights are mapped, a read costs the tensor or the slice."
