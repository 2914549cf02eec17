"""Which schemes does a sweep of lists take? The cross product of formats, groupings, symmetries and range rules; and
the default.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any

from qanalysis.quantizers.families import integer_format
from qanalysis.quantizers.grouping import Grouping, parse_grouping
from qanalysis.quantizers.number_format import NumberFormat
from qanalysis.quantizers.ranges import RangeRule
from qanalysis.quantizers.scheme import MINMAX, WHOLE_TENSOR, Scheme
from qanalysis.quantizers.symmetries import SYMMETRIES, Symmetry


def cross_schemes(
    formats: Iterable[NumberFormat],
    *,
    groupings: Sequence[Grouping] = (WHOLE_TENSOR,),
    symmetries: Sequence[Symmetry] = (SYMMETRIES["sym"],),
    ranges: Sequence[RangeRule] = (MINMAX,),
    keep_usual_groups: bool = False,
) -> list[Scheme]:
    """Every combination: grouping outermost, then symmetry, then range, formats innermost.

    What a format fixes is not varied: it takes part with the first of those words alone, and without a range rule that
    it can not take, unless there is no other (ValueError). With `keep_usual_groups` the same holds of the groups that a
    format's tools take where none are asked for.

    >>> from qanalysis.quantizers.formats import FORMATS
    >>> made = cross_schemes([FORMATS["int4"], FORMATS["mxfp4"]], groupings=[Grouping(), Grouping(1, 64)])
    >>> [str(scheme) for scheme in made]
    ['int4', 'mxfp4', 'int4 group=64']
    """
    schemes = []
    places = (enumerate(groupings), enumerate(symmetries), enumerate(ranges))
    for (g, grouping), (s, symmetry), (r, rule), fmt in product(*places, list(formats)):
        words: dict[str, tuple[int, Any]] = {"grouping": (g, grouping), "symmetry": (s, symmetry), "range": (r, rule)}
        fixed = fmt.fixed | ({"grouping"} if keep_usual_groups and fmt.usual_group else frozenset())
        if "range" not in fixed and len(ranges) > 1 and not fmt.takes(rule):
            continue
        if all(words[part][0] == 0 for part in words if part in fixed):
            free = {part: word for part, (_place, word) in words.items() if part not in fixed}
            schemes.append(Scheme(fmt, **free))
    return schemes


def default_schemes() -> list[Scheme]:
    """The 28 schemes of a sweep without wishes: int2..int8 x tensor, channel, group=128, group=32.

    >>> len(default_schemes()), str(default_schemes()[-1])
    (28, 'int8 group=32')
    """
    groupings = [parse_grouping(text) for text in ("tensor", "channel", "group=128", "group=32")]
    return cross_schemes(map(integer_format, range(2, 9)), groupings=groupings)
