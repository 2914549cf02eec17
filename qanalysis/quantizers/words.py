"""What do the words of a scheme mean? The parts of a scheme and how their words read, print and are refused; names of
formats and scales.

A part is declared once, on its field of `Scheme`; parsing, printing, defaults and refusals follow. Lists of bit widths
are read here too.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from qanalysis.notation import quote
from qanalysis.quantizers.families import FEWEST_BITS, MOST_BITS
from qanalysis.quantizers.formats import FORMATS
from qanalysis.quantizers.number_format import NumberFormat
from qanalysis.quantizers.scales import SCALE_TYPES, ScaleType


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a scheme beside the format: the word that asks for it and what a format says to that.

    `key` is what stands before the "=", empty where the word stands alone and `recognize` tells; `read` gives the value
    of the word (ValueError names the choices), `show` the word of a value. `default` is that of most formats, `own` the
    one of a given format; `reason` says why a format that fixes the part does so.
    """

    default: Any
    read: Callable[[str], Any]
    own: Callable[[NumberFormat], Any]
    reason: Callable[[NumberFormat], str]
    key: str = ""
    recognize: Callable[[str], bool] = lambda _word: False
    show: Callable[[Any], str] = str

    def takes(self, word: str) -> bool:
        """Whether the word asks for this part."""
        return word.startswith(f"{self.key}=") if self.key else self.recognize(word)

    def parse(self, word: str) -> Any:
        """The value that the word asks for."""
        return self.read(word.removeprefix(f"{self.key}=") if self.key else word)

    def print(self, value: Any) -> str:
        """The shortest word that asks for the value."""
        return (f"{self.key}=" if self.key else "") + self.show(value)

    def refuse(self, fmt: NumberFormat, value: Any) -> str:
        """The message to who asks a format for what it does not leave open."""
        word = (f"{self.key}=" if self.key else "") + str(value)
        return f"{fmt} and {word} do not go together: {self.reason(fmt)}; leave the word out"


def part(default: Any, **facts: Any) -> Any:
    """A field of `Scheme` with the facts of its `Part`."""
    return field(default=default, metadata={"part": Part(default, **facts)})


def parse_format(text: str) -> NumberFormat:
    """The format named `text`; ValueError lists what there is.

    >>> parse_format("int4").bits, str(parse_format("gguf:q4_0"))
    (4, 'gguf:q4_0')
    """
    if text in FORMATS:
        return FORMATS[text]
    if re.fullmatch(r"int\d+", text):
        raise ValueError(f"format {quote(text)}: integer formats have {FEWEST_BITS} to {MOST_BITS} bits")
    if re.fullmatch(r"gguf:(q\d_k\w*|iq\w+)", text, re.IGNORECASE):
        raise ValueError(
            f"format {quote(text)}: K- and I-quants are read from files, not written; the package that defines them "
            "has no public encoder for them"
        )
    names = [name for name, fmt in FORMATS.items() if not fmt.is_integer]
    close = _find_alike(text.lower(), names) if text else []
    hint = f" (did you mean {' or '.join(close)}?)" if close else ""
    raise ValueError(f"format {quote(text)} is unknown{hint}; formats are int2 to int16, {', '.join(names)}")


#: What people call formats that have another name here.
_ALSO_CALLED = {
    "bf16": "bfloat16",
    "fp16": "float16",
    "f16": "float16",
    "half": "float16",
    "fp8": "fp8_e4m3",
    "e4m3fn": "fp8_e4m3",
    "fp4": "fp4_e2m1",
}


def _find_alike(text: str, names: list[str]) -> list[str]:
    """Names that `text`, in lower case, may have meant: the same, another name, a beginning, an end, alike letters."""
    if text in FORMATS or text in _ALSO_CALLED:
        return [_ALSO_CALLED.get(text, text)]
    beginnings = [name for name in names if name.startswith(text)]
    ends = [name for name in names if name.endswith((f":{text}", f"_{text}"))]
    return beginnings or ends or difflib.get_close_matches(text, names, cutoff=0.7)


def resembles_format(text: str) -> bool:
    """Whether a word that is no format may have been meant as one.

    >>> resembles_format("NVFP4"), resembles_format("q4_0"), resembles_format("sideways")
    (True, True, False)
    """
    return bool(re.match("gguf:|int|uint", text) or _find_alike(text.lower(), list(FORMATS)))


def parse_scale(text: str) -> ScaleType:
    """A scale type from its word, those that only some formats have included; ValueError lists the common ones."""
    known = {scale.name: scale for fmt in FORMATS.values() for scale in fmt.scales}
    if text not in known:
        raise ValueError(f"scale {quote(text)} is unknown; types are {', '.join(SCALE_TYPES)}; double for nf4")
    return known[text]


def parse_bits(text: str) -> list[int]:
    """Bit widths from "2-8" or "2,3,4,8" or a mix, in the order written, repeats kept.

    >>> parse_bits("2-4,8")
    [2, 3, 4, 8]
    """
    widths: list[int] = []
    for span in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,9})\s*(?:-\s*(\d{1,9})\s*)?", span)
        if match is None:
            raise ValueError(f"bits {quote(text)}: {quote(span)} is neither a number nor a span like 2-8")
        first, last = int(match[1]), int(match[2] or match[1])
        outside = [width for width in (first, last) if not FEWEST_BITS <= width <= MOST_BITS]
        if outside:
            raise ValueError(
                f"bits {quote(text)}: {outside[0]} is outside {FEWEST_BITS} to {MOST_BITS}, the widths of integer "
                "formats; write for example 2-8 or 4,8"
            )
        if last < first:
            raise ValueError(f"bits {quote(text)}: the span {span.strip()} runs backwards; write {last}-{first}")
        widths += range(first, last + 1)
    return widths
