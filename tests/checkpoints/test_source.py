"""Arrays as a checkpoint, and widening to float32."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from qanalysis.checkpoints.source import FLOAT_DTYPES, ArraySource, CheckpointError, TensorInfo, widen


@pytest.mark.parametrize("name", [name for name, dtype in FLOAT_DTYPES.items() if dtype.itemsize <= 2])
def test_every_code_of_a_narrow_float_widens_to_its_value(name: str) -> None:
    dtype = FLOAT_DTYPES[name]
    codes = np.arange(1 << (8 * dtype.itemsize), dtype=f"u{dtype.itemsize}").view(dtype)
    with np.errstate(invalid="ignore"):
        expected = [float(code) for code in codes]  # one by one, as Python floats: no path shared with the table
    np.testing.assert_array_equal(widen(codes), np.array(expected, dtype=np.float32))


def test_widening_longer_than_one_table_chunk_keeps_the_order() -> None:
    values = (np.arange(200_000) % 60_000).astype(np.float16)
    np.testing.assert_array_equal(widen(values), values.astype(np.float32))


def test_float64_rounds_to_nearest_and_overflows_to_infinity() -> None:
    values = np.array([0.1, 1e300, -1e300, np.nan, 2.0**-160])
    np.testing.assert_array_equal(
        widen(values), np.array([np.float32(0.1), np.inf, -np.inf, np.nan, 0.0], dtype=np.float32)
    )


def test_widening_keeps_shape_and_reads_other_byte_orders_and_strides() -> None:
    values = np.arange(12, dtype=">f2").reshape(3, 4)
    assert widen(values.T).flags.c_contiguous
    np.testing.assert_array_equal(widen(values.T), np.arange(12, dtype=np.float32).reshape(3, 4).T)
    assert widen(np.array(2.0)).shape == ()
    assert widen(np.array(2.0, dtype=np.float16)).shape == ()
    narrow = np.arange(12, dtype=np.float16).reshape(3, 4)
    np.testing.assert_array_equal(widen(narrow.T), narrow.T.astype(np.float32))


def test_float32_in_order_is_not_copied() -> None:
    values = np.ones(4, dtype=np.float32)
    assert widen(values) is values


def test_arrays_are_listed_as_they_are_and_integers_do_not_decode() -> None:
    arrays = {
        "w": np.ones((2, 3), dtype=ml_dtypes.bfloat16),
        "i": np.arange(4),
        "flag": np.array(True),
        "c": np.ones(2, dtype=complex),
        "e": np.empty((0, 4)),
    }
    with ArraySource(arrays) as source:
        assert [(info.name, info.shape, info.dtype, info.decodes) for info in source.tensors] == [
            ("w", (2, 3), "bfloat16", True),
            ("i", (4,), "int64", False),
            ("flag", (), "bool", False),
            ("c", (2,), "complex128", False),
            ("e", (0, 4), "float64", True),
        ]
        assert [info.numel for info in source.tensors] == [6, 4, 1, 2, 0]
        assert source.size_bytes == 12 + 32 + 1 + 32 + 0


def test_slices_of_arrays_equal_the_whole() -> None:
    array = np.arange(24.0).reshape(4, 6)
    source = ArraySource({"w": array, "t": array.T})
    for info in source.tensors:
        np.testing.assert_array_equal(source.read_slice(info, 5, 17), source.read(info).reshape(-1)[5:17])
    assert [source.is_sliceable(info) for info in source.tensors] == [True, False]


def test_digest_follows_values_names_and_shapes() -> None:
    array = np.arange(6.0)
    digests = [
        ArraySource({"w": array}).digest,
        ArraySource({"v": array}).digest,
        ArraySource({"w": array + 1}).digest,
        ArraySource({"w": array.reshape(2, 3)}).digest,
        ArraySource({"w": array.astype(np.float32)}).digest,
    ]
    assert len(set(digests)) == 5
    assert ArraySource({"w": array.copy()}, name="another label").digest == digests[0]
    assert digests[0].startswith("sha256:")
    assert len(digests[0]) == 7 + 64


def test_scalars_have_one_element() -> None:
    assert TensorInfo("s", (), "float32", 4).numel == 1


def test_a_message_is_one_line_whatever_names_it_repeats() -> None:
    assert str(CheckpointError("shard a\nb\x1b[2J\u202e is missing")) == r"shard a\nb\x1b[2J\u202e is missing"
