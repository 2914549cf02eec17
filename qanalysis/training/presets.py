"""Which ready experiments show one lesson each? Small runs on the sample models, with what to look at.

Every lesson is held against a real run by the tests. `EXAMPLE` is the file that `qanalysis train --example` prints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from qanalysis.notation import quote
from qanalysis.training.configuration import Configuration, Experiment
from qanalysis.training.state import KindOfData

if TYPE_CHECKING:
    from torch import Tensor

EXAMPLE = """\
# What is trained: sample:digits-mlp, sample:digits-cnn, sample:words-transformer, or package.module:factory.
model = "sample:digits-mlp"
# What it is trained on: "sample", an .npz with x and y, or package.module:factory.
data = "sample"

# Shared by all configurations; each may override.
[defaults]
steps = 200
batch = 64
seed = 0
rate = 0.05
momentum = 0.9
record_every = 2

# One table each; they are trained one after the other and compared.
# A kind of data is quantized where its key holds a recipe: a scheme, a range rule, and rules beside it.
# Kinds: input, output, weight, input-gradient, output-gradient, weight-gradient.
[[configuration]]
name = "3 bits, straight through"
weight = "int3 channel"

[[configuration]]
name = "3 bits, scaled gradients"
weight = "int3 channel + minmax + ewgs"

