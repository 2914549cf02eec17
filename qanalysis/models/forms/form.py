"""Which parts of a model are quantized, and how? Weights, activations or both, written W4, A8, W4A4.

A number is a width: integers of so many bits, 1 is binary. Anything else is a scheme in parentheses:
W(nf4 group=64)A(int8 asym).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from qanalysis.models.forms.row import TARGETS, Target
from qanalysis.notation import quote
from qanalysis.quantizers.families import FEWEST_BITS, MOST_BITS
from qanalysis.quantizers.scheme import Scheme

_PART = r"(?:{}(?:(\d{{1,3}})|\(([^()]{{1,200}})\)))?"
_TEXT = re.compile(_PART.format("W") + _PART.format("A"), re.IGNORECASE)
#: Groups of integer weights where nothing else is asked for: one scale for each output.
GROUPING = "channel"


@dataclass(frozen=True, slots=True)
class Form:
    """A way of quantizing a whole model: the scheme of its weights and that of its layers' inputs, None for float.

    `name` is its text. Binary weights have one scale for each output row, whatever groups integers have.
    """

    name: str
    weights: Scheme | None
    activations: Scheme | None

    def __str__(self) -> str:
        return self.name

    @classmethod
    def parse(cls, text: str, *, grouping: str = GROUPING) -> Self:
        """The form written as `text`; `grouping` is that of integer weights of which a width alone is told. ValueError
        names the rule.

        >>> form = Form.parse("w4a8")
        >>> form.name, str(form.weights), str(form.activations)
        ('W4A8', 'int4 channel', 'int8')
        """
        found = _TEXT.fullmatch(text.strip())
        if not found or not any(found.groups()):
            raise ValueError(
                f"form {quote(text)}: write W for weights and A for activations with a width, such as W8, A8, W4A8, or "
                "a scheme, such as 'W(nf4 group=64)'; 1 is binary"
            )
        wide, weight_scheme, active, active_scheme = found.groups()
        try:
            weights = _read(wide, weight_scheme, grouping=grouping, binary="binary channel")
            activations = _read(active, active_scheme, grouping="tensor", binary="binary")
        except ValueError as error:
            raise ValueError(f"form {quote(text)}: {error}") from None
        return cls(_name("W", wide, weights) + _name("A", active, activations), weights, activations)

    @property
    def target(self) -> Target:
        """What is quantized."""
        if self.weights is None:
            return "activations"
        return "weights" if self.activations is None else "both"

    @property
    def bits(self) -> int:
        """Bits of a code of the weights, of the activations where weights stay float."""
        scheme = self.weights or self.activations
        return 32 if scheme is None else scheme.format.bits


def _read(width: str | None, scheme: str | None, *, grouping: str, binary: str) -> Scheme | None:
    if scheme is not None:
        return Scheme.parse(scheme)
    if width is None:
        return None
    if width == "1":
        return Scheme.parse(binary)
    if not FEWEST_BITS <= int(width) <= MOST_BITS:
        raise ValueError(f"{width} bits; integers have {FEWEST_BITS} to {MOST_BITS}, binary is 1")
    return Scheme.parse(f"int{int(width)} {grouping}")


def _name(letter: str, width: str | None, scheme: Scheme | None) -> str:
    if scheme is None:
        return ""
    return f"{letter}({scheme})" if width is None else f"{letter}{int(width)}"


def cross_forms(widths: Sequence[str], *, targets: Sequence[Target] = TARGETS, grouping: str = GROUPING) -> list[Form]:
    """Forms of every target at every width, targets outermost; a width is a number or a scheme.

    A scheme of weights, such as "nf4 group=64", stands for its format alone where activations are meant, which have
    one scale. ValueError as `Form.parse`.

    >>> [str(form) for form in cross_forms(["8", "1"])]
    ['W8', 'W1', 'A8', 'A1', 'W8A8', 'W1A1']
    """
    forms = []
    for target in targets:
        for width in widths:
            weights = f"W{_write(width)}" if target != "activations" else ""
            activations = f"A{_write(width, is_format=True)}" if target != "weights" else ""
            forms.append(Form.parse(weights + activations, grouping=grouping))
    return forms


def _write(width: str, *, is_format: bool = False) -> str:
    if re.fullmatch(r"\d{1,3}", width.strip()):
        return width.strip()
    scheme = Scheme.parse(width)
    return f"({scheme.format if is_format else scheme})"
