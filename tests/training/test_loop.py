"""Whole trainings: what each part must show, every rule with every other, every format, and what goes wrong told."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from qanalysis.quantizers.formats import FORMATS
from qanalysis.results.document import to_json
from qanalysis.training.configuration import Experiment
from qanalysis.training.distillation import Distillation
from qanalysis.training.gradient_rules import GRADIENT_RULES
from qanalysis.training.loop import Progress, train
from qanalysis.training.network.batches import plan_batches
from qanalysis.training.network.run import PATIENCE, Run
from qanalysis.training.recipe import RANGE_RULES
from qanalysis.training.row import MODEL, HistoryTotal
from tests.training.small_models import configure, make_data, make_mlp, make_restless, rows_of, run_small

CREATED = datetime(2026, 1, 1, tzinfo=UTC)


def small_experiment(*, model: str = "make_restless", **words: Any) -> Experiment:
    place = "tests.training.small_models"
    return Experiment(f"{place}:{model}", f"{place}:make_arrays", (configure(**words),))


def train_digits(**words: Any) -> HistoryTotal:
    (total,) = train(Experiment("sample:digits-mlp", None, (configure(**words),))).totals
    return total


def events_of(run: Run) -> list[str]:
    return [line["event"] for line in run.recorder.lines if line["event"]]


# What each part must show


def test_row_7_weights_change_at_each_step_and_the_range_of_the_step_is_the_one_before_its_update() -> None:
    text = "int8 asym + counts first=0.6 second=0.6 count=1 start=0.1"
    run = Run.begin(make_mlp, make_data(), configure(input=text, weight="int8", layers="^0$"))
    site = next(site for site in run.wired.sites if site.kind == "input")
    latents: dict[int, Tensor] = {}
    for _ in run.proceed(lambda: None):
        latent = run.wired.weights["0"].latent
        assert latent is not None
        latents.setdefault(run.step, latent.detach().clone())
    assert sorted(latents) == list(range(run.configuration.steps + 1))
    for step in range(run.configuration.steps):
        assert not torch.equal(latents[step], latents[step + 1])
    assert site.adjustments > 0
    # The range of a row is that of the quantizer in that iteration: the largest level is the high end.
    for row in rows_of(run, "0", "input"):
        assert row["high"] - row["low"] == pytest.approx(255 * row["step_size"], rel=1e-5)


def test_row_14_the_weights_of_an_8_bit_copy_have_at_most_255_values() -> None:
    run = run_small(weight="int8", steps=3)
    run.clock.adapts = False
    for layer in ("0", "2"):
        weight = run.model.get_submodule(layer).weight
        latent = run.wired.weights[layer].latent
        assert isinstance(weight, Tensor)
        assert latent is not None
        assert len(weight.unique()) <= 255
        assert len(latent.unique()) == latent.numel()


def test_row_15_a_target_of_4_bits_begins_at_8() -> None:
    run = run_small(weight="int4", rungs="rungs steps=4 rise=0", steps=12, start="random")
    widths = [row["bits"] for row in rows_of(run, "0", "weight")]
    assert widths == [8] * 4 + [4] * 8
    assert "step 3: 4 steps done: 8 → 4 bits" in rows_of(run, "0", "weight")[4]["event"]


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_row_43_fine_tuning_is_not_worse_than_quantizing_alone(bits: int) -> None:
    total = train_digits(weight=f"int{bits}", steps=60, batch=64, rate=0.01, momentum=0.9, record_every=1000)
    assert total.final_accuracy is not None
    assert total.post_training_accuracy is not None
    assert total.final_accuracy >= total.post_training_accuracy
    if bits == 2:
        assert total.final_accuracy > total.post_training_accuracy + 0.02


@pytest.mark.parametrize("learning", ["online", "batch", "incremental"])
def test_row_48_learning_after_deployment(learning: str) -> None:
    rate = 0.001 if learning == "online" else 0.01
    configuration = configure(weight="int8 channel", learning=learning, steps=60, rate=rate, evaluate_every=20)
    (run,) = [train(Experiment("sample:digits-mlp", None, (configuration,)))]
    new, old = ([row for row in run.rows if row.kind == kind] for kind in ("new-data", "old-data"))
    assert len(new) == len(old) == 4
    assert all(math.isfinite(row.loss or math.nan) for row in [*new, *old])
    assert (new[-1].accuracy or 0) >= (new[0].accuracy or 0)


def test_float_and_post_training_results_stand_beside_the_fine_tuned_one() -> None:
    run = run_small(weight="int2", steps=40, record_every=10)
    total = run.total()
    assert total.float_loss != total.post_training_loss != total.final_loss
    assert [row["kind"] for row in rows_of(run, MODEL)][:3] == ["float", "post-training", "held-out"]


# Every rule with every other


def pair_rules() -> list[Any]:
    weights = [
        pytest.param({"weight": text}, id=f"row-1 {text}" if range_rule == "minmax" else text)
        for range_rule, rule in itertools.product(RANGE_RULES, GRADIENT_RULES)
        if range_rule != "pact"
        for text in [f"{'int4 sym-noclip' if range_rule == 'lsq+' else 'int4'} + {range_rule} + {rule}"]
    ]
    inputs = [
        pytest.param({"input": text}, id=f"input {text}")
        for range_rule, rule in itertools.product(("pact", "lsq+"), GRADIENT_RULES)
        if "input" in GRADIENT_RULES[rule].kinds
        for text in [f"{range_rule} bits=4 + {rule}"]
    ]
    return [*weights, *inputs]


@pytest.mark.parametrize("words", pair_rules())
def test_every_range_rule_goes_with_every_gradient_rule(words: dict[str, str]) -> None:
    """Rows with row-1 are its check: the loss falls, and every strategy runs 200 steps with finite values."""
    layers = "0" if "weight" in words else "2"  # what enters the second layer is not negative, as pact wants it
    run = run_small(layers=layers, steps=200, batch=16, rate=0.05, start="random", record_every=10**6, **words)
    assert (run.step, run.skipped) == (200, 0)
    assert all(torch.isfinite(one).all() for one in run.model.parameters())
    total = run.total()
    assert total.float_loss is not None
    assert total.final_loss is not None
    assert total.final_loss < total.float_loss / 2


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_trained_under_in_all_six_kinds(name: str) -> None:
    columns = 256 if name.startswith("gguf:tq") else 32

    def load() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Linear(columns, columns), nn.ReLU(), nn.Linear(columns, columns), nn.ReLU(), nn.Linear(columns, 4)
        )

    kinds = ("input", "weight", "output", "input_gradient", "output_gradient", "weight_gradient")
    data = make_data(lambda x: x.repeat(1, columns // 16))
    run = run_small(load, data, layers="^[02]$", **dict.fromkeys(kinds, name))
    assert (run.step, run.skipped) == (5, 0)
    assert all(torch.isfinite(one).all() for one in run.model.parameters())
    row = rows_of(run, "2", "weight")[-1]
    if name in ("mxfp4", "nvfp4"):
        assert sum(row["exponent_counts"]) == columns * columns // (32 if name == "mxfp4" else 16)
        assert row["first_exponent"] < 0
    blocks = rows_of(run, "2", "input")[-1]["exponent_counts"]
    assert blocks is None or sum(blocks) >= 16


# The same again


def test_an_experiment_has_one_history() -> None:
    experiment = small_experiment(
        weight="int4 + policy window=3", input="int8 + counts", output_gradient="int8 round=stochastic:2", steps=15
    )
    first, second = (to_json(train(experiment), created=CREATED) for _ in range(2))
    assert first == second
    other = replace(experiment, configurations=(replace(experiment.configurations[0], seed=1),))
    assert to_json(train(other), created=CREATED) != first


def test_trainings_side_by_side_have_the_histories_that_they_have_alone() -> None:
    experiments = [small_experiment(weight=text, steps=15) for text in ("int4 + ema", "lsq bits=3")]
    alone = [to_json(train(one), created=CREATED) for one in experiments]
    together: dict[int, str] = {}

    def work(place: int) -> None:
        together[place] = to_json(train(experiments[place]), created=CREATED)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[place] for place in range(2)] == alone


def test_torchs_own_generator_stands_where_it_stood() -> None:
    torch.manual_seed(99)
    before = torch.get_rng_state()
    run_small(make_restless, weight="int4")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "words",
    [
        {"weight": "int4 + ema trigger=every:3", "input": "int8 + minmax trigger=every:3"},
        {"weight": "up-step scope=all trigger=every:3 + down", "output_gradient": "up-step + average"},
        {"weight": "lsq bits=4", "output": "lsq+ bits=6"},
        {"weight": "int4 + policy window=3 dwell=1"},
    ],
)
def test_what_is_recorded_and_how_often_it_is_evaluated_moves_nothing(words: dict[str, str]) -> None:
    told, silent = (
        run_small(make_restless, steps=20, record_every=record, evaluate_every=evaluate, **words)
        for record, evaluate in ((1, 3), (10**6, 10**6))
    )
    assert told.total() == silent.total() or told.total().flips == silent.total().flips
    assert all(torch.equal(*pair) for pair in zip(told.model.parameters(), silent.model.parameters(), strict=True))


def test_progress_hands_out_every_row_once_and_a_check_ends_the_training() -> None:
    told: list[Progress] = []
    table = train(small_experiment(steps=6), on_step=told.append)
    assert sum(len(one.rows) for one in told) == len(table)
    assert [one.done for one in told] == [0, *range(1, 7), 6]

    def refuse() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        train(small_experiment(steps=6), check=refuse)


# What goes wrong


@pytest.mark.parametrize("weight", ["int4", "up-step + down + curvature", "int4 channel + counts"])
def test_a_training_that_diverges_ends_with_an_event(weight: str) -> None:
    run = run_small(weight=weight, input="int8 + ema", rate=1e6, steps=80)
    assert run.skipped == PATIENCE
    assert run.step < 80
    assert events_of(run)[-1].endswith(f"{PATIENCE} in a row, the training has diverged and ends")
    assert run.total().final_loss is None


class Poisoned(nn.Module):
    """Its gradient is NaN from some pass on."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.inner, self.left = make_mlp(), after

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(x)
        if y.requires_grad:
            y.register_hook(self.spoil)
        return y

    def spoil(self, g: Tensor) -> Tensor:
        self.left -= 1
        return g * math.nan if self.left < 0 else g


