"""Two sources compared: figures by hand, structure without values, order found by values, and what can not be compared."""

from __future__ import annotations

import math
import threading
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import save_file

import qanalysis
from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.source import ArraySource, CheckpointError, TensorInfo
from qanalysis.comparisons.compare import CompareProgress, compare
from qanalysis.comparisons.row import ComparisonRow
from qanalysis.reports.comparison_sections import tell_answer
from qanalysis.results.conditions import hold_all
from qanalysis.results.table import Table

Floats = NDArray[np.float32]


def draw(*shape: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(0, 0.05, shape).astype(np.float32)


def only(table: Table[ComparisonRow]) -> ComparisonRow:
    assert len(table) == 1
    return table[0]


def turn(w: Floats, heads: int) -> Floats:
    """What the converter of llama.cpp does to q and k."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


class Described(ArraySource):
    """Arrays with aliases, roles and layouts of their own."""

    def __init__(self, arrays: Mapping[str, Any], **more: Mapping[str, Any]) -> None:
        super().__init__(arrays, name="described")
        self._more = more

    @property
    def tensors(self) -> tuple[TensorInfo, ...]:  # type: ignore[override]
        from dataclasses import replace

        every = ArraySource(self._arrays).tensors
        return tuple(
            replace(info, **{word: by_name[info.name] for word, by_name in self._more.items() if info.name in by_name})
            for info in every
        )


def test_figures_by_hand() -> None:
    x, y = np.float32([[3.0, 0.0], [0.0, 4.0]]), np.float32([[3.0, 0.5], [0.0, 3.0]])
    row = only(compare({"w": x}, {"w": y}))
    assert row.sqnr_db == pytest.approx(10 * math.log10(25 / 1.25), rel=1e-12)
    assert row.relative_l2 == pytest.approx(math.sqrt(1.25 / 25), rel=1e-12)
    assert row.cosine == pytest.approx(21 / (5 * math.sqrt(18.25)), rel=1e-12)
    assert (row.max_abs_error, row.status, row.reason) == (1.0, "ok", "")


def test_a_source_against_itself_has_no_error() -> None:
    arrays = {"w": draw(8, 8), "zero": np.zeros((2, 2), np.float32)}
    table = qanalysis.compare(arrays, arrays)
    assert [(row.sqnr_db, row.max_abs_error, row.relative_l2) for row in table] == [(math.inf, 0.0, 0.0)] * 2
    assert table.more["pooled"]["sqnr_db"] is None


def test_the_pooled_figure_is_that_of_all_values_as_one_tensor() -> None:
    a = {"u": draw(8, 4), "v": 3 * draw(5, 7, seed=1)}
    b = {name: x + 0.01 * draw(*x.shape, seed=2) for name, x in a.items()}
    x, y = (np.concatenate([one.astype(np.float64).ravel() for one in side.values()]) for side in (a, b))
    expected = 10 * math.log10((x @ x) / ((y - x) @ (y - x)))
    assert compare(a, b).more["pooled"]["sqnr_db"] == pytest.approx(expected, rel=1e-12)


def test_what_is_equal_and_what_is_no_weight_does_not_raise_the_pooled_figure() -> None:
    a = {"fc.weight": draw(8, 4), "same.weight": 100 * draw(9, 9), "fc_norm.weight": 1000 * np.ones(16, np.float32)}
    norms = {"fc_norm.weight": "norm"}
    b = {**a, "fc.weight": a["fc.weight"] + np.float32(0.25), "fc_norm.weight": a["fc_norm.weight"] + np.float32(1)}
    x, y = a["fc.weight"].astype(np.float64), b["fc.weight"].astype(np.float64)
    pooled = compare(Described(a, role=norms), Described(b, role=norms)).more["pooled"]
    assert pooled["sqnr_db"] == pytest.approx(10 * math.log10((x**2).sum() / ((y - x) ** 2).sum()), rel=1e-12)
    assert (pooled["tensors"], pooled["same"], pooled["pooled"], pooled["over"]) == (3, 1, 1, "weights")
    a, b = {"fc_norm.weight": draw(16)}, {"fc_norm.weight": draw(16) + 1}
    pooled = compare(Described(a, role=norms), Described(b, role=norms)).more["pooled"]
    assert (pooled["pooled"], pooled["over"]) == (1, "tensors")


def test_values_that_are_not_finite_are_left_out_and_counted() -> None:
    x, y = draw(4, 4), draw(4, 4) + np.float32(0.5)
    x[0, 0], y[1, 1], y[2, 2] = np.nan, np.inf, -np.inf
    row = only(compare({"w": x}, {"w": y}))
    fine = np.isfinite(x) & np.isfinite(y)
    e = (y.astype(np.float64) - x)[fine]
    assert row.sqnr_db == pytest.approx(10 * math.log10(np.square(x[fine].astype(float)).sum() / (e @ e)), rel=1e-12)
    told = "B is A + 0.5 throughout; 1 value of A not finite, left out; 2 values of B not finite, left out"
    assert row.reason == told


def test_infinities_of_both_signs_are_left_out_without_a_warning() -> None:
    y = draw(4, 4)
    y[0, 0], y[1, 1] = np.inf, -np.inf
    assert "2 values of B not finite" in only(compare({"w": draw(4, 4)}, {"w": y})).reason


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_value_that_is_finite_in_one_alone_is_no_equality(broken: float) -> None:
    x, y = draw(4, 4), draw(4, 4)
    y[1, 2] = broken
    table = compare({"u": x, "w": x}, {"u": x, "w": y})
    row = table[1]
    assert (row.status, row.sqnr_db, row.max_abs_error) == ("ok", None, None)
    assert row.reason == "1 value of B not finite, left out; the others are the same value by value"
    assert (table.more["pooled"]["same"], table.more["pooled"]["non_finite"]) == (1, 1)
    answer = tell_answer(table, list(table))
    assert "1 without figures" in answer
    assert "1 with values that are not finite in one of the two alone" in answer
    (check,) = hold_all(table, ["sqnr_db<20"])
    assert not check.met
    assert compare({"w": y}, {"w": y}).more["pooled"]["same"] == 1


@pytest.mark.parametrize("x", [np.full((2, 2), np.nan, np.float32), np.zeros((0, 4), np.float32)], ids=["nan", "empty"])
def test_a_tensor_without_a_finite_element_has_no_figures(x: Floats) -> None:
    row = only(compare({"w": x}, {"w": x}))
    assert (row.status, row.sqnr_db, row.max_abs_error) == ("ok", None, None)
    assert row.reason


@pytest.mark.parametrize("stated", [True, False], ids=["heads stated", "heads unknown"])
@pytest.mark.parametrize("turned", [True, False], ids=["rows turned", "rows kept"])
def test_the_order_of_q_and_k_in_gguf_is_undone_or_found(tmp_path: Path, stated: bool, turned: bool) -> None:
    gguf = pytest.importorskip("gguf")
    ours = {f"model.layers.0.self_attn.{w}_proj.weight": draw(r, 32, seed=r) for w, r in (("q", 64), ("k", 32))}
    writer = gguf.GGUFWriter(tmp_path / "b.gguf", "llama")
    if stated:
        writer.add_head_count(4)
        writer.add_head_count_kv(2)
    for (name, values), heads in zip(ours.items(), (4, 2), strict=True):
        found = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 1).get_name(name, try_suffixes=(".weight",))
        kind = gguf.GGMLQuantizationType.Q8_0
        blocks = gguf.quants.quantize(turn(values, heads) if turned else values, kind)
        writer.add_tensor(found, blocks, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with open_checkpoint(tmp_path / "b.gguf") as b:
        tables = compare(ours, b), compare(b, ours)
    for row in [*tables[0], *tables[1]]:
        # Q8_0 of Gaussian values: 45.43 dB; of 1024 and more of them within half a dB.
        assert row.sqnr_db == pytest.approx(45.43, abs=0.5)
        assert row.matched_by == ("gguf+heads" if turned else "gguf")
        assert ("found by trial" in row.reason) == (turned != stated)
    assert all(row.theory_sqnr_db == pytest.approx(45.43, abs=0.05) for row in tables[0])


@given(seed=st.integers(0, 99), heads=st.sampled_from([1, 2, 4]), groups=st.sampled_from([1, 2]))
@settings(max_examples=12, deadline=None)
def test_parts_of_a_fused_tensor_are_compared_in_whichever_order_they_lie(seed: int, heads: int, groups: int) -> None:
    width, queries = 8, heads * groups * 8
    q, k, v = (
        draw(queries, 16, seed=seed),
        draw(heads * width, 16, seed=seed + 1),
        draw(heads * width, 16, seed=seed + 2),
    )
    by_heads = [
        np.concatenate(
            [q.reshape(heads, groups, width, 16)[h].reshape(-1, 16), k[h * width :][:width], v[h * width :][:width]]
        )
        for h in range(heads)
    ]
    stem = "layers.0.self_attn"
    ours = {f"{stem}.q_proj.weight": q, f"{stem}.k_proj.weight": k, f"{stem}.v_proj.weight": v}
    for whole in (np.concatenate([q, k, v]), np.concatenate(by_heads)):
        table = compare(ours, {f"model.{stem}.qkv_proj.weight": whole})
        assert [row.max_abs_error for row in table] == [0.0] * 3
        assert {row.matched_by for row in table} == {"fused q/k/v"}
        # The bytes of the whole are told once in all.
        assert sum(row.size_bytes_b or 0 for row in table) == whole.nbytes


@pytest.mark.parametrize("how", ["halves", "in turn", "the other way round"])
def test_gate_and_up_of_a_stack_are_found_in_whichever_order_they_lie(how: str) -> None:
    gate, up = draw(2, 4, 8, seed=1), draw(2, 4, 8, seed=2)
    whole = {
        "halves": np.concatenate([gate, up], 1),
        "in turn": np.stack([gate, up], 2).reshape(2, 8, 8),
        "the other way round": np.concatenate([up, gate], 1),
    }[how]
    single = {f"mlp.experts.{e}.{w}_proj.weight": x[e] for e in (0, 1) for w, x in (("gate", gate), ("up", up))}
    table = compare({"mlp.experts.gate_up_proj": whole}, single)
    assert [row.max_abs_error for row in table] == [0.0] * 4
    assert sorted(row.tensor_b for row in table) == sorted(single)


def test_a_stack_of_the_transposed_is_compared_expert_by_expert() -> None:
    stack = draw(3, 4, 6)
    table = compare(
        {f"l.experts.{e}.down.weight": stack[e].T.copy() for e in range(3)}, {"l.experts.down.weight": stack}
    )
    assert [(row.max_abs_error, row.matched_by) for row in table] == [(0.0, "stacked, transposed")] * 3


def test_transposed_storage_and_axes_of_length_one_are_brought_together() -> None:
    w = draw(4, 6)
    table = compare({"a": w, "b": w, "c": w[0]}, {"a": w.T.copy(), "b": w.reshape(4, 6, 1, 1), "c": w[:1]})
    assert [row.max_abs_error for row in table] == [0.0] * 3
    assert [row.matched_by for row in table] == ["identical, transposed", "identical", "identical"]


@pytest.mark.parametrize("flipped", [False, True], ids=["GGUF is B", "GGUF is A"])
def test_keys_and_values_of_latent_attention_are_taken_apart_as_converters_do(flipped: bool) -> None:
    heads, keys, values, rank = 3, 8, 6, 10
    both = draw(heads * (keys + values), rank)
    by_head = both.reshape(heads, keys + values, rank)
    parts = {
        "blk.0.attn_k_b.weight": np.ascontiguousarray(by_head[:, :keys].swapaxes(1, 2)),
        "blk.0.attn_v_b.weight": np.ascontiguousarray(by_head[:, keys:]),
    }
    sides = [{"model.layers.0.self_attn.kv_b_proj.weight": both}, parts]
    rows = list(compare(*sides[::-1] if flipped else sides))
    assert [(row.status, row.max_abs_error, row.matched_by) for row in rows] == [("ok", 0.0, "gguf, fused k/v")] * 2


@pytest.mark.parametrize("flipped", [False, True], ids=["GGUF is B", "GGUF is A"])
@pytest.mark.parametrize("mean", [0.0, 8.0])
def test_what_converters_add_to_norms_is_taken_into_account(mean: float, flipped: bool) -> None:
    norm = draw(64) + np.float32(mean)
    ours = {"model.norm.weight": norm, "model.layers.0.input_layernorm.weight": draw(64, seed=1) + np.float32(mean)}
    theirs = {"output_norm.weight": norm + np.float32(1), "blk.0.attn_norm.weight": ours[list(ours)[1]]}
    sides = [Described(ours, role=dict.fromkeys(ours, "norm")), Described(theirs, role=dict.fromkeys(theirs, "norm"))]
    rows = list(compare(*sides[::-1] if flipped else sides))
    assert [row.max_abs_error for row in rows] == [0.0, 0.0]
    side = "B" if flipped else "A"
    assert rows[0].reason == f"{side} + 1 is compared, as converters write norms of such models to GGUF; found by trial"
    assert (rows[1].reason, rows[1].matched_by) == ("", "gguf")


def test_what_converters_make_of_a_state_matrix_is_taken_into_account() -> None:
    log = draw(16, 8)
    row = only(compare({"backbone.layers.0.mixer.A_log": log}, {"blk.0.ssm_a": -np.exp(log)}))
    assert row.max_abs_error == pytest.approx(0, abs=1e-6)  # e^0.2 has steps of 1.2e-7 in float32
    assert row.reason.startswith("−exp(A) is compared, as converters write it to GGUF")


def test_what_does_not_fit_is_told_and_not_measured() -> None:
    a = {"w": draw(4, 4), "embed": draw(10, 4), "other": draw(4, 4), "n": np.arange(4), "m": draw(2, 8)}
    b = {"w": draw(4, 4), "embed": draw(12, 4), "extra": draw(2, 2), "n": np.arange(4), "m": draw(3, 5)}
    table = compare(a, b)
    assert [(row.tensor_a, row.tensor_b, row.status) for row in table] == [
        ("w", "w", "ok"),
        ("embed", "embed", "shape"),
        ("other", "", "only-a"),
        ("n", "n", "dtype"),
        ("m", "m", "shape"),
        ("", "extra", "only-b"),
    ]
    assert table[1].reason == "B has 2 rows more"
    assert "int64" in table[3].reason
    assert {(one["part"], one["reason"]): one["tensors"] for one in table.coverage}[("without figures", "shape")] == 2


def test_names_of_tied_tensors_have_rows_of_their_own() -> None:
    both = Described({"embed": draw(4, 2)}, aliases={"embed": ("head",)})
    rows = {(row.tensor_a, row.tensor_b): row.status for row in compare(both, both)}
    assert rows == {("embed", "embed"): "ok", ("head", "head"): "tied"}
    one = compare(both, {"embed": draw(4, 2)})
    assert [(row.tensor_a, row.tensor_b, row.status) for row in one][1] == ("head", "embed", "tied")
    apart = compare(both, {"embed": draw(4, 2), "head": draw(4, 2)})
    assert [(row.tensor_b, row.status, row.size_bytes_a) for row in apart] == [
        ("embed", "ok", 32),
        ("head", "ok", None),
    ]


class Untouchable(ArraySource):
    """Values that no one may read."""

    def read(self, info: TensorInfo) -> Floats:
        raise CheckpointError(f"{info.name} was read")

    read_slice = read  # type: ignore[assignment]


def test_structure_comes_from_headers_alone() -> None:
    arrays = {"w": draw(4, 4), "v": draw(3)}
    table = compare(Untouchable(arrays), Untouchable(arrays), structure_only=True)
    assert [(row.status, row.sqnr_db, row.size_bytes_b) for row in table] == [("ok", None, 64), ("ok", None, 12)]


def test_a_tensor_that_can_not_be_read_says_why_and_the_others_are_measured() -> None:
    class Broken(ArraySource):
        def read_slice(self, info: TensorInfo, start: int, stop: int) -> Floats:
            if info.name == "bad":
                raise CheckpointError("its bytes are gone")
            return super().read_slice(info, start, stop)

    arrays = {"bad": draw(2, 2), "good": draw(2, 2)}
    table = compare(arrays, Broken(arrays))
    assert [(row.status, row.reason) for row in table] == [("dtype", "its bytes are gone"), ("ok", "")]


def test_no_name_in_common_says_how_both_are_spelled_and_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"A has 'encoder\.w', B has 'decoder\.v'.*--map") as caught:
        compare({"encoder.w": draw(2, 2)}, {"decoder.v": draw(2, 2)})
    assert "\n" not in str(caught.value)


def test_expressions_choose_pairs_by_either_name() -> None:
    a, b = {"model.u": draw(2, 2), "model.v": draw(2, 2)}, {"u": draw(2, 2), "v": draw(2, 2)}
    assert [row.tensor_b for row in compare(a, b, include="^v$")] == ["v"]
    assert [row.tensor_b for row in compare(a, b, exclude=r"model\.v")] == ["u"]
    with pytest.raises(ValueError, match="leaves none of the 2 tensors"):
        compare(a, b, include="nothing")


def test_a_run_that_is_cancelled_keeps_its_rows() -> None:
    arrays = {str(place): draw(2, 2) for place in range(4)}
    cancel, seen = threading.Event(), list[CompareProgress]()

    def tell(progress: CompareProgress) -> None:
        seen.append(progress)
        if progress.done == 1:
            cancel.set()

    table = compare(arrays, arrays, on_progress=tell, cancel=cancel)
    assert not table.complete
    assert [row.sqnr_db is None for row in table] == [False, False, True, True]
    assert [(one.done, one.total, one.tensor) for one in seen] == [(0, 4, "0"), (1, 4, "1")]


def test_hostile_names_stay_on_one_line() -> None:
    name = "layer\x1b[2J\n\u202e" + "x" * 500
    table = compare({name: draw(2, 2), "w": draw(2, 2)}, {"w": draw(3, 2)})
    assert all("\n" not in row.reason for row in table)
    with pytest.raises(ValueError, match="no tensor of") as caught:
        compare({name: draw(2, 2)}, {"w": draw(2, 2)})
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("axis", [0, 1], ids=["output", "input"])
def test_the_channel_that_holds_the_error_is_named(axis: int) -> None:
    x = draw(64, 64)
    noise = 0.1 * draw(64, 64, seed=1)
    noise[(18, slice(None)) if axis == 0 else (slice(None), 18)] *= 30
    b = Described({"w": x + noise}, stored={"w": "compressed-tensors int4 group=32"})
    row = only(compare({"w": x}, b))
    assert row.theory_sqnr_db is not None
    assert row.sqnr_db is not None
    kind = "outlier channel" if axis == 0 else "outlier input channel"
    share = float(np.square(np.take(noise, 18, axis)).sum() / np.square(noise).sum())
    assert row.reason == (
        f"{row.theory_sqnr_db - row.sqnr_db:.1f} dB worse than Gaussian, {kind} 18 ({100 * share:.2g} % of the error)"
    )


def test_an_outlier_that_coarsens_the_step_of_a_tensor_is_named() -> None:
    x = draw(64, 64)
    x[18] *= 20
    scale = np.abs(x).max() / 127
    b = Described({"w": (np.rint(x / scale) * scale).astype(np.float32)}, stored={"w": "qdq int8 tensor"})
    row = only(compare({"w": x}, b))
    assert row.theory_sqnr_db is not None
    assert row.sqnr_db is not None
    # One row of 64 with 400 times the power: nearly all signal and, by the common step, 1/64 of the error.
    gap = row.theory_sqnr_db - row.sqnr_db
    assert gap > 0.5
    assert row.reason.startswith(f"{gap:.1f} dB worse than Gaussian, outlier channel 18 (largest value ")


@pytest.mark.parametrize(
    ("b", "told"),
    [
        (np.zeros_like, "every value of B is 0"),
        (lambda x: x + np.float32(1), "B is A + 1 throughout"),
        (lambda x: np.float32(0.5) * x, "B is A times 0.5 throughout"),
        (lambda x: x + 0.1 * draw(*x.shape, seed=5), ""),
    ],
    ids=["zeros", "one added", "halved", "noise"],
)
def test_what_follows_from_a_throughout_is_told(b: Callable[[Floats], Floats], told: str) -> None:
    x = draw(64)
    assert only(compare({"norm": x}, {"norm": b(x)})).reason == told


def test_weights_that_a_graph_numbers_are_found_by_their_nodes(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    onnx = pytest.importorskip("onnx")
    arrays = {"enc.0.weight": draw(6, 4), "enc.2.weight": draw(6, 6, seed=1), "head.weight": draw(3, 6, seed=2)}
    torch.save({name: torch.from_numpy(values) for name, values in arrays.items()}, tmp_path / "m.pt")
    nodes, places = [], ["/enc/enc.0/MatMul", "/enc/enc.2/MatMul", "/head/MatMul"]
    for at, node in enumerate(places):
        nodes.append(onnx.helper.make_node("MatMul", [f"x{at}", f"onnx::MatMul_{at + 7}"], [f"x{at + 1}"], node))
    held = [
        onnx.numpy_helper.from_array(np.ascontiguousarray(values.T), f"onnx::MatMul_{at + 7}")
        for at, values in enumerate(arrays.values())
    ]
    ends = [onnx.helper.make_tensor_value_info(name, 1, [1, size]) for name, size in (("x0", 4), ("x3", 3))]
    graph = onnx.helper.make_graph(nodes, "g", ends[:1], ends[1:], held)
    onnx.save(onnx.helper.make_model(graph), tmp_path / "m.onnx")
    with open_checkpoint(tmp_path / "m.pt") as a, open_checkpoint(tmp_path / "m.onnx") as b:
        table = compare(a, b)
    assert [(row.tensor_a, row.tensor_b) for row in table] == [
        (name, f"onnx::MatMul_{at + 7}") for at, name in enumerate(arrays)
    ]
    assert {(row.matched_by, row.max_abs_error) for row in table} == {("graph", 0.0)}


def write_stripes(path: Path, names: Sequence[str], rows: int, columns: int) -> Path:
    arrays = {name: np.ones((rows, columns), np.float32) for name in names}
    for array in arrays.values():
        array[::7] = 0.5
    save_file(arrays, path)
    return path


def test_a_large_tensor_is_never_in_memory_whole(tmp_path: Path) -> None:
    size = 12 << 20  # values, 48 MB
    a, b = (write_stripes(tmp_path / f"{side}.safetensors", ["w"], size >> 10, 1 << 10) for side in "ab")
    with open_checkpoint(a) as first, open_checkpoint(b) as second:
        tracemalloc.start()
        try:
            assert only(compare(first, second)).sqnr_db == math.inf
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    # Blocks of 2^20 values of float32 of each side; what is made of them takes some 2 MB.
    assert peak < 24 << 20


@pytest.mark.parametrize("shape", [(3, 4, 5), (6, 3, 5, 5), (6, 5, 3, 2)], ids=["stack", "square kernel", "kernel"])
def test_input_channels_may_be_second_or_last(shape: tuple[int, ...]) -> None:
    x = draw(*shape)
    moved = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    for a, b in ((x, moved), (moved, x)):
        row = only(compare({"w": a}, {"w": b}))
        assert (row.max_abs_error, row.matched_by) == (0.0, "identical, transposed")


def test_names_of_thousands_of_words_cost_no_time() -> None:
    names = [f"{'a.' * 3000}{place}" for place in range(100)]
    began = time.monotonic()
    table = compare({name: draw(2) for name in names}, {f"p.{name}": draw(2) for name in names}, structure_only=True)
    assert {row.matched_by for row in table} == {"prefix"}
    # A second or less on a busy machine; taking every word for the end of a prefix took fourteen.
    assert time.monotonic() - began < 5
