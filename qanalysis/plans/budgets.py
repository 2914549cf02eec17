"""How much may a plan take, how little may it lose? One budget of one kind, from a number or a text with its unit."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from qanalysis.notation import quote

BudgetKind = Literal["budget_bpw", "budget_bytes", "fit_gib", "min_sqnr_db", "max_loss"]
#: No number type of a file has more bits.
MOST_BITS = 64
#: Hardly a file of weights has fewer bytes; a number below it may be meant as bits per weight.
LEAST_BYTES = 65
GIB = 1 << 30
_SIZE = re.compile(r"([0-9][0-9_,]*\.?[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+)\s*([A-Za-z]*)")
_UNITS: dict[str, int] = {
    "": 1, "b": 1, "byte": 1, "bytes": 1,
    **{f"{prefix}{ending}": 1000**power for power, prefix in enumerate("kmgt", 1) for ending in ("", "b")},
    **{f"{prefix}i{ending}": 1024**power for power, prefix in enumerate("kmgt", 1) for ending in ("", "b")},
}  # fmt: skip
_OPTIONS: dict[BudgetKind, str] = {
    "budget_bpw": "--budget-bpw",
    "budget_bytes": "--budget-bytes",
    "fit_gib": "--fit-gib",
    "min_sqnr_db": "--min-sqnr",
    "max_loss": "--max-loss",
}


@dataclass(frozen=True, slots=True)
class Budget:
    """One limit of a kind: `budget_bpw` bits per weight, `budget_bytes` and `fit_gib` bytes of all that is stored,
    `min_sqnr_db` the least pooled SQNR in dB, `max_loss` the greatest sum of the objective.
    """

    kind: BudgetKind
    amount: float

    @property
    def option(self) -> str:
        """How it is asked for in a shell."""
        return _OPTIONS[self.kind]

    @property
    def is_quality(self) -> bool:
        """Whether it bounds what is lost, so that the plan is made as small as that allows."""
        return self.kind in ("min_sqnr_db", "max_loss")

    @property
    def is_bytes(self) -> bool:
        """Whether it bounds what is stored."""
        return self.kind in ("budget_bytes", "fit_gib")


def choose_budget(
    *,
    budget_bpw: float | None = None,
    budget_bytes: float | str | None = None,
    fit_gib: float | None = None,
    min_sqnr_db: float | None = None,
    max_loss: float | None = None,
    pools: bool = False,
) -> Budget | None:
    """The one budget that is given; None where none is and pools have theirs.

    Raises ValueError for none, for several, and for an amount that is not one of its unit.
    """
    given: dict[BudgetKind, float | str | None] = {
        "budget_bpw": budget_bpw,
        "budget_bytes": budget_bytes,
        "fit_gib": fit_gib,
        "min_sqnr_db": min_sqnr_db,
        "max_loss": max_loss,
    }
    asked = [kind for kind, amount in given.items() if amount is not None]
    if not asked and pools:
        return None
    if not asked:
        raise ValueError(
            f"a plan needs a budget: give one of {', '.join(_OPTIONS.values())}, or --pool with bytes of its own"
        )
    if len(asked) > 1:
        raise ValueError(
            f"{' and '.join(f'{_OPTIONS[kind]} {given[kind]}' for kind in asked)}: a plan has one budget; "
            "give one of them"
        )
    kind = asked[0]
    amount = given[kind]
    return _READERS.get(kind, _read_any)(kind, amount)


def _read_bits(kind: BudgetKind, amount: float | str | None) -> Budget:
    bits = _read_number(kind, amount, "bits per weight, such as 4.5")
    if bits > MOST_BITS:
        raise ValueError(
            f"--budget-bpw {bits:g}: no number has more than {MOST_BITS} bits per weight; "
            f"did you mean --budget-bytes {bits:.0f}?"
        )
    return Budget(kind, bits)


def _read_bytes(kind: BudgetKind, amount: float | str | None) -> Budget:
    is_bare = not isinstance(amount, str) or not re.search(r"[A-Za-z]+\s*$", amount)
    size = parse_bytes(amount) if isinstance(amount, str) else _read_number(kind, amount, "bytes, such as 4GiB")
    if not math.isfinite(size) or size <= 0:
        raise ValueError(f"--budget-bytes {quote(amount)}: a budget is above zero; give bytes, such as 4GiB or 8e8")
    if size < LEAST_BYTES and is_bare and not float(size).is_integer():
        raise ValueError(
            f"--budget-bytes {size:g}: no plan takes so few bytes; did you mean --budget-bpw {size:g}, "
            f"or --budget-bytes {size:g}GiB?"
        )
    return Budget(kind, math.floor(size))


def _read_fit(kind: BudgetKind, amount: float | str | None) -> Budget:
    gib = _read_number(kind, amount, "GiB, such as 24")
    if gib >= 1 << 20:
        raise ValueError(f"--fit-gib {gib:g}: is above a PiB; did you mean --budget-bytes {gib:.0f}?")
    return Budget(kind, gib)


def _read_any(kind: BudgetKind, amount: float | str | None) -> Budget:
    """What may be negative too: a loss may fall, an SQNR below 0 dB is a bad one."""
    number = _read_plain(kind, amount, "dB, such as 30" if kind == "min_sqnr_db" else "the sum of the objective")
    return Budget(kind, number)


_READERS = {"budget_bpw": _read_bits, "budget_bytes": _read_bytes, "fit_gib": _read_fit}


def _read_number(kind: BudgetKind, amount: float | str | None, unit: str) -> float:
    number = _read_plain(kind, amount, unit)
    if number <= 0:
        raise ValueError(f"{_OPTIONS[kind]} {number:g}: a budget is above zero; give {unit}")
    return number


def _read_plain(kind: BudgetKind, amount: float | str | None, unit: str) -> float:
    if isinstance(amount, bool) or not isinstance(amount, int | float) or not math.isfinite(amount):
        raise ValueError(f"{_OPTIONS[kind]} {quote(amount)}: must be a finite number of {unit}")
    return float(amount)


def parse_bytes(text: str, option: str = "--budget-bytes") -> float:
    """Bytes as people type them: a number, or one with a decimal (MB) or binary unit (GiB), whatever their case.

    Raises ValueError for what is no number or has another unit.

    >>> parse_bytes("4GiB"), parse_bytes("800MB"), parse_bytes("1.5e9"), parse_bytes("1,024 kib")
    (4294967296.0, 800000000.0, 1500000000.0, 1048576.0)
    """
    match = _SIZE.fullmatch(text.strip())
    factor = _UNITS.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise ValueError(f"{option} {quote(text)}: is no number of bytes; write it as 4GiB, 800MB, 1.5e9 or 800000000")
    number = float(match[1].replace("_", "").replace(",", ""))
    return number * factor
