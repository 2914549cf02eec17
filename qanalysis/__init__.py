"""What does quantization cost here? Error of uniform quantizers: tensors of neural networks, layer by layer, and converters."""

from qanalysis.checkpoints import CheckpointError, TensorInfo, TensorSource, open_checkpoint
from qanalysis.metrics import METRICS, ErrorStats, Histogram, measure
from qanalysis.quantizer import UniformQuantizer
from qanalysis.reports import read_rows, write_report
from qanalysis.results import COLUMNS, Row, Rows
from qanalysis.scheme import Scheme, default_schemes
from qanalysis.sweep import SweepProgress, sweep

__version__ = "0.1.0"

__all__ = [
    "COLUMNS",
    "METRICS",
    "CheckpointError",
    "ErrorStats",
    "Histogram",
    "Row",
    "Rows",
    "Scheme",
    "SweepProgress",
    "TensorInfo",
    "TensorSource",
    "UniformQuantizer",
    "default_schemes",
    "measure",
    "open_checkpoint",
    "read_rows",
    "sweep",
    "write_report",
]
