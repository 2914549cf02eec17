"""What does decoding cost beside reading bfloat16? Below 2 ns per value in every layout, in slices as a sweep reads."""

import time

import ml_dtypes
import numpy as np
import pytest

from qanalysis.checkpoints.catalogue import open_checkpoint
from tests.checkpoints.packed.written import write_file

ROWS, COLUMNS, GROUP = 2048, 4096, 128
SLICE = 1 << 20
rng = np.random.default_rng(0)


def words(*shape):
    return rng.integers(0, 1 << 32, shape, dtype=np.uint32).view(np.int32)


def scales(*shape, dtype=np.float16):
    return rng.uniform(0.01, 0.02, shape).astype(dtype)


def gptq(bits, **more):
    groups = COLUMNS // GROUP
    return {
        "l.qweight": words(COLUMNS * bits // 32, ROWS),
        "l.qzeros": words(groups, ROWS * bits // 32),
        "l.scales": scales(groups, ROWS),
        **more,
    }


LAYOUTS = {
    "bfloat16": lambda: {"l.weight": scales(ROWS, COLUMNS, dtype=ml_dtypes.bfloat16)},
    "gptq-4": lambda: gptq(4),
    "gptq-3": lambda: gptq(3),
    "gptq-4-act-order": lambda: gptq(4, **{"l.g_idx": (rng.permutation(COLUMNS) // GROUP).astype(np.int32)}),
    "awq": lambda: {
        "l.qweight": words(COLUMNS, ROWS // 8),
        "l.qzeros": words(COLUMNS // GROUP, ROWS // 8),
        "l.scales": scales(COLUMNS // GROUP, ROWS),
    },
    "compressed-tensors-4": lambda: {
        "l.weight_packed": words(ROWS, COLUMNS // 8),
        "l.weight_scale": scales(ROWS, COLUMNS // GROUP),
        "l.weight_shape": np.array([ROWS, COLUMNS]),
    },
    "fp8-blocks": lambda: {
        "l.weight": scales(ROWS, COLUMNS, dtype=ml_dtypes.float8_e4m3fn),
        "l.weight_scale_inv": scales(ROWS // 128, COLUMNS // 128, dtype=np.float32),
    },
    "nvfp4": lambda: {
        "l.weight": words(ROWS, COLUMNS // 8).view(np.uint8),
        "l.weight_scale": scales(ROWS, COLUMNS // 16, dtype=ml_dtypes.float8_e4m3fn),
        "l.weight_scale_2": np.ones(1, np.float32),
    },
}


@pytest.mark.benchmark(timer=time.process_time)  # other processes of the machine do not count
@pytest.mark.parametrize("layout", LAYOUTS)
def test_decoding(benchmark, tmp_path, layout):
    with open_checkpoint(write_file(tmp_path / "model.safetensors", LAYOUTS[layout]())) as source:
        (info,) = source.tensors
        assert info.shape == (ROWS, COLUMNS)

        def read():
            for start in range(0, info.numel, SLICE):
                source.read_slice(info, start, start + SLICE)

        benchmark.pedantic(read, rounds=8, warmup_rounds=1)
    assert benchmark.stats.stats.min < 2e-9 * ROWS * COLUMNS
