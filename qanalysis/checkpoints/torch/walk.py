"""Which tensors are in the content of a file, under which names?

Names are the keys and places on the way, joined by dots. Dicts, lists and tuples are gone through, and so is what
stands in objects of unknown classes; a module's parameters, buffers and modules are named as its state dict names them.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from qanalysis.checkpoints.entries import Entry
from qanalysis.checkpoints.torch.arrays import describe_array, is_numpy
from qanalysis.checkpoints.torch.dtypes import read_dtype
from qanalysis.checkpoints.torch.pickle_walk import PickleError
from qanalysis.checkpoints.torch.stubs import Call, Name
from qanalysis.checkpoints.torch.tensors import NotATensorError, describe_tensor, unwrap
from qanalysis.checkpoints.torch.view import Described, FindStorage
from qanalysis.notation import shorten

#: Containers within one another that are gone into.
MAX_DEPTH = 256
#: The most characters that the names of all tensors of a file may have together.
MAX_NAMES = 1 << 26
#: Other names of one tensor that are kept.
MAX_ALIASES = 100

_LONGEST_KEY = 1000
_MOST_SIZES, _LONGEST_TEXT, _LARGEST = 8, 80, 2**63  # of what is told of a tensor subclass
_MODULE_PARTS = ("_parameters", "_buffers", "_modules")
_PACKED = re.compile(r"(?:(.*)\.)?_packed_params\._packed_params\.([01])")
#: Classes of Python and torch that hold no weights and that nobody misses.
_HARMLESS = re.compile(
    r"(argparse\.Namespace|types\.SimpleNamespace|collections\.\w+|(pathlib|datetime|decimal|uuid|_codecs|copyreg|torch\.serialization)\."
    r"[\w.]+|(builtins|__builtin__)\.(set|frozenset|slice|range|complex|bytearray|list|dict|int|float|tuple|str|getattr)"
    r"|torch\.(device|Size|dtype|Generator|float\w*|int\w*|uint\w*|bool)|torch\._C\._\w+|numpy\.[\w.]+)"
)


@dataclass
class Found:
    """Tensors of a file in their order, and what else was seen on the way."""

    entries: list[Entry] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class _Tie:
    first: int
    names: list[str] = field(default_factory=list)
    count: int = 0


class Walk:
    """One walk through the content of a file."""

    def __init__(self, find_storage: FindStorage) -> None:
        self._find_storage = find_storage
        self._described: list[tuple[str, Described]] = []
        self._ties: dict[Any, _Tie] = {}
        self._tensors: dict[int, _Tie] = {}  # by the call that stands for one
        self._seen: set[int] = set()
        self._length = 0
        self._classes: Counter[str] = Counter()
        self._too_deep = 0
        self._odd: list[str] = []
        self._subclasses: dict[str, str] = {}

    def collect(self, content: Any) -> Found:
        """The tensors of the content. Raises PickleError where their names grow out of bounds."""
        waiting: list[Iterator[tuple[str, Any]]] = [iter([("", content)])]
        while waiting:
            step = next(waiting[-1], None)
            if step is None:
                waiting.pop()
                continue
            inner = self._visit(*step)
            if inner is not None and len(waiting) > MAX_DEPTH:
                self._too_deep += 1
            elif inner is not None:
                waiting.append(inner)
        return Found(self._make_entries(), self._make_notes(), self._make_metadata())

    def _visit(self, name: str, value: Any) -> Iterator[tuple[str, Any]] | None:
        """Take a tensor; give what is in a container."""
        if not isinstance(value, dict | list | tuple | Call):
            return None
        if isinstance(value, Call):
            if id(value) in self._tensors:
                self._add_name(name, self._tensors[id(value)])
                return None
            found = self._describe(name, value)
            if found is not None:
                self._tensors[id(value)] = self._add(name or "tensor", found)
                return None
        if id(value) in self._seen:  # a few bytes of containers that hold one another twice could be walked for ever
            return None
        self._seen.add(id(value))
        self._length += len(name)
        if self._length > MAX_NAMES:
            raise PickleError(f"the names of its tensors take more than {MAX_NAMES:,} characters")
        return ((_join(name, key), part) for key, part in self._open(name, value))

    def _describe(self, name: str, value: Call) -> Described | None:
        unwrapped = unwrap(value)
        try:
            return describe_tensor(unwrapped, self._find_storage) or describe_array(unwrapped)
        except NotATensorError as error:
            self._odd.append(f"{shorten(name, 80)!r}: {error}")
            return None

    def _open(self, name: str, value: Any) -> Iterator[tuple[Any, Any]]:
        if isinstance(value, dict):
            return iter(value.items())
        if isinstance(value, list | tuple):
            return enumerate(value)
        if is_numpy(value):
            return iter(())
        unwrapped = unwrap(value)
        if unwrapped is not value:
            return iter([("", unwrapped)])
        return self._open_object(name, value)

    def _open_object(self, name: str, value: Call) -> Iterator[tuple[Any, Any]]:
        if not _HARMLESS.fullmatch(str(value.callee)) and not value.calls("torch._tensor._rebuild_from_type_v2"):
            self._classes[value.class_name] += 1
        state = value.state
        if isinstance(state, dict) and isinstance(state.get("_parameters"), dict | Call):
            return _open_module(state)
        subclass = _read_subclass(value)
        if subclass is not None:
            return self._open_subclass(name, *subclass)
        return _open_call(value)

    def _open_subclass(self, name: str, kind: str, state: dict[Any, Any]) -> Iterator[tuple[Any, Any]]:
        """The parts of a tensor subclass, named as in safetensors: "fc.weight" has "fc._weight_qdata"."""
        stem, _dot, last = name.rpartition(".")
        tensors = {key: part for key, part in state.items() if isinstance(unwrap(part), Call) and _may_hold(part)}
        plain = {str(key)[:80]: told for key, part in state.items() for told in _tell_attribute(part)}
        described = {"_type": kind, "_data": plain, "_tensor_data_names": [str(key)[:80] for key in tensors]}
        self._subclasses[name] = json.dumps(described)
        for key, part in tensors.items():
            found = self._describe(name, unwrap(part))
            if found is not None:
                self._add(_join(stem, f"_{last}_{key}"), found)
        return ((key, part) for key, part in tensors.items() if not self._is_tensor(part))

    def _is_tensor(self, value: Any) -> bool:
        unwrapped = unwrap(value)
        return isinstance(unwrapped, Call) and self._describe("", unwrapped) is not None

    def _add(self, name: str, found: Described) -> _Tie:
        """Take a tensor, or one more name of a tensor that was taken before."""
        tie = self._ties.get(found.identity) if found.identity is not None else None
        if tie is not None:
            self._add_name(name, tie)
            return tie
        self._length += len(name)
        tie = _Tie(len(self._described))
        self._ties[tie if found.identity is None else found.identity] = tie
        self._described.append((_tidy(name), found))
        return tie

    def _add_name(self, name: str, tie: _Tie) -> None:
        tie.count += 1
        if len(tie.names) < MAX_ALIASES:
            self._length += len(name)
            tie.names.append(_tidy(name))

    def _make_entries(self) -> list[Entry]:
        names = {tie.first: tuple(tie.names) for tie in self._ties.values() if tie.names}
        return [
            Entry(replace(found.info, name=name, aliases=names.get(place, ())), found.values)
            for place, (name, found) in enumerate(self._described)
        ]

    def _make_notes(self) -> list[str]:
        notes = []
        if self._classes:
            names = ", ".join(name for name, _count in self._classes.most_common(3))
            more = f" and {len(self._classes) - 3:,} more" if len(self._classes) > 3 else ""
            notes.append(f"not run: {names}{more}; tensors in such objects are read as data")
        if self._too_deep:
            notes.append(f"{self._too_deep:,} containers deeper than {MAX_DEPTH} are left out")
        if self._odd:
            notes.append(f"{len(self._odd):,} damaged tensors are left out, {self._odd[0]}")
        for tie in self._ties.values():
            if tie.count > MAX_ALIASES:
                name = shorten(self._described[tie.first][0], 80)
                notes.append(f"{name} has {tie.count:,} more names, of which {MAX_ALIASES} are kept")
                break
        return notes

    def _make_metadata(self) -> dict[str, str]:
        if not self._subclasses:
            return {}
        return {**self._subclasses, "tensor_names": json.dumps(list(self._subclasses))}


def _join(name: str, key: Any) -> str:
    text = _write_key(key)
    return f"{name}.{text}" if name and text else name or text


def _write_key(key: Any) -> str:
    text = key.decode("latin-1") if isinstance(key, bytes) else str(key)
    if len(text) > _LONGEST_KEY:
        text = shorten(text, _LONGEST_KEY)
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _tidy(name: str) -> str:
    """The name that a quantized layer's packed parameters have in the float model."""
    packed = _PACKED.fullmatch(name)
    if packed is None:
        return name
    return _join(packed[1] or "", "weight" if packed[2] == "0" else "bias")


