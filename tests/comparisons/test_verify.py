"""A file against its plan: as planned it passes, and each planted deviation is caught and named."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qanalysis.arrays import Floats
from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.source import ArraySource, TensorInfo
from qanalysis.comparisons.pair import Part
from qanalysis.comparisons.verify import verify_plan
from qanalysis.comparisons.verify_row import ALLOWED_DB, KEPT_DB, VerifyRow
from qanalysis.comparisons.verify_types import find_size_fault, find_type_faults
from qanalysis.plans.plan import Plan
from qanalysis.quantizers.scheme import Scheme
from qanalysis.reports.kinds import outline
from qanalysis.results.table import Table
from qanalysis.sweeps.sweep import sweep
from tests.comparisons.quantized_files import (
    DOWN,
    EMBEDDING,
    HEAD,
    KEY,
    NORM,
    QUERY,
    UP,
    make_plan,
    make_weights,
    write_gguf,
    write_own,
    write_stacked_gguf,
)

WEIGHTS = make_weights()
PLAN = make_plan(WEIGHTS, "int4 group=32", "int8 group=32")
BLOCKS = make_plan(WEIGHTS, "gguf:q4_0", "gguf:q8_0", budget_bpw=6.5)


def _verify(path: Path, plan: Plan = PLAN, *, original: Mapping[str, Floats] | None = WEIGHTS) -> Table[VerifyRow]:
    source = None if original is None else ArraySource(original)
    with open_checkpoint(path) as file:
        return verify_plan(plan, file, source)


def _deviations(table: Table[VerifyRow]) -> dict[str, tuple[str, ...]]:
    return {row.tensor or row.tensor_file: row.deviations for row in table if row.deviates}


def _without(name: str) -> dict[str, Floats]:
    return {other: values for other, values in WEIGHTS.items() if other != name}


@pytest.mark.parametrize("original", [WEIGHTS, None], ids=["with the float source", "types and bytes"])
@pytest.mark.parametrize(("write", "plan"), [(write_own, PLAN), (write_gguf, BLOCKS)], ids=["own layout", "gguf"])
def test_a_file_as_planned_passes(tmp_path: Path, write: Any, plan: Plan, original: Any) -> None:
    assert len(set(plan.assignments.values())) == 2
    table = _verify(write(tmp_path / ("m.gguf" if write is write_gguf else "m.safetensors"), WEIGHTS, plan), plan,
                    original=original)  # fmt: skip
    assert _deviations(table) == {}
    total = table.totals[0]
    assert (total.tensors, total.as_planned, total.deviations) == (7, 7, 0)
    assert total.measured == (7 if original else 0)
    if original:
        # The errors are those of the sweep: the same arithmetic, summed in another order.
        planned = {row.tensor: row.sqnr_db for row in plan}
        for row in table:
            if row.tensor in planned:
                assert row.sqnr_db == pytest.approx(planned[row.tensor], abs=0.01)


def _swap(one: str, other: str) -> dict[str, Floats]:
    return {**WEIGHTS, one: WEIGHTS[other], other: WEIGHTS[one]}


_PLANTED: dict[str, tuple[Callable[[], Mapping[str, Floats]], Mapping[str, str | None], str, str]] = {
    "missing": (lambda: _without(UP), {}, UP, "missing"),
    "extra": (lambda: {**WEIGHTS, "model.layers.1.mlp.up_proj.weight": WEIGHTS[UP]}, {},
              "model.layers.1.mlp.up_proj.weight", "extra"),
    "ignored": (lambda: WEIGHTS, {UP: None}, UP, "ignored"),
    "quantized though kept": (lambda: WEIGHTS, {NORM: "int8 tensor"}, NORM, "quantized"),
    "bits": (lambda: WEIGHTS, {UP: "int3 group=32"}, UP, "bits"),
    "format": (lambda: WEIGHTS, {DOWN: "nf4 group=32", UP: "int8 group=32"}, "", "format"),
    "groups": (lambda: WEIGHTS, {UP: "int4 channel", DOWN: "int8 channel"}, "", "grouping"),
    "zero points": (lambda: WEIGHTS, {UP: "int4 asym group=32", DOWN: "int8 asym group=32"}, "", "symmetry"),
    "shape": (lambda: {**WEIGHTS, UP: WEIGHTS[UP][:90]}, {}, UP, "shape"),
    "zeros": (lambda: {**WEIGHTS, UP: np.zeros_like(WEIGHTS[UP])}, {}, UP, "zeros"),
    "two exchanged": (lambda: _swap(QUERY, KEY), {}, QUERY, "error"),
    "another checkpoint": (lambda: {**WEIGHTS, UP: WEIGHTS[UP] * 1.05}, {}, UP, "error"),
    "another norm": (lambda: {**WEIGHTS, NORM: WEIGHTS[NORM] * 1.01}, {}, NORM, "error"),
}  # fmt: skip


@pytest.mark.parametrize("case", _PLANTED)
def test_each_planted_deviation_is_caught_and_named(tmp_path: Path, case: str) -> None:
    make, changes, name, word = _PLANTED[case]
    found = _deviations(_verify(write_own(tmp_path / "m.safetensors", make(), PLAN, changes)))
    if name:
        assert word in found[name]
        assert set(found) <= {name, KEY if name == QUERY else name}
    else:
        assert any(word in words for words in found.values())
        assert set(found) <= set(changes)


@pytest.mark.parametrize("case", [case for case in _PLANTED if _PLANTED[case][3] != "error"])
def test_types_zeros_and_names_need_no_float_source(tmp_path: Path, case: str) -> None:
    make, changes, name, word = _PLANTED[case]
    found = _deviations(_verify(write_own(tmp_path / "m.safetensors", make(), PLAN, changes), original=None))
    assert any(word in words for words in ([found[name]] if name else found.values()))


@pytest.mark.parametrize(
    ("weights", "changes", "name", "words"),
    [
        (WEIGHTS, {UP: "gguf:q5_0", DOWN: "gguf:q5_0"}, UP, {"bits"}),
        (WEIGHTS, {UP: "gguf:q4_1", DOWN: "gguf:q4_1"}, "", {"format"}),
        (WEIGHTS, {UP: None}, UP, {"ignored"}),
        (_without(UP), {}, UP, {"missing"}),
        ({**WEIGHTS, UP: np.zeros_like(WEIGHTS[UP])}, {}, UP, {"zeros"}),
        (_swap(QUERY, KEY), {}, QUERY, {"error"}),
    ],
    ids=["an override ignored", "low ends", "left float", "missing", "zeros", "two exchanged"],
)
def test_a_gguf_file_with_names_of_its_own_is_held_to_the_same(
    tmp_path: Path, weights: Any, changes: Any, name: str, words: set[str]
) -> None:
    found = _deviations(_verify(write_gguf(tmp_path / "m.gguf", weights, BLOCKS, changes), BLOCKS))
    assert words <= set(found[name] if name else [word for words in found.values() for word in words])


@pytest.mark.parametrize("original", [True, False], ids=["with the float source", "without"])
def test_parts_of_stacks_and_of_fused_tensors_are_held_one_by_one(tmp_path: Path, original: bool) -> None:
    rng = np.random.default_rng(5)
    names = [f"model.layers.0.mlp.experts.{expert}.up_proj.weight" for expert in range(4)]
    names += [f"model.layers.0.self_attn.{one}_proj.weight" for one in "qkv"]
    weights = {name: rng.normal(size=(64, 64)).astype(np.float32) for name in names}
    plan = make_plan(weights, "gguf:q4_0", "gguf:q8_0", budget_bpw=6.5)
    path = write_stacked_gguf(tmp_path / "m.gguf", weights, 4, dead=2)
    found = {row.tensor: row for row in _verify(path, plan, original=weights if original else None)}
    assert "zeros" in found[names[2]].deviations
    for name in names:
        row = found[name]
        assert row.size_bytes_file == 64 * 64 * 18 // 32  # its share: blocks of 32 in 18 bytes
        is_wide = plan.assignments[name] == "gguf:q8_0"
        assert ("bits" in row.deviations) is is_wide
        if name != names[2] and not is_wide:
            assert row.deviations == ()


def test_a_tied_output_is_held_to_the_scheme_of_both(tmp_path: Path) -> None:
    schemes = {EMBEDDING: "gguf:q8_0", HEAD: "gguf:q8_0"}
    tied = {**WEIGHTS, HEAD: WEIGHTS[EMBEDDING]}
    path = write_gguf(tmp_path / "m.gguf", {name: v for name, v in tied.items() if name != HEAD}, BLOCKS, schemes)
    rows = {row.tensor: row for row in _verify(path, BLOCKS, original=tied)}
    assert rows[HEAD].tensor_file == "token_embd.weight"
    assert "serves as both" in rows[HEAD].reason
    planned = {name: BLOCKS.assignments[name] for name in schemes}
    assert {name: rows[name].deviates for name in schemes} == {name: planned[name] != "gguf:q8_0" for name in schemes}


def test_a_file_that_dequantizes_to_the_same_values_is_still_not_as_planned(tmp_path: Path) -> None:
    scheme = Scheme.parse(PLAN.assignments[UP])
    rounded = {**WEIGHTS, UP: scheme.fit(WEIGHTS[UP]).round_trip(WEIGHTS[UP])}
    found = _verify(write_own(tmp_path / "m.safetensors", rounded, PLAN, {UP: None}))
    row = next(row for row in found if row.tensor == UP)
    assert row.deviations == ("ignored",)
    assert row.sqnr_db >= row.sqnr_db_least


def test_half_a_decibel_is_allowed_and_no_more(tmp_path: Path) -> None:
    scheme = Scheme.parse(PLAN.assignments[UP])
    # A grid whose ends are cut by a twentieth: the same format, groups and bytes, other steps.
    for share, deviates in ((1.0, False), (0.6, True)):
        cut = np.clip(WEIGHTS[UP], *(sign * share * np.abs(WEIGHTS[UP]).max() for sign in (-1, 1)))
        path = write_own(tmp_path / f"{share}.safetensors", {**WEIGHTS, UP: cut.astype(np.float32)}, PLAN)
        row = next(row for row in _verify(path) if row.tensor == UP)
        assert row.sqnr_db_least == pytest.approx(row.sqnr_db_planned - ALLOWED_DB)
        assert (row.deviations == ("error",)) is deviates
        assert str(scheme) == row.planned


def test_what_is_kept_may_be_rounded_to_sixteen_bits(tmp_path: Path) -> None:
    weights = {**WEIGHTS, NORM: WEIGHTS[NORM].astype(np.float16)}
    table = _verify(write_own(tmp_path / "m.safetensors", weights, PLAN))
    row = next(row for row in table if row.tensor == NORM)
    assert not row.deviates
    assert row.sqnr_db > row.sqnr_db_least == KEPT_DB


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        ({"other": np.ones((4, 4), np.float32)}, "has none of the tensors that the plan quantizes"),
        ({name: np.ones((3, 5), np.float32) for name in WEIGHTS}, "every planned tensor has another shape in arrays"),
    ],
    ids=["other names", "other shapes"],
)
def test_a_plan_for_another_file_is_refused_in_one_line(weights: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match) as told:
        verify_plan(PLAN, ArraySource(weights))
    assert "\n" not in str(told.value)


def test_once_cancelled_the_rows_so_far_are_marked_as_partial() -> None:
    cancel, seen = threading.Event(), list[tuple[int, int]]()

    def tell(done: int, total: int, _name: str) -> None:
        seen.append((done, total))
        if done == 2:
            cancel.set()

    table = verify_plan(PLAN, ArraySource(WEIGHTS), on_progress=tell, cancel=cancel)
    assert (len(table), table.complete) == (3, False)
    assert seen == [(0, 7), (1, 7), (2, 7)]


def test_another_float_source_than_the_plans_is_told() -> None:
    table = verify_plan(PLAN, ArraySource(WEIGHTS), ArraySource({**WEIGHTS, UP: WEIGHTS[UP] * 2}))
    assert "is not the file that the plan was made from" in table.coverage[0]["reason"]


@pytest.mark.parametrize(
    "other",
    [{"fc.weight": WEIGHTS[UP]}, {name: np.ones((3, 3), np.float32) for name in WEIGHTS}],
    ids=["names", "sizes"],
)
def test_another_float_model_is_refused(tmp_path: Path, other: Any) -> None:
    with pytest.raises(ValueError, match="--float arrays has none of the tensors that the plan quantizes"):
        _verify(write_own(tmp_path / "m.safetensors", WEIGHTS, PLAN), original=other)


def test_what_the_float_source_lacks_is_not_proven(tmp_path: Path) -> None:
    found = _deviations(_verify(write_own(tmp_path / "m.safetensors", WEIGHTS, PLAN), original=_without(UP)))
    assert found == {UP: ("unread",)}


def test_the_float_source_may_have_names_of_its_own(tmp_path: Path) -> None:
    shorter = {name.removeprefix("model."): values for name, values in WEIGHTS.items()}
    table = _verify(write_own(tmp_path / "m.safetensors", WEIGHTS, PLAN), original=shorter)
    assert (_deviations(table), table.totals[0].measured) == ({}, 7)


def test_more_may_be_allowed_where_a_tool_rounds_for_the_sake_of_outputs(tmp_path: Path) -> None:
    path = write_own(tmp_path / "m.safetensors", {**WEIGHTS, UP: WEIGHTS[UP] * 1.05}, PLAN)
    with open_checkpoint(path) as file:
        words = [_deviations(verify_plan(PLAN, file, ArraySource(WEIGHTS), allowed_db=db)) for db in (ALLOWED_DB, 20)]
    assert words == [{UP: ("error",)}, {}]


def test_names_may_be_mapped() -> None:
    plan = make_plan(WEIGHTS, "float16", "bfloat16", budget_bpw=16)
    file = ArraySource({f"net/{i}": v.astype(np.float16) for i, v in enumerate(WEIGHTS.values())}, name="m.npz")
    maps = {f"^{name}$": f"net/{i}" for i, name in enumerate(WEIGHTS)}
    with pytest.raises(ValueError, match="need --map"):
        verify_plan(plan, file)
    table = verify_plan(plan, file, maps=maps)
    wrong = {name for name, scheme in plan.assignments.items() if scheme == "bfloat16"}
    assert {name for name, words in _deviations(table).items() if words == ("ignored",)} == wrong


@pytest.mark.parametrize(
    ("stored", "scheme", "words"),
    [
        ("compressed-tensors int4 group=128", "int4 sym-full group=128", []),
        ("compressed-tensors int4 channel", "int4 group=256", []),  # a row has 256: one group is the row
        ("compressed-tensors int4 group=64", "int4 group=128", ["grouping"]),
        ("compressed-tensors int4 group=128 asym", "int4 group=128", ["symmetry"]),
        ("compressed-tensors int8 channel", "int4 channel", ["bits"]),
        ("gptq int4 group=128", "int4 group=128", []),
        ("gptq int4 group=128", "int4 asym group=128", []),  # its words leave zero points open
        ("awq int4 group=128", "int4 asym group=128", []),
        ("awq int4 group=128", "int4 group=128", ["symmetry"]),
        ("mlx int4 group=64", "int4 asym group=64", []),
        ("torchao int8 channel", "int8 channel", []),
        ("qdq int8 channel", "int8 channel", []),
        ("qdq uint8 channel asym", "int8 asym channel", []),
        ("bnb nf4 group=64", "nf4 group=64", []),
        ("bnb fp4 group=64", "nf4 group=64", ["format"]),
        ("fp8 e4m3 channel", "fp8_e4m3 channel", []),
        ("fp8 e5m2 channel", "fp8_e4m3 channel", ["format"]),
        ("fp8 e4m3 block=128x128", "fp8_e4m3 channel", ["grouping"]),
        ("mxfp4", "mxfp4", []),
        ("gguf:mxfp4", "mxfp4", []),
        ("nvfp4", "nvfp4", []),
        ("nvfp4", "mxfp4", ["format"]),
        ("gguf:q8_0", "int8 group=32", []),
        ("gguf:q4_1", "int4 group=32", ["symmetry"]),
        ("gguf:q4_k", "int4 group=32", ["format"]),
        ("gguf:q4_k", "gguf:q4_0", ["format"]),
    ],
)
def test_layouts_of_other_tools_are_read_as_schemes(stored: str, scheme: str, words: list[str]) -> None:
    info = TensorInfo("w", (64, 256), "int32", 1, stored=stored)
    assert [word for word, _ in find_type_faults(Scheme.parse(scheme), Part(info))] == words


_EVERY = [
    *(f"int{bits} {words}" for bits in (2, 3, 4, 8) for words in ("group=32", "sym-full channel", "asym group=64")),
    *("int5 tensor", "int6 block=8x16", "int7 sym-noclip group=48", "int4 channel scale=float16"),
    *("binary channel", "ternary group=32", "nf4 group=64", "nf4 group=64 scale=double", "fp4_e2m1 channel"),
    *("fp6_e2m3 channel", "fp8_e4m3 channel", "fp8_e5m2 tensor", "mxfp4", "mxfp8_e4m3", "nvfp4", "gguf:q4_0"),
]  # fmt: skip


def _find_fact(text: str) -> tuple[Any, ...]:
    """What types can tell apart: the format, the blocks on this shape, zero points."""
    scheme = Scheme.parse(text)
    layout = scheme.lay_out((32, 128))
    signed = scheme.symmetry.signed if scheme.format.is_integer else None
    return str(scheme.format), layout.block_rows, layout.block_columns, signed


def test_every_scheme_is_itself_in_a_file_and_no_other(tmp_path: Path) -> None:
    values = np.random.default_rng(2).normal(size=(32, 128)).astype(np.float32)
    schemes = {f"w{place}": text for place, text in enumerate(_EVERY)}
    path = write_own(tmp_path / "m.safetensors", dict.fromkeys(schemes, values), PLAN, schemes)
    sizes = {str(row.scheme): row.size_bytes for row in sweep({"w": values}, _EVERY)}
    with open_checkpoint(path) as file:
        parts = {info.name: Part(info) for info in file.tensors}
    for name, text in schemes.items():
        scheme = Scheme.parse(text)
        assert list(find_type_faults(scheme, parts[name])) == []
        assert list(find_size_fault(scheme, parts[name], planned=sizes[str(scheme)])) == []
        for other, part in parts.items():
            if schemes[other].startswith("gguf:") and scheme.format.is_integer:
                continue  # its blocks are groups of integers, and pass for such
            differs = _find_fact(text) != _find_fact(schemes[other])
            assert bool(list(find_type_faults(scheme, part))) is differs, (text, schemes[other])


@pytest.mark.parametrize(
    ("size", "words"),
    [(64 * 128, []), (64 * 128 + 64 * 2 * 2, []), (64 * 128 - 1, ["bytes"]), (64 * 256, ["bytes"])],
    ids=["codes alone", "16-bit scales", "too few", "twice as many"],
)
def test_bytes_lie_between_the_codes_and_the_widest_scales(size: int, words: list[str]) -> None:
    info = TensorInfo("w", (64, 256), "int32", size, stored="compressed-tensors int4 group=128")
    scheme = Scheme.parse("int4 group=128")
    assert [word for word, _ in find_size_fault(scheme, Part(info), planned=64 * 128 + 64 * 2 * 4)] == words


def test_the_answer_says_what_was_checked_and_names_what_deviates(tmp_path: Path) -> None:
    path = write_own(tmp_path / "m.safetensors", WEIGHTS, PLAN, {UP: None})
    told = outline(_verify(path, original=None))
    assert told.headline.startswith("m.safetensors: 6 of 7 tensors are as planned, 1 deviate (ignored 1). ")
    assert told.headline.endswith("Checked: types, bytes, no errors, for want of a float source.")
    assert UP in told.warnings[0]
    assert outline(_verify(path)).headline.endswith("errors of 7 tensors.")
