"""A source under a scheme: values, sizes and words are those of the scheme, and what is no weight stays as it is."""

from __future__ import annotations

import numpy as np

from qanalysis import open_checkpoint
from qanalysis.checkpoints.source import ArraySource
from qanalysis.comparisons.requantized import RequantizedSource
from qanalysis.quantizers.scheme import Scheme


def test_values_and_sizes_are_those_of_the_scheme() -> None:
    values = np.random.default_rng(2).standard_normal((6, 64), dtype=np.float32)
    made = RequantizedSource(ArraySource({"w": values}), Scheme.parse("int4 group=32"))
    assert np.array_equal(made.read(made.tensors[0]), Scheme.parse("int4 group=32").fit(values).round_trip(values))
    # 4 bits a code, a float32 scale for each of 12 groups
    assert made.size_bytes == made.tensors[0].size_bytes == (4 * values.size + 32 * 12) // 8


def test_what_is_no_weight_stays_as_it_is() -> None:
    with open_checkpoint("sample:digits-cnn") as source:
        made = RequantizedSource(source, Scheme.parse("int4"))
        kept = [info for info in made.tensors if not info.stored]
        assert {info.role for info in kept} == {"bias", "norm", "buffer"}
        assert all(np.array_equal(made.read(info), source.read(info)) for info in kept if info.decodes)


def test_a_scheme_that_can_not_be_laid_on_a_tensor_leaves_it_plain() -> None:
    values = np.ones((6, 10), np.float32)
    made = RequantizedSource(ArraySource({"w": values}), Scheme.parse("gguf:q4_0"))
    assert made.tensors[0].stored == ""
    assert np.array_equal(made.read(made.tensors[0]), values)
    assert made.notes == ("1 of 1 weights stay as they are: gguf:q4_0 can not be laid on their shape",)
