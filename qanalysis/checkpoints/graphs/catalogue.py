"""Which operators compute with quantized codes? One line each, in the order in which they are asked."""

from __future__ import annotations

from qanalysis.checkpoints.graphs.block_operators import GATHER, MATMUL_BNB4, MATMUL_NBITS
from qanalysis.checkpoints.graphs.cast_codes import CAST
from qanalysis.checkpoints.graphs.dequantize_linear import QDQ, QDQ_FLOAT
from qanalysis.checkpoints.graphs.gathered_codes import TABLE
from qanalysis.checkpoints.graphs.integer_operators import INTEGER, LSTM, QLINEAR
from qanalysis.checkpoints.graphs.operators import PackedOperator
from qanalysis.checkpoints.graphs.quantized_moe import QMOE
from qanalysis.checkpoints.graphs.scaled_floats import FP8, GEMM_FP8, NVFP4
from qanalysis.checkpoints.graphs.unread_operators import UNREAD

PACKED_OPERATORS: tuple[PackedOperator, ...] = (
    QDQ,
    QDQ_FLOAT,
    TABLE,
    QLINEAR,
    INTEGER,
    LSTM,
    MATMUL_NBITS,
    GATHER,
    MATMUL_BNB4,
    QMOE,
    FP8,
    NVFP4,
    GEMM_FP8,
    CAST,
    UNREAD,
)
