"""What does quantization cost here? Error of quantizers: tensors of neural networks, layer by layer, and converters.

The public names below are imported when they are first asked for, so that `qanalysis --help` starts at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qanalysis.checkpoints.catalogue import open_checkpoint
    from qanalysis.checkpoints.source import CheckpointError, TensorInfo, TensorSource
    from qanalysis.comparisons.compare import compare
    from qanalysis.converters.converter import Converter
    from qanalysis.converters.linearity.linearity import measure_linearity
    from qanalysis.converters.spectrum.spectrum import analyze_spectrum
    from qanalysis.models.activations.activations import measure_activations
    from qanalysis.models.calibration.opening import open_calibration
    from qanalysis.models.forms.forms import measure_forms
    from qanalysis.models.running.opening import open_model
    from qanalysis.models.sensitivity.sensitivity import measure_sensitivity
    from qanalysis.plans.plan import Plan
    from qanalysis.plans.planning import plan_bits
    from qanalysis.plans.recipes.catalogue import write_recipe
    from qanalysis.quantizers.crossing import default_schemes
    from qanalysis.quantizers.quantizer import UniformQuantizer
    from qanalysis.quantizers.scheme import Scheme
    from qanalysis.reports.report import read_rows, write_report
    from qanalysis.sums import ErrorStats, Histogram, measure
    from qanalysis.sweeps.row import COLUMNS, METRICS, Row, Rows
    from qanalysis.sweeps.sweep import SweepProgress, sweep

__version__ = "0.1.0"

__all__ = [
    "COLUMNS",
    "METRICS",
    "CheckpointError",
    "Converter",
    "ErrorStats",
    "Histogram",
    "Plan",
    "Row",
    "Rows",
    "Scheme",
    "SweepProgress",
    "TensorInfo",
    "TensorSource",
    "UniformQuantizer",
    "analyze_spectrum",
    "compare",
    "default_schemes",
    "measure",
    "measure_activations",
    "measure_forms",
    "measure_linearity",
    "measure_sensitivity",
    "open_calibration",
    "open_checkpoint",
    "open_model",
    "plan_bits",
    "read_rows",
    "sweep",
    "write_recipe",
    "write_report",
]

_HOMES = {
    "checkpoints.catalogue": ("open_checkpoint",),
    "checkpoints.source": ("CheckpointError", "TensorInfo", "TensorSource"),
    "comparisons.compare": ("compare",),
    "converters.converter": ("Converter",),
    "converters.linearity.linearity": ("measure_linearity",),
    "converters.spectrum.spectrum": ("analyze_spectrum",),
    "models.activations.activations": ("measure_activations",),
    "models.calibration.opening": ("open_calibration",),
    "models.forms.forms": ("measure_forms",),
    "models.running.opening": ("open_model",),
    "models.sensitivity.sensitivity": ("measure_sensitivity",),
    "plans.plan": ("Plan",),
    "plans.planning": ("plan_bits",),
    "plans.recipes.catalogue": ("write_recipe",),
    "sums": ("ErrorStats", "Histogram", "measure"),
    "quantizers.quantizer": ("UniformQuantizer",),
    "reports.report": ("read_rows", "write_report"),
    "quantizers.crossing": ("default_schemes",),
    "quantizers.scheme": ("Scheme",),
    "sweeps.row": ("COLUMNS", "METRICS", "Row", "Rows"),
    "sweeps.sweep": ("SweepProgress", "sweep"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"qanalysis.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
