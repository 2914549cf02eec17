"""What lies beside a checkpoint and tells how to read it? The small JSON files that its tools write."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from qanalysis.checkpoints.data_file import Folder
from qanalysis.checkpoints.entries import Evidence
from qanalysis.checkpoints.source import CheckpointError

_CONFIG = "config.json"
_BESIDE = {
    "quantize_config.json": "",
    "quant_config.json": "",
    "hf_quant_config.json": "quantization",
    "quanto_qmap.json": "",
}
_KEYS = ("quantization_config", "compression_config", "quantization")
#: The files that are looked at.
EVIDENCE_NAMES = (_CONFIG, *_BESIDE)
_LARGEST = 1 << 22  # bytes: brackets take twenty times as many when they are parsed


def gather_evidence(folder: Folder, metadata: Mapping[str, str]) -> Evidence:
    """What the folder says about its model; what is missing or damaged says nothing."""
    try:
        names = set(folder.list_names())
    except CheckpointError:
        return Evidence(metadata=metadata)
    config = _read_object(folder, _CONFIG) if _CONFIG in names else {}
    found: Mapping[str, Any] = next((config[key] for key in _KEYS if isinstance(config.get(key), dict)), {})
    for name, key in _BESIDE.items():
        if not found and name in names:
            beside = _read_object(folder, name)
            inner = beside.get(key, {}) if key else beside
            found = inner if isinstance(inner, dict) else {}
    return Evidence(config, found, metadata)


def _read_object(folder: Folder, name: str) -> dict[str, Any]:
    try:
        file = folder.open(name)
    except CheckpointError:
        return {}
    try:
        found = json.loads(file.read_header(0, min(file.size, _LARGEST)))
    except (ValueError, RecursionError):
        return {}
    finally:
        file.close()
    return found if isinstance(found, dict) else {}
