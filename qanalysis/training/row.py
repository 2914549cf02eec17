"""What is told of each step of a quantized training, and of rules replayed over statistics? The columns of `train` and
`track`.

One row per configuration, step, layer and kind. Rows of the whole network have the layer `(model)` and the kind
`training` (the batch of the step), `held-out`, `float` or `post-training` (held-out data before training, with the
float network and with the first ranges), `old-data` or `new-data` (of a drifted stream), `distillation`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from qanalysis.results.columns import Kind, RowType, column, figure

MODEL = "(model)"


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryTotal(RowType):
    """One configuration as a whole; held-out figures unless said otherwise."""

    configuration: str = column("Configuration")
    steps: int = column("Steps", least=0, formula="optimizer steps done")
    skipped_steps: int = column("Skipped steps", least=0, formula="steps without an update: a gradient was not finite")
    float_loss: float | None = figure("Float loss", "nat", better="lower", formula="held-out, float network")
    float_accuracy: float | None = figure("Float accuracy", better="higher", share=True)
    post_training_loss: float | None = figure(
        "Post-training loss", "nat", better="lower", formula="held-out, quantized by the first ranges, not trained on"
    )
    post_training_accuracy: float | None = figure("Post-training accuracy", better="higher", share=True)
    final_loss: float | None = figure("Final loss", "nat", better="lower", formula="held-out, after the last step")
    final_accuracy: float | None = figure("Final accuracy", better="higher", share=True)
    adjustments: int = column("Adjustments", least=0, formula="ranges and widths moved by an event of their rule")
    checks: int = column("Checks", least=0, formula="times that a range was looked at")
    switches: int = column("Switches", least=0, formula="changes of the gradient strategy by a policy")
    flips: int = column("Flips", least=0, formula="codes of weights that differ from those of the step before, summed")


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRow(RowType):
    """One quantized tensor of a layer at one step, or the whole network (`MODEL`)."""

    KIND: ClassVar[Kind] = Kind(
        "train",
        "history",
        "A quantized training, step by step",
        "qanalysis train CONFIG --out history.parquet",
        totals=HistoryTotal,
        reads=False,
    )
    shown_first: ClassVar[tuple[str, ...]] = (
        "configuration", "step", "layer", "kind", "loss", "accuracy", "bits", "step_size", "error", "event",
    )  # fmt: skip

    configuration: str = column("Configuration", formula="its name, or the text of the rule")
    step: int = column("Step", least=0, formula="optimizer steps done before")
    layer: str = column("Layer", formula="(model) for the whole network")
    kind: str = column("Kind", formula="which data: input, output, weight or a gradient of these")
    loss: float | None = figure("Loss", "nat", better="lower", formula="mean over the targets of the step's batch")
    accuracy: float | None = figure("Accuracy", better="higher", share=True)
    bits: int | None = figure("Bits", "bit")
    s: int | None = figure("Exponent s", formula="step = 2^s; null where the step is no power of two by rule")
    f: float | None = figure("Precision f", formula="the step where it is a real number")
    step_size: float | None = figure("Step", formula="the largest of the groups")
    low: float | None = figure("Low end", formula="the lowest of the groups")
    high: float | None = figure("High end", formula="the highest of the groups")
    error: float | None = figure(
        "Error E", "LSB", better="lower", formula="sqrt(mean(((x − Q(x))/step)²)) of unclipped elements"
    )
    v_scalar: float | None = figure("Fluctuation of E", formula="std(E)/mean(E) over 20 steps, or a policy's window")
    v_elem: float | None = figure(
        "Fluctuation of elements", formula="sqrt(12 mean(m2 − m1²)), running means of each element's error in steps"
    )
    strategy: str | None = figure("Strategy", formula="the gradient rule in use")
    grad_rms: float | None = figure("Gradient rms", formula="of the corrected gradient")
    grad_cosine: float | None = figure(
        "Gradient cosine", better="higher", formula="between the corrected gradient and the float network's"
    )
    flips: int | None = figure("Flips", formula="codes that differ from the step before, summed since the last row")
    clipped_fraction: float | None = figure("Clipped", better="lower", share=True)
    event: str = column("Event", default="", formula="what changed in this step and why")
    absmax: float | None = figure("Largest |x|", formula="over finite elements")
    absmin: float | None = figure("Smallest |x| > 0")
    mean: float | None = figure("Mean |x|")
    std: float | None = figure("Std of |x|", formula="of the population")
    numel: int | None = figure("Elements", formula="finite ones; of the network, the items learned from so far")
    non_finite: int | None = figure("Non-finite", formula="elements that are NaN or infinite")
    dead_zone: float | None = figure("Dead zone", share=True, formula="share with 0 < |x| < step/2 (A11)")
    diff_bit: float | None = figure("Mean distortion", formula="log2(|mean|x| − mean|Q(x)||/mean|x| + 1) (A13)")
    checked: bool | None = figure("Checked", formula="whether the rule looked at its range in this step")
    data_low: float | None = figure("Smallest x", formula="over finite elements")
    data_high: float | None = figure("Largest x", formula="over finite elements")
    mean_quantized: float | None = figure("Mean |Q(x)|")
    correction_rms: float | None = figure("Correction rms", formula="of the corrected gradient less the plain one")
    first_exponent: int | None = figure("First block exponent", formula="of the smallest scale 2^e among the blocks")
    exponent_counts: tuple[int, ...] | None = figure(
        "Blocks per exponent", formula="blocks whose scale is 2^e, for e from first_exponent up"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackTotal(RowType):
    """One rule over all series of a log."""

    configuration: str = column("Rule", formula="its text")
    series: int = column("Series", least=0, formula="of a layer, kind and group each")
    observations: int = column("Observations", least=0, formula="steps of all series in which something was seen")
    checks: int = column("Checks", least=0)
    adjustments: int = column("Adjustments", least=0, formula="changes of a range or a width")
    clipping: int = column("Clipping steps", least=0, formula="observations with the largest |x| beyond the range")
    relative_rounding_energy: float | None = figure("Rounding energy", better="lower", formula="over the signal's")
    relative_clipped_energy: float | None = figure("Clipped energy", better="lower", formula="over the signal's")
    sqnr_db: float | None = figure("SQNR, estimated", "dB", better="higher", formula="from both energies")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackRow(HistoryRow):
    """A rule over one observation of a log: what its quantizer would have been; figures that need elements are null.

    Energies are per element, in the square of the data's unit; estimates say so in `energy_by`.
    """

    KIND: ClassVar[Kind] = Kind(
        "track",
        "track",
        "What rules would have done over recorded statistics",
        "qanalysis track STATS --rule 'up-step + down' --out track.parquet",
        totals=TrackTotal,
        sourceless=True,
    )
    shown_first: ClassVar[tuple[str, ...]] = (
        "configuration", "step", "layer", "kind", "absmax", "bits", "s", "f", "high", "clipped_fraction", "event",
    )  # fmt: skip

    group: str = column("Group", default="", formula="which group of the tensor, where the log tells them apart")
    rounding_energy: float | None = figure("Rounding energy", better="lower", formula="mean square of rounding errors")
    clipped_energy: float | None = figure("Clipped energy", better="lower", formula="mean square of clipping errors")
    energy_by: str = column("Energy by", default="", formula="measured, exact, or estimated and under which law")
