"""What a comparison says first, and how it lists what each source kept."""

from __future__ import annotations

import math
from typing import Any

from qanalysis.comparisons.kept import sum_kept, total_kept
from qanalysis.comparisons.row import ComparisonRow
from qanalysis.reports.comparison_sections import outline_comparison
from qanalysis.results.conditions import hold_all
from qanalysis.results.table import Table

ROWS = [
    ComparisonRow(
        tensor_a="layers.0.q_proj.weight", tensor_b="blk.0.attn_q.weight", role="weight", shape_a="8x32", shape_b="8x32",
        dtype_a="float16", dtype_b="q4_0", stored_b="gguf:q4_0", size_bytes_a=512, size_bytes_b=144, matched_by="gguf",
        sqnr_db=20.1, theory_sqnr_db=21.3, relative_l2=0.1, max_abs_error=0.5,
        reason="1.2 dB worse than Gaussian, outlier channel 18 (9 % of the error)",
    ),
    ComparisonRow(
        tensor_a="layers.1.q_proj.weight", tensor_b="blk.1.attn_q.weight", role="weight", shape_a="8x32", shape_b="8x32",
        dtype_a="float16", dtype_b="q6_k", stored_b="gguf:q6_k", size_bytes_a=512, size_bytes_b=210, matched_by="gguf",
        sqnr_db=35.0, relative_l2=0.01, max_abs_error=0.1,
    ),
    ComparisonRow(
        tensor_a="norm.weight", tensor_b="norm.weight", role="norm", shape_a="8", shape_b="8", dtype_a="float16",
        dtype_b="float32", size_bytes_a=16, size_bytes_b=32, matched_by="gguf", sqnr_db=math.inf, max_abs_error=0.0,
    ),
    ComparisonRow(tensor_a="q.weight", tensor_b="qkv.weight", role="weight", shape_a="4x8", shape_b="12x8",
                  dtype_a="float16", dtype_b="float16", size_bytes_a=64, size_bytes_b=64, sqnr_db=60.0, max_abs_error=1e-3),
    ComparisonRow(tensor_a="lost.weight", role="weight", shape_a="2x2", dtype_a="float16", size_bytes_a=8, status="only-a"),
    ComparisonRow(tensor_b="x_scale", role="scale", dtype_b="float32", size_bytes_b=4, status="only-b"),
    ComparisonRow(tensor_a="ids", tensor_b="ids", role="buffer", shape_a="4", shape_b="4", dtype_a="int64",
                  dtype_b="int64", size_bytes_a=32, size_bytes_b=32, status="dtype"),
    ComparisonRow(tensor_a="head", tensor_b="head", role="embedding", status="tied"),
]  # fmt: skip


def make(rows: list[ComparisonRow] = ROWS, **settings: Any) -> Table[ComparisonRow]:
    pooled = {"tensors": 4, "same": 1, "pooled": 3, "over": "weights", "values": 544}
    more = {"pooled": {**pooled, "sqnr_db": 22.5, "relative_l2": 0.07, "max_abs_error": 0.5}}
    return Table.from_rows(ComparisonRow, rows, settings={"a": "a.st", "b": "b.gguf", **settings}, more=more)


def test_the_answer_says_what_was_matched_how_far_apart_it_is_and_what_differs_most() -> None:
    outline = outline_comparison(make())
    assert outline.headline == (
        "5 of 6 tensors matched, 1 only in A, 1 without real numbers, 1 scale of quantizers aside; 22.50 dB pooled over "
        "3 weights that differ, 1 is the same value by value; worst: layers.0.q_proj.weight, 20.10 dB, 1.2 dB worse than Gaussian, "
        "outlier channel 18 (9 % of the error)."
    )
    assert outline.title == "b.gguf against a.st"
    assert [section.id for section in outline.lead] == ["worst", "structure", "kept"]


def test_shapes_and_other_constants_of_a_graph_are_none_of_the_models_tensors() -> None:
    constant = {"role": "constant", "dtype_b": "int64", "shape_b": "2"}
    more = [
        ComparisonRow(tensor_b="shape", status="only-b", **constant),
        ComparisonRow(tensor_a="axes", tensor_b="axes", dtype_a="int64", shape_a="2", status="dtype", **constant),
    ]
    answer = outline_comparison(make([*ROWS, *more])).headline
    assert "5 of 6 tensors matched" in answer
    assert "2 constants and 1 scale of quantizers aside" in answer
    excused = ComparisonRow.is_excused(make([*ROWS, *more]).rows.namespace())
    assert excused.tolist()[-2:] == [True, True]


def test_bytes_and_bits_of_each_kind_are_those_of_each_source() -> None:
    kinds = {kept.word: kept for kept in sum_kept(ROWS)}
    queries = kinds["q_proj"]
    assert (queries.a.bits, queries.b.bits) == (16.0, 8 * 354 / 512)
    assert queries.b.words == "gguf:q4_0 1, gguf:q6_k 1"
    # Of a part of a fused tensor the other side says how many values it has.
    assert (kinds["q"].a.bits, kinds["q"].b.bits) == (16.0, 16.0)
    a, b = total_kept(ROWS)
    assert (a.size_bytes, b.size_bytes) == (512 + 512 + 16 + 64 + 8 + 32, 144 + 210 + 32 + 64 + 4 + 32)


def test_sources_that_are_the_same_and_structure_alone_say_so() -> None:
    same = outline_comparison(make([ROWS[2]]))
    assert same.headline == "1 of 1 tensors matched; every value of the 1 compared is the same."
    bare = outline_comparison(make(structure_only=True))
    assert "structure alone, no value was read" in bare.headline


def test_a_condition_leaves_aside_what_has_no_figure_for_good_reason() -> None:
    (check,) = hold_all(make(), ["sqnr_db<20"])
    assert (check.held, check.failed, check.lacking) == (4, 0, 1)
    assert check.named[0].startswith("lost.weight")