def _open_module(state: dict[Any, Any]) -> Iterator[tuple[Any, Any]]:
    transient = _read_names(state.get("_non_persistent_buffers_set"))
    for part in _MODULE_PARTS:
        held = state.get(part)
        items = held if isinstance(held, dict) else dict(_open_call(held)) if isinstance(held, Call) else {}
        for key, value in items.items():
            if part != "_buffers" or key not in transient:
                yield key, value


def _read_names(value: Any) -> set[str]:
    if isinstance(value, Call) and isinstance(value.args, tuple) and value.args:
        value = value.args[0]
    return {name for name in value if isinstance(name, str)} if isinstance(value, list | tuple) else set()


def _open_call(value: Call) -> Iterator[tuple[Any, Any]]:
    """Everything an object would have been made of: state, items, members, arguments."""
    states = value.state if isinstance(value.state, tuple) else (value.state,)
    for state in states:
        if isinstance(state, dict):
            yield from state.items()
        elif isinstance(state, list | tuple | Call):
            yield "state", state
    if value.items:
        yield from value.items.items()
    yield from enumerate(value.members or ())
    if value.calls("collections.OrderedDict") and isinstance(value.args, tuple):
        yield from _open_pairs(value.args)
    elif isinstance(value.args, list | tuple | dict):
        yield from enumerate(value.args) if not isinstance(value.args, dict) else value.args.items()


