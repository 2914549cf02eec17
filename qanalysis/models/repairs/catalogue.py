"""Which repairs are there? One line each, by name; several go together, one stage after the other."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from types import MappingProxyType

from qanalysis.models.repairs.adaround import ADAROUND
from qanalysis.models.repairs.bias import BIAS
from qanalysis.models.repairs.equalise import EQUALISE
from qanalysis.models.repairs.gptq import GPTQ, GPTQ_BY_ACTIVITY
from qanalysis.models.repairs.repair import Repair
from qanalysis.models.repairs.smoothquant import SMOOTHQUANT, SMOOTHQUANT_BEST
from qanalysis.notation import quote

#: Rounding to the nearest level, which every repair is held against.
NEAREST = Repair("nearest", "rounds every weight to the nearest level")
_ALL = (BIAS, EQUALISE, ADAROUND, GPTQ, GPTQ_BY_ACTIVITY, SMOOTHQUANT, SMOOTHQUANT_BEST)
REPAIRS: Mapping[str, Repair] = MappingProxyType({one.name: one for one in _ALL})


def find_repair(text: str) -> Repair:
    """The repair of a name, or of several joined by "+"; ValueError for a name that is none, or two that do not go
    together.

    >>> find_repair("gptq+bias").name
    'gptq+bias'
    """
    names = text.split("+")
    wrong = next((name for name in names if name not in REPAIRS), None)
    if wrong is not None:
        raise ValueError(f"repair {quote(wrong)} is unknown; repairs are {', '.join(REPAIRS)}, or several joined by +")
    return reduce(Repair.then, (REPAIRS[name] for name in names))
