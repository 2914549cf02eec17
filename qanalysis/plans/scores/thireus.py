"""What does a calibration of the GGUF Tool Suite say? The divergence, or the perplexity, with one tensor alone in one
type of GGUF: a row for each type, a column for each tensor.

A cell of 404, or an empty one, was not measured; 0.0 was measured and is harmless.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from qanalysis.arrays import Doubles
from qanalysis.notation import quote
from qanalysis.plans.candidates import Candidates, Options
from qanalysis.plans.scores.curves import price, read_errors
from qanalysis.plans.scores.names import match_entries
from qanalysis.plans.scores.score_file import Scored, ScoreFile, list_names

KIND = "Thireus calibration"
_UNMEASURED = 404.0
_FARTHEST = 1e30
_WHOLE_MODEL = "group0"
_REPACKED = re.compile(r"_r[0-9]+$")
#: Bits per weight of the types, block headers counted; of llama.cpp and of its fork ik_llama.cpp.
_BITS = """
f32 32, f16 16, bf16 16, q4_0 4.5, q4_1 5, q5_0 5.5, q5_1 6, q6_0 6.5, q8_0 8.5, q8_kv 8, q2_k 2.625, q3_k 3.4375,
q4_k 4.5, q5_k 5.5, q6_k 6.5625, q8_k 9.125, q8_k_r8 8.0625, iq1_s 1.5625, iq1_s_r4 1.5, iq1_m 1.75, iq1_bn 1.625,
iq1_kt 1.75, iq2_xxs 2.0625, iq2_xs 2.3125, iq2_s 2.5625, iq2_bn 2, iq2_k 2.375, iq2_ks 2.1875, iq2_kt 2.125,
iq2_kl 2.6875, iq3_xxs 3.0625, iq3_s 3.4375, iq3_k 3.4375, iq3_ks 3.1875, iq3_kt 3.125, iq4_nl 4.5, iq4_xs 4.25,
iq4_k 4.5, iq4_ks 4.25, iq4_kss 4, iq4_kt 4, iq5_k 5.5, iq5_ks 5.25, iq6_k 6.625, tq1_0 1.6875, tq2_0 2.0625,
mxfp4 4.25, nvfp4 4.5
"""
_QTYPE_BITS: Mapping[str, float] = {
    name: float(bits) for name, bits in (pair.split() for pair in _BITS.replace("\n", " ").split(","))
}
_FLOATS = {"bfloat16": "bf16", "float16": "f16"}
_UNTOUCHED = ("f32", "bf16", "f16")


class _Table(NamedTuple):
    """Cells by tensor and type, NaN where not measured; whether they are perplexities."""

    cells: Mapping[str, Mapping[str, float]]
    is_perplexity: bool


def recognise(file: ScoreFile) -> bool:
    """A text whose first cell is QTYPE."""
    head = (file.text or "").partition("\n")[0]
    return re.match(r'\s*"?qtype"?\s*[,;\t]', head, re.IGNORECASE) is not None


def score(file: ScoreFile, candidates: Candidates) -> Scored:
    """The cell of the type where the scheme is that type; elsewhere the damage over bits, see `curves`."""
    rows = _read(file)
    table, unknown = _turn(file, rows)
    matched = match_entries([one.tensor for one in candidates.options], table.cells)
    costs, silent, direct = dict[str, Doubles](), dict[str, str](), 0
    for one, errors in zip(candidates.options, read_errors(candidates), strict=True):
        hit = matched.get(one.tensor.name)
        if hit is None:
            continue
        cells = {qtype: value for qtype, value in table.cells[hit.name].items() if not math.isnan(value)}
        if not any(qtype not in _UNTOUCHED for qtype in cells):
            silent[one.tensor.name] = "was not measured (404)"
            continue
        costs[one.tensor.name], exact = _price(one, errors, cells)
        direct += exact
    what = "ln of the perplexity over that of the unchanged model" if table.is_perplexity else "KL divergence"
    notes = [
        f"{direct} candidates are types that the file measured, the others follow from its damage over bits per weight"
    ]
    if unknown:
        notes.append(f"rows of unknown types are left out: {list_names(unknown)}")
    return Scored(f"{what} with the tensor alone quantized", costs, notes, silent)


def _price(options: Options, errors: Doubles, cells: Mapping[str, float]) -> tuple[Doubles, int]:
    """The costs of a tensor's candidates, and how many of them were measured."""
    by_bits = dict[float, float]()
    for qtype, value in cells.items():
        if qtype not in _UNTOUCHED:
            bits = find_bits(qtype)
            by_bits[bits] = min(by_bits.get(bits, math.inf), value)
    points = np.array(sorted(by_bits))
    costs = price(options, errors, points, np.array([by_bits[bits] for bits in points.tolist()]))
    exact = 0
    for place, scheme in enumerate(options.schemes):
        word = scheme.split()[0]
        qtype = word.removeprefix("gguf:") if word.startswith("gguf:") else _FLOATS.get(word, "")
        if qtype in cells:
            costs[place] = cells[qtype]
            exact += 1
    return costs, exact