def _open_pairs(args: tuple[Any, ...]) -> Iterator[tuple[Any, Any]]:
    """Keys and values of an OrderedDict that Python 2 wrote as a list of pairs."""
    for pair in args[0] if args and isinstance(args[0], list) else ():
        if isinstance(pair, list | tuple) and len(pair) == 2:
            yield _write_key(pair[0]) if isinstance(pair[0], str | int | bytes) else type(pair[0]).__name__, pair[1]


def _tell_attribute(value: Any) -> Iterator[Any]:
    """An attribute of a tensor subclass as the metadata of safetensors writes it: a number, text, sizes, a type."""
    if (
        isinstance(value, float)
        or (isinstance(value, int) and abs(value) < _LARGEST)
        or (isinstance(value, str) and len(value) <= _LONGEST_TEXT)
    ):
        yield value
    elif (
        isinstance(value, list | tuple)
        and len(value) <= _MOST_SIZES
        and all(type(one) is int and abs(one) < _LARGEST for one in value)
    ):
        yield list(value)
    elif read_dtype(value):
        yield {"_type": "torch.dtype", "_data": read_dtype(value)}


def _may_hold(value: Call) -> bool:
    """Whether an attribute of a tensor subclass is, or holds, a tensor: settings are enumerations and small objects."""
    return isinstance(value.callee, Name) and value.callee.module in {"torch._utils", "torch._tensor"}


def _read_subclass(value: Call) -> tuple[str, dict[Any, Any]] | None:
    """Class and attributes of a tensor subclass that holds other tensors, None for everything else."""
    args = value.args
    if not value.calls("torch._tensor._rebuild_from_type_v2") or not isinstance(args, tuple) or len(args) != 4:
        return None
    if not isinstance(args[1], Name) or not isinstance(args[3], dict):
        return None
    return args[1].name, args[3]
