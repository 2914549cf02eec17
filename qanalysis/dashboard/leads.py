"""How does one page lead to the same layer on another? By an address, for a source that both can open."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode

from qanalysis.checkpoints.source import SAMPLE_PREFIX
from qanalysis.dashboard.runnable_models import CONFIG, MODEL_SAMPLES, MODEL_SUFFIXES
from qanalysis.dashboard.sources import read_root


def lead_to_layers(source: str, layer: str, scheme: str) -> str:
    """The address of a layer under a scheme on page Layers, under the page's own where it is ""; "" for a model that is
    no sample and no path.

    >>> lead_to_layers("sample:digits-cnn", "fc.weight", "int4 channel")
    './?source=sample%3Adigits-cnn&layer=fc.weight&scheme=int4+channel'
    >>> lead_to_layers("package.module:make", "w", "int4")
    ''
    """
    if not source or (":" in source and not source.startswith(SAMPLE_PREFIX)):
        return ""
    asked = {"source": source, "layer": layer, "scheme": scheme}
    return f"./?{urlencode({name: word for name, word in asked.items() if word})}"


def lead_to_sensitivity(source: str, layer: str, scheme: str) -> str:
    """The address of a layer under a scheme on page Sensitivity; "" for a source that is no model that runs.

    >>> lead_to_sensitivity("sample:outliers", "w", "int4")
    ''
    """
    if not _runs(source):
        return ""
    return f"./sensitivity?{urlencode({'model': source, 'layer': layer, 'scheme': scheme})}"


def _runs(source: str) -> bool:
    if source.startswith(SAMPLE_PREFIX):
        return source.removeprefix(SAMPLE_PREFIX) in MODEL_SAMPLES
    if ":" in source:
        return False
    return source.lower().endswith(MODEL_SUFFIXES) or Path(read_root(), source, CONFIG).is_file()