def test_a_gradient_that_is_not_finite_moves_nothing() -> None:
    # A recorded step goes back twice, once for the float network's gradient.
    run = run_small(lambda: Poisoned(6), weight="lsq bits=4", output="int8 + ema + ewgs", momentum=0.9)
    assert (run.step, run.skipped) == (5, 2)
    assert events_of(run)[-1] == "a gradient is not finite: step skipped, nothing moved"
    assert all(torch.isfinite(one).all() for one in run.model.parameters())
    losses = [row["loss"] for row in rows_of(run, MODEL, "training")]
    assert all(math.isfinite(loss) for loss in losses)


def with_zeros() -> nn.Module:
    model = make_mlp()
    nn.init.zeros_(model.get_parameter("0.weight"))
    return model


@pytest.mark.parametrize("weight", ["int4", "int4 channel + ema", "up-step + down", "lsq bits=4", "binary", "nvfp4"])
@pytest.mark.parametrize(
    ("load", "change"),
    [
        pytest.param(with_zeros, lambda x: x, id="a layer of zeros"),
        pytest.param(make_mlp, torch.zeros_like, id="inputs of zeros"),
    ],
)
def test_zeros_are_trained_on(load: Callable[[], nn.Module], change: Callable[[Tensor], Tensor], weight: str) -> None:
    run = run_small(load, make_data(change), weight=weight, input="int8 + ema", output_gradient="up-step")
    assert (run.step, run.skipped) == (5, 0)


