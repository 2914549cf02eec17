"""What lies beside a tensor in its file and tells how to read it: its bias, and what config.json says of the model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from qanalysis.checkpoints.source import TensorInfo
from qanalysis.quantizers.matrix_view import ALONG_FIRST, MatrixView

Shape = tuple[int, ...]

_NORMED = re.compile(r"(parametrizations[./]weight[./])?(weight|weight_v|weight_orig|original\d?)$")
_NUMBERED = re.compile(r"(.*)(weights|weight|kernel|coefs|coef|w|W)(_?\d*)")
_BIAS_WORDS = {
    "weights": ("biases", "bias"),
    "weight": ("bias",),
    "kernel": ("bias",),
    "coefs": ("intercepts",),
    "coef": ("intercept",),
    "w": ("b",),
    "W": ("b", "B"),
}
_INNER = ("text_config", "language_config", "llm_config", "thinker_config")


class Reading(NamedTuple):
    """How a tensor is a matrix, and what was assumed where nothing decides."""

    view: MatrixView = ALONG_FIRST
    note: str = ""


@dataclass(frozen=True, slots=True)
class Siblings:
    """The tensors of a file by name, and its config.json (empty where there is none)."""

    tensors: Mapping[str, TensorInfo]
    config: Mapping[str, Any] = field(default_factory=dict)

    def find_shape(self, name: str) -> Shape | None:
        """The shape of a tensor, None where the file has none of that name."""
        info = self.tensors.get(name)
        return info.shape if info else None

    def find_bias(self, name: str) -> Shape | None:
        """The shape of a tensor's bias, by the names under which biases lie; None where there is none.

        >>> Siblings({"a.bias": TensorInfo("a.bias", (3,), "float32", 12)}).find_bias("a.weight")
        (3,)
        """
        if name.endswith(".weight"):
            return self.find_shape(f"{name[:-6]}bias")
        suffix = ":0" if name.endswith(":0") else ""
        plain = name.removesuffix(":0")
        place = max(plain.rfind("."), plain.rfind("/")) + 1
        for drop, words in _find_bias_words(plain[max(0, place - 24) :], plain[place:][-80:]):
            base = plain[:-drop] if drop else plain
            for word in words:
                found = self.tensors.get(f"{base}{word}{suffix}")
                if found:
                    return found.shape
        return None

    def read_number(self, *keys: str) -> int:
        """The first of these whole numbers of config.json, or of the part about its language model; 0 for none."""
        for part in (self.config, *(self.config.get(inner) for inner in _INNER)):
            for key in keys:
                value = part.get(key) if isinstance(part, Mapping) else None
                if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                    return value
        return 0

    @property
    def model_type(self) -> str:
        """The word of config.json for the architecture; empty where there is none."""
        found = self.config.get("model_type")
        if not isinstance(found, str):
            inner = self.config.get("text_config")
            found = inner.get("model_type") if isinstance(inner, Mapping) else ""
        return found if isinstance(found, str) else ""


@lru_cache(maxsize=1 << 14)
def _find_bias_words(tail: str, last: str) -> tuple[tuple[int, tuple[str, ...]], ...]:
    """How many letters to drop at the end of a name and what to write there, one for each way to name a bias."""
    normed = _NORMED.search(tail)
    if normed:
        return ((len(normed.group()), ("bias",)),)
    found: list[tuple[int, tuple[str, ...]]] = [(0, ("_bias", ".bias"))]
    numbered = _NUMBERED.fullmatch(last)
    if numbered and (not numbered[1] or not numbered[1][-1].isalnum()):
        words = tuple(word + numbered[3] for word in _BIAS_WORDS[numbered[2]])
        found.insert(0, (len(numbered[2] + numbered[3]), words))
    return tuple(found)
