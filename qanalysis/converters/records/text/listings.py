"""What stands around the numbers of a listing? A declaration, labels or addresses, taken off before lines are split.

Firmware and debuggers write `const uint16_t adc[] = {2047, 2050};`, `ADC: 2047` and `0x20000000 <adc>: 0x07ff 0x0800`.
Decided from the first lines of a file; what is taken off is no number, and nothing is read otherwise than it stands.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from qanalysis.converters.records.text.cells import is_numeral
from qanalysis.notation import quote

Wrapping = Literal["array", "labels", "addresses", "indices"]

_REMARK = re.compile(r"/\*.*?\*/|//.*")
_OPENING = re.compile(r"^(?:[^={}]*=\s*|[^\[\]]*:\s*)?[\w.]*[\[{(]{1,2}\s*(?=[-+.0-9]|$)")
_CLOSING = re.compile(r"\s*(?:\.\.\.\s*|[\]})]+[\]}),;\s]*(?:dtype\s*=.*)?|;\s*)$")
_SUFFIX = re.compile(
    r"\b(0[xX][0-9a-fA-F]+(?=[uUlL])|[0-9]+(?=[uUlL])|[0-9]*\.[0-9]*(?:[eE][+-]?[0-9]+)?(?=[fF]))[uUlLfF]+\b"
)
_LABEL = re.compile(r"(?:(?<=^)|(?<=[,;\t ]))([A-Za-z_][\w.]*(?: [A-Za-z_][\w.]*){0,2})\s*[:=]\s*(?=[-+.0-9$])")
_MONITOR = re.compile(r"^\s*[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]+)?\s*->\s*")
_ADDRESS = re.compile(r"^\s*(?:(0x)?([0-9a-fA-F]{5,16})\s*(<[^>]*>)?\s*(:)?|(\[)\s*([0-9]+)\])\s+(?=\S)")
_LONE_ADDRESS = re.compile(r"^\s*(?:0x)?[0-9a-fA-F]{5,16}:?\s*$")  # the end of what a dump shows
_INDEX = re.compile(
    r"^\s*(?:\([^)]*\)\s*)?(?:(?P<name>[A-Za-z_][\w.]*)?\[(?P<place>[0-9]+)\]\s*[:=]|(?P<count>[0-9]+)\s*[:=](?=\s))\s*"
    r"(?=[-+.0-9$])"
)
_FEWEST = 3  # lines that are alike
_MOST = 0.8  # of the lines with digits: what the same labels stand in
_LOOK = 200  # lines that are looked at


class ListingError(ValueError):
    """A listing that can not be read as it stands; the text says what to do instead."""


@dataclass(frozen=True, slots=True)
class Dressing:
    """What is taken off each line of a listing; `names` are the labels, which name the columns, "" where a label is a
    time of day.
    """

    wrapping: Wrapping
    names: tuple[str, ...] = ()

    def undress(self, lines: Sequence[str]) -> list[str]:
        """The lines with their numbers alone; a line that is none of the listing stays as it is.

        Raises ListingError for the asterisk of a dump that stands for lines left out.

        >>> Dressing("array").undress(["const uint16_t adc[2] = { 0x7FF, // first", "  2048u };"])
        ['0x7FF,', '  2048']
        >>> Dressing("labels", ("A0", "A1")).undress(["A0: 512, A1: 300"])
        ['512, 300']
        """
        if self.wrapping == "array":
            return [_strip_array(line) for line in lines]
        if self.wrapping == "addresses":
            return [_strip_address(line) for line in lines]
        if self.wrapping == "indices":
            return [_INDEX.sub("", line, count=1) for line in lines]
        return [_LABEL.sub("", _MONITOR.sub("", line)) if _name_labels(line) == self.names else line for line in lines]


def find_dressing(lines: Sequence[str]) -> Dressing | None:
    """What stands around the numbers, from the first lines of a file; None where nothing does.

    Raises ListingError for dumps whose words can not be told from the text: bytes, and groups in the order of the file.

    >>> find_dressing(["ADC: 2047", "ADC: 2050", "ADC: 2051"])
    Dressing(wrapping='labels', names=('ADC',))
    >>> find_dressing(["x = [2047 2050", "2051 2052];"]).wrapping, find_dressing(["t [s],v", "0,1", "1,2"])
    ('array', None)
    """
    filled = [line for line in lines[:_LOOK] if line.strip()]
    if _has_addresses(filled):
        return Dressing("addresses")
    if _is_array(filled):
        return Dressing("array")
    if _has_indices(filled):
        return Dressing("indices")
    named = Counter(_name_labels(line) for line in filled if any(map(str.isdigit, line)))
    names, count = named.most_common(1)[0] if named else ((), 0)
    return Dressing("labels", names) if names and count >= max(_FEWEST, _MOST * named.total()) else None


def _strip_address(line: str) -> str:
    if line.strip() == "*":
        raise ListingError("an asterisk stands for lines that repeat and are left out; dump every line (hexdump -v)")
    return _LONE_ADDRESS.sub("", _ADDRESS.sub("", line, count=1))


def _strip_array(line: str) -> str:
    line = _OPENING.sub("", _REMARK.sub("", line).rstrip(), count=1)
    return _SUFFIX.sub(r"\1", _CLOSING.sub("", line))


def _is_array(lines: Sequence[str]) -> bool:
    """Whether brackets open before the first numbers, behind nothing, a name or a sign of equality, and hold them."""
    opening = next((place for place, line in enumerate(lines) if _OPENING.match(_REMARK.sub("", line))), None)
    if opening is None:
        return False
    inside = [re.split(r"[,;\s]+", _strip_array(line).strip(" ,;\t")) for line in lines[opening : opening + _FEWEST]]
    words = [word for line in inside for word in line if word]
    return bool(words) and all(map(is_numeral, words))


def _has_indices(lines: Sequence[str]) -> bool:
    """Whether lines begin with places of one array, or numbers before a colon, that count up by one."""
    matches = [match for line in lines if (match := _INDEX.match(line))]
    if len(matches) < max(_FEWEST, _MOST * len(lines)) or len({match["name"] for match in matches}) > 1:
        return False
    places = [int(match["place"] or match["count"]) for match in matches]
    return all(after - before == 1 for before, after in pairwise(places))


def _name_labels(line: str) -> tuple[str, ...]:
    """The labels of a line, the first at its start and one before each number, () where there are none."""
    bare = _MONITOR.sub("", line)
    names = tuple(_LABEL.findall(bare))
    if not names or _LABEL.match(bare.lstrip()) is None:
        return ("",) if bare != line else ()
    return names


def _has_addresses(lines: Sequence[str]) -> bool:
    """Whether lines begin with addresses, or numbers of samples in brackets, that rise by what the lines hold.

    ListingError for the dumps of bytes and of groups that xxd and hexdump -C print.
    """
    matches = [match for line in lines if (match := _ADDRESS.match(line))]
    if len(matches) < max(_FEWEST, _MOST * len(lines)):
        return False
    rests = [match.string[match.end() :].split() for match in matches]
    if all(match[5] for match in matches):  # [17] counts samples, from 1
        places, held = [int(match[6]) for match in matches], len(rests[0])
        return all(after - before == held for before, after in pairwise(places))
    if any(match[5] for match in matches):
        return False
    for base in (16, 8):
        try:
            places = [int(match[2], base) for match in matches]
        except ValueError:
            continue
        steps = Counter(after - before for before, after in pairwise(places[:-1]))
        step, count = steps.most_common(1)[0]
        if step > 1 and (len(steps) == 1 or (count > 1 and any(line.strip() == "*" for line in lines))):
            return _check_words(matches[0], rests[0], step)
    return False


def _check_words(match: re.Match[str], rest: list[str], step: int) -> bool:
    """Whether a line of `step` bytes holds whole words; ListingError where they can not be told from the text."""
    digits = len(rest[0])
    groups = [word for word in rest if len(word) == digits and re.fullmatch(r"[0-9a-fA-F]+", word)]
    pairs = digits == 2 and len(groups) >= step
    grouped = match[4] and not match[1] and not match[3] and digits in {4, 8} and len(rest) > len(groups)
    if pairs or grouped:
        shown = quote(match.string.strip(), 40)
        raise ListingError(
            f"{shown} is a line of a dump of {'bytes' if pairs else 'groups of bytes'}, which does not tell its words; "
            "turn it back into a file (xxd -r), name that .bin and give the type of its words, such as i16le"
        )
    words = [word for word in rest if is_numeral(word) or re.fullmatch(r"[0-9a-fA-F]+", word)]
    if not words or step % len(words) or step // len(words) not in {1, 2, 4, 8}:
        return False
    if digits == 6 and all(set(word) <= set("01234567") for word in words):
        raise ListingError(
            "the words of this dump are octal; print them with od -An -t u2, or name the file itself .bin"
        )
    return bool(match[1] or match[3] or match[4] or match[2].startswith("0"))