def test_a_batch_larger_than_the_data_and_a_single_item_are_trained_on() -> None:
    assert run_small(weight="int4", batch=10**6).step == 5
    data = make_data()
    alone = replace(data, inputs=data.inputs[:1], targets=data.targets[:1])
    assert run_small(data=alone, weight="int4 channel", input="int8 + counts").step == 5


@pytest.mark.parametrize(
    ("part", "value", "told"),
    [
        ("held_out_inputs", torch.zeros(0, 16), "holds no items"),
        ("inputs", torch.full((256, 16), math.nan), "values that are not finite"),
    ],
)
def test_data_that_hold_nothing_or_no_numbers_are_refused(part: str, value: Tensor, told: str) -> None:
    data = make_data()
    with pytest.raises(ValueError, match=told):
        replace(data, **{part: value})


def test_a_model_that_does_not_take_the_data_is_told_in_one_sentence() -> None:
    with pytest.raises(ValueError, match="the model does not run on inputs float32") as told:
        run_small(lambda: nn.Linear(3, 4))
    assert "\n" not in str(told.value)


class WritesOverItsOwn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.sigmoid(self.body(x))
        return y.mul_(2) if torch.is_grad_enabled() else y


def test_a_model_without_a_gradient_is_told_in_one_sentence() -> None:
    with pytest.raises(ValueError, match="the model has no gradient: RuntimeError") as told:
        run_small(WritesOverItsOwn, record_every=10**6)
    assert "\n" not in str(told.value)


