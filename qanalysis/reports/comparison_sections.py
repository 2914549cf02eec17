"""What is told of a comparison? What both have, how far apart it is, then who kept what, and what only one has."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from qanalysis.comparisons.kept import Kept, Share, sum_kept, total_kept
from qanalysis.comparisons.row import STATUS_WORDS, ComparisonRow
from qanalysis.notation import NOTHING, decibels, plain, shorten, size
from qanalysis.reports.common_sections import define_columns, list_limits, list_missed, name_missed, tell_coverage
from qanalysis.reports.outline import Facts, Grid, Outline, Prose, Section
from qanalysis.reports.summary import list_notes
from qanalysis.results.table import Table

WORST_SHOWN = 20
_LISTED, _LONGEST = 40, 80
_CONVENTION = "e = b − a: errors are those of B's values against A's, over what is finite in both."
_STRUCTURE_ONLY = "structure_only"


def outline_comparison(table: Table[ComparisonRow], *, title: str | None = None) -> Outline:
    """The answer first: how much of A is in B, the pooled SQNR and the worst tensor; then ranks, structure, formats."""
    rows = list(table)
    names = tuple(str(table.settings.get(side, side.upper())) for side in ("a", "b"))
    answer = tell_answer(table, rows)
    partial = "Partial: it was cancelled. Rows without figures were not reached."
    meanings = Facts([(str(word), meaning) for word, meaning in STATUS_WORDS.items()])
    return Outline(
        title=title or f"{shorten(names[1], _LONGEST)} against {shorten(names[0], _LONGEST)}",
        headline=answer,
        under=[_CONVENTION, *list_notes(table.coverage)],
        warnings=[*([] if table.complete else [partial]), *(f"{name_missed(one)}." for one in list_missed(table))],
        tiles=_list_tiles(table, rows),
        opening=[f"A {shorten(names[0], _LONGEST)}, B {shorten(names[1], _LONGEST)}", answer],
        closing=[_CONVENTION, *list_notes(table.coverage)],
        lead=[
            *list_limits(table),
            *_rank(rows),
            *_list_apart(rows, read=not table.settings.get(_STRUCTURE_ONLY)),
            *_list_kept(rows),
        ],
        rest=[
            *_list_ways(rows),
            *tell_coverage(table),
            define_columns(table.columns, more=[Prose("Status words", strong=True), meanings]),
        ],
    )


def tell_answer(table: Table[ComparisonRow], rows: Sequence[ComparisonRow]) -> str:
    """How much was matched, how far apart it is, and what differs most, in one sentence.

    "338 of 340 tensors matched, 2 only in A; 21.40 dB pooled; worst: blk.0.attn_k.weight, 12.10 dB"
    """
    apart = [row for row in rows if is_beside(row)]
    counts = Counter[str](row.status for row in rows if row.status != "tied")
    counts.subtract(row.status for row in apart)
    both = sum(counts.values()) - counts["only-a"] - counts["only-b"]
    parts = [f"{both:,} of {sum(counts.values()):,} tensors matched"]
    words = {"only-a": "only in A", "only-b": "only in B", "shape": "of other shapes", "dtype": "without real numbers"}
    parts += [f"{counts[status]:,} {word}" for status, word in words.items() if counts[status]]
    lacking = 0 if table.settings.get(_STRUCTURE_ONLY) else sum(map(_lacks_figures, rows))
    parts += [f"{lacking:,} without figures"] if lacking else []
    parts += [f"{_tell_beside(apart)} aside"] if apart else []
    told = [", ".join(parts)]
    measured = _list_ranked(rows)
    if table.settings.get(_STRUCTURE_ONLY):
        told.append("structure alone, no value was read")
    elif not measured:
        told.append("no tensor could be compared")
    elif all(row.max_abs_error == 0 for row in measured):
        told.append(f"every value of the {len(measured):,} compared is the same")
    else:
        pooled = find_pooled(table)
        told += [] if pooled is None else [f"{decibels(pooled)} pooled over {_tell_pool(table)}"]
        told.append(f"worst: {_tell_worst(measured[0])}")
    broken = (table.more.get("pooled") or {}).get("non_finite", 0)
    told += [f"{broken:,} with values that are not finite in one of the two alone"] if broken else []
    return f"{'; '.join(told)}."


def is_beside(row: ComparisonRow) -> bool:
    """Whether a tensor that was not compared is none of the model's own: a scale of a quantizer that one of the two
    needs, or a constant of a graph, such as a shape.
    """
    return (row.role == "scale" and row.status in ("only-a", "only-b")) or (
        row.role == "constant" and row.status in ("only-a", "only-b", "dtype")
    )


def _tell_beside(rows: Sequence[ComparisonRow]) -> str:
    words = {"scale": ("scale of quantizers", "scales of quantizers"), "constant": ("constant", "constants")}
    counts = Counter(row.role for row in rows)
    return " and ".join(f"{number:,} {words[role][number > 1]}" for role, number in sorted(counts.items()))


def _tell_pool(table: Table[ComparisonRow]) -> str:
    """What the pooled figure is over, and how many tensors stay out of it, most because nothing in them differs."""
    told = table.more["pooled"]
    count, same = told.get("pooled", told["tensors"]), told.get("same", 0)
    others = told["tensors"] - same - count
    word = "weight" if told.get("over") == "weights" else "tensor"
    parts = [f"{count:,} {word}s that differ" if count != 1 else f"the one {word} that differs"]
    parts += [f"{others:,} other{'s' * (others > 1)} differ{'s' * (others == 1)}"] if others > 0 else []
    parts += [f"{same:,} {'are' if same > 1 else 'is'} the same value by value"] if same else []
    return ", ".join(parts)


def _tell_worst(row: ComparisonRow) -> str:
    remark = row.reason.partition("; ")[0] if "Gaussian" in row.reason else ""
    return f"{shorten(row.tensor_a, _LONGEST)}, {decibels(row.sqnr_db)}{f', {remark}' if remark else ''}"


def find_pooled(table: Table[ComparisonRow]) -> float | None:
    """The SQNR over all that was compared; None where nothing was, or every value is the same."""
    pooled = table.more.get("pooled")
    found = pooled.get("sqnr_db") if isinstance(pooled, dict) else None
    return float(found) if isinstance(found, int | float) else None


def _lacks_figures(row: ComparisonRow) -> bool:
    """Whether values were read and no figure can be told, for another reason than that there are none."""
    return row.status == "ok" and row.sqnr_db is None and bool(row.reason) and "0" not in row.shape_a.split("x")


def _list_ranked(rows: Sequence[ComparisonRow]) -> list[ComparisonRow]:
    """What was compared, the largest error beside its signal first."""
    known = [row for row in rows if row.status == "ok" and row.sqnr_db is not None]
    return sorted(known, key=lambda row: math.inf if row.sqnr_db is None else row.sqnr_db)


def _list_tiles(table: Table[ComparisonRow], rows: Sequence[ComparisonRow]) -> list[tuple[str, str, str]]:
    a, b = total_kept(rows)
    tiles = [
        ("Size of A", size(a.size_bytes), _tell_bits(a)),
        ("Size of B", size(b.size_bytes), _tell_bits(b)),
    ]
    pooled = find_pooled(table)
    return tiles if pooled is None else [("Pooled SQNR", decibels(pooled), "B against A"), *tiles]


def _tell_bits(share: Share) -> str:
    return "" if share.bits is None else f"{share.bits:.4g} bits per weight"


def _rank(rows: Sequence[ComparisonRow]) -> list[Section]:
    """The tensors that differ most, beside what theory predicts; those that are the same are counted."""
    ranked = [row for row in _list_ranked(rows) if row.max_abs_error]
    if not ranked:
        return []
    renamed = any(row.tensor_a != row.tensor_b for row in ranked)
    lines = [
        (
            shorten(row.tensor_a, _LONGEST),
            *([shorten(row.tensor_b, _LONGEST)] if renamed else []),
            row.stored_b or row.dtype_b,
            shorten(row.reason, 160) or NOTHING,
            decibels(row.sqnr_db),
            decibels(row.theory_sqnr_db),
            plain(row.max_abs_error or 0.0),
        )
        for row in ranked[:WORST_SHOWN]
    ]
    heads = ("A", *(["B"] if renamed else []), "stored in B", "what to know", "SQNR", "predicted", "largest error")
    grid = Grid(heads, lines, text_columns=len(heads) - 3, names=frozenset(range(2 if renamed else 1)))
    more = f"The worst {len(lines)} of {len(ranked):,}; those that are the same stand in the file of --out."
    return [Section("worst", "Tensors that differ most", [grid], more, printed=True)]


def _list_apart(rows: Sequence[ComparisonRow], *, read: bool) -> list[Section]:
    """What could not be compared, and other names; with `read`, what was read and has no figures."""
    apart = sorted(
        (row for row in rows if row.status != "ok" or (read and _lacks_figures(row))),
        key=is_beside,
    )
    if not apart:
        return []
    lines = [
        (
            row.status,
            shorten(row.tensor_a, _LONGEST) or NOTHING,
            shorten(row.tensor_b, _LONGEST) or NOTHING,
            row.shape_a or NOTHING,
            row.shape_b or NOTHING,
            shorten(row.reason, 160) or NOTHING,
        )
        for row in apart[:_LISTED]
    ]
    more = f"{_LISTED} of {len(apart):,}; the file of --out holds all." if len(apart) > _LISTED else ""
    grid = Grid(("status", "A", "B", "shape", "shape", "what to know"), lines, text_columns=6, names=frozenset({1, 2}))
    return [Section("structure", "Not compared, and other names", [grid], more, printed=True)]


def _list_kept(rows: Sequence[ComparisonRow]) -> list[Section]:
    """Bytes and bits of each kind of tensor in both, largest first."""
    kinds = sorted(sum_kept(rows), key=lambda kept: -(kept.a.size_bytes + kept.b.size_bytes))
    lines = [_describe_kept(kept) for kept in kinds[:_LISTED]]
    heads = ("kind", "role", "A as", "B as", "tensors", "size A", "size B", "bits A", "bits B")
    grid = Grid(heads, lines, text_columns=4, names=frozenset({0}))
    return [Section("kept", "Who kept what", [grid], printed=True)]


def _describe_kept(kept: Kept) -> tuple[str, ...]:
    bits = [NOTHING if share.bits is None else f"{share.bits:.4g}" for share in (kept.a, kept.b)]
    sizes = [size(share.size_bytes) if share.tensors else NOTHING for share in (kept.a, kept.b)]
    words = [shorten(share.words, _LONGEST) if share.tensors else NOTHING for share in (kept.a, kept.b)]
    tensors = max(kept.a.tensors, kept.b.tensors)
    return shorten(kept.word, _LONGEST), kept.role, *words, f"{tensors:,}", *sizes, *bits


def _list_ways(rows: Sequence[ComparisonRow]) -> list[Section]:
    """How names found each other."""
    ways = Counter(row.matched_by for row in rows if row.matched_by)
    lines = [(way, f"{tensors:,}") for way, tensors in ways.most_common()]
    return [Section("ways", "How names found each other", [Grid(("matched by", "tensors"), lines)])] if lines else []
