"""What is one try of the fuzz? A few files in a folder and what is opened of it, drawn from a generator of its own, so that
reader, seed and number alone make it again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

from tests.fuzz.raw_bytes import damage_bytes, splice

#: Reader to the module that makes its models; "packed" are layouts of quantizers, all in safetensors files.
READERS = {
    "safetensors": "safetensors_models",
    "packed": "packed_models",
    "torch": "torch_models",
    "onnx": "onnx_models",
    "gguf": "gguf_models",
    "numpy": "numpy_models",
}


@dataclass(frozen=True, slots=True)
class Case:
    """Files by name and the one that is opened, "" for the folder. `partial` takes a set of which parts are missing."""

    files: dict[str, bytes]
    opened: str
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Reader:
    """The sound models of one reader, and what makes a case of one of them, changed or as it is."""

    models: Sequence[Any]
    write: Callable[[random.Random, Any], Case]
    change: Callable[[random.Random, Any, Sequence[Any]], Any]


def load_reader(name: str) -> Reader:
    found = import_module(f"tests.fuzz.{READERS[name]}").make_reader()
    assert isinstance(found, Reader)
    return found


def make_case(name: str, reader: Reader, seed: int, number: int) -> Case:
    """The mutant of that number; the first ones are the sound models themselves."""
    rng = random.Random(f"{name} {seed} {number}")
    if number < len(reader.models):
        return reader.write(rng, reader.models[number])
    model = rng.choice(reader.models)
    for _ in range(rng.choice((0, 1, 1, 1, 1, 2, 2, 3, 5))):
        model = reader.change(rng, model, reader.models)
    case = reader.write(rng, model)
    if rng.random() < 0.12:
        at = rng.choice(sorted(case.files))
        content = damage_bytes(rng, case.files[at])
        if rng.random() < 0.15:
            other = reader.write(rng, rng.choice(reader.models))
            content = splice(rng, content, rng.choice(sorted(other.files.items()))[1])
        case = replace(case, files={**case.files, at: content})
    return replace(case, partial=rng.random() < 0.2)