# Rules beside the quantizers


def test_a_network_that_teaches_itself_learns_nothing() -> None:
    run = run_small(steps=1, distillation="distillation share=1")
    (row,) = rows_of(run, MODEL, "distillation")
    assert row["loss"] == pytest.approx(0, abs=1e-6)  # of float32 softmaxes
    assert row["accuracy"] == 1


def test_distillation_brings_a_quantized_copy_closer_to_its_teacher() -> None:
    run = run_small(steps=80, weight="int2", distillation=str(Distillation(share=1.0)), rate=0.1)
    rows = rows_of(run, MODEL, "distillation")
    assert sum(row["loss"] for row in rows[-10:]) < sum(row["loss"] for row in rows[:10]) * 0.8


def test_one_range_for_all_layers_is_one_for_all() -> None:
    run = run_small(weight="up-step scope=all", steps=8)
    for step in range(8):
        assert len({row["s"] for row in rows_of(run, kind="weight") if row["step"] == step}) == 1


def test_an_average_and_doubling_gaps_check_more_and_more_seldom() -> None:
    every, average, doubling = (
        run_small(weight=f"up-step{more}", steps=60, rate=1e-4, batch=4).total().checks
        for more in ("", " + average", " trigger=doubling:32")
    )
    assert every == 2 * 60
    assert average < every / 4
    assert doubling <= 2 * 8


def test_a_gradient_with_outliers_gets_more_bits() -> None:
    class Spiked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = make_mlp()

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.inner(x) * 1
            if y.requires_grad:
                y.register_hook(lambda g: torch.cat([g[:1] * 400, g[1:]]))
            return y

    run = run_small(Spiked, output_gradient="up-step + width-growth", steps=2, batch=64, rate=1e-9, layers="2")
    row = rows_of(run, "inner.2", "output-gradient")[0]
    assert row["bits"] > 8
    assert "8 → 16 bits" in row["event"]


def test_batch_statistics_are_estimated_anew_over_the_last_weights() -> None:
    run = run_small(make_restless, weight="int4", steps=5)
    norm = next(one for one in run.model.modules() if isinstance(one, nn.BatchNorm1d))
    plan = plan_batches(make_data(), batch=16, seed=0)
    run.clock.adapts = False
    with torch.no_grad():
        seen = [run.model.get_submodule("0")(plan.draw(step)[0]) for step in range(plan.epoch)]
    torch.testing.assert_close(norm.running_mean, torch.stack([x.mean(0) for x in seen]).mean(0))
    assert norm.momentum == 0.1
    assert events_of(run)[-1] == "batch statistics estimated anew over the last weights"


def test_a_history_that_would_not_fit_is_refused_before_the_first_step() -> None:
    with pytest.raises(ValueError, match=r"rows, and a history holds 3,000,000; record fewer, such as record_every = "):
        Run.begin(make_mlp, make_data(), configure(weight="int8", steps=1_000_000))
    Run.begin(make_mlp, make_data(), configure(weight="int8", steps=1_000_000, record_every=10))
