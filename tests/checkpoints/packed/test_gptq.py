"""GPTQ: words by hand, a scalar decoder, auto-gptq itself, versions and act-order, and parts that do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.checkpoints.packed.written import read_logical, read_one
from tests.reference_packed import decode_gptq, pack_rows

Arrays = dict[str, NDArray[Any]]
EXTREMES = np.array([1e-45, 1e-38, 1e30, -3e38, np.inf, np.nan, 0.0, -0.0], np.float32)


def words(*values: int) -> NDArray[np.int32]:
    return np.array(values, np.uint32).view(np.int32)


def draw_parts(
    rows: int, columns: int, group: int, bits: int, *, seed: int = 0, permuted: bool = False, dtype: Any = np.float16
) -> Arrays:
    rng = np.random.default_rng(seed)
    groups = -(-columns // group)
    order = np.arange(columns, dtype=np.int32) // group
    return {
        "l.qweight": pack_rows(rng.integers(0, 1 << bits, (rows, columns)), bits).T.copy(),
        "l.qzeros": pack_rows(rng.integers(0, 1 << bits, (groups, rows)), bits),
        "l.scales": (rng.normal(size=(groups, rows)) / 8).astype(dtype),
        "l.g_idx": rng.permutation(order) if permuted else order,
    }


def decode(parts: Arrays, bits: int, added: int = 1) -> NDArray[np.float32]:
    return decode_gptq(parts["l.qweight"], parts["l.qzeros"], parts["l.scales"], parts["l.g_idx"], bits, added)


def test_a_word_by_hand(tmp_path: Path) -> None:
    parts = {
        "l.qweight": np.repeat(words(0x76543210)[:, np.newaxis], 8, axis=1),
        "l.qzeros": words(0x77777777).reshape(1, 1),
        "l.scales": np.full((1, 8), 0.5, np.float16),
    }
    found = read_one(tmp_path, "l.weight", parts)
    np.testing.assert_array_equal(found.values, [[-4, -3.5, -3, -2.5, -2, -1.5, -1, -0.5]] * 8)
    assert found.info.stored == "gptq int4 group=8"
    assert "version 1 (z + 1): all are 7" in found.info.note


def test_three_bits_straddle_words(tmp_path: Path) -> None:
    column = words(0x88FAC688, 0xC688FAC6, 0xFAC688FA)
    parts = {
        "l.qweight": np.repeat(column[:, np.newaxis], 32, axis=1),
        "l.qzeros": pack_rows(np.full((1, 32), 3), 3),
        "l.scales": np.ones((1, 32), np.float32),
    }
    found = read_one(tmp_path, "l.weight", parts)
    np.testing.assert_array_equal(found.values, [[-4, -3, -2, -1, 0, 1, 2, 3] * 4] * 32)
    assert found.info.stored == "gptq int3 group=32"


def test_bits_per_weight_count_all_parts(tmp_path: Path) -> None:
    info = read_one(tmp_path, "l.weight", draw_parts(256, 256, 128, 4)).info
    assert info.stored_bits == 4 + (16 + 4) / 128 + 32 / 256
    assert info.shape == (256, 256)
    assert list(read_logical(tmp_path, draw_parts(256, 256, 128, 4))) == ["l.weight"]


@pytest.mark.parametrize(
    ("columns", "group", "permuted", "stored"),
    [
        (144, 64, False, "gptq int4 group=64"),
        (144, 48, False, "gptq int4 group=48"),
        (144, 64, True, "gptq int4 group=64 act-order"),
    ],
    ids=["short last group", "equal groups", "act-order"],
)
def test_the_index_of_groups_tells_their_length(
    tmp_path: Path, columns: int, group: int, permuted: bool, stored: str
) -> None:
    parts = draw_parts(16, columns, group, 4, permuted=permuted)
    found = read_one(tmp_path, "l.weight", parts)
    assert found.info.stored == stored
    np.testing.assert_array_equal(found.values, decode(parts, 4))


def test_a_length_that_nothing_tells_is_told(tmp_path: Path) -> None:
    parts = draw_parts(16, 144, 48, 4)
    del parts["l.g_idx"]
    doubt = "groups of 48 taken, as nothing tells their length; 64 with a short last one fit the scales too"
    assert read_one(tmp_path, "l.weight", parts).info.note.endswith(doubt)
    config = {"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 64}}
    told = read_one(tmp_path, "l.weight", parts, config=config).info
    assert told.stored == "gptq int4 group=64"
    assert "nothing tells" not in told.note


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("permuted", [False, True], ids=["in-order", "act-order"])
@pytest.mark.parametrize("version", ["gptq", "gptq_v2"])
def test_values_equal_a_scalar_decoder(tmp_path: Path, bits: int, permuted: bool, version: str) -> None:
    parts = draw_parts(32, 64, 32, bits, permuted=permuted)
    config = {"quantization_config": {"quant_method": "gptq", "bits": bits, "checkpoint_format": version}}
    found = read_one(tmp_path, "l.weight", parts, config=config)
    np.testing.assert_array_equal(found.values, decode(parts, bits, 1 if version == "gptq" else 0))
    assert found.info.stored == f"gptq int{bits} group=32{' act-order' if permuted else ''}"
    assert "as the configuration says" in found.info.note


@given(
    rows=st.sampled_from([32, 64, 96]),
    periods=st.integers(1, 3),
    group=st.sampled_from([8, 32, 96]),
    bits=st.sampled_from([2, 3, 4, 8]),
    permuted=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_packed_then_read_equals_decoded(
    tmp_path: Path, rows: int, periods: int, group: int, bits: int, permuted: bool, seed: int
) -> None:
    parts = draw_parts(rows, 32 * periods, group, bits, seed=seed, permuted=permuted, dtype=np.float32)
    parts["l.scales"][0, :8] = EXTREMES
    beside = {"quantize_config.json": {"group_size": group, "bits": bits}}
    found = read_one(tmp_path, "l.weight", parts, beside=beside)
    np.testing.assert_array_equal(found.values, decode(parts, bits))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, ml_dtypes.bfloat16])
def test_scales_are_widened_exactly(tmp_path: Path, dtype: Any) -> None:
    parts = draw_parts(32, 32, 8, 4, dtype=dtype)
    np.testing.assert_array_equal(read_one(tmp_path, "l.weight", parts).values, decode(parts, 4))


@pytest.mark.parametrize(
    ("stored", "told", "added", "note"),
    [
        (7, "gptq", 1, "version 1 (z + 1): all are 7, the middle less one"),
        (7, "gptq_v2", 1, "though the configuration says gptq_v2"),
        (8, "gptq", 0, "version 2 (z): all are 8, the middle of the codes, though the configuration says gptq"),
        (8, None, 0, "version 2 (z): all are 8"),
        (3, None, 1, "as nothing says otherwise"),
        (3, "gptq_v2", 0, "version 2 (z), as the configuration says"),
    ],
)
def test_symmetric_zero_points_tell_the_version(
    tmp_path: Path, stored: int, told: str | None, added: int, note: str
) -> None:
    parts = draw_parts(32, 32, 16, 4)
    parts["l.qzeros"] = pack_rows(np.full((2, 32), stored), 4)
    config = {"quantization_config": {"quant_method": "gptq", "checkpoint_format": told}}
    found = read_one(tmp_path, "l.weight", parts, config=config)
    assert note in found.info.note
    np.testing.assert_array_equal(found.values, decode(parts, 4, added))


def test_zero_points_of_all_ones_are_one_past_the_codes_and_counted(tmp_path: Path) -> None:
    parts = draw_parts(32, 32, 16, 4)
    fields = np.full((2, 32), 7)
    fields[1, :3] = 15
    parts["l.qzeros"] = pack_rows(fields, 4)
    found = read_one(tmp_path, "l.weight", parts)
    assert "3 are 15, read as 16, where some runtimes wrap to 0" in found.info.note
    np.testing.assert_array_equal(found.values, decode(parts, 4))


@pytest.mark.parametrize("dtype", [np.int16, np.int64, np.uint8], ids=str)
def test_words_of_another_width_hold_the_same_stream(tmp_path: Path, dtype: Any) -> None:
    parts = draw_parts(80, 64, 16, 4)
    expected = decode(parts, 4)
    rng = np.random.default_rng(0)
    parts["l.qweight"] = pack_rows(rng.integers(0, 16, (80, 64)), 4, dtype).T.copy()
    parts["l.qzeros"] = pack_rows(rng.integers(0, 16, (4, 80)), 4, dtype)
    np.testing.assert_array_equal(read_one(tmp_path, "l.weight", parts).values, expected)


def change(name: str, value: Any) -> Any:
    return lambda parts: parts.update({name: value})


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (change("l.scales", np.ones((3, 32), np.float16)), r"scales of shape \[3, 32\] and qzeros of \[2, 4\]"),
        (change("l.scales", np.ones((2, 16), np.float16)), r"qweight of shape \[4, 32\] and scales of \[2, 16\]"),
        (change("l.scales", np.ones((2, 32), np.int32)), "scales of int32"),
        (change("l.qzeros", np.ones((2, 5), np.int32)), r"qzeros of shape \[2, 5\] hold 5 bits"),
        (change("l.qzeros", np.ones((2, 0), np.int32)), r"qzeros of shape \[2, 0\]"),
        (change("l.g_idx", np.full(32, 2, np.int32)), "g_idx names group 2, where scales of 2 rows have 0 to 1"),
        (change("l.g_idx", np.full(32, -1, np.int32)), "g_idx names group -1"),
        (change("l.g_idx", np.zeros(64, np.int32)), r"64 codes of 4 bits .* do not fill qweight of shape \[4, 32\]"),
        (change("l.g_idx", np.zeros(32, np.float32)), "g_idx of shape"),
        (change("l.qweight", np.ones((0, 32), np.int32)), r"do not fill qweight of shape \[0, 32\]"),
        (lambda parts: parts.pop("l.qzeros"), r"l\.qzeros is missing"),
        (lambda parts: parts.pop("l.scales"), r"l\.scales is missing"),
        (
            lambda parts: (
                parts.pop("l.g_idx"),
                parts.update({"l.qweight": np.ones((3, 32), np.int32)}),
                parts.update({"l.qzeros": np.ones((5, 4), np.int32), "l.scales": np.ones((5, 32), np.float16)}),
            ),
            "24 columns do not divide into 5 groups",
        ),
    ],
)
def test_parts_that_do_not_fit_are_a_row_with_a_reason(tmp_path: Path, damage: Any, match: str) -> None:
    parts = draw_parts(32, 32, 16, 4)
    damage(parts)
    found = read_logical(tmp_path, parts)["l.qweight"]
    assert not found.info.decodes
    with pytest.raises(ValueError, match=match):
        raise ValueError(found.info.reason)


@pytest.mark.parametrize(
    ("settings_", "reason"),
    [
        ({"checkpoint_format": "gptq_p"}, "split bit planes"),
        ({"checkpoint_format": "marlin"}, "Marlin"),
        ({"is_marlin_format": True}, "Marlin"),
    ],
)
def test_variants_are_refused_by_name(tmp_path: Path, settings_: dict[str, Any], reason: str) -> None:
    parts = draw_parts(32, 32, 16, 4)
    info = read_one(tmp_path, "l.weight", parts, config={"quantization_config": settings_}).info
    assert not info.decodes
    assert reason in info.reason
    assert info.size_bytes == sum(part.nbytes for part in parts.values())


@pytest.mark.parametrize(
    ("names", "word"), [(["s"], "Marlin"), (["s_channel", "s_group"], "QQQ")], ids=["marlin", "qqq"]
)
def test_codes_permuted_for_a_kernel_are_refused_by_name(tmp_path: Path, names: list[str], word: str) -> None:
    parts = {"l.B": np.ones((2, 128), np.int32), **{f"l.{name}": np.ones((1, 64), np.float16) for name in names}}
    found = read_logical(tmp_path, parts)
    assert list(found) == ["l.weight"]
    assert word in found["l.weight"].info.reason


def test_a_lone_matrix_named_b_is_left_alone(tmp_path: Path) -> None:
    assert list(read_logical(tmp_path, {"l.B": np.ones((2, 8), np.int32)})) == ["l.B"]


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("group", [32, 128, -1])
def test_values_equal_auto_gptq(tmp_path: Path, bits: int, group: int) -> None:
    torch = pytest.importorskip("torch")
    module = pytest.importorskip("auto_gptq.nn_modules.qlinear.qlinear_cuda")
    length = 256 if group == -1 else group
    parts = draw_parts(64, 256, length, bits, permuted=True)
    layer = module.QuantLinear(bits, group, 256, 64, False, weight_dtype=torch.float32)
    for name in ("qweight", "qzeros", "g_idx"):
        setattr(layer, name, torch.from_numpy(parts[f"l.{name}"]))
    layer.scales = torch.from_numpy(parts["l.scales"].astype(np.float32))
    with torch.no_grad():
        expected = layer(torch.eye(256)).T.numpy()
    np.testing.assert_array_equal(read_one(tmp_path, "l.weight", parts).values, expected)
