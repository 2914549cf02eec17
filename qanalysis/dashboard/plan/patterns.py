"""Which expressions name the layers of one scheme, to be pasted into a tool's include or exclude list?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_NUMBER = re.compile(r"\d+")


def write_patterns(assignments: Mapping[str, str]) -> dict[str, str]:
    r"""One expression for each scheme, in the order of the plan: it matches the whole names of its tensors and no other
    one.

    >>> write_patterns({"layers.0.q": "int4", "layers.1.q": "int4", "head": "int8"})
    {'int4': '^layers\\.(?:0|1)\\.q$', 'int8': '^head$'}
    """
    names = dict[str, list[str]]()
    for tensor, scheme in assignments.items():
        names.setdefault(scheme, []).append(tensor)
    return {scheme: name_all(own) for scheme, own in names.items()}


def name_all(names: Sequence[str]) -> str:
    """An expression for exactly these names: those that differ in one number alone share a branch."""
    branches = dict[tuple[str, ...], list[str]]()
    for name in names:
        number = _NUMBER.search(name)
        key = (name[: number.start()], name[number.end() :]) if number else (name,)
        branches.setdefault(key, []).append(number.group() if number else "")
    written = [_write_branch(key, numbers) for key, numbers in branches.items()]
    return f"^{written[0]}$" if len(written) == 1 else f"^(?:{'|'.join(written)})$"


def _write_branch(key: tuple[str, ...], numbers: Sequence[str]) -> str:
    if len(key) == 1:
        return re.escape(key[0])
    before, after = map(re.escape, key)
    among = numbers[0] if len(numbers) == 1 else f"(?:{'|'.join(numbers)})"
    return f"{before}{among}{after}"
