"""What does a form of quantization cost and save? The columns of a comparison of forms, each declared once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from qanalysis.results.columns import Kind, RowType, column, figure

Target = Literal["weights", "activations", "both"]
Status = Literal["ok", "non-finite", "unsupported", "failed"]
TARGETS: tuple[Target, ...] = get_args(Target)
STATUS_WORDS: dict[Status, str] = {
    "ok": "measured",
    "non-finite": "the quantized model's outputs hold NaN or infinities",
    "unsupported": "the scheme fits no tensor, or there is nothing to quantize",
    "failed": "the model did not run in this form; the reason says why",
}
_STATUS_FORMULA = "; ".join(f"{word}: {rule}" for word, rule in STATUS_WORDS.items())
_CI = "95 % bootstrap interval over samples"


def _has_no_error(table: Any) -> Any:
    return (table.status == "ok") & (table.output_relative_l2 == 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class FormRow(RowType):
    """A whole model in one form, before or after a repair; output figures compare with the float model over all
    samples, sums before ratios.
    """

    KIND: ClassVar[Kind] = Kind(
        "forms",
        "forms",
        "Forms: one row per form of quantization and repair",
        "qanalysis forms MODEL --calib DATA --out rows.json",
    )

    shown_first: ClassVar[tuple[str, ...]] = (
        "form",
        "repair",
        "size_bytes",
        "size_ratio",
        "output_sqnr_db",
        "layer_error",
        "accuracy",
        "loss_delta",
        "status",
    )

    form: str = column("Form", formula="W: weights, A: activations, each with its width; 1 is binary")
    target: Target = column("Target", formula="what is quantized: weights, layers' inputs, or both")
    bits: int = column("Bits", counts=True, least=1, formula="of a code of the weights, else of the activations")
    weight_scheme: str = column("Weight scheme", formula="as one text; empty where weights stay float", default="")
    activation_scheme: str = column(
        "Activation scheme", formula="of each layer's input, as one text; empty where it stays float", default=""
    )
    repair: str = column("Repair", formula="what was done to make up for the error; empty for nothing", default="")
    size_bytes: int = column(
        "Size",
        "B",
        least=0,
        formula="all tensors: quantized ones with scales and zero points, the others as they are",
    )
    size_ratio: float = column("Size ratio", better="lower", formula="size / size of the float model", leave_out=9)
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
    layer_error: float | None = figure(
        "Layer error",
        better="lower",
        formula="mean over layers of √(Σ(o′ − o)² / Σo²), o a layer's output in the float model and o′ in this form, "
        "where what comes before it is quantized too",
    )
    layer_error_worst: float | None = figure(
        "Layer error, worst", better="lower", formula="that of the worst layer", leave_out=10
    )
    worst_layer: str = column("Worst layer", formula="the layer of that error", default="", leave_out=11)
    loss: float | None = figure("Loss", better="lower", formula="mean over targets, in this form", leave_out=7)
    loss_low: float | None = figure("Loss, low", formula=_CI, leave_out=20)
    loss_high: float | None = figure("Loss, high", formula=_CI, leave_out=20)
    loss_delta: float | None = figure(
        "Loss change", better="lower", formula="loss − that of the float model, same samples", leave_out=6
    )
    loss_delta_low: float | None = figure("Loss change, low", formula=_CI, leave_out=20)
    loss_delta_high: float | None = figure("Loss change, high", formula=_CI, leave_out=20)
    accuracy: float | None = figure(
        "Accuracy", better="higher", share=True, formula="share of labels with the largest logit"
    )
    accuracy_low: float | None = figure("Accuracy, low", share=True, formula=_CI, leave_out=20)
    accuracy_high: float | None = figure("Accuracy, high", share=True, formula=_CI, leave_out=20)
    float_accuracy: float | None = figure(
        "Float accuracy", share=True, formula="of the float model, same samples", leave_out=12
    )
    samples: int = column("Samples", counts=True, least=0, formula="samples that were measured", leave_out=14)
    tokens: int = column(
        "Tokens",
        counts=True,
        least=0,
        formula="positions that count in them: targets without padding, else input tokens, else samples",
        leave_out=13,
    )
    status: Status = column("Status", formula=_STATUS_FORMULA, default="ok")
    reason: str = column("Reason", formula="why there is no figure, or what to know of it", default="")
