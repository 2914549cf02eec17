"""What do the parts of a plan's document tell? How sure it is, what a real run gave, what it was asked to keep.

Parts are read as a file has them: what is missing or of another form is left out, whatever else a file holds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qanalysis.charts.wording import count_of
from qanalysis.notation import NOTHING, decibels, percent, plain, shorten, size
from qanalysis.plans.plan import Plan
from qanalysis.reports.outline import Block, Bullets, Facts, Grid, Section

UNSTABLE_SHOWN = 20
_NAMES_SHOWN = 12
_WORDS = {
    "objective": "Objective",
    "pin": "Pins",
    "exclude": "Excluded",
    "tie": "Ties",
    "pool": "Pools",
    "pool_schemes": "Schemes of pools",
    "most_formats": "Most formats",
    "monotone": "Bits never fall with depth",
    "min_layer_sqnr_db": "Least SQNR of a tensor, dB",
    "active_experts": "Active experts",
    "config": "Config",
    "context": "Context, tokens",
    "kv_dtype": "Keys and values as",
    "scores": "Scores",
}


def find_part(holder: Plan | Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A part by its name, empty where there is none of that form."""
    found = (holder.more if isinstance(holder, Plan) else holder).get(name)
    return found if isinstance(found, Mapping) else {}


def read_number(value: object) -> float | None:
    """A finite number, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def read_text(value: object) -> str:
    """A text, bounded; empty for anything else."""
    return shorten(value, 400) if isinstance(value, str) else ""


def list_warnings(table: Plan) -> list[str]:
    """What must be known before the plan is used."""
    told = [] if table.complete else ["Partial: the rows come from a run that was cancelled, and so does the plan."]
    told += [read_text(find_part(find_part(table, "certainty"), "interaction").get("warning"))]
    proof = find_part(table, "proof")
    if proof.get("proven") is False:
        told.append("The time limit came before the proof: this is the best plan found.")
    forward = find_part(proof, "forward")
    if forward.get("is_inside") is False:
        told.append("A real run of the plan lies outside what its sum predicts.")
    if read_text(forward.get("status")) not in ("", "ok"):
        told.append(f"A real run of the plan failed: {read_text(forward.get('reason'))}")
    return [one for one in told if one]


def tell_forward(table: Plan) -> list[Section]:
    """The model under the plan beside the float one, and what was predicted beside what was measured."""
    forward = find_part(find_part(table, "proof"), "forward")
    if not forward:
        return []
    lines = list(_compare_models(forward))
    blocks: list[Block] = [Grid(("figure", "float model", "under the plan"), lines)] if lines else []
    facts = list(_tell_prediction(forward))
    blocks += [Facts(facts)] if facts else []
    samples = read_number(forward.get("samples"))
    data = read_text(forward.get("calibration"))
    of = f", {samples:,.0f} samples of {data or 'the data'}" if samples is not None else ""
    note = f"All planned tensors quantized together{of}. Intervals hold 95 % of the figures of samples drawn anew."
    return [Section("forward", "A real run", blocks, note, printed=True)] if blocks else []


def _compare_models(forward: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    sqnr = read_number(forward.get("output_sqnr_db"))
    if sqnr is not None:
        yield "output SQNR", NOTHING, f"{decibels(sqnr)}{_tell_ends(forward, 'output_sqnr_db', decibels)}"
    kl = read_number(forward.get("output_kl"))
    if kl is not None:
        yield "output KL", NOTHING, f"{plain(kl)} nat{_tell_ends(forward, 'output_kl', plain)}"
    loss, own = read_number(forward.get("loss")), read_number(forward.get("float_loss"))
    if loss is not None:
        yield "loss", NOTHING if own is None else plain(own, digits=4), plain(loss, digits=4)
    right, own = read_number(forward.get("accuracy")), read_number(forward.get("float_accuracy"))
    if right is not None and 0 <= right <= 1:
        told = percent(own) if own is not None and 0 <= own <= 1 else NOTHING
        yield "accuracy", told, f"{percent(right)}{_tell_ends(forward, 'accuracy', _tell_share)}"


def _tell_share(value: float) -> str:
    return percent(min(max(value, 0.0), 1.0))


def _tell_ends(forward: Mapping[str, Any], name: str, tell: Any) -> str:
    low, high = (read_number(forward.get(f"{name}{end}")) for end in ("_low", "_high"))
    return "" if low is None or high is None else f" [{tell(low)}, {tell(high)}]"


def _tell_prediction(forward: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    predicted, measured = (read_number(forward.get(name)) for name in ("predicted", "measured"))
    ratio = read_number(forward.get("ratio"))
    if predicted is not None:
        yield "Predicted", f"{plain(predicted)} {read_text(forward.get('objective_column'))}{_tell_ends_of(forward)}"
    if measured is not None:
        times = "" if ratio is None else f", {ratio:.3g} times the sum"
        inside = {True: ", inside the predicted interval", False: ", outside the predicted interval"}
        is_inside = forward.get("is_inside")
        yield "Measured", f"{plain(measured)}{times}{inside.get(is_inside, '') if isinstance(is_inside, bool) else ''}"
    note = read_text(forward.get("note"))
    if note:
        yield "Note", note


def _tell_ends_of(part: Mapping[str, Any]) -> str:
    low, high = read_number(part.get("low")), read_number(part.get("high"))
    return "" if low is None or high is None else f" [{plain(low)}, {plain(high)}]"


def tell_certainty(table: Plan) -> list[Section]:
    """What resampled scores and joint runs say, what scores were imported, and the tensors that are least sure."""
    certainty = find_part(table, "certainty")
    if not certainty:
        return []
    blocks: list[Block] = [Facts(list(_list_facts(table, certainty)))]
    blocks += _list_unstable(table, certainty)
    return [Section("certainty", "How sure", blocks, printed=True)]


def _list_facts(table: Plan, certainty: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    objective = read_number(table.more.get("objective"))
    low, high = (read_number(certainty.get(f"objective{end}")) for end in ("_low", "_high"))
    if objective is not None and low is not None and high is not None:
        yield "Objective", f"{plain(objective)} [{plain(low)}, {plain(high)}] at 95 %"
    made, failed = read_number(certainty.get("resamples")), read_number(certainty.get("failed"))
    note = read_text(certainty.get("note"))
    if made:
        lost = f", {failed:.0f} of them without a plan within the limits" if failed else ""
        yield "Resampled", f"{made:.0f} plans{lost}: {note}"
    elif note:
        yield "Resampled", note
    interaction = find_part(certainty, "interaction")
    told = read_text(interaction.get("note"))
    low, high = (read_number(certainty.get(f"predicted{end}")) for end in ("_low", "_high"))
    if told:
        whole = "" if low is None or high is None else f"; together predicted {plain(low)} to {plain(high)}"
        yield "Interactions", f"{told}{whole if read_number(interaction.get('ratio')) is not None else ''}"
    yield from _list_scores(find_part(certainty, "scores"))


def _list_scores(scores: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    text = read_text(scores.get("text"))
    if text:
        yield "Scores", text
    notes = scores.get("notes")
    for one in notes if isinstance(notes, list) else []:
        if read_text(one):
            yield "Scores", read_text(one)


def _list_unstable(table: Plan, certainty: Mapping[str, Any]) -> list[Block]:
    """The tensors that resampled scores move, the least sure first."""
    kept = find_part(certainty, "kept")
    unsure = [row for row in table if row.stability is not None and row.stability < 1]
    if not unsure:
        return []
    unsure.sort(key=lambda row: row.stability or 0.0)
    lines = [(row.tensor, row.scheme, *_tell_counts(find_part(kept, row.tensor))) for row in unsure[:UNSTABLE_SHOWN]]
    heads = ("tensor", "scheme", "other plans give it", "keep the scheme", "keep the bits")
    return [Grid(heads, lines, text_columns=3, names=frozenset({0, 1, 2}))]


def _tell_counts(kept: Mapping[str, Any]) -> tuple[str, str, str]:
    """Which schemes resampled plans give, and how many keep the scheme and the bits."""
    of = read_number(kept.get("of"))
    counts = find_part(kept, "counts")
    known = [(str(name), number) for name, value in counts.items() if (number := read_number(value)) is not None]
    others = ", ".join(f"{shorten(name, 40)} ({number:.0f})" for name, number in known[:3])
    shares = [read_number(kept.get(name)) for name in ("scheme", "bits")]
    told = [NOTHING if one is None or of is None else f"{one:.0f} of {of:.0f}" for one in shares]
    return others or NOTHING, told[0], told[1]


def tell_constraints(table: Plan) -> list[Section]:
    """What the plan was asked to keep, pools with what they hold, groups with their schemes."""
    asked = find_part(table, "constraints")
    facts = [(word, _spell(asked[name])) for name, word in _WORDS.items() if asked.get(name) not in (None, "", [])]
    facts += _list_parts(find_part(asked, "parts"))
    blocks: list[Block] = [Facts(facts)] if facts else []
    blocks += _list_pools(asked.get("pools")) + _list_groups(asked.get("groups"))
    return [Section("constraints", "What it keeps", blocks)] if blocks else []


def _spell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        shown = ", ".join(shorten(str(one), 80) for one in value[:_NAMES_SHOWN])
        return f"{shown} and {len(value) - _NAMES_SHOWN} more" if len(value) > _NAMES_SHOWN else shown
    return shorten(str(value), 200)


def _list_parts(parts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the bytes are of."""
    words = {"weights": "Bytes of planned tensors", "kept_float": "Bytes kept float"}
    found = [(word, size(round(number))) for name, word in words.items() if (number := read_number(parts.get(name)))]
    cache = find_part(parts, "cache")
    number = read_number(cache.get("bytes"))
    return [*found, *([("Bytes of keys and values", size(round(number)))] if number else [])]


def _list_pools(pools: object) -> list[Block]:
    known = [one for one in pools if isinstance(one, Mapping)] if isinstance(pools, list) else []
    lines = [
        (
            read_text(one.get("name")),
            *(_tell_bytes(one.get(name)) for name in ("used", "bytes")),
            _spell(one.get("tensors")),
        )
        for one in known
    ]
    return [Grid(("pool", "used", "of", "tensors"), lines)] if lines else []


def _tell_bytes(value: object) -> str:
    number = read_number(value)
    return NOTHING if number is None else size(round(number))


def _list_groups(groups: object) -> list[Block]:
    known = [one for one in groups if isinstance(one, Mapping)] if isinstance(groups, list) else []
    items = [
        (f"{read_text(one.get('name'))}: {read_text(one.get('scheme'))}", _count_members(one.get("members")))
        for one in known[:_NAMES_SHOWN]
    ]
    more = [("", f"{len(known) - _NAMES_SHOWN} more groups")] if len(known) > _NAMES_SHOWN else []
    return [Bullets([*items, *more])] if items else []


def _count_members(members: object) -> str:
    names: Sequence[Any] = members if isinstance(members, list) else ()
    return f"{count_of(len(names), 'tensor')}: {_spell(list(names))}"
