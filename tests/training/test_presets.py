"""Is every lesson true? Each preset is run as it stands and its sentence held against the history."""

from __future__ import annotations

from functools import cache

import pandas as pd
import pytest

from qanalysis.training.configuration import Experiment
from qanalysis.training.loop import train
from qanalysis.training.presets import EXAMPLE, PRESETS, find_preset


@cache
def run(name: str) -> tuple[pd.DataFrame, dict[str, object]]:
    """The rows of a preset and the totals of its configurations."""
    table = train(PRESETS[name].experiment)
    return table.to_pandas(), {one.configuration: one for one in table.totals}


def rows(name: str, configuration: str, kind: str | None = None, layer: str | None = None) -> pd.DataFrame:
    found, _totals = run(name)
    chosen = found[found.configuration == configuration]
    chosen = chosen if kind is None else chosen[chosen.kind == kind]
    return chosen if layer is None else chosen[chosen.layer == layer]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_short_reads_back_and_shows_where_it_says(name: str) -> None:
    preset = PRESETS[name]
    assert 2 <= len(preset.experiment.configurations) <= 3
    assert all(200 <= one.steps <= 400 for one in preset.experiment.configurations)
    assert Experiment.from_toml(preset.experiment.to_toml()) == preset.experiment
    assert preset.lesson.endswith(".")
    for one in preset.experiment.configurations:
        shown = rows(name, one.name, preset.kind, preset.layer)
        assert len(shown) > 10
        total = run(name)[1][one.name]
        assert total.skipped_steps == 0
        assert total.final_loss is not None


def test_there_are_ten_and_more() -> None:
    assert len(PRESETS) >= 10


def test_oscillation_flips_for_ever_straight_through_and_ends_where_it_is_dampened() -> None:
    late = {one: rows("oscillation", one, "weight").query("step >= 150") for one in run("oscillation")[1]}
    flips = {one: int(found.flips.sum()) for one, found in late.items()}
    # Counts of flips differ from machine to machine; over seeds they were 6 to 100 times apart.
    assert flips["scaled"] < flips["straight through"] / 3
    assert flips["dampened"] == 0
    assert flips["straight through"] > 300


def test_the_scalar_measure_is_blind_and_its_policy_never_acts() -> None:
    _rows, totals = run("blind-measure")
    blind, seeing = rows("blind-measure", "by E", "weight"), rows("blind-measure", "by elements", "weight")
    assert (totals["by E"].switches, set(blind.strategy)) == (0, {"ste"})
    assert blind.v_scalar.max() < 0.05, "the first threshold of the scalar measure"
    assert blind.v_elem.max() > 0.1, "the first threshold of the measure by elements"
    assert totals["by elements"].switches > 0
    assert set(seeing.strategy) == {"ste", "dampening"}
    assert totals["by elements"].flips < totals["by E"].flips / 2


def test_one_outlier_stays_fades_or_is_not_followed() -> None:
    highs = {one: rows("outlier-batch", one, "input", "fc1").set_index("step").high for one in run("outlier-batch")[1]}
    after = 4  # the bright digit comes at step 3
    assert (highs["widest so far"].loc[after:] == 8).all()
    assert 1.5 < highs["average"].loc[after] < 1.8, "0.9 1 + 0.1 8 = 1.7, one step later"
    assert highs["average"].min() < 1.1
    assert (highs["counts"] == 1).all()
    losses = {one: total.final_loss for one, total in run("outlier-batch")[1].items()}
    assert losses["widest so far"] > 3 * max(losses["average"], losses["counts"])


def test_a_literal_mean_raises_where_it_means_to_lower() -> None:
    def find_raises(configuration: str) -> int:
        told = rows("guarded-mean", configuration, "input").event
        moves = [text.partition("high ")[2].split(" → ") for text in told if " below " in text]
        assert moves
        return sum(float(end) > float(start) for start, end in moves)

    assert find_raises("literal") > 0
    assert find_raises("guarded") == 0
    assert run("guarded-mean")[1]["literal"].adjustments > run("guarded-mean")[1]["guarded"].adjustments