def find_bits(qtype: str) -> float:
    """Bits per weight of a type, 0 for one that is not known. A type repacked for speed has those of its own.

    >>> find_bits("q4_K_R4"), find_bits("q9_9")
    (4.5, 0.0)
    """
    word = qtype.lower()
    return float(_QTYPE_BITS.get(word) or _QTYPE_BITS.get(_REPACKED.sub("", word)) or 0)


def _read(file: ScoreFile) -> dict[str, dict[str, float]]:
    """Cells by type and tensor."""
    text = file.text or ""
    delimiter = next(one for one in ",;\t" if one in text.partition("\n")[0])
    try:
        lines = [line for line in csv.reader(text.splitlines(), delimiter=delimiter) if any(map(str.strip, line))]
    except csv.Error as error:
        raise file.refuse(f"is no table with {delimiter!r} between cells: {error}") from None
    names = [name.strip() for name in lines[0][1:]]
    if [name.lower() for name in names] == [_WHOLE_MODEL]:
        raise file.refuse(
            "holds one column for the whole model, which says nothing of its tensors; give the file with one column "
            "per tensor"
        )
    if not names or len(set(names)) < len(names):
        raise file.refuse("must have one column for each tensor, none of them twice")
    found = dict[str, dict[str, float]]()
    for number, line in enumerate(lines[1:], start=2):
        qtype = line[0].strip().lower()
        if len(line) != len(lines[0]):
            raise file.refuse(f"line {number} has {len(line)} cells, the first one {len(lines[0])}")
        if qtype in found:
            raise file.refuse(f"line {number}: type {quote(qtype)} has two rows; keep one")
        found[qtype] = {
            name: _read_cell(file, cell, f"line {number}, {quote(name)}")
            for name, cell in zip(names, line[1:], strict=True)
        }
    if not found:
        raise file.refuse("has headings and no row; give a file with measurements")
    return found


def _read_cell(file: ScoreFile, cell: str, place: str) -> float:
    """A damage, NaN where it was not measured."""
    word = cell.strip()
    if not word:
        return math.nan
    try:
        value = float(word.removesuffix("%"))
    except ValueError:
        value = math.nan
    if not abs(value) < _FARTHEST:
        raise file.refuse(f"{place}: {quote(cell)} is no number")
    if value == _UNMEASURED and not word.endswith("%"):
        return math.nan
    return max(value, 0.0) / (100 if word.endswith("%") else 1)


def _turn(file: ScoreFile, rows: Mapping[str, Mapping[str, float]]) -> tuple[_Table, list[str]]:
    """Damages by tensor and type, and the types that are not known.

    Cells are perplexities where all that are above zero are at least 1: divergences of a useful model lie below.
    """
    unknown = [qtype for qtype in rows if not find_bits(qtype)]
    known = {qtype: cells for qtype, cells in rows.items() if qtype not in unknown}
    if not known:
        raise file.refuse(f"none of its types is one of GGUF: {list_names(unknown)}")
    every = [value for cells in known.values() for value in cells.values() if value > 0]
    is_perplexity = bool(every) and min(every) >= 1
    untouched = [value for qtype in _UNTOUCHED for value in known.get(qtype, {}).values() if value > 0]
    least = min(untouched or every) if is_perplexity else None
    names = next(iter(known.values()))
    cells = {name: {qtype: _measure_damage(line[name], least) for qtype, line in known.items()} for name in names}
    return _Table(cells, is_perplexity), unknown


def _measure_damage(value: float, least: float | None) -> float:
    """A perplexity as the change of the loss in nats against the `least` one, which stands for the unchanged model
    where the file has no row of it; a divergence, with None, as it is.
    """
    if least is None or math.isnan(value) or value == 0:
        return value
    return max(math.log(value / least), 0.0)
