"""Rows of attention in the orders of several libraries: stated by heads, or found from the values."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from qanalysis.checkpoints.source import ArraySource, ModelFacts
from qanalysis.comparisons.compare import compare
from qanalysis.comparisons.row import ComparisonRow

Floats = NDArray[np.float32]
HEADS, WIDTH, COLUMNS = 4, 8, 32
NOTHING = ModelFacts()


def draw(rows: int, seed: int) -> Floats:
    return np.random.default_rng(seed).normal(size=(rows, COLUMNS)).astype(np.float32)


def source(arrays: Mapping[str, Floats], facts: ModelFacts = NOTHING) -> ArraySource:
    opened = ArraySource(arrays)
    opened.facts = facts
    return opened


def turn(w: Floats, heads: int) -> Floats:
    """What the converter of llama.cpp does to q and k."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, COLUMNS).swapaxes(1, 2).reshape(w.shape)


def mix(q: Floats, k: Floats, v: Floats, groups: int) -> Floats:
    """q, k and v of each group of heads, one group below the other."""
    parts = [x.reshape(groups, -1, COLUMNS) for x in (q, k, v)]
    return np.concatenate([part[group] for group in range(groups) for part in parts])


def check(a: ArraySource, b: ArraySource) -> list[ComparisonRow]:
    """The rows of both directions, none of which may have an error."""
    rows = [*compare(a, b), *compare(b, a)]
    assert [(row.status, row.max_abs_error) for row in rows] == [("ok", 0.0)] * len(rows)
    return rows


@pytest.mark.parametrize("groups", [4, 2], ids=["as many keys as queries", "shared keys"])
@pytest.mark.parametrize("stated", [True, False], ids=["heads stated", "heads unknown"])
def test_a_tensor_by_heads_against_one_of_all_queries_then_keys_then_values(groups: int, stated: bool) -> None:
    q, k, v = (draw(WIDTH * heads, seed) for seed, heads in enumerate((HEADS, groups, groups)))
    if groups < HEADS and not stated:
        return  # without heads nothing tells how many queries share a key
    facts = ModelFacts("falcon", HEADS, groups, WIDTH) if stated else NOTHING
    ours = source({"transformer.h.0.self_attention.query_key_value.weight": mix(q, k, v, groups)}, facts)
    rows = check(ours, source({"blk.0.attn_qkv.weight": np.concatenate([q, k, v])}))
    assert all(f"gathered from {groups} groups of heads" in row.reason or not stated for row in rows)


@pytest.mark.parametrize("stated", [True, False], ids=["heads stated", "heads unknown"])
def test_a_tensor_by_heads_against_turned_parts(stated: bool) -> None:
    q, k, v = (draw(WIDTH * heads, seed) for seed, heads in enumerate((HEADS, 2, 2)))
    facts = ModelFacts("internlm2", HEADS, 2, WIDTH) if stated else NOTHING
    parts = {"blk.0.attn_q.weight": turn(q, HEADS), "blk.0.attn_k.weight": turn(k, 2), "blk.0.attn_v.weight": v}
    rows = check(source({"model.layers.0.attention.wqkv.weight": mix(q, k, v, 2)}, facts), source(parts, facts))
    assert [row.matched_by for row in rows[:3]] == ["gguf+heads, fused q/k/v"] * 2 + ["gguf, fused q/k/v"]


def test_the_original_names_of_llama_have_rows_in_the_order_of_gguf() -> None:
    q, k = draw(WIDTH * HEADS, 1), draw(WIDTH * 2, 2)
    ours = source({"layers.0.attention.wq.weight": turn(q, HEADS), "layers.0.attention.wk.weight": turn(k, 2)})
    stem = "model.layers.0.self_attn"
    theirs = {f"{stem}.q_proj.weight": q, f"{stem}.k_proj.weight": k}
    check(ours, source(theirs, ModelFacts("llama", HEADS, 2, WIDTH)))
    check(ours, source(theirs))


def test_transposed_storage_of_gpt2_is_found_also_where_it_is_square() -> None:
    fused, square = draw(3 * COLUMNS, 1), draw(COLUMNS, 2)
    ours = source({"h.0.attn.c_attn.weight": fused.T.copy(), "h.0.attn.c_proj.weight": square.T.copy()})
    rows = check(ours, source({"blk.0.attn_qkv.weight": fused, "blk.0.attn_output.weight": square}))
    assert {row.matched_by for row in rows} == {"gguf, transposed"}
    apart = {f"h.0.attn.{word}_proj.weight": part for word, part in zip("qkv", np.split(fused, 3), strict=True)}
    check(source({"h.0.attn.c_attn.weight": fused.T.copy()}), source(apart))