def test_the_exponent_of_the_source_clips_full_ink_at_every_step_and_tells_nothing() -> None:
    source = rows("exponent-rule", "source", "input", "fc1")
    assert (source.absmax == 1).all(), "a power of two"
    assert (source.high == 0.875).all()
    assert source.checked.all()
    assert (source.clipped_fraction > 0).all()
    assert (source.event == "").all()
    for rule in ("library", "covering"):
        assert (rows("exponent-rule", rule, "input", "fc1").clipped_fraction == 0).all()


def test_up_at_once_clips_nothing_and_only_down_comes_back() -> None:
    found = {one: rows("up-and-down", one, "input", "fc1") for one in run("up-and-down")[1]}
    assert found["at once"].clipped_fraction.max() == 0
    assert found["gradually"].clipped_fraction.max() > 0
    ends = {one: rows.high.iloc[-1] for one, rows in found.items()}
    peak = found["at once"].high.max()
    assert ends["at once"] == ends["gradually"] == peak
    assert ends["at once, and down"] == peak / 4


def test_adaptive_checks_do_the_same_with_a_twentieth() -> None:
    _rows, totals = run("adaptive-interval")
    assert totals["adaptive"].checks <= totals["every step"].checks / 20
    assert totals["adaptive"].final_loss == totals["every step"].final_loss


def test_gradients_grow_to_16_bits_and_turn_to_the_float_gradient() -> None:
    grown = rows("width-growth", "growing", "output-gradient")
    assert set(grown.bits) == {8, 16}
    assert (grown[grown.event != ""].event.str.contains("8 → 16 bits")).all()
    angles = {one: 1 - rows("width-growth", one, "weight", "fc1").grad_cosine.mean() for one in ("8 bits", "growing")}
    assert angles["growing"] < angles["8 bits"] / 2


def test_a_learned_step_serves_two_bits_better() -> None:
    _rows, totals = run("learned-step")
    assert totals["learned"].final_accuracy > totals["largest"].final_accuracy + 0.1
    steps = {one: rows("learned-step", one, "weight", "fc1").step_size.iloc[-1] for one in totals}
    assert steps["learned"] < steps["largest"] / 2
    assert 0 < rows("learned-step", "learned", "weight", "fc1").clipped_fraction.mean() < 0.01


def test_blocks_keep_the_direction_of_a_gradient() -> None:
    cosines = {one: rows("gradient-formats", one, "weight").grad_cosine.mean() for one in run("gradient-formats")[1]}
    assert cosines["int4"] < cosines["mxfp4"] < cosines["nvfp4"]
    assert rows("gradient-formats", "nvfp4", "weight-gradient").exponent_counts.notna().all()


def test_row_43_fine_tuning_wins_back_what_rounding_lost() -> None:
    _rows, totals = run("fine-tuning")
    assert totals["at once"].post_training_accuracy < 0.3
    assert all(total.final_accuracy > 0.9 for total in totals.values())
    widths = rows("fine-tuning", "by way of 4 bits", "weight", "conv1").bits.tolist()
    assert widths == sorted(widths, reverse=True)
    assert set(widths) == {4, 2}


def test_row_47_a_teacher_helps_a_pruned_network() -> None:
    _rows, totals = run("pruning-distillation")
    assert totals["teacher"].final_accuracy > totals["labels"].final_accuracy + 0.1
    agreement = rows("pruning-distillation", "teacher", "distillation").accuracy
    assert agreement.between(0, 1).all()


def test_row_48_only_retraining_on_all_data_keeps_the_old() -> None:
    _rows, totals = run("later-learning")
    new = {one: rows("later-learning", one, "new-data").accuracy.tolist() for one in totals}
    old = {one: rows("later-learning", one, "old-data").accuracy.iloc[-1] for one in totals}
    assert all(line[-1] >= line[0] for line in new.values())
    assert old["batch"] > max(old["online"], old["incremental"]) + 0.03


def test_the_example_is_long_enough_and_reads_back() -> None:
    example = Experiment.from_toml(EXAMPLE)
    assert all(one.steps >= 200 for one in example.configurations)
    assert Experiment.from_toml(example.to_toml()) == example


def test_an_unknown_preset_is_named_with_its_nearest() -> None:
    with pytest.raises(ValueError, match=r"preset 'oscilation' is unknown; did you mean oscillation\?"):
        find_preset("oscilation")
    with pytest.raises(ValueError, match="preset '9' is unknown; there are oscillation, "):
        find_preset("9")
