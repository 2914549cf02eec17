"""Why does a layer lose what it loses under a scheme, and what would help? Causes with numbers and cures measured on
the layer.
"""

from qanalysis.diagnosis.causes import Cause
from qanalysis.diagnosis.cures import Cure
from qanalysis.diagnosis.findings import Diagnosis, diagnose

__all__ = ["Cause", "Cure", "Diagnosis", "diagnose"]
