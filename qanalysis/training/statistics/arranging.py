"""How do the rows of any log become a `StatisticsLog`? One place for the rules of reading: what is refused, what is
mended, and the note that says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from qanalysis.arrays import Codes, Doubles
from qanalysis.notation import quote, shorten
from qanalysis.training.state import KINDS
from qanalysis.training.statistics.log import NUMBERS, StatisticsLog, fill_unknown
from qanalysis.training.statistics.names import find_exponent, find_kind, split_name

#: From the number of a row, from 0, to its place in the file.
NameRow = Callable[[int], str]
REQUIRED = ("step", "layer", "absmax")
_NEVER_NEGATIVE = ("absmax", "absmin", "std", "numel", "non_finite", "mean_quantized")
#: How far a figure may lie above another for being rounded in print.
_ROUNDED = 1e-2
#: What can not be told without a column.
_NEEDED_FOR = {
    "absmin": "rules that go by the smallest magnitude can not be applied",
    "mean": "rules that go by mean and std of |x| (up-distribution) can not be applied",
    "std": "rules that go by mean and std of |x| (up-distribution) can not be applied",
}


def arrange_log(
    columns: Mapping[str, ArrayLike], *, source: str = "", notes: Sequence[str] = (), name_row: NameRow | None = None
) -> StatisticsLog:
    """Columns (rows,) by our names as a log: rows in order, the last of repeated steps, what was unknown as NaN.

    Columns of numbers are numbers; steps may be whole floats. Raises ValueError for no row, a missing `step`, `layer`
    or `absmax`, steps that are not integers, unknown kinds, negative magnitudes; the text names the row by `name_row`.

    >>> log = arrange_log({"step": [1, 0, 0], "layer": ["a"] * 3, "kind": ["weight"] * 3, "absmax": [3, 1, 2]})
    >>> log.absmax.tolist(), len(log.notes)
    ([2.0, 3.0], 4)
    """
    place = name_row or (lambda row: f"row {row + 1}")
    found = list(notes)
    check_columns(columns, source)
    step = _read_steps(columns["step"], place)
    if not step.size:
        raise ValueError(f"{source or 'the log'}: holds no row of statistics; record at least one step")
    group = _as_text(columns.get("group"), step.size)
    layer, kind = _read_kinds(columns, step, group, place, found)
    numbers = _read_numbers(columns, step.size, place, found)
    keep, starts = _order_rows(step, (layer, kind, group), found)
    cells: dict[str, Any] = {
        name: values[keep] if values.strides != (0,) else values[: keep.size] for name, values in numbers.items()
    }
    exponents = _read_exponents(columns, keep, place)
    log = StatisticsLog(
        step[keep], layer[keep], kind[keep], group[keep], scale_exponents=exponents, source=source, **cells
    )
    found += [*_describe_gaps(log, starts), *_describe_cells(log, set(columns))]
    return replace(log, notes=tuple(found))


def check_columns(names: Iterable[str], source: str, *, spelled: Sequence[str] = ()) -> None:
    """Raise ValueError where a required column is missing; it lists those found, `spelled` as in the file, and what
    may be meant.
    """
    known, shown = _with_absmax(names), [name.strip() for name in spelled]
    missing = [name for name in REQUIRED if name not in known]
    if not missing:
        return
    words = [name.lower() for name in shown]
    near = {ours: get_close_matches(ours, words, n=1, cutoff=0.7) for ours in missing}
    hints = [f"name {quote(one[0], 30)} {ours} if that is meant" for ours, one in near.items() if one]
    raise ValueError(
        f"{source or 'the log'}: without the column{'s' * (len(missing) > 1)} {', '.join(missing)}; found "
        f"{', '.join(repr(shorten(name, 30)) for name in shown or sorted(known)) or 'none'}; "
        "a log has step, layer, kind, absmax, and best absmin, mean and std of |x|"
        + "".join(f"; {hint}" for hint in hints)
    )


def _with_absmax(names: Iterable[str]) -> set[str]:
    """The names, and absmax where both extremes are among them, from which it follows."""
    known = set(names)
    return known | ({"absmax"} if {"low", "high"} <= known else set())


def _read_steps(values: ArrayLike, place: NameRow) -> Codes:
    """Steps as int64; ValueError names the first that is missing or not whole."""
    steps = np.asarray(values)
    if steps.dtype.kind in "ib":
        return steps.astype(np.int64)
    numbers = steps.astype(np.float64)
    # Above 2^53 a float no longer tells neighbours apart.
    wrong = np.flatnonzero(~(np.abs(numbers) < 2.0**53) | (numbers != np.rint(numbers)))
    if wrong.size:
        row = int(wrong[0])
        told = "empty" if np.isnan(numbers[row]) else f"{numbers[row]:g}"
        raise ValueError(f"{place(row)}: step is {told}, must be an integer below 2^53; mend or take out the row")
    return numbers.astype(np.int64)


def _as_text(values: ArrayLike | None, count: int) -> NDArray[np.object_]:
    """Texts (count,), blanks around them taken off; empty where there are none. Equal texts are one object."""
    if values is None:
        return np.full(count, "", object)
    codes, texts = pd.factorize(np.asarray(values, object), use_na_sentinel=False)
    plain = np.array(["" if pd.isna(one) else str(one).strip() for one in texts] or [""], object)
    return plain[codes]


def _read_kinds(
    columns: Mapping[str, ArrayLike], step: Codes, group: NDArray[np.object_], place: NameRow, notes: list[str]
) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    """Layer and kind of every row; without a column of kinds from names such as `fc1.weight.grad`, else "input"."""
    layer = _as_text(columns["layer"], step.size)
    unnamed = np.flatnonzero(layer == "")
    if unnamed.size:
        raise ValueError(f"{place(int(unnamed[0]))}: layer is empty; every row names its layer")
    if "kind" in columns:
        return layer, _check_kinds(_as_text(columns["kind"], step.size), place)
    codes, names = pd.factorize(layer)
    split = [split_name(str(name)) for name in names]
    if all(one is None for one in split):
        _refuse_ambiguity(step, layer, group, place)
        notes.append("There is no column kind: every row is taken as input.")
        return layer, np.full(step.size, "input", object)
    notes.append(
        f"There is no column kind: it is taken from the names of {sum(one is not None for one in split)} layers"
        + (f", {sum(one is None for one in split)} others are taken as input." if None in split else ".")
    )
    layers = np.array([one[0] if one else name for one, name in zip(split, names, strict=True)], object)
    kinds = np.array([one[1] if one else "input" for one in split], object)
    return layers[codes], kinds[codes]


def _check_kinds(kind: NDArray[np.object_], place: NameRow) -> NDArray[np.object_]:
    codes, words = pd.factorize(kind)
    found = [find_kind(str(word)) for word in words]
    if None in found:
        at = found.index(None)
        row = int(np.flatnonzero(codes == at)[0])
        raise ValueError(
            f"{place(row)}: kind is {quote(str(words[at]), 40)}, must be one of {', '.join(KINDS)}; mend the word"
        )
    return np.array(found, object)[codes]


def _refuse_ambiguity(step: Codes, layer: NDArray[np.object_], group: NDArray[np.object_], place: NameRow) -> None:
    """ValueError where a step of a layer stands twice, so that rows without a kind may well be of several."""
    table = pd.DataFrame({"step": step, "layer": layer, "group": group})
    repeated = np.flatnonzero(table.duplicated())
    if repeated.size:
        row = int(repeated[0])
        raise ValueError(
            f"{place(row)}: there is no column kind, and step {step[row]} of layer {quote(str(layer[row]), 40)} "
            f"stands twice; say of every row which kind it is, one of {', '.join(KINDS)}"
        )


def _read_numbers(columns: Mapping[str, ArrayLike], count: int, place: NameRow, notes: list[str]) -> dict[str, Doubles]:
    """Columns of numbers as float64, unknown ones as NaN; ValueError names the row of a negative magnitude."""
    numbers = {
        name: np.asarray(columns[name], np.float64) if name in columns else fill_unknown(count) for name in NUMBERS
    }
    if "absmax" not in columns:
        numbers["absmax"] = np.maximum(np.abs(numbers["low"]), np.abs(numbers["high"]))
        notes.append("There is no column absmax: it is taken from the smallest and largest x.")
    for name in _NEVER_NEGATIVE:
        _refuse_negative(name, numbers[name], place)
    if (numbers["mean"] < 0).any():
        notes.append(
            "The column mean holds negative numbers, so that it is the mean of x and not of |x|: mean and std are left "
            "out, and rules that go by them (up-distribution) can not be applied."
        )
        numbers |= {"mean": fill_unknown(count), "std": fill_unknown(count)}
    _drop_contradictions(numbers, notes)
    return numbers


def _drop_contradictions(numbers: dict[str, Doubles], notes: list[str]) -> None:
    """Makes unknown, with a note, what can not be true beside the rest of its row."""
    low, high, most = numbers["low"], numbers["high"], numbers["absmax"] * (1 + _ROUNDED)
    for names, wrong, told in (
        (("low", "high"), (low > high) | (np.fmax(-low, high) > most), "low above high, or one of them beyond absmax"),
        (("mean", "std"), np.fmax(numbers["mean"], numbers["std"]) > most, "mean or std of |x| above absmax"),
        (("numel", "non_finite"), numbers["non_finite"] > numbers["numel"], "more non_finite elements than numel"),
    ):
        if wrong.any():
            rows = _count(int(wrong.sum()), "row")
            notes.append(f"{rows} with {told}: {' and '.join(names)} of them are left out; mend the columns.")
            numbers |= {name: np.where(wrong, np.nan, numbers[name]) for name in names}


def _read_exponents(columns: Mapping[str, ArrayLike], keep: Codes, place: NameRow) -> dict[int, Doubles]:
    """Counts of block scales by exponent, in rising order."""
    found = {exponent: name for name in columns if (exponent := find_exponent(name)) is not None}
    counts = {exponent: np.asarray(columns[found[exponent]], np.float64) for exponent in sorted(found)}
    for exponent, values in counts.items():
        _refuse_negative(found[exponent], values, place)
    return {exponent: values[keep] for exponent, values in counts.items()}


def _refuse_negative(name: str, values: Doubles, place: NameRow) -> None:
    negative = np.flatnonzero(values < 0)
    if negative.size:
        row = int(negative[0])
        raise ValueError(f"{place(row)}: {name} is {values[row]:g}, must be at least 0; it is a magnitude or a count")


def _order_rows(step: Codes, texts: Sequence[NDArray[np.object_]], notes: list[str]) -> tuple[Codes, NDArray[np.bool_]]:
    """The rows to keep, in order, and where a new series starts among them."""
    codes = [pd.factorize(text)[0] for text in texts]
    order = np.lexsort((step, *reversed(codes)))
    told = np.stack([code[order] for code in codes])
    same = np.zeros(step.size, bool)  # of the same series as the row before
    same[1:] = (told[:, 1:] == told[:, :-1]).all(axis=0)
    sorted_step = step[order]
    # lexsort is stable: within a series the rows of one step keep their order in the file.
    repeats = np.zeros(step.size, bool)
    repeats[:-1] = same[1:] & (sorted_step[1:] == sorted_step[:-1])
    by_series = np.lexsort(tuple(reversed(codes)))
    falls = int((same[1:] & (np.diff(step[by_series]) < 0)).sum())
    if falls:
        notes.append(f"Steps did not rise at {_count(falls, 'place')} of the file: rows are sorted by step.")
    if repeats.any():
        at = int(order[np.flatnonzero(repeats)[0]])
        where = " ".join(str(text[at]) for text in texts if text[at])
        notes.append(
            f"{_count(int(repeats.sum()), 'row')} stand again later at the same step (first: {where}, "
            f"step {step[at]}): the last is kept."
        )
    keep = np.asarray(order[~repeats], np.int64)
    starts = np.ones(step.size, bool)
    starts[1:] = ~same[1:]
    # The first row of a series may be a repeated one: its start passes on to the row that is kept.
    first = np.unique(np.cumsum(starts)[~repeats], return_index=True)[1]
    begun = np.zeros(keep.size, bool)
    begun[first] = True
    return keep, begun


def _describe_gaps(log: StatisticsLog, starts: NDArray[np.bool_]) -> list[str]:
    """A note of places where a series leaves out steps that its usual spacing has."""
    apart = np.diff(log.step)[~starts[1:]]
    if not apart.size:
        return []
    distances, counts = np.unique(apart, return_counts=True)
    usual = int(distances[counts.argmax()])
    missing = np.flatnonzero(apart > usual)
    if not missing.size:
        return []
    row = int(np.flatnonzero(~starts[1:])[missing[0]])
    where = " ".join(str(text[row]) for text in (log.layer, log.kind, log.group) if text[row])
    between = f"{where}, {log.step[row]} to {log.step[row + 1]}"
    return [
        f"{_count(missing.size, 'gap')} in the steps, which else are {usual} apart (first: {between}): not counted."
    ]


def _describe_cells(log: StatisticsLog, given: set[str]) -> list[str]:
    """Notes of what is not known: columns that are not there, rows without absmax, infinite ones, absmin above it."""
    notes: dict[str, list[str]] = {}
    for name, without in _NEEDED_FOR.items():
        if name not in given:
            notes.setdefault(without, []).append(name)
    found = [f"There is no column {' and '.join(names)}: {without}." for without, names in notes.items()]
    blank, infinite = int(np.isnan(log.absmax).sum()), int(np.isinf(log.absmax).sum())
    if blank:
        found.append(f"{_count(blank, 'row')} without absmax: not observed, the step does not count.")
    if infinite:
        found.append(f"{_count(infinite, 'row')} with an infinite absmax: the step is counted as non-finite.")
    above = int((log.absmin > log.absmax).sum())
    if above:
        found.append(f"{_count(above, 'row')} with absmin above absmax: the columns may be exchanged.")
    return found


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
