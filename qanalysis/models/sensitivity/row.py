"""What does quantizing one layer do to the model's output? The columns of a sensitivity, each declared once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from qanalysis.results.columns import Kind, RowType, column, figure

Target = Literal["weights", "activations", "both"]
Mode = Literal["enable-one", "disable-one", "cumulative"]
Status = Literal["ok", "non-finite", "unsupported", "failed"]
TARGETS: tuple[Target, ...] = get_args(Target)
MODES: tuple[Mode, ...] = get_args(Mode)
STATUS_WORDS: dict[Status, str] = {
    "ok": "measured",
    "non-finite": "the changed model's outputs hold NaN or infinities",
    "unsupported": "the scheme does not fit the tensor, or the layer has nothing to quantize",
    "failed": "the model did not run with this change; the reason says why",
}
_STATUS_FORMULA = "; ".join(f"{word}: {rule}" for word, rule in STATUS_WORDS.items())
_CI = "95 % bootstrap interval over samples, studentized"
_CI_P99 = "95 % bootstrap interval over samples; no higher than the largest divergence seen"
_CI_SHARE = "95 % interval of Wilson over samples, whose positions count together"


def _has_no_error(table: Any) -> Any:
    return (table.status == "ok") & (table.output_relative_l2 == 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SensitivityRow(RowType):
    """One layer under one scheme; output figures compare with the float model over all samples, sums before ratios."""

    KIND: ClassVar[Kind] = Kind(
        "sensitivity",
        "sensitivity",
        "Sensitivities: one row per layer, scheme, target and mode",
        "qanalysis sensitivity MODEL --calib DATA --out rows.json",
    )

    shown_first: ClassVar[tuple[str, ...]] = (
        "tensor",
        "scheme",
        "target",
        "mode",
        "rank",
        "output_sqnr_db",
        "output_kl",
        "loss_delta",
        "accuracy",
        "layer_output_error",
        "status",
    )

    layer: str = column("Layer", formula="path of the module or name of the node that the tensor works in")
    tensor: str = column("Tensor", formula="its name in the state dict or graph")
    target: Target = column("Target", formula="what is quantized: the layer's weights, its input, or both")
    mode: Mode = column(
        "Mode",
        formula="enable-one: this layer alone; disable-one: all but this one; cumulative: all up to this one",
    )
    scheme: str = column("Scheme", formula="as one text; defaults are left out")
    bits_per_weight: float | None = figure(
        "Bits per weight", "bit", formula="codes, scales and zero points", leave_out=9
    )
    size_bytes: int | None = figure("Size", "B", formula="of the quantized tensor", least=0, leave_out=10)
    output_sqnr_db: float | None = figure(
        "Output SQNR",
        "dB",
        better="higher",
        formula="10 log₁₀(Σy² / Σe²) of the model's outputs over all samples, e against the float model",
        infinite=float("inf"),
        exact=_has_no_error,
    )
    output_sqnr_db_low: float | None = figure("Output SQNR, low", "dB", formula=_CI, leave_out=20)
    output_sqnr_db_high: float | None = figure("Output SQNR, high", "dB", formula=_CI, leave_out=20)
    output_relative_l2: float | None = figure("Output relative L2", better="lower", formula="√(Σe² / Σy²)", leave_out=8)
    output_relative_l2_low: float | None = figure("Output relative L2, low", formula=_CI, leave_out=20)
    output_relative_l2_high: float | None = figure("Output relative L2, high", formula=_CI, leave_out=20)
    output_nsr: float | None = figure(
        "Output NSR", better="lower", formula="Σe² / Σy², the square of the relative L2", additive=True, leave_out=8
    )
    output_cosine: float | None = figure("Output cosine", better="higher", formula="y·q / (‖y‖ ‖q‖)", leave_out=11)
    output_cosine_low: float | None = figure("Output cosine, low", formula=_CI, leave_out=20)
    output_cosine_high: float | None = figure("Output cosine, high", formula=_CI, leave_out=20)
    output_kl: float | None = figure(
        "Output KL", "nat", better="lower", formula="mean over tokens of KL(float ‖ quantized)", additive=True
    )
    output_kl_low: float | None = figure("Output KL, low", "nat", formula=_CI, leave_out=20)
    output_kl_high: float | None = figure("Output KL, high", "nat", formula=_CI, leave_out=20)
    output_kl_p99: float | None = figure(
        "Output KL, 99 %", "nat", better="lower", formula="99 % quantile over tokens", leave_out=12
    )
    output_kl_p99_low: float | None = figure("Output KL, 99 %, low", "nat", formula=_CI_P99, leave_out=20)
    output_kl_p99_high: float | None = figure("Output KL, 99 %, high", "nat", formula=_CI_P99, leave_out=20)
    loss: float | None = figure("Loss", better="lower", formula="mean over targets, with this change", leave_out=7)
    loss_low: float | None = figure("Loss, low", formula=_CI, leave_out=20)
    loss_high: float | None = figure("Loss, high", formula=_CI, leave_out=20)
    loss_delta: float | None = figure(
        "Loss change", better="lower", formula="loss − that of the float model, same samples", additive=True
    )
    loss_delta_low: float | None = figure("Loss change, low", formula=_CI, leave_out=20)
    loss_delta_high: float | None = figure("Loss change, high", formula=_CI, leave_out=20)
    accuracy: float | None = figure(
        "Accuracy", better="higher", share=True, formula="share of labels with the largest logit"
    )
    accuracy_low: float | None = figure("Accuracy, low", share=True, formula=_CI_SHARE, leave_out=20)
    accuracy_high: float | None = figure("Accuracy, high", share=True, formula=_CI_SHARE, leave_out=20)
    layer_output_error: float | None = figure(
        "Layer output error",
        better="lower",
        formula="tr(E C Eᵀ) / tr(W C Wᵀ), C = E[aaᵀ] of the layer's input: error energy of a linear layer's output",
        additive=True,
    )
    imatrix_mse: float | None = figure(
        "Weighted error",
        better="lower",
        formula="Σ E[aⱼ²] eᵢⱼ² / Σ E[aⱼ²] wᵢⱼ²",
        additive=True,
        leave_out=6,
    )
    fisher: float | None = figure(
        "Fisher", better="lower", formula="Σ over samples of (∂L/∂w · e)², mean", additive=True, leave_out=5
    )
    hawq: float | None = figure(
        "Hessian trace × error", better="lower", formula="tr(H)/n · ‖e‖² (HAWQ-V2)", additive=True, leave_out=5
    )
    samples: int = column(
        "Samples", counts=True, least=0, formula="samples that the outputs were measured on", leave_out=14
    )
    tokens: int = column(
        "Tokens",
        counts=True,
        least=0,
        formula="positions that count in them: targets without padding, else input tokens, else samples",
        leave_out=13,
    )
    noise_floor_sqnr_db: float | None = figure(
        "Noise floor",
        "dB",
        formula="output SQNR of this layer's weight rounded to bfloat16, or of another order of batches: the lower one",
        leave_out=4,
    )
    rank: int | None = figure(
        "Rank", least=1, formula="1: hurts most by the settings' metric; layers of one tie group share it", counts=True
    )
    tie_group: int | None = figure(
        "Tie group",
        least=1,
        formula="layers of one group can not be told apart at 95 %",
        counts=True,
        leave_out=3,
    )
    status: Status = column("Status", formula=_STATUS_FORMULA, default="ok")
    reason: str = column("Reason", formula="why there is no figure, or what to know of it", default="")
