"""How are the command's options called on page Converter? By the boxes that do the same."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from qanalysis.converters.findings import Finding

_BOXES = {
    "--average": "the box Average",
    "--band": "the boxes Band from and Band to",
    "--bits": "the box Bits",
    "--channel": "the box Channel",
    "--coding": "the box Coding",
    "--column": "the box Column",
    "--drive": "the boxes Input from and Input to",
    "--dtype": "the box Raw words",
    "--fs": "the box Sample rate fs",
    "--input-column": "the box Input column",
    "--justify": "the box Words",
    "--radix": "the box Digits",
    "--range": "the boxes Low end and High end",
    "--resample": "the switch Resample",
    "--signed": "the box Sign",
    "--test pairs": "the test Pairs above",
    "--unit": "the box Unit",
    "--unsigned": "the box Sign",
}
_OPTION = re.compile(rf"(?:{'|'.join(_BOXES)})(?![\w-])")


def name_boxes(text: str) -> str:
    """A message with the page's boxes in place of the command's options.

    >>> name_boxes("state the column of the inputs (--input-column)")
    'state the column of the inputs (the box Input column)'
    """
    return _OPTION.sub(lambda match: _BOXES[match[0]], text)


def tell_on_page(findings: Iterable[Finding]) -> list[Finding]:
    """Findings whose texts name the page's boxes."""
    return [replace(finding, text=name_boxes(finding.text)) for finding in findings]