[[configuration]]
name = "3 bits, inputs too, a float teacher"
weight = "int3 channel + minmax + ewgs"
input = "int4 asym + counts first=0.6 second=0.8"
distillation = "distillation temperature=4 share=0.7"
"""

_OUTLIER_DATA = "qanalysis.training.presets:brighten_a_digit"


@dataclass(frozen=True, slots=True)
class Preset:
    """An experiment with its lesson in one sentence, and where it shows: `look_at` in words, a layer and a kind."""

    id: str
    title: str
    lesson: str
    look_at: str
    layer: str
    kind: KindOfData
    experiment: Experiment


def _write_preset(
    name: str,
    title: str,
    lesson: str,
    look_at: str,
    configurations: Mapping[str, Mapping[str, Any]],
    *,
    layer: str = "fc1",
    kind: KindOfData = "weight",
    model: str = "sample:digits-mlp",
    data: str | None = None,
    **shared: Any,
) -> Preset:
    """A preset from the words of its configurations by name; `shared` are those that all have."""
    chosen = tuple(
        Configuration.from_words({"name": one, **words}, {"steps": 200, "record_every": 2, **shared})
        for one, words in configurations.items()
    )
    return Preset(name, title, lesson, look_at, layer, kind, Experiment(model, data, chosen))


_WRITTEN = (
    _write_preset(
        "oscillation",
        "Weights that flip to and fro",
        "Straight through, weights near the border of a cell flip for ever; scaled gradients flip far less often, and "
        "dampening ends it.",
        "flips, and the fluctuation of elements",
        {
            "straight through": {"weight": "int3 channel"},
            "scaled": {"weight": "int3 channel + minmax + ewgs"},
            "dampened": {"weight": "int3 channel + minmax + dampening"},
        },
        rate=0.1,
        momentum=0.9,
    ),
    _write_preset(
        "blind-measure",
        "A measure that can not see oscillation",
        "The fluctuation of E stays near 0 while weights flip, so a policy that listens to it never acts; that of the "
        "elements does.",
        "both fluctuations with their thresholds, and the strategy",
        {
            "by elements": {"weight": "int3 channel + minmax + policy below=ste between=dampening"},
            "by E": {"weight": "int3 channel + minmax + policy measure=scalar below=ste between=dampening"},
        },
        rate=0.1,
        momentum=0.9,
    ),
    _write_preset(
        "outlier-batch",
        "One bright digit in each epoch",
        "A running range keeps one outlier for ever and loses the rest to coarse steps, an average remembers it for a "
        "while, counts do not move.",
        "the range over what was seen, and the held-out loss",
        {
            "widest so far": {"input": "int4 asym + minmax running=yes"},
            "average": {"input": "int4 asym + ema"},
            "counts": {"input": "int4 asym + counts"},
        },
        kind="input",
        data=_OUTLIER_DATA,
        calibration=2,
        record_every=1,
    ),
    _write_preset(
        "guarded-mean",
        "A lowering that raises",
        "With an outlier in the window the mean of all values lies above the range, so the literal rule raises it "
        "where it means to lower; guarded, only values below count.",
        "the range, and the events that say why it moved",
        {
            "literal": {"input": "int4 asym + counts mean=literal start=3"},
            "guarded": {"input": "int4 asym + counts start=3"},
        },
        layer="fc2",
        kind="input",
        data=_OUTLIER_DATA,
        calibration=2,
        layers="fc2",
        record_every=1,
    ),
    _write_preset(
        "exponent-rule",
        "An exponent that does not cover",
        "Where the largest value is a power of two, the exponent of the source lies just below it: the check fires at "
        "every step, moves nothing, and full ink is clipped; the library's and the covering rule hold it.",
        "the clipped share, and the range below the largest value",
        {
            "source": {"input": "int4 + up-step exponent=source"},
            "library": {"input": "int4 + up-step exponent=library"},
            "covering": {"input": "int4 + up-step exponent=covering"},
        },
        kind="input",
        layers="fc1",
    ),
    _write_preset(
        "up-and-down",
        "Up at once, up gradually, and down again",
        "After a jump the step goes up at once and clips nothing, or gradually and clips on the way; only with down "
        "does a range come back.",
        "the exponent, and the clipped share at the bright digit",
        {
            "at once": {"input": "int6 + up-step"},
            "gradually": {"input": "int6 + up-gradual"},
            "at once, and down": {"input": "int6 + up-step + down"},
        },
        kind="input",
        data=_OUTLIER_DATA,
        calibration=2,
        record_every=1,
        layers="fc1",
    ),
    _write_preset(
        "adaptive-interval",
        "Look rarely while nothing moves",
        "While the exponent is steady, checks at an interval that adapts do what checks at every step do, with a "
        "twentieth of them.",
        "the checks, and error E",
        {
            "every step": {"weight": "int8 + up-step + down"},
            "adaptive": {"weight": "int8 + up-step + down + average"},
        },
        rate=0.05,
        momentum=0.9,
    ),
    _write_preset(
        "width-growth",
        "Gradients that ask for more bits",
        "Most gradients are far below the largest, so 8 bits move their mean magnitude; the width grows to 16 where "
        "they do, and the cosine to the float gradient rises.",
        "bits, the mean distortion, and the gradient's cosine",
        {
            "8 bits": {"output-gradient": "int8"},
            "growing": {"output-gradient": "int8 + minmax + width-growth"},
        },
        kind="output-gradient",
    ),
    _write_preset(
        "learned-step",
        "A step that is learned",
        "At 2 bits the largest weight sets a step that rounds the others away; a learned step clips a few and serves "
        "the many.",
        "the step, the clipped share, and held-out accuracy",
        {
            "largest": {"weight": "int2"},
            "learned": {"weight": "int2 + lsq"},
        },
        rate=0.05,
    ),
    _write_preset(
        "gradient-formats",
        "Gradients in 4 bits",
        "One step for a whole tensor turns the gradient away from the float one; blocks with scales of their own keep "
        "its direction, small blocks best.",
        "the gradient's cosine, and the exponents of the blocks",
        {name: {"output-gradient": name, "weight-gradient": name} for name in ("int4", "mxfp4", "nvfp4")},
        kind="weight-gradient",
        layers="fc1|fc2",
        start="random",
        rate=0.1,
        momentum=0.9,
        record_every=5,
    ),
    _write_preset(
        "fine-tuning",
        "What rounding lost, training wins back",
        "Rounded to 2 bits the network reads a quarter of the digits; fine-tuned it reads 19 of 20 again, at once "
        "or by way of 4 bits.",
        "float, post-training and held-out accuracy, and bits",
        {
            "at once": {"weight": "int2 channel"},
            "by way of 4 bits": {"weight": "int2 channel", "rungs": "rungs steps=50"},
        },
        layer="conv1",
        model="sample:digits-cnn",
        record_every=10,
    ),
    _write_preset(
        "pruning-distillation",
        "A teacher for a network that lost its weights",
        "With 19 of 20 weights pruned and the rest at 4 bits, the float network teaches what labels alone do not.",
        "held-out accuracy, and the agreement with the teacher",
        {
            "labels": {"pruning": "magnitude sparsity=0.95"},
            "teacher": {"pruning": "magnitude sparsity=0.95", "distillation": "distillation"},
        },
        weight="int4 channel",
        rate=0.02,
        record_every=5,
    ),
    _write_preset(
        "later-learning",
        "Learning after deployment",
        "On drifted data, one item a step and chunks forget the old data; retraining on all of it does not.",
        "accuracy on old and on new data",
        {mode: {"learning": mode} for mode in ("online", "batch", "incremental")},
        weight="int4 channel",
        record_every=5,
    ),
)
PRESETS: Mapping[str, Preset] = MappingProxyType({one.id: one for one in _WRITTEN})


def find_preset(name: str) -> Preset:
    """The preset of that id; ValueError names what there is.

    >>> find_preset("oscillation").title
    'Weights that flip to and fro'
    """
    if name in PRESETS:
        return PRESETS[name]
    near = get_close_matches(name, PRESETS, n=1)
    told = f"did you mean {near[0]}?" if near else f"there are {', '.join(PRESETS)}"
    raise ValueError(f"preset {quote(name, 60)} is unknown; {told}")


def brighten_a_digit() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The digits with one of those to train on eight times as bright: (x, y, x_test, y_test)."""
    from sample_models import evaluation_path, training_path
    from sample_models.training import read_batch

    inputs, targets = read_batch(training_path("digits-mlp"))
    bright = inputs.clone()
    bright[0] *= 8
    return bright, targets, *read_batch(evaluation_path("digits-mlp"))
