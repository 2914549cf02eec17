"""Which numbers can a code stand for? A number format as a value, composed of its element (the numbers of one code),
the length of its blocks, the types of its scales, and the rule that lays them.

Sizes, what a scheme can not choose, and whose values these are follow.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field

from qanalysis.quantizers.coders import Coder
from qanalysis.quantizers.grids import Grid
from qanalysis.quantizers.grouping import Grouping
from qanalysis.quantizers.laying import Laying
from qanalysis.quantizers.ranges import RangeRule
from qanalysis.quantizers.rounding import Rounding
from qanalysis.quantizers.scales import STORED_FLOATS, ScaleType
from qanalysis.quantizers.statistics import Range, Statistic
from qanalysis.quantizers.symmetries import SYMMETRIES, Symmetry

#: Widest integers that tools were compared with, bit for bit.
MOST_CHECKED_BITS = 8


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """A format: its text form, its element, and what is known of it. Two formats of one name are equal.

    `laying` is the rule that makes its scales, None where the scheme's symmetry does (integers). `block` is a fixed
    group length along the row, `usual_group` one that its tools take where nothing is asked for; `scales` are the types
    that scales may be stored in, the default first; `outer` is the type of one more scale over the whole tensor;
    `rounding` is one that the format fixes. `block_bits` hold all codes of a block where not every code has its own
    bits. `packs` is the format of free groups with the same numbers; `wider` and `other` name formats to try instead,
    with more bits and with other levels. `formula` says in words how scales are made, `peer` whose values these are,
    bit for bit; `find_peer` knows under which conventions. `ragged` says which tools refuse a row that the groups do
    not divide, and which take it.
    """

    name: str
    _: KW_ONLY
    element: Coder = field(compare=False)
    laying: Laying | None = field(default=None, compare=False)
    block: int | None = field(default=None, compare=False)
    usual_group: int | None = field(default=None, compare=False)
    scales: tuple[ScaleType, ...] = field(default=STORED_FLOATS, compare=False)
    outer: ScaleType | None = field(default=None, compare=False)
    rounding: Rounding | None = field(default=None, compare=False)
    block_bits: int | None = field(default=None, compare=False)
    packs: NumberFormat | None = field(default=None, compare=False)
    wider: str = field(default="", compare=False)
    other: str = field(default="", compare=False)
    formula: str = field(default="", compare=False)
    peer: str = field(default="", compare=False)
    ragged: str = field(default="", compare=False)

    def __str__(self) -> str:
        return self.name

    @property
    def bits(self) -> int:
        """Bits of one code."""
        return self.element.bits

    @property
    def largest_code(self) -> int:
        """The largest number as a code: q = 2^(bits-1) - 1 of integers."""
        return int(self.element.high)

    @property
    def is_integer(self) -> bool:
        """Whether its codes are integers of free convention, laid as the scheme says."""
        return self.laying is None

    @property
    def has_equal_steps(self) -> bool:
        """Whether neighbouring numbers stand at equal distances."""
        return self.element.is_uniform

    @property
    def is_scaled(self) -> bool:
        """Whether its groups have scales at all."""
        return self.scales[0].bits > 0

    @property
    def statistic(self) -> type[Statistic]:
        """What must be known of a group: `Range` where the scheme's range rule finds it."""
        return Range if self.laying is None else self.laying.statistic

    @property
    def fixed(self) -> frozenset[str]:
        """The parts of a scheme that can not be chosen, by their names in `Scheme`."""
        has_own_groups = self.block is not None or not self.is_scaled
        found = {
            "symmetry": not self.is_integer,
            "grouping": has_own_groups,
            "range": has_own_groups or self.statistic is not Range,
            "scale": len(self.scales) == 1,
            "rounding": self.rounding is not None or bool(self.element.own_rounding),
        }
        return frozenset(part for part, is_fixed in found.items() if is_fixed)

    @property
    def own_grouping(self) -> Grouping:
        """The groups where none are asked for: its blocks, its tools' usual groups, else the whole tensor."""
        length = self.block or self.usual_group
        return Grouping(1, length) if length else Grouping()

    @property
    def symmetry(self) -> Symmetry:
        """The symmetry of a scheme that names none."""
        return SYMMETRIES["asym" if self.laying is not None and self.laying.offset else "sym"]

    @property
    def twin(self) -> NumberFormat | None:
        """The format of free groups whose elements these are, number by number and code by code."""
        return self.packs if self.packs is not None and self.packs.element == self.element else None

    def takes(self, rule: RangeRule) -> bool:
        """Whether a range rule can be used with these numbers."""
        return self.has_equal_steps or not rule.needs_equal_steps

    def find_coder(self, symmetry: Symmetry) -> Coder:
        """The numbers that grids use under a symmetry: not all codes of an integer serve every convention."""
        return symmetry.find_coder(self.largest_code) if self.is_integer else self.element

    def lay_grid(self, found: Statistic, symmetry: Symmetry, scale: ScaleType) -> Grid:
        """The grids over the statistics of all groups, under the conventions of a scheme."""
        if self.laying is not None:
            return self.laying.lay(self.element, found, scale)
        if not isinstance(found, Range):
            raise TypeError(f"{self} is laid over ranges, and {type(found).__name__} is none")
        return symmetry.lay_grid(found, self.largest_code, scale=scale)

    def stored_bits(self, symmetry: Symmetry) -> tuple[int, int]:
        """Bits per value, and bits per group beside its scale: a zero point of the code's width, a low end, codes that
        are packed together.
        """
        if self.laying is None:
            return self.bits, 0 if symmetry.signed else self.bits
        offset_bits = self.laying.offset.bits if self.laying.offset else 0
        return (self.bits, offset_bits) if self.block_bits is None else (0, self.block_bits + offset_bits)

    def find_peer(self, symmetry: Symmetry, scale: ScaleType) -> str:
        """Whose values these are under range=minmax and the default rounding; empty where no tool was checked."""
        if self.laying is None:
            return symmetry.peers if scale.is_exact and self.bits <= MOST_CHECKED_BITS else ""
        return self.peer if scale == self.scales[0] or scale not in STORED_FLOATS else ""
