"""Sensitivities with every part of a document, for the tests of charts, reports and the page."""

from __future__ import annotations

from typing import Any

from qanalysis.models.sensitivity.row import SensitivityRow
from qanalysis.results.identity import SourceIdentity
from qanalysis.results.table import Table

EVIL = "<b>evil</b>%{x}"
TENSORS = ("conv1.weight", EVIL, "fc1.weight", "fc2.weight")
SQNR_DB = (10.0, 20.0, 20.5, 60.0)
#: Ranks of the figures above: the two in the middle can not be told apart, the last one lies in the noise.
RANKS = ((1, 1), (2, 2), (2, 2), (4, 3))
FLOOR_DB = 55.0


def make_row(place: int, scheme: str = "int4 channel", **cells: Any) -> SensitivityRow:
    """The row of a layer: a figure with an interval of 1 dB to both sides, and what follows from it."""
    shift = 24.0 if scheme.startswith("int8") else 0.0
    sqnr_db = SQNR_DB[place] + shift
    ratio = 10 ** (-sqnr_db / 10)
    told: dict[str, Any] = {
        "layer": TENSORS[place].removesuffix(".weight"),
        "tensor": TENSORS[place],
        "target": "weights",
        "mode": "enable-one",
        "scheme": scheme,
        "bits_per_weight": 4.5,
        "size_bytes": 4608,
        "output_sqnr_db": sqnr_db,
        "output_sqnr_db_low": sqnr_db - 1,
        "output_sqnr_db_high": sqnr_db + 1,
        "output_relative_l2": ratio**0.5,
        "output_nsr": ratio,
        "output_kl": ratio / 4,
        "loss_delta": 0.01 - 0.005 * place,
        "accuracy": 0.9 + 0.02 * place,
        "layer_output_error": 2 * ratio,
        "samples": 450,
        "tokens": 450,
        "noise_floor_sqnr_db": FLOOR_DB,
        "rank": RANKS[place][0],
        "tie_group": RANKS[place][1],
    }
    return SensitivityRow(**(told | cells))


def make_table(*, more: bool = True, **facts: Any) -> Table[SensitivityRow]:
    """Four layers under two schemes, one of them without figures under the second, and the curve along the model."""
    rows = [
        make_row(place, scheme)
        if (place, scheme) != (3, "int8 channel")
        else SensitivityRow(
            layer="fc2", tensor="fc2.weight", target="weights", mode="enable-one", scheme=scheme, samples=450, tokens=450,
            status="unsupported", reason="the scheme does not fit",
        )
        for place in range(4)
        for scheme in ("int4 channel", "int8 channel")
    ]  # fmt: skip
    rows += [make_row(place, mode="cumulative", rank=None, tie_group=None) for place in range(4)]
    settings = {"schemes": ["int4 channel", "int8 channel"], "targets": ["weights"], "calibration": "digits.npz"}
    told: dict[str, Any] = {
        "source": SourceIdentity("sample:digits-cnn", 4096, "sha256:" + "0" * 64),
        "settings": settings | {"metric": "output_sqnr_db"},
        "more": PARTS if more else {},
    }
    return Table.from_rows(SensitivityRow, rows, **(told | facts))


_POINTS: list[dict[str, Any]] = [
    {
        "set": number, "scheme": "int4 channel", "target": "weights", "choice": "least-sensitive", "budget": 0.5,
        "layers": layers, "sum": alone, "joint": joint, "ratio": joint / alone, "ratio_low": 1.0, "ratio_high": 4.0,
    }
    for number, (layers, alone, joint) in enumerate([(2, 0.01, 0.012), (4, 0.1, 0.3)])
]  # fmt: skip
PARTS: dict[str, Any] = {
    "float": {"samples": 450, "tokens": 450, "loss": 0.0123, "loss_low": 0.01, "loss_high": 0.02, "accuracy": 0.985},
    "floor": {
        "scheme": "bfloat16",
        "samples": 56,
        "order": {"output_sqnr_db": 120.0, "output_kl": 1e-9, "loss_delta": None},
        "layers": [
            {"tensor": name, "output_sqnr_db": FLOOR_DB, "output_kl": kl, "loss_delta": -1e-6}
            for name, kl in zip(TENSORS, (1e-6, 2e-6, 4e-6, 1e-10), strict=True)
        ],
    },
    "agreement": [
        {
            "a": "output_sqnr_db", "b": "layer_output_error", "scheme": "int4 channel", "target": "weights", "layers": 4,
            "over": "samples", "spearman": 0.8, "spearman_low": 0.2, "spearman_high": 1.0, "kendall": 0.67,
            "kendall_low": -0.1, "kendall_high": 1.0,
        }
    ],
    "additivity": {
        "metric": "output_nsr",
        "points": _POINTS,
        "interaction_share": 0.66,
        "interaction_share_low": 0.5,
        "interaction_share_high": 0.7,
        "others": [{"metric": "output_kl", "points": _POINTS[:1]}],
        "warning": "output_nsr does not add up: in 1 of 2 sets the layers hurt by more than a factor of 1.5.",
    },
    "activations": {"expert_calls": {"experts.0": [5, 0, 7], "experts.1": [0, 0, 12]}},
}  # fmt: skip
