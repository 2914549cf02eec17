"""What does a model's config.json say of its heads, widths and experts? One number under the names that models use."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from qanalysis.notation import quote

#: Parts that hold the language model of a larger one.
_INNER = ("text_config", "language_config", "llm_config", "thinker_config", "decoder", "attn_config", "ffn_config")
_MOST_BYTES = 1 << 24
_DEEPEST = 4


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A config.json: `name` is what messages call it."""

    values: Mapping[str, Any]
    name: str = "config.json"

    @classmethod
    def read(cls, place: str | os.PathLike[str] | Mapping[str, Any]) -> Self:
        """A config.json, the folder that it lies in, or its values. Raises ValueError for anything else."""
        if isinstance(place, Mapping):
            return cls(place)
        path = Path(place)
        path = path / "config.json" if path.is_dir() else path
        if not path.is_file():
            raise ValueError(f"config {path}: no such file; give the model's config.json")
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"config {path}: {path.stat().st_size:,} bytes are no config.json; give the model's own")
        try:
            values = json.loads(path.read_text(encoding="utf-8-sig"))
        except (ValueError, RecursionError) as error:
            told = quote(str(error).partition("\n")[0], 120)[1:-1]
            raise ValueError(f"config {path}: not valid JSON ({told}); give the model's config.json") from None
        if not isinstance(values, dict):
            values = None
        if values is None:
            raise ValueError(f"config {path}: holds no object, as a config.json does; give the model's own")
        return cls(values, path.name)

    def parts(self) -> Iterator[Mapping[str, Any]]:
        """Its own values, then those of the language model inside it."""
        yield from _list_parts(self.values, _DEEPEST)

    def find(self, *keys: str) -> Any:
        """The first of these that it has, its own before those of the parts; None for none and for null."""
        for part in self.parts():
            for key in keys:
                if part.get(key) is not None:
                    return part[key]
        return None

    def find_count(self, *keys: str) -> int | None:
        """A whole number above zero. None where it has none; ValueError for what is no such number."""
        value = self.find(*keys)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 1 << 40:
            key = next(key for part in self.parts() for key in keys if part.get(key) is not None)
            raise ValueError(f"{self.name}: {key} is {quote(value)}, must be a whole number above zero")
        return value

    def read_count(self, *keys: str, of: str) -> int:
        """The same where it has to be there: ValueError names the keys, and `of` what they are needed for."""
        found = self.find_count(*keys)
        if found is None:
            raise ValueError(f"{self.name}: has no {' or '.join(keys)}, which {of} needs; give the model's config.json")
        return found

    @property
    def model_type(self) -> str:
        """The word for the architecture, that of the language model where there is one inside; empty for none."""
        words = [part["model_type"] for part in self.parts() if isinstance(part.get("model_type"), str)]
        return words[-1] if words else ""


def _list_parts(values: Mapping[str, Any], depth: int) -> Iterator[Mapping[str, Any]]:
    yield values
    for key in _INNER:
        inner = values.get(key)
        if isinstance(inner, Mapping) and depth:
            yield from _list_parts(inner, depth - 1)
