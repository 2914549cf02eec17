"""Which figures of two models stand in tables from which one chooses? A row per tensor, a row per kind of tensor."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from qanalysis.charts.linked.table import ShownColumn, TablePanel
from qanalysis.charts.sweep_tables import write_figure
from qanalysis.charts.wording import label_layers
from qanalysis.comparisons.kept import Kept, Share
from qanalysis.comparisons.row import ComparisonRow
from qanalysis.notation import NOTHING, shorten, size
from qanalysis.results.columns import columns_of

_COLUMNS = {column.name: column for column in columns_of(ComparisonRow)}
_LONGEST = 90
_MISSED = "Conditions of the gate that the row does not keep."


def name_pairs(rows: Sequence[ComparisonRow]) -> list[str]:
    """What tells each row from the others: its name in A, else in B, and both where one is not enough.

    >>> name_pairs([ComparisonRow(tensor_a="qkv", tensor_b="q"), ComparisonRow(tensor_a="qkv", tensor_b="k")])
    ['qkv = q', 'qkv = k']
    """
    first = [row.tensor_a or row.tensor_b for row in rows]
    counts = Counter(first)
    return [
        name if counts[name] == 1 else f"{row.tensor_a or NOTHING} = {row.tensor_b or NOTHING}"
        for name, row in zip(first, rows, strict=True)
    ]


def rank_pairs(rows: Sequence[ComparisonRow]) -> list[int]:
    """The places of the rows: figures first, the worst SQNR in front, those that are the same behind, then what has no
    figures in the order of the rows.
    """
    return sorted(range(len(rows)), key=lambda place: _rank(rows[place]))


def _rank(row: ComparisonRow) -> tuple[int, float]:
    if row.status != "ok":
        return 2 + (row.status == "tied"), 0.0
    return (1, 0.0) if row.sqnr_db is None else (0, row.sqnr_db)


def tabulate_pairs(
    rows: Sequence[ComparisonRow], names: Sequence[str], *, missed: Sequence[str] = (), height: int | None = None
) -> TablePanel:
    """One line per row, in their order; a row to be chosen by its name. `missed` are words of the gate, one per row."""
    labels = label_layers(list(names), 40) if names else {}
    measured = any(row.sqnr_db is not None for row in rows)
    predicted = any(row.theory_sqnr_db is not None for row in rows)
    figures = (*(["sqnr_db"] if measured else []), *(["theory_sqnr_db"] if predicted else []))
    renamed = any(row.tensor_a != row.tensor_b for row in rows)
    columns = [
        _list_words("tensor_a", [labels[name] for name in names], heading="Tensor"),
        *([mark_missed(missed)] if any(missed) else []),
        *(_list_figures(rows, name) for name in figures),
        _list_words("status", [row.status for row in rows]),
        _list_words("reason", [shorten(row.reason, _LONGEST) for row in rows], heading="What to know"),
        *([_list_words("tensor_b", [shorten(row.tensor_b, 60) for row in rows])] if renamed else []),
        _list_words("stored_a", [row.stored_a or row.dtype_a for row in rows]),
        _list_words("stored_b", [row.stored_b or row.dtype_b for row in rows]),
        _list_figures(rows, "size_bytes_a"),
        _list_figures(rows, "size_bytes_b"),
        *(_list_figures(rows, name) for name in ("relative_l2", "max_abs_error", "cosine") if measured),
        _list_words("role", [row.role for row in rows]),
        _list_words("shape_a", [row.shape_a.replace("x", "×") for row in rows]),
        _list_words("shape_b", [row.shape_b.replace("x", "×") for row in rows]),
        _list_words("matched_by", [row.matched_by for row in rows]),
    ]
    return TablePanel("rows", "Tensors of A and B, the worst first", columns, list(names), height=height)


def mark_missed(missed: Sequence[str]) -> ShownColumn:
    """What the gate says of each row; "" for one that keeps all."""
    return ShownColumn("gate", "Gate", [f"✗ {words}" if words else "" for words in missed], note=_MISSED)


def _list_figures(rows: Sequence[ComparisonRow], name: str) -> ShownColumn:
    column = _COLUMNS[name]
    values: list[Any] = [getattr(row, name) for row in rows]
    heading = column.label if column.unit == "B" else column.heading
    return ShownColumn(name, heading, [write_figure(column, value) for value in values], values, column.meaning)


def _list_words(name: str, words: Sequence[str], *, heading: str = "") -> ShownColumn:
    column = _COLUMNS[name]
    return ShownColumn(name, heading or column.label, words, note=column.meaning)


def tabulate_kept(kinds: Sequence[Kept], *, height: int | None = None) -> TablePanel:
    """Who kept what: bytes, bits per value and formats of each kind of tensor in A and in B, the largest first."""
    ordered = sorted(kinds, key=lambda kept: -(kept.a.size_bytes + kept.b.size_bytes))
    columns = [
        ShownColumn("kind", "Kind", [kept.word for kept in ordered], note="the last word of the names"),
        ShownColumn("role", "Role", [kept.role for kept in ordered]),
        *_list_shares("a", [kept.a for kept in ordered]),
        *_list_shares("b", [kept.b for kept in ordered]),
        _list_ratios(ordered),
    ]
    rows = [f"{kept.role} {kept.word}" for kept in ordered]
    return TablePanel("kept", "Who kept what", columns, rows, pick=False, height=height)


def _list_shares(side: str, shares: Sequence[Share]) -> list[ShownColumn]:
    word = side.upper()
    known = [share if share.tensors else None for share in shares]
    bits = [None if share is None else share.bits for share in known]
    sizes = [None if share is None else float(share.size_bytes) for share in known]
    return [
        ShownColumn(f"formats_{side}", f"{word} as", [share.words if share else NOTHING for share in known]),
        ShownColumn(
            f"tensors_{side}", f"Tensors in {word}", [str(share.tensors) for share in shares],
            [float(share.tensors) for share in shares],
        ),
        ShownColumn(
            f"size_bytes_{side}", f"Size in {word}",
            [NOTHING if value is None else size(int(value)) for value in sizes], sizes,
        ),
        ShownColumn(
            f"bits_{side}", f"Bits in {word}", [NOTHING if value is None else f"{value:.4g}" for value in bits], bits,
            "bits per value, scales counted",
        ),
    ]  # fmt: skip


def _list_ratios(kinds: Sequence[Kept]) -> ShownColumn:
    values = [
        kept.b.size_bytes / kept.a.size_bytes if kept.a.size_bytes and kept.b.tensors else math.nan for kept in kinds
    ]
    texts = [NOTHING if math.isnan(value) else f"{value:.3f}" for value in values]
    return ShownColumn("ratio", "B / A", texts, values, "bytes of B over bytes of A")
